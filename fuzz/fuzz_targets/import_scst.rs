//! Any text as SCST's scst.conf.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::import_scst::run(bytes));
