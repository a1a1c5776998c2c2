//! The whole target and several initiators in one process, over the simulated fabric, in virtual time, from one seed.
//!
//! A seed draws a world (`plan.rs`): how many initiators, channels, cores, credits, units and blocks, how the network behaves, and what may happen
//! with which weight. In each step some of that happens, a little time passes, those threads of the target that do not
//! stand still have a turn, and initiators take what came. What must hold is checked at once:
//!
//! - by [`crate::testing::Initiator`]: each request is answered at most once, on its channel, and not after the answer to its abort; no
//!   more credits than the login granted; solicited notification as asked for; residual counts and buffers agree;
//! - by the simulated fabric: no transfer to memory that was taken back, no queue overflow, no READ too many;
//! - by the model: a read returns what an acknowledged write left, or one that was under way; what was refused is never on the
//!   medium; PERSISTENT RESERVE OUT is linearizable, and nobody writes, or reads, past a reservation,
//!   or in a state of the target port group that forbids it; a status or sense key is one that this world can have.
//!
//! At the end nothing goes wrong any more: every request whose channel lives is answered, all credits are back, a fresh initiator
//! reads every block, and then all channels, commands, orders and buffers are gone.
//!
//! The same seed gives the same run, bit for bit: [`Report::hash`] is made of every line of the trace and of every event of the fabric.
//!
//! Reading order: `plan` (what a seed draws), `world` (a step), `actions` and `management` (what happens), `initiator` (who asked for what), `answers`,
//! `model`, `order`, `reservations`, `paths` (what must hold), `end`.

mod actions;
mod answers;
mod end;
mod initiator;
mod management;
mod model;
mod order;
mod paths;
mod plan;
mod reservations;
#[cfg(test)]
mod tests;
mod trace;
mod world;

/// Which run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// Steps before the end.
    pub steps: usize,
    /// Gets the trace, piece by piece.
    pub trace: Option<fn(&str)>,
}

/// What a run did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Report {
    /// Stands for everything that happened.
    pub hash: u64,
    /// Commands sent.
    pub commands: u64,
    /// Task management functions sent.
    pub management: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that task management ended.
    pub aborted: u64,
    /// Of them, those that task management of another channel ended at once.
    pub ended_elsewhere: u64,
    /// Requests whose channel was gone first.
    pub lost: u64,
    /// Logins that were accepted.
    pub logins: u64,
    /// Channels that initiators ended, and machines that vanished.
    pub departures: u64,
    /// Faults of the fabric by script.
    pub fabric_faults: u64,
    /// Errors and stalls that devices were told to have.
    pub device_faults: u64,
    /// Times that a thread of the target stood still.
    pub sleeps: u64,
    /// Changes by the administrator.
    pub changes: u64,
    /// RESERVE that was answered GOOD.
    pub reservations: u64,
    /// Reads and writes that were answered RESERVATION CONFLICT.
    pub conflicts: u64,
    /// Commands that the state of a target port group forbade.
    pub inaccessible: u64,
    /// ORDERED commands that were answered GOOD.
    pub ordered: u64,
    /// Bytes of acknowledged writes.
    pub bytes_written: u64,
    /// Bytes that were read and held against the model.
    pub bytes_verified: u64,
}

impl Report {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Report) {
        self.hash ^= other.hash;
        for (sum, count) in [
            (&mut self.commands, other.commands),
            (&mut self.management, other.management),
            (&mut self.answered, other.answered),
            (&mut self.aborted, other.aborted),
            (&mut self.ended_elsewhere, other.ended_elsewhere),
            (&mut self.lost, other.lost),
            (&mut self.logins, other.logins),
            (&mut self.departures, other.departures),
            (&mut self.fabric_faults, other.fabric_faults),
            (&mut self.device_faults, other.device_faults),
            (&mut self.sleeps, other.sleeps),
            (&mut self.changes, other.changes),
            (&mut self.reservations, other.reservations),
            (&mut self.conflicts, other.conflicts),
            (&mut self.inaccessible, other.inaccessible),
            (&mut self.ordered, other.ordered),
            (&mut self.bytes_written, other.bytes_written),
            (&mut self.bytes_verified, other.bytes_verified),
        ] {
            *sum += count;
        }
    }
}

/// Runs a seed.
///
/// # Panics
/// If the target does what it must not.
pub fn run(options: Options) -> Report {
    world::Simulation::new(options).run()
}
