//! A SCSI device that a test plays, in the sg driver's place.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use super::find::Found;
use super::outcome::{HostStatus, Raw};
use super::record::{RECORD_BYTES, Request, SENSE, SENSE_BYTES_MAX};
use super::sg::{LANE_COMMANDS, Lane, Operation, Port};
use super::{ScsiOptions, Source, make};
use crate::bdev::Bdev;
use crate::io::{Direction, Op};

/// A command as the device sees it.
#[derive(Debug)]
pub struct Command<'a> {
    /// The CDB.
    pub cdb: &'a [u8],
    /// Which way `data` goes.
    pub direction: Direction,
    /// Data-out, or where data-in is to be put.
    pub data: &'a mut [u8],
    /// How long it may take, in milliseconds.
    pub time_limit_ms: u64,
}

/// How it ends.
#[derive(Clone, Debug)]
pub struct Reply {
    /// SCSI status.
    pub status: u8,
    /// The adapter's word on it.
    pub host_status: HostStatus,
    /// Bytes not moved.
    pub residual: i32,
    /// Sense data.
    pub sense: Vec<u8>,
}

impl Reply {
    /// GOOD, all data moved.
    pub const GOOD: Reply = Reply { status: 0, host_status: HostStatus::Ok, residual: 0, sense: Vec::new() };

    /// CHECK CONDITION with this sense, all data moved.
    pub fn check_condition(sense: &[u8]) -> Reply {
        Reply { status: 2, sense: sense.to_vec(), ..Reply::GOOD }
    }
}

type Answer = Box<dyn FnMut(Command<'_>) -> Reply + Send>;

/// The device: what it answers, and what befalls it. Clones are the same device.
#[derive(Clone)]
pub struct FakeDevice {
    state: Arc<Mutex<State>>,
}

struct State {
    answer: Answer,
    held: bool,
    gone: bool,
    refuse: Option<Errno>,
    resets: usize,
    resets_stuck: bool,
    started: usize,
    lanes: usize,
}

impl FakeDevice {
    /// A device that answers so; `lanes` files per channel.
    pub fn new(lanes: usize, answer: impl FnMut(Command<'_>) -> Reply + Send + 'static) -> FakeDevice {
        let state = State {
            answer: Box::new(answer),
            held: false,
            gone: false,
            refuse: None,
            resets: 0,
            resets_stuck: false,
            started: 0,
            lanes,
        };
        FakeDevice { state: Arc::new(Mutex::new(state)) }
    }

    /// A bdev on it, of this device type, with this transfer limit and queue depth.
    pub fn bdev(&self, name: &str, device_type: u8, transfer_bytes_max: u32, depth: u32) -> Arc<Bdev> {
        let options = ScsiOptions { name: name.to_owned(), device: "fake".to_owned(), ..ScsiOptions::default() };
        let found = Found {
            sg: "sg0".to_owned(),
            block: None,
            device_type,
            vendor: "FAKE".to_owned(),
            product: "DEVICE".to_owned(),
            revision: "1".to_owned(),
            serial: None,
            identity: None,
            queue_depth: depth,
            removable: false,
            block_size: 512,
            num_blocks: 0,
        };
        make(&options, &found, transfer_bytes_max, Source::Fake(self.clone()), depth)
    }

    /// Whether it keeps what it has got for now.
    pub fn hold(&self, held: bool) {
        self.lock().held = held;
    }

    /// It is taken away.
    pub fn vanish(&self) {
        self.lock().gone = true;
    }

    /// The driver takes no more commands, and says so; `None`: it does again.
    pub fn refuse(&self, errno: Option<i32>) {
        self.lock().refuse = errno.map(Errno::from_raw_os_error);
    }

    /// How often it was reset; a reset makes it let go of what it holds.
    pub fn resets(&self) -> usize {
        self.lock().resets
    }

    /// Whether a reset does not end for now.
    pub fn stick_resets(&self, stuck: bool) {
        self.lock().resets_stuck = stuck;
    }

    /// Commands that have been given to it.
    pub fn started(&self) -> usize {
        self.lock().started
    }

    pub(super) fn reset(&self) -> io::Result<()> {
        while self.lock().resets_stuck {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut state = self.lock();
        state.resets += 1;
        state.held = false;
        Ok(())
    }

    pub(super) fn lanes(&self) -> Vec<Lane> {
        let count = self.lock().lanes;
        (0..count).map(|_| Lane::new(Port::Fake(FakePort { device: self.clone(), started: VecDeque::new() }))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for FakeDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeDevice")
    }
}

/// One open file of it.
#[derive(Debug)]
pub(super) struct FakePort {
    device: FakeDevice,
    started: VecDeque<usize>,
}

impl FakePort {
    pub(super) fn start(&mut self, slot: usize) -> io::Result<()> {
        let mut state = self.device.lock();
        if state.gone {
            return Err(Errno::NODEV.into());
        }
        if let Some(errno) = state.refuse {
            return Err(errno.into());
        }
        state.started += 1;
        self.started.push_back(slot);
        Ok(())
    }

    pub(super) fn fetch(&mut self, slots: &mut [Option<Operation>; LANE_COMMANDS]) -> io::Result<Option<(usize, Raw)>> {
        let mut state = self.device.lock();
        if state.gone {
            return Err(Errno::NODEV.into());
        }
        if state.held {
            return Ok(None);
        }
        let Some(slot) = self.started.pop_front() else { return Ok(None) };
        let operation = slots[slot].as_mut().expect("a started command is in its slot");
        let Op::Scsi { direction } = operation.io.op else { panic!("{:?} reached a SCSI device", operation.io.op) };
        let buffer = operation.io.data.as_mut().expect("a record").bytes_mut();
        let request = Request::parse(buffer).expect("a request");
        let (cdb, part, time_limit) = (request.cdb.to_vec(), request.data, request.time_limit);
        let (before, record) = buffer.split_at_mut(buffer.len() - RECORD_BYTES);
        let time_limit_ms = time_limit.as_millis() as u64;
        let mut data_out = before[part.clone()].to_vec();
        let data = if direction == Direction::In { &mut before[part] } else { &mut data_out[..] };
        let reply = (state.answer)(Command { cdb: &cdb, direction, data, time_limit_ms });
        let sense_len = reply.sense.len().min(SENSE_BYTES_MAX);
        record[SENSE][..sense_len].copy_from_slice(&reply.sense[..sense_len]);
        let raw = Raw {
            status: reply.status,
            host_status: reply.host_status as u16,
            residual: reply.residual,
            sense_len: sense_len as u8,
        };
        Ok(Some((slot, raw)))
    }
}
