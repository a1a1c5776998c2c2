//! Any text as LIO's saveconfig.json.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::import_lio::run(bytes));
