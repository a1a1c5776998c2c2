//! Two connection managers, their users and the network between them, as bytes say.
#![no_main]

#[path = "../exercise/roce_cm.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::run(bytes));
