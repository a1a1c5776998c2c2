//! Where the log goes, how it looks, and how much of it: standard error, at a level that can be changed while running.

use std::fmt;
use std::io::IsTerminal;
use std::os::linux::fs::MetadataExt;

use clap::ValueEnum;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// How a line of the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people: time, level, text, fields
    Text,
    /// An object a line, with the fields beside message, level and timestamp
    Json,
    /// For systemd's journal, which knows the time itself: the level as a prefix such as <6>, text, fields
    Journal,
}

/// Changes the level of a log that was started.
pub(crate) struct LogLevel {
    level: Level,
    filter: reload::Handle<LevelFilter, Registry>,
}

/// Starts logging. Without a format, it is that of the journal if that is where standard error leads, else text.
pub(crate) fn start(level: Level, format: Option<LogFormat>) -> LogLevel {
    let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level));
    let is_journal = || leads_to_journal(std::env::var("JOURNAL_STREAM").ok().as_deref());
    let format = format.unwrap_or_else(|| if is_journal() { LogFormat::Journal } else { LogFormat::Text });
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        LogFormat::Journal => {
            let format = Format::default().without_time().with_level(false).with_target(false).with_ansi(false);
            lines.with_ansi(false).event_format(WithPriority(format)).boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    LogLevel { level, filter: handle }
}

/// Whether standard error is what `JOURNAL_STREAM` says (systemd.exec(5)): device and inode.
fn leads_to_journal(variable: Option<&str>) -> bool {
    let numbers = variable.and_then(|text| text.split_once(':'));
    let Some((Ok(device), Ok(inode))) = numbers.map(|(device, inode)| (device.parse::<u64>(), inode.parse::<u64>()))
    else {
        return false;
    };
    // A name for it that needs no descriptor of our own.
    let stderr = std::fs::metadata("/proc/self/fd/2");
    stderr.is_ok_and(|stderr| (stderr.st_dev(), stderr.st_ino()) == (device, inode))
}

/// Lines with the level in front as the journal reads it (sd-daemon(3)).
struct WithPriority(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for WithPriority
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// syslog(3)'s number of a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_error_is_compared_with_what_the_journal_says() {
        let stderr = std::fs::metadata("/proc/self/fd/2").expect("standard error");
        let (device, inode) = (stderr.st_dev(), stderr.st_ino());
        assert!(leads_to_journal(Some(&format!("{device}:{inode}"))));
        for other in [format!("{device}:{}", inode + 1), format!("{}:{inode}", device + 1), "x".into(), String::new()] {
            assert!(!leads_to_journal(Some(&other)), "{other}");
        }
        assert!(!leads_to_journal(None));
    }
}
