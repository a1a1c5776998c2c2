//! What the tests share: a unit, a disk in memory that checks what it is asked, and a command run from CDB to ending.

use bdev::null::{self, NullOptions};
use bdev::{IoError, Op};
use uuid::Uuid;

use crate::alua::{AccessModes, AccessState, AccessStatus, TargetPort, TargetPortGroup, TargetPortGroups};
use crate::control::{self, Circumstances, ControlRequest, perform};
use crate::limits::SCRATCH_BYTES;
use crate::medium;
use crate::reservations::Reservations;
use crate::unit::Facts;
use crate::{
    Address, Context, ControlReply, Ending, Keeper, LogicalUnit, Lun, NoPeers, PortIds, ProtectionType, Saved, Sense,
    Step, UnitNexus, UnitOptions, begin,
};

pub(crate) const BLOCK: usize = 512;
/// Blocks of the unit; enough to exceed what one WRITE SAME may cover.
pub(crate) const BLOCKS: u64 = 1 << 18;

/// Blocks of the disc: 5 minutes and a bit.
pub(crate) const CD_BLOCKS: u64 = 5 * 60 * 75 + 2 * 75 + 4;

pub(crate) const PORTS: PortIds = PortIds {
    target_port_id: [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7],
    initiator_port_id: [0x33; 16],
    relative_target_port: 0x0102,
    addressing: crate::Addressing::Peripheral,
};

pub(crate) fn options() -> UnitOptions {
    options_of(BLOCKS, BLOCK as u32)
}

pub(crate) fn options_of(num_blocks: u64, block_size: u32) -> UnitOptions {
    let uuid = Some(Uuid::from_u128(0x00112233_4455_6677_8899_aabbccddeeff));
    let device = NullOptions { name: "disk01".to_owned(), num_blocks, block_size, uuid, ..NullOptions::default() };
    UnitOptions::new(null::create(device).expect("a null device"))
}

pub(crate) fn unit() -> LogicalUnit {
    LogicalUnit::new(options()).expect("a unit")
}

/// A unit with room for protection information.
pub(crate) fn protected_unit(protection: ProtectionType) -> LogicalUnit {
    protected_unit_of(protection, BLOCKS)
}

pub(crate) fn protected_unit_of(protection: ProtectionType, num_blocks: u64) -> LogicalUnit {
    let uuid = Some(Uuid::from_u128(0x00112233_4455_6677_8899_aabbccddeeff));
    let metadata = Some(bdev::Metadata::of(protection));
    let device = NullOptions { name: "disk02".to_owned(), num_blocks, uuid, metadata, ..NullOptions::default() };
    LogicalUnit::new(UnitOptions::new(null::create(device).expect("a null device"))).expect("a unit")
}

/// A CD drive with a disc in it.
pub(crate) fn cd() -> LogicalUnit {
    cd_of(CD_BLOCKS)
}

pub(crate) fn cd_of(num_blocks: u64) -> LogicalUnit {
    let options = UnitOptions { device_type: crate::DeviceType::CdRom, ..options_of(num_blocks, 2048) };
    LogicalUnit::new(options).expect("a unit")
}

pub(crate) fn unit_with(change: impl FnOnce(&mut Facts)) -> LogicalUnit {
    unit().with_facts(change)
}

pub(crate) fn context(unit: &LogicalUnit) -> Context<'_> {
    Context {
        unit: Some(unit),
        address: Address::Unit(Lun(0)),
        nexus: None,
        luns: &[],
        ports: &PORTS,
        peers: &NoPeers,
        read_only: false,
        data_out_len: 0,
        data_in_len: 0,
    }
}

pub(crate) fn with_nexus<'a>(unit: &'a LogicalUnit, nexus: &'a UnitNexus) -> Context<'a> {
    Context { nexus: Some(nexus), ..context(unit) }
}

pub(crate) fn no_unit(address: Address) -> Context<'static> {
    Context {
        unit: None,
        address,
        nexus: None,
        luns: &[],
        ports: &PORTS,
        peers: &NoPeers,
        read_only: false,
        data_out_len: 0,
        data_in_len: 0,
    }
}

/// Two groups: ours with both ways to change it, and another.
pub(crate) fn groups() -> TargetPortGroups {
    let port = |relative_id| TargetPort { relative_id, id: PORTS.target_port_id };
    let group = |id, state, explicit, ports| TargetPortGroup {
        id,
        state,
        status: AccessStatus::None,
        preferred: id == 1,
        modes: AccessModes { implicit: true, explicit },
        ports,
    };
    let groups = vec![
        group(1, AccessState::Optimized, true, vec![port(0x0102)]),
        group(0x0203, AccessState::Standby, true, vec![port(3), port(4)]),
        group(0x0204, AccessState::Transitioning, true, vec![port(5)]),
        group(0x0205, AccessState::Offline, false, vec![port(6)]),
    ];
    TargetPortGroups { groups, through: 1, transition_seconds: 9 }
}

/// A medium: the blocks that have ever been written (the rest are zero), what was asked, and errors to give.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) blocks: std::collections::BTreeMap<u64, Vec<u8>>,
    pub(crate) asked: Vec<(Op, u64, u64)>,
    /// Results of the next operations, first to last; then all succeed.
    pub(crate) results: std::collections::VecDeque<Result<(), IoError>>,
    /// Blocks that cannot be read.
    pub(crate) unreadable: Vec<u64>,
    /// A block that is kept with one byte, at this offset, changed.
    pub(crate) corrupts: Option<(u64, usize)>,
    /// The first byte of each write is kept here, if asked for.
    pub(crate) keeps_writes: bool,
    pub(crate) first_bytes: Vec<u8>,
}

impl Disk {
    pub(crate) fn fill(&mut self, lba: u64, blocks: u64, byte: u8) {
        for lba in lba..lba + blocks {
            self.blocks.insert(lba, vec![byte; BLOCK]);
        }
    }

    pub(crate) fn block(&self, lba: u64) -> Vec<u8> {
        self.blocks.get(&lba).cloned().unwrap_or_else(|| vec![0; BLOCK])
    }

    pub(crate) fn execute(&mut self, unit: &LogicalUnit, step: Step, buffer: &mut [u8]) -> Result<(), IoError> {
        let Step::Io { on: None, op, lba, blocks, data } = step else { unreachable!("only I/O is executed") };
        let size = unit.facts().stored_block_size as usize;
        assert!(lba.checked_add(blocks).is_some_and(|end| end <= unit.num_blocks()), "{op:?} {lba}+{blocks}");
        assert!(blocks > 0 || op == Op::Flush, "{op:?} of nothing");
        self.asked.push((op, lba, blocks));
        match op {
            Op::Read | Op::Write { .. } => {
                assert_eq!(data.len() as u64, blocks * size as u64);
                assert!(data.start == medium::align(data.start) && data.end <= buffer.len());
            }
            Op::LbaStatus => {
                assert!(!data.is_empty() && data.len() % 16 == 0, "{data:?}");
                assert!(data.start == medium::align(data.start) && data.end <= buffer.len());
            }
            _ => assert!(data.is_empty()),
        }
        if let Some(result @ Err(_)) = self.results.pop_front() {
            return result;
        }
        if op == Op::Read && self.unreadable.iter().any(|bad| (lba..lba + blocks).contains(bad)) {
            return Err(IoError::Medium);
        }
        match op {
            Op::Read => {
                for (index, block) in buffer[data].chunks_mut(size).enumerate() {
                    let mut stored = self.block(lba + index as u64);
                    stored.resize(size, 0);
                    block.copy_from_slice(&stored);
                }
            }
            Op::Write { .. } => {
                for (index, block) in buffer[data].chunks(size).enumerate() {
                    self.blocks.insert(lba + index as u64, block.to_vec());
                }
                if let Some((at, offset)) = self.corrupts
                    && let Some(block) = self.blocks.get_mut(&at)
                {
                    block[offset] ^= 1;
                }
                if self.keeps_writes {
                    self.first_bytes.extend(self.blocks.get(&lba).map(|block| block[0]));
                }
            }
            Op::Unmap | Op::WriteZeroes { .. } => self.blocks.retain(|&at, _| !(lba..lba + blocks).contains(&at)),
            Op::Flush => (),
            Op::LbaStatus => self.put_lba_status(lba, lba + blocks, &mut buffer[data]),
            Op::Scsi { .. } => unreachable!("no job here asks for it"),
        }
        Ok(())
    }

    /// Blocks that were written are mapped, others deallocated.
    fn put_lba_status(&self, mut lba: u64, end: u64, list: &mut [u8]) {
        list.fill(0);
        for descriptor in list.chunks_exact_mut(16) {
            if lba == end {
                break;
            }
            let mapped = self.blocks.contains_key(&lba);
            let next = match mapped {
                true => (lba..end).find(|at| !self.blocks.contains_key(at)).unwrap_or(end),
                false => self.blocks.range(lba..end).next().map_or(end, |(&at, _)| at),
            };
            descriptor[..8].copy_from_slice(&lba.to_be_bytes());
            descriptor[8..12].copy_from_slice(&((next - lba) as u32).to_be_bytes());
            descriptor[12] = u8::from(!mapped);
            lba = next;
        }
    }
}

/// How a command went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ending: Ending,
    pub(crate) data_in: Vec<u8>,
    pub(crate) data_out_len: usize,
    /// It was answered early.
    pub(crate) early: bool,
}

/// Runs a command as a transport does. The buffer starts out full of another command's data (EEh), and nothing of that
/// may come out.
pub(crate) fn run(cdb: &[u8], data_out: &[u8], context: &Context<'_>, disk: &mut Disk) -> Outcome {
    let context = &Context { data_out_len: data_out.len() as u32, ..*context };
    let mut job = match begin(cdb, context) {
        Ok(job) => job,
        Err(ending) => return Outcome { ending, data_in: Vec::new(), data_out_len: 0, early: false },
    };
    let data_out_len = job.data_out_len() as usize;
    if let Some(unit) = context.unit {
        assert!(job.buffer_len() <= unit.transfer_bytes_max() as usize + SCRATCH_BYTES, "{job:?}");
    }
    assert!(data_out_len <= job.buffer_len(), "{job:?}");
    let mut buffer = vec![0xee; job.buffer_len()];
    let sent = data_out.len().min(data_out_len);
    buffer[..sent].copy_from_slice(&data_out[..sent]);
    let (mut last, mut early) = (None, false);
    for _ in 0..100_000 {
        match job.step(context, last.take(), &mut buffer) {
            Step::Done(ending) => {
                let data_in = match &ending {
                    Ending::Good { data_in } => buffer[data_in.clone()].to_vec(),
                    _ => Vec::new(),
                };
                assert!(data_in.len() <= job.data_in_len() as usize, "{job:?} returned {}", data_in.len());
                return Outcome { ending, data_in, data_out_len, early };
            }
            Step::Answer => {
                assert!(!early && job.runs_on(), "{job:?}");
                early = true;
            }
            Step::Claim => assert!(job.exclusive().is_some(), "{job:?}"),
            Step::Control { request, parameters } => {
                let unit = context.unit.expect("the control plane needs a unit");
                let mut saved = Saved::default();
                let mut keeper = Keeper { saved: &mut saved, store: None, failure: None };
                let reply =
                    perform_alone(request, &buffer[parameters], unit, context.ports, &groups(), &mut keeper).reply;
                let (ending, data_in) = match reply {
                    ControlReply::Good(data) => {
                        let len = data.len().min(job.data_in_len() as usize);
                        (Ending::Good { data_in: 0..len }, data[..len].to_vec())
                    }
                    ControlReply::CheckCondition(sense) => (Ending::CheckCondition(sense), Vec::new()),
                    ControlReply::Status(status) => (Ending::Status(status), Vec::new()),
                };
                return Outcome { ending, data_in, data_out_len, early };
            }
            step => last = Some(disk.execute(context.unit.expect("I/O needs a unit"), step, &mut buffer)),
        }
    }
    panic!("{job:?} does not end");
}

/// The data-in of a command that must end well.
pub(crate) fn answer(cdb: &[u8], context: &Context<'_>) -> Vec<u8> {
    let outcome = run(cdb, &[], context, &mut Disk::default());
    assert!(matches!(outcome.ending, Ending::Good { .. }), "{cdb:02x?}: {:?}", outcome.ending);
    outcome.data_in
}

/// The sense of a command that must be refused or fail.
pub(crate) fn refusal(cdb: &[u8], context: &Context<'_>) -> Sense {
    sense_of(&run(cdb, &[], context, &mut Disk::default()), cdb)
}

pub(crate) fn sense_of(outcome: &Outcome, cdb: &[u8]) -> Sense {
    match outcome.ending {
        Ending::CheckCondition(sense) => sense,
        ref other => panic!("{cdb:02x?} ended with {other:?}"),
    }
}

/// A CDB of the right length from its first bytes.
pub(crate) fn cdb(start: &[u8]) -> Vec<u8> {
    let mut cdb = start.to_vec();
    cdb.resize(16, 0);
    cdb
}

/// Carries a request out at a unit that has no reservations.
pub(crate) fn perform_alone(
    request: ControlRequest,
    parameters: &[u8],
    unit: &LogicalUnit,
    ports: &PortIds,
    groups: &TargetPortGroups,
    keeper: &mut Keeper<'_>,
) -> control::Outcome {
    let at = Circumstances {
        unit,
        ports,
        reservations: &Reservations::default(),
        target_ports: &[],
        groups,
        can_persist: false,
    };
    perform(request, parameters, &at, keeper)
}

/// The same where nothing can be kept, in a target whose ports are [`groups`].
pub(crate) fn perform_at(request: ControlRequest, parameters: &[u8], unit: &LogicalUnit) -> control::Outcome {
    let mut keeper = Keeper { saved: &mut Saved::default(), store: None, failure: None };
    perform_alone(request, parameters, unit, &PORTS, &groups(), &mut keeper)
}
