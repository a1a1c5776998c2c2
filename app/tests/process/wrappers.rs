//! Devices that stand on others and rate limits: their methods, and what they do to an initiator's commands.

use serde_json::{Value, json};

use super::{Target, folder, roce, spdk_client, write_config};

/// A RAM disk of 4 MiB and a null device.
fn start(folder: &std::path::Path) -> Target {
    let target = Target::start(folder, &[]);
    target.call("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 8192, "block_size": 512}));
    target.call("bdev_null_create", json!({"name": "null0", "num_blocks": 100, "block_size": 4096}));
    target
}

fn delay_on(base: &str, name: &str) -> Value {
    json!({"base_bdev_name": base, "name": name, "avg_read_latency": 1, "p99_read_latency": 2,
        "avg_write_latency": 3, "p99_write_latency": 4})
}

/// One bdev, as bdev_get_bdevs describes it.
fn bdev(target: &Target, name: &str) -> Value {
    target.call("bdev_get_bdevs", json!({"name": name}))[0].clone()
}

fn code(target: &Target, method: &str, params: Value) -> i64 {
    match target.try_call(method, params) {
        Err(rpc::CallError::Refused(error)) => error.code,
        other => panic!("{method}: {other:?}"),
    }
}

#[test]
fn they_come_and_go_and_say_what_they_stand_on() {
    let folder = folder();
    let target = start(folder.path());
    assert_eq!(target.call("bdev_delay_create", delay_on("ram0", "slow0")), "slow0");
    assert_eq!(target.call("bdev_error_create", json!({"base_name": "slow0"})), true);
    assert_eq!(
        target.call("bdev_split_create", json!({"base_bdev": "EE_slow0", "split_count": 3, "split_size_mb": 1})),
        json!(["EE_slow0p0", "EE_slow0p1", "EE_slow0p2"])
    );
    let slow = bdev(&target, "slow0");
    assert_eq!(slow["driver_specific"]["delay"]["base_bdev_name"], "ram0");
    assert_eq!(slow["driver_specific"]["delay"]["p99_write_latency"], 4);
    assert_eq!(
        (&slow["product_name"], &slow["block_size"], &slow["num_blocks"]),
        (&json!("delay"), &json!(512), &json!(8192))
    );
    assert_eq!(bdev(&target, "EE_slow0")["driver_specific"]["error_disk"]["base_bdev"], "slow0");
    let part = bdev(&target, "EE_slow0p2");
    assert_eq!(part["driver_specific"]["split"], json!({"base_bdev": "EE_slow0", "offset_blocks": 4096}));
    assert_eq!(part["num_blocks"], 2048);
    for (name, claimed) in
        [("ram0", true), ("slow0", true), ("EE_slow0", true), ("EE_slow0p0", false), ("null0", false)]
    {
        assert_eq!(bdev(&target, name)["claimed"], claimed, "{name}");
    }
    assert_eq!(target.call("bdev_split_delete", json!({"base_bdev": "EE_slow0"})), true);
    assert_eq!(bdev(&target, "EE_slow0")["claimed"], false);
    assert_eq!(target.call("bdev_error_delete", json!({"name": "EE_slow0"})), true);
    assert_eq!(target.call("bdev_delay_delete", json!({"name": "slow0"})), true);
    assert_eq!(target.call("bdev_malloc_delete", json!({"name": "ram0"})), true);
    assert_eq!(target.call("bdev_get_bdevs", json!({})).as_array().map(Vec::len), Some(1));
}

/// Two writers that know nothing of each other destroy each other's data.
#[test]
fn a_device_that_is_used_is_nobody_else_s() {
    let folder = folder();
    let target = start(folder.path());
    target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "1", "ioc_guid": "2"}));
    target.call("bdev_split_create", json!({"base_bdev": "ram0", "split_count": 2}));
    target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0"}));
    target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "ram0p1", "lun": 1}));
    const BUSY: i64 = -16;
    const EXIST: i64 = -17;
    for (method, params, number, words) in [
        // The device beneath.
        ("bdev_malloc_delete", json!({"name": "ram0"}), BUSY, ["name: ", "ram0p0"]),
        ("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "ram0"}), BUSY, ["bdev_name: ", "ram0p0"]),
        ("bdev_delay_create", delay_on("ram0", "slow"), BUSY, ["base_bdev_name: ", "ram0p0"]),
        ("bdev_error_create", json!({"base_name": "ram0"}), BUSY, ["base_name: ", "ram0p0"]),
        (
            "bdev_split_create",
            json!({"base_bdev": "ram0", "split_count": 2}),
            EXIST,
            ["base_bdev: ", "bdev_split_delete"],
        ),
        // One that is exported.
        ("bdev_delay_create", delay_on("null0", "slow"), BUSY, ["base_bdev_name: ", "LUN 0 of target tgt0"]),
        ("bdev_error_create", json!({"base_name": "null0"}), BUSY, ["base_name: ", "LUN 0"]),
        ("bdev_split_create", json!({"base_bdev": "null0", "split_count": 2}), BUSY, ["base_bdev: ", "LUN 0"]),
        ("bdev_split_delete", json!({"base_bdev": "ram0"}), BUSY, ["base_bdev: ", "LUN 1 of target tgt0"]),
    ] {
        assert_eq!(code(&target, method, params.clone()), number, "{method}");
        let said = target.refusal(method, params.clone());
        assert!(words.iter().all(|word| said.contains(word)), "{method} {params}: {said}");
    }
    let names = |target: &Target| -> Vec<Value> {
        let list = target.call("bdev_get_bdevs", json!({}));
        list.as_array().expect("a list").iter().map(|bdev| bdev["name"].clone()).collect()
    };
    assert_eq!(names(&target), ["ram0", "null0", "ram0p0", "ram0p1"], "nothing half-made, nothing half-deleted");
    target.call("srp_target_remove_lun", json!({"target": "tgt0", "lun": 1}));
    target.call("bdev_split_delete", json!({"base_bdev": "ram0"}));
    target.call("bdev_error_create", json!({"base_name": "ram0"}));
    assert_eq!(names(&target), ["ram0", "null0", "EE_ram0"]);
}

#[test]
fn what_is_wrong_is_named() {
    let folder = folder();
    let target = start(folder.path());
    target.call("bdev_error_create", json!({"base_name": "null0"}));
    // A device whose name a part would get.
    target.call("bdev_null_create", json!({"name": "ram0p1", "num_blocks": 1, "block_size": 512}));
    let delay = |change: Value| {
        let mut params = delay_on("ram0", "slow");
        change.as_object().expect("an object").iter().for_each(|(name, value)| params[name] = value.clone());
        params
    };
    let inject = |change: Value| {
        let mut params = json!({"name": "EE_null0", "io_type": "read", "error_type": "failure"});
        change.as_object().expect("an object").iter().for_each(|(name, value)| params[name] = value.clone());
        params
    };
    let split = |count: u64, size: u64| json!({"base_bdev": "ram0", "split_count": count, "split_size_mb": size});
    const INVALID: i64 = -32602;
    const NODEV: i64 = -19;
    const EXIST: i64 = -17;
    const INVAL: i64 = -22;
    for (method, params, number, words) in [
        (
            "bdev_delay_create",
            delay(json!({"base_bdev_name": "nobody"})),
            NODEV,
            "base_bdev_name: there is no bdev nobody",
        ),
        ("bdev_delay_create", delay(json!({"name": "null0"})), EXIST, "name: "),
        ("bdev_delay_create", delay(json!({"name": ""})), INVALID, "name: "),
        ("bdev_delay_create", delay(json!({"uuid": "xyz"})), INVALID, "uuid"),
        ("bdev_delay_create", delay(json!({"avg_read_latency": -1})), INVALID, "avg_read_latency"),
        ("bdev_delay_create", delay(json!({"avg_read_latency": 9})), INVALID, "p99_read_latency: "),
        ("bdev_delay_create", delay(json!({"p99_write_latency": u64::MAX})), INVALID, "p99_write_latency: "),
        ("bdev_delay_create", delay(json!({"latency": 1})), INVALID, "latency"),
        ("bdev_delay_create", json!({"base_bdev_name": "ram0", "name": "slow"}), INVALID, "avg_read_latency"),
        (
            "bdev_delay_update_latency",
            json!({"delay_bdev_name": "nobody", "latency_type": "avg_read", "latency_us": 1}),
            NODEV,
            "delay_bdev_name: ",
        ),
        (
            "bdev_delay_update_latency",
            json!({"delay_bdev_name": "ram0", "latency_type": "avg_read", "latency_us": 1}),
            NODEV,
            "Malloc disk",
        ),
        (
            "bdev_delay_update_latency",
            json!({"delay_bdev_name": "ram0", "latency_type": "p50_read", "latency_us": 1}),
            INVALID,
            "latency_type",
        ),
        (
            "bdev_delay_update_latency",
            json!({"delay_bdev_name": "ram0", "latency_type": "avg_read", "latency_us": u64::MAX}),
            INVALID,
            "latency_us: ",
        ),
        ("bdev_delay_delete", json!({"name": "ram0"}), NODEV, "Malloc disk"),
        ("bdev_delay_delete", json!({"name": "nobody"}), NODEV, "nobody"),
        ("bdev_error_create", json!({"base_name": "nobody"}), NODEV, "base_name: "),
        ("bdev_error_create", json!({"base_name": "ram0", "name": "mine"}), INVALID, "name"),
        ("bdev_error_delete", json!({"name": "ram0"}), NODEV, "Malloc disk"),
        ("bdev_error_inject_error", inject(json!({"name": "nobody"})), NODEV, "name: "),
        ("bdev_error_inject_error", inject(json!({"name": "ram0"})), NODEV, "Malloc disk"),
        ("bdev_error_inject_error", inject(json!({"io_type": "reset"})), INVALID, "io_type"),
        ("bdev_error_inject_error", inject(json!({"error_type": "fire"})), INVALID, "error_type"),
        ("bdev_error_inject_error", inject(json!({"error_type": null})), INVAL, "error_type: "),
        ("bdev_error_inject_error", inject(json!({"error_type": "nvme_failure"})), INVAL, "error_type: "),
        ("bdev_error_inject_error", inject(json!({"nvme_sct": 1})), INVALID, "nvme_sct: "),
        ("bdev_error_inject_error", inject(json!({"nvme_sc": 1})), INVALID, "nvme_sc: "),
        ("bdev_error_inject_error", inject(json!({"num": -1})), INVALID, "num"),
        ("bdev_error_inject_error", inject(json!({"num": 1u64 << 32})), INVALID, "num"),
        ("bdev_error_inject_error", inject(json!({"corrupt_value": 1})), INVAL, "corrupt_value"),
        ("bdev_error_inject_error", inject(json!({"error_type": "corrupt_data"})), INVAL, "corrupt_value: "),
        (
            "bdev_error_inject_error",
            inject(json!({"error_type": "corrupt_data", "corrupt_value": 0})),
            INVAL,
            "corrupt_value: ",
        ),
        (
            "bdev_error_inject_error",
            inject(json!({"error_type": "corrupt_data", "corrupt_value": 256})),
            INVALID,
            "corrupt_value",
        ),
        (
            "bdev_error_inject_error",
            inject(json!({"error_type": "corrupt_data", "corrupt_value": 1, "io_type": "flush"})),
            INVAL,
            "io_type",
        ),
        ("bdev_error_resume_pending", json!({"name": "nobody"}), NODEV, "name: "),
        ("bdev_error_resume_pending", json!({"name": "ram0"}), NODEV, "Malloc disk"),
        ("bdev_split_create", json!({"base_bdev": "nobody", "split_count": 2}), NODEV, "base_bdev: "),
        ("bdev_split_create", split(0, 1), INVALID, "split_count: "),
        ("bdev_split_create", split(1025, 0), INVALID, "split_count: "),
        ("bdev_split_create", split(1 << 32, 0), INVALID, "split_count"),
        ("bdev_split_create", split(5, 1), INVALID, "split_size_mb: "),
        ("bdev_split_create", split(1, u64::MAX), INVALID, "split_size_mb: "),
        ("bdev_split_create", split(2, 0), EXIST, "ram0p1"),
        (
            "bdev_split_create",
            json!({"base_bdev": "ram0", "split_count": 3, "split_size_blocks": 2731}),
            INVALID,
            "split_size_blocks: ",
        ),
        ("bdev_split_delete", json!({"base_bdev": "ram0"}), NODEV, "base_bdev: "),
        ("bdev_set_qos_limit", json!({"name": "nobody", "rw_ios_per_sec": 1}), NODEV, "name: "),
        ("bdev_set_qos_limit", json!({"name": "ram0"}), INVAL, "No rate limits specified"),
        ("bdev_set_qos_limit", json!({"name": "ram0", "rw_mbytes_per_sec": u64::MAX}), INVALID, "rw_mbytes_per_sec: "),
        ("bdev_set_qos_limit", json!({"name": "ram0", "rw_ios_per_sec": -5}), INVALID, "rw_ios_per_sec"),
        ("bdev_set_qos_limit", json!({"name": "ram0", "rw_iops": 5}), INVALID, "rw_iops"),
    ] {
        let said = target.refusal(method, params.clone());
        assert!(said.contains(words), "{method} {params} was refused without a word of {words}: {said}");
        assert_eq!(code(&target, method, params.clone()), number, "{method} {params}: {said}");
    }
    let left = target.call("bdev_get_bdevs", json!({}));
    assert_eq!(left.as_array().map(Vec::len), Some(4), "nothing half-made: {left}");
    assert_eq!(bdev(&target, "ram0")["claimed"], false);
}

#[test]
fn a_saved_configuration_makes_the_same_devices() {
    let folder = folder();
    let saved = {
        let target = start(folder.path());
        target.call("bdev_delay_create", delay_on("ram0", "slow0"));
        // Slower than the slowest: creation would refuse it.
        let slower = json!({"delay_bdev_name": "slow0", "latency_type": "avg_read", "latency_us": 1000});
        target.call("bdev_delay_update_latency", slower);
        target.call("bdev_error_create", json!({"base_name": "slow0", "uuid": "00000000-0000-0000-0000-0000000000ff"}));
        target.call("bdev_split_create", json!({"base_bdev": "EE_slow0", "split_count": 2, "split_size_mb": 1}));
        // Made last, but it goes before none of them.
        target.call("bdev_delay_create", delay_on("null0", "slow1"));
        target.call("bdev_set_qos_limit", json!({"name": "ram0", "rw_ios_per_sec": 100, "w_mbytes_per_sec": 7}));
        target.call("bdev_set_qos_limit", json!({"name": "EE_slow0p1", "r_ios_per_sec": 50}));
        target.call("bdev_set_qos_limit", json!({"name": "slow1", "rw_ios_per_sec": 9}));
        target.call("bdev_set_qos_limit", json!({"name": "slow1", "rw_ios_per_sec": 0}));
        let limits = &bdev(&target, "ram0")["assigned_rate_limits"];
        assert_eq!(limits["rw_ios_per_sec"], 100);
        assert_eq!((&limits["w_mbytes_per_sec"], &limits["rw_mbytes_per_sec"]), (&json!(7), &json!(0)));
        target.call("save_config", json!({}))
    };
    let requests = saved["subsystems"][0]["config"].as_array().expect("a list");
    let limits: Vec<&Value> = requests.iter().filter(|request| request["method"] == "bdev_set_qos_limit").collect();
    assert_eq!(limits.len(), 2, "{limits:?}");
    assert_eq!(limits[0]["params"], json!({"name": "ram0", "rw_ios_per_sec": 100, "w_mbytes_per_sec": 7}));
    let config = write_config(folder.path(), &serde_json::to_string_pretty(&saved).expect("JSON"));
    let target = Target::start(folder.path(), &["-c", &config]);
    assert_eq!(target.call("save_config", json!({})), saved);
    assert_eq!(bdev(&target, "slow0")["driver_specific"]["delay"]["avg_read_latency"], 1000);
    assert_eq!(bdev(&target, "EE_slow0p1")["assigned_rate_limits"]["r_ios_per_sec"], 50);
}

/// Parts that were made without a size would begin elsewhere on a file that has grown, and show each other's data.
#[test]
fn parts_are_where_they_were_when_the_file_beneath_has_grown() {
    let folder = folder();
    let file = folder.path().join("disk.img");
    let saved = {
        let target = Target::start(folder.path(), &[]);
        target.call("bdev_uring_create", json!({"name": "disk01", "filename": file, "size": 3 << 20}));
        target.call("bdev_split_create", json!({"base_bdev": "disk01", "split_count": 3}));
        assert_eq!(bdev(&target, "disk01p2")["driver_specific"]["split"]["offset_blocks"], 4096);
        let mut saved = target.call("save_config", json!({}));
        saved["subsystems"][0]["config"][0]["params"].as_object_mut().expect("parameters").remove("size");
        saved
    };
    std::fs::File::options().write(true).open(&file).expect("the file").set_len(9 << 20).expect("it grows");
    let config = write_config(folder.path(), &saved.to_string());
    let target = Target::start(folder.path(), &["-c", &config]);
    assert_eq!(bdev(&target, "disk01")["num_blocks"], 9 << 11);
    let part = bdev(&target, "disk01p2");
    assert_eq!((&part["num_blocks"], &part["driver_specific"]["split"]["offset_blocks"]), (&json!(2048), &json!(4096)));
}

/// An initiator's commands through a part of a device that breaks on demand, with limits that change under them.
#[test]
fn an_initiator_sees_what_they_do() {
    let folder = folder();
    let target = start(folder.path());
    target.call("bdev_error_create", json!({"base_name": "ram0"}));
    target.call("bdev_split_create", json!({"base_bdev": "EE_ram0", "split_count": 2}));
    let at = roce::serve_bdevs(&target, &["EE_ram0p0", "EE_ram0p1"]);
    let load = &["-w", "randrw", "-q", "8", "--verify", "-d", "200"][..];
    for lun in ["0", "1"] {
        let results = roce::run(at, &[load, &["--lun", lun]].concat());
        assert!(results.is_good() && results.tally.compared > 0, "{}", results.table());
    }

    target.call(
        "bdev_error_inject_error",
        json!({"name": "EE_ram0", "io_type": "write", "error_type": "medium", "num": 3}),
    );
    let results = roce::run(at, load);
    assert_eq!(results.tally.failed, 3, "{}", results.table());
    let corrupt =
        json!({"name": "EE_ram0", "io_type": "read", "error_type": "corrupt_data", "num": 1, "corrupt_value": 1});
    target.call("bdev_error_inject_error", corrupt);
    let results = roce::run(at, load);
    assert_eq!((results.tally.failed, results.tally.miscompared), (0, 1), "{}", results.table());
    target.call(
        "bdev_error_inject_error",
        json!({"name": "EE_ram0", "io_type": "all", "error_type": "nomem", "num": 50}),
    );
    let results = roce::run(at, load);
    assert!(results.is_good(), "short of memory is nothing to see: {}", results.table());

    for limit in [json!({"name": "EE_ram0p0", "rw_ios_per_sec": 500}), json!({"name": "ram0", "rw_mbytes_per_sec": 1})]
    {
        target.call("bdev_set_qos_limit", limit);
        let results = roce::run(at, load);
        assert!(results.is_good(), "{}", results.table());
    }
    let stat = target.call("bdev_get_iostat", json!({"name": "ram0"}));
    assert!(stat["bdevs"][0]["num_write_ops"].as_u64() > Some(0), "{stat}");
}

#[test]
fn a_stuck_command_ends_when_it_is_let_go() {
    let folder = folder();
    let target = start(folder.path());
    target.call("bdev_error_create", json!({"base_name": "ram0"}));
    let at = roce::serve_bdevs(&target, &["EE_ram0"]);
    let pending = json!({"name": "EE_ram0", "io_type": "read", "error_type": "pending", "num": 2});
    target.call("bdev_error_inject_error", pending);
    std::thread::scope(|scope| {
        let initiator = scope.spawn(|| roce::run(at, &["-w", "randread", "-q", "2", "-d", "300"]));
        let commands = || target.call("srp_get_sessions", json!({}))[0]["channels"][0]["commands"].as_u64();
        // Three with which it looks at the unit, and both that its queue has room for.
        roce::wait_until("its reads have come in", || commands() == Some(5));
        let stat = target.call("bdev_get_iostat", json!({"name": "ram0"}));
        assert_eq!(stat["bdevs"][0]["num_read_ops"], 0, "they are stuck above it");
        target.call("bdev_error_inject_error", json!({"name": "EE_ram0", "io_type": "clear"}));
        let results = initiator.join().expect("the initiator");
        assert!(results.is_good(), "{}", results.table());
    });
    target.call("srp_delete_target", json!({"name": "tgt0"}));
    assert_eq!(target.call("bdev_error_delete", json!({"name": "EE_ram0"})), true);
}

/// SPDK's own client, where it is.
#[test]
fn spdk_s_own_client_makes_and_breaks_them() {
    let Some(client) = spdk_client::client() else { return };
    let folder = folder();
    let target = start(folder.path());
    let run = |arguments: &str| spdk_client::run(&client, &target, arguments);
    for (arguments, printed) in [
        ("bdev_delay_create -b ram0 -d slow0 -r 1 -t 2 -w 3 -n 4", "slow0"),
        ("bdev_delay_update_latency slow0 p99_read 5", "true"),
        ("bdev_error_create slow0", "true"),
        ("bdev_error_inject_error EE_slow0 all failure -n 2", ""),
        ("bdev_error_inject_error EE_slow0 write corrupt_data -o 3 -v 255 -q 1", ""),
        ("bdev_error_inject_error EE_slow0 read pending", ""),
        ("bdev_error_resume_pending EE_slow0", ""),
        ("bdev_error_inject_error EE_slow0 clear failure", ""),
        ("bdev_split_create EE_slow0 2 -s 1", "EE_slow0p0 EE_slow0p1"),
        ("bdev_set_qos_limit EE_slow0p0 --rw-ios-per-sec 20000 --r-mbytes-per-sec 100", ""),
        ("bdev_get_bdevs -b EE_slow0p0", "\"rw_ios_per_sec\": 20000"),
        ("bdev_split_delete EE_slow0", ""),
        ("bdev_error_delete EE_slow0", ""),
        ("bdev_delay_delete slow0", ""),
    ] {
        let (good, text) = run(arguments);
        assert!(good && text.contains(printed), "{arguments}: {text}");
    }
    let (good, text) = run("bdev_delay_delete slow0");
    assert!(!good && text.contains("-19") && text.contains("slow0"), "{text}");
    assert_eq!(bdev(&target, "ram0")["claimed"], false);
}
