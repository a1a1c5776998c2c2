//! Verbs with code of their own.

pub(crate) mod call;
pub(crate) mod config;
pub(crate) mod config_file;
pub(crate) mod discover;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod login_info;
pub(crate) mod top;

use clap::{ArgMatches, Command};

use crate::cli::Session;
use crate::failure::Failure;

/// Such a verb.
pub(crate) struct Own {
    /// Gives the command its description and arguments.
    pub(crate) build: fn(Command) -> Command,
    pub(crate) run: fn(&Session, &ArgMatches) -> Result<(), Failure>,
    /// All methods that it may call.
    pub(crate) methods: &'static [&'static str],
}
