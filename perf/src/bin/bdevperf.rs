//! bdevperf: load on a bdev. What it does stands in the library.

#![forbid(unsafe_code)]

use clap::Parser;

fn main() -> std::process::ExitCode {
    srpt_perf::bdevperf::main(&srpt_perf::bdevperf::Options::parse())
}
