//! Any bytes as private data of a connection manager.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::login::run(bytes));
