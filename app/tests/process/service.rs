//! The binary as a service: what it tells the service manager, who may use its socket, how it logs.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::roce::wait_until;
use super::{Target, command, failure, folder, write_config};

fn signal(target: &Target, signal: Signal) {
    kill_process(Pid::from_child(&target.child), signal).expect("a signal");
}

#[test]
fn a_service_manager_is_told_of_start_life_reload_and_end() {
    let folder = folder();
    let manager = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
    manager.set_read_timeout(Some(super::PATIENCE)).expect("a socket");
    let config = write_config(folder.path(), "{\"subsystems\": []}");
    let mut started = command(folder.path(), &["-c", &config]);
    started.env("NOTIFY_SOCKET", folder.path().join("notify")).env("WATCHDOG_USEC", "300000");
    let child = started.stderr(Stdio::null()).spawn().expect("the binary starts");
    let mut target = Target { child, folder: folder.path().into() };
    let mut told: Vec<String> = Vec::new();
    let mut wait_for = |line: &str| loop {
        let mut buf = [0; 512];
        let len = manager.recv(&mut buf).unwrap_or_else(|error| panic!("{line}: {error}: {told:?}"));
        let text = String::from_utf8(buf[..len].to_vec()).expect("text");
        told.push(text.clone());
        if text.lines().any(|said| said.starts_with(line)) {
            return text;
        }
    };
    assert_eq!(wait_for(""), "READY=1", "nothing before it serves");
    rpc::Client::connect(&target.socket()).expect("it listens");
    wait_for("STATUS=0 targets, 0 sessions, 0 channels");
    (0..3).for_each(|_| drop(wait_for("WATCHDOG=1")));
    target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "1", "ioc_guid": "2"}));
    wait_for("STATUS=1 targets");
    signal(&target, Signal::HUP);
    assert!(wait_for("RELOADING=1").contains("\nMONOTONIC_USEC="));
    wait_for("READY=1");
    assert_eq!(target.call("srp_get_targets", json!({})), json!([]), "as the file says");
    signal(&target, Signal::TERM);
    wait_for("STOPPING=1");
    assert!(target.wait().success());
}

#[test]
fn the_socket_is_its_owners_unless_a_group_is_named() {
    let folder = folder();
    let mode = |target: &Target| {
        let socket = std::fs::metadata(target.socket()).expect("a socket");
        (socket.permissions().mode() & 0o777, socket.gid())
    };
    let own = rustix::process::getegid().as_raw();
    let target = Target::start(folder.path(), &[]);
    assert_eq!(mode(&target), (0o600, own));
    drop(target);
    let target = Target::start(folder.path(), &["--rpc-group", &own.to_string()]);
    assert_eq!(mode(&target), (0o660, own));
    drop(target);
    let said = failure(folder.path(), &["--rpc-group", "no-such-group"]);
    assert!(said.contains("--rpc-group") && said.contains("no such group"), "{said}");
}

/// What it writes to standard error from start to end.
fn log(arguments: &[&str]) -> String {
    let folder = folder();
    let mut child = command(folder.path(), arguments).spawn().expect("the binary starts");
    let mut stderr = child.stderr.take().expect("piped");
    let mut target = Target { child, folder: folder.path().into() };
    wait_until("it listens", || rpc::Client::connect(&target.socket()).is_ok());
    signal(&target, Signal::TERM);
    assert!(target.wait().success());
    let mut said = String::new();
    stderr.read_to_string(&mut said).expect("text");
    said
}

#[test]
fn the_log_has_the_form_that_is_asked_for() {
    let said = log(&["--log-format", "json"]);
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    let up = lines.iter().find(|line| line["message"].as_str().is_some_and(|text| text.ends_with("is up")));
    let up = up.unwrap_or_else(|| panic!("{said}"));
    assert_eq!((&up["level"], &up["reactors"]), (&json!("INFO"), &json!("[0]")));
    assert!(up["timestamp"].is_string());

    let said = log(&["--log-format", "journal"]);
    let levels: BTreeSet<&str> = said.lines().map(|line| line.get(..3).unwrap_or_default()).collect();
    assert!(levels.is_subset(&BTreeSet::from(["<3>", "<4>", "<6>"])), "{said}");
    assert!(said.lines().any(|line| line.starts_with("<6>srpt-app ") && line.contains("reactors=[0]")), "{said}");

    let said = log(&[]);
    assert!(said.lines().all(|line| line.starts_with("20")), "each with its time: {said}");
}
