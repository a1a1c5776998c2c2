//! The `-c` file while the target runs: SIGHUP brings about what it says, `--auto-save` has it say what there is.
//!
//! Both read and write on a thread of their own. SIGHUP goes before what was not saved yet: the file is what its editor wants.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use reactor::Instant;

use super::entry::{self, Entry};
use super::file::{self, FileThread};
use super::save::save_text;
use super::transaction::{self, Failure, Transaction};
use crate::appliance::Appliance;

/// Changes that come one after the other are saved together: when there was none for so long,
const QUIET: Duration = Duration::from_millis(300);

/// or so long after the first of them.
const DELAY_MAX: Duration = Duration::from_secs(2);

/// A file that could not be written is tried again after so long.
const RETRY: Duration = Duration::from_secs(30);

/// The end of the process waits so long for the last write.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// The file, and what is under way with it.
pub(crate) struct ConfigFile {
    path: Option<PathBuf>,
    versions: u32,
    /// Set by SIGHUP.
    reload: Arc<AtomicBool>,
    reading: Option<mpsc::Receiver<anyhow::Result<Vec<Entry>>>>,
    auto_save: Option<AutoSave>,
    thread: FileThread,
}

/// What is not in the file yet.
#[derive(Default)]
struct AutoSave {
    /// What the file says, in our words.
    saved: String,
    changed: Option<Changed>,
    writing: Option<(String, mpsc::Receiver<io::Result<()>>)>,
    /// When to try again.
    retry: Option<Instant>,
    /// The last write failed, which the log says.
    failing: bool,
    /// Since when the process is ending.
    ending: Option<Instant>,
}

/// When something may have changed.
#[derive(Clone, Copy)]
struct Changed {
    first: Instant,
    last: Instant,
}

impl ConfigFile {
    /// Of the command line's options; `reload` is set by SIGHUP.
    pub(crate) fn new(path: Option<PathBuf>, versions: u32, auto_save: bool, reload: Arc<AtomicBool>) -> ConfigFile {
        let auto_save = auto_save.then(AutoSave::default);
        ConfigFile { path, versions, reload, reading: None, auto_save, thread: FileThread::default() }
    }

    /// Whether SIGHUP came and the file is still to be read.
    pub(crate) fn is_reloading(&self) -> bool {
        self.reading.is_some() || self.reload.load(Ordering::Relaxed)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Writes a configuration there, or elsewhere, on another thread; `done` is called there.
    pub(crate) fn write(
        &mut self,
        path: PathBuf,
        text: String,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) -> io::Result<()> {
        let versions = self.versions;
        self.thread.run(move || done(file::write(&path, &text, versions)))
    }

    /// What there is now is what the file says.
    pub(crate) fn is_saved(&mut self, text: String) {
        if let Some(auto_save) = &mut self.auto_save {
            auto_save.saved = text;
            (auto_save.changed, auto_save.retry) = (None, None);
        }
    }

    /// A request may have changed something.
    pub(crate) fn changed(&mut self, now: Instant) {
        if let Some(auto_save) = &mut self.auto_save {
            let first = auto_save.changed.map_or(now, |changed| changed.first);
            auto_save.changed = Some(Changed { first, last: now });
        }
    }
}

/// Does what there is to do. Never waits.
pub(crate) fn poll(appliance: &mut Appliance) {
    if appliance.config_file.reload.swap(false, Ordering::Relaxed) {
        start_reading(&mut appliance.config_file);
    }
    if !appliance.is_changing() && !appliance.is_settling() {
        finish_reading(appliance);
    }
    finish_writing(&mut appliance.config_file, appliance.now);
    save_when_due(appliance);
}

fn start_reading(config_file: &mut ConfigFile) {
    let Some(path) = config_file.path.clone() else {
        return tracing::warn!("SIGHUP: there is no file to read again: name one with -c");
    };
    let (sender, reading) = mpsc::channel();
    let read = move || {
        // Nobody listens when the target ends.
        let _ = sender.send(entry::read_again(&path));
    };
    match config_file.thread.run(read) {
        Ok(()) => config_file.reading = Some(reading),
        Err(error) => tracing::error!(%error, "SIGHUP: the file cannot be read; what runs stays as it is"),
    }
}

fn finish_reading(appliance: &mut Appliance) {
    let Some(reading) = appliance.config_file.reading.take() else { return };
    match reading.try_recv() {
        Ok(Ok(entries)) => reload(appliance, entries),
        Ok(Err(error)) => tracing::error!("SIGHUP: {error:#}; what runs stays as it is"),
        Err(mpsc::TryRecvError::Empty) => appliance.config_file.reading = Some(reading),
        Err(mpsc::TryRecvError::Disconnected) => tracing::error!("SIGHUP: the file was not read"),
    }
}

fn reload(appliance: &mut Appliance, entries: Vec<Entry>) {
    let path = appliance.config_file.path().map(|path| path.display().to_string()).unwrap_or_default();
    let difference = match transaction::difference(appliance, entries) {
        Ok(difference) => difference,
        Err(failure) => return tracing::error!("SIGHUP: {path}: {failure}; what runs stays as it is"),
    };
    let requests = difference.steps.len();
    Transaction::apply(appliance, difference, move |appliance, outcome: Result<(), Failure>| match outcome {
        Ok(()) => {
            tracing::info!(requests, "SIGHUP: what runs is what {path} says");
            appliance.config_file.is_saved(save_text(appliance));
        }
        Err(failure) => tracing::error!("SIGHUP: {path}: {failure}; what runs stays as it was"),
    });
}

fn finish_writing(config_file: &mut ConfigFile, now: Instant) {
    let Some(auto_save) = &mut config_file.auto_save else { return };
    let Some((text, writing)) = auto_save.writing.take() else { return };
    let outcome = match writing.try_recv() {
        Ok(outcome) => outcome,
        Err(mpsc::TryRecvError::Empty) => {
            auto_save.writing = Some((text, writing));
            return;
        }
        Err(mpsc::TryRecvError::Disconnected) => Err(io::Error::other("it was not written")),
    };
    let path = config_file.path.as_deref().unwrap_or(Path::new("")).display();
    match outcome {
        Ok(()) => {
            if auto_save.failing {
                tracing::info!(%path, "the configuration is saved again");
            }
            (auto_save.saved, auto_save.failing) = (text, false);
        }
        Err(error) => {
            if !auto_save.failing {
                tracing::warn!(%path, %error, "the configuration cannot be saved, so what was changed would not survive a restart: make the file and its folder writable");
            }
            (auto_save.failing, auto_save.retry) = (true, Some(now.plus(RETRY)));
        }
    }
}

fn save_when_due(appliance: &mut Appliance) {
    let (now, is_busy) = (appliance.now, appliance.is_changing() || appliance.is_settling());
    let Some(auto_save) = &mut appliance.config_file.auto_save else { return };
    if is_busy && let Some(changed) = &mut auto_save.changed {
        // It is only half way.
        *changed = Changed { first: now, last: now };
    }
    if auto_save.is_due(now) && auto_save.writing.is_none() && auto_save.ending.is_none() {
        save_changes(appliance);
    }
}

/// Writes what there is now, if the file does not say so already.
fn save_changes(appliance: &mut Appliance) {
    let text = save_text(appliance);
    let config_file = &mut appliance.config_file;
    let (Some(path), Some(auto_save)) = (config_file.path.clone(), &mut config_file.auto_save) else { return };
    (auto_save.changed, auto_save.retry) = (None, None);
    if text == auto_save.saved {
        return;
    }
    let (sender, writing) = mpsc::channel();
    auto_save.writing = Some((text.clone(), writing));
    let done = move |outcome| {
        // Nobody listens when the target ends.
        let _ = sender.send(outcome);
    };
    if let Err(error) = config_file.write(path, text, done) {
        // The sender went with it, which is told as a failure.
        tracing::warn!(%error, "no thread for files");
    }
}

/// The process is about to end, and everything is still there: the last words of `--auto-save`.
pub(crate) fn start_end(appliance: &mut Appliance) {
    let now = appliance.now;
    let Some(auto_save) = &mut appliance.config_file.auto_save else { return };
    if auto_save.ending.replace(now).is_none() && (auto_save.changed.is_some() || auto_save.retry.is_some()) {
        save_changes(appliance);
    }
}

impl ConfigFile {
    /// Whether nothing is left to be written, or it takes too long.
    pub(crate) fn has_ended(&self, now: Instant) -> bool {
        let waits = |auto_save: &AutoSave| {
            let since = auto_save.ending.unwrap_or(now);
            auto_save.writing.is_some() && now.since(since) < END_PATIENCE
        };
        !self.auto_save.as_ref().is_some_and(waits)
    }
}

impl AutoSave {
    fn is_due(&self, now: Instant) -> bool {
        let quiet = |changed: Changed| now.since(changed.last) >= QUIET || now.since(changed.first) >= DELAY_MAX;
        self.changed.is_some_and(quiet) || self.retry.is_some_and(|retry| retry <= now)
    }
}
