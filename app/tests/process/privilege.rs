//! What the process may still do once it is up, as the kernel tells it; what it leaves for others to read; what it says of targets that let everybody in.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use super::roce::wait_until;
use super::{Target, failure, folder, metrics};

/// A field of /proc/PID/status, of every thread: what one thread has kept is everybody's.
fn of_threads(target: &Target, field: &str) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", target.child.id())).expect("threads");
    let value = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::trim));
        line.unwrap_or_else(|| panic!("no {field}: {status}")).to_owned()
    };
    let mut values: Vec<String> = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("status")).ok())
        .map(value)
        .collect();
    assert!(values.len() > 1, "the control thread and a reactor");
    values.dedup();
    values
}

fn capabilities(target: &Target, field: &str) -> u64 {
    let values = of_threads(target, field);
    assert_eq!(values.len(), 1, "the same in all threads: {values:?}");
    u64::from_str_radix(&values[0], 16).expect("hex digits")
}

#[test]
fn rights_that_are_not_needed_are_given_up_by_all_threads() {
    const CHOWN: u64 = 1 << 0;
    const DAC_OVERRIDE: u64 = 1 << 1;
    const FOWNER: u64 = 1 << 3;
    const NET_BIND_SERVICE: u64 = 1 << 10;
    const IPC_LOCK: u64 = 1 << 14;
    const SYS_RAWIO: u64 = 1 << 17;
    const SYS_ADMIN: u64 = 1 << 21;
    let folder = folder();
    let target = Target::start(folder.path(), &["--roce-io", "udp"]);
    assert_eq!(of_threads(&target, "NoNewPrivs"), ["1"]);
    assert_eq!(of_threads(&target, "Seccomp"), ["2"]);
    let kept = CHOWN | DAC_OVERRIDE | FOWNER | NET_BIND_SERVICE | IPC_LOCK | SYS_RAWIO | SYS_ADMIN;
    for field in ["CapEff", "CapPrm"] {
        assert_eq!(capabilities(&target, field) & !kept, 0, "{field}");
    }
    assert_eq!(capabilities(&target, "CapInh"), 0);
    assert_eq!(capabilities(&target, "CapAmb"), 0);
}

#[test]
fn options_tell_what_is_kept() {
    let folder = folder();
    let target = Target::start(folder.path(), &["--seccomp", "off", "--capabilities", "none"]);
    let own = std::fs::read_to_string("/proc/self/status").expect("our own");
    let mode = of_threads(&target, "Seccomp").concat();
    assert!(own.contains(&format!("Seccomp:\t{mode}\n")), "as it was started: {mode}");
    assert_eq!(of_threads(&target, "NoNewPrivs"), ["1"], "whatever the filter");
    assert_eq!(capabilities(&target, "CapEff"), 0);
    target.call("bdev_null_create", json!({"name": "null0", "num_blocks": 8, "block_size": 512}));
    let said = failure(folder.path(), &["--capabilities", "CAP_FLY"]);
    assert!(said.contains("CAP_FLY"), "{said}");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn nobody_else_reads_what_it_keeps() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    assert_eq!(mode(&folder.path().join("state")), 0o700);
    assert_eq!(mode(&target.socket()), 0o600);
}

#[test]
fn a_target_that_lets_everybody_in_is_told_of_and_listed() {
    const OPEN: &str = "everybody who reaches this target's listeners";
    let folder = folder();
    let (target, metrics) = metrics::start(folder.path(), &[]);
    let log = folder.path().join("log");
    let said = || std::fs::read_to_string(&log).expect("a log");
    let listen = |address: &str| {
        target.call("srp_create_listener", json!({"fabric": "verbs", "address": address, "port": 5555}));
    };
    let export = |name: &str, id_ext: &str| {
        target.call("bdev_null_create", json!({"name": name, "num_blocks": 2048, "block_size": 512}));
        target.call("srp_create_target", json!({"name": name, "id_ext": id_ext, "ioc_guid": "22"}));
        target.call("srp_target_add_lun", json!({"target": name, "bdev_name": name}));
    };
    let listed = || {
        let targets = target.call("srp_get_targets", json!({}));
        let of = |name: &str, flag: bool| {
            let sample = format!("srpt_target_open{{target=\"{name}\"}} {}\n", u8::from(flag));
            // A scrape is told again until it is old.
            wait_until(&sample, || metrics::get(metrics, "/metrics", "").body.contains(&sample));
            (name.to_string(), flag)
        };
        let targets = targets.as_array().expect("a list").iter();
        targets.map(|it| of(it["name"].as_str().expect("a name"), it["open_to_all"] == true)).collect::<Vec<_>>()
    };
    let [guarded, open] = ["guarded", "open"].map(|name| move |is_open: bool| (name.to_string(), is_open));
    listen("127.0.0.1");
    let group = json!({"name": "hosts", "target": "guarded", "initiators": ["192.0.2.7"]});
    export("guarded", "33");
    target.call("srp_create_initiator_group", group);
    export("open", "11");
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(!said().contains(OPEN), "on loopback, it is this host's own affair: {}", said());
    assert_eq!(listed(), [guarded(false), open(false)]);
    listen("192.0.2.1");
    wait_until("it is told", || said().contains(OPEN));
    assert!(said().contains("open") && !said().contains("target=guarded"), "{}", said());
    assert_eq!(listed(), [guarded(false), open(true)]);
    // Who lets everybody in by a group has said that it is meant.
    target.call("srp_create_initiator_group", json!({"name": "all", "target": "open", "initiators": ["*"]}));
    assert_eq!(listed(), [guarded(false), open(false)]);
}
