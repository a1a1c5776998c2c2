//! Messages of ours that are sent from more than one state.

use arrayvec::ArrayVec;

use super::Mad;
use super::connection::Connection;
use super::timers;
use crate::roce::wire::MAD_LEN;
use crate::roce::wire::cm::{CmMad, Message, Mra, REJ_PRIVATE_DATA_LEN, Rej, RejectReason, Rep, private_data};

/// In MRA and REJ: about a REQ (12.6.6, 12.6.7).
pub(super) const OF_REQUEST: u8 = 0;
/// In MRA and REJ: about a REP.
pub(super) const OF_REPLY: u8 = 1;
/// In REJ: about no message, because none came.
const OF_NOTHING: u8 = 2;

/// The MAD with this message.
pub(super) fn encode(transaction_id: u64, message: Message) -> Mad {
    let mut mad = [0; MAD_LEN];
    CmMad { transaction_id, message }.emit(&mut mad);
    mad
}

/// MRA of the REQ of this connection: deciding about it takes longer.
pub(super) fn mra_of_request(connection: &Connection) -> Message {
    Message::Mra(Mra {
        local_comm_id: connection.id.0,
        remote_comm_id: connection.remote_id,
        message: OF_REQUEST,
        service_timeout: timers::SERVICE_TIMEOUT,
        private_data: private_data(&[]),
    })
}

/// REJ of the REQ with this id. We name no id of ours, as Linux does not: the peer has no use for it.
///
/// # Panics
/// If there is more information or private data than a REJ carries (72 and 148 bytes).
pub(super) fn rej_of_request(
    remote_comm_id: u32,
    reason: RejectReason,
    information: &[u8],
    consumers_data: &[u8],
) -> Message {
    assert!(consumers_data.len() <= REJ_PRIVATE_DATA_LEN, "private data that fits into a REJ");
    Message::Rej(Rej {
        local_comm_id: 0,
        remote_comm_id,
        message: OF_REQUEST,
        reason,
        information: information.iter().copied().collect(),
        private_data: private_data(consumers_data),
    })
}

/// REJ of this REP, by the ids that it used.
pub(super) fn rej_of_reply(rep: &Rep, reason: RejectReason) -> Message {
    Message::Rej(Rej {
        local_comm_id: rep.remote_comm_id,
        remote_comm_id: rep.local_comm_id,
        message: OF_REPLY,
        reason,
        information: ArrayVec::new(),
        private_data: private_data(&[]),
    })
}

/// REJ because no answer came. Our node's GUID goes with it: by that and our id the peer finds the connection, if we do not
/// know its id (12.6.7.2).
pub(super) fn rej_of_silence(connection: &Connection, node_guid: u64) -> Message {
    Message::Rej(Rej {
        local_comm_id: connection.id.0,
        remote_comm_id: connection.remote_id,
        message: OF_NOTHING,
        reason: RejectReason::TIMEOUT,
        information: node_guid.to_be_bytes().into_iter().collect(),
        private_data: private_data(&[]),
    })
}
