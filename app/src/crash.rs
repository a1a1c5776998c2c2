//! What is left behind when something goes wrong that never should: the requests that were under way, and what happened before. A panic ends the process (a
//! supervisor starts it again), a reactor that stands still does not, and both leave a report in the state directory.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use serde_json::{Value, json};
use transport_srp::{FlightRecorder, UnderWay, requests_under_way};

use crate::rpc::trace::describe_event;

/// Reports that are kept. A crash in a loop must not fill the disk.
const REPORTS_MAX: usize = 10;
/// Events at the end of a report.
const EVENTS_MAX: usize = 1000;

/// Writes reports. It asks nobody who may be the one that died.
#[derive(Clone)]
pub(crate) struct Reporter {
    folder: PathBuf,
    recorder: FlightRecorder,
    reactors: Vec<String>,
}

impl Reporter {
    /// Into this folder. `reactors` are their names.
    pub(crate) fn new(folder: &Path, recorder: FlightRecorder, reactors: Vec<String>) -> Reporter {
        Reporter { folder: folder.to_owned(), recorder, reactors }
    }

    /// Writes what is under way, and why that is of interest. Where it is then.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn report(&self, cause: Value) -> io::Result<PathBuf> {
        self.make_room()?;
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let path = self.folder.join(format!(
            "crash-{:010}.{:09}-{}.json",
            unix.as_secs(),
            unix.subsec_nanos(),
            std::process::id()
        ));
        let mut text = serde_json::to_vec_pretty(&self.text(cause, unix.as_secs()))?;
        text.push(b'\n');
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(&text)?;
        file.sync_all()?;
        Ok(path)
    }

    fn text(&self, cause: Value, unix_time: u64) -> Value {
        let events = self.recorder.events();
        let requests = requests_under_way(&events);
        let newest = &events[events.len().saturating_sub(EVENTS_MAX)..];
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "unix_time": unix_time,
            "pid": std::process::id(),
            "cause": cause,
            "requests_under_way": requests.iter().map(|request| self.describe(request)).collect::<Vec<_>>(),
            "events": newest.iter().map(|event| describe_event(event, &self.reactors)).collect::<Vec<_>>(),
        })
    }

    fn describe(&self, request: &UnderWay) -> Value {
        let mut described = describe_event(&request.received, &self.reactors);
        if request.last != request.received {
            described["last"] = describe_event(&request.last, &self.reactors);
        }
        described
    }

    /// The oldest go. Their names have the time first.
    fn make_room(&self) -> io::Result<()> {
        let is_report = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("crash-") && name.ends_with(".json")
        };
        let mut reports: Vec<PathBuf> =
            fs::read_dir(&self.folder)?.flatten().map(|entry| entry.path()).filter(is_report).collect();
        reports.sort();
        let excess = (reports.len() + 1).saturating_sub(REPORTS_MAX);
        reports[..excess].iter().try_for_each(fs::remove_file)
    }
}

/// From now on a panic of any thread leaves a report, beside what is said of it anyway.
pub(crate) fn report_panics(reporter: Reporter) {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        // One of many, and none about the report itself.
        if !REPORTED.swap(true, Ordering::Relaxed) {
            // Not by the log: it may be what panicked.
            match reporter.report(cause(info)) {
                Ok(path) => eprintln!("srpt-app: what was under way is in {}", path.display()),
                Err(error) => {
                    eprintln!(
                        "srpt-app: what was under way cannot be written to {}: {error}",
                        reporter.folder.display()
                    );
                }
            }
        }
    }));
}

fn cause(info: &PanicHookInfo<'_>) -> Value {
    json!({
        "kind": "panic",
        "thread": std::thread::current().name(),
        "message": message(info),
        "location": info.location().map(ToString::to_string),
        "backtrace": std::backtrace::Backtrace::force_capture().to_string(),
    })
}

/// What `panic!` was given.
fn message<'a>(info: &'a PanicHookInfo<'_>) -> Option<&'a str> {
    let payload = info.payload();
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn reports(folder: &Path) -> Vec<PathBuf> {
        let mut found: Vec<_> =
            fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        found.sort();
        found
    }

    #[test]
    fn reports_are_readable_and_the_oldest_go() {
        let folder = tempfile::tempdir().expect("a folder");
        for second in 0..REPORTS_MAX + 3 {
            fs::write(folder.path().join(format!("crash-{second:010}-1.json")), "{}").expect("room");
        }
        fs::write(folder.path().join("unit-0000000000000001.json"), "{}").expect("room");
        let reporter = Reporter::new(folder.path(), FlightRecorder::default(), vec!["reactor_0".into()]);
        let path = reporter.report(json!({"kind": "stall"})).expect("room");
        let text: Value = serde_json::from_slice(&fs::read(&path).expect("a report")).expect("JSON");
        assert_eq!((&text["cause"]["kind"], &text["requests_under_way"]), (&json!("stall"), &json!([])));
        let left = reports(folder.path());
        assert_eq!(left.len(), REPORTS_MAX + 1, "{left:?}");
        assert!(left[0].ends_with(format!("crash-{:010}-1.json", 4)), "the oldest went: {left:?}");
        assert!(left[REPORTS_MAX].ends_with("unit-0000000000000001.json"), "what is no report stays: {left:?}");
    }

    /// It runs itself again as the process that panics.
    #[test]
    fn a_panic_leaves_a_report() {
        const FOLDER: &str = "SRPT_TEST_CRASH";
        if let Some(folder) = std::env::var_os(FOLDER) {
            report_panics(Reporter::new(Path::new(&folder), FlightRecorder::default(), Vec::new()));
            let thread = std::thread::Builder::new().name("reactor_7".into()).spawn(|| panic!("a bug of ours"));
            thread.expect("a thread").join().expect_err("it panics");
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let test = std::env::current_exe().expect("this test");
        let output = Command::new(test)
            .args(["--exact", "crash::tests::a_panic_leaves_a_report", "--nocapture"])
            .env(FOLDER, folder.path())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let [path] = &reports(folder.path())[..] else { panic!("no report: {said}") };
        assert!(said.contains(&format!("what was under way is in {}", path.display())), "{said}");
        let text: Value = serde_json::from_slice(&fs::read(path).expect("a report")).expect("JSON");
        let cause = &text["cause"];
        assert_eq!((&cause["thread"], &cause["message"]), (&json!("reactor_7"), &json!("a bug of ours")));
        assert!(cause["location"].as_str().is_some_and(|location| location.contains("crash.rs:")), "{cause}");
    }
}
