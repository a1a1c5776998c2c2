//! Any bytes as data buffer descriptors.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::transfer::run(bytes));
