//! srptctl as a process, against the real target as another. Needs no RDMA device.
//!
//! Cargo tells a package's tests of that package's binaries only, so the target is looked for beside srptctl, where a build of the workspace puts it, or
//! where `SRPT_APP` says. If it is in neither place, it is built; if it is there, it is taken as it is.

mod generated;
mod import;
mod terminal;
mod verbs;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a process may take for what it does at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The target's binary.
fn srpt_app() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        if let Some(named) = std::env::var_os("SRPT_APP") {
            return named.into();
        }
        let beside = Path::new(env!("CARGO_BIN_EXE_srptctl")).with_file_name("srpt-app");
        if !beside.exists() {
            eprintln!("{} is not there: building it", beside.display());
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "-p", "srpt-app", "--bin", "srpt-app"]);
            if !cfg!(debug_assertions) {
                cargo.arg("--release");
            }
            let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo");
            assert!(
                status.success() && beside.exists(),
                "{} cannot be built; SRPT_APP names another",
                beside.display()
            );
        }
        beside
    })
}

/// A target in a folder of its own, killed when the test ends.
struct Target {
    child: Child,
    folder: tempfile::TempDir,
}

/// What srptctl said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Target {
    fn start() -> Target {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(srpt_app());
        command.arg("-r").arg(folder.path().join("srpt.sock")).arg("--state-dir").arg(folder.path().join("state"));
        command.args(["--adaptive", "--channels", "2"]).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the target starts");
        let target = Target { child, folder };
        let end = Instant::now() + PATIENCE;
        while target.say("wait").code != Some(0) {
            assert!(Instant::now() < end, "the target does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        target
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("srpt.sock")
    }

    /// A path of a file in the target's folder.
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs srptctl with words between blanks.
    fn say(&self, line: &str) -> Said {
        let words: Vec<&str> = line.split_whitespace().collect();
        srptctl(Some(&self.socket()), &words)
    }

    /// What it prints; it must succeed.
    fn tell(&self, line: &str) -> String {
        let said = self.say(line);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "srptctl {line}: {said:?}");
        said.out
    }

    fn json(&self, line: &str) -> Value {
        let text = self.tell(&format!("--json {line}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("srptctl --json {line}: {error}: {text}"))
    }

    /// The configuration as it is.
    fn configuration(&self) -> Value {
        self.json("config show")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs srptctl to its end.
fn srptctl(socket: Option<&Path>, words: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_srptctl"));
    command.env_remove("SRPT_SOCKET").env_remove("NO_COLOR").stdin(Stdio::null()).args(words);
    if let Some(socket) = socket {
        command.env("SRPT_SOCKET", socket);
    }
    let output = command.output().expect("srptctl starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Whether a program is here; if not, the test that needs it says that it skips.
fn is_here(program: &str, argument: &str) -> bool {
    let found = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        eprintln!("skipped: {program} is not here");
    }
    found
}

fn write(path: &str, text: &str) {
    std::fs::write(path, text).expect("a file");
}
