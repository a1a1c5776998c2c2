//! Command `hugepage-setup`: shows, reserves and releases huge pages.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
