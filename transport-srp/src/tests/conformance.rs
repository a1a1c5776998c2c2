//! libiscsi's conformance suite (`iscsi-test-cu`, Debian: libiscsi-bin) against the whole target, through a front that speaks
//! iSCSI. Where the program is not, the test says that it skips. What is expected of which test stands in `scripts/lab/conformance.txt`,
//! which the lab's scenario `conformance` reads, too: it runs the suite on the kernel initiator's sg nodes, and so without the tests that
//! are for iSCSI only (two initiators, resets).
//!
//! `ISCSI_TESTS=Read10 cargo test -p transport-srp conformance -- --nocapture` runs the tests whose names contain that, and shows
//! all that the suite prints of those that fail.

mod iscsi;

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::*;
use iscsi::Front;

/// Units as `conformance.txt` names them, by LUN.
const UNITS: [&str; 6] = ["plain", "physical", "removable", "readonly", "large", "file"];

/// How long a test may take until it counts as hanging; most take some milliseconds.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
    Hanging,
}

#[test]
fn libiscsi_s_conformance_suite() {
    let Ok(list) = Command::new("iscsi-test-cu").arg("--list").output() else {
        eprintln!("skipped: iscsi-test-cu is not here (Debian's package libiscsi-bin)");
        return;
    };
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let only = std::env::var("ISCSI_TESTS").unwrap_or_default();
    let expected = Expected::read();
    let folder = tempfile::tempdir().expect("a folder");
    let mut rig = rig(folder.path());
    let mut front = Front::listen();
    let (mut passed, mut wrong) = (0, Vec::new());
    for name in list.lines().filter(|name| is_test(name) && name.contains(&only) && !expected.is_left_out(name)) {
        let (verdict, text) = run(name, expected.unit(name), &mut rig, &mut front);
        println!("{verdict:?}: {name}");
        if verdict == Verdict::Failed {
            println!("{text}");
        }
        passed += usize::from(verdict == Verdict::Passed);
        if !expected.allows(name, verdict, &text) {
            wrong.push((name.to_owned(), verdict, text));
        }
    }
    let names: Vec<_> = wrong.iter().map(|(name, verdict, _)| (name, verdict)).collect();
    assert!(wrong.is_empty(), "other than expected: {names:#?}\n{}", wrong[0].2);
    assert!(passed >= 100 || !only.is_empty(), "only {passed} tests passed");
    assert_eq!(rig.network.violations(), vec![]);
    rig.check_nothing_leaked();
}

fn rig(folder: &std::path::Path) -> Rig {
    let mut rig = Rig::new(1, 1, SimOptions::default(), 32);
    let physical = bdev::malloc::MallocOptions {
        name: "physical".into(),
        num_blocks: 61_440,
        block_size: BLOCK,
        physical_block_size: Some(4096),
        ..Default::default()
    };
    let file = |name: &str| bdev::uring::UringOptions {
        name: name.into(),
        filename: folder.join(name),
        size: Some(30 << 20),
        block_size: Some(BLOCK),
        removable: name == "removable",
        ..Default::default()
    };
    rig.export(&malloc("plain", 61_440));
    rig.export(&bdev::malloc::create(physical).expect("a RAM disk"));
    rig.export(&bdev::uring::create(file("removable")).expect("a file"));
    let read_only = LunOptions { read_only: true, ..LunOptions::default() };
    rig.controller.add_lun("tgt0", &malloc("readonly", 4096), &read_only).expect("a LUN");
    rig.export(&malloc("large", 163_840));
    rig.export(&bdev::uring::create(file("file")).expect("a file"));
    rig
}

/// ALL has every test once; the other families repeat them.
fn is_test(name: &str) -> bool {
    name.starts_with("ALL.") && name.matches('.').count() == 2
}

/// Runs one test in a process of its own.
fn run(name: &str, unit: u16, rig: &mut Rig, front: &mut Front) -> (Verdict, String) {
    let paths = if name.starts_with("ALL.MultipathIO") { 2 } else { 1 };
    let mut child = Command::new("iscsi-test-cu")
        .args(["--dataloss", "--allow-sanitize", "--fail", "--Verbose-scsi", "--test", name])
        .args(vec![front.url(unit); paths])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the suite starts");
    let mut out = child.stdout.take().expect("it is piped");
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        out.read_to_end(&mut text).map(|_| text)
    });
    let status = serve(&mut child, rig, front);
    front.close(rig);
    let text = String::from_utf8_lossy(&reader.join().expect("no panic").expect("readable")).into_owned();
    (verdict(status, &text), text)
}

/// Until it ends; `None` if it has to be ended.
fn serve(child: &mut Child, rig: &mut Rig, front: &mut Front) -> Option<ExitStatus> {
    let started = std::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status);
        }
        if started.elapsed() > PATIENCE {
            child.kill().expect("a child");
            child.wait().expect("a child");
            return None;
        }
        if !front.poll(rig) {
            rig.run(1);
        }
    }
}

/// The suite's exit status tells of failures only.
fn verdict(status: Option<ExitStatus>, text: &str) -> Verdict {
    match status {
        None => Verdict::Hanging,
        Some(status) if !status.success() => Verdict::Failed,
        Some(_) if own(text).is_none_or(|own| own.contains("[SKIPPED]")) => Verdict::Skipped,
        Some(_) => Verdict::Passed,
    }
}

/// What a test that has not failed says itself: between its name and its result. Before and after stands that keys cannot be cleared without
/// reservations.
fn own(text: &str) -> Option<&str> {
    let (tests, _) = text.split_once("Run Summary:")?;
    let (own, _) = tests.rsplit_once("passed")?;
    own.split_once(" ...").map(|(_, own)| own)
}

/// What `conformance.txt` says.
struct Expected {
    rows: Vec<Vec<&'static str>>,
}

impl Expected {
    fn read() -> Expected {
        let text = include_str!("../../../scripts/lab/conformance.txt");
        let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Expected { rows: rows.map(|line| line.split(' ').collect()).collect() }
    }

    /// Rows of a kind whose word at this place is the beginning of a test's name.
    fn about<'a>(&'a self, kind: &'a str, at: usize, test: &'a str) -> impl Iterator<Item = &'a Vec<&'static str>> {
        self.rows.iter().filter(move |row| row[0] == kind && test.starts_with(row[at]))
    }

    fn is(&self, outcome: &str, test: &str) -> bool {
        self.about(outcome, 2, test).any(|row| row[1] != "sg")
    }

    fn is_left_out(&self, test: &str) -> bool {
        self.is("never", test) || self.about("needs", 2, test).any(|row| !is_there(row[1]))
    }

    fn unit(&self, test: &str) -> u16 {
        let name = self.about("on", 2, test).next().map_or(UNITS[0], |row| row[1]);
        UNITS.iter().position(|unit| *unit == name).expect("a unit of that name") as u16
    }

    fn allows(&self, test: &str, verdict: Verdict, text: &str) -> bool {
        let is = |kind| self.is(kind, test);
        match verdict {
            Verdict::Hanging => false,
            Verdict::Failed => is("failed"),
            Verdict::Passed => !is("failed") && !is("skipped"),
            Verdict::Skipped => is("skipped") || self.skips_what_is_not_there(own(text).unwrap_or_default()),
        }
    }

    /// Every reason to skip is a command that is not implemented, and that is true.
    fn skips_what_is_not_there(&self, text: &str) -> bool {
        let mut skipped = text.lines().filter_map(|line| line.split_once("[SKIPPED] ")).map(|(_, why)| why);
        skipped.all(|why| {
            let name = |phrase| why.split_once(phrase).map(|(name, _)| name);
            let command = name(" is not implemented").or_else(|| name(" Not Supported")).unwrap_or_default();
            let mut rows = self.rows.iter().filter(|row| row[0] == "command");
            let row = rows.find(|row| row[1..row.len() - 1].join(" ") == command);
            row.is_some_and(|row| !is_there(row[row.len() - 1]))
        })
    }
}

/// Whether there is a command with this operation code and, behind a comma, service action.
fn is_there(command: &str) -> bool {
    let mut codes = command.split(',').map(|code| u16::from_str_radix(code, 16).expect("a code in hexadecimal"));
    let (opcode, action) = (codes.next(), codes.next());
    scsi::COMMANDS.iter().any(|info| Some(u16::from(info.opcode)) == opcode && info.service_action == action)
}
