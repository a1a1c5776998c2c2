//! Two ends of a reliable connection and the network between them, as bytes say.
#![no_main]

#[path = "../exercise/roce_rc.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::run(bytes));
