//! Where the log goes, and how much of it: standard error, at a level that can be changed while running.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Changes the level of a log that was started.
pub(crate) struct LogLevel {
    level: Level,
    filter: reload::Handle<LevelFilter, Registry>,
}

/// Starts logging.
pub(crate) fn start(level: Level) -> LogLevel {
    let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level));
    let colour = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour).with_target(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
    LogLevel { level, filter: handle }
}

impl LogLevel {
    /// Of a log that nobody reads.
    #[cfg(test)]
    pub(crate) fn detached() -> LogLevel {
        let (layer, filter) = reload::Layer::new(LevelFilter::INFO);
        // The level can be changed as long as the layer is there.
        std::mem::forget(layer);
        LogLevel { level: Level::INFO, filter }
    }

    /// The level now.
    pub(crate) fn get(&self) -> Level {
        self.level
    }

    /// Logs more, or less, from now on.
    pub(crate) fn set(&mut self, level: Level) {
        if self.filter.reload(LevelFilter::from_level(level)).is_ok() {
            self.level = level;
        }
    }
}
