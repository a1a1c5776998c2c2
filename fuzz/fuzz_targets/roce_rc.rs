//! Two ends of a reliable connection and the network between them, as bytes say.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::roce_rc::run(bytes));
