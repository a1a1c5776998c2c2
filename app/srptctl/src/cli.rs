//! The command line, made of the table of verbs, and what happens when one is given.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use serde_json::{Map, Value, json};

use crate::commands::Own;
use crate::failure::{EXIT_CODES, Failure};
use crate::methods::{self, Method};
use crate::output::{Color, Output};
use crate::request;
use crate::target::Target;
use crate::verbs::{Action, GET_BDEVS, KindMethod, NOUNS, VERBS, Verb};

/// Where the target listens as a service, as its package sets it up.
const SERVICE_SOCKET: &str = "/run/srpt/srpt.sock";

/// Where the target listens unless it is told otherwise (`srpt-app -r`).
const DEFAULT_SOCKET: &str = "/var/tmp/srpt.sock";

/// One run of srptctl: the target, and where answers go.
pub(crate) struct Session {
    pub(crate) target: Target,
    pub(crate) output: Output,
}

impl Session {
    pub(crate) fn new(matches: &ArgMatches) -> Session {
        let socket = matches.get_one::<PathBuf>("socket").cloned().unwrap_or_else(usual_socket);
        let timeout = Duration::from_secs(timeout(matches));
        let color = matches.get_one::<Color>("color").copied().unwrap_or(Color::Auto);
        Session { target: Target::new(socket, timeout), output: Output::new(matches.get_flag("json"), color) }
    }
}

/// Seconds that an answer is awaited.
pub(crate) fn timeout(matches: &ArgMatches) -> u64 {
    matches.get_one::<u64>("timeout").copied().unwrap_or(60)
}

/// The service's socket if there is one, or one that may be there: of a folder that only its group may look into.
fn usual_socket() -> PathBuf {
    let is_away = matches!(Path::new(SERVICE_SOCKET).try_exists(), Ok(false));
    PathBuf::from(if is_away { DEFAULT_SOCKET } else { SERVICE_SOCKET })
}

/// Does what the command line says.
pub(crate) fn run(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let Some((verb, matches)) = find_verb(matches) else {
        return Err(Failure::Usage("what is to be done? --help lists the verbs".into()));
    };
    let (method, params) = match &verb.action {
        Action::Own(own) => return (own.run)(session, matches),
        Action::Call(name) => (*name, given(verb, method(name), matches)?),
        Action::ByKind(kinds) => for_kind(session, verb, kinds, matches)?,
    };
    let answer = session.target.call(method, params.into()).map_err(|failure| explained(verb, failure))?;
    session.output.answer(&verb.view, &selected(verb, matches, answer)?)
}

/// The verb that a command line is about, with its own arguments.
pub(crate) fn find_verb(matches: &ArgMatches) -> Option<(&'static Verb, &ArgMatches)> {
    let mut path = Vec::new();
    let mut matches = matches;
    while let Some((word, below)) = matches.subcommand() {
        path.push(word);
        matches = below;
    }
    let path = path.join(" ");
    VERBS.iter().find(|verb| verb.path == path).map(|verb| (verb, matches))
}

/// The whole command line.
pub(crate) fn command() -> Command {
    let command = Command::new("srptctl")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Shows and changes a running srpt-app, and moves set-ups of SCST and LIO over to it")
        .after_help(EXIT_CODES)
        .styles(Styles::styled().header(AnsiColor::Green.on_default().bold()).literal(AnsiColor::Cyan.on_default()))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .args(global_arguments());
    below(command, "")
}

/// What every verb takes.
fn global_arguments() -> [Arg; 4] {
    let everywhere = |name| Arg::new(name).long(name).global(true).help_heading("Every command");
    [
        everywhere("socket")
            .short('s')
            .value_name("PATH")
            .env("SRPT_SOCKET")
            .hide_env_values(true)
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::FilePath)
            .help(format!(
                "RPC socket of the target [default: {SERVICE_SOCKET} if the service runs, or {DEFAULT_SOCKET}]"
            )),
        everywhere("timeout")
            .value_name("SECONDS")
            .default_value("60")
            .value_parser(value_parser!(u64).range(1..))
            .help("How long to wait for an answer"),
        everywhere("json").action(ArgAction::SetTrue).help("Print what the target answered"),
        everywhere("color")
            .value_name("WHEN")
            .default_value("auto")
            .value_parser(value_parser!(Color))
            .help("Whether to use colours; auto: on a terminal, unless NO_COLOR is set"),
    ]
}

/// Adds the nouns and verbs that stand below `path`, in the order of the table.
fn below(mut command: Command, path: &str) -> Command {
    let mut added: Vec<&str> = Vec::new();
    for verb in VERBS {
        let rest = match path {
            "" => Some(verb.path),
            _ => verb.path.strip_prefix(path).and_then(|rest| rest.strip_prefix(' ')),
        };
        let Some(rest) = rest else { continue };
        let word = rest.split(' ').next().unwrap_or(rest);
        if added.contains(&word) {
            continue;
        }
        added.push(word);
        let sub = match word == rest {
            true => verb_command(verb, word),
            false => noun_command(&verb.path[..verb.path.len() - rest.len() + word.len()], word),
        };
        command = command.subcommand(sub);
    }
    command
}

fn noun_command(path: &'static str, word: &'static str) -> Command {
    let about = NOUNS.iter().find(|(noun, _)| *noun == path).map_or("", |(_, about)| about);
    below(Command::new(word).about(about).subcommand_required(true).arg_required_else_help(true), path)
        .disable_help_subcommand(true)
}

fn verb_command(verb: &'static Verb, word: &'static str) -> Command {
    let command = Command::new(word);
    let method = match &verb.action {
        Action::Own(own) => return own_command(own, command),
        Action::Call(name) => method(name),
        Action::ByKind(kinds) => method(kinds[0].method),
    };
    let calls = match &verb.action {
        Action::Call(name) => format!("Calls {name}."),
        _ => "Calls the method for the bdev's kind.".into(),
    };
    let about = match &verb.action {
        Action::ByKind(_) => BY_KIND.iter().find(|(path, _)| *path == verb.path).map_or("", |(_, about)| about),
        _ => &method.summary,
    };
    let about = match verb.select {
        Some(_) => "Shows one of them in full",
        None => about,
    };
    let mut command = command.about(about).after_help(calls).args(request::arguments(verb, method));
    if let Some(member) = verb.select.filter(|member| method.param(member).is_none()) {
        command = command.arg(Arg::new(member).value_name(member.to_uppercase()).required(true).help("Which one"));
    }
    command
}

fn own_command(own: &Own, command: Command) -> Command {
    let command = (own.build)(command);
    match own.methods {
        [] => command,
        methods => {
            let calls = format!("Calls {}.", methods.join(", "));
            let said = command.get_after_help().map(|said| format!("{said}\n\n{calls}"));
            command.after_help(said.unwrap_or(calls))
        }
    }
}

/// What verbs do that are for several kinds.
const BY_KIND: [(&str, &str); 3] = [
    ("bdev delete", "Deletes a bdev; files, devices and images stay"),
    ("bdev resize", "Changes the size of a bdev, as 10G; initiators are told"),
    ("bdev rescan", "Looks at a file or device again: whether it is there, is another one, or has another size"),
];

/// What a method takes. Of one that is not described here (of a target of another version), we know what the table says.
fn method(name: &str) -> &'static Method {
    static UNDESCRIBED: LazyLock<Vec<Method>> = LazyLock::new(|| {
        let calls = VERBS.iter().filter_map(|verb| match verb.action {
            Action::Call(name) if methods::find(name).is_none() => Some(Method::undescribed(name, verb.positional)),
            _ => None,
        });
        calls.chain([Method::undescribed("", &[])]).collect()
    });
    let undescribed = || UNDESCRIBED.iter().find(|method| method.name == name).or(UNDESCRIBED.last());
    methods::find(name).or_else(undescribed).expect("the last one is always there")
}

fn given(verb: &Verb, method: &Method, matches: &ArgMatches) -> Result<Map<String, Value>, Failure> {
    request::params(verb, method, matches).map_err(Failure::Usage)
}

/// The method for the bdev that is named, and its parameters.
fn for_kind(
    session: &Session,
    verb: &Verb,
    kinds: &'static [KindMethod],
    matches: &ArgMatches,
) -> Result<(&'static str, Map<String, Value>), Failure> {
    let mut params = given(verb, method(kinds[0].method), matches)?;
    let found = session.target.call(GET_BDEVS, json!({"name": params["name"]}))?;
    let product = found[0]["product_name"].as_str().unwrap_or_default();
    let Some(kind) = kinds.iter().find(|kind| kind.product == product) else {
        let hint = if product == "Split Disk" { "; bdev unsplit removes all parts of a bdev" } else { "" };
        return Err(Failure::Usage(format!("{}: not for a {product}{hint}", verb.path)));
    };
    let method = method(kind.method);
    // SPDK's methods take MiB and call it new_size.
    if method.param("new_size").is_some()
        && let Some(bytes) = params.remove("size")
    {
        params.insert("new_size".into(), request::mebibytes(&bytes).map_err(Failure::Usage)?);
    }
    if let Some((name, _)) = params.iter().find(|(name, _)| method.param(name).is_none()) {
        return Err(Failure::Usage(format!("--{}: not for a {product}", request::option(name))));
    }
    Ok((kind.method, params))
}

/// A refusal that says which arguments it is about.
fn explained(verb: &Verb, failure: Failure) -> Failure {
    match failure {
        Failure::Refused(mut refusal) => {
            refusal.arguments = request::explain(verb, method(&refusal.method), &refusal.error.message);
            Failure::Refused(refusal)
        }
        other => other,
    }
}

/// The entry that a verb is about.
fn selected(verb: &Verb, matches: &ArgMatches, answer: Value) -> Result<Value, Failure> {
    let Some(member) = verb.select else { return Ok(answer) };
    let wanted = match matches.try_get_one::<Value>(member) {
        Ok(Some(value)) => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        _ => matches.get_one::<String>(member).cloned().unwrap_or_default(),
    };
    let is_wanted = |entry: &&Value| match &entry[member] {
        Value::String(text) => *text == wanted,
        Value::Number(number) => number.to_string() == wanted,
        _ => false,
    };
    let found = answer.as_array().into_iter().flatten().find(is_wanted).cloned();
    let noun = verb.path.split(' ').next().unwrap_or_default();
    found.ok_or_else(|| Failure::Usage(format!("there is no {noun} {wanted}; `srptctl {noun} list` lists them")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
