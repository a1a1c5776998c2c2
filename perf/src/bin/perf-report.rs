//! perf-report: plots of what srp-perf and bdevperf measured. What it does stands in the library.

#![forbid(unsafe_code)]

use clap::Parser;

fn main() -> std::process::ExitCode {
    srpt_perf::perf_report::main(&srpt_perf::perf_report::Options::parse())
}
