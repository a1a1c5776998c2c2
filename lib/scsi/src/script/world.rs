//! Units, the initiators at them, and disks in memory that can fail: all that a command may see and change.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use bdev::null::{self, NullOptions};
use bdev::uring::{self, UringOptions};
use bdev::{Bdev, IoError, Metadata, Op, ProtectionType};
use uuid::Uuid;

use super::source::Source;
use crate::alua::{self, AccessModes, AccessState, AccessStatus, TargetPortGroup, TargetPortGroups};
use crate::control::{self, Circumstances, ControlReply, ControlRequest, Effect};
use crate::limits::{BUFFER_ALIGN, SCRATCH_BYTES, TRANSFER_BYTES_MIN};
use crate::reservations::{NexusId, Reservations, TargetPort};
use crate::{
    Address, Addressing, Context, Designation, Ending, Job, Keeper, LogicalUnit, Lun, Peer, PeerUnit, Peers, PortIds,
    Saved, Step, Store, StoreError, UnitNexus, UnitOptions, begin,
};

/// Initiators, each with a nexus at each unit.
pub(super) const INITIATORS: usize = 3;

/// The ports of each initiator's nexus.
pub(super) const PORTS: [PortIds; INITIATORS] = [ports(0x31), ports(0x32), ports(0x33)];

const fn ports(initiator: u8) -> PortIds {
    PortIds {
        target_port_id: [0x10; 16],
        initiator_port_id: [initiator; 16],
        relative_target_port: 0x0102,
        addressing: Addressing::Peripheral,
    }
}

/// After so many steps a command is aborted: it is long, not stuck.
const STEPS_MAX: usize = 48;

pub(super) struct World {
    pub(super) units: Vec<LogicalUnit>,
    pub(super) disks: Vec<Disk>,
    pub(super) nexuses: Vec<[UnitNexus; INITIATORS]>,
    /// What the control plane knows of each unit.
    kept: RefCell<Vec<Kept>>,
    /// What buffers hold of other commands.
    fill: u8,
}

#[derive(Clone, Default)]
struct Kept {
    saved: Saved,
    reservations: Reservations,
    access: AccessState,
}

/// Keeps nothing, which nobody notices who does not restart.
struct Nowhere;

impl Store for Nowhere {
    fn load(&self, _: u64) -> Result<Saved, StoreError> {
        Ok(Saved::default())
    }

    fn save(&self, _: u64, _: &Saved) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Data of a command; of a long one, failures show the beginning.
#[derive(Clone, PartialEq, Default)]
pub(super) struct Data(pub(super) Vec<u8>);

/// A command and its surroundings.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) initiator: usize,
    pub(super) unit: usize,
    /// Nothing is at the LUN.
    pub(super) nowhere: Option<Address>,
    pub(super) read_only: bool,
    pub(super) cdb: Vec<u8>,
    pub(super) data_out: Data,
    /// Results of its I/O, first to last; then all succeed.
    pub(super) results: VecDeque<Option<IoError>>,
    /// The unit is taken away after so many steps.
    pub(super) vanishes_after: Option<usize>,
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Report {
    /// `None`: it was aborted.
    pub(super) ending: Option<Ending>,
    /// The CDB was refused at once.
    pub(super) refused: bool,
    pub(super) data_in: Data,
    /// As the CDB has it, filled up to the length that was asked for.
    pub(super) data_out: Data,
    /// Unit, operation, first block, number of blocks.
    pub(super) asked: Vec<(usize, Op, u64, u64)>,
    pub(super) failed: bool,
    pub(super) exclusive: Option<Range<u64>>,
}

/// Blocks that were ever written; the rest are zero.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct Disk(BTreeMap<u64, Vec<u8>>);

impl World {
    /// The units that the bytes decide on; what buffers hold before they are used is `fill`.
    pub(super) fn new(source: &mut Source<'_>, fill: u8) -> World {
        let count = 1 + source.below(3);
        let units: Vec<LogicalUnit> = (0..count).map(|index| unit(source, index)).collect();
        World {
            disks: vec![Disk::default(); count],
            nexuses: (0..count).map(|_| Default::default()).collect(),
            kept: RefCell::new(vec![Kept::default(); count]),
            units,
            fill,
        }
    }

    /// What a unit answers to somebody who has nothing to be told.
    pub(super) fn ask(&self, unit: usize, cdb: &[u8]) -> Vec<u8> {
        let visible = Visible { world: self, initiator: 0, read_only: false };
        let context = Context { nexus: None, ..visible.context(unit) };
        let Ok(mut job) = begin(cdb, &context) else { return Vec::new() };
        let mut buffer = vec![0; job.buffer_len()];
        match job.step(&context, None, &mut buffer) {
            Step::Done(Ending::Good { data_in }) => buffer[data_in].to_vec(),
            _ => Vec::new(),
        }
    }

    /// Runs a command as a transport does.
    pub(super) fn run(&mut self, request: &Request) -> Report {
        let mut disks = std::mem::take(&mut self.disks);
        let report = Visible { world: self, initiator: request.initiator, read_only: request.read_only }
            .run(request, &mut disks, self.fill);
        self.disks = disks;
        report
    }

    /// Whether the same command is refused in the same way again.
    pub(super) fn is_refused(&self, request: &Request) -> Option<Ending> {
        let visible = Visible { world: self, initiator: request.initiator, read_only: request.read_only };
        begin(&request.cdb, &visible.context_of(request)).err()
    }
}

/// The world as one initiator sees it.
struct Visible<'a> {
    world: &'a World,
    initiator: usize,
    read_only: bool,
}

impl Visible<'_> {
    fn context(&self, unit: usize) -> Context<'_> {
        Context {
            unit: Some(&self.world.units[unit]),
            address: Address::Unit(Lun(0)),
            nexus: Some(&self.world.nexuses[unit][self.initiator]),
            luns: &[Lun(0), Lun(3)],
            ports: &PORTS[self.initiator],
            peers: self,
            read_only: self.read_only,
            data_out_len: 0,
            data_in_len: 0,
        }
    }

    fn context_of(&self, request: &Request) -> Context<'_> {
        let context = self.context(request.unit);
        match request.nowhere {
            Some(address) => Context { unit: None, nexus: None, address, ..context },
            None => context,
        }
    }

    fn run(&self, request: &Request, disks: &mut [Disk], fill: u8) -> Report {
        let mut context = self.context_of(request);
        let mut report = Report {
            ending: None,
            refused: false,
            data_in: Data::default(),
            data_out: request.data_out.clone(),
            asked: Vec::new(),
            failed: false,
            exclusive: None,
        };
        let mut job = match begin(&request.cdb, &context) {
            Ok(job) => job,
            Err(ending) => return Report { ending: Some(ending), refused: true, ..report },
        };
        report.exclusive = job.exclusive();
        let mut buffer = self.buffer(&job, &mut report.data_out.0, fill);
        let (mut last, mut results) = (None, request.results.clone());
        for turn in 0.. {
            if turn >= STEPS_MAX && !job.runs_on() {
                break;
            }
            if request.vanishes_after == Some(turn) {
                context.unit = None;
            }
            match job.step(&context, last.take(), &mut buffer) {
                Step::Done(ending) => {
                    if let Ending::Good { data_in } = &ending {
                        report.data_in.0 = buffer[data_in.clone()].to_vec();
                    }
                    report.ending = Some(ending);
                    break;
                }
                Step::Answer | Step::Claim => {}
                Step::Control { request: control, parameters } => {
                    let (ending, data_in) = self.control(control, &buffer[parameters], request);
                    report.data_in.0 = data_in;
                    report.data_in.0.truncate(job.data_in_len() as usize);
                    report.ending = Some(ending);
                    break;
                }
                Step::Io { on, op, lba, blocks, data } => {
                    let at = on.map_or(request.unit, |peer| usize::from(peer.0));
                    self.check_io(at, op, lba, blocks, &data, buffer.len());
                    report.asked.push((at, op, lba, blocks));
                    // What goes on all the same (FORMAT UNIT, SANITIZE) ends when its device is taken away.
                    let result = if turn >= STEPS_MAX { Some(IoError::Gone) } else { results.pop_front().flatten() };
                    report.failed |= result.is_some();
                    last = Some(match result {
                        Some(error) => Err(error),
                        None => {
                            let block_bytes = self.world.units[at].facts().stored_block_size;
                            disks[at].execute(op, lba, blocks, &mut buffer[data], block_bytes);
                            Ok(())
                        }
                    });
                }
            }
        }
        assert!(report.data_in.len() <= job.data_in_len() as usize, "{job:?} returned {}", report.data_in.len());
        report
    }

    /// A buffer full of another command's data, with this one's data-out at its start.
    fn buffer(&self, job: &Job, data_out: &mut Vec<u8>, fill: u8) -> Vec<u8> {
        let most = self.world.units.iter().map(|unit| unit.transfer_bytes_max()).max().unwrap_or(TRANSFER_BYTES_MIN);
        assert!(job.buffer_len() <= most as usize + SCRATCH_BYTES, "{job:?}");
        let data_out_len = job.data_out_len() as usize;
        assert!(data_out_len <= job.buffer_len(), "{job:?}");
        let given = data_out.clone();
        *data_out = given.iter().copied().cycle().take(data_out_len).collect();
        data_out.resize(data_out_len, 0);
        let mut buffer = vec![fill; job.buffer_len()];
        buffer[..data_out_len].copy_from_slice(data_out);
        buffer
    }

    /// The control plane, as the transport's does it.
    fn control(&self, control: ControlRequest, parameters: &[u8], request: &Request) -> (Ending, Vec<u8>) {
        let kept = &mut self.world.kept.borrow_mut()[request.unit];
        let (reservations, groups) = (kept.reservations.clone(), port_groups(kept.access));
        let ports = &PORTS[self.initiator];
        let circumstances = Circumstances {
            unit: &self.world.units[request.unit],
            ports,
            reservations: &reservations,
            target_ports: &[TargetPort { id: ports.target_port_id, relative: ports.relative_target_port }],
            groups: &groups,
            can_persist: true,
        };
        let mut keeper = Keeper { saved: &mut kept.saved, store: Some(&Nowhere), failure: None };
        let outcome = control::perform(control, parameters, &circumstances, &mut keeper);
        outcome.effects.into_iter().for_each(|effect| self.apply(effect, request.unit, kept));
        match outcome.reply {
            ControlReply::Good(data) => (Ending::Good { data_in: 0..data.len() }, data.into_vec()),
            ControlReply::CheckCondition(sense) => (Ending::CheckCondition(sense), Vec::new()),
            ControlReply::Status(status) => (Ending::Status(status), Vec::new()),
        }
    }

    fn apply(&self, effect: Effect, unit: usize, kept: &mut Kept) {
        let nexuses = || self.world.nexuses[unit].iter().zip(&PORTS);
        match effect {
            Effect::TellAll(attention) => nexuses().for_each(|(nexus, _)| nexus.establish(attention)),
            Effect::TellOthers(attention) => {
                let others = nexuses().filter(|(_, ports)| **ports != PORTS[self.initiator]);
                others.for_each(|(nexus, _)| nexus.establish(attention));
            }
            Effect::Tell(told, attention) => {
                let its = nexuses().filter(|(_, ports)| NexusId::from(*ports) == told);
                its.for_each(|(nexus, _)| nexus.establish(attention));
            }
            Effect::Reserve(reservations) => {
                kept.reservations = *reservations;
                nexuses().for_each(|(nexus, ports)| {
                    nexus.set_reserved_for(kept.reservations.reserved_for(NexusId::from(ports)));
                });
            }
            Effect::SetAccessState { state, .. } => {
                kept.access = state;
                nexuses().for_each(|(nexus, _)| nexus.set_path_state(state.path()));
            }
            Effect::Abort(_) => {} // one command at a time
        }
    }

    /// What a device may rely on.
    fn check_io(&self, unit: usize, op: Op, lba: u64, blocks: u64, data: &Range<usize>, buffer_len: usize) {
        let unit = &self.world.units[unit];
        assert!(lba.checked_add(blocks).is_some_and(|end| end <= unit.num_blocks()), "{op:?} {lba}+{blocks}");
        assert!(blocks > 0 || op == Op::Flush, "{op:?} of nothing");
        assert!(data.end <= buffer_len && data.start.is_multiple_of(BUFFER_ALIGN), "{op:?} {data:?} of {buffer_len}");
        match op {
            Op::Read | Op::Write { .. } => {
                assert_eq!(data.len() as u64, blocks * u64::from(unit.facts().stored_block_size));
            }
            Op::LbaStatus => assert!(!data.is_empty() && data.len().is_multiple_of(16), "{data:?}"),
            _ => assert!(data.is_empty(), "{op:?} {data:?}"),
        }
    }
}

/// The only port in the only group.
fn port_groups(state: AccessState) -> TargetPortGroups {
    let port = alua::TargetPort { relative_id: PORTS[0].relative_target_port, id: PORTS[0].target_port_id };
    let modes = AccessModes { implicit: true, explicit: true };
    let group = TargetPortGroup { id: 1, state, status: AccessStatus::None, preferred: true, modes, ports: vec![port] };
    TargetPortGroups { groups: vec![group], through: 1, transition_seconds: 1 }
}

impl Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = self.0.split_at(self.0.len().min(64));
        write!(f, "{shown:02x?}")?;
        if rest.is_empty() { Ok(()) } else { write!(f, " and {} bytes more", rest.len()) }
    }
}

impl Peers for Visible<'_> {
    fn find(&self, descriptor: &Designation<'_>) -> Option<Peer> {
        self.world.units.iter().position(|unit| unit.is_named(descriptor)).map(|at| Peer(at as u16))
    }

    fn unit(&self, peer: Peer) -> Option<PeerUnit<'_>> {
        let at = usize::from(peer.0);
        let unit = self.world.units.get(at)?;
        Some(PeerUnit { unit, nexus: &self.world.nexuses[at][self.initiator], read_only: self.read_only })
    }
}

impl Disk {
    pub(super) fn block(&self, lba: u64, block_bytes: usize) -> Vec<u8> {
        self.0.get(&lba).cloned().unwrap_or_else(|| vec![0; block_bytes])
    }

    fn execute(&mut self, op: Op, lba: u64, blocks: u64, data: &mut [u8], block_bytes: u32) {
        let block_bytes = block_bytes as usize;
        match op {
            Op::Read => {
                for (index, block) in data.chunks_mut(block_bytes).enumerate() {
                    block.copy_from_slice(&self.block(lba + index as u64, block_bytes));
                }
            }
            Op::Write { .. } => {
                for (index, block) in data.chunks(block_bytes).enumerate() {
                    self.0.insert(lba + index as u64, block.to_vec());
                }
            }
            Op::Unmap | Op::WriteZeroes { .. } => self.0.retain(|&at, _| !(lba..lba + blocks).contains(&at)),
            Op::Flush | Op::Scsi { .. } => (),
            Op::LbaStatus => self.put_lba_status(lba, lba + blocks, data),
        }
    }

    /// Blocks that were written are mapped, others deallocated.
    fn put_lba_status(&self, mut lba: u64, end: u64, list: &mut [u8]) {
        list.fill(0);
        for descriptor in list.chunks_exact_mut(16) {
            if lba == end {
                break;
            }
            let mapped = self.0.contains_key(&lba);
            let next = match mapped {
                true => (lba..end).find(|at| !self.0.contains_key(at)).unwrap_or(end),
                false => self.0.range(lba..end).next().map_or(end, |(&at, _)| at),
            };
            let blocks = (next - lba).min(u64::from(u32::MAX));
            descriptor[..8].copy_from_slice(&lba.to_be_bytes());
            descriptor[8..12].copy_from_slice(&(blocks as u32).to_be_bytes());
            descriptor[12] = u8::from(!mapped);
            lba += blocks;
        }
    }
}

/// One of the devices that there may be: thin or not, of small and large blocks, tiny and huge, with metadata, without a medium.
fn unit(source: &mut Source<'_>, index: usize) -> LogicalUnit {
    let (num_blocks, block_size, metadata) = source.pick(&[
        (4096, 512, None),
        (1 << 18, 512, None),
        (1, 512, None),
        (512, 4096, None),
        (1 << 33, 512, None),
        (8, 1024, None),
        (0, 512, None),
        (4096, 512, Some(ProtectionType::Type1)),
        (256, 4096, Some(ProtectionType::Type3)),
    ]);
    let bdev = match num_blocks {
        0 => without_medium(),
        _ => null_disk(num_blocks, block_size, metadata.map(Metadata::of), index),
    };
    let options = UnitOptions {
        name: format!("unit{index}"),
        naa: Some(0x3000_0000_0000_0001 + index as u64),
        transfer_bytes_max: source.pick(&[TRANSFER_BYTES_MIN, 1 << 20]),
        ..UnitOptions::new(bdev)
    };
    let bits = source.byte();
    let unit = LogicalUnit::new(options).expect("a unit").with_facts(|facts| {
        let bit = |at: u8| bits >> at & 1 != 0;
        facts.unmap = !bit(0);
        facts.unmap_zeroes = facts.unmap && !bit(1);
        facts.lba_status = !bit(2);
        facts.write_cache = !bit(3);
        facts.read_only = bit(4) && bit(5);
        facts.removable = bit(6);
        facts.physical_exponent = if bit(7) { 3 } else { 0 };
        facts.atomic_blocks = if bit(4) { 64 } else { 0 };
        facts.threshold_percent = Some(80).filter(|_| bit(5));
    });
    unit.restore(&Saved::default());
    unit
}

fn null_disk(num_blocks: u64, block_size: u32, metadata: Option<Metadata>, index: usize) -> Arc<Bdev> {
    let (name, uuid) = (format!("disk{index}"), Some(Uuid::from_u128(index as u128 + 1)));
    let options = NullOptions { name, num_blocks, block_size, metadata, uuid, ..NullOptions::default() };
    null::create(options).expect("a null device")
}

/// A device whose file is not there yet. One for all: it has a thread.
fn without_medium() -> Arc<Bdev> {
    static BDEV: OnceLock<Arc<Bdev>> = OnceLock::new();
    let options = UringOptions {
        name: "waiting".to_owned(),
        filename: "/nonexistent/medium".into(),
        block_size: Some(512),
        wait_for_file: true,
        removable: true,
        ..UringOptions::default()
    };
    Arc::clone(BDEV.get_or_init(|| uring::create(options).expect("it waits")))
}
