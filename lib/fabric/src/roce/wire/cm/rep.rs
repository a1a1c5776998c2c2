//! REP and RTU: the passive side accepts, and the active side knows it (IBTA vol. 1, 12.6.8 and 12.6.9).

use std::fmt;

use super::attribute;
use crate::roce::wire::Psn;
use crate::roce::wire::mad::{Reader, Writer};

/// Longest private data of a REP in bytes.
pub const REP_PRIVATE_DATA_LEN: usize = 196;

/// Longest private data of an RTU in bytes.
pub const RTU_PRIVATE_DATA_LEN: usize = 224;

/// Reply to a REQ (12.6.8).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rep {
    /// The passive side's communication ID.
    pub local_comm_id: u32,
    /// The active side's communication ID.
    pub remote_comm_id: u32,
    /// The passive side's queue pair, 24 bits.
    pub local_qpn: u32,
    /// First PSN that the *active* side sends with.
    pub starting_psn: Psn,
    /// READs and atomics that the passive side serves at once.
    pub responder_resources: u8,
    /// READs and atomics that the passive side will have outstanding.
    pub initiator_depth: u8,
    /// Longest time between a packet and its acknowledgement, 5-bit code.
    pub target_ack_delay: u8,
    /// About the alternate path: 0 accepted, 1 not supported, 2 refused. 2 bits.
    pub failover_accepted: u8,
    /// Whether the passive side's SEND queue does end-to-end flow control.
    pub end_to_end_flow_control: bool,
    /// How often the active side sends again after "receiver not ready", 3 bits; 7: without end.
    pub rnr_retry_count: u8,
    /// Whether the passive side's receives are those of a shared queue.
    pub srq: bool,
    /// GUID of the passive side's channel adapter.
    pub local_ca_guid: u64,
    /// The consumer's.
    pub private_data: [u8; REP_PRIVATE_DATA_LEN],
}

impl Rep {
    pub(super) fn parse(mut fields: Reader<'_>) -> Rep {
        let [local_comm_id, remote_comm_id, _q_key] = [fields.u32(), fields.u32(), fields.u32()];
        let (local_qpn, _) = fields.u24_u8();
        fields.skip::<4>(); // EE context
        let (starting_psn, _) = fields.u24_u8();
        let [responder_resources, initiator_depth, delay, retries] = fields.bytes();
        Rep {
            local_comm_id,
            remote_comm_id,
            local_qpn,
            starting_psn: Psn::new(starting_psn),
            responder_resources,
            initiator_depth,
            target_ack_delay: delay >> 3,
            failover_accepted: delay >> 1 & 0x03,
            end_to_end_flow_control: delay & 0x01 != 0,
            rnr_retry_count: retries >> 5,
            srq: retries & 0x10 != 0,
            local_ca_guid: fields.u64(),
            private_data: fields.bytes(),
        }
    }

    pub(super) fn emit(&self, mut fields: Writer<'_>) -> u16 {
        fields.u32(self.local_comm_id);
        fields.u32(self.remote_comm_id);
        fields.skip::<4>();
        fields.u24_u8(self.local_qpn, 0);
        fields.skip::<4>();
        fields.u24_u8(self.starting_psn.get(), 0);
        let flow_control = u8::from(self.end_to_end_flow_control);
        fields.u8(self.responder_resources);
        fields.u8(self.initiator_depth);
        fields.u8(self.target_ack_delay << 3 | (self.failover_accepted & 0x03) << 1 | flow_control);
        fields.u8(self.rnr_retry_count << 5 | u8::from(self.srq) << 4);
        fields.u64(self.local_ca_guid);
        fields.bytes(&self.private_data);
        attribute::REP
    }

    pub(super) fn show_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", qp {:#x}, psn {:#08x}", self.local_qpn, self.starting_psn.get())?;
        write!(f, ", responder resources {}, initiator depth {}", self.responder_resources, self.initiator_depth)?;
        write!(f, ", rnr retries {}", self.rnr_retry_count)
    }
}

/// Ready to use (12.6.9).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rtu {
    /// The active side's communication ID.
    pub local_comm_id: u32,
    /// The passive side's communication ID.
    pub remote_comm_id: u32,
    /// The consumer's.
    pub private_data: [u8; RTU_PRIVATE_DATA_LEN],
}

impl Rtu {
    pub(super) fn parse(mut fields: Reader<'_>) -> Rtu {
        Rtu { local_comm_id: fields.u32(), remote_comm_id: fields.u32(), private_data: fields.bytes() }
    }

    pub(super) fn emit(&self, mut fields: Writer<'_>) -> u16 {
        fields.u32(self.local_comm_id);
        fields.u32(self.remote_comm_id);
        fields.bytes(&self.private_data);
        attribute::RTU
    }
}
