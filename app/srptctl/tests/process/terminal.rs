//! What is different on a terminal, which script(1) (of Debian's bsdutils) makes.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{Target, is_here};

/// Runs srptctl on a terminal of its own, with keys that are typed there; returns whether it succeeded, and all that it wrote.
fn on_terminal(target: &Target, line: &str, keys: &str, environment: &[(&str, &str)]) -> (bool, String) {
    let program = format!("stty rows 40 cols 160; exec {} {line}", env!("CARGO_BIN_EXE_srptctl"));
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &program, "/dev/null"])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm");
    command.env("SRPT_SOCKET", target.socket()).envs(environment.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(keys.as_bytes()).expect("keys");
    let output = child.wait_with_output().expect("an end");
    drop(stdin);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn colours_are_for_terminals_whose_user_wants_them() {
    if !is_here("script", "--version") {
        return;
    }
    let target = Target::start();
    target.tell("bdev create null n0 --size 1M");
    let (good, text) = on_terminal(&target, "bdev list", "", &[]);
    assert!(good && text.contains('\u{1b}') && text.contains("n0"), "{text:?}");
    for (line, environment) in [("bdev list", &[("NO_COLOR", "1")][..]), ("--color never bdev list", &[])] {
        let (good, text) = on_terminal(&target, line, "", environment);
        assert!(good && !text.contains('\u{1b}') && text.contains("n0"), "{text:?}");
    }
}

#[test]
fn top_shows_itself_until_q_and_gives_the_terminal_back() {
    if !is_here("script", "--version") {
        return;
    }
    let target = Target::start();
    target.tell("bdev create null n0 --size 1M");
    let (good, text) = on_terminal(&target, "top", "3q", &[]);
    let (alternate, back) = ("\u{1b}[?1049h", "\u{1b}[?1049l");
    assert!(good && text.contains(alternate) && text.contains(back), "{text:?}");
    assert!(text.contains("LUNs and bdevs") && text.contains("n0"), "{text:?}");
}
