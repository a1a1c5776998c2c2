//! What can be made to go wrong, at random or by script.

use std::time::Duration;

use super::random::{Random, nanoseconds};
use crate::{ConnectionId, WorkError};

/// How often things go wrong by themselves, each in cases per million. All 0 by default.
#[derive(Clone, Debug, Default)]
pub struct FaultRates {
    /// Per packet, either way: the path is lost for good, and both ends notice after a while.
    pub lose_connection: u32,
    /// Per packet, either way: the initiator disconnects.
    pub peer_disconnect: u32,
    /// Per READ, WRITE or SEND of the target: it completes with a random error. Whether it was carried out is random too.
    pub fail_operation: u32,
    /// Per packet, either way: it is late by a random part of [`FaultRates::spike`]; what follows it waits behind it.
    pub delay_spike: u32,
    /// Longest such delay.
    pub spike: Duration,
    /// Per connection: the target learns late that it is established, by a random part of [`FaultRates::spike`].
    pub late_established: u32,
    /// Per connection: the target never learns that it is established.
    pub lost_established: u32,
}

/// One thing that goes wrong by script. It happens once.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Where; `None`: wherever `when` comes true first, or on every connection for [`When::At`].
    pub connection: Option<ConnectionId>,
    /// When.
    pub when: When,
    /// What.
    pub action: FaultAction,
}

/// When a [`Fault`] happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// At this virtual time; for the actions that concern a whole connection.
    At(Duration),
    /// At the `nth` operation of that kind from now on, counted from 1.
    Nth(OperationKind, u64),
}

/// What a fault is triggered by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OperationKind {
    /// An RDMA READ of the target.
    Read,
    /// An RDMA WRITE of the target.
    Write,
    /// A SEND of the target.
    Send,
    /// A SEND of the initiator.
    Message,
    /// Any of the four above.
    Any,
    /// The target is told that a connection is established.
    Established,
    /// The target makes a queue pair.
    QueuePair,
}

/// What a [`Fault`] does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultAction {
    /// The target's operation completes with this error, after it was carried out (`done`) or not. A queue pair cannot be made.
    Fail {
        /// The error; ignored for [`OperationKind::QueuePair`].
        error: WorkError,
        /// Whether the initiator's side saw the operation.
        done: bool,
    },
    /// It is late by this much, and what follows it on its connection waits behind it.
    Delay(Duration),
    /// It never arrives; only for [`OperationKind::Established`], since nothing else can be lost without the connection.
    Lose,
    /// The path is lost for good; both ends notice after a while.
    LoseConnection,
    /// The initiator's machine is gone without a word; the target notices only when it sends something.
    VanishPeer,
    /// The initiator disconnects.
    PeerDisconnect,
}

/// What happens to one operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Verdict {
    /// More delay, in nanoseconds.
    pub(super) delay: u64,
    /// The error, and whether the operation is carried out all the same.
    pub(super) fail: Option<(WorkError, bool)>,
    /// It vanishes.
    pub(super) lost: bool,
    /// What happens to the connection.
    pub(super) ending: Option<Ending>,
}

/// How a connection ends by fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Lost,
    PeerVanished,
    PeerLeft,
}

/// Rates and script of one network.
#[derive(Debug)]
pub(super) struct Faults {
    rates: FaultRates,
    script: Vec<Scripted>,
    /// Any rate is not 0, or anything is scripted: where nothing goes wrong, the cost is one test.
    active: bool,
}

#[derive(Debug)]
struct Scripted {
    connection: Option<ConnectionId>,
    kind: OperationKind,
    countdown: u64,
    action: FaultAction,
}

impl Faults {
    pub(super) fn new(rates: FaultRates) -> Faults {
        let mut faults = Faults { rates, script: Vec::new(), active: false };
        faults.note_activity();
        faults
    }

    /// Adds a counted fault; timed ones are events of the world.
    pub(super) fn inject(
        &mut self,
        connection: Option<ConnectionId>,
        kind: OperationKind,
        nth: u64,
        action: FaultAction,
    ) {
        assert!(nth > 0, "operations are counted from 1");
        assert!(
            action != FaultAction::Lose || kind == OperationKind::Established,
            "only Established can be lost: IBTA RC loses nothing else without ending the connection"
        );
        self.script.push(Scripted { connection, kind, countdown: nth, action });
        self.note_activity();
    }

    pub(super) fn set_rates(&mut self, rates: FaultRates) {
        self.rates = rates;
        self.note_activity();
    }

    /// Judges one operation.
    #[inline]
    pub(super) fn judge(&mut self, connection: ConnectionId, kind: OperationKind, random: &mut Random) -> Verdict {
        if !self.active {
            return Verdict::default();
        }
        let mut verdict = self.roll(kind, random);
        self.follow_script(connection, kind, &mut verdict);
        verdict
    }

    fn roll(&self, kind: OperationKind, random: &mut Random) -> Verdict {
        let mut verdict = Verdict::default();
        let spike = nanoseconds(self.rates.spike) + 1;
        match kind {
            OperationKind::Established => {
                verdict.lost = random.happens(self.rates.lost_established);
                if random.happens(self.rates.late_established) {
                    verdict.delay = random.below(spike);
                }
            }
            OperationKind::Read | OperationKind::Write | OperationKind::Send | OperationKind::Message => {
                if kind != OperationKind::Message && random.happens(self.rates.fail_operation) {
                    verdict.fail = Some((random_error(random), random.below(2) == 0));
                }
                if random.happens(self.rates.delay_spike) {
                    verdict.delay = random.below(spike);
                }
                if random.happens(self.rates.lose_connection) {
                    verdict.ending = Some(Ending::Lost);
                } else if random.happens(self.rates.peer_disconnect) {
                    verdict.ending = Some(Ending::PeerLeft);
                }
            }
            OperationKind::Any | OperationKind::QueuePair => {}
        }
        verdict
    }

    fn follow_script(&mut self, connection: ConnectionId, kind: OperationKind, verdict: &mut Verdict) {
        let before = self.script.len();
        self.script.retain_mut(|fault| {
            let counts = fault.kind == kind || fault.kind == OperationKind::Any && kind.is_work();
            if !counts || fault.connection.is_some_and(|only| only != connection) {
                return true;
            }
            fault.countdown -= 1;
            if fault.countdown > 0 {
                return true;
            }
            match fault.action {
                FaultAction::Fail { error, done } => verdict.fail = Some((error, done)),
                FaultAction::Delay(delay) => verdict.delay += nanoseconds(delay),
                FaultAction::Lose => verdict.lost = true,
                FaultAction::LoseConnection => verdict.ending = Some(Ending::Lost),
                FaultAction::VanishPeer => verdict.ending = Some(Ending::PeerVanished),
                FaultAction::PeerDisconnect => verdict.ending = Some(Ending::PeerLeft),
            }
            false
        });
        if self.script.len() != before {
            self.note_activity();
        }
    }

    fn note_activity(&mut self) {
        let rates = &self.rates;
        let any = rates.lose_connection | rates.peer_disconnect | rates.fail_operation | rates.delay_spike;
        let any = any | rates.late_established | rates.lost_established;
        self.active = any != 0 || !self.script.is_empty();
    }
}

impl OperationKind {
    fn is_work(self) -> bool {
        matches!(self, OperationKind::Read | OperationKind::Write | OperationKind::Send | OperationKind::Message)
    }
}

impl FaultAction {
    /// The ending that a timed fault brings.
    ///
    /// # Panics
    /// If the action is about one operation: a test asked for something that does not exist.
    pub(super) fn ending(self) -> Ending {
        match self {
            FaultAction::LoseConnection => Ending::Lost,
            FaultAction::VanishPeer => Ending::PeerVanished,
            FaultAction::PeerDisconnect => Ending::PeerLeft,
            other => panic!("{other:?} is about one operation: use When::Nth"),
        }
    }
}

fn random_error(random: &mut Random) -> WorkError {
    // IBV_WC_GENERAL_ERR is 21: a provider's number that means nothing more.
    [WorkError::RetriesExceeded, WorkError::RemoteAccess, WorkError::RemoteRequest, WorkError::Local(21)]
        [random.below(4) as usize]
}
