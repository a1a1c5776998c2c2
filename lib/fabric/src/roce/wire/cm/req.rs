//! REQ: the active side asks for a connection (IBTA vol. 1, 12.6.5).

use std::fmt;

use super::attribute;
use crate::roce::wire::mad::{Reader, Writer};
use crate::roce::wire::{Gid, Psn, mtu_bytes};

/// Longest private data of a REQ in bytes; RDMA/CM uses the first [`RdmaCmHeader::LEN`](super::super::RdmaCmHeader::LEN) of them.
pub const REQ_PRIVATE_DATA_LEN: usize = 92;

/// Transport service type of a REQ for a reliable connection.
pub const RELIABLE_CONNECTION: u8 = 0;

/// Request for communication (12.6.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Req {
    /// The active side's communication ID.
    pub local_comm_id: u32,
    /// Who is asked for (see [`service_id`](super::super::service_id)).
    pub service_id: u64,
    /// GUID of the active side's channel adapter.
    pub local_ca_guid: u64,
    /// The active side's queue pair, 24 bits.
    pub local_qpn: u32,
    /// READs and atomics that the active side serves at once.
    pub responder_resources: u8,
    /// READs and atomics that the active side wants to have outstanding.
    pub initiator_depth: u8,
    /// Within which time the active side expects an answer, 5-bit code.
    pub remote_cm_response_timeout: u8,
    /// Kind of connection: [`RELIABLE_CONNECTION`] is the only one that we know. 2 bits.
    pub transport_service_type: u8,
    /// Whether the active side's SEND queue does end-to-end flow control.
    pub end_to_end_flow_control: bool,
    /// First PSN that the *passive* side sends with.
    pub starting_psn: Psn,
    /// Within which time the active side answers, 5-bit code.
    pub local_cm_response_timeout: u8,
    /// How often the passive side sends a packet again that is not acknowledged, 3 bits.
    pub retry_count: u8,
    /// Partition.
    pub partition_key: u16,
    /// Path MTU, 4-bit code (see [`mtu_bytes`]).
    pub path_mtu: u8,
    /// Of reliable datagrams only.
    pub rdc_exists: bool,
    /// How often the passive side sends again after "receiver not ready", 3 bits; 7: without end.
    pub rnr_retry_count: u8,
    /// How often either side sends a message of this exchange again, 4 bits.
    pub max_cm_retries: u8,
    /// Whether the active side's receives are those of a shared queue.
    pub srq: bool,
    /// The way.
    pub primary_path: PathInformation,
    /// The consumer's.
    pub private_data: [u8; REQ_PRIVATE_DATA_LEN],
}

impl Req {
    pub(super) fn parse(mut fields: Reader<'_>) -> Req {
        let local_comm_id = fields.u32();
        fields.skip::<4>();
        let service_id = fields.u64();
        let local_ca_guid = fields.u64();
        fields.skip::<8>(); // reserved, Q_Key
        let (local_qpn, responder_resources) = fields.u24_u8();
        let (_eecn, initiator_depth) = fields.u24_u8();
        let (_eecn, remote) = fields.u24_u8();
        let (starting_psn, local) = fields.u24_u8();
        let partition_key = fields.u16();
        let path = fields.u8();
        let retries = fields.u8();
        let primary_path = PathInformation::parse(&mut fields);
        fields.skip::<{ PathInformation::LEN }>(); // alternate
        Req {
            local_comm_id,
            service_id,
            local_ca_guid,
            local_qpn,
            responder_resources,
            initiator_depth,
            remote_cm_response_timeout: remote >> 3,
            transport_service_type: remote >> 1 & 0x03,
            end_to_end_flow_control: remote & 0x01 != 0,
            starting_psn: Psn::new(starting_psn),
            local_cm_response_timeout: local >> 3,
            retry_count: local & 0x07,
            partition_key,
            path_mtu: path >> 4,
            rdc_exists: path & 0x08 != 0,
            rnr_retry_count: path & 0x07,
            max_cm_retries: retries >> 4,
            srq: retries & 0x08 != 0,
            primary_path,
            private_data: fields.bytes(),
        }
    }

    pub(super) fn emit(&self, mut fields: Writer<'_>) -> u16 {
        let flow_control = u8::from(self.end_to_end_flow_control);
        let rdc_exists = u8::from(self.rdc_exists);
        fields.u32(self.local_comm_id);
        fields.skip::<4>();
        fields.u64(self.service_id);
        fields.u64(self.local_ca_guid);
        fields.skip::<8>();
        fields.u24_u8(self.local_qpn, self.responder_resources);
        fields.u24_u8(0, self.initiator_depth);
        let service_type = self.transport_service_type & 0x03;
        fields.u24_u8(0, self.remote_cm_response_timeout << 3 | service_type << 1 | flow_control);
        fields.u24_u8(self.starting_psn.get(), self.local_cm_response_timeout << 3 | self.retry_count & 0x07);
        fields.u16(self.partition_key);
        fields.u8(self.path_mtu << 4 | rdc_exists << 3 | self.rnr_retry_count & 0x07);
        fields.u8(self.max_cm_retries << 4 | u8::from(self.srq) << 3);
        self.primary_path.emit(&mut fields);
        fields.skip::<{ PathInformation::LEN }>();
        fields.bytes(&self.private_data);
        attribute::REQ
    }

    pub(super) fn show_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PathInformation { local_gid, remote_gid, local_ack_timeout, .. } = self.primary_path;
        write!(f, ", {local_gid} > {remote_gid}, service {:#x}", self.service_id)?;
        write!(f, ", qp {:#x}, psn {:#08x}", self.local_qpn, self.starting_psn.get())?;
        match mtu_bytes(self.path_mtu) {
            Some(mtu) => write!(f, ", mtu {mtu}")?,
            None => write!(f, ", mtu code {}", self.path_mtu)?,
        }
        write!(f, ", responder resources {}, initiator depth {}", self.responder_resources, self.initiator_depth)?;
        write!(f, ", retries {}, rnr retries {}", self.retry_count, self.rnr_retry_count)?;
        write!(f, ", ack timeout {local_ack_timeout}")
    }
}

/// The primary path of a REQ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathInformation {
    /// LID of the active side: 0xffff with RoCE.
    pub local_lid: u16,
    /// LID of the passive side: 0xffff with RoCE.
    pub remote_lid: u16,
    /// Address of the active side.
    pub local_gid: Gid,
    /// Address of the passive side.
    pub remote_gid: Gid,
    /// 20 bits.
    pub flow_label: u32,
    /// Static rate, 6-bit code.
    pub packet_rate: u8,
    /// Traffic class.
    pub traffic_class: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Service level, 4 bits.
    pub service_level: u8,
    /// Whether no router is in between.
    pub subnet_local: bool,
    /// After which time the passive side sends a packet again that is not acknowledged, 5-bit code.
    pub local_ack_timeout: u8,
}

impl PathInformation {
    const LEN: usize = 44;

    fn parse(fields: &mut Reader<'_>) -> PathInformation {
        let [local_lid, remote_lid] = [fields.u16(), fields.u16()];
        let [local_gid, remote_gid] = [Gid(fields.bytes()), Gid(fields.bytes())];
        let flow = fields.u32();
        let [traffic_class, hop_limit, service, ack] = fields.bytes();
        PathInformation {
            local_lid,
            remote_lid,
            local_gid,
            remote_gid,
            flow_label: flow >> 12,
            packet_rate: flow as u8 & 0x3f,
            traffic_class,
            hop_limit,
            service_level: service >> 4,
            subnet_local: service & 0x08 != 0,
            local_ack_timeout: ack >> 3,
        }
    }

    fn emit(&self, fields: &mut Writer<'_>) {
        fields.u16(self.local_lid);
        fields.u16(self.remote_lid);
        fields.bytes(&self.local_gid.0);
        fields.bytes(&self.remote_gid.0);
        fields.u32(self.flow_label << 12 | u32::from(self.packet_rate & 0x3f));
        let service = self.service_level << 4 | u8::from(self.subnet_local) << 3;
        fields.bytes(&[self.traffic_class, self.hop_limit, service, self.local_ack_timeout << 3]);
    }
}
