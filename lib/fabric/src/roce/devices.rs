//! Devices: one for each local address that something listens at or connects from. Opened when first wanted, and kept.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::packet_io::{self, Interface, PacketIo, Way};
use super::queue_pair::Mail;
use super::random;
use super::wire::{Gid, UDP_PORT};
use crate::{DeviceInfo, GroupId, LinkLayer};

/// Most devices of one process.
pub(super) const DEVICES_MAX: usize = 256;

/// READs that we have outstanding on one queue pair at most, and serve at most (IBTA vol. 1, 12.7.29: 8 bits; what
/// common adapters do).
pub(super) const READS_MAX: u8 = 16;

/// A device of one control side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct DeviceIndex(pub(super) usize);

/// One local address.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) address: IpAddr,
    /// Largest path MTU in bytes that fits its interface now.
    pub(super) mtu: u32,
    /// How its packets pass, in words.
    passage: String,
    /// The connection manager's packets.
    pub(super) io: PacketIo,
    /// How many poll groups have packet I/O of it: groups made later have not.
    pub(super) groups: usize,
    guid: u64,
    active: bool,
}

/// All of them, and the interfaces of the host.
#[derive(Debug, Default)]
pub(super) struct Devices {
    way: Way,
    devices: Vec<Device>,
    interfaces: Vec<Interface>,
    /// Why an address could not be opened, to be said once.
    refusals: HashMap<IpAddr, String>,
}

impl Devices {
    pub(super) fn new(way: Way) -> Devices {
        Devices { way, ..Devices::default() }
    }

    /// Looks at the interfaces again: MTUs change, addresses come and go.
    pub(super) fn look(&mut self) {
        match packet_io::interfaces() {
            Ok(interfaces) => self.interfaces = interfaces,
            Err(error) => tracing::warn!("cannot list the network interfaces: {error}"),
        }
        for device in &mut self.devices {
            let interface = self.interfaces.iter().find(|interface| has(interface, device.address));
            device.active = interface.is_some();
            if let Some(mtu) = interface.and_then(Interface::path_mtu_max) {
                device.mtu = mtu;
            }
        }
    }

    pub(super) fn all(&self) -> &[Device] {
        &self.devices
    }

    pub(super) fn get_mut(&mut self, index: DeviceIndex) -> &mut Device {
        &mut self.devices[index.0]
    }

    pub(super) fn find(&self, address: IpAddr) -> Option<DeviceIndex> {
        self.devices.iter().position(|device| device.address == address).map(DeviceIndex)
    }

    /// The host's addresses of the same kind as `address`, which stands for every address.
    pub(super) fn addresses_for(&self, unspecified: IpAddr) -> Vec<IpAddr> {
        let same_kind = |interface: &&Interface| interface.address.is_ipv4() == unspecified.is_ipv4();
        self.interfaces.iter().filter(same_kind).map(|interface| interface.address).collect()
    }

    /// The device of an address, opened if it is not yet: each group is sent its packet I/O.
    ///
    /// # Errors
    /// Why not, in words for the administrator.
    pub(super) fn open(&mut self, address: IpAddr, groups: &[(GroupId, Arc<Mail>)]) -> Result<DeviceIndex, String> {
        if let Some(device) = self.find(address) {
            return Ok(device);
        }
        let opened = self.try_open(address, groups);
        match &opened {
            Ok(index) => {
                self.refusals.remove(&address);
                let device = &self.devices[index.0];
                tracing::info!(device = device.name, mtu = device.mtu, "RoCE through {}", device.passage);
            }
            Err(why) => {
                if self.refusals.insert(address, why.clone()).as_ref() != Some(why) {
                    tracing::warn!("{why}");
                }
            }
        }
        opened
    }

    fn try_open(&mut self, address: IpAddr, groups: &[(GroupId, Arc<Mail>)]) -> Result<DeviceIndex, String> {
        if self.devices.len() == DEVICES_MAX {
            return Err(format!("{DEVICES_MAX} addresses are in use already"));
        }
        let interface = self.interfaces.iter().find(|interface| has(interface, address));
        let interface = interface.ok_or_else(|| format!("no network interface has the address {address}"))?;
        let mtu = interface
            .path_mtu_max()
            .ok_or_else(|| format!("{}: its MTU of {} bytes is too small for RoCE", interface.name, interface.mtu))?;
        let scope = if is_link_local(address) { interface.index } else { 0 };
        let opened = self.way.open(address, scope, groups.len() + 1);
        let (queues, passage) = opened.map_err(|error| refusal(address, &error))?;
        let mut queues = queues.into_iter();
        let io = queues.next().expect("a queue for the connection manager");
        let index = DeviceIndex(self.devices.len());
        for ((_, mail), queue) in groups.iter().zip(queues) {
            // There is room for every device that can be.
            let _ = mail.ports.push((index, queue));
            mail.changed();
        }
        let name = format!("{}_{address}", interface.name);
        let guid = node_guid(&interface.name);
        self.devices.push(Device { name, address, mtu, passage, io, groups: groups.len(), guid, active: true });
        Ok(index)
    }
}

impl Device {
    pub(super) fn info(&self) -> DeviceInfo {
        DeviceInfo {
            name: self.name.clone(),
            node_guid: self.guid,
            gid: Gid::from(self.address).0,
            link_layer: LinkLayer::Ethernet,
            mtu: self.mtu,
            active: self.active,
            reads_max: READS_MAX,
        }
    }
}

/// Whether an interface has an address; the loopback interface has all of 127.0.0.0/8.
fn has(interface: &Interface, address: IpAddr) -> bool {
    let both_loopback = address.is_ipv4() && address.is_loopback() && interface.address.is_loopback();
    interface.address == address || both_loopback && interface.address.is_ipv4()
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// EUI-64 of the interface's hardware address, as adapters have it; a random local one where there is none.
fn node_guid(interface: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/sys/class/net/{interface}/address")).unwrap_or_default();
    let bytes: Vec<u8> = text.trim().split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    match bytes[..] {
        [a, b, c, d, e, f] if bytes.iter().any(|&byte| byte != 0) => {
            u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
        }
        _ => random::next() & !(1 << 56) | 2 << 56, // not a group's, locally administered
    }
}

fn refusal(address: IpAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "UDP port {UDP_PORT} of {address} is in use: by another RoCE program, which leaves other addresses free, or by \
             the kernel's soft-RoCE, which takes all of them (`modprobe -r rdma_rxe` ends it)"
        ),
        _ => format!("cannot open UDP port {UDP_PORT} of {address}: {error}"),
    }
}
