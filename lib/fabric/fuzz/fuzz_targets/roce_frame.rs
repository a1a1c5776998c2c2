//! Any bytes as a frame of Ethernet.
#![no_main]

#[path = "../exercise/roce_frame.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::run(bytes));
