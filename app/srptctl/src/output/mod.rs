//! What srptctl prints: answers as tables or text for people, or as JSON for scripts; failures on standard error.

pub(crate) mod table;
mod tree;
pub(crate) mod units;
pub(crate) mod views;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::Value;

use crate::failure::Failure;
use views::View;

/// Whether to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether to use them where `terminal` says what is written to.
    fn wanted(self, terminal: bool) -> bool {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !refused,
        }
    }
}

/// Columns of the terminal that standard output is, if it is one that knows.
fn terminal_width() -> Option<u16> {
    let size = io::stdout().is_terminal().then(crossterm::terminal::size)?;
    size.ok().map(|(columns, _)| columns).filter(|columns| *columns >= 20)
}

/// A text without what a terminal would take for orders: names come from devices, files and other people.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Where answers go, and how.
pub(crate) struct Output {
    json: bool,
    color: Color,
}

impl Output {
    pub(crate) fn new(json: bool, color: Color) -> Output {
        Output { json, color }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether what is drawn on standard output has colours.
    pub(crate) fn is_colored(&self) -> bool {
        self.color.wanted(io::stdout().is_terminal())
    }

    /// Prints what the target answered.
    pub(crate) fn answer(&self, view: &View, answer: &Value) -> Result<(), Failure> {
        let text = match view {
            _ if self.json => return self.json(answer),
            View::Json => return self.json(answer),
            View::Plain => tree::render(answer),
            View::Text(render) => render(answer),
            View::Table(tabulate) => tabulate(answer).render(self.is_colored(), terminal_width()),
        };
        self.line(&text)
    }

    pub(crate) fn json(&self, value: &Value) -> Result<(), Failure> {
        Ok(writeln!(io::stdout(), "{value:#}")?)
    }

    /// Prints a text, if there is any.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        match text.trim_end_matches('\n') {
            "" => Ok(()),
            text => Ok(writeln!(io::stdout(), "{text}")?),
        }
    }

    /// Prints a failure to standard error.
    pub(crate) fn report(&self, failure: &Failure) -> ExitCode {
        if !matches!(failure, Failure::Closed | Failure::Differs) {
            let (red, plain) = match self.color.wanted(io::stderr().is_terminal()) {
                true => ("\x1b[1;31m", "\x1b[0m"),
                false => ("", ""),
            };
            let lines: Vec<String> = failure.to_string().lines().map(harmless).collect();
            let mut text = format!("{red}error:{plain} {}\n", lines.join("\n"));
            if let Failure::Refused(refusal) = failure {
                text.extend(refusal.arguments.iter().map(|line| format!("  {line}\n")));
            }
            // If standard error is closed, there is nobody to tell.
            let _ = io::stderr().write_all(text.as_bytes());
        }
        ExitCode::from(failure.exit_code())
    }
}
