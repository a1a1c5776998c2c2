//! A connection from its request to its end, as the control side knows it.
//!
//! ```text
//! passive: Requested ─ accept ─► Accepted ─ RTU, or a first packet ─► Established
//! active:  Asking ───────────────── REP, RTU sent ──────────────────► Established
//!     any of them ─ peer, failure or user ends it ─► Ended ─ destroy ─► gone
//! ```

use std::sync::Arc;

use super::cm::{CmId, CmRequest};
use super::devices::DeviceIndex;
use super::packet_io::Path;
use super::queue_pair::{Link, Mail};

/// How far it got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Passive: waits for the user's answer.
    Requested,
    /// Passive: answered with a REP.
    Accepted,
    /// Active: waits for the peer's answer.
    Asking,
    /// Both sides know.
    Established,
    /// Over; only `destroy` is left.
    Ended,
}

/// What is remembered of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) cm: CmId,
    pub(super) path: Path,
    pub(super) device: DeviceIndex,
    pub(super) state: State,
    pub(super) request: CmRequest,
    pub(super) queue_pair: Option<Made>,
}

/// The queue pair that was made for it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) qpn: u32,
    /// First PSN that the peer must send.
    pub(super) receive_psn: super::wire::Psn,
    /// Index of its poll group.
    pub(super) group: usize,
    pub(super) link: Arc<Link>,
    pub(super) mail: Arc<Mail>,
}

impl Connection {
    /// Ends it on this side: the queue pair goes into error. `false` if it was over already.
    pub(super) fn end(&mut self) -> bool {
        if std::mem::replace(&mut self.state, State::Ended) == State::Ended {
            return false;
        }
        if let Some(made) = &self.queue_pair {
            made.link.fail();
            made.mail.changed();
        }
        true
    }
}
