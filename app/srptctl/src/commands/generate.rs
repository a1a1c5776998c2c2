//! `completion` and `man`: what shells and man(1) know of srptctl, from its own command line.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use super::Own;
use crate::cli::{self, Session};
use crate::failure::Failure;

pub(crate) const COMPLETION: Own = Own { build: build_completion, run: completion, methods: &[] };
pub(crate) const MAN: Own = Own { build: build_man, run: man, methods: &[] };

fn build_completion(command: Command) -> Command {
    let shell = Arg::new("shell").value_name("SHELL").required(true).value_parser(["bash", "zsh", "fish"]);
    command
        .about("Prints the completion script for a shell")
        .after_help("bash: srptctl completion bash > /etc/bash_completion.d/srptctl")
        .arg(shell.help("Which shell"))
}

fn completion(_: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let shell = match matches.get_one::<String>("shell").map(String::as_str) {
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "srptctl", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

fn build_man(command: Command) -> Command {
    let directory = Arg::new("directory").value_name("DIR").required(true).value_parser(value_parser!(PathBuf));
    command.about("Writes man pages, one for each noun and verb, into a directory").arg(directory.help("Where to"))
}

fn man(_: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let directory = matches.get_one::<PathBuf>("directory").cloned().unwrap_or_default();
    fs::create_dir_all(&directory).map_err(|error| Failure::io(&directory, &error))?;
    let mut command = cli::command();
    command.build();
    for (name, page) in pages(command, "srptctl") {
        let path = directory.join(name);
        fs::write(&path, page).map_err(|error| Failure::io(&path, &error))?;
    }
    Ok(())
}

/// Pages of a command and all below it: file name and text.
fn pages(command: Command, name: &str) -> Vec<(String, Vec<u8>)> {
    let mut pages = Vec::new();
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages.extend(self::pages(below.clone(), &format!("{name}-{}", below.get_name())));
    }
    let mut page = Vec::new();
    let command = command.display_name(name.to_string());
    // A vector takes everything.
    let version = concat!("srptctl ", env!("CARGO_PKG_VERSION"));
    let man = clap_mangen::Man::new(command).title(name.to_uppercase()).source(version).manual("srpt");
    let _ = man.render(&mut page);
    pages.push((format!("{name}.1"), page));
    pages
}
