//! The data path's part: commands are timed from the round that took them to the end of the round that answered them.

use metrics::Latency;

use super::{CommandError, Operation};
use crate::channel::Channel;
use crate::command::Command;
use crate::limits::STATISTICS_PERIOD;
use crate::poll_group::PollGroup;
use crate::waiters::Waiters;

/// When a command came, and what for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    arrived_ns: u64,
    /// Bytes that it returned.
    pub(crate) data_in: u32,
    /// `None`: it is no SCSI command, or was counted already.
    operation: Option<Operation>,
    failed: bool,
}

impl Watch {
    /// Begins when a command arrives.
    #[inline]
    pub(crate) fn start(now_ns: u64, cdb: &[u8]) -> Watch {
        Watch { arrived_ns: now_ns, operation: Some(Operation::of(cdb)), ..Watch::default() }
    }

    /// It was answered; whether it counts.
    #[inline]
    pub(crate) fn end(&mut self, failed: bool) -> bool {
        self.failed = failed;
        self.operation.is_some()
    }
}

impl PollGroup {
    /// Counts what was answered in the last round, which has ended now.
    #[inline]
    pub(crate) fn count_answered(&mut self) {
        if !self.answered.is_empty() {
            self.count_all_answered();
        }
    }

    /// Not inlined, so that what surrounds the call stays small.
    #[inline(never)]
    fn count_all_answered(&mut self) {
        let mut answered = std::mem::take(&mut self.answered);
        for key in answered.drain(..) {
            // Responses leave when the round rings the doorbell, so a command that is not here any more was not answered: its queue pair failed.
            if let Some(command) = self.commands.get_mut(key) {
                let channel = command.channel.and_then(|channel| self.channels.get(channel));
                count(command, channel, self.number, self.now.0);
            }
        }
        self.answered = answered;
    }

    /// Brings up to date what is not counted but looked at. Called from time to time.
    pub(crate) fn publish(&mut self) {
        self.next_publication = self.now.plus(STATISTICS_PERIOD);
        let size = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
        let mut orphans = 0;
        let mut sending = 0;
        for (_, channel) in self.channels.iter() {
            orphans += channel.orphans as usize;
            sending += channel.send_waiters.len();
            channel.statistics.requests.set(size(channel.commands.len()));
            channel.statistics.credits_used.set(i64::from(channel.credits_used));
        }
        let data = self.data_waiters.iter().map(Waiters::len).sum();
        let waiting = [self.table_waiters.len(), data, sending, self.device_waiters.len()];
        let statistics = &self.statistics;
        statistics.commands.set(size(self.commands.len()));
        statistics.orphans.set(size(orphans));
        statistics.waiting.iter().zip(waiting).for_each(|(gauge, len)| gauge.set(size(len)));
        statistics.free.iter().zip(self.memory.free()).for_each(|(gauge, free)| gauge.set(size(free)));
        for unit in self.units.iter().flatten() {
            let in_flight = unit.device.as_ref().map_or(0, bdev::Channel::in_flight);
            unit.statistics.in_flight(self.number).set(size(in_flight));
        }
    }
}

/// Counts a command for its channel and its LUN.
#[inline]
fn count(command: &mut Command, channel: Option<&Channel>, group: usize, now_ns: u64) {
    let Some(operation) = command.watch.operation.take() else { return };
    let latency = Latency::new(now_ns.saturating_sub(command.watch.arrived_ns));
    let bytes = if command.watch.failed { 0 } else { command.bytes_moved() };
    if let Some(channel) = channel {
        channel.statistics.operations[operation as usize].record(bytes, latency);
    }
    if let Some(entry) = command.unit() {
        let counters = entry.statistics.of(group);
        counters.operations[operation as usize].record(bytes, latency);
        if command.watch.failed {
            count_error(command, group);
        }
    }
}

#[cold]
fn count_error(command: &Command, group: usize) {
    if let (Some(entry), Some(error)) = (command.unit(), command.error()) {
        entry.statistics.of(group).errors[error.index()].increment();
    }
}

/// An abort takes a command.
pub(crate) fn count_abort(command: &Command, channel: Option<&Channel>, group: usize) {
    if let Some(channel) = channel {
        channel.statistics.aborts.increment();
    }
    if let Some(entry) = command.unit() {
        entry.statistics.of(group).aborts.increment();
    }
}

/// The initiator gets TASK ABORTED for a command that is still at its device; another slot brings it, which knows nothing of the command.
pub(crate) fn count_task_aborted(command: &Command, group: usize) {
    if let Some(entry) = command.unit() {
        entry.statistics.of(group).errors[CommandError::TASK_ABORTED.index()].increment();
    }
}
