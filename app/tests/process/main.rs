//! The real binary as a process: its command line, its configuration, its socket, its end. Needs no RDMA device.

mod alua;
mod cdrom;
mod change;
mod config;
mod copy;
mod engine;
mod hostile_peers;
mod hostile_rpc;
mod kill;
mod listeners;
mod masking;
mod metrics;
mod metrics_prometheus;
mod privilege;
mod protection;
#[cfg(feature = "rbd")]
mod rbd;
mod reservations;
mod roce;
mod saved;
mod service;
mod soak;
mod spdk_client;
mod statistics;
mod trace;
mod wrappers;
mod xdp;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rpc::{CallError, Client};
use serde_json::{Value, json};

/// A target in a folder of its own, killed when the test ends.
struct Target {
    child: Child,
    folder: PathBuf,
}

/// How long a process may take for what it does at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_srpt-app"));
    command.arg("-r").arg(folder.join("srpt.sock")).arg("--state-dir").arg(folder.join("state"));
    command.arg("--adaptive").args(arguments);
    if !arguments.contains(&"--channels") {
        command.args(["--channels", "2"]);
    }
    if !arguments.contains(&"--metrics-listen") {
        command.args(["--metrics-listen", "off"]);
    }
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Target {
    fn start(folder: &Path, arguments: &[&str]) -> Target {
        let log = folder.join("start.log");
        let said = std::fs::File::create(&log).expect("a file");
        let child = command(folder, arguments).stderr(said).spawn().expect("the binary starts");
        let mut target = Target { child, folder: folder.into() };
        let end = Instant::now() + PATIENCE;
        while Client::connect(&target.socket()).is_err() {
            let ended = target.child.try_wait().expect("a child");
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < end, "the target does not come up ({ended:?}): {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
        target
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("srpt.sock")
    }

    fn try_call(&self, method: &str, params: Value) -> Result<Value, CallError> {
        Client::connect(&self.socket()).expect("the target listens").call(method, params)
    }

    fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn refusal(&self, method: &str, params: Value) -> String {
        self.try_call(method, params).expect_err("it must be refused").to_string()
    }

    fn wait(&mut self) -> std::process::ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < end, "the target does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end, which must be a failure; returns what it said.
fn failure(folder: &Path, arguments: &[&str]) -> String {
    let mut child = command(folder, arguments).spawn().expect("the binary starts");
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert!(!child.wait().expect("a child").success(), "it must fail: {said}");
    said
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write_config(folder: &Path, text: &str) -> String {
    let path = folder.join("config.json");
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[test]
fn bdevs_and_targets_come_and_go_by_rpc() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    assert_eq!(
        target.call("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 2048, "block_size": 512})),
        "ram0"
    );
    assert_eq!(
        target.call("bdev_null_create", json!({"name": "null0", "num_blocks": 100, "block_size": 4096})),
        "null0"
    );
    let file = folder.path().join("disk.img");
    assert_eq!(
        target.call("bdev_uring_create", json!({"name": "disk01", "filename": file, "size": 1 << 20})),
        "disk01"
    );
    let names: Vec<Value> = target
        .call("bdev_get_bdevs", json!({}))
        .as_array()
        .expect("a list")
        .iter()
        .map(|bdev| bdev["name"].clone())
        .collect();
    assert_eq!(names, ["ram0", "null0", "disk01"]);
    target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "0x1", "ioc_guid": "0002c90300001234"}));
    assert_eq!(target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "ram0"})), 0);
    assert_eq!(
        target.call(
            "srp_target_add_lun",
            json!({"target": "tgt0", "bdev_name": "disk01", "lun": 300, "read_only": true})
        ),
        300
    );
    let targets = target.call("srp_get_targets", json!({}));
    assert_eq!(targets[0]["luns"][1]["product"], "disk01");
    assert!(target.refusal("bdev_malloc_delete", json!({"name": "ram0"})).contains("LUN 0 of target tgt0"));
    target.call("srp_target_remove_lun", json!({"target": "tgt0", "lun": 0}));
    assert_eq!(target.call("bdev_malloc_delete", json!({"name": "ram0"})), true);
    target.call("srp_delete_target", json!({"name": "tgt0"}));
    assert_eq!(target.call("bdev_uring_delete", json!({"name": "disk01"})), true);
    let reactors = target.call("framework_get_reactors", json!({}));
    assert_eq!(reactors["reactors"][0]["lcore"], 0);
}

#[test]
fn what_is_wrong_is_named() {
    let folder = folder();
    let file = folder.path().join("disk.img");
    let target = Target::start(folder.path(), &[]);
    target.call("bdev_null_create", json!({"name": "null0", "num_blocks": 100, "block_size": 512}));
    target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "1", "ioc_guid": "2"}));
    for (method, params, words) in [
        ("bdev_null_create", json!({"name": "null0", "num_blocks": 1, "block_size": 512}), "null0"),
        ("bdev_null_create", json!({"name": "n", "num_blocks": 1, "block_size": 500}), "block_size"),
        ("bdev_null_create", json!({"name": "n", "num_blocks": 1, "blocksize": 512}), "blocksize"),
        ("bdev_malloc_create", json!({"num_blocks": 1, "block_size": 512, "md_size": 8}), "md_interleave: "),
        ("bdev_malloc_create", json!({"num_blocks": 1, "block_size": 512, "numa_id": -2}), "numa_id"),
        ("bdev_get_iostat", json!({"name": "null0", "names": ["null0"]}), "names"),
        ("bdev_get_iostat", json!({"names": ["nobody"]}), "nobody"),
        ("bdev_get_iostat", json!({"per_channel": true}), "per_channel"),
        ("bdev_get_iostat", json!({"reset_mode": "some"}), "reset_mode"),
        ("bdev_reset_iostat", json!({"name": "nobody"}), "nobody"),
        ("bdev_enable_histogram", json!({"name": "nobody", "enable": true}), "nobody"),
        ("bdev_enable_histogram", json!({"name": "null0", "enable": true, "opc": "copy"}), "opc"),
        ("bdev_enable_histogram", json!({"name": "null0", "enable": true, "granularity": 64}), "granularity"),
        ("bdev_enable_histogram", json!({"name": "null0", "enable": true, "max_nsec": 1000}), "max_nsec"),
        ("bdev_get_histogram", json!({"name": "null0"}), "bdev_enable_histogram"),
        ("bdev_get_histogram_borders", json!({"name": "null0", "borders": [1]}), "bdev_enable_histogram"),
        ("bdev_uring_create", json!({"name": "d", "filename": "/nonexistent/file"}), "filename"),
        ("bdev_uring_create", json!({"name": "d", "filename": file, "size": 4096, "allocate": "half"}), "allocate: "),
        ("bdev_uring_create", json!({"name": "d", "filename": file, "size": 4096, "nowait": false}), "nowait"),
        (
            "bdev_uring_create",
            json!({"name": "d", "filename": file, "size": 4096, "nv_cache": true, "write_through": true}),
            "nv_cache: ",
        ),
        (
            "bdev_aio_create",
            json!({"name": "d", "filename": file, "size": 4096, "threshold_percent": 300}),
            "threshold_percent: ",
        ),
        (
            "bdev_aio_create",
            json!({"name": "d", "filename": file, "size": 4096, "optimal_blocks": -1}),
            "optimal_blocks: ",
        ),
        ("bdev_scsi_create", json!({"name": "s", "device": "9999:0:0:0"}), "device: 9999:0:0:0: does not exist"),
        ("bdev_scsi_create", json!({"name": "s", "device": "/dev/null"}), "device: /dev/null: is no SCSI device"),
        ("bdev_scsi_create", json!({"name": "null0", "device": "/dev/null"}), "null0"),
        ("bdev_scsi_delete", json!({"name": "null0"}), "Null disk"),
        ("bdev_null_delete", json!({"name": "nobody"}), "nobody"),
        ("bdev_malloc_delete", json!({"name": "null0"}), "Null disk"),
        ("srp_create_target", json!({"name": "tgt0", "id_ext": "3", "ioc_guid": "4"}), "tgt0"),
        ("srp_create_target", json!({"name": "tgt1", "id_ext": "1", "ioc_guid": "2"}), "ioc_guid"),
        ("srp_create_target", json!({"name": "tgt1", "id_ext": "xyz", "ioc_guid": "2"}), "id_ext"),
        ("srp_target_add_lun", json!({"target": "tgt9", "bdev_name": "null0"}), "tgt9"),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "nobody"}), "bdev_name"),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0", "lun": 16384}), "lun"),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0", "lun": 70000}), "lun:"),
        (
            "srp_target_add_lun",
            json!({"target": "tgt0", "bdev_name": "null0", "product": "seventeen letters"}),
            "product:",
        ),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0", "vendor": "größer"}), "vendor:"),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0", "revision": ""}), "revision:"),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0", "serial": "x".repeat(65)}), "serial:"),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0", "naa": "0x6000000000000000"}), "naa:"),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0", "naa": "what"}), "naa:"),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0", "eui64": "0002c9030000"}), "eui64:"),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0", "eui64": 12}), "eui64:"),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0", "queue_depth": 0}), "queue_depth:"),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0", "queue_depth": 65536}), "queue_depth:"),
        (
            "srp_target_add_lun",
            json!({"target": "tgt0", "bdev_name": "null0", "management_url": "no url"}),
            "management_url:",
        ),
        ("srp_target_remove_lun", json!({"target": "tgt0", "lun": 7}), "LUN 7"),
        ("srp_create_listener", json!({"fabric": "carrier pigeon", "address": "127.0.0.1", "port": 5555}), "fabric"),
        ("srp_create_listener", json!({"address": "127.0.0.300", "port": 5555}), "address"),
        ("srp_create_listener", json!({"port": 5555}), "address, interface: one of the two"),
        ("srp_create_listener", json!({"address": "::1", "interface": "lo", "port": 5555}), "one of the two"),
        ("srp_create_listener", json!({"address": "::1", "family": "ipv6", "port": 5555}), "family"),
        ("srp_create_listener", json!({"interface": "a b", "port": 5555}), "interface"),
        ("srp_create_listener", json!({"fabric": "ib", "interface": "ib0", "port": 5555}), "fabric: native InfiniBand"),
        ("srp_delete_listener", json!({"interface": "eth9", "port": 5555}), "interface, port: verbs does not listen"),
        ("srp_create_initiator_group", json!({"name": "g", "initiators": ["host.example"]}), "host.example"),
        ("srp_close_session", json!({"id": 12}), "12"),
        ("srp_get_reservations", json!({"bdev_name": "null0"}), "bdev_name: no target has a LUN on bdev null0"),
        ("srp_clear_reservations", json!({"bdev_name": "nobody"}), "bdev_name: "),
        ("srp_clear_reservations", json!({}), "bdev_name"),
        ("log_set_level", json!({"level": "LOUD"}), "level"),
        ("framework_set_scheduler", json!({"name": "gscheduler"}), "name: static or dynamic"),
        ("framework_set_scheduler", json!({"period": 1_000_000}), "name"),
        ("framework_set_scheduler", json!({"name": "dynamic", "period": 99_999}), "period: 100000 to 3600000000"),
        ("framework_set_scheduler", json!({"name": "dynamic", "period": 3_600_000_001_u64}), "period: 100000 to"),
        ("framework_set_scheduler", json!({"name": "static", "period": 0}), "leave it out to keep"),
        ("framework_set_scheduler", json!({"name": "dynamic", "period": -1}), "period"),
        ("framework_set_scheduler", json!({"name": "dynamic", "core_limit": 80}), "core_limit: not supported"),
        ("framework_set_scheduler", json!({"name": "dynamic", "governor": "x"}), "governor"),
        ("framework_get_config", json!({"name": "sched"}), "sched"),
        ("no_such_method", json!({}), "no_such_method"),
    ] {
        let said = target.refusal(method, params.clone());
        assert!(said.contains(words), "{method} {params} was refused without a word of {words}: {said}");
    }
    assert!(!file.exists(), "nothing half-made");
}

#[test]
fn a_saved_configuration_makes_the_same_target() {
    let folder = folder();
    let file = folder.path().join("disk.img");
    let saved = {
        let target = Target::start(folder.path(), &[]);
        target.call("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 2048, "block_size": 512}));
        target
            .call("bdev_aio_create", json!({"name": "disk01", "filename": file, "size": 1 << 20, "block_size": 4096}));
        let options = json!({"name": "disk02", "filename": folder.path().join("thick.img"), "size": 1 << 20,
            "allocate": "full", "nv_cache": true, "direct": false, "iopoll": false, "physical_block_size": 4096,
            "optimal_blocks": 256, "rotational": true, "removable": true});
        target.call("bdev_uring_create", options.clone());
        let given = target.call("save_config", json!({}));
        let text = given.to_string();
        let disk = given["subsystems"][0]["config"].as_array().into_iter().flatten();
        let disk = disk.map(|call| &call["params"]).find(|params| params["name"] == "disk02").expect(&text);
        for (parameter, value) in options.as_object().expect("an object") {
            // From now on the file has to be there.
            let value = if parameter == "size" { &Value::Null } else { value };
            assert_eq!(&disk[parameter], value, "{parameter}: {text}");
        }
        target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "0xfedcba9876543210", "ioc_guid": "2"}));
        target.call(
            "srp_target_add_lun",
            json!({"target": "tgt0", "bdev_name": "disk01", "lun": 3, "vendor": "ACME", "product": "big one",
                "eui64": "00:02:c9:03:00:00:12:34:00:00:00:01", "queue_depth": 64,
                "management_url": "https://storage.example/disk01"}),
        );
        let shown = &target.call("srp_get_targets", json!({}))[0]["luns"][0];
        assert_eq!(shown["queue_depth"], 64);
        assert_eq!(shown["eui64"], "0x0002c9030000123400000001");
        assert_eq!(shown["management_url"], "https://storage.example/disk01");
        target
            .call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "disk01", "lun": 4, "read_only": true}));
        target.call(
            "srp_create_initiator_group",
            json!({"name": "g", "initiators": ["10.0.0.*", "!10.0.0.9"], "luns": [3], "target": "tgt0"}),
        );
        target.call("srp_create_listener", json!({"fabric": "verbs", "address": "127.0.0.1", "port": 5555}));
        target.call("framework_set_scheduler", json!({"name": "dynamic", "period": 250_000}));
        target.call("save_config", json!({}))
    };
    let config = write_config(folder.path(), &serde_json::to_string_pretty(&saved).expect("JSON"));
    let target = Target::start(folder.path(), &["-c", &config]);
    assert_eq!(target.call("save_config", json!({})), saved);
    assert_eq!(target.call("framework_get_config", json!({"name": "srp"})), saved["subsystems"][2]["config"]);
}

#[test]
fn a_wrong_configuration_names_line_and_field_and_nothing_starts() {
    let folder = folder();
    let file = folder.path().join("disk.img");
    let wrong = |text: &str| {
        let config = write_config(folder.path(), text);
        let said = failure(folder.path(), &["-c", &config]);
        assert!(!folder.path().join("srpt.sock").exists(), "nothing listens");
        said
    };
    let said = wrong("{\n \"subsystems\": [\n");
    assert!(said.contains("line 3"), "{said}");
    let said =
        wrong("{\"subsystems\": [\n {\"subsystem\": \"bdev\", \"config\": [\n  {\"method\": \"bdev_nul_create\"}]}]}");
    assert!(said.contains("line 3") && said.contains("bdev_nul_create"), "{said}");
    let create = format!(
        "{{\"method\": \"bdev_uring_create\", \"params\": {{\"name\": \"disk01\", \"filename\": {:?}, \"size\": 1048576}}}}",
        file
    );
    let text = format!(
        "{{\"subsystems\": [\n {{\"subsystem\": \"bdev\", \"config\": [\n  {create},\n  {{\"method\": \"bdev_null_create\",\n   \"params\": {{\"name\": \"n\",\n    \"num_blocks\": 5,\n    \"block_size\": 500}}}}]}}]}}"
    );
    let said = wrong(&text);
    assert!(said.contains("line 7") && said.contains("block_size"), "{said}");
    let said = wrong(
        "{\"subsystems\": [{\"subsystem\": \"srp\", \"config\": [\n{\"method\": \"srp_target_add_lun\", \"params\": {\"target\": \"tgt0\",\n \"bdev_name\": \"x\"}}]}]}",
    );
    assert!(said.contains("line 3") && said.contains("bdev_name"), "{said}");
}

#[test]
fn a_core_that_is_not_there_and_a_socket_that_is_taken_are_named() {
    let folder = folder();
    let said = failure(folder.path(), &["-m", "[0,1000]"]);
    assert!(said.contains("1000"), "{said}");
    let said = failure(folder.path(), &["-m", "0xg"]);
    assert!(said.contains('g'), "{said}");
    let target = Target::start(folder.path(), &[]);
    let said = failure(folder.path(), &[]);
    assert!(said.contains("-r"), "{said}");
    target.call("spdk_get_version", json!({}));
}

#[test]
fn it_ends_in_good_order_when_told_to() {
    let folder = folder();
    let mut target = Target::start(folder.path(), &[]);
    let file = folder.path().join("disk.img");
    target.call("bdev_uring_create", json!({"name": "disk01", "filename": file, "size": 1 << 20}));
    target.call("spdk_kill_instance", json!({"sig_name": "SIGTERM"}));
    assert!(target.wait().success());
    assert!(!target.socket().exists(), "the socket is gone");

    let mut target = Target::start(folder.path(), &[]);
    let pid = rustix::process::Pid::from_child(&target.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    assert!(target.wait().success());
}
