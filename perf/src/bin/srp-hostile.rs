//! srp-hostile: what hostile and broken initiators do. What it does stands in the library.

#![forbid(unsafe_code)]

use clap::Parser;

fn main() -> std::process::ExitCode {
    srpt_perf::hostile::main(&srpt_perf::hostile::Options::parse())
}
