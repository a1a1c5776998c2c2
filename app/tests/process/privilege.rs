//! What the process may do, what it leaves for others to read, and what it says of targets that let everybody in.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use super::roce::wait_until;
use super::{Target, folder};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn no_thread_can_gain_privileges_and_nobody_else_reads_what_it_keeps() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", target.child.id())).expect("a process");
    for task in tasks {
        let status = std::fs::read_to_string(task.expect("a thread").path().join("status")).expect("a thread");
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    assert_eq!(mode(&folder.path().join("state")), 0o700);
    assert_eq!(mode(&target.socket()), 0o600);
}

#[test]
fn a_target_that_lets_everybody_in_is_told_of() {
    const OPEN: &str = "everybody who reaches this target's listeners";
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let said = || std::fs::read_to_string(folder.path().join("start.log")).expect("a log");
    let listen = |address: &str| {
        target.call("srp_create_listener", json!({"fabric": "verbs", "address": address, "port": 5555}));
    };
    let export = |name: &str, id_ext: &str| {
        target.call("bdev_null_create", json!({"name": name, "num_blocks": 2048, "block_size": 512}));
        target.call("srp_create_target", json!({"name": name, "id_ext": id_ext, "ioc_guid": "22"}));
        target.call("srp_target_add_lun", json!({"target": name, "bdev_name": name}));
    };
    listen("127.0.0.1");
    let group = json!({"name": "hosts", "target": "guarded", "initiators": ["192.0.2.7"]});
    export("guarded", "33");
    target.call("srp_create_initiator_group", group);
    export("open", "11");
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(!said().contains(OPEN), "on loopback, it is this host's own affair: {}", said());
    listen("192.0.2.1");
    wait_until("it is told", || said().contains(OPEN));
    assert!(said().contains("open") && !said().contains("target=guarded"), "{}", said());
}
