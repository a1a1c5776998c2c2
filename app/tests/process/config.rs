//! Configurations of a running target: reloaded by SIGHUP, saved by itself, written whole whatever kills it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rpc::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use srpt_perf::random::Xorshift;

use super::roce::{fresh_address, run, wait_until};
use super::{Target, command, failure, folder};

/// A target whose log can be read, with a configuration file.
struct Running {
    target: Target,
    config: PathBuf,
    log: PathBuf,
}

impl Running {
    /// With what the file says, if it is there.
    fn start(folder: &Path, arguments: &[&str]) -> Running {
        let (config, log) = (folder.join("config.json"), folder.join("log.txt"));
        let path = config.display().to_string();
        let said = fs::File::options().create(true).append(true).open(&log).expect("a file");
        let arguments = [&["-c", &path], arguments].concat();
        let child = command(folder, &arguments).stderr(Stdio::from(said)).spawn().expect("the binary starts");
        let target = Target { child, folder: folder.into() };
        wait_until("it listens", || Client::connect(&target.socket()).is_ok());
        Running { target, config, log }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.target.child), signal).expect("a signal");
    }

    /// Another configuration, which is brought about at once.
    fn reload(&self, config: &Value) {
        fs::write(&self.config, format!("{config:#}")).expect("a file");
        self.signal(Signal::HUP);
    }

    fn saved(&self) -> Value {
        self.target.call("save_config", json!({}))
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("a log")
    }

    fn wait_for(&self, words: &str) {
        wait_until(words, || self.said().contains(words));
    }
}

fn entry(method: &str, params: Value) -> Value {
    json!({"method": method, "params": params})
}

fn config(entries: &[Value]) -> Value {
    json!({"subsystems": [{"subsystem": "srp", "config": entries}]})
}

/// A RAM disk behind a target of its own that listens at an address.
fn served(at: SocketAddr) -> Vec<Value> {
    vec![
        entry("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 2048, "block_size": 512})),
        entry("srp_create_target", json!({"name": "tgt0", "id_ext": "11", "ioc_guid": "22"})),
        entry("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "ram0"})),
        entry("srp_create_listener", json!({"fabric": "roce", "address": at.ip(), "port": at.port()})),
    ]
}

/// Another target, with another device.
fn another(num_blocks: u64, lun: u16) -> Vec<Value> {
    vec![
        entry("bdev_null_create", json!({"name": "null1", "num_blocks": num_blocks, "block_size": 512})),
        entry("srp_create_target", json!({"name": "tgt1", "id_ext": "11", "ioc_guid": "33"})),
        entry("srp_target_add_lun", json!({"target": "tgt1", "bdev_name": "null1", "lun": lun})),
        entry("srp_create_initiator_group", json!({"name": "g", "initiators": ["10.*"], "target": "tgt1"})),
    ]
}

#[test]
fn sighup_brings_about_what_the_file_says_and_sessions_that_it_does_not_concern_see_nothing() {
    let folder = folder();
    let at = SocketAddr::from((fresh_address(), 5555));
    fs::write(folder.path().join("config.json"), config(&served(at)).to_string()).expect("a file");
    let running = Running::start(folder.path(), &[]);
    let load = |change: &dyn Fn()| {
        thread::scope(|scope| {
            let load = scope.spawn(|| run(at, &["-w", "randrw", "-o", "4k", "-q", "8", "--verify", "-t", "6"]));
            let commands = || running.target.call("srp_get_sessions", json!({}))[0]["channels"][0]["commands"].as_u64();
            wait_until("there is load", || load.is_finished() || commands() > Some(20));
            change();
            load.join().expect("a run")
        })
    };
    let undisturbed = load(&|| ()).tally.retried;
    wait_until("its session has ended", || running.target.call("srp_get_sessions", json!({})) == json!([]));
    let results = load(&|| {
        let session = || running.target.call("srp_get_sessions", json!({}))[0]["id"].clone();
        let before = session();
        for another in [another(2048, 0), another(4096, 0), another(1000, 7), Vec::new()] {
            let wanted = config(&[served(at), another].concat());
            running.reload(&wanted);
            wait_until("it is so", || running.target.call("srpt_config_diff", wanted.clone())["requests"] == json!([]));
        }
        assert_eq!(session(), before);
    });
    assert!(results.is_good() && results.tally.compared > 0, "{}", results.table());
    assert_eq!(results.tally.retried, undisturbed, "unit attentions: {}", results.table());
    assert!(running.said().contains("SIGHUP"), "{}", running.said());
}

#[test]
fn a_file_that_is_wrong_is_named_with_its_line_and_what_runs_stays() {
    let folder = folder();
    let at = SocketAddr::from((fresh_address(), 5555));
    fs::write(folder.path().join("config.json"), config(&served(at)).to_string()).expect("a file");
    let running = Running::start(folder.path(), &[]);
    let before = running.saved();
    let line_of = |config: &Value, word: &str| {
        let text = format!("{config:#}");
        1 + text.lines().position(|line| line.contains(word)).expect("it is there")
    };
    // What can be seen, what only the system knows, and what fails when much is done.
    let wrong_size = entry("bdev_null_create", json!({"name": "n", "num_blocks": 1, "block_size": 500}));
    let no_file = entry("bdev_uring_create", json!({"name": "d", "filename": "/nonexistent/file"}));
    let no_fabric = entry("srp_create_listener", json!({"fabric": "pigeon", "address": "::1", "port": 1}));
    let unknown = entry("bdev_null_create", json!({"name": "n", "nun_blocks": 1}));
    for (last, word, parameter) in [
        (wrong_size, "500", "block_size"),
        (no_file, "/nonexistent/file", "filename"),
        (no_fabric, "pigeon", "fabric"),
        (unknown, "nun_blocks", "nun_blocks"),
    ] {
        let wanted = config(&[served(at), another(2048, 0), vec![last]].concat());
        running.reload(&wanted);
        running.wait_for(&format!("line {}: ", line_of(&wanted, word)));
        wait_until("the log says it all", || {
            running.said().lines().any(|line| line.contains(parameter) && line.contains("stays"))
        });
        assert_eq!(running.saved(), before, "{}", running.said());
    }
    fs::write(&running.config, "{\n \"subsystems\": [").expect("a file");
    running.signal(Signal::HUP);
    running.wait_for("line 2, column");
    fs::remove_file(&running.config).expect("a file");
    running.signal(Signal::HUP);
    running.wait_for("No such file");
    assert_eq!(running.saved(), before);
}

#[test]
fn sighup_without_a_file_is_of_no_consequence() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    kill_process(Pid::from_child(&target.child), Signal::HUP).expect("a signal");
    target.call("bdev_null_create", json!({"name": "n", "num_blocks": 1, "block_size": 512}));
    let said = failure(folder.path(), &["--auto-save"]);
    assert!(said.contains("--config"), "{said}");
    // Nobody knows whether it is there: an empty configuration would be saved in its place.
    std::os::unix::fs::symlink("circle", folder.path().join("circle")).expect("a link");
    let circle = folder.path().join("circle/config.json").display().to_string();
    let said = failure(folder.path(), &["--auto-save", "-c", &circle]);
    assert!(said.contains("-c ") && said.contains("circle/config.json"), "{said}");
}

#[test]
fn changes_are_saved_by_themselves_and_survive_kill_9_and_what_only_asks_writes_nothing() {
    let folder = folder();
    let mut running = Running::start(folder.path(), &["--auto-save", "--config-versions", "2"]);
    running.target.call("bdev_get_bdevs", json!({}));
    let read = |path: &Path| -> Option<Value> { serde_json::from_str(&fs::read_to_string(path).ok()?).ok() };
    let mut written = Vec::new();
    for number in 0..4 {
        let params = json!({"name": format!("n{number}"), "num_blocks": 1, "block_size": 512});
        running.target.call("bdev_null_create", params);
        let saved = running.saved();
        wait_until("it is saved", || read(&running.config).as_ref() == Some(&saved));
        written.push(saved);
    }
    let version = |number: u32| read(&running.config.with_extension(format!("json.{number}")));
    assert_eq!([version(1), version(2), version(3)], [Some(written[2].clone()), Some(written[1].clone()), None]);
    running.target.child.kill().expect("kill -9");
    running.target.wait();

    let mut running = Running::start(folder.path(), &["--auto-save"]);
    assert_eq!(running.saved(), written[3]);
    // What was changed in the last moment is saved before listeners go.
    running.target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "1", "ioc_guid": "2"}));
    running.target.call("srp_create_listener", json!({"address": "127.0.0.1", "port": 5555}));
    let saved = running.saved();
    running.signal(Signal::TERM);
    assert!(running.target.wait().success());
    assert_eq!(read(&running.config), Some(saved));
}

/// As when what it lies on is not mounted.
#[test]
fn a_file_that_is_missing_at_the_next_start_is_not_made_anew_and_empty() {
    let folder = folder();
    let mut running = Running::start(folder.path(), &["--auto-save"]);
    let disk = folder.path().join("disk.img");
    running.target.call("bdev_uring_create", json!({"name": "disk", "filename": disk, "size": 1 << 20}));
    running.signal(Signal::TERM);
    assert!(running.target.wait().success());
    fs::rename(&disk, folder.path().join("elsewhere")).expect("it was made");

    let path = running.config.display().to_string();
    let said = failure(folder.path(), &["-c", &path]);
    assert!(said.contains("disk.img") && said.contains("No such file"), "{said}");
    assert!(!disk.exists());
    fs::rename(folder.path().join("elsewhere"), &disk).expect("it is back");
    assert_eq!(Running::start(folder.path(), &[]).target.call("bdev_get_bdevs", json!({}))[0]["num_blocks"], 2048);
}

#[test]
fn a_place_that_cannot_be_written_is_named_and_the_target_serves_on() {
    let folder = folder();
    let nowhere = folder.path().join("nowhere");
    fs::create_dir(&nowhere).expect("a folder");
    let config = nowhere.join("config.json").display().to_string();
    let log = folder.path().join("log.txt");
    let arguments = ["-c", &config, "--auto-save"];
    let said = fs::File::create(&log).expect("a file");
    let child = command(folder.path(), &arguments).stderr(Stdio::from(said)).spawn().expect("the binary starts");
    let target = Target { child, folder: folder.path().into() };
    wait_until("it listens", || Client::connect(&target.socket()).is_ok());
    fs::remove_dir(&nowhere).expect("a folder");
    target.call("bdev_null_create", json!({"name": "n", "num_blocks": 1, "block_size": 512}));
    wait_until("it is told", || fs::read_to_string(&log).is_ok_and(|said| said.contains("cannot be saved")));
    for filename in [Value::Null, json!("/proc/version/x"), json!(folder.path())] {
        let said = target.refusal("srpt_config_write", json!({"filename": filename}));
        assert!(said.contains("filename: ") && said.contains("cannot be written"), "{said}");
    }
    let disk = folder.path().join("disk.img");
    fs::write(&disk, [7; 4096]).expect("a file");
    std::os::unix::fs::symlink(&disk, folder.path().join("link")).expect("a link");
    target.call("bdev_uring_create", json!({"name": "disk", "filename": disk}));
    for name in ["disk.img", "link"] {
        let said = target.refusal("srpt_config_write", json!({"filename": folder.path().join(name)}));
        assert!(said.contains("filename: bdev disk stands on it"), "{said}");
    }
    assert_eq!(fs::read(&disk).expect("a file"), [7; 4096]);
    target.call("bdev_uring_delete", json!({"name": "disk"}));
    let elsewhere = folder.path().join("elsewhere.json");
    let answer = target.call("srpt_config_write", json!({"filename": elsewhere}));
    assert_eq!(answer, json!({"filename": elsewhere}));
    let written: Value = serde_json::from_slice(&fs::read(elsewhere).expect("a file")).expect("JSON");
    assert_eq!(written, target.call("save_config", json!({})));
    let target = Target::start(&nowhere_else(folder.path()), &[]);
    assert!(target.refusal("srpt_config_write", json!({})).contains("-c"));
}

fn nowhere_else(folder: &Path) -> PathBuf {
    let other = folder.join("other");
    fs::create_dir(&other).expect("a folder");
    other
}

/// Whoever is killed while it writes leaves what was there before, or what was to be there.
#[test]
fn a_configuration_file_is_whole_after_kill_9_at_any_moment() {
    let seed = std::env::var("SRPT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| std::process::id().into());
    println!("SRPT_SEED={seed} does it again");
    let (mut random, folder) = (Xorshift::new(seed), folder());
    let config = folder.path().join("config.json");
    let end = Instant::now() + Duration::from_secs(2);
    let mut limit = 1;
    // Many bdevs, so that a text takes several writes to the disk.
    let bdevs = (0..300).map(|number| {
        entry("bdev_null_create", json!({"name": format!("n{number}"), "num_blocks": 1, "block_size": 512}))
    });
    let qos = entry("bdev_set_qos_limit", json!({"name": "n0", "rw_ios_per_sec": limit}));
    fs::write(&config, self::config(&bdevs.chain([qos]).collect::<Vec<_>>()).to_string()).expect("a file");
    // On a machine with much to do, the first lives may be too short for a write.
    while Instant::now() < end || limit == 1 && Instant::now() < end + super::PATIENCE {
        let mut running = Running::start(folder.path(), &["--config-versions", "1"]);
        let mut client = Client::connect(&running.target.socket()).expect("it listens");
        let life = Duration::from_micros(random.below(30_000));
        let pid = Pid::from_child(&running.target.child);
        let killer = thread::spawn(move || {
            thread::sleep(life);
            kill_process(pid, Signal::KILL).expect("a signal");
        });
        let mut asked = limit;
        while client.call("bdev_set_qos_limit", json!({"name": "n0", "rw_ios_per_sec": asked + 1})).is_ok() {
            asked += 1;
            if client.call("srpt_config_write", json!({})).is_err() {
                break;
            }
            limit = asked;
        }
        killer.join().expect("a thread");
        running.target.wait();
        let text = fs::read_to_string(&config).expect("a file");
        let written: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let qos = |call: &Value| call["params"]["rw_ios_per_sec"].as_u64();
        let subsystems = written["subsystems"].as_array().into_iter().flatten();
        let written = subsystems.flat_map(|it| it["config"].as_array().into_iter().flatten()).find_map(qos);
        assert!([limit, asked].map(Some).contains(&written), "{written:?}, of {limit} and {asked}");
        limit = written.expect("a limit");
    }
    assert!(limit > 1, "nothing was written");
}
