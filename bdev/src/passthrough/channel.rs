//! One core's way to the device: what waits, and the lanes that carry commands.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reactor::WakeSources;
use rustix::io::Errno;

use super::Device;
use super::outcome::{self, BUSY, Raw, Sense, Verdict};
use super::record::{Outcome, Request, set};
use super::sg::{Fetched, Lane, Operation};
use super::watch::Watch;
use crate::channel::Finished;
use crate::io::{BlockIo, IoError};

/// How long a dropped channel waits for what is in flight.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// A channel to a SCSI device.
#[derive(Debug)]
pub(crate) struct ThroughChannel {
    // Before the lanes: it watches their files.
    watch: Watch,
    lanes: Vec<Lane>,
    /// Has room for the channel's depth from the start.
    waiting: VecDeque<Operation>,
    /// Operations in lanes.
    carried: usize,
    /// The lane that the next command goes to, if it has room.
    next: usize,
    device: Arc<Device>,
}

impl ThroughChannel {
    /// Opens its files.
    pub(crate) fn new(device: Arc<Device>, depth: usize) -> io::Result<ThroughChannel> {
        let lanes = device.open_lanes()?;
        let watch = Watch::new(lanes.iter().filter_map(Lane::file));
        Ok(ThroughChannel { watch, lanes, waiting: VecDeque::with_capacity(depth), carried: 0, next: 0, device })
    }

    /// Queues a command; the next `poll` hands it to the device.
    pub(crate) fn start(&mut self, io: BlockIo, now_ns: u64) {
        self.waiting.push_back(Operation { io, submitted_ns: now_ns });
    }

    /// Takes what has ended, and hands on what waits.
    pub(crate) fn poll(&mut self, mut finish: impl FnMut(Finished)) {
        self.fetch(&mut finish);
        self.hand_on(&mut finish);
    }

    /// See [`crate::Channel::wake_sources`]. Room that another channel makes tells nobody.
    pub(crate) fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        if !self.waiting.is_empty() {
            sources.look_often();
        }
        self.watch.wake_sources(sources);
    }

    fn fetch(&mut self, finish: &mut impl FnMut(Finished)) {
        if self.carried == 0 {
            return;
        }
        let ready = self.watch.ready();
        for (number, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.is_empty()) {
            if ready & 1 << (number & 31) == 0 {
                continue;
            }
            self.carried -= drain_lane(lane, &self.device, finish);
        }
    }

    fn hand_on(&mut self, finish: &mut impl FnMut(Finished)) {
        while let Some(operation) = self.waiting.pop_front() {
            let Some(lane) = self.free_lane() else {
                if self.lanes.iter().all(Lane::is_dead) {
                    finish(operation.ended(Err(IoError::Gone)));
                    continue;
                }
                return self.waiting.push_front(operation);
            };
            if !self.device.enter() {
                return self.waiting.push_front(operation);
            }
            match self.lanes[lane].start(operation) {
                Ok(()) => self.carried += 1,
                Err((operation, error)) => {
                    self.device.leave();
                    finish(refused(operation, &error, &self.device));
                }
            }
        }
    }

    /// Lanes in turn, so that no file is full while others are empty.
    fn free_lane(&mut self) -> Option<usize> {
        let count = self.lanes.len();
        let found =
            (self.next..self.next + count).map(|lane| lane % count).find(|&lane| self.lanes[lane].has_room())?;
        self.next = (found + 1) % count;
        Some(found)
    }
}

/// Everything that has ended on a lane; how much that was.
fn drain_lane(lane: &mut Lane, device: &Device, finish: &mut impl FnMut(Finished)) -> usize {
    let mut count = 0;
    while !lane.is_empty() {
        let finished = match lane.fetch() {
            Fetched::Nothing => return count,
            Fetched::Ended(operation, raw) => ended(operation, raw, device),
            Fetched::Dead(error) => {
                let result = of_errno(&error, device);
                while let Some(operation) = lane.abandon() {
                    device.leave();
                    count += 1;
                    finish(operation.ended(Err(result)));
                }
                return count;
            }
        };
        device.leave();
        count += 1;
        finish(finished);
    }
    count
}

/// Writes the outcome of a command into its record.
fn ended(mut operation: Operation, raw: Raw, device: &Device) -> Finished {
    let Some(data) = operation.io.data.as_mut() else { return operation.ended(Err(IoError::Failed)) };
    let buffer = data.bytes_mut();
    let data_len = Request::parse(buffer).map_or(0, |request| request.data.len());
    match outcome::judge(raw, data_len) {
        Ok(Verdict { status, moved, sense: Sense::Device(len) }) => set(buffer, status, moved, usize::from(len)),
        Ok(Verdict { status, moved, sense: Sense::Made(sense) }) => {
            if device.may_log() {
                tracing::warn!(
                    "bdev {}: command {:02x}h did not end as it should: host status {:02x}h",
                    device.name,
                    Request::parse(buffer).map_or(0, |request| request.cdb[0]),
                    raw.host_status
                );
            }
            Outcome { status, moved, sense: &sense }.emit(buffer);
        }
        Err(error) => {
            device.is_gone("no connection");
            return operation.ended(Err(error));
        }
    }
    operation.ended(Ok(()))
}

/// The system did not take a command.
fn refused(mut operation: Operation, error: &io::Error, device: &Device) -> Finished {
    let busy = [Errno::NOMEM, Errno::AGAIN, Errno::BUSY, Errno::DOM, Errno::INTR];
    if let (true, Some(data)) = (busy.iter().any(|&errno| is(error, errno)), operation.io.data.as_mut()) {
        // No memory for the moment: the initiator tries again.
        Outcome { status: BUSY, moved: 0, sense: &[] }.emit(data.bytes_mut());
        return operation.ended(Ok(()));
    }
    let result = of_errno(error, device);
    operation.ended(Err(result))
}

fn of_errno(error: &io::Error, device: &Device) -> IoError {
    if is(error, Errno::NODEV) || is(error, Errno::NXIO) {
        device.is_gone(&error.to_string());
        return IoError::Gone;
    }
    if device.may_log() {
        tracing::warn!("bdev {}: the sg driver refuses a command: {error}", device.name);
    }
    // Without CAP_SYS_RAWIO it has a list of commands that it lets through.
    if is(error, Errno::PERM) || is(error, Errno::ACCESS) { IoError::Unsupported } else { IoError::Failed }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

impl Operation {
    fn ended(self, result: Result<(), IoError>) -> Finished {
        Finished { io: self.io, submitted_ns: self.submitted_ns, result }
    }
}

impl Drop for ThroughChannel {
    /// Closing the files makes the buffers ours again, whatever the device still does; but as for any other device, what is in
    /// flight should be over before its successor begins.
    fn drop(&mut self) {
        let deadline = Instant::now() + DRAIN_MAX;
        for lane in &mut self.lanes {
            loop {
                self.carried -= drain_lane(lane, &self.device, &mut drop);
                if lane.is_empty()
                    || Instant::now() > deadline
                    || !lane.wait(Duration::from_millis(100)) && lane.file().is_none()
                {
                    break;
                }
            }
        }
        if self.carried > 0 {
            (0..self.carried).for_each(|_| self.device.leave());
            tracing::error!(
                "bdev {}: {} commands have not ended; they are left to the device",
                self.device.name,
                self.carried
            );
        }
    }
}
