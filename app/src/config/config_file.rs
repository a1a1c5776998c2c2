//! The `-c` file while the target runs: SIGHUP brings about what it says, `--auto-save` has it say what there is.
//!
//! Both read and write on a thread of their own. SIGHUP goes before what was not saved yet: the file is what its editor wants.
//!
//! What is only half a configuration is never saved over a good one: a transaction that is under way, one that failed and could not be taken
//! back, a target that has begun to end.

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

/// The end of the process waits so long for what is half way, and again for the last write.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// The file, and what is under way with it.
pub(crate) struct ConfigFile {
    path: Option<PathBuf>,
    versions: u32,
    /// Set by SIGHUP.
    reload: Arc<AtomicBool>,
    reading: Option<mpsc::Receiver<anyhow::Result<Vec<Entry>>>>,
    auto_save: Option<AutoSave>,
    /// Since when the process is ending.
    ending: Option<Instant>,
    /// Since when nothing is saved any more.
    ended: Option<Instant>,
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
    /// What runs is what nobody wanted.
    suspended: bool,
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
        let thread = FileThread::default();
        ConfigFile { path, versions, reload, reading: None, auto_save, ending: None, ended: None, thread }
    }

    /// Whether SIGHUP came and the file is still to be read.
    pub(crate) fn is_reloading(&self) -> bool {
        self.reading.is_some() || self.reload.load(Ordering::Relaxed)
    }

    /// As the signal does.
    #[cfg(test)]
    pub(super) fn sighup(&self) {
        self.reload.store(true, Ordering::Relaxed);
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

    /// A transaction failed, and what it had done could not be taken back: until somebody says what is wanted, the file stays as it is.
    pub(crate) fn suspend(&mut self) {
        if let Some(auto_save) = &mut self.auto_save {
            auto_save.suspended = true;
            tracing::error!(
                "what runs is neither what was nor what was wanted, so it is not saved: bring about a configuration \
                 (srpt_config_apply, SIGHUP), or write this one (srpt_config_write)"
            );
        }
    }

    /// What runs is what somebody wants.
    pub(crate) fn resume(&mut self) {
        if let Some(auto_save) = &mut self.auto_save {
            auto_save.suspended = false;
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
    let is_ending = appliance.config_file.ending.is_some();
    if appliance.config_file.reload.swap(false, Ordering::Relaxed) && !is_ending {
        start_reading(&mut appliance.config_file);
    }
    if is_ending {
        // What is on its way out is not to be made again.
        appliance.config_file.reading = None;
    } else if !appliance.is_changing() && !appliance.is_settling() {
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
    let is_ending = appliance.config_file.ending.is_some();
    let Some(auto_save) = &mut appliance.config_file.auto_save else { return };
    if is_busy && let Some(changed) = &mut auto_save.changed {
        // It is only half way.
        *changed = Changed { first: now, last: now };
    }
    if auto_save.is_due(now) && auto_save.writing.is_none() && !is_ending {
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

/// The process is about to end, and everything is still there: the last words of `--auto-save`. Says whether all may go now; what is half
/// way is waited for.
pub(crate) fn end(appliance: &mut Appliance) -> bool {
    let now = appliance.now;
    let since = *appliance.config_file.ending.get_or_insert(now);
    if appliance.config_file.ended.is_some() {
        return true;
    }
    let has_auto_save = appliance.config_file.auto_save.is_some();
    let is_half_way = appliance.is_changing() || has_auto_save && appliance.is_settling();
    if is_half_way && now.since(since) < END_PATIENCE {
        return false;
    }
    appliance.config_file.ended = Some(now);
    if is_half_way {
        tracing::warn!("the configuration is being changed, which takes too long: what is there of it is not saved");
    } else if appliance.config_file.auto_save.as_ref().is_some_and(AutoSave::has_something_to_save) {
        save_changes(appliance);
    }
    true
}

impl ConfigFile {
    /// Whether nothing is left to be written, or it takes too long.
    pub(crate) fn has_ended(&self, now: Instant) -> bool {
        let is_writing = self.auto_save.as_ref().is_some_and(|auto_save| auto_save.writing.is_some());
        self.ended.is_some_and(|since| !is_writing || now.since(since) >= END_PATIENCE)
    }
}

impl AutoSave {
    fn is_due(&self, now: Instant) -> bool {
        let quiet = |changed: Changed| now.since(changed.last) >= QUIET || now.since(changed.first) >= DELAY_MAX;
        let is_due = self.changed.is_some_and(quiet) || self.retry.is_some_and(|retry| retry <= now);
        is_due && self.has_something_to_save()
    }

    fn has_something_to_save(&self) -> bool {
        !self.suspended && (self.changed.is_some() || self.retry.is_some())
    }
}
