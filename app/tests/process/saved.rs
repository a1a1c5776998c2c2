//! What initiators have a unit keep (mode pages, identifying information, the log of application clients, the type of protection), over kill -9.

use serde_json::json;
use srpt_perf::initiator::cdb::Cdb;
use srpt_perf::initiator::{Transfer, Verdict};

use super::kill::Initiator;
use super::roce::serve_bdevs;
use super::{Target, folder};

/// One command that must end well, sent again for unit attentions; returns its data.
fn run(initiator: &mut Initiator, start: &[u8], transfer: Transfer, data_out: &[u8]) -> Vec<u8> {
    let mut cdb: Cdb = [0; 16];
    cdb[..start.len()].copy_from_slice(start);
    loop {
        let (answer, data) = initiator.send(&cdb, transfer, data_out);
        match answer.verdict() {
            Verdict::Good => return data,
            Verdict::Again => {}
            Verdict::Failed => panic!("{start:02x?}: {answer:?}"),
        }
    }
}

/// MODE SENSE(6) of the control mode page: SWP and TAS, as they are and as they were saved.
fn modes(initiator: &mut Initiator) -> [u8; 4] {
    let [now, saved] = [0x0a, 0xca].map(|page| run(initiator, &[0x1a, 0x08, page, 0, 16], Transfer::In(16), &[]));
    [now[4 + 4], now[4 + 5], saved[4 + 4], saved[4 + 5]]
}

fn identifying(initiator: &mut Initiator) -> Vec<u8> {
    run(initiator, &[0xa3, 0x05, 0, 0, 0, 0, 0, 0, 0, 12, 4, 0], Transfer::In(12), &[])[4..12].to_vec()
}

fn noted(initiator: &mut Initiator) -> u8 {
    run(initiator, &[0x4d, 0, 0x4f, 0, 0, 0, 5, 0, 16], Transfer::In(16), &[])[8]
}

#[test]
fn what_initiators_save_is_there_after_kill_9() {
    const SWP: u8 = 0x08;
    const TAS: u8 = 0x40;
    let folder = folder();
    let start = || {
        let target = Target::start(folder.path(), &[]);
        let uuid = "6b29fc40-ca47-1067-b31d-00dd010662da"; // the unit's identity follows from it
        target.call("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 2048, "block_size": 512, "uuid": uuid}));
        let at = serve_bdevs(&target, &["ram0"]);
        (target, Initiator::login(at, 1, 0, 512))
    };
    let (mut target, mut initiator) = start();
    assert_eq!(modes(&mut initiator), [0, TAS, 0, TAS]);
    let page = [0x0a, 0x0a, 0x02, 0x10, SWP, TAS, 0, 0, 0, 0, 0, 60];
    let select = |save: u8, page: &[u8]| ([0x15, 0x10 | save, 0, 0, 16], [&[0; 4], page].concat());
    let (cdb, list) = select(1, &page);
    run(&mut initiator, &cdb, Transfer::Out(16), &list);
    let mut without_tas = page;
    without_tas[5] = 0;
    let (cdb, list) = select(0, &without_tas);
    run(&mut initiator, &cdb, Transfer::Out(16), &list);
    assert_eq!(modes(&mut initiator), [SWP, 0, SWP, TAS]);
    run(&mut initiator, &[0xa4, 0x06, 0, 0, 0, 0, 0, 0, 0, 8, 4, 0], Transfer::Out(8), b"rack 7b\0");
    let parameter = [&[0x0f, 0, 1, 0, 0, 5, 3, 252][..], &[0x77; 252]].concat();
    run(&mut initiator, &[0x4c, 1, 0x40, 0, 0, 0, 0, 1, 4], Transfer::Out(260), &parameter);
    drop(initiator);
    target.child.kill().expect("kill -9");
    target.wait();

    let (_target, mut initiator) = start();
    assert_eq!(modes(&mut initiator), [SWP, TAS, SWP, TAS], "what was not saved is gone");
    assert_eq!(identifying(&mut initiator), b"rack 7b\0");
    assert_eq!(noted(&mut initiator), 0x77);
}

/// P_TYPE and PROT_EN of READ CAPACITY(16).
fn protection(initiator: &mut Initiator) -> u8 {
    run(initiator, &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32], Transfer::In(32), &[])[12] & 0x0f
}

#[test]
fn the_type_that_a_unit_was_formatted_to_is_there_after_kill_9() {
    const TYPE_1: u8 = 0b0001;
    const TYPE_3: u8 = 0b0101;
    let folder = folder();
    let file = folder.path().join("disk.img");
    let start = || {
        let target = Target::start(folder.path(), &[]);
        let params = json!({"name": "disk01", "filename": file, "size": 1024 * 520, "block_size": 512, "md_size": 8,
            "md_interleave": true, "dif_type": 1, "uuid": "0c9a9ea4-2d6b-4d3e-8f57-6d1a5a1e7e10"});
        target.call("bdev_uring_create", params);
        let at = serve_bdevs(&target, &["disk01"]);
        (target, Initiator::login(at, 1, 0, 512))
    };
    let (mut target, mut initiator) = start();
    assert_eq!(protection(&mut initiator), TYPE_1);
    // FMTPINFO 11b and PROTECTION FIELD USAGE 001b.
    run(&mut initiator, &[0x04, 0xd0, 0, 0, 0, 0], Transfer::Out(4), &[0x01, 0, 0, 0]);
    assert_eq!(protection(&mut initiator), TYPE_3);
    let written = [0x5a; 512];
    run(&mut initiator, &[0x2a, 0x08, 0, 0, 0, 7, 0, 0, 1, 0], Transfer::Out(512), &written); // FUA
    drop(initiator);
    target.child.kill().expect("kill -9");
    target.wait();

    let (_target, mut initiator) = start();
    assert_eq!(protection(&mut initiator), TYPE_3);
    assert_eq!(run(&mut initiator, &[0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0], Transfer::In(512), &[]), written);
}
