//! Any bytes as a script of hostile initiators at a whole target.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::channel::run(bytes));
