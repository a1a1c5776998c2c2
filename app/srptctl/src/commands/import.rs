//! `import`: set-ups of SCST and LIO; the work is done in `import/`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};

use super::{Own, config_file};
use crate::cli::Session;
use crate::failure::Failure;
use crate::import::options::{self, Options};
use crate::import::{self, Imported};
use crate::output::harmless;

pub(crate) const SCST: Own = Own { build: build_scst, run: scst, methods: METHODS };
pub(crate) const TARGETCLI: Own = Own { build: build_targetcli, run: targetcli, methods: METHODS };

const METHODS: &[&str] = &["srpt_config_apply", "load_config"];

fn build_scst(command: Command) -> Command {
    arguments(command.about("Turns scst.conf, or a file of scstadmin commands, into a configuration"), "scst.conf")
}

fn build_targetcli(command: Command) -> Command {
    arguments(command.about("Turns LIO's saveconfig.json into a configuration"), "saveconfig.json")
}

fn arguments(command: Command, file: &str) -> Command {
    let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    command
        .after_help(
            "The configuration goes to standard output. What has no equivalent, and what was chosen instead, goes to standard error, as \
             FILE:LINE: warning: TEXT, or note: TEXT where initiators see no difference.",
        )
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .help(format!("{file}, or - for standard input")),
        )
        .arg(switch("apply").conflicts_with("load").help("Make it of what is running; whatever else is there goes"))
        .arg(switch("load").help("Add it to what is running"))
        .arg(switch("strict").help("Warnings are errors: nothing is printed or sent"))
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDRESS[:PORT]")
                .action(ArgAction::Append)
                .value_parser(options::parse_listen)
                .help("Where to listen; may be given several times [default: every address, port 5555]"),
        )
        .arg(
            Arg::new("fabric")
                .long("fabric")
                .default_value("verbs")
                .value_parser(["verbs", "roce"])
                .help("Fabric of the listeners"),
        )
        .arg(
            Arg::new("service-guid")
                .long("service-guid")
                .value_name("GUID")
                .value_parser(options::parse_guid)
                .help("The id_ext and ioc_guid that initiators log in with until now; the first target gets them"),
        )
        .arg(
            Arg::new("driver")
                .long("driver")
                .value_name("DRIVER")
                .action(ArgAction::Append)
                .help("Make SRP targets of this driver's targets; may be given several times [default: SRP's alone]"),
        )
}

fn scst(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    run(session, matches, import::scst::import)
}

fn targetcli(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    run(session, matches, import::lio::import)
}

/// Reads a set-up's text.
type Import = fn(&str, &Options) -> Result<Imported, (usize, String)>;

fn run(session: &Session, matches: &ArgMatches, import: Import) -> Result<(), Failure> {
    let path = matches.get_one::<PathBuf>("file").map(PathBuf::as_path).unwrap_or(Path::new("-"));
    let text = config_file::read_text(path)?;
    let name = path.display();
    let imported = import(&text, &options_of(matches))
        .map_err(|(line, message)| Failure::File(format!("{name}:{line}: {message}")))?;
    for note in imported.notes.sorted() {
        writeln!(
            std::io::stderr(),
            "{name}:{}{}",
            if note.line.is_some() { "" } else { " " },
            harmless(&note.to_string())
        )?;
    }
    let warnings = imported.notes.warnings();
    if matches.get_flag("strict") && warnings > 0 {
        return Err(Failure::File(format!("{name}: {warnings} warnings")));
    }
    let configuration = config_file::configuration(&imported.requests);
    match (matches.get_flag("apply"), matches.get_flag("load")) {
        (true, _) => session.target.call("srpt_config_apply", configuration).map(drop),
        (_, true) => session.target.call("load_config", configuration).map(drop),
        _ => session.output.json(&configuration),
    }
}

fn options_of(matches: &ArgMatches) -> Options {
    Options {
        listen: matches.get_many::<SocketAddr>("listen").unwrap_or_default().copied().collect(),
        fabric: matches.get_one::<String>("fabric").cloned().unwrap_or_default(),
        service_guid: matches.get_one::<u64>("service-guid").copied(),
        drivers: matches.get_many::<String>("driver").unwrap_or_default().cloned().collect(),
    }
}
