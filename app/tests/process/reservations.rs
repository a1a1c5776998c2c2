//! Persistent reservations over the ends of the process: what APTPL promised is there before the first login, after kill -9, too.

use std::net::SocketAddr;

use serde_json::{Value, json};
use srpt_perf::initiator::cdb::{self, Cdb};
use srpt_perf::initiator::{Answer, Transfer};
use srpt_perf::workload::Direction;

use super::kill::Initiator;
use super::roce::serve_bdevs;
use super::{Target, failure, folder, write_config};

const GOOD: u8 = 0x00;
const CONFLICT: u8 = 0x18;

const REGISTER: u8 = 0;
const RESERVE: u8 = 1;
const EXCLUSIVE_ACCESS: u8 = 3;
const APTPL: u8 = 1;

/// PERSISTENT RESERVE OUT (SPC-4).
fn reserve_out(initiator: &mut Initiator, action: u8, kind: u8, keys: [u64; 2], flags: u8) -> u8 {
    let mut list = [keys[0].to_be_bytes(), keys[1].to_be_bytes(), [0; 8]].concat();
    list[20] = flags;
    let mut cdb: Cdb = [0; 16];
    cdb[..9].copy_from_slice(&[0x5f, action, kind, 0, 0, 0, 0, 0, 24]);
    send(initiator, &cdb, Transfer::Out(24), &list).status
}

fn read(initiator: &mut Initiator) -> u8 {
    send(initiator, &cdb::transfer(Direction::Read, 0, 1), Transfer::In(512), &[]).status
}

/// Sent again for as long as there are unit attentions.
fn send(initiator: &mut Initiator, cdb: &Cdb, transfer: Transfer, data_out: &[u8]) -> Answer {
    loop {
        let (answer, _) = initiator.send(cdb, transfer, data_out);
        if answer.sense.is_none_or(|sense| sense.key != 6) {
            return answer;
        }
    }
}

fn start(folder: &std::path::Path) -> (Target, SocketAddr) {
    let target = Target::start(folder, &[]);
    let uuid = "6b29fc40-ca47-1067-b31d-00dd010662da"; // the unit's identity follows from it
    target.call("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 2048, "block_size": 512, "uuid": uuid}));
    let at = serve_bdevs(&target, &["ram0"]);
    (target, at)
}

fn kill(mut target: Target) {
    target.child.kill().expect("kill -9");
    target.wait();
}

fn reservations(target: &Target) -> Value {
    target.call("srp_get_reservations", json!({"bdev_name": "ram0"}))[0].clone()
}

#[test]
fn what_is_to_persist_is_there_before_the_first_login_after_kill_9_until_the_administrator_clears_it() {
    let folder = folder();
    let (target, at) = start(folder.path());
    let mut one = Initiator::login(at, 1, 0, 512);
    assert_eq!(reserve_out(&mut one, REGISTER, 0, [0, 0xa1], APTPL), GOOD);
    assert_eq!(reserve_out(&mut one, RESERVE, EXCLUSIVE_ACCESS, [0xa1, 0], 0), GOOD);
    let before = reservations(&target);
    assert_eq!(before["registrations"][0]["logged_in"], true);
    drop(one);
    kill(target);

    let (target, at) = start(folder.path());
    let (initiator, port) = ("0x00000000000000000000000000000001", "0x00000000000000110000000000000022");
    let expected = json!({"bdev_name": "ram0", "naa": before["naa"], "generation": 0, "aptpl": true,
        "registrations": [{"initiator_port_id": initiator, "target_port_id": port, "target": "tgt0",
            "key": "0x00000000000000a1", "logged_in": false}],
        "reservation": {"type": "exclusive_access", "holder": {"initiator_port_id": initiator, "target_port_id": port}},
        "spc2_holder": null});
    assert_eq!(reservations(&target), expected);
    let (mut two, mut one) = (Initiator::login(at, 2, 0, 512), Initiator::login(at, 1, 0, 512));
    assert_eq!((read(&mut two), read(&mut one)), (CONFLICT, GOOD));

    assert_eq!(target.call("srp_clear_reservations", json!({"bdev_name": "ram0"})), true);
    assert_eq!((read(&mut two), read(&mut one)), (GOOD, GOOD));
    assert_eq!(target.call("srp_clear_reservations", json!({"bdev_name": "ram0"})), false, "there is nothing left");
    drop((one, two));
    kill(target);

    let (target, _) = start(folder.path());
    assert_eq!(
        (&reservations(&target)["registrations"], &reservations(&target)["reservation"]),
        (&json!([]), &Value::Null)
    );
}

#[test]
fn what_cannot_be_read_keeps_the_unit_from_being_exported_and_the_target_from_starting() {
    let folder = folder();
    let (target, at) = start(folder.path());
    let mut one = Initiator::login(at, 1, 0, 512);
    assert_eq!(reserve_out(&mut one, REGISTER, 0, [0, 0xa1], APTPL), GOOD);
    let saved = target.call("save_config", json!({})).to_string();
    let naa = reservations(&target)["naa"].as_str().expect("text")[2..].to_owned();
    drop(one);
    kill(target);
    let file = folder.path().join(format!("state/unit-{naa}.json"));
    let text = std::fs::read_to_string(&file).expect("the unit's file");
    std::fs::write(&file, &text[..text.len() / 2]).expect("half of it");
    let said = failure(folder.path(), &["-c", &write_config(folder.path(), &saved)]);
    assert!(said.contains(&format!("unit-{naa}.json")) && said.contains("restore the file, or remove it"), "{said}");
}

#[test]
fn without_aptpl_nothing_outlives_the_process() {
    let folder = folder();
    let (target, at) = start(folder.path());
    let mut one = Initiator::login(at, 1, 0, 512);
    assert_eq!(reserve_out(&mut one, REGISTER, 0, [0, 0xa1], APTPL), GOOD);
    assert_eq!(reserve_out(&mut one, REGISTER, 0, [0xa1, 0xa2], 0), GOOD, "APTPL of the last registration counts");
    drop(one);
    kill(target);
    let (target, _) = start(folder.path());
    assert_eq!(reservations(&target)["registrations"], json!([]));
}
