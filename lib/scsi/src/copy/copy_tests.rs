use std::sync::atomic::Ordering;

use bdev::null::{self, NullOptions};
use proptest::prelude::*;

use super::list::{DESCRIPTORS_BYTES_MAX, OWN_UNIT};
use super::*;
use crate::execute::{Designation, Ending, Job, PeerUnit, Peers};
use crate::nexus::{PathState, ReservedFor, UnitAttention, UnitNexus};
use crate::testing::{answer, cdb, context, refusal};
use crate::wire::cdb::{be16, be32};
use crate::wire::sense::ScsiStatus;
use crate::{UnitOptions, begin};

const WRITE: Op = Op::Write { fua: false };

/// One unit of several, with what is on it.
struct Disk {
    unit: LogicalUnit,
    nexus: UnitNexus,
    read_only: bool,
    bytes: Vec<u8>,
}

/// The units that the initiator sees; commands are addressed to the first.
struct Bench {
    disks: Vec<Disk>,
    /// Results of the next operations, first to last; then all succeed.
    results: std::collections::VecDeque<Result<(), IoError>>,
    asked: Vec<(usize, Op, u64, u64)>,
}

struct Seen<'a>(Vec<PeerUnit<'a>>);

impl Peers for Seen<'_> {
    fn find(&self, descriptor: &Designation<'_>) -> Option<Peer> {
        self.0.iter().position(|peer| peer.unit.is_named(descriptor)).map(|index| Peer(index as u16))
    }

    fn unit(&self, peer: Peer) -> Option<PeerUnit<'_>> {
        self.0.get(usize::from(peer.0)).copied()
    }
}

fn naa(index: usize) -> [u8; 8] {
    (0x3000_0000_0000_0100 + index as u64).to_be_bytes()
}

impl Bench {
    /// A disk for each pair of block size and number of blocks.
    fn new(sizes: &[(u32, u64)]) -> Bench {
        let disk = |(index, &(block_size, num_blocks)): (usize, &(u32, u64))| {
            let options = NullOptions { name: format!("disk{index}"), num_blocks, ..NullOptions::default() };
            let mut options = UnitOptions::new(null::create(options).expect("a null device"));
            options.naa = Some(u64::from_be_bytes(naa(index)));
            options.eui64 = format!("00000000000000{:02x}", index + 1).parse().ok();
            options.serial = Some(format!("S{index}"));
            options.transfer_bytes_max = crate::limits::TRANSFER_BYTES_MIN; // so that there are several pieces
            // Devices have no such blocks as some tests want.
            let unit = LogicalUnit::new(options).expect("a unit").with_facts(|facts| facts.block_size = block_size);
            let len = block_size as usize * num_blocks as usize;
            let bytes = (0..len)
                .map(|at| (at / 512) as u8 ^ (at as u8).wrapping_mul(3) ^ ((index as u8).wrapping_mul(0x55)))
                .collect();
            Disk { unit, nexus: UnitNexus::new(), read_only: false, bytes }
        };
        Bench { disks: sizes.iter().enumerate().map(disk).collect(), results: Default::default(), asked: Vec::new() }
    }

    /// Begins a copy and drives it through as many operations as are given, or to its end.
    fn run(&mut self, list: &[u8], most: usize) -> (Option<Job>, Option<Ending>) {
        let mut cdb = cdb(&[0x83]);
        cdb[10..14].copy_from_slice(&(list.len() as u32).to_be_bytes());
        let Bench { disks, results, asked } = self;
        let mut contents: Vec<Vec<u8>> = disks.iter_mut().map(|disk| std::mem::take(&mut disk.bytes)).collect();
        let seen = Seen(
            disks
                .iter()
                .map(|disk| PeerUnit { unit: &disk.unit, nexus: &disk.nexus, read_only: disk.read_only })
                .collect(),
        );
        let own = &disks[0];
        let context = Context { nexus: Some(&own.nexus), peers: &seen, read_only: own.read_only, ..context(&own.unit) };
        let outcome = match begin(&cdb, &context) {
            Err(ending) => (None, Some(ending)),
            Ok(mut job) => {
                let mut buffer = vec![0xee; job.buffer_len()];
                assert!(buffer.len() <= own.unit.transfer_bytes_max() as usize + SCRATCH_BYTES);
                buffer[..list.len()].copy_from_slice(list);
                let (mut last, mut ending) = (None, None);
                for _ in 0..most {
                    match job.step(&context, last.take(), &mut buffer) {
                        Step::Done(end) => {
                            ending = Some(end);
                            break;
                        }
                        Step::Io { on, op, lba, blocks, data } => {
                            let index = on.map_or(0, |peer| usize::from(peer.0));
                            asked.push((index, op, lba, blocks));
                            let size = disks[index].unit.block_size() as usize;
                            assert!(blocks > 0 && lba + blocks <= disks[index].unit.num_blocks());
                            assert_eq!((data.start, data.len()), (align(data.start), blocks as usize * size));
                            let place = lba as usize * size..(lba + blocks) as usize * size;
                            let result = results.pop_front().unwrap_or(Ok(()));
                            match op {
                                _ if result.is_err() => (),
                                Op::Read => buffer[data].copy_from_slice(&contents[index][place]),
                                Op::Write { .. } => contents[index][place].copy_from_slice(&buffer[data]),
                                other => panic!("{other:?}"),
                            }
                            last = Some(result);
                        }
                        step => panic!("{step:?}"),
                    }
                }
                (Some(job), ending)
            }
        };
        for (disk, bytes) in disks.iter_mut().zip(&mut contents) {
            disk.bytes = std::mem::take(bytes);
        }
        outcome
    }

    fn copy(&mut self, list: &[u8]) -> Result<(), Sense> {
        match self.run(list, 1_000_000).1.expect("it ends") {
            Ending::Good { .. } => Ok(()),
            Ending::CheckCondition(sense) => Err(sense),
            other => panic!("{other:?}"),
        }
    }

    fn refused(&mut self, list: &[u8]) -> Sense {
        self.copy(list).expect_err("it is refused")
    }

    /// A RECEIVE COPY command at the first unit.
    fn receive(&self, action: u8, id: u8, allocation: u32) -> Result<Vec<u8>, Sense> {
        let mut cdb = cdb(&[0x84, action, id]);
        cdb[10..14].copy_from_slice(&allocation.to_be_bytes());
        let own = &self.disks[0];
        let context = Context { nexus: Some(&own.nexus), ..context(&own.unit) };
        let outcome = crate::testing::run(&cdb, &[], &context, &mut crate::testing::Disk::default());
        match outcome.ending {
            Ending::Good { .. } => Ok(outcome.data_in),
            Ending::CheckCondition(sense) => Err(sense),
            other => panic!("{other:?}"),
        }
    }
}

/// A CSCD descriptor by NAA designator.
fn cscd(index: usize, block_length: u32, pad: bool) -> Vec<u8> {
    let mut bytes = vec![0xe4, 0, 0, 0, 1, 3, 0, 8];
    bytes.extend(naa(index));
    bytes.resize(28, 0);
    bytes.extend((block_length | u32::from(pad) << 26).to_be_bytes());
    bytes
}

/// A segment descriptor: DC and CAT in `flags`.
fn segment(flags: u8, source: u16, destination: u16, blocks: u16, from: u64, to: u64) -> Vec<u8> {
    let mut bytes = vec![0x02, flags, 0, 0x18];
    bytes.extend(source.to_be_bytes());
    bytes.extend(destination.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(blocks.to_be_bytes());
    bytes.extend(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    bytes
}

const DC: u8 = 0x02;
const CAT: u8 = 0x01;

fn list_with(id: u8, usage: u8, cscds: &[Vec<u8>], segments: &[Vec<u8>]) -> Vec<u8> {
    let (cscds, segments) = (cscds.concat(), segments.concat());
    let mut list = vec![id, usage << 3];
    list.extend((cscds.len() as u16).to_be_bytes());
    list.extend([0; 4]);
    list.extend((segments.len() as u32).to_be_bytes());
    list.extend([0; 4]);
    list.extend(cscds);
    list.extend(segments);
    list
}

fn list(cscds: &[Vec<u8>], segments: &[Vec<u8>]) -> Vec<u8> {
    list_with(7, 0, cscds, segments)
}

fn two() -> Bench {
    Bench::new(&[(512, 2048), (512, 2048)])
}

fn between(blocks: u16, from: u64, to: u64) -> Vec<u8> {
    list(&[cscd(0, 512, false), cscd(1, 0, false)], &[segment(0, 0, 1, blocks, from, to)])
}

/// More than one buffer holds, and nothing beside it.
#[test]
fn a_range_is_copied_in_pieces() {
    let mut bench = two();
    let (source, before) = (bench.disks[0].bytes.clone(), bench.disks[1].bytes.clone());
    assert_eq!(bench.copy(&between(1000, 100, 300)), Ok(()));
    let after = &bench.disks[1].bytes;
    let (start, len) = (300 * 512, 1000 * 512);
    assert_eq!(after[start..start + len], source[100 * 512..][..len]);
    assert!(after[..start] == before[..start] && after[start + len..] == before[start + len..]);
    assert_eq!(bench.disks[0].bytes, source);
    let piece = u64::from(bench.disks[0].unit.transfer_bytes_max() / 512);
    assert_eq!(bench.asked[..2], [(0, Op::Read, 100, piece), (1, WRITE, 300, piece)]);
    let status = bench.receive(0, 7, 100).expect("it is known");
    assert_eq!(status, [0, 0, 0, 8, 1, 0, 1, 0, 0, 7, 0xd0, 0]);
}

/// Its initiators rely on that every write is on the medium, and send no SYNCHRONIZE CACHE.
#[test]
fn nothing_is_left_in_a_cache_that_the_destination_has_switched_off() {
    let mut bench = two();
    let Disk { unit, nexus, read_only, bytes } = bench.disks.pop().expect("two disks");
    let unit = unit.with_facts(|facts| facts.write_cache = true);
    unit.set_mode(&crate::ModeParameters { write_cache: false, ..unit.mode() });
    bench.disks.push(Disk { unit, nexus, read_only, bytes });
    assert_eq!(bench.copy(&between(8, 0, 0)), Ok(()));
    assert_eq!(bench.asked, [(0, Op::Read, 0, 8), (1, Op::Write { fua: true }, 0, 8)]);
}

#[test]
fn every_designator_of_page_83_names_a_unit_and_no_other_does() {
    let mut bench = two();
    let by = |code_set: u8, kind: u8, designator: &[u8]| {
        let mut bytes = vec![0xe4, 0, 0, 0, code_set, kind, 0, designator.len() as u8];
        bytes.extend(designator);
        bytes.resize(32, 0);
        list(&[bytes], &[segment(0, OWN_UNIT, 0, 8, 0, 8)])
    };
    for (code_set, kind, designator) in
        [(1, 3, &naa(1)[..]), (1, 2, &[0, 0, 0, 0, 0, 0, 0, 2]), (2, 1, b"SRPT    S1"), (1, 3, &naa(0))]
    {
        assert_eq!(bench.copy(&by(code_set, kind, designator)), Ok(()), "{code_set} {kind} {designator:02x?}");
    }
    assert_eq!(bench.asked[1], (1, WRITE, 8, 8));
    for (code_set, kind, designator) in [
        (2, 3, &naa(1)[..]),
        (1, 0x13, &naa(1)),
        (1, 3, &naa(9)),
        (1, 3, &naa(1)[..7]),
        (1, 2, &[0; 8]),
        (2, 1, b"SRPT    S"),
        (2, 1, b"SRPT"),
        (1, 4, &[0, 0, 1, 2]),
        (1, 3, b""),
    ] {
        let sense = bench.refused(&by(code_set, kind, designator));
        assert_eq!((sense.key, sense.asc, sense.ascq), (SenseKey::CopyAborted, 0x0d, 0x02));
        assert_eq!(sense.field.map(|field| field.byte), Some(16), "its CSCD descriptor");
    }
}

#[test]
fn lists_that_are_refused_before_anything_is_done() {
    let mut bench = two();
    let good = between(1, 0, 0);
    let patched = |at: usize, bytes: &[u8]| {
        let mut list = good.clone();
        list[at..at + bytes.len()].copy_from_slice(bytes);
        list
    };
    let invalid = Sense::invalid_field_in_parameter_list;
    let segment_at = 16 + 2 * 32;
    for (list, expected) in [
        (patched(1, &[0x08]), invalid(1)),
        (patched(1, &[0x18]), invalid(0)),
        (patched(2, &[0, 63]), invalid(2)),
        (patched(12, &[0, 0, 0, 1]), Sense::INLINE_DATA_LENGTH_EXCEEDED.in_parameter_list(12)),
        (patched(2, &[8, 32]), Sense::TOO_MANY_TARGET_DESCRIPTORS.in_parameter_list(2)),
        (patched(2, &[0, 96]), Sense::PARAMETER_LIST_LENGTH_ERROR),
        (patched(8, &[0, 0, 0, 29]), Sense::PARAMETER_LIST_LENGTH_ERROR),
        (patched(8, &[0xff; 4]), Sense::PARAMETER_LIST_LENGTH_ERROR),
        (patched(8, &[0, 0, 0, 27]), invalid(8)),
        (good[..15].to_vec(), Sense::PARAMETER_LIST_LENGTH_ERROR),
        (good[..100].to_vec(), Sense::PARAMETER_LIST_LENGTH_ERROR),
        (patched(16, &[0xe5]), Sense::UNSUPPORTED_TARGET_DESCRIPTOR_TYPE.in_parameter_list(16)),
        (patched(48, &[0xff]), Sense::UNSUPPORTED_TARGET_DESCRIPTOR_TYPE.in_parameter_list(48)),
        (patched(48 + 7, &[21]), invalid(48 + 7)),
        (patched(segment_at, &[0x00]), Sense::UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE.in_parameter_list(segment_at as u16)),
        (patched(segment_at, &[0x0d]), Sense::UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE.in_parameter_list(segment_at as u16)),
        (patched(segment_at + 2, &[0, 0x14]), invalid(segment_at as u16 + 2)),
        (patched(segment_at + 4, &[0, 2]), invalid(segment_at as u16 + 4)),
        (patched(segment_at + 6, &[7, 0xff]), invalid(segment_at as u16 + 6)),
    ] {
        assert_eq!(bench.refused(&list), expected, "{list:02x?}");
    }
    let many = vec![segment(0, 0, 0, 0, 0, 0); COPY_SEGMENTS + 1];
    let expected = Sense::TOO_MANY_SEGMENT_DESCRIPTORS.in_parameter_list(8);
    assert_eq!(bench.refused(&list(&[cscd(0, 0, false)], &many)), expected);
    assert_eq!(bench.copy(&list(&[cscd(0, 0, false)], &many[1..])), Ok(()), "segments of nothing");
    assert!(bench.asked.is_empty());
    assert_eq!(bench.copy(&[]), Ok(()), "no list copies nothing");
    let too_long = vec![0; LIST_BYTES_MAX + 1];
    assert_eq!(bench.refused(&too_long), Sense::PARAMETER_LIST_LENGTH_ERROR);
}

const COPY_SEGMENTS: usize = crate::limits::COPY_SEGMENTS_MAX;

fn aborted(sense: Sense) -> ((u8, u8), CopyAborted) {
    assert_eq!(sense.key, SenseKey::CopyAborted, "{sense:?}");
    ((sense.asc, sense.ascq), sense.copy.expect("it says where"))
}

const DEVICE_FAILURE: (u8, u8) = (0x0d, 0x01);

/// A device that fails in the middle of the second segment: what is left of it is told in destination blocks.
#[test]
fn an_error_of_a_device_is_forwarded() {
    let cscds = [cscd(0, 512, false), cscd(1, 512, false)];
    let segments = [segment(0, 0, 1, 8, 0, 0), segment(0, 0, 1, 1000, 8, 8)];
    let piece = 256;
    for (operation, error, by_destination, written) in
        [(3, IoError::Medium, false, 0), (5, IoError::Medium, false, piece), (6, IoError::NoSpace, true, piece)]
    {
        let mut bench = two();
        bench.results = (1..operation).map(|_| Ok(())).chain([Err(error)]).collect();
        let sense = bench.refused(&list(&cscds, &segments));
        let (code, copy) = aborted(sense);
        assert_eq!((code, copy.segment), (DEVICE_FAILURE, 1));
        let (op, inner) = if by_destination {
            (WRITE, Sense::SPACE_ALLOCATION_FAILED)
        } else {
            (Op::Read, Sense::UNRECOVERED_READ_ERROR)
        };
        assert_eq!(Sense::of_io_error(error, op, 0, 2), inner);
        assert_eq!(copy.forwarded, Some(Forwarded::check_condition(by_destination, &inner)));
        assert_eq!(sense.information, (written > 0).then_some(1000 - written));
        assert_eq!(
            sense.field.map(|field| (field.byte, copy.in_segment)),
            Some((if by_destination { 48 } else { 16 }, false))
        );
        let status = bench.receive(0, 7, 12).expect("it is known");
        assert_eq!((status[4], be16(&status, 5), be32(&status, 8)), (2, 2, (8 + written as u32) * 512));
        let details = bench.receive(4, 7, 1000).expect("there are some");
        let mut expected = [0; crate::limits::SENSE_BYTES_MAX];
        let len = sense.write(false, &mut expected);
        assert_eq!((details[56], usize::from(be16(&details, 58))), (2, len));
        assert_eq!(details[60..], expected[..len]);
        assert_eq!(bench.receive(4, 7, 1000), Ok(vec![0; 4]), "they are told once");
    }
}

/// The device that is gone is marked, and not that of the unit which took the command.
#[test]
fn a_device_that_is_gone_is_the_one_that_is_marked() {
    for (operation, gone) in [(1, 1), (2, 2)] {
        let mut bench = Bench::new(&[(512, 64), (512, 64), (512, 64)]);
        bench.results = (1..operation).map(|_| Ok(())).chain([Err(IoError::Gone)]).collect();
        let list = list(&[cscd(1, 0, false), cscd(2, 0, false)], &[segment(0, 0, 1, 8, 0, 0)]);
        assert_eq!(aborted(bench.refused(&list)).0, DEVICE_FAILURE);
        let marked: Vec<usize> = (0..3).filter(|&index| bench.disks[index].unit.is_gone()).collect();
        assert_eq!(marked, [gone]);
    }
}

#[test]
fn what_a_unit_would_refuse_stops_the_copy_before_it_starts() {
    let failure = |bench: &mut Bench, what: &str| {
        let (code, copy) = aborted(bench.refused(&between(8, 0, 0)));
        assert_eq!(code, DEVICE_FAILURE, "{what}");
        assert!(bench.asked.is_empty(), "{what}");
        let forwarded = copy.forwarded.expect("its answer");
        (forwarded.by_destination, forwarded.status, forwarded.sense)
    };
    let check = |key, asc, ascq| (ScsiStatus::CheckCondition, Some((key, asc, ascq)));
    let mut bench = two();
    bench.disks[1].read_only = true;
    assert_eq!(
        failure(&mut bench, "the LUN map"),
        (true, ScsiStatus::CheckCondition, Some((SenseKey::DataProtect, 0x27, 0)))
    );
    let mut bench = two();
    bench.disks[1].unit.set_software_write_protect(true);
    assert_eq!(failure(&mut bench, "SWP"), (true, ScsiStatus::CheckCondition, Some((SenseKey::DataProtect, 0x27, 2))));
    for (reserved, index, by_destination) in [
        (ReservedFor::Writers, 1, true),
        (ReservedFor::Others, 1, true),
        (ReservedFor::Others, 0, false),
        (ReservedFor::Spc2, 0, false),
    ] {
        let mut bench = Bench::new(&[(512, 64), (512, 64), (512, 64)]);
        bench.disks[index + 1].nexus.set_reserved_for(reserved);
        let list = list(&[cscd(1, 0, false), cscd(2, 0, false)], &[segment(0, 0, 1, 8, 0, 0)]);
        let forwarded = aborted(bench.refused(&list)).1.forwarded.expect("its answer");
        assert_eq!(
            (forwarded.by_destination, forwarded.status, forwarded.sense),
            (by_destination, ScsiStatus::ReservationConflict, None)
        );
    }
    for (state, ascq) in [
        (PathState::Standby, 0x0b),
        (PathState::Unavailable, 0x0c),
        (PathState::Offline, 0x12),
        (PathState::Transitioning, 0x0a),
    ] {
        let mut bench = two();
        bench.disks[1].nexus.set_path_state(state);
        let (by_destination, status, sense) = failure(&mut bench, "the path");
        assert!(by_destination);
        assert_eq!((status, sense), check(SenseKey::NotReady, 0x04, ascq));
    }
    let mut bench = Bench::new(&[(512, 64), (512, 64), (512, 64)]);
    bench.disks[1].nexus.set_reserved_for(ReservedFor::Writers);
    let list = list(&[cscd(1, 0, false), cscd(2, 0, false)], &[segment(0, 0, 1, 8, 0, 0)]);
    assert_eq!(bench.copy(&list), Ok(()), "a source may be read while others may write");
}

#[test]
fn ranges_past_the_end_and_fields_of_units_that_are_not_so() {
    let mut bench = Bench::new(&[(512, 64), (4096, 64)]);
    let cscds = [cscd(0, 512, false), cscd(1, 4096, false)];
    for (from, to, by_destination) in [(60, 0, false), (u64::MAX, 0, false), (0, 64, true), (0, u64::MAX, true)] {
        let (code, copy) = aborted(bench.refused(&list(&cscds, &[segment(0, 0, 1, 8, from, to)])));
        assert_eq!(code, DEVICE_FAILURE);
        assert_eq!(copy.forwarded, Some(Forwarded::check_condition(by_destination, &Sense::LBA_OUT_OF_RANGE)));
    }
    let sense = bench.refused(&list(&[cscd(0, 512, false), cscd(1, 512, false)], &[segment(0, 0, 1, 8, 0, 0)]));
    assert_eq!((aborted(sense).0, sense.field.map(|field| field.byte)), ((0x26, 0), Some(48 + 29)));
    let mut tape = cscd(1, 0, false);
    tape[1] = 1;
    let sense = bench.refused(&list(&[cscd(0, 0, false), tape], &[segment(0, 0, 1, 8, 0, 0)]));
    assert_eq!((aborted(sense).0, sense.field.map(|field| field.byte)), ((0x0d, 3), Some(48)));
    for null in [0xc000, 0xc001] {
        let sense = bench.refused(&list(&[], &[segment(0, OWN_UNIT, null, 8, 0, 0)]));
        let (code, copy) = aborted(sense);
        assert_eq!((code, copy.in_segment, sense.field.map(|field| field.byte)), ((0x0d, 2), true, Some(6)));
    }
    let mut null = cscd(1, 0, false);
    null[1] = 0x20;
    assert_eq!(aborted(bench.refused(&list(&[null], &[segment(0, OWN_UNIT, 0, 8, 0, 0)]))).0, (0x0d, 2));
    assert!(bench.asked.is_empty());
}

#[test]
fn a_segment_has_a_limit() {
    let mut bench = Bench::new(&[(65536, 10), (65536, 10)]);
    let sense = bench.refused(&list(&[], &[segment(0, OWN_UNIT, OWN_UNIT, 4097, 0, 0)]));
    let (code, copy) = aborted(sense);
    assert_eq!((code, copy.in_segment, sense.field.map(|field| field.byte)), ((0x26, 0), true, Some(10)));
}

#[test]
fn unit_attentions_wait_for_their_own_commands() {
    let mut bench = two();
    bench.disks[1].nexus.establish(UnitAttention::CapacityChanged);
    assert_eq!(bench.copy(&between(8, 0, 0)), Ok(()));
    assert_eq!(bench.disks[1].nexus.take(), Some(UnitAttention::CapacityChanged));
}

#[test]
fn list_identifiers() {
    let mut bench = two();
    const UNKNOWN: Sense = Sense::invalid_field_in_cdb(2, None);
    for action in [0, 1, 4] {
        assert_eq!(bench.receive(action, 7, 100), Err(UNKNOWN), "nothing of the kind was begun");
    }
    let (job, ending) = bench.run(&between(8, 0, 0), 2);
    assert_eq!(ending, None);
    assert_eq!(bench.receive(0, 7, 100), Ok(vec![0, 0, 0, 8, 0, 0, 1, 0, 0, 0, 0, 0]), "in progress");
    assert_eq!(bench.receive(0, 7, 100).map(|status| status[4]), Ok(0), "which can be asked again and again");
    assert_eq!((bench.receive(1, 7, 100), bench.receive(4, 7, 100)), (Err(UNKNOWN), Err(UNKNOWN)));
    assert_eq!(bench.refused(&between(8, 0, 0)), Sense::OPERATION_IN_PROGRESS);
    bench.disks[0].nexus.establish(UnitAttention::BusDeviceReset);
    bench.disks[0].nexus.take();
    assert_eq!(bench.receive(0, 7, 100).map(|status| status[4]), Ok(0), "a reset forgets what is over");
    drop(job);
    assert_eq!(bench.receive(0, 7, 100), Err(UNKNOWN), "an aborted copy is not known");
    let mut job = bench.run(&between(8, 0, 0), 2).0.expect("the identifier is free again");
    job.abandon();
    assert_eq!(bench.copy(&between(8, 0, 0)), Ok(()), "nor does an orphan keep it");
    assert_eq!((bench.receive(1, 7, 100), bench.receive(4, 7, 100)), (Ok(vec![0; 4]), Ok(vec![0; 4])));
    assert_eq!(bench.receive(0, 7, 100).map(|status| status[4]), Ok(1));
    assert_eq!(bench.receive(0, 7, 100), Err(UNKNOWN), "it was told");
    bench.copy(&between(8, 0, 0)).expect("a copy");
    bench.disks[0].nexus.establish(UnitAttention::NexusLoss);
    bench.disks[0].nexus.take();
    assert_eq!(bench.receive(0, 7, 100), Err(UNKNOWN), "a reset forgets it");
    let nameless = list_with(0, 3, &[cscd(0, 0, false), cscd(1, 0, false)], &[segment(0, 0, 1, 8, 0, 0)]);
    assert_eq!(bench.copy(&nameless), Ok(()));
    assert_eq!(bench.receive(0, 0, 100), Err(UNKNOWN), "it had no identifier");
}

#[test]
fn operating_parameters_and_the_vpd_page() {
    let bench = two();
    let told = bench.receive(3, 0, 100).expect("parameters");
    assert_eq!(be32(&told, 0) as usize, told.len() - 4);
    assert_eq!((told[4], be16(&told, 8), be16(&told, 10)), (1, 64, 256));
    assert_eq!((be32(&told, 12) as usize, be32(&told, 16)), (DESCRIPTORS_BYTES_MAX, 256 << 20));
    assert_eq!((told[43], &told[44..]), (2, &[0x02, 0xe4][..]));
    let page = answer(&[0x12, 1, 0x8f, 1, 0, 0], &context(&bench.disks[0].unit));
    assert_eq!((page[1], usize::from(be16(&page, 2))), (0x8f, page.len() - 4));
    let mut rest = &page[4..];
    let mut kinds = Vec::new();
    while !rest.is_empty() {
        let len = 4 + usize::from(be16(rest, 2));
        assert!(len.is_multiple_of(4));
        kinds.push((be16(rest, 0), len));
        rest = &rest[len..];
    }
    assert_eq!(kinds, [(1, 16), (4, 32), (8, 8), (0xc, 8), (0x8001, 36)]);
    assert_eq!(refusal(&cdb(&[0x83, 1]), &context(&bench.disks[0].unit)), Sense::invalid_field_in_cdb(1, Some(4)));
    assert_eq!(refusal(&cdb(&[0x84, 2]), &context(&bench.disks[0].unit)), Sense::invalid_field_in_cdb(1, Some(4)));
}

#[test]
fn large_counts_are_told_in_larger_units() {
    let bench = two();
    let nexus = &bench.disks[0].nexus;
    let running = nexus.copies().begin(1).expect("it is free");
    running.wrote((5 << 32) + 1023);
    assert_eq!(nexus.copies().look(1, |progress| progress.bytes.load(Ordering::Relaxed)), Some((5 << 32) + 1023));
    assert_eq!(bench.receive(0, 1, 12).map(|status| (status[7], be32(&status, 8))), Ok((1, 5 << 22)));
}

/// The same by the letter of SPC-4: bytes move one queue at a time.
struct Model {
    disks: Vec<Vec<u8>>,
    source: Vec<u8>,
    destination: Vec<u8>,
}

impl Model {
    /// Whether the segment is exact enough.
    fn copy(&mut self, sizes: &[(u32, bool)], descriptor: &[u8], last: bool) -> bool {
        let (dc, cat) = (descriptor[1] & DC != 0, descriptor[1] & CAT != 0);
        let [from, to] = [4, 6].map(|at| usize::from(be16(descriptor, at)));
        let count = usize::from(be16(descriptor, 10));
        let (from_block, to_block) = (sizes[from].0 as usize, sizes[to].0 as usize);
        let (mut read_at, mut write_at) = (descriptor[19] as usize * from_block, descriptor[27] as usize * to_block);
        let processed = if dc { (count * to_block).saturating_sub(self.destination.len()) } else { count * from_block };
        while self.source.len() < processed {
            self.source.extend_from_slice(&self.disks[from][read_at..read_at + from_block]);
            read_at += from_block;
        }
        self.destination.extend(self.source.drain(..processed));
        let mut written = 0;
        while self.destination.len() >= to_block && !(dc && written == count) {
            let block: Vec<u8> = self.destination.drain(..to_block).collect();
            self.disks[to][write_at..write_at + to_block].copy_from_slice(&block);
            write_at += to_block;
            written += 1;
        }
        let left = !self.source.is_empty() || !self.destination.is_empty();
        if left && !cat {
            match (sizes[from].1, sizes[to].1) {
                (discard, true) => {
                    if !self.destination.is_empty() {
                        if dc {
                            return false;
                        }
                        self.destination.resize(to_block, 0);
                        let block = std::mem::take(&mut self.destination);
                        self.disks[to][write_at..write_at + to_block].copy_from_slice(&block);
                    }
                    if discard {
                        self.source.clear();
                    }
                }
                (true, false) => (self.source, self.destination) = (Vec::new(), Vec::new()),
                (false, false) => return false,
            }
        }
        if last {
            (self.source, self.destination) = (Vec::new(), Vec::new());
        }
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any sizes, any residues: what is on the disks afterwards is what the standard's wording comes to.
    #[test]
    fn residues_go_where_the_standard_says(
        sizes in prop::collection::vec((prop::sample::select(vec![512_u32, 520, 1000, 4096, 6000, 8192]), any::<bool>()), 3),
        segments in prop::collection::vec((0_u8..4, 0_u16..3, 0_u16..3, 0_u16..6, 0_u8..8, 0_u8..8), 1..6),
    ) {
        let mut bench = Bench::new(&sizes.iter().map(|&(size, _)| (size, 200)).collect::<Vec<_>>());
        let cscds: Vec<_> = sizes.iter().enumerate().map(|(index, &(size, pad))| cscd(index, size, pad)).collect();
        // From a disk to itself, ranges that overlap are another test's business.
        let segments: Vec<_> = segments
            .into_iter()
            .map(|(flags, from, to, count, lba, at)| segment(flags, from, to, count, u64::from(lba), 100 + u64::from(at)))
            .collect();
        let mut model = Model {
            disks: bench.disks.iter().map(|disk| disk.bytes.clone()).collect(),
            source: Vec::new(),
            destination: Vec::new(),
        };
        let result = bench.copy(&list(&cscds, &segments));
        let last = segments.len() - 1;
        let failed = segments.iter().enumerate().find(|&(index, descriptor)| {
            let before = model.disks.clone();
            let exact = model.copy(&sizes, descriptor, index == last);
            if !exact {
                model.disks = before; // we look before we write
            }
            !exact
        });
        match failed {
            None => prop_assert_eq!(result, Ok(())),
            Some((index, _)) => {
                let (code, copy) = aborted(result.expect_err("it is inexact"));
                prop_assert_eq!((code, usize::from(copy.segment)), ((0x26, 0x0a), index));
            }
        }
        for (disk, expected) in bench.disks.iter().zip(&model.disks) {
            prop_assert!(disk.bytes == *expected, "{} differs", disk.unit.name());
        }
    }

    /// As if all had been read before anything was written, whichever way the ranges overlap.
    #[test]
    fn overlapping_ranges(from in 0_u64..1000, to in 0_u64..1000, blocks in 0_u16..1000) {
        let mut bench = Bench::new(&[(512, 2048)]);
        let mut expected = bench.disks[0].bytes.clone();
        let (start, len) = (from as usize * 512, usize::from(blocks) * 512);
        expected.copy_within(start..start + len, to as usize * 512);
        prop_assert_eq!(bench.copy(&list(&[], &[segment(0, OWN_UNIT, OWN_UNIT, blocks, from, to)])), Ok(()));
        prop_assert!(bench.disks[0].bytes == expected);
    }

    #[test]
    fn no_list_panics(bytes in prop::collection::vec(any::<u8>(), 16..200), count in 0_u8..4, kinds in any::<bool>()) {
        let mut bytes = bytes;
        bytes[1] &= 0xe7;
        bytes[2..16].fill(0);
        bytes[3] = count * 32;
        bytes[11] = (bytes.len() - 16).saturating_sub(usize::from(count) * 32) as u8 / 28 * 28;
        if kinds {
            for descriptor in bytes[16..].chunks_mut(32).take(usize::from(count)) {
                descriptor[0] = 0xe4;
            }
            let at = 16 + usize::from(count) * 32;
            for descriptor in bytes.get_mut(at..).unwrap_or(&mut []).chunks_mut(28).filter(|bytes| bytes.len() == 28) {
                let (flags, blocks) = (descriptor[1], descriptor[11]);
                descriptor[..12].copy_from_slice(&[2, flags, 0, 0x18, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, blocks]);
                descriptor[12..19].fill(0);
                descriptor[20..27].fill(0);
            }
        }
        let _ = two().copy(&bytes);
    }
}
