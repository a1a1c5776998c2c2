//! Third-party copies by the real binary: between files, and no further than an initiator sees.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;
use srpt_perf::run::session_options;
use srpt_perf::session::Session;
use srpt_perf::worker::{Executed, OneCommand};

use super::roce::{fresh_address, options};
use super::{Target, folder};

const MIB: usize = 1 << 20;
const BLOCK: usize = 512;
const FROM: u64 = 0x3000_0000_0000_0001;
const TO: u64 = 0x3000_0000_0000_0002;
const HIDDEN: u64 = 0x3000_0000_0000_0003;

/// Two disks that every initiator sees, and one that none does.
fn serve(folder: &Path) -> (Target, SocketAddr) {
    let data: Vec<u8> = (0..3 * MIB).map(|at| (at / BLOCK) as u8 ^ (at as u8).wrapping_mul(7)).collect();
    fs::write(folder.join("from.img"), data).expect("a file");
    let target = Target::start(folder, &[]);
    target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "11", "ioc_guid": "22"}));
    for (name, naa) in [("from", FROM), ("to", TO), ("hidden", HIDDEN)] {
        let filename = folder.join(name).with_extension("img");
        target.call("bdev_uring_create", json!({"name": name, "filename": filename, "size": 3 * MIB}));
        let lun = json!({"target": "tgt0", "bdev_name": name, "naa": format!("{naa:#x}")});
        target.call("srp_target_add_lun", lun);
    }
    target.call("srp_create_initiator_group", json!({"name": "all", "initiators": ["*"], "luns": [0, 1]}));
    let at = SocketAddr::from((fresh_address(), 5555));
    target.call("srp_create_listener", json!({"fabric": "roce", "address": at.ip().to_string(), "port": at.port()}));
    (target, at)
}

fn session(at: SocketAddr) -> Session {
    let mut session = Session::start(session_options(&options(at, &[])).expect("options")).expect("a session");
    session.login().expect("a login");
    session.probe().expect("it is ready");
    session
}

/// EXTENDED COPY(LID1) of blocks from 0 on.
fn copy(session: &mut Session, id: u8, from: u64, to: u64, blocks: u16) -> Executed {
    let mut list = vec![id, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0];
    for naa in [from, to] {
        list.extend([0xe4, 0, 0, 0, 1, 3, 0, 8]);
        list.extend(naa.to_be_bytes());
        list.extend([0; 16]);
    }
    list.extend([2, 0, 0, 0x18, 0, 0, 0, 1, 0, 0]);
    list.extend(blocks.to_be_bytes());
    list.extend([0; 16]);
    let mut cdb = [0; 16];
    (cdb[0], cdb[13]) = (0x83, list.len() as u8);
    session.execute(OneCommand { cdb, data_out: list, data_in_len: 0 }).expect("an answer")
}

fn receive_status(session: &mut Session, id: u8) -> Executed {
    let mut cdb = [0; 16];
    (cdb[0], cdb[2], cdb[13]) = (0x84, id, 12);
    session.execute(OneCommand { cdb, data_out: Vec::new(), data_in_len: 12 }).expect("an answer")
}

fn codes(executed: &Executed) -> Option<(u8, u8, u8)> {
    executed.sense.map(|sense| (sense.key, sense.asc, sense.ascq))
}

fn bytes_moved(target: &Target) -> u64 {
    let channel = target.call("srp_get_sessions", json!({}))[0]["channels"][0].clone();
    let count = |name: &str| channel[name].as_u64().expect("a number");
    count("bytes_in") + count("bytes_out")
}

#[test]
fn a_file_is_copied_to_another_and_its_data_stays_in_the_target() {
    let folder = folder();
    let (target, at) = serve(folder.path());
    let mut session = session(at);
    let before = bytes_moved(&target);
    let executed = copy(&mut session, 9, FROM, TO, 6000);
    assert_eq!((executed.status, codes(&executed)), (0, None));
    assert!(bytes_moved(&target) - before <= 4096, "nothing but the list and its neighbours");
    let [from, to] = ["from.img", "to.img"].map(|name| fs::read(folder.path().join(name)).expect("there"));
    assert!(from[..6000 * BLOCK] == to[..6000 * BLOCK]);
    assert!(to[6000 * BLOCK..].iter().all(|&byte| byte == 0), "no more than was asked for");
    let status = receive_status(&mut session, 9);
    assert_eq!((status.status, &status.data_in[4..7]), (0, &[1, 0, 1][..]), "completed, one segment");
    assert_eq!(status.data_in[8..], (6000 * BLOCK as u32).to_be_bytes());
    assert_eq!(codes(&receive_status(&mut session, 9)), Some((5, 0x24, 0)), "told once");
    session.close();
}

#[test]
fn what_an_initiator_may_not_do_a_copy_may_not_do_for_it() {
    let folder = folder();
    let (target, at) = serve(folder.path());
    let mut session = session(at);
    for (from, to) in [(FROM, HIDDEN), (HIDDEN, TO)] {
        assert_eq!(codes(&copy(&mut session, 1, from, to, 8)), Some((0xa, 0x0d, 0x02)), "not reachable");
    }
    target.call("bdev_set_read_only", json!({"name": "to", "read_only": true}));
    let refused = |session: &mut Session| loop {
        match codes(&copy(session, 1, FROM, TO, 8)) {
            Some((6, _, _)) => {} // it is told of the change
            other => return other,
        }
    };
    assert_eq!(refused(&mut session), Some((0xa, 0x0d, 0x01)), "the destination failed");
    let untouched = |name: &str| fs::read(folder.path().join(name)).expect("there").iter().all(|&byte| byte == 0);
    assert!(untouched("to.img") && untouched("hidden.img"));
    session.close();
}
