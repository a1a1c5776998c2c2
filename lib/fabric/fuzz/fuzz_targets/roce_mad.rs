//! Any bytes as a datagram to queue pair 1.
#![no_main]

#[path = "../exercise/roce_mad.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::run(bytes));
