//! One connection, from its REQ until nothing has to be said about it any more.

use std::net::IpAddr;

use super::timers::Exchange;
use super::{CmId, Mad};
use crate::roce::packet_io::Path;

/// The addresses of a connection. Not the ports: a peer may send from any.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Ends {
    pub(super) local: IpAddr,
    pub(super) peer: IpAddr,
}

impl Ends {
    pub(super) fn of(path: &Path) -> Ends {
        Ends { local: path.local.ip().to_canonical(), peer: path.peer.ip().to_canonical() }
    }
}

/// Where a connection stands (IBTA vol. 1, 12.9.7; the names are ours where the standard's tell less).
///
/// ```text
///        passive                            active
///           │ REQ in                           │ REQ out
///           ▼                                  ▼
///       Requested ──── REJ out ──┐         RequestSent ── REJ in, withdrawn, no answer ──► Over
///           │ REP out            │             │
///           ▼                    │             │ REP in: RTU out
///       ReplySent ── no answer ──┤             │
///           │ RTU or packet in   │             │       From Requested, ReplySent, Established, Disconnecting
///           ▼                    │             │       REJ in leads to TimeWait.
///       Established ◄────────────┼─────────────┘       From ReplySent, Established, Disconnecting
///           │ DREQ out           │                     DREQ in (DREP out) leads to TimeWait.
///           ▼                    │                     From ReplySent, too,
///      Disconnecting             │                     DREQ out leads to Disconnecting.
///           │ DREP in, no answer │
///           ▼                    │
///        TimeWait ◄──────────────┘
///           │ 10 s, or crowded out
///           ▼
///          Over ── destroyed ──► (gone)
/// ```
#[derive(Debug)]
pub(super) enum State {
    /// Passive: the consumer decides. Leaves on its decision, on the peer's REJ, and when deciding takes too long.
    Requested(Asked),
    /// Passive: REP is repeated until RTU, or a packet that stands in for it.
    ReplySent(Exchange),
    /// Active: REQ is repeated until REP or REJ.
    RequestSent(Exchange),
    /// Waits for nothing.
    Established,
    /// DREQ is repeated until DREP, or the peer's own DREQ.
    Disconnecting(Exchange),
    /// Over, but the peer may not have heard our last word, and repeat its own.
    TimeWait {
        /// When that can no longer be, in nanoseconds.
        until: u64,
        /// The REJ that repeated REQs get.
        rejection: Option<Box<Mad>>,
    },
    /// Nothing has to be said any more; the consumer still knows the id.
    Over,
}

impl State {
    /// Whether there is no connection any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, State::TimeWait { .. } | State::Over)
    }
}

/// What an undecided request has to remember of its REQ.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The answers carry it too.
    pub(super) transaction_id: u64,
    /// End-to-end flow control: REP repeats it.
    pub(super) flow_control: bool,
    /// Code of the time within which the peer answers our REP.
    pub(super) response_timeout: u8,
    /// How often we may repeat REP.
    pub(super) retries: u8,
    /// An MRA was sent: a repeated REQ gets it again.
    pub(super) receipt_acknowledged: bool,
    /// When the next MRA is due, in nanoseconds.
    pub(super) acknowledge_at: u64,
    /// When deciding has taken too long, in nanoseconds.
    pub(super) until: u64,
}

/// What the consumer knows of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Consumer {
    /// It wants to hear of it.
    Follows,
    /// It knows that it is over, and keeps the id.
    KnowsTheEnd,
    /// It has destroyed it.
    Gone,
}

impl Consumer {
    /// True if it has to be told.
    pub(super) fn learn_the_end(&mut self) -> bool {
        let follows = *self == Consumer::Follows;
        if follows {
            *self = Consumer::KnowsTheEnd;
        }
        follows
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Our communication id.
    pub(super) id: CmId,
    /// Its ends.
    pub(super) path: Path,
    /// We are the side that was asked.
    pub(super) passive: bool,
    /// The peer's communication id; 0 while it is not known.
    pub(super) remote_id: u32,
    /// Our queue pair; 0 while it is not known.
    pub(super) local_qpn: u32,
    /// The peer's queue pair; 0 while it is not known.
    pub(super) remote_qpn: u32,
    /// Where it stands.
    pub(super) state: State,
    /// What the consumer knows of it.
    pub(super) consumer: Consumer,
}

impl Connection {
    /// Whether a message on this path comes from the peer, and to where it was asked.
    pub(super) fn is_between(&self, path: &Path) -> bool {
        Ends::of(&self.path) == Ends::of(path)
    }

    /// When its timer has something to do; time wait has a clock of its own.
    pub(super) fn deadline(&self) -> Option<u64> {
        match &self.state {
            State::Requested(asked) => Some(asked.acknowledge_at.min(asked.until)),
            State::ReplySent(exchange) | State::RequestSent(exchange) | State::Disconnecting(exchange) => {
                Some(exchange.deadline())
            }
            State::Established | State::TimeWait { .. } | State::Over => None,
        }
    }

    /// Whether a peer made it, and it is neither established nor over.
    pub(super) fn is_half_open(&self) -> bool {
        matches!(self.state, State::Requested(_) | State::ReplySent(_))
    }

    /// Whether the peer's queue pair can be in use: another connection with it means that the peer has forgotten this one.
    pub(super) fn uses_queue_pair(&self) -> bool {
        matches!(self.state, State::Requested(_) | State::ReplySent(_) | State::Established)
    }

    /// Whether it can go out of memory.
    pub(super) fn is_forgotten(&self) -> bool {
        self.consumer == Consumer::Gone && matches!(self.state, State::Over)
    }
}
