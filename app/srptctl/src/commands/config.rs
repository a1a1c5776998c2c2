//! `config`: whole configurations.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use serde_json::{Value, json};

use super::{Own, config_file};
use crate::cli::Session;
use crate::failure::Failure;

pub(crate) const SHOW: Own = Own { build: build_show, run: show, methods: &["save_config", "framework_get_config"] };
pub(crate) const SAVE: Own = Own { build: build_save, run: save, methods: &["save_config", "srpt_config_write"] };
pub(crate) const LOAD: Own = Own { build: build_load, run: load, methods: &["load_config"] };
pub(crate) const APPLY: Own = Own { build: build_apply, run: apply, methods: &["srpt_config_apply"] };
pub(crate) const DIFF: Own = Own { build: build_diff, run: diff, methods: &["srpt_config_diff"] };
pub(crate) const CHECK: Own = Own { build: build_check, run: check, methods: &[] };

fn file_argument() -> Arg {
    let file = Arg::new("file").value_name("FILE").value_parser(value_parser!(PathBuf)).value_hint(ValueHint::FilePath);
    file.required(true).help("The configuration (JSON); - is standard input")
}

fn file(matches: &ArgMatches) -> &Path {
    matches.get_one::<PathBuf>("file").map(PathBuf::as_path).unwrap_or(Path::new("-"))
}

fn build_show(command: Command) -> Command {
    let part = Arg::new("part").value_name("SUBSYSTEM").help("Only this part: bdev, scheduler or srp");
    command.about("Prints the configuration as it is now").arg(part)
}

fn show(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let answer = match matches.get_one::<String>("part") {
        Some(name) => session.target.call("framework_get_config", json!({"name": name}))?,
        None => session.target.call("save_config", json!({}))?,
    };
    session.output.json(&answer)
}

fn build_save(command: Command) -> Command {
    command.about("Writes the configuration as it is now to a file, whole or not at all").arg(
        file_argument().required(false).help("Where to; left out: the target writes the file that it was started with"),
    )
}

fn save(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let Some(path) = matches.get_one::<PathBuf>("file") else {
        let written = session.target.call("srpt_config_write", json!({}))?;
        return session.output.line(written["filename"].as_str().unwrap_or_default());
    };
    let configuration = session.target.call("save_config", json!({}))?;
    if path.as_os_str() == "-" {
        return session.output.json(&configuration);
    }
    config_file::write_whole(path, &format!("{configuration:#}\n")).map_err(|error| Failure::io(path, &error))
}

fn build_load(command: Command) -> Command {
    command
        .about("Carries out the requests of a configuration as they stand, on top of what there is")
        .arg(file_argument())
}

fn load(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let answer = session.target.call("load_config", config_file::read_subsystems(file(matches))?)?;
    if session.output.is_json() { session.output.json(&answer) } else { Ok(()) }
}

fn build_apply(command: Command) -> Command {
    command
        .about(
            "Makes a configuration of what is running, by the fewest requests; sessions that it does not concern go on",
        )
        .arg(file_argument())
}

fn apply(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let answer = session.target.call("srpt_config_apply", config_file::read_subsystems(file(matches))?)?;
    print_requests(session, &answer)
}

fn build_diff(command: Command) -> Command {
    command
        .about("Prints the requests by which `config apply` would make a configuration of what is running")
        .after_help("Exits with 5 if there are any.")
        .arg(file_argument())
}

fn diff(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let answer = session.target.call("srpt_config_diff", config_file::read_subsystems(file(matches))?)?;
    print_requests(session, &answer)?;
    match answer["requests"].as_array().is_some_and(Vec::is_empty) {
        true => Ok(()),
        false => Err(Failure::Differs),
    }
}

/// One request a line.
fn print_requests(session: &Session, answer: &Value) -> Result<(), Failure> {
    if session.output.is_json() {
        return session.output.json(answer);
    }
    for request in answer["requests"].as_array().into_iter().flatten() {
        session.output.line(&format!("{} {}", request["method"].as_str().unwrap_or_default(), request["params"]))?;
    }
    Ok(())
}

fn build_check(command: Command) -> Command {
    command
        .about("Checks a configuration without the target: whether its methods exist and take these parameters")
        .after_help("Problems go to standard error as FILE:LINE: PROBLEM. Exits with 4 if there are any.")
        .arg(file_argument())
}

fn check(_: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let path = file(matches);
    let problems = config_file::check(&config_file::read_text(path)?);
    for problem in &problems {
        writeln!(std::io::stderr(), "{}:{problem}", path.display())?;
    }
    match problems.len() {
        0 => Ok(()),
        count => Err(Failure::File(format!("{}: {count} problems", path.display()))),
    }
}
