//! Any bytes as a frame of Ethernet.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::roce_frame::run(bytes));
