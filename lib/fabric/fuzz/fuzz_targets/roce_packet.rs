//! Any bytes as a datagram to RoCE's port.
#![no_main]

#[path = "../exercise/roce_packet.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::run(bytes));
