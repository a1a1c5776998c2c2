//! What `--auto-save` must not do: put half a configuration in the place of a good one.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::testing::{Bench, configuration, request};

fn file(folder: &Path) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(folder.join("config.json")).ok()?).ok()
}

/// A RAM disk that is exported, in the file by now.
fn saved_bench(folder: &Path) -> (Bench, Value) {
    let mut bench = Bench::saving_itself(folder);
    bench.must("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 64, "block_size": 512}));
    bench.must("srp_create_target", json!({"name": "tgt0", "id_ext": "1", "ioc_guid": "2"}));
    bench.must("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "ram0"}));
    let saved = bench.saved();
    bench.run_until(|_| file(folder).as_ref() == Some(&saved));
    (bench, saved)
}

/// What was there of it at the signal was saved: a target without its LUNs.
#[test]
fn an_end_in_the_middle_of_a_change_waits_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut bench, before) = saved_bench(folder.path());
    let wanted = [
        request("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 128, "block_size": 512})),
        request("srp_create_target", json!({"name": "tgt0", "id_ext": "1", "ioc_guid": "2"})),
        request("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "ram0"})),
    ];
    let apply = bench.send("srpt_config_apply", configuration(&wanted));
    (0..3).for_each(|_| bench.poll());
    assert!(bench.appliance.is_changing(), "a core has the bdev open");
    bench.appliance.stop.store(true, Ordering::Relaxed);
    (0..3).for_each(|_| bench.poll());
    assert!(!bench.appliance.controller.is_draining());
    assert_eq!(file(folder.path()), Some(before));
    bench.run_until(|bench| !bench.appliance.is_changing());
    let after = bench.saved();
    bench.end();
    assert!(apply.try_recv().expect("it is answered").is_ok());
    assert_eq!(file(folder.path()), Some(after));
}

/// A bdev whose file is gone cannot be made again.
#[test]
fn what_could_not_be_taken_back_is_not_saved_until_somebody_wants_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut bench, _) = saved_bench(folder.path());
    let disk = folder.path().join("disk.img");
    fs::File::create(&disk).and_then(|disk| disk.set_len(4096)).expect("a file");
    bench.must("bdev_uring_create", json!({"name": "disk", "filename": disk}));
    let good = bench.saved();
    bench.run_until(|_| file(folder.path()).as_ref() == Some(&good));
    fs::remove_file(&disk).expect("a file");
    let failing = [
        request("bdev_uring_delete", json!({"name": "disk"})),
        request("bdev_null_create", json!({"name": "n", "num_blocks": 1, "block_size": 500})),
    ];
    let error = bench.call("load_config", configuration(&failing)).expect_err("500 is no block size");
    assert!(error.message.contains("could not be taken back: bdev_uring_create"), "{error}");
    bench.must("bdev_null_create", json!({"name": "null0", "num_blocks": 8, "block_size": 512}));
    assert_ne!(bench.saved(), good);
    bench.end();
    assert_eq!(file(folder.path()), Some(good));

    for (method, params) in [("srpt_config_write", json!({})), ("srpt_config_apply", bench.saved())] {
        let mut bench = Bench::saving_itself(folder.path());
        bench.appliance.config_file.suspend();
        bench.must(method, params);
        bench.must("bdev_null_create", json!({"name": method, "num_blocks": 8, "block_size": 512}));
        let saved = bench.saved();
        bench.end();
        assert_eq!(file(folder.path()), Some(saved), "{method}");
    }
}

#[test]
fn sighup_at_the_end_makes_nothing_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut bench, saved) = saved_bench(folder.path());
    bench.must("srp_delete_target", json!({"name": "tgt0"}));
    bench.end();
    fs::write(folder.path().join("config.json"), saved.to_string()).expect("a file");
    bench.appliance.config_file.sighup();
    bench.run_until(|bench| !bench.appliance.config_file.is_reloading());
    assert_eq!(bench.appliance.controller.targets().len(), 0);
}

/// Clients who never pause kept logins and the watchdog waiting for ever.
#[test]
fn others_have_their_turn_between_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bench = Bench::new(folder.path());
    let answers: Vec<_> = (0..100).map(|_| bench.send("spdk_get_version", json!({}))).collect();
    bench.poll();
    let is_answered = |answer: &&std::sync::mpsc::Receiver<_>| answer.try_recv().is_ok();
    assert_eq!(answers.iter().filter(is_answered).count(), crate::appliance::REQUESTS_PER_ROUND);
    (0..100).for_each(|_| bench.poll());
    let left = 100 - crate::appliance::REQUESTS_PER_ROUND;
    assert_eq!(answers.iter().filter(is_answered).count(), left);
}
