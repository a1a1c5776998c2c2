//! Any bytes as an IU, in both directions.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::parse_iu::run(bytes));
