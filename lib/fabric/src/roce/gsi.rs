//! Queue pair 1 (IBTA: general services interface): the connection manager's messages as datagrams on every device.

use std::net::IpAddr;

use super::cm::{Cm, CmCounters};
use super::devices::{DeviceIndex, Devices};
use super::packet_io::Arrived;
use super::wire::{Deth, GSI_QKEY, GSI_QP, Headers, Opcode, Psn};

/// Batches of packets taken of one device in one poll: what is left is taken in the next, so that a flood delays nothing
/// else for long.
const BATCHES_MAX: usize = 4;

/// The connection manager, and the datagrams that carry what it says.
#[derive(Debug)]
pub(super) struct Gsi {
    pub(super) cm: Cm,
    /// Of the last datagram that was sent.
    psn: Psn,
    /// Packets that are no datagrams to queue pair 1.
    strays: u64,
}

impl Gsi {
    pub(super) fn new(cm: Cm) -> Gsi {
        Gsi { cm, psn: Psn::default(), strays: 0 }
    }

    /// Gives the connection manager what arrived. `listening`: whether someone listens at a port of our address.
    pub(super) fn receive(&mut self, now: u64, devices: &mut Devices, listening: &dyn Fn(IpAddr, u16) -> bool) {
        for index in 0..devices.all().len() {
            let device = devices.get_mut(DeviceIndex(index));
            let (mtu, address) = (device.mtu, device.address);
            for _ in 0..BATCHES_MAX {
                let taken = device.io.receive(&mut |arrived: Arrived<'_>| match mad_of(arrived.packet) {
                    Some(mad) => self.cm.on_mad(now, &arrived.path, mtu, &|port| listening(address, port), mad),
                    None => self.strays += 1,
                });
                if taken == 0 {
                    break;
                }
            }
        }
    }

    /// What was counted; strays are malformed messages.
    pub(super) fn counters(&self) -> CmCounters {
        let counters = self.cm.counters();
        CmCounters { malformed: counters.malformed + self.strays, ..counters }
    }

    /// Sends what the connection manager has to say.
    pub(super) fn send(&mut self, now: u64, devices: &mut Devices) {
        while let Some((path, mad)) = self.cm.next_mad(now) {
            let Some(device) = devices.find(path.local.ip()) else { continue };
            self.psn = self.psn.plus(1);
            let deth = Some(Deth { qkey: GSI_QKEY, source_qp: GSI_QP });
            let headers = Headers { deth, ..Headers::new(Opcode::UdSendOnly, GSI_QP, self.psn) };
            // A message that finds no room is lost, and repeated as any lost one is.
            let _ = devices.get_mut(device).io.queue(&path, &headers, &mad);
        }
        for index in 0..devices.all().len() {
            devices.get_mut(DeviceIndex(index)).io.flush();
        }
    }
}

/// The MAD in a packet that came to queue pair 1, if it is one.
fn mad_of(packet: &[u8]) -> Option<&[u8]> {
    let (headers, payload) = Headers::parse(packet).ok()?;
    let is_for_us = headers.opcode == Opcode::UdSendOnly && headers.dest_qp == GSI_QP;
    (is_for_us && headers.deth.is_some_and(|deth| deth.qkey == GSI_QKEY)).then_some(payload)
}
