//! Buffers go from one command to the next, and from one initiator to another. What they hold from before reaches nobody: every answer is the same
//! whatever all free buffers are filled with before every step of the target.

use bdev::error::{ErrorType, Injection, IoType};
use bdev::passthrough::fake::{FakeDevice, Reply};
use fabric::sim::SimOptions;

use super::*;
use crate::testing::{Answer, Data, Form};

/// Room for data that commands are asked with: less than there is, just the header, and more than there is.
const ROOMS: [u16; 11] = [0, 1, 3, 4, 5, 8, 24, 36, 96, 255, 4096];

/// Disks, one of which fails reads, and a device that moves less than it was asked for.
const DISK: u16 = 0;
const FAULTY: u16 = 1;
const TAPE: u16 = 2;

/// A target whose free buffers hold `poison` whenever it takes one.
struct Poisoned {
    rig: Rig,
    initiator: Initiator,
    channel: usize,
    faulty: Arc<Bdev>,
    poison: u8,
}

impl Poisoned {
    fn new(poison: u8) -> Poisoned {
        let mut rig = Rig::new(71, 1, SimOptions::default(), 32);
        let faulty = bdev::error::create(&malloc("ram1", 256), None).expect("a device that fails");
        rig.export(&malloc("ram0", 256));
        rig.export(&faulty);
        rig.export(&short_device().bdev("tape0", 1, 65536, 16));
        let mut initiator = rig.initiator(1);
        let channel = rig.login(&mut initiator, MultiChannel::Single);
        [DISK, FAULTY, TAPE].into_iter().for_each(|lun| rig.clear_attention(&mut initiator, channel, lun));
        Poisoned { rig, initiator, channel, faulty, poison }
    }

    /// The answer, whatever the status, and the memory that the initiator offered.
    fn ask(&mut self, request: &Request) -> Answer {
        let Poisoned { rig, initiator, channel, poison, .. } = self;
        let step = &mut || {
            rig.groups.iter().for_each(|group| fill_free_buffers(group, *poison));
            rig.step();
        };
        initiator.execute(*channel, request, step).answer()
    }
}

fn fill_free_buffers(group: &PollGroup, poison: u8) {
    let memory = &group.memory;
    for pool in memory.data.pools().iter().chain([&memory.tables, &memory.messages]) {
        let mut free: Vec<_> = std::iter::from_fn(|| pool.get()).collect();
        free.iter_mut().for_each(|buf| buf.bytes_mut().fill(poison));
    }
}

/// An honest device: it says what it did not move. Moves the first 100 bytes of a READ, with GOOD, or with CHECK CONDITION where the command says so, and nothing for what it does not know.
fn short_device() -> FakeDevice {
    FakeDevice::new(1, |command| {
        let moved = command.data.len().min(100);
        let residual = (command.data.len() - moved) as i32;
        match command.cdb[0] {
            0x12 => {
                command.data.fill(0);
                Reply::GOOD
            }
            0x08 => {
                command.data[..moved].fill(0x11);
                let medium_error = [0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0];
                let failed = command.cdb[1] != 0;
                Reply { residual, ..if failed { Reply::check_condition(&medium_error) } else { Reply::GOOD } }
            }
            _ => Reply { residual: command.data.len() as i32, ..Reply::GOOD },
        }
    })
}

/// What two targets answer that differ in nothing but what their buffers held before.
fn check(asks: impl Fn(&mut Poisoned) -> Vec<(String, Answer)>) {
    let (one, other) = (asks(&mut Poisoned::new(0x5c)), asks(&mut Poisoned::new(!0x5c)));
    assert_eq!(one.len(), other.len());
    for ((what, one), (_, other)) in one.iter().zip(&other) {
        // The bytes themselves are too many to be printed.
        assert!(one == other, "{what} shows what buffers held before");
    }
}

/// Commands that answer with parameters, with the place of their allocation length.
fn queries() -> Vec<(&'static str, Vec<u8>, std::ops::Range<usize>)> {
    let cdb = |len: usize, bytes: &[(usize, u8)]| {
        let mut cdb = vec![0; len];
        bytes.iter().for_each(|&(at, byte)| cdb[at] = byte);
        cdb
    };
    let mut queries = vec![
        ("INQUIRY", cdb(6, &[(0, 0x12)]), 3..5),
        ("REQUEST SENSE", cdb(6, &[(0, 0x03)]), 4..5),
        ("MODE SENSE(6)", cdb(6, &[(0, 0x1a), (2, 0x3f), (3, 0xff)]), 4..5),
        ("MODE SENSE(10)", cdb(10, &[(0, 0x5a), (2, 0x3f), (3, 0xff)]), 7..9),
        ("MODE SENSE(10), what can be changed", cdb(10, &[(0, 0x5a), (2, 0x7f), (3, 0xff)]), 7..9),
        ("REPORT LUNS", cdb(12, &[(0, 0xa0)]), 6..10),
        ("READ CAPACITY(16)", cdb(16, &[(0, 0x9e), (1, 0x10)]), 10..14),
        ("GET LBA STATUS", cdb(16, &[(0, 0x9e), (1, 0x12)]), 10..14),
        ("RECEIVE DIAGNOSTIC RESULTS", cdb(6, &[(0, 0x1c)]), 3..5),
        ("REPORT TARGET PORT GROUPS", cdb(12, &[(0, 0xa3), (1, 0x0a)]), 6..10),
        ("REPORT SUPPORTED OPERATION CODES", cdb(12, &[(0, 0xa3), (1, 0x0c), (2, 0x80)]), 6..10),
        ("REPORT SUPPORTED OPERATION CODES, one", cdb(12, &[(0, 0xa3), (1, 0x0c), (2, 0x81), (3, 0x28)]), 6..10),
        ("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", cdb(12, &[(0, 0xa3), (1, 0x0d), (2, 0x80)]), 6..10),
        ("REPORT IDENTIFYING INFORMATION", cdb(12, &[(0, 0xa3), (1, 0x05)]), 6..10),
        ("RECEIVE COPY RESULTS", cdb(16, &[(0, 0x84), (1, 0x03)]), 10..14),
    ];
    let pages = [0x00, 0x80, 0x83, 0x85, 0x86, 0x87, 0x88, 0x8a, 0x8f, 0xb0, 0xb1, 0xb2];
    queries.extend(pages.map(|page| ("a page of INQUIRY", cdb(6, &[(0, 0x12), (1, 1), (2, page)]), 3..5)));
    // Not 19h, which tells how long commands took: no two runs are alike.
    let pages = [0x00, 0x02, 0x03, 0x05, 0x0c, 0x0d, 0x10, 0x15, 0x2f];
    queries.extend(pages.map(|page| ("a page of LOG SENSE", cdb(10, &[(0, 0x4d), (2, 0x40 | page)]), 7..9)));
    let actions = [0, 1, 2, 3];
    queries.extend(actions.map(|action| ("PERSISTENT RESERVE IN", cdb(10, &[(0, 0x5e), (1, action)]), 7..9)));
    let modes = [0x00, 0x02, 0x03, 0x0a, 0x0b];
    queries.extend(modes.map(|mode| ("READ BUFFER", cdb(10, &[(0, 0x3c), (1, mode)]), 6..9)));
    queries
}

#[test]
fn parameters_end_where_they_end() {
    check(|target| {
        let mut answers = Vec::new();
        for ((name, mut cdb, length), room) in
            queries().into_iter().flat_map(|query| ROOMS.map(|room| (query.clone(), room)))
        {
            let room = if length.len() == 1 { room.min(255) } else { room };
            let bytes = u32::from(room).to_be_bytes();
            cdb[length.clone()].copy_from_slice(&bytes[4 - length.len()..]);
            for (lun_number, offered) in [(DISK, u32::from(room)), (DISK, 4096), (TAPE, u32::from(room))] {
                let request = Request::new(lun(lun_number), cdb.clone());
                let request = if offered == 0 { request } else { request.data_in(offered) };
                let what = format!("{name} {cdb:02x?} of LUN {lun_number} with {offered} bytes of room");
                answers.push((what, target.ask(&request)));
            }
        }
        assert!(answers.iter().filter(|(_, answer)| answer.status == 0).count() > 500, "most are understood");
        answers
    });
}

#[test]
fn reads_that_are_short_or_fail_show_no_more_than_was_read() {
    check(|target| {
        let mut answers = Vec::new();
        let ask = |target: &mut Poisoned, what: &str, request: Request| (what.to_string(), target.ask(&request));
        for offered in [1, 512, 1000, 2048, 4096, 65536] {
            for form in [Form::Direct, Form::inline(offered, 1), Form::table(offered, 3.min(offered), 1)] {
                let mut read = Request::read(lun(DISK), 0, 4, BLOCK);
                read.data = Data::In { len: offered, form: form.clone() };
                answers.push(ask(target, "a READ with another buffer than it needs", read));
                let tape = Request::new(lun(TAPE), [0x08, 0, 0, 0x08, 0, 0]).data_in(offered).form(form);
                answers.push(ask(target, "a READ of a device that moves less", tape));
            }
        }
        for len in [64_u8, 100, 200] {
            let failing = Request::new(lun(TAPE), [0x08, 1, 0, 0, len, 0]).data_in(len.into());
            answers.push(ask(target, "a READ that fails half way", failing));
        }
        for lba in [250, 255, 256, u32::MAX] {
            answers.push(ask(target, "a READ past the end", Request::read(lun(DISK), lba, 8, BLOCK)));
        }
        let injection = Injection { error: ErrorType::Failure, num: 3, queue_depth: 0 };
        assert!(bdev::error::inject(&target.faulty, IoType::Read, injection));
        for blocks in [1, 8, 128, 8] {
            answers.push(ask(target, "a READ that the device fails", Request::read(lun(FAULTY), 0, blocks, BLOCK)));
        }
        let statuses: Vec<u8> = answers.iter().map(|(_, answer)| answer.status).collect();
        assert!(statuses.ends_with(&[2, 2, 2, 0]) && statuses.starts_with(&[0, 0]), "{statuses:?}");
        answers
    });
}
