//! The load on one channel: keeps its slots busy, and measures.

use crate::endpoint::Endpoint;
use crate::initiator::{Answer, Channel, Slot, Transfer, Verdict, cdb};
use crate::pattern::{self, Stamp};
use crate::tally::Tally;
use crate::workload::{Direction, Operation, Workload};

/// Times that one command is sent before it counts as failed.
const TRIES_MAX: u32 = 100;

/// How long commands may be without any answer until the channel is given up: as long as Linux waits for a disk.
const PATIENCE_NS: u64 = 30_000_000_000;

/// What every channel does, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Blocks of one I/O.
    pub io_blocks: u32,
    /// Bytes of a block.
    pub block_bytes: u32,
    /// Of the patterns that are written when verifying.
    pub seed: u64,
    /// I/Os that complete from here on are measured; nanoseconds of the reactors' clock.
    pub from_ns: u64,
    /// Until here; then nothing new is sent.
    pub until_ns: u64,
    /// Nothing new is sent after so many either.
    pub ios: u64,
}

/// The load on one channel.
#[derive(Debug)]
pub struct Load {
    plan: Plan,
    workload: Workload,
    tally: Tally,
    /// By slot.
    in_flight: Box<[InFlight]>,
    /// Slots whose command is to be sent again.
    again: Vec<Slot>,
    /// Begun and completed, warm-up included.
    begun: u64,
    completed: u64,
    /// When something was sent or answered last.
    progress_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    operation: Operation,
    started_ns: u64,
    tries: u32,
}

impl Load {
    /// Load for a channel of `depth` slots.
    pub fn new(plan: Plan, workload: Workload, depth: usize) -> Load {
        let nothing = Operation { direction: Direction::Read, position: 0, version: 0 };
        let in_flight = vec![InFlight { operation: nothing, started_ns: 0, tries: 0 }; depth].into_boxed_slice();
        let (tally, again) = (Tally::new(), Vec::with_capacity(depth));
        Load { plan, workload, tally, in_flight, again, begun: 0, completed: 0, progress_ns: 0 }
    }

    /// Sends what can be sent.
    #[inline]
    pub fn fill(&mut self, endpoint: &mut Endpoint, channel: &mut Channel, now_ns: u64) {
        while channel.can_send()
            && let Some(slot) = self.again.pop()
        {
            self.send(endpoint, channel, slot);
        }
        while self.wants_more(now_ns)
            && let Some(slot) = channel.take()
        {
            let operation = self.workload.next_operation();
            if operation.direction == Direction::Write && self.workload.verifies() {
                let io_bytes = self.io_bytes() as usize;
                pattern::fill(self.stamp(operation), self.block_bytes(), &mut channel.data_mut(slot)[..io_bytes]);
            }
            self.in_flight[slot.0 as usize] = InFlight { operation, started_ns: now_ns, tries: 0 };
            self.begun += 1;
            self.progress_ns = now_ns;
            self.send(endpoint, channel, slot);
        }
    }

    fn send(&mut self, endpoint: &mut Endpoint, channel: &mut Channel, slot: Slot) {
        let in_flight = &mut self.in_flight[slot.0 as usize];
        in_flight.tries += 1;
        let Operation { direction, position, .. } = in_flight.operation;
        let cdb = cdb::transfer(direction, position * u64::from(self.plan.io_blocks), self.plan.io_blocks);
        let transfer = match direction {
            Direction::Read => Transfer::In(self.io_bytes()),
            Direction::Write => Transfer::Out(self.io_bytes()),
        };
        channel.send(endpoint, slot, &cdb, transfer);
    }

    /// Takes an answer: measures, compares, and frees the slot.
    #[inline]
    pub fn on_answer(&mut self, channel: &mut Channel, answer: &Answer, now_ns: u64) {
        let InFlight { operation, started_ns, tries } = self.in_flight[answer.slot.0 as usize];
        self.progress_ns = now_ns;
        let verdict = answer.verdict();
        match verdict {
            Verdict::Good => {
                self.completed += 1;
                if (self.plan.from_ns..self.plan.until_ns).contains(&now_ns) {
                    self.tally.record(operation.direction, now_ns - started_ns);
                }
                if operation.direction == Direction::Read && self.workload.verifies() {
                    let data = &channel.data(answer.slot)[..self.io_bytes() as usize];
                    self.tally.compare(pattern::check(self.stamp(operation), self.block_bytes(), data));
                }
            }
            Verdict::Again if tries < TRIES_MAX => {
                self.tally.retried += 1;
                return self.again.push(answer.slot);
            }
            Verdict::Again | Verdict::Failed => {
                let lba = position_lba(operation, &self.plan);
                self.tally.fail(1, || format!("{:?} of block {lba}: {answer}", operation.direction));
            }
        }
        self.workload.finish(operation, verdict == Verdict::Good);
        channel.give_back(answer.slot);
    }

    fn wants_more(&self, now_ns: u64) -> bool {
        now_ns < self.plan.until_ns && self.begun < self.plan.ios
    }

    /// Whether it has come to its end: everything is done, or nothing is answered any more.
    #[inline]
    pub fn is_over(&self, channel: &Channel, now_ns: u64) -> bool {
        match channel.busy() {
            0 => !self.wants_more(now_ns),
            _ => now_ns.saturating_sub(self.progress_ns) > PATIENCE_NS,
        }
    }

    /// I/Os that completed since the start, warm-up included.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// Ends it, whatever is still under way, which counts as failed.
    pub fn finish(mut self, channel: &Channel, why: impl FnOnce() -> String) -> Tally {
        self.tally.fail(channel.busy() as u64, why);
        self.tally
    }

    fn io_bytes(&self) -> u32 {
        self.plan.io_blocks * self.plan.block_bytes
    }

    fn block_bytes(&self) -> usize {
        self.plan.block_bytes as usize
    }

    fn stamp(&self, operation: Operation) -> Stamp {
        Stamp { seed: self.plan.seed, lba: position_lba(operation, &self.plan), version: operation.version }
    }
}

fn position_lba(operation: Operation, plan: &Plan) -> u64 {
    operation.position * u64::from(plan.io_blocks)
}
