//! Any bytes on the RPC socket.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::rpc_conversation::run(bytes));
