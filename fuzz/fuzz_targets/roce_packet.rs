//! Any bytes as a datagram to RoCE's port.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::roce_packet::run(bytes));
