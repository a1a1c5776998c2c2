//! DREQ and DREP: the end (IBTA vol. 1, 12.6.10 and 12.6.11).

use std::fmt;

use super::attribute;
use crate::roce::wire::mad::{Reader, Writer};

/// Longest private data of a DREQ in bytes.
pub const DREQ_PRIVATE_DATA_LEN: usize = 220;

/// Longest private data of a DREP in bytes.
pub const DREP_PRIVATE_DATA_LEN: usize = 224;

/// Request for communication release (12.6.10).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dreq {
    /// The sender's communication ID.
    pub local_comm_id: u32,
    /// The receiver's communication ID.
    pub remote_comm_id: u32,
    /// The receiver's queue pair, 24 bits.
    pub remote_qpn: u32,
    /// The consumer's.
    pub private_data: [u8; DREQ_PRIVATE_DATA_LEN],
}

impl Dreq {
    pub(super) fn parse(mut fields: Reader<'_>) -> Dreq {
        let [local_comm_id, remote_comm_id] = [fields.u32(), fields.u32()];
        let (remote_qpn, _) = fields.u24_u8();
        Dreq { local_comm_id, remote_comm_id, remote_qpn, private_data: fields.bytes() }
    }

    pub(super) fn emit(&self, mut fields: Writer<'_>) -> u16 {
        fields.u32(self.local_comm_id);
        fields.u32(self.remote_comm_id);
        fields.u24_u8(self.remote_qpn, 0);
        fields.bytes(&self.private_data);
        attribute::DREQ
    }

    pub(super) fn show_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", remote qp {:#x}", self.remote_qpn)
    }
}

/// Reply to a DREQ (12.6.11).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drep {
    /// The sender's communication ID.
    pub local_comm_id: u32,
    /// The receiver's communication ID.
    pub remote_comm_id: u32,
    /// The consumer's.
    pub private_data: [u8; DREP_PRIVATE_DATA_LEN],
}

impl Drep {
    pub(super) fn parse(mut fields: Reader<'_>) -> Drep {
        Drep { local_comm_id: fields.u32(), remote_comm_id: fields.u32(), private_data: fields.bytes() }
    }

    pub(super) fn emit(&self, mut fields: Writer<'_>) -> u16 {
        fields.u32(self.local_comm_id);
        fields.u32(self.remote_comm_id);
        fields.bytes(&self.private_data);
        attribute::DREP
    }
}
