//! MRA and REJ: wait, and no (IBTA vol. 1, 12.6.6 and 12.6.7).

use std::fmt;

use arrayvec::ArrayVec;

use super::{attribute, private_data};
use crate::roce::wire::mad::{Reader, Writer};

/// Longest private data of an MRA in bytes.
pub const MRA_PRIVATE_DATA_LEN: usize = 222;

/// Longest private data of a REJ in bytes.
pub const REJ_PRIVATE_DATA_LEN: usize = 148;

/// Longest additional reject information in bytes.
pub const REJ_INFORMATION_LEN: usize = 72;

/// A REQ, in [`Mra::message`] and [`Rej::message`].
pub const ABOUT_REQ: u8 = 0;
/// A REP.
pub const ABOUT_REP: u8 = 1;
/// Neither.
pub const ABOUT_OTHER: u8 = 2;

/// Message receipt acknowledgement (12.6.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mra {
    /// The sender's communication ID.
    pub local_comm_id: u32,
    /// The receiver's communication ID.
    pub remote_comm_id: u32,
    /// What has arrived: [`ABOUT_REQ`], [`ABOUT_REP`], or [`ABOUT_OTHER`] for LAP. 2 bits.
    pub message: u8,
    /// Within which time the answer will be sent, 5-bit code.
    pub service_timeout: u8,
    /// The consumer's.
    pub private_data: [u8; MRA_PRIVATE_DATA_LEN],
}

impl Mra {
    pub(super) fn parse(mut fields: Reader<'_>) -> Mra {
        Mra {
            local_comm_id: fields.u32(),
            remote_comm_id: fields.u32(),
            message: fields.u8() >> 6,
            service_timeout: fields.u8() >> 3,
            private_data: fields.bytes(),
        }
    }

    pub(super) fn emit(&self, mut fields: Writer<'_>) -> u16 {
        fields.u32(self.local_comm_id);
        fields.u32(self.remote_comm_id);
        fields.u8(self.message << 6);
        fields.u8(self.service_timeout << 3);
        fields.bytes(&self.private_data);
        attribute::MRA
    }

    pub(super) fn show_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", {} received, service timeout {}", about(self.message), self.service_timeout)
    }
}

/// Reject (12.6.7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rej {
    /// The sender's communication ID, 0 if it made none.
    pub local_comm_id: u32,
    /// The receiver's communication ID, 0 if the sender does not know it.
    pub remote_comm_id: u32,
    /// What is refused: [`ABOUT_REQ`], [`ABOUT_REP`], or [`ABOUT_OTHER`] for none in particular. 2 bits.
    pub message: u8,
    /// Why.
    pub reason: RejectReason,
    /// Additional information: for some reasons, what would be accepted.
    pub information: ArrayVec<u8, REJ_INFORMATION_LEN>,
    /// The consumer's.
    pub private_data: [u8; REJ_PRIVATE_DATA_LEN],
}

impl Rej {
    pub(super) fn parse(mut fields: Reader<'_>) -> Rej {
        let [local_comm_id, remote_comm_id] = [fields.u32(), fields.u32()];
        let message = fields.u8() >> 6;
        let information_len = usize::from(fields.u8() >> 1);
        let reason = RejectReason(fields.u16());
        // A length that lies is cut down: the refusal stands, whatever came with it.
        let mut information = ArrayVec::from(fields.bytes());
        information.truncate(information_len);
        Rej { local_comm_id, remote_comm_id, message, reason, information, private_data: fields.bytes() }
    }

    pub(super) fn emit(&self, mut fields: Writer<'_>) -> u16 {
        fields.u32(self.local_comm_id);
        fields.u32(self.remote_comm_id);
        fields.u8(self.message << 6);
        fields.u8((self.information.len() as u8) << 1); // at most 72
        fields.u16(self.reason.0);
        fields.bytes(&private_data::<REJ_INFORMATION_LEN>(&self.information));
        fields.bytes(&self.private_data);
        attribute::REJ
    }

    pub(super) fn show_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", {} refused, reason {}", about(self.message), self.reason)
    }
}

fn about(message: u8) -> &'static str {
    match message {
        ABOUT_REQ => "REQ",
        ABOUT_REP => "REP",
        _ => "other",
    }
}

/// Why something was refused (IBTA vol. 1, 12.6.7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RejectReason(pub u16);

/// The standard's reasons, each with what it means in a few words.
macro_rules! reasons {
    ($($number:literal $name:ident $meaning:literal;)*) => {
        impl RejectReason {
            $(#[doc = $meaning] pub const $name: RejectReason = RejectReason($number);)*

            /// What it means, in a few words; `None`: no reason of the standard.
            pub const fn meaning(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($meaning),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    1 NO_QP "no queue pair is free";
    2 NO_EEC "no EE context is free";
    3 NO_RESOURCES "no resources";
    4 TIMEOUT "no answer in time";
    5 UNSUPPORTED "unsupported request";
    6 INVALID_COMM_ID "unknown communication ID";
    7 INVALID_COMM_INSTANCE "unknown pair of communication IDs";
    8 INVALID_SERVICE_ID "nobody listens at this service ID";
    9 INVALID_TRANSPORT_TYPE "unsupported transport service type";
    10 STALE_CONNECTION "the queue pair is in use by an older connection";
    11 NO_RDC "no reliable datagram channel";
    12 INVALID_GID "unacceptable primary GID";
    13 INVALID_LID "unacceptable primary LID";
    14 INVALID_SL "unacceptable primary service level";
    15 INVALID_TRAFFIC_CLASS "unacceptable primary traffic class";
    16 INVALID_HOP_LIMIT "unacceptable primary hop limit";
    17 INVALID_PACKET_RATE "unacceptable primary packet rate";
    18 INVALID_ALTERNATE_GID "unacceptable alternate GID";
    19 INVALID_ALTERNATE_LID "unacceptable alternate LID";
    20 INVALID_ALTERNATE_SL "unacceptable alternate service level";
    21 INVALID_ALTERNATE_TRAFFIC_CLASS "unacceptable alternate traffic class";
    22 INVALID_ALTERNATE_HOP_LIMIT "unacceptable alternate hop limit";
    23 INVALID_ALTERNATE_PACKET_RATE "unacceptable alternate packet rate";
    24 CM_REDIRECT "ask the connection manager named in the information";
    25 PORT_REDIRECT "ask the port named in the information";
    26 INVALID_PATH_MTU "unacceptable path MTU";
    27 INSUFFICIENT_RESPONDER_RESOURCES "too few responder resources";
    28 CONSUMER "refused by the consumer";
    29 INVALID_RNR_RETRY "unacceptable RNR retry count";
    30 DUPLICATE_LOCAL_COMM_ID "the communication ID is in use";
    31 INVALID_CLASS_VERSION "unsupported version of the connection manager";
    32 INVALID_FLOW_LABEL "unacceptable primary flow label";
    33 INVALID_ALTERNATE_FLOW_LABEL "unacceptable alternate flow label";
    35 VENDOR_OPTION_NOT_SUPPORTED "unsupported vendor option";
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.meaning().unwrap_or("reserved"))
    }
}
