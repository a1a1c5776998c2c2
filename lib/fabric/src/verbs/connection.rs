//! A connection from its request to its end.
//!
//! ```text
//! passive: Requested ─ accept ─► Accepted ─ RTU, or a first message ─► Established
//! active:  Resolving ─ address, route ─► Asking ─ REP, RTU sent ─────► Established
//!     any of them ─ peer, device or user ends it ─► Ended ─ destroy, and nobody has the queue pair ─► gone
//! ```

use std::sync::Arc;

use super::cm::CmId;
use super::device::Device;
use super::queue_pair::Handle;
use crate::PrivateData;

/// How far it got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Passive: waits for the user's answer.
    Requested,
    /// Passive: answered with a REP; waits for the peer's RTU.
    Accepted,
    /// Active: looks for the way to the peer.
    Resolving,
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
    pub(super) id: CmId,
    pub(super) device: Arc<Device>,
    pub(super) state: State,
    pub(super) handle: Option<Arc<Handle>>,
    /// What an active side asks for.
    pub(super) question: Option<Box<Question>>,
}

/// A request for a connection, kept until the way to the peer is known.
#[derive(Debug)]
pub(super) struct Question {
    /// RDMA READs that we serve at once.
    pub(super) reads_served: u8,
    pub(super) private_data: PrivateData,
}

impl Connection {
    /// Ends it on this side: the queue pair goes into error, and the peer is told unless it never was there or is told
    /// by other means (`tell` false). `false` if it was over already.
    pub(super) fn end(&mut self, tell: bool) -> bool {
        let before = std::mem::replace(&mut self.state, State::Ended);
        if before == State::Ended {
            return false;
        }
        if let Some(handle) = &self.handle {
            handle.fail();
        }
        if tell && matches!(before, State::Accepted | State::Established) {
            // Fails if the connection manager knows already that it is over.
            if let Err(error) = self.id.disconnect() {
                tracing::debug!("rdma_disconnect: {error}");
            }
        }
        true
    }

    /// Destroys queue pair and id if nobody else has the queue pair; gives itself back if somebody has.
    pub(super) fn finish(mut self) -> Result<(), Connection> {
        match self.handle.take().map(Arc::try_unwrap) {
            None => Ok(()),
            Some(Ok(handle)) => {
                self.id.destroy_queue_pair(handle);
                Ok(())
            }
            Some(Err(shared)) => {
                self.handle = Some(shared);
                Err(self)
            }
        }
    }
}
