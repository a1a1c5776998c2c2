//! `top`: the live view, which stands in `top/`.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Own;
use crate::cli::Session;
use crate::failure::Failure;
use crate::top;

pub(crate) const TOP: Own = Own { build, run, methods: top::METHODS };

fn build(command: Command) -> Command {
    let interval = Arg::new("interval").short('d').long("interval").value_name("SECONDS").default_value("1");
    let frames = Arg::new("frames").short('n').long("frames").value_name("N").default_value("1").requires("batch");
    command
        .about("Shows live what reactors, sessions, LUNs and bdevs do")
        .arg(interval.value_parser(parse_interval).help("Time between two looks, at least 0.1"))
        .arg(Arg::new("batch").short('b').long("batch").action(ArgAction::SetTrue).help("Print figures as text"))
        .arg(frames.value_parser(clap::value_parser!(u64).range(1..)).help("How often, with --batch"))
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| (0.1..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "0.1 to 3600 seconds are needed".into())
}

fn run(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let interval = matches.get_one::<Duration>("interval").copied().unwrap_or(Duration::from_secs(1));
    match matches.get_flag("batch") {
        true => top::batch(session, interval, matches.get_one::<u64>("frames").copied().unwrap_or(1)),
        false => top::live(session, interval),
    }
}
