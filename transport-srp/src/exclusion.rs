//! Exclusion between cores without locks: a command that claims blocks of a unit has them to itself, on whatever core the others are.
//!
//! Two kinds of claims stand on one *board*, a small table of atomics that all poll groups share:
//!
//! | kind | who makes it | what must end before it starts | what waits for its end |
//! |---|---|---|---|
//! | [`Kind::Range`] | `Job::exclusive`: COMPARE AND WRITE, ORWRITE, FORMAT UNIT | operations at the device that touch its blocks, orphans included | such operations |
//! | [`Kind::Order`] | an ORDERED command (SAM-5, task attributes) | older commands of the unit | newer commands, unless HEAD OF QUEUE |
//!
//! # How
//!
//! It is Ricart's and Agrawala's way to mutual exclusion, with memory for messages:
//!
//! ```text
//!   claimant                       every poll group, once per round
//!   publish: ticket, unit, blocks ─► generation differs? note the claim: from now on what it forbids waits here
//!                                    nothing that it has to wait for is left here? acknowledge (`grant` counts down)
//!   granted: start … end
//!   release ───────────────────────► generation differs? forget the claim
//! ```
//!
//! A group acknowledges a claim when nothing that it forbids is under way on its core, and when no claim *of its own* of that kind
//! overlaps it and has a lower ticket. Tickets come from one counter.
//!
//! **Two overlapping claims are never granted at once.** Let a < b be the tickets of claims of groups A and B, both granted. A has
//! acknowledged b. It did not do so while it had a (a is lower), so it did before it took a. But b was published then, hence
//! its ticket taken, and a would be larger. If A = B, the group had a when it acknowledged b.
//!
//! **A claim and what it forbids never overlap.** A group that acknowledged has nothing of it under way, and starts nothing of it
//! until it sees the claim gone, which is after the claimant is done. Release and acquire of the board's words order what the device
//! did for one before what it does for the other.
//!
//! **Nothing waits in a circle.** Range: operations at a device end by themselves; a claim waits for those and for lower tickets; an
//! operation that is held back is not at a device, so no claim waits for it. Order: every command that was *started* ends by itself
//! (it waits for range claims at most, and these for no order). A command that is held back has a *rank*, the highest ticket that its group had
//! noted by then. It waits for claims with tickets up to its rank, and claims with higher tickets wait for it, so nobody starves and every
//! wait leads to a lower number. What stands behind an ORDERED command that has no ticket yet has no rank yet, and no claim
//! waits for it.
//!
//! **Groups** are made once, all together, and live as long as the target, so counting them is enough. **Units** that are removed or
//! exchanged need no care: a claim belongs to a command, and a unit's number is not used again while a command has it; a group that does
//! not have the unit has nothing under way there, and acknowledges. **When the board is full**, the next command waits as if it were
//! held back by a claim. **Orphans** keep their claim until the device is done, and what they do at the device keeps others' claims off.
//!
//! What others pay: a load of a word that changes only with claims, once per round, and per command a look at a list of their
//! own core, which is empty while there are no claims.
//!
//! `fuzz/models` tries what is claimed above in many orders of steps.

use arrayvec::ArrayVec;
use reactor::Waker;

use crate::session::UnitId;
use crate::sync::Ordering::*;
use crate::sync::{Arc, AtomicU64};

/// Claims that can be on the board at once, of all units together: a bit each in one word.
pub(crate) const CLAIMS_MAX: usize = 64;

/// Bits of a slot's `grant` that count the groups which have not acknowledged.
const COUNT_BITS: u32 = 16;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// What a claim is about; see the table above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Blocks, against operations.
    Range,
    /// The whole unit, against commands.
    Order,
}

/// Blocks from `start` up to, not including, `end`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Extent {
    /// Every block.
    pub(crate) const ALL: Extent = Extent { start: 0, end: u64::MAX };

    fn covers(self, other: Extent) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    pub(crate) fn overlaps(self, other: Extent) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// A claim that stands on the board.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Claim {
    slot: usize,
    ticket: u64,
}

/// The table of claims; one for the whole target.
#[derive(Debug)]
pub(crate) struct Board {
    /// Raised whenever the rest has changed.
    generation: AtomicU64,
    tickets: AtomicU64,
    /// A bit for each slot that is in use, or about to be.
    taken: AtomicU64,
    slots: Box<[Slot]>,
    /// The reactors of all groups: one that sleeps must look, too.
    reactors: Vec<Waker>,
}

/// Claims are rare, so all of this is sequentially consistent: what stands between two equal readings of `grant` belongs to its ticket.
#[derive(Debug, Default)]
struct Slot {
    /// Ticket, and how many groups have not acknowledged; 0: nothing is published here.
    grant: AtomicU64,
    unit: AtomicU64,
    kind: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
}

impl Board {
    /// For as many poll groups as there are reactors.
    pub(crate) fn new(reactors: Vec<Waker>) -> Arc<Board> {
        Arc::new(Board {
            generation: AtomicU64::new(0),
            tickets: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            slots: (0..CLAIMS_MAX).map(|_| Slot::default()).collect(),
            reactors,
        })
    }

    /// Fills a free slot; `None` if there is none.
    fn publish(&self, kind: Kind, unit: UnitId, extent: Extent) -> Option<Claim> {
        let free = |taken: u64| (!taken).trailing_zeros();
        let take = |taken: u64| 1_u64.checked_shl(free(taken)).map(|bit| taken | bit);
        let slot = free(self.taken.fetch_update(SeqCst, SeqCst, take).ok()?) as usize;
        let entry = &self.slots[slot];
        entry.unit.store(unit.0.into(), SeqCst);
        entry.kind.store(kind as u64, SeqCst);
        entry.start.store(extent.start, SeqCst);
        entry.end.store(extent.end, SeqCst);
        let ticket = self.tickets.fetch_add(1, SeqCst) + 1;
        entry.grant.store(ticket << COUNT_BITS | self.reactors.len() as u64, SeqCst);
        self.raise();
        Some(Claim { slot, ticket })
    }

    fn release(&self, claim: Claim) {
        self.slots[claim.slot].grant.store(0, SeqCst);
        self.taken.fetch_and(!(1 << claim.slot), SeqCst);
        self.raise();
    }

    fn raise(&self) {
        self.generation.fetch_add(1, SeqCst);
        self.reactors.iter().for_each(Waker::wake);
    }

    /// One group fewer that has to acknowledge; nothing, if the claim is gone.
    fn acknowledge(&self, claim: Claim) {
        let acknowledged = |grant: u64| (grant >> COUNT_BITS == claim.ticket).then(|| grant - 1);
        let before = self.slots[claim.slot].grant.fetch_update(SeqCst, SeqCst, acknowledged);
        if before.is_ok_and(|grant| grant & COUNT == 1) {
            self.reactors.iter().for_each(Waker::wake);
        }
    }

    fn is_there(&self, claim: Claim) -> bool {
        self.slots[claim.slot].grant.load(SeqCst) >> COUNT_BITS == claim.ticket
    }

    /// What stands in a slot, unless nothing does or it is being changed.
    fn read(&self, slot: usize) -> Option<Noted> {
        let entry = &self.slots[slot];
        let ticket = entry.grant.load(SeqCst) >> COUNT_BITS;
        let claim = Claim { slot, ticket };
        let noted = Noted {
            claim,
            kind: if entry.kind.load(SeqCst) == Kind::Order as u64 { Kind::Order } else { Kind::Range },
            unit: UnitId(u32::try_from(entry.unit.load(SeqCst)).ok()?),
            extent: Extent { start: entry.start.load(SeqCst), end: entry.end.load(SeqCst) },
            own: false,
            acknowledged: false,
        };
        (ticket != 0 && self.is_there(claim)).then_some(noted)
    }
}

/// A claim as one group knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted {
    claim: Claim,
    pub(crate) kind: Kind,
    pub(crate) unit: UnitId,
    pub(crate) extent: Extent,
    own: bool,
    acknowledged: bool,
}

impl Noted {
    /// Its place among all claims, and among the ranks of commands that are held back.
    pub(crate) fn ticket(&self) -> u64 {
        self.claim.ticket
    }

    pub(crate) fn is(&self, claim: Claim) -> bool {
        self.claim == claim
    }

    fn conflicts(&self, other: &Noted) -> bool {
        self.kind == other.kind && self.unit == other.unit && self.extent.overlaps(other.extent)
    }
}

/// One poll group's part: the claims that it has noted.
#[derive(Debug)]
pub(crate) struct Claims {
    board: Arc<Board>,
    generation: u64,
    noted: ArrayVec<Noted, CLAIMS_MAX>,
    /// The highest ticket noted ever.
    newest: u64,
    /// Tests: how often anything but the two cheap looks was done.
    #[cfg(test)]
    pub(crate) costly: u64,
}

impl Claims {
    pub(crate) fn new(board: Arc<Board>) -> Claims {
        Claims {
            board,
            generation: 0,
            noted: ArrayVec::new(),
            newest: 0,
            #[cfg(test)]
            costly: 0,
        }
    }

    /// Notes new claims, and forgets those that are gone. To be called once per round.
    #[inline]
    pub(crate) fn look(&mut self) {
        let generation = self.board.generation.load(Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.note();
        }
    }

    #[cold]
    fn note(&mut self) {
        self.count_cost();
        self.noted.retain(|noted| self.board.is_there(noted.claim));
        let taken = self.board.taken.load(SeqCst);
        for slot in (0..CLAIMS_MAX).filter(|slot| taken >> slot & 1 != 0) {
            let Some(noted) = self.board.read(slot) else { continue };
            if !self.noted.iter().any(|known| known.claim == noted.claim) {
                self.enter(noted);
            }
        }
    }

    fn enter(&mut self, noted: Noted) {
        self.newest = self.newest.max(noted.ticket());
        // A slot was used again while its old claim was being forgotten: the board has said so by its generation.
        self.noted.retain(|known| known.claim.slot != noted.claim.slot);
        self.noted.push(noted);
    }

    /// Nothing is claimed as far as this group knows: what nearly every command finds.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.noted.is_empty()
    }

    /// Whether an operation on these blocks must wait. `own` is the claim, granted, of the command that wants it.
    #[inline]
    pub(crate) fn forbids(&mut self, unit: UnitId, extent: Extent, own: Option<Claim>) -> bool {
        !self.noted.is_empty() && self.overlapped(unit, extent, own)
    }

    #[cold]
    fn overlapped(&mut self, unit: UnitId, extent: Extent, own: Option<Claim>) -> bool {
        self.count_cost();
        let mut ranges = self.noted.iter().filter(|noted| noted.kind == Kind::Range && noted.unit == unit);
        // Within a granted claim its command passes all others: they wait for it.
        let owns = |noted: &Noted| Some(noted.claim) == own && noted.extent.covers(extent);
        !ranges.clone().any(owns) && ranges.any(|noted| noted.extent.overlaps(extent))
    }

    /// Whether an order with a ticket up to `rank` stands before a command of this unit.
    pub(crate) fn precedes(&self, unit: UnitId, rank: u64) -> bool {
        let mut orders = self.noted.iter().filter(|noted| noted.kind == Kind::Order);
        orders.any(|noted| noted.unit == unit && noted.ticket() <= rank)
    }

    /// The rank of a command that is held back from now on.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Puts a claim on the board; `None` while that is full.
    pub(crate) fn publish(&mut self, kind: Kind, unit: UnitId, extent: Extent) -> Option<Claim> {
        self.count_cost();
        let claim = self.board.publish(kind, unit, extent)?;
        // At once, not in the next round: until it is noted, no other claim must be acknowledged.
        self.enter(Noted { claim, kind, unit, extent, own: true, acknowledged: false });
        Some(claim)
    }

    /// Claims to blocks of a unit that this group has on the board.
    pub(crate) fn own(&self, unit: UnitId) -> usize {
        self.noted.iter().filter(|noted| noted.own && noted.kind == Kind::Range && noted.unit == unit).count()
    }

    /// Whether everybody has acknowledged a claim of this group.
    pub(crate) fn is_granted(&self, claim: Claim) -> bool {
        self.board.slots[claim.slot].grant.load(SeqCst) == claim.ticket << COUNT_BITS
    }

    /// The claimant is done, or gave up.
    pub(crate) fn release(&mut self, claim: Claim) {
        self.noted.retain(|noted| noted.claim != claim);
        self.board.release(claim);
    }

    /// Whether there are claims that this group has to acknowledge.
    #[inline]
    pub(crate) fn owes(&self) -> bool {
        !self.noted.is_empty() && self.noted.iter().any(|noted| !noted.acknowledged)
    }

    /// Acknowledges what can be. `quiet` says whether nothing that the claim has to wait for is under way on this core.
    #[cold]
    pub(crate) fn acknowledge(&mut self, quiet: impl Fn(&Noted) -> bool) {
        self.count_cost();
        for index in 0..self.noted.len() {
            let noted = self.noted[index];
            let before = |other: &Noted| other.own && other.ticket() < noted.ticket() && other.conflicts(&noted);
            if !noted.acknowledged && !self.noted.iter().any(before) && quiet(&noted) {
                self.noted[index].acknowledged = true;
                self.board.acknowledge(noted.claim);
            }
        }
    }

    fn count_cost(&mut self) {
        #[cfg(test)]
        {
            self.costly += 1;
        }
    }
}

#[cfg(test)]
#[path = "exclusion_tests.rs"]
mod tests;
