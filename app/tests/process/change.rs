//! Bdevs that change under load: sizes, files, write protection, ends.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::{Value, json};
use srpt_perf::Results;
use srpt_perf::run::session_options;
use srpt_perf::session::Session;

use super::roce::{fresh_address, options, run, wait_until};
use super::{Target, failure, write_config};

const MIB: u64 = 1 << 20;

/// In memory where that can be: a disk that others keep busy stalls a load for longer than it lasts.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).expect("a folder") } else { super::folder() }
}

/// A target on two cores, if there are two, that serves this bdev as LUN 0 over RoCE.
fn serve(folder: &Path, create: &str, params: Value) -> (Target, SocketAddr) {
    let mask = if thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) { "0x3" } else { "0x1" };
    let target = Target::start(folder, &["-m", mask]);
    let name = target.call(create, params);
    target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "11", "ioc_guid": "22"}));
    target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": name}));
    let at = SocketAddr::from((fresh_address(), 5555));
    target.call("srp_create_listener", json!({"fabric": "roce", "address": at.ip().to_string(), "port": at.port()}));
    (target, at)
}

fn serve_file(folder: &Path, mebibytes: u64) -> (Target, SocketAddr, PathBuf) {
    let path = folder.join("disk.img");
    let (target, at) =
        serve(folder, "bdev_uring_create", json!({"name": "disk", "filename": path, "size": mebibytes * MIB}));
    (target, at, path)
}

/// Another file takes the place of the one at `path`, as `mv` does it.
fn replace(path: &Path, mebibytes: u64) {
    let new = path.with_extension("new");
    fs::File::create(&new).and_then(|file| file.set_len(mebibytes * MIB)).expect("a file");
    fs::rename(new, path).expect("renamed");
}

/// Runs a load over two channels; `change` does what it does when there is load on both.
fn under_load(target: &Target, at: SocketAddr, arguments: &[&str], change: impl FnOnce()) -> Results {
    let always = ["-w", "randrw", "-o", "4k", "-q", "8", "--channels", "2", "-t", "4"];
    thread::scope(|scope| {
        let load = scope.spawn(|| run(at, &[&always, arguments].concat()));
        wait_until("there is load", || {
            let sessions = target.call("srp_get_sessions", json!({}));
            let busy = |channel: &Value| channel["commands"].as_u64() > Some(20);
            let channels = sessions[0]["channels"].as_array();
            load.is_finished() || channels.is_some_and(|channels| channels.len() == 2 && channels.iter().all(busy))
        });
        change();
        load.join().expect("a run")
    })
}

fn blocks(target: &Target) -> u64 {
    target.call("bdev_get_bdevs", json!({"name": "disk"}))[0]["num_blocks"].as_u64().expect("a number")
}

/// What a new session is told of the unit's size, in blocks.
fn capacity(at: SocketAddr) -> anyhow::Result<u64> {
    let mut session = Session::start(session_options(&options(at, &[])).expect("options")).expect("a session");
    session.login().expect("a login");
    let capacity = session.probe();
    session.close();
    Ok(capacity?[0].blocks)
}

#[test]
fn a_file_grows_under_load_and_not_a_byte_is_lost() {
    let folder = folder();
    let (target, at, path) = serve_file(folder.path(), 4);
    let results = under_load(&target, at, &["--verify"], || {
        target.call("bdev_uring_resize", json!({"name": "disk", "size": 6 * MIB}));
        fs::File::options().write(true).open(&path).and_then(|file| file.set_len(8 * MIB)).expect("longer");
        assert_eq!(blocks(&target), 6 * MIB / 512, "until somebody says so");
        target.call("bdev_uring_rescan", json!({"name": "disk"}));
    });
    assert!(results.is_good() && results.tally.compared > 0, "{}", results.table());
    assert!(results.tally.retried > 0, "the initiator was told: {}", results.table());
    assert_eq!((blocks(&target), capacity(at).expect("a unit")), (8 * MIB / 512, 8 * MIB / 512));
    let saved = target.call("save_config", json!({}));
    let config = write_config(folder.path(), &saved.to_string());
    drop(target);
    let again = Target::start(folder.path(), &["-c", &config]);
    assert_eq!(blocks(&again), 8 * MIB / 512, "the size of the first day is not asked for any more");
}

#[test]
fn a_file_is_replaced_under_load_and_no_command_is_lost() {
    let folder = folder();
    let (target, at, path) = serve_file(folder.path(), 4);
    let results = under_load(&target, at, &[], || {
        for mebibytes in [8, 4, 8, 6] {
            replace(&path, mebibytes);
            assert_eq!(target.call("bdev_uring_rescan", json!({"name": "disk"})), true);
            assert_eq!(blocks(&target), mebibytes * MIB / 512);
        }
    });
    assert!(results.is_good(), "{}", results.table());
    assert!(results.tally.retried > 0, "the initiator was told: {}", results.table());
    assert!(fs::metadata(&path).expect("there").blocks() > 0, "it was sparse, and is written to");
    assert_eq!(capacity(at).expect("a unit"), 6 * MIB / 512);
}

#[test]
fn a_file_that_is_missing_at_the_start_is_waited_for_if_asked_to() {
    let folder = folder();
    let path = folder.path().join("disk.img");
    let config = |wait: bool| {
        let params = json!({"name": "disk", "filename": path, "block_size": 512, "wait_for_file": wait});
        let bdev = json!({"method": "bdev_aio_create", "params": params});
        write_config(folder.path(), &json!({"subsystems": [{"subsystem": "bdev", "config": [bdev]}]}).to_string())
    };
    let said = failure(folder.path(), &["-c", &config(false)]);
    assert!(said.contains("filename") && said.contains("disk.img"), "{said}");
    let target = Target::start(folder.path(), &["-c", &config(true)]);
    let saved = target.call("save_config", json!({}));
    assert_eq!(saved["subsystems"][0]["config"][0]["params"]["wait_for_file"], true);
    drop(target);

    let (target, at) = serve(
        folder.path(),
        "bdev_uring_create",
        json!({"name": "disk", "filename": path, "block_size": 512, "wait_for_file": true}),
    );
    let ready = || target.call("bdev_get_bdevs", json!({"name": "disk"}))[0]["ready"].clone();
    assert_eq!((ready(), blocks(&target), path.exists()), (json!(false), 0, false));
    let said = capacity(at).expect_err("not ready").to_string();
    assert!(said.contains("04h/03h"), "{said}");
    let said = target.refusal("bdev_uring_rescan", json!({"name": "disk"}));
    assert!(said.contains("filename") && said.contains("does not exist"), "{said}");
    replace(&path, 4);
    target.call("bdev_uring_rescan", json!({"name": "disk"}));
    assert_eq!((ready(), capacity(at).expect("a unit")), (json!(true), 4 * MIB / 512));
}

#[test]
fn write_protection_comes_and_goes_under_load_and_is_saved() {
    let folder = folder();
    let (target, at, path) = serve_file(folder.path(), 4);
    let protect =
        |target: &Target, on: bool| target.call("bdev_set_read_only", json!({"name": "disk", "read_only": on}));
    let results = under_load(&target, at, &["-w", "randread"], || drop(protect(&target, true)));
    assert!(results.is_good() && results.tally.retried > 0, "reads go on: {}", results.table());
    let results = run(at, &["-w", "randwrite", "-d", "200"]);
    let why = results.tally.first_failure.clone().unwrap_or_default();
    assert!(results.tally.failed > 0 && why.contains("27h/00h"), "WRITE PROTECTED: {why}");
    let saved = target.call("save_config", json!({}));
    drop(target);
    let target = Target::start(folder.path(), &["-c", &write_config(folder.path(), &saved.to_string())]);
    let read_only = || target.call("bdev_get_bdevs", json!({"name": "disk"}))[0]["read_only"].clone();
    assert_eq!((read_only(), target.call("save_config", json!({}))), (json!(true), saved));
    protect(&target, false);
    assert_eq!(read_only(), false);
    target.call("srp_delete_target", json!({"name": "tgt0"}));
    target.call("bdev_uring_delete", json!({"name": "disk"}));
    target.call("bdev_uring_create", json!({"name": "disk", "filename": path, "readonly": true}));
    let said = target.refusal("bdev_set_read_only", json!({"name": "disk", "read_only": false}));
    assert!(said.contains("made read-only"), "{said}");
}

#[test]
fn a_bdev_in_use_goes_by_force_only_and_answers_every_command() {
    let folder = folder();
    let (target, at, path) = serve_file(folder.path(), 4);
    let said = target.refusal("bdev_uring_delete", json!({"name": "disk"}));
    assert!(said.contains("LUN 0 of target tgt0"), "{said}");
    let results = under_load(&target, at, &[], || {
        assert_eq!(target.call("bdev_uring_delete", json!({"name": "disk", "force": true})), true);
    });
    assert!(results.tally.failed > 0, "{}", results.table());
    let why = results.tally.first_failure.clone().unwrap_or_default();
    assert!(why.contains("25h/00h"), "LOGICAL UNIT NOT SUPPORTED: {why}");
    assert_eq!(target.call("bdev_get_bdevs", json!({})), json!([]));
    target.call("bdev_aio_create", json!({"name": "disk", "filename": path}));
    target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "disk"}));
    assert!(run(at, &["-d", "200"]).is_good());
}

#[test]
fn what_cannot_be_changed_is_refused_by_name() {
    let folder = folder();
    let (target, _, path) = serve_file(folder.path(), 4);
    target.call("bdev_null_create", json!({"name": "null0", "num_blocks": 4096, "block_size": 512}));
    for (method, params, words) in [
        ("bdev_null_resize", json!({"name": "null0", "new_size": 1}), "new_size"),
        ("bdev_null_resize", json!({"name": "null0", "new_size": 1u64 << 60}), "new_size"),
        ("bdev_null_resize", json!({"name": "null0", "new_size": -1}), "new_size"),
        ("bdev_null_resize", json!({"name": "disk", "new_size": 8}), "URING bdev"),
        ("bdev_null_resize", json!({"name": "nobody", "new_size": 8}), "nobody"),
        ("bdev_uring_resize", json!({"name": "disk", "size": 1}), "size"),
        ("bdev_uring_resize", json!({"name": "disk", "size": MIB}), "allow_shrink"),
        ("bdev_uring_resize", json!({"name": "disk", "size": MIB, "allow_shrink": true}), "LUN 0 of target tgt0"),
        ("bdev_aio_resize", json!({"name": "disk", "size": 8 * MIB}), "URING bdev"),
        ("bdev_aio_rescan", json!({"name": "disk"}), "URING bdev"),
        ("bdev_uring_rescan", json!({"name": "nobody"}), "nobody"),
        ("bdev_set_read_only", json!({"name": "nobody", "read_only": true}), "nobody"),
        ("bdev_uring_create", json!({"name": "w", "filename": "/nonexistent/f", "wait_for_file": true}), "block_size"),
    ] {
        let said = target.refusal(method, params.clone());
        assert!(said.contains(words), "{method} {params} was refused without a word of {words}: {said}");
    }
    assert_eq!((blocks(&target), fs::metadata(&path).expect("there").len()), (4 * MIB / 512, 4 * MIB));
    target.call("bdev_null_resize", json!({"name": "null0", "new_size": 3}));
    let saved = target.call("framework_get_config", json!({"name": "bdev"}));
    assert_eq!(saved[1]["params"]["num_blocks"], 3 * MIB / 512);
    target.call("srp_target_remove_lun", json!({"target": "tgt0", "lun": 0}));
    let shrink = json!({"name": "disk", "size": MIB, "allow_shrink": true});
    wait_until("every core has let go of it", || target.try_call("bdev_uring_resize", shrink.clone()).is_ok());
    assert_eq!((blocks(&target), fs::metadata(&path).expect("there").len()), (MIB / 512, MIB));
}
