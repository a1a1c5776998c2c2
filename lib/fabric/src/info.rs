//! What the control side tells about devices and listeners.

/// A poll group of one [`crate::Control`]: one per reactor, numbered from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct GroupId(pub u32);

/// Whether a listener takes connections now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListenerState {
    /// Connections are taken as soon as a device can carry them.
    Listening,
    /// Not yet, and why, in words for the administrator. It is tried again about once a second.
    Waiting(String),
}

/// What lies under a device's port 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkLayer {
    /// InfiniBand.
    InfiniBand,
    /// RoCE.
    Ethernet,
    /// iWARP: RDMA over TCP, with the limits that it has.
    Iwarp,
    /// The simulation.
    Simulated,
}

/// An RDMA device that is ready for use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceInfo {
    /// Name, as `ibv_devices` and `rdma link` show it.
    pub name: String,
    /// Node GUID as a number: its 16 hex digits are printed from the most significant on.
    pub node_guid: u64,
    /// GID 0 of port 1 (its low half is what SRP users know as the port GUID).
    pub gid: [u8; 16],
    /// What lies under it.
    pub link_layer: LinkLayer,
    /// Active path MTU of port 1 in bytes.
    pub mtu: u32,
    /// Whether port 1 is active.
    pub active: bool,
    /// Most RDMA READs outstanding on one queue pair as their requester.
    pub reads_max: u8,
}

/// By what initiators ask for a listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Service {
    /// By an IP address and a port of RDMA/CM: RoCE, iWARP, IP over InfiniBand.
    #[default]
    Ip,
    /// By a port's GID, which stands where the address is, and a service id of IB/CM ([`ib_service_id`]): native InfiniBand, with no IP
    /// address anywhere.
    Ib,
}

/// The service id of a port, in the only range where the kernel lets a process listen by IB/CM (RDMA_PS_IB of `rdma/rdma_cm.h`).
pub const fn ib_service_id(port: u16) -> u64 {
    0x0000_0000_013f_0000 | port as u64
}
