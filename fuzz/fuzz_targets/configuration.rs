//! Any text as a configuration file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::configuration::run(bytes));
