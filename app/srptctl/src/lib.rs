//! srptctl: the tool with which people look at a running srpt-app and change it.
//!
//! ```text
//!  lib.rs       command line ──► verbs.rs    the table: nouns and verbs, each with its method
//!  cli.rs                        methods.rs  what the methods say of themselves: options, help, checks
//!  request.rs                    options ──► parameters ──► target.rs  the RPC socket
//!  output/                       answers ──► tables, or JSON
//!  commands/                     verbs with code of their own: config, call, login-info, discover, completion, man pages
//!  top/                          the live view
//!  import/, export/              SCST's and LIO's configurations to ours, and back to SCST's
//! ```
//!
//! It knows nothing of the target but its methods, and links none of its crates but the RPC client and, for `discover`, that of device management. It is a library so that
//! the fuzz targets reach it.

#![forbid(unsafe_code)]

mod cli;
mod commands;
mod export;
mod failure;
mod import;
mod methods;
mod output;
mod request;
mod target;
mod top;
mod verbs;

#[cfg(any(test, feature = "test-utils"))]
pub use import::exercise;

use std::process::ExitCode;

/// The whole tool: reads the command line and does what it says.
pub fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    let session = cli::Session::new(&matches);
    match cli::run(&session, &matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => session.output.report(&failure),
    }
}
