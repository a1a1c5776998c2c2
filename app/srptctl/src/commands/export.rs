//! `export`: the running configuration for other targets; the work is done in `export/`.

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::Own;
use super::config_file::Request;
use crate::cli::Session;
use crate::export;
use crate::failure::Failure;

pub(crate) const SCST: Own = Own { build, run, methods: &["save_config"] };

fn build(command: Command) -> Command {
    command.about("Prints the running configuration as scst.conf, with comments for what SCST does not have")
}

fn run(session: &Session, _: &ArgMatches) -> Result<(), Failure> {
    let configuration = session.target.call("save_config", json!({}))?;
    session.output.line(&export::scst::export(&requests(&configuration)))
}

/// All requests of a configuration.
fn requests(configuration: &Value) -> Vec<Request> {
    let subsystems = configuration["subsystems"].as_array().into_iter().flatten();
    let entries = subsystems.flat_map(|subsystem| subsystem["config"].as_array().into_iter().flatten());
    let request = |entry: &Value| Request::new(entry["method"].as_str().unwrap_or_default(), entry["params"].clone());
    entries.map(request).collect()
}
