//! CD drives: how they are made, asked for and saved, and what becomes of their discs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use srpt_perf::run::session_options;
use srpt_perf::session::Session;
use srpt_perf::worker::{Executed, OneCommand};

use super::roce::{fresh_address, options};
use super::{Target, folder, write_config};

const BLOCK: u64 = 2048;

fn image(folder: &Path, name: &str, blocks: u64) -> String {
    let path = folder.join(name);
    fs::File::create(&path).and_then(|file| file.set_len(blocks * BLOCK)).expect("a file");
    path.display().to_string()
}

/// A target whose LUN 0 is a CD drive with this image in it.
fn serve(folder: &Path, image: &str) -> (Target, SocketAddr) {
    let target = Target::start(folder, &[]);
    let bdev = json!({"name": "cd0", "filename": image, "block_size": BLOCK, "readonly": true});
    target.call("bdev_uring_create", bdev);
    target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "11", "ioc_guid": "22"}));
    target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "cd0", "device_type": "cdrom"}));
    let at = SocketAddr::from((fresh_address(), 5555));
    target.call("srp_create_listener", json!({"fabric": "roce", "address": at.ip().to_string(), "port": at.port()}));
    (target, at)
}

fn drive(target: &Target) -> Value {
    target.call("srp_get_targets", json!({}))[0]["luns"][0]["cdrom"].clone()
}

fn bdev(target: &Target) -> (Value, Value) {
    let bdev = target.call("bdev_get_bdevs", json!({"name": "cd0"}))[0].clone();
    (bdev["driver_specific"]["uring"]["filename"].clone(), bdev["num_blocks"].clone())
}

/// What a new session is answered to TEST UNIT READY, or behind that to READ CAPACITY(16), which no CD drive has.
fn said_to_a_new_session(at: SocketAddr) -> String {
    let mut session = Session::start(session_options(&options(at, &[])).expect("options")).expect("a session");
    session.login().expect("a login");
    let said = session.probe().expect_err("it is no disk").to_string();
    session.close();
    said
}

#[test]
fn an_initiator_reads_the_disc_and_ejects_it() {
    let folder = folder();
    let one = image(folder.path(), "one.iso", 100);
    fs::write(&one, vec![0x5a; 100 * BLOCK as usize]).expect("a file");
    let (target, at) = serve(folder.path(), &one);
    let mut session = Session::start(session_options(&options(at, &[])).expect("options")).expect("a session");
    session.login().expect("a login");
    let mut execute = |start: &[u8], data_in_len: u32| {
        let mut cdb = [0; 16];
        cdb[..start.len()].copy_from_slice(start);
        session.execute(OneCommand { cdb, data_out: Vec::new(), data_in_len }).expect("an answer")
    };
    let ready = |executed: Executed| executed.sense.map(|sense| (sense.key, sense.asc, sense.ascq));
    while ready(execute(&[0], 0)).is_some_and(|(key, _, _)| key == 6) {}
    let capacity = execute(&[0x25], 8).data_in;
    assert_eq!(capacity, [0, 0, 0, 99, 0, 0, 8, 0]);
    let toc = execute(&[0x43, 0, 0, 0, 0, 0, 0, 0, 20], 20).data_in;
    assert_eq!(toc, [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 0, 100]);
    assert_eq!(execute(&[0x28, 0, 0, 0, 0, 99, 0, 0, 1], 2048).data_in, [0x5a; 2048]);
    execute(&[0x1e, 0, 0, 0, 1], 0);
    assert_eq!(drive(&target)["removal_prevented"], true);
    assert_eq!(ready(execute(&[0x1b, 0, 0, 0, 2], 0)), Some((5, 0x53, 0x02)));
    let said = target.refusal("srp_cdrom_eject", json!({"bdev_name": "cd0"}));
    assert!(said.contains("force"), "{said}");
    execute(&[0x1e], 0);
    assert_eq!(ready(execute(&[0x1b, 0, 0, 0, 2], 0)), None);
    assert_eq!(drive(&target), json!({"tray": "open", "ejected": false, "removal_prevented": false}));
    assert_eq!(ready(execute(&[0], 0)), Some((2, 0x3a, 0x02)));
    assert_eq!(ready(execute(&[0x1b, 0, 0, 0, 3], 0)), None);
    assert_eq!(ready(execute(&[0], 0)), Some((6, 0x28, 0x00)), "medium may have changed");
    assert_eq!(ready(execute(&[0], 0)), None);
    session.close();
}

const READY: &str = "20h/00h";
const TRAY_OPEN: &str = "3Ah/02h";

#[test]
fn a_disc_is_taken_out_and_another_put_in() {
    let folder = folder();
    let [one, two] = [image(folder.path(), "one.iso", 100), image(folder.path(), "two.iso", 200)];
    let (target, at) = serve(folder.path(), &one);
    assert_eq!(drive(&target), json!({"tray": "closed", "ejected": false, "removal_prevented": false}));
    let said = said_to_a_new_session(at);
    assert!(said.contains("READ CAPACITY(16)") && said.contains(READY), "{said}");
    target.call("srp_cdrom_eject", json!({"bdev_name": "cd0"}));
    assert_eq!(drive(&target), json!({"tray": "open", "ejected": true, "removal_prevented": false}));
    let said = said_to_a_new_session(at);
    assert!(said.contains(TRAY_OPEN), "{said}");
    target.call("srp_cdrom_insert", json!({"bdev_name": "cd0", "filename": two}));
    assert_eq!((drive(&target)["tray"].clone(), bdev(&target)), (json!("closed"), (json!(two), json!(200))));
    assert!(said_to_a_new_session(at).contains(READY));
    target.call("srp_cdrom_eject", json!({"bdev_name": "cd0"}));
    target.call("srp_cdrom_insert", json!({"bdev_name": "cd0"}));
    assert_eq!(bdev(&target), (json!(two), json!(200)), "the same again");
    assert!(said_to_a_new_session(at).contains(READY));
}

#[test]
fn drive_and_disc_are_saved_also_when_the_image_was_put_away() {
    let folder = folder();
    let [one, two] = [image(folder.path(), "one.iso", 100), image(folder.path(), "two.iso", 200)];
    let (target, _) = serve(folder.path(), &one);
    target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "cd0", "lun": 5}));
    target.call("srp_cdrom_eject", json!({"bdev_name": "cd0"}));
    target.call("srp_cdrom_insert", json!({"bdev_name": "cd0", "filename": two}));
    let again = |target: Target| {
        let saved = target.call("save_config", json!({}));
        drop(target);
        let again = Target::start(folder.path(), &["-c", &write_config(folder.path(), &saved.to_string())]);
        assert_eq!(again.call("save_config", json!({})), saved);
        again
    };
    let target = again(target);
    assert_eq!((drive(&target)["ejected"].clone(), bdev(&target)), (json!(false), (json!(two), json!(200))));
    target.call("srp_cdrom_eject", json!({"bdev_name": "cd0"}));
    fs::remove_file(&two).expect("put away");
    let target = again(target);
    assert_eq!((drive(&target)["ejected"].clone(), bdev(&target)), (json!(true), (json!(two), json!(0))));
    let said = target.refusal("srp_cdrom_insert", json!({"bdev_name": "cd0"}));
    assert!(said.contains("filename") && said.contains("does not exist"), "{said}");
    target.call("srp_cdrom_insert", json!({"bdev_name": "cd0", "filename": one}));
    assert_eq!((drive(&target)["ejected"].clone(), bdev(&target)), (json!(false), (json!(one), json!(100))));
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let folder = folder();
    let one = image(folder.path(), "one.iso", 100);
    let empty = image(folder.path(), "empty.iso", 0);
    let (target, _) = serve(folder.path(), &one);
    target.call("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 2048, "block_size": 512}));
    target.call("bdev_malloc_create", json!({"name": "ram1", "num_blocks": 2048, "block_size": 2048}));
    let lun = |bdev: &str, device_type: &str| json!({"target": "tgt0", "bdev_name": bdev, "device_type": device_type});
    target.call("srp_target_add_lun", lun("ram1", "cdrom"));
    for (method, params, words) in [
        ("srp_target_add_lun", lun("ram0", "cdrom"), &["bdev_name", "block_size 2048"][..]),
        ("srp_target_add_lun", lun("ram0", "tape"), &["device_type", "cdrom"]),
        ("srp_target_add_lun", lun("cd0", "cdrom"), &["device_type", "exported already"]),
        ("srp_cdrom_eject", json!({"bdev_name": "nobody"}), &["bdev_name", "nobody"]),
        ("srp_cdrom_eject", json!({"bdev_name": "ram0"}), &["bdev_name", "device_type"]),
        ("srp_cdrom_eject", json!({}), &["bdev_name"]),
        ("srp_cdrom_insert", json!({"bdev_name": "ram0"}), &["bdev_name", "device_type"]),
        ("srp_cdrom_insert", json!({"bdev_name": "cd0"}), &["bdev_name", "srp_cdrom_eject"]),
    ] {
        let said = target.refusal(method, params.clone());
        for word in words {
            assert!(said.contains(word), "{method} {params} was refused without a word of {word}: {said}");
        }
    }
    for name in ["cd0", "ram1"] {
        target.call("srp_cdrom_eject", json!({"bdev_name": name}));
        target.call("srp_cdrom_eject", json!({"bdev_name": name}));
    }
    for (bdev, filename, word) in [("cd0", "/nonexistent.iso", "filename"), ("ram1", one.as_str(), "filename")] {
        let said = target.refusal("srp_cdrom_insert", json!({"bdev_name": bdev, "filename": filename}));
        assert!(said.contains(word), "{said}");
    }
    let said = target.refusal("srp_cdrom_insert", json!({"bdev_name": "cd0", "filename": empty}));
    assert!(said.contains("empty.iso"), "{said}");
    assert_eq!((drive(&target)["ejected"].clone(), bdev(&target).0), (json!(true), json!(one)), "nothing was changed");
    target.call("srp_cdrom_insert", json!({"bdev_name": "ram1"}));
}
