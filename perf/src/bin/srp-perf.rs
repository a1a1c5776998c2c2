//! srp-perf: load on an SRP target. What it does stands in the library.

#![forbid(unsafe_code)]

use clap::Parser;

fn main() -> std::process::ExitCode {
    srpt_perf::main(&srpt_perf::Options::parse())
}
