//! Any bytes as a script of commands at units of many kinds.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::commands::run(bytes));
