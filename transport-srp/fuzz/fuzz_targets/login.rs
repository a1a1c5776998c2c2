//! Any bytes as private data of a connection manager.
#![no_main]

#[path = "../exercise/login.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::run(bytes));
