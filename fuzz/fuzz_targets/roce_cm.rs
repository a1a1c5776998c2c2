//! Two connection managers, their users and the network between them, as bytes say.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::roce_cm::run(bytes));
