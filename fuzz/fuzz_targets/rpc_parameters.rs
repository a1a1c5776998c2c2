//! Any bytes as the parameters of an RPC method.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::rpc_parameters::run(bytes));
