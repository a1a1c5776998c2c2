//! The data of PERSISTENT RESERVE IN (SPC-4), whole; the transport cuts it to what the CDB allows.

use super::{Registration, ReservationType, Reservations, TRANSPORT_ID_BYTES, TRANSPORT_ID_SRP, TargetPort};

/// A service action of PERSISTENT RESERVE IN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InAction {
    /// READ KEYS.
    ReadKeys,
    /// READ RESERVATION.
    ReadReservation,
    /// REPORT CAPABILITIES.
    ReportCapabilities,
    /// READ FULL STATUS.
    ReadFullStatus,
}

impl Reservations {
    /// The data that a service action returns.
    pub(crate) fn answer(&self, action: InAction, ports: &[TargetPort], can_persist: bool) -> Vec<u8> {
        match action {
            InAction::ReadKeys => {
                let keys = self.registrations.iter().flat_map(|registration| registration.key.to_be_bytes());
                self.with_header(&keys.collect::<Vec<u8>>())
            }
            InAction::ReadReservation => self.with_header(&self.reservation_descriptor()),
            InAction::ReportCapabilities => self.capabilities(can_persist).to_vec(),
            InAction::ReadFullStatus => {
                let status = |registration: &Registration| self.full_status(registration, ports);
                self.with_header(&self.registrations.iter().flat_map(status).collect::<Vec<u8>>())
            }
        }
    }

    /// PRGENERATION and ADDITIONAL LENGTH.
    fn with_header(&self, rest: &[u8]) -> Vec<u8> {
        [&self.generation.to_be_bytes(), &(rest.len() as u32).to_be_bytes(), rest].concat()
    }

    /// The key of an all registrants reservation is zero.
    fn reservation_descriptor(&self) -> Vec<u8> {
        let Some(reservation) = self.reservation else { return Vec::new() };
        let mut descriptor = vec![0; 16];
        let key = reservation.holder.and_then(|holder| self.key_of(holder)).unwrap_or(0);
        descriptor[..8].copy_from_slice(&key.to_be_bytes());
        descriptor[13] = reservation.kind as u8; // SCOPE 0, LU_SCOPE
        descriptor
    }

    fn capabilities(&self, can_persist: bool) -> [u8; 8] {
        const CRH_SIP_C_ATP_C: u8 = 0x1c;
        const PTPL_C: u8 = 0x01;
        const TMV: u8 = 0x80;
        /// ALLOW COMMANDS 011b: what `access.rs` does with TEST UNIT READY, MODE SENSE and the like.
        const ALLOW_COMMANDS: u8 = 0b011 << 4;
        const PTPL_A: u8 = 0x01;
        // Bit 8 of the mask is in byte 5, all others in byte 4: the bit of type N stands at N in a field that starts with byte 4's bit 0.
        let mask = ReservationType::ALL.iter().fold(0_u16, |mask, kind| mask | 1 << *kind as u16);
        let [high, low] = mask.to_be_bytes();
        let (capable, active) = (if can_persist { PTPL_C } else { 0 }, if self.persists { PTPL_A } else { 0 });
        [0, 8, CRH_SIP_C_ATP_C | capable, TMV | ALLOW_COMMANDS | active, low, high, 0, 0]
    }

    /// A full status descriptor. Every nexus has its own, so ALL_TG_PT is never set. A target port that is not there now has no relative
    /// identifier: 0, which SPC-4 reserves.
    fn full_status(&self, registration: &Registration, ports: &[TargetPort]) -> Vec<u8> {
        const R_HOLDER: u8 = 0x01;
        let nexus = registration.nexus;
        let mut descriptor = vec![0; 24 + TRANSPORT_ID_BYTES];
        descriptor[..8].copy_from_slice(&registration.key.to_be_bytes());
        if let Some(reservation) = self.reservation.filter(|_| self.is_holder(nexus)) {
            descriptor[12] = R_HOLDER;
            descriptor[13] = reservation.kind as u8; // SCOPE 0, LU_SCOPE
        }
        let relative = ports.iter().find(|port| port.id == nexus.target_port_id).map_or(0, |port| port.relative);
        descriptor[18..20].copy_from_slice(&relative.to_be_bytes());
        descriptor[20..24].copy_from_slice(&(TRANSPORT_ID_BYTES as u32).to_be_bytes());
        descriptor[24] = TRANSPORT_ID_SRP;
        descriptor[32..].copy_from_slice(&nexus.initiator_port_id);
        descriptor
    }
}
