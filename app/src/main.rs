//! srpt-app: configuration, wiring, RPC methods, start and stop.

fn main() {}
