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
    /// When I/Os are to begin; `None`: as soon as there is a slot.
    pub pace: Option<Pace>,
}

/// A rate: the times at which I/Os are to begin, whether or not those before them are done. An I/O that begins late, for want of a slot or
/// because the target holds the channel up, is measured from when it was to begin; else a target that stops for a while would keep
/// just those I/Os from being measured that would have waited for it (coordinated omission).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pace {
    /// When the first one is to begin; nanoseconds of the reactors' clock.
    pub first_ns: u64,
    /// From one to the next.
    pub interval_ns: f64,
}

impl Pace {
    /// The part of channel `number` of `channels` in a rate of `iops` for all of them together: they take turns.
    pub fn dealt(iops: u64, number: u32, channels: u32, start_ns: u64) -> Pace {
        let turn_ns = 1e9 / iops as f64;
        let first_ns = start_ns + (turn_ns * f64::from(number)) as u64;
        Pace { first_ns, interval_ns: turn_ns * f64::from(channels) }
    }

    /// When the I/O with this number, from 0 on, is to begin.
    #[inline]
    fn due_ns(&self, number: u64) -> u64 {
        self.first_ns.saturating_add((number as f64 * self.interval_ns) as u64)
    }

    /// I/Os that are to begin before that.
    fn count_before(&self, until_ns: u64) -> u64 {
        (until_ns.saturating_sub(self.first_ns) as f64 / self.interval_ns).ceil() as u64
    }
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
        while let Some(started_ns) = self.next_start(now_ns)
            && let Some(slot) = channel.take()
        {
            let operation = self.workload.next_operation();
            if operation.direction == Direction::Write && self.workload.verifies() {
                let io_bytes = self.io_bytes() as usize;
                pattern::fill(self.stamp(operation), self.block_bytes(), &mut channel.data_mut(slot)[..io_bytes]);
            }
            self.in_flight[slot.0 as usize] = InFlight { operation, started_ns, tries: 0 };
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

    /// From when on the next I/O counts, if one is to begin now.
    #[inline]
    fn next_start(&self, now_ns: u64) -> Option<u64> {
        let start = self.plan.pace.map_or(now_ns, |pace| pace.due_ns(self.begun));
        (self.wants_more(now_ns) && start <= now_ns).then_some(start)
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
        let asked = self.plan.pace.map_or(0, |pace| pace.count_before(self.plan.until_ns)).min(self.plan.ios);
        self.tally.not_begun = asked.saturating_sub(self.begun);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_take_turns_at_a_rate() {
        let due = |number, nth| Pace::dealt(1000, number, 4, 5_000_000).due_ns(nth);
        assert_eq!([due(0, 0), due(1, 0), due(3, 0), due(0, 1)], [5_000_000, 6_000_000, 8_000_000, 9_000_000]);
        // No error adds up: after an hour at a rate that is no whole number of nanoseconds.
        let pace = Pace::dealt(3, 0, 1, 0);
        assert_eq!(pace.due_ns(3 * 3600), 3600 * 1_000_000_000);
    }

    #[test]
    fn what_is_due_is_counted_to_the_end() {
        let pace = Pace { first_ns: 100, interval_ns: 10.0 };
        for (until_ns, count) in [(50, 0), (100, 0), (101, 1), (110, 1), (111, 2), (200, 10)] {
            assert_eq!(pace.count_before(until_ns), count, "before {until_ns}");
            let due = (0..).take_while(|&nth| pace.due_ns(nth) < until_ns).count();
            assert_eq!(due as u64, count, "before {until_ns}");
        }
    }

    #[test]
    fn a_late_io_counts_from_when_it_was_to_begin() {
        let plan = Plan {
            io_blocks: 1,
            block_bytes: 512,
            seed: 0,
            from_ns: 0,
            until_ns: 1000,
            ios: 3,
            pace: Some(Pace { first_ns: 100, interval_ns: 50.0 }),
        };
        let mut load = Load::new(plan, Workload::new(MIX, 0..10, 1), 1);
        assert_eq!(load.next_start(99), None, "too early");
        assert_eq!(load.next_start(400), Some(100), "the first is late");
        load.begun = 1;
        assert_eq!((load.next_start(149), load.next_start(400)), (None, Some(150)), "so is the next");
        assert_eq!(load.next_start(1000), None, "the time is over");
        load.begun = 3;
        assert_eq!(load.next_start(400), None, "all I/Os have begun");
        load.plan.pace = None;
        load.begun = 0;
        assert_eq!(load.next_start(400), Some(400), "without a rate, now");
    }

    const MIX: crate::workload::Mix = crate::workload::Mix { random: true, read_percent: 100 };
}
