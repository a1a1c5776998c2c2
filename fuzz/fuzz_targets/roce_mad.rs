//! Any bytes as a datagram to queue pair 1.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::roce_mad::run(bytes));
