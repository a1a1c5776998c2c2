//! Any bytes as an IU, in both directions.
#![no_main]

#[path = "../exercise/parse_iu.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::run(bytes));
