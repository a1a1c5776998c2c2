//! Packets on a network port that DPDK drives: without system calls, and without the kernel, which does not see them.
//!
//! | file | |
//! |---|---|
//! | `queue.rs` | the data path of one thread: frames in |
//! | `sender.rs` | frames out, and those that wait for a neighbour |
//! | `neighbour_table.rs` | who is on the link: ARP and neighbour discovery, which nobody does for us here |
//! | `options.rs`, `environment.rs` | starting DPDK |
//! | `port.rs`, `ring.rs`, `mbuf.rs` | what DPDK offers, made safe: ports, rings, buffers |
//!
//! # When
//! A NIC that DPDK has a poll mode driver for gives packets to a reactor without system calls and without the kernel's
//! network stack, which cost some hundred nanoseconds a packet even in bursts. The port is taken away from the kernel (it
//! is bound to `vfio-pci`; NVIDIA's stay with it), so it is a port for storage only. Where the kernel has to keep the
//! port, sockets are the way: DPDK's drivers over the kernel (`net_af_packet`, `net_tap`) are for tests, and slower.
//! `net_af_packet` needs `framesz=5120,blocksz=20480` for a path MTU of 4096, and an interface to itself; `net_tap` ends
//! at an MTU of 1500.
//!
//! # How threads share a port
//! DPDK's rings have one user at a time. The hashes by which NICs deal packets out to several receive rings know nothing
//! of queue pairs, so most packets would come in at another thread than theirs, and a thread whose reactor has no queue
//! pair here does not poll. So there is one receive ring, and whichever queue is polled first takes a batch out of it and
//! hands over what is not its own (`handover.rs`), while others take only what was left for them. Each queue sends by a
//! ring of its own, if the driver has enough, else takes turns. Nobody waits for anybody: where a ring is in use, the
//! thread goes on with something else.
//!
//! # What is not here
//! Whether the address is in use already is not asked (duplicate address detection), groups are not reported to
//! switches (MLD: an IPv6 neighbour behind a switch that snoops may not be heard), pings are not answered, and frames
//! carry no VLAN tag. One port has one address.
//!
//! Tested with `net_af_packet` and `net_tap` against the kernel, whole connections included; **not with a NIC**.

mod environment;
mod mbuf;
mod neighbour_table;
mod options;
mod port;
mod queue;
mod ring;
mod sender;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::sync::OnceLock;

pub use options::{Options, PortError, PortOptions};
pub use queue::DpdkQueue;

use self::neighbour_table::Place;
use self::port::EthernetPort;
use super::{Interface, PacketIo, QUEUES_MAX};
use crate::roce::wire::Station;

/// A port that DPDK has.
#[derive(Debug)]
struct Port {
    port: EthernetPort,
    place: Place,
    interface: Interface,
}

/// DPDK is one per process, and so are its ports.
static PORTS: OnceLock<Vec<Port>> = OnceLock::new();

/// Starts DPDK with these ports, whose addresses can then be opened like those of the kernel's interfaces. Once per
/// process, by a thread whose network namespace virtual devices are to be in.
///
/// # Errors
/// It was started before; DPDK refuses (it says why on standard error); a port is not there, or an option is impossible.
pub fn start(options: &Options) -> io::Result<()> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
    options.ports.iter().try_for_each(|port| port.check().map_err(invalid))?;
    environment::start(options)?;
    let ports = options.ports.iter().map(Port::new).collect::<io::Result<Vec<Port>>>()?;
    PORTS.set(ports).expect("the environment starts once");
    Ok(())
}

/// Addresses and MTUs of its ports.
pub fn interfaces() -> impl Iterator<Item = Interface> {
    ports().map(|port| port.interface.clone())
}

/// Starts the port that has this address, if one has, with a packet I/O for the connection manager and one each for
/// `queues - 1` reactors.
pub fn open(address: IpAddr, queues: usize) -> Option<io::Result<Vec<PacketIo>>> {
    ports().find(|port| port.interface.address == address).map(|port| port.open(queues))
}

fn ports() -> impl Iterator<Item = &'static Port> {
    PORTS.get().into_iter().flatten()
}

impl Port {
    fn new(options: &PortOptions) -> io::Result<Port> {
        let port = EthernetPort::find(options.name())?;
        let us = Station { mac: port.mac()?, ip: options.address };
        let place = Place { us, prefix_len: options.prefix_len, gateway: options.gateway };
        let interface = Interface { name: options.name().into(), index: 0, address: options.address, mtu: options.mtu };
        Ok(Port { port, place, interface })
    }

    fn open(&self, queues: usize) -> io::Result<Vec<PacketIo>> {
        if !(1..=QUEUES_MAX).contains(&queues) {
            let what = format!("{queues} queues, where 1 to {QUEUES_MAX} are possible");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let name = &self.interface.name;
        let buffers = queues * sender::BUFFERS_HELD;
        let started = self.port.start(queues, buffers, self.interface.mtu);
        let started = started.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
        if self.interface.address.is_ipv6()
            && let Err(error) = self.port.let_multicasts_in()
        {
            tracing::warn!("{name}: neighbours can be asked, but perhaps not heard: {error}");
        }
        Ok(queue::queues(self.place, started, queues).map(|queue| PacketIo::Dpdk(queue.into())).collect())
    }
}
