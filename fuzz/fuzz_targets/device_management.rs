//! Any bytes as a datagram to the device management agent.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::device_management::run(bytes));
