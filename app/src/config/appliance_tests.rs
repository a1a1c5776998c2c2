//! Configurations of a real appliance: what is saved makes the same again, plans lead where they should, and what fails leaves no trace.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use rpc::Request;
use serde_json::{Value, json};

use super::model::{Key, Model};
use super::testing::draw::{Completeness, requests, within};
use super::testing::{Bench, apply, configuration, request};

/// Files that bdevs of the tests stand on.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder");
    for (name, bytes) in [("0.img", 1u64 << 20), ("1.img", 1 << 20), ("0.iso", 40960), ("1.iso", 61440)] {
        let file = std::fs::File::create(folder.path().join(name)).expect("a file");
        file.set_len(bytes).expect("room");
    }
    folder
}

/// What there is, without the order of things that have none.
#[derive(PartialEq, Debug)]
struct State {
    objects: BTreeMap<Key, Value>,
    groups: Vec<String>,
    /// Of files, in bytes.
    sizes: BTreeMap<String, Option<u64>>,
}

fn state(model: &Model) -> State {
    let groups = model.groups.iter().map(|group| group.name.clone()).collect();
    let sizes = model.makings.iter().map(|(name, making)| (name.clone(), making.bytes)).collect();
    State { objects: model.objects(), groups, sizes }
}

/// Cases take some milliseconds each.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn whatever_was_done_is_there_after_a_restart_with_what_was_saved(requests in requests(Completeness::ByHand, 60)) {
        let folder = folder();
        let mut bench = Bench::new(folder.path());
        bench.run(&within(&requests, folder.path()));
        let (saved, text) = (bench.saved(), bench.saved_text());
        drop(bench);
        let mut bench = Bench::new(folder.path());
        bench.call("load_config", saved).map_err(|error| TestCaseError::fail(format!("{error}; of {text}")))?;
        prop_assert_eq!(bench.saved_text(), text);
    }

    #[test]
    fn a_configuration_is_brought_about_or_nothing_changes(
        now in requests(Completeness::ByHand, 40),
        wanted in requests(Completeness::ByHand, 40),
    ) {
        let folder = folder();
        let mut bench = Bench::new(folder.path());
        bench.run(&within(&wanted, folder.path()));
        let wanted = bench.saved();
        drop(bench);
        let mut bench = Bench::new(folder.path());
        bench.run(&within(&now, folder.path()));
        let before = bench.model();
        let planned = bench.call("srpt_config_diff", wanted.clone());
        match bench.call("srpt_config_apply", wanted.clone()) {
            Ok(done) => {
                prop_assert_eq!(&planned, &Ok(done.clone()));
                let again = bench.must("srpt_config_diff", wanted.clone());
                prop_assert_eq!(again, json!({"requests": []}), "after {:#}", done);
                let saved = bench.saved();
                drop(bench);
                let mut bench = Bench::new(folder.path());
                bench.must("load_config", wanted);
                // Sizes of files are what they are, so those are the same as well.
                let straight = bench.model();
                drop(bench);
                let mut bench = Bench::new(folder.path());
                bench.must("load_config", saved);
                let (mut saved, mut straight) = (state(&bench.model()), state(&straight));
                // A configuration that says nothing of it leaves it as it is.
                for state in [&mut saved, &mut straight] {
                    state.objects.remove(&Key::SlowThreshold);
                }
                prop_assert_eq!(saved, straight);
            }
            Err(error) => {
                prop_assert!(error.message.contains("size: "), "{}", error);
                prop_assert_eq!(state(&bench.model()), state(&before), "{}", error);
            }
        }
    }

    #[test]
    fn what_is_loaded_and_fails_in_the_middle_leaves_no_trace(
        now in requests(Completeness::ByHand, 40),
        more in requests(Completeness::ByHand, 20),
    ) {
        let folder = folder();
        let mut bench = Bench::new(folder.path());
        bench.run(&within(&now, folder.path()));
        let before = bench.model();
        // Those of `more` that can be, and one that cannot.
        let mut possible = before.clone();
        let mut more = within(&more, folder.path());
        more.retain(|request| apply(&mut possible, request).is_ok());
        more.push(request("bdev_null_create", json!({"name": "last", "num_blocks": 1, "block_size": 500})));
        let error = bench.call("load_config", configuration(&more)).expect_err("it fails");
        check_taken_back(&bench, &before, &error)?;
    }

    #[test]
    fn a_difference_that_fails_at_its_end_leaves_no_trace(
        now in requests(Completeness::ByHand, 40),
        wanted in requests(Completeness::ByHand, 40),
    ) {
        let folder = folder();
        let mut bench = Bench::new(folder.path());
        bench.run(&within(&wanted, folder.path()));
        let mut wanted = bench.saved();
        drop(bench);
        // Listeners come last.
        let listener = json!({"method": "srp_create_listener", "params": {"fabric": "pigeon", "address": "::1", "port": 1}});
        wanted["subsystems"][2]["config"].as_array_mut().expect("a list").push(listener);
        let mut bench = Bench::new(folder.path());
        bench.run(&within(&now, folder.path()));
        let before = bench.model();
        let error = bench.call("srpt_config_apply", wanted).expect_err("there is no such fabric");
        if !error.message.contains("size: ") {
            prop_assert!(error.message.contains("fabric: "), "{}", error);
        }
        check_taken_back(&bench, &before, &error)?;
    }
}

fn check_taken_back(bench: &Bench, before: &Model, error: &rpc::RpcError) -> Result<(), TestCaseError> {
    prop_assert!(error.message.contains("config["), "{}", error);
    prop_assert!(!error.message.contains("taken back"), "{}", error);
    let mut before = state(before);
    let now = state(&bench.model());
    // A file that grew stays so.
    before.sizes = now.sizes.clone();
    prop_assert_eq!(now, before, "{}", error);
    Ok(())
}

/// A RAM disk with data, and what uses it.
fn ram_disk() -> Vec<Request> {
    vec![
        request("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 64, "block_size": 512})),
        request("bdev_set_qos_limit", json!({"name": "ram0", "rw_ios_per_sec": 1000})),
        request("srp_create_target", json!({"name": "tgt0", "id_ext": "1", "ioc_guid": "2"})),
        request("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "ram0"})),
    ]
}

/// One of 128 blocks, and one that looks like it: that stayed in its place, with nothing on it.
#[test]
fn a_ram_disk_that_was_deleted_comes_back_with_its_data() {
    [128, 64].into_iter().for_each(check_that_it_comes_back);
}

fn check_that_it_comes_back(num_blocks: u64) {
    let folder = folder();
    let mut bench = Bench::new(folder.path());
    bench.run(&ram_disk());
    let disk = std::sync::Arc::downgrade(bench.appliance.bdevs.get("ram0").expect("it is there"));
    let text = bench.saved_text();
    let failing = [
        request("bdev_malloc_delete", json!({"name": "ram0", "force": true})),
        request("bdev_malloc_create", json!({"name": "ram0", "num_blocks": num_blocks, "block_size": 512})),
        request("bdev_malloc_delete", json!({"name": "ram0"})),
        request("bdev_malloc_create", json!({"name": "ram0", "num_blocks": num_blocks, "block_size": 512})),
        request("bdev_uring_create", json!({"name": "disk", "filename": folder.path().join("missing.img")})),
    ];
    let error = bench.call("load_config", configuration(&failing)).expect_err("there is no such file");
    assert!(error.message.starts_with("subsystems[0].config[4]: bdev_uring_create: filename: "), "{error}");
    assert_eq!(error.data, Some(json!({"at": "subsystems[0].config[4]", "method": "bdev_uring_create"})));
    assert_eq!(bench.saved_text(), text);
    let back = bench.appliance.bdevs.get("ram0").expect("it is back");
    assert!(std::ptr::eq(disk.as_ptr(), std::sync::Arc::as_ptr(back)), "it is the same disk");
    // Nobody keeps it after that.
    bench.must("bdev_malloc_delete", json!({"name": "ram0", "force": true}));
    assert_eq!(disk.strong_count(), 0);
}

#[test]
fn what_one_finds_there_already_is_an_error_of_load_config_and_is_nothing_to_srpt_config_apply() {
    let folder = folder();
    let mut bench = Bench::new(folder.path());
    bench.run(&ram_disk());
    let text = bench.saved_text();
    let configuration = configuration(&ram_disk());
    let error = bench.call("load_config", configuration.clone()).expect_err("it is there already");
    assert!(error.message.starts_with("subsystems[0].config[0]: bdev_malloc_create: name: "), "{error}");
    assert_eq!(bench.must("srpt_config_apply", configuration), json!({"requests": []}));
    assert_eq!(bench.saved_text(), text);
}

#[test]
fn what_makes_no_sense_is_named_before_anything_is_done() {
    let folder = folder();
    let mut bench = Bench::new(folder.path());
    let make = request("bdev_null_create", json!({"name": "null0", "num_blocks": 8, "block_size": 512}));
    for (second, words) in [
        (request("bdev_nul_create", json!({})), "config[1]: bdev_nul_create: Method not found"),
        (request("load_config", json!({"subsystems": []})), "config[1]: load_config: Invalid parameters: method: "),
        (
            request("bdev_set_qos_limit", json!({"name": 7})),
            "config[1]: bdev_set_qos_limit: Invalid parameters: name: ",
        ),
        (request("bdev_set_qos_limit", json!({"nam": "x"})), "unknown field `nam`"),
    ] {
        for method in ["load_config", "srpt_config_apply", "srpt_config_diff"] {
            let error = bench.call(method, configuration(&[make.clone(), second.clone()])).expect_err(words);
            assert!(error.message.contains(words), "{method}: {error}");
        }
    }
    for (second, words) in [
        (
            request("bdev_error_inject_error", json!({"name": "x", "io_type": "clear"})),
            "inject_error: Invalid parameters: method: ",
        ),
        (
            request("srp_target_add_lun", json!({"target": "t", "bdev_name": "null0"})),
            "config[1]: srp_target_add_lun: Invalid parameters: target: ",
        ),
    ] {
        let error = bench.call("srpt_config_apply", configuration(&[make.clone(), second])).expect_err(words);
        assert!(error.message.contains(words), "{error}");
    }
    let error = bench.call("load_config", json!({"subsystems": [{"subsystem": "bdev", "config": [{"params": {}}]}]}));
    let error = error.expect_err("no method");
    assert!(error.message.contains("subsystems[0].config[0]") && error.message.contains("method"), "{error}");
    assert_eq!(bench.appliance.bdevs.iter().len(), 0);
}

#[test]
fn the_scheduler_is_saved_loaded_and_part_of_the_difference() {
    let folder = folder();
    let mut bench = Bench::new(folder.path());
    let scheduler = |bench: &mut Bench| bench.must("framework_get_scheduler", json!({}));
    let saved = |bench: &mut Bench| bench.must("framework_get_config", json!({"name": "scheduler"}));
    let set = |params: Value| json!([{"method": "framework_set_scheduler", "params": params}]);
    assert_eq!(scheduler(&mut bench), json!({"scheduler_name": "static", "scheduler_period": 1_000_000}));
    assert_eq!(saved(&mut bench), set(json!({"name": "static", "period": 1_000_000})));
    let before = bench.saved();
    bench.must("framework_set_scheduler", json!({"name": "dynamic", "period": 250_000}));
    bench.must("framework_set_scheduler", json!({"name": "static"}));
    bench.must("framework_set_scheduler", json!({"name": "dynamic"}));
    assert_eq!(scheduler(&mut bench), json!({"scheduler_name": "dynamic", "scheduler_period": 250_000}));
    let changed = bench.saved();
    let difference = bench.must("srpt_config_diff", before);
    assert_eq!(difference["requests"], set(json!({"name": "static", "period": 1_000_000})));
    drop(bench);

    let mut bench = Bench::new(folder.path());
    bench.must("load_config", changed.clone());
    assert_eq!(saved(&mut bench), set(json!({"name": "dynamic", "period": 250_000})));
    assert_eq!(bench.must("srpt_config_apply", changed), json!({"requests": []}));
    let said_nothing = json!({"subsystems": [{"subsystem": "scheduler", "config": []}]});
    assert_eq!(bench.must("srpt_config_apply", said_nothing), json!({"requests": []}), "it stays as it is");
    let twice = [json!({"name": "dynamic", "period": 500_000}), json!({"name": "static"})];
    let twice = twice.map(|params| request("framework_set_scheduler", params));
    let done = bench.must("srpt_config_apply", configuration(&twice));
    assert_eq!(done["requests"], set(json!({"name": "static", "period": 500_000})));
}

/// Deleting waits for the core that has the bdev open.
#[test]
fn what_only_asks_is_answered_during_a_change_and_what_changes_something_waits_its_turn() {
    let folder = folder();
    let mut bench = Bench::new(folder.path());
    bench.run(&ram_disk());
    let apply = bench.send("srpt_config_apply", configuration(&[]));
    let null = json!({"name": "null0", "num_blocks": 8, "block_size": 512});
    let create = bench.send("bdev_null_create", null);
    let bdevs = bench.send("bdev_get_bdevs", json!({}));
    let saved = bench.send("save_config", json!({}));
    (0..3).for_each(|_| bench.poll());
    assert!(apply.try_recv().is_err() && create.try_recv().is_err(), "a core has the bdev open");
    assert_eq!(bdevs.try_recv().expect("it is answered").expect("a list")[0]["name"], "ram0");
    assert!(saved.try_recv().is_err(), "it would be half a configuration");
    let created = loop {
        bench.must("spdk_get_version", json!({}));
        if let Ok(outcome) = create.try_recv() {
            break outcome;
        }
    };
    let saved = saved.try_recv().expect("it was answered before").expect("a configuration");
    assert_eq!(saved, bench.saved());
    assert!(created.is_ok() && apply.try_recv().expect("it was answered before").is_ok());
    assert_eq!(bench.appliance.bdevs.iter().len(), 1);
}

#[test]
fn a_change_does_not_begin_while_a_bdev_is_being_deleted() {
    let folder = folder();
    let mut bench = Bench::new(folder.path());
    bench.run(&ram_disk());
    let delete = bench.send("bdev_malloc_delete", json!({"name": "ram0", "force": true}));
    bench.poll();
    for method in ["load_config", "srpt_config_apply"] {
        let answer = bench.send(method, configuration(&[]));
        bench.poll();
        let error = answer.try_recv().expect("it is answered").expect_err("it is refused");
        assert!(error.code == -16 && error.message.contains("try again"), "{error}");
    }
    bench.must("spdk_get_version", json!({}));
    while delete.try_recv().is_err() {
        bench.must("spdk_get_version", json!({}));
    }
    assert_eq!(
        bench.must("srpt_config_apply", configuration(&ram_disk()))["requests"][0]["method"],
        "bdev_malloc_create"
    );
}

#[test]
fn commands_of_a_lun_that_was_taken_away_are_waited_for() {
    let folder = folder();
    let mut bench = Bench::new(folder.path());
    bench.run(&ram_disk());
    let wanted = [
        request("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 64, "block_size": 512})),
        request("bdev_set_qos_limit", json!({"name": "ram0", "rw_ios_per_sec": 1000})),
        request("bdev_error_create", json!({"base_name": "ram0"})),
        request("srp_create_target", json!({"name": "tgt0", "id_ext": "1", "ioc_guid": "2"})),
        request("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "EE_ram0"})),
    ];
    let done = bench.must("srpt_config_apply", configuration(&wanted));
    let methods: Vec<&Value> = done["requests"].as_array().expect("a list").iter().map(|it| &it["method"]).collect();
    assert_eq!(methods, ["srp_target_remove_lun", "bdev_error_create", "srp_target_add_lun"]);
    assert_eq!(bench.must("srpt_config_diff", configuration(&wanted)), json!({"requests": []}));
}
