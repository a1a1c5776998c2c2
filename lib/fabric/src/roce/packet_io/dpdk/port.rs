//! Setting up a network port: queues, memory, MTU.
#![allow(unsafe_code, reason = "calls DPDK, a C library")]

use std::ffi::CString;
use std::io;
use std::ptr;

use dpdk_sys as sys;

use super::environment::error;
use super::mbuf::{FRAME_MAX, Pool};
use super::ring::{ReceiveRing, TransmitRing};
use crate::roce::wire::Mac;

/// Packets that may wait in a ring; drivers may have other limits.
const RECEIVE_DESCRIPTORS: u16 = 1024;
const TRANSMIT_DESCRIPTORS: u16 = 512;

/// Ethernet's header and checksum, which DPDK counts where the MTU does not.
const ETHERNET_OVERHEAD: u32 = 14 + 4;

/// A port, by DPDK's number.
#[derive(Clone, Copy, Debug)]
pub struct EthernetPort(u16);

/// A port that is running.
#[derive(Debug)]
pub struct Started {
    pub pool: Pool,
    pub receive: ReceiveRing,
    /// Packets that the receive ring can hold.
    pub receive_descriptors: u16,
    /// One or more.
    pub transmit: Vec<TransmitRing>,
}

impl EthernetPort {
    /// The port of a device that DPDK was started with.
    pub fn find(device: &str) -> io::Result<EthernetPort> {
        let name = CString::new(device).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut id = 0;
        // SAFETY: a string that ends with a zero, and a place for the result, for the length of the call.
        let result = unsafe { sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) };
        check(&format!("DPDK has no port of the device {device}"), result)?;
        Ok(EthernetPort(id))
    }

    /// Its Ethernet address.
    pub fn mac(self) -> io::Result<Mac> {
        let mut address = sys::rte_ether_addr::default();
        // SAFETY: a place for the result, for the length of the call; a wrong port number is an error to DPDK.
        check("the Ethernet address", unsafe { sys::rte_eth_macaddr_get(self.0, &raw mut address) })?;
        Ok(Mac(address.addr_bytes))
    }

    /// Starts it with one receive queue, up to `transmit_queues`, and buffers for what the rings hold and `buffers` more.
    pub fn start(self, transmit_queues: usize, buffers: usize, mtu: u32) -> io::Result<Started> {
        let transmit_queues = self.configure(transmit_queues, mtu)?;
        let (mut receive_descriptors, mut transmit_descriptors) = (RECEIVE_DESCRIPTORS, TRANSMIT_DESCRIPTORS);
        // SAFETY: two numbers that DPDK changes for the length of the call.
        let result = unsafe {
            sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.0, &raw mut receive_descriptors, &raw mut transmit_descriptors)
        };
        check("the length of the rings", result)?;
        // SAFETY: it takes numbers only.
        let numa_node = unsafe { sys::rte_eth_dev_socket_id(self.0) };
        let in_rings =
            usize::from(receive_descriptors) + usize::from(transmit_descriptors) * usize::from(transmit_queues);
        let buffers = u32::try_from(in_rings + buffers).map_err(|_| io::ErrorKind::InvalidInput)?;
        let pool = Pool::new(&format!("srpt-{}", self.0), buffers, numa_node)?;
        let node = numa_node as u32; // -1, any, is what DPDK takes for any here, too
        // SAFETY: the pool is never freed; the driver's own settings are used.
        let result =
            unsafe { sys::rte_eth_rx_queue_setup(self.0, 0, receive_descriptors, node, ptr::null(), pool.as_ptr()) };
        check(&format!("the receive queue (frames of up to {FRAME_MAX} bytes)"), result)?;
        for queue in 0..transmit_queues {
            // SAFETY: it takes numbers, and a null pointer for the driver's own settings.
            let result = unsafe { sys::rte_eth_tx_queue_setup(self.0, queue, transmit_descriptors, node, ptr::null()) };
            check("a transmit queue", result)?;
        }
        // SAFETY: it takes a number only.
        check("starting the port", unsafe { sys::rte_eth_dev_start(self.0) })?;
        Ok(Started {
            pool,
            receive: ReceiveRing { port: self.0, queue: 0 },
            receive_descriptors,
            transmit: (0..transmit_queues).map(|queue| TransmitRing { port: self.0, queue }).collect(),
        })
    }

    /// Returns the number of transmit queues.
    fn configure(self, transmit_queues: usize, mtu: u32) -> io::Result<u16> {
        let mut info = sys::rte_eth_dev_info::default();
        // SAFETY: a place for the result, for the length of the call.
        check("its properties", unsafe { sys::rte_eth_dev_info_get(self.0, &raw mut info) })?;
        let mut wanted = sys::rte_eth_conf::default();
        if mtu <= info.max_mtu.into() && mtu + ETHERNET_OVERHEAD <= info.max_rx_pktlen {
            wanted.rxmode.mtu = mtu;
        } else {
            tracing::warn!(
                "port {}: its driver does not know an MTU of {mtu} bytes, and is trusted to let it pass",
                self.0
            );
        }
        let most = u16::try_from(transmit_queues).unwrap_or(u16::MAX).min(info.max_tx_queues).max(1);
        // SAFETY: settings to be read, for the length of the call.
        let configure = |queues| unsafe { sys::rte_eth_dev_configure(self.0, 1, queues, &raw const wanted) };
        // Some drivers (net_tap) want as many queues to send as to receive.
        if configure(most) == 0 {
            return Ok(most);
        }
        check("its settings", configure(1))?;
        Ok(1)
    }

    /// Lets the multicasts of IPv6's neighbour discovery in.
    pub fn let_multicasts_in(self) -> io::Result<()> {
        // SAFETY: both take a number only.
        let result = unsafe {
            match sys::rte_eth_allmulticast_enable(self.0) {
                0 => 0,
                _ => sys::rte_eth_promiscuous_enable(self.0),
            }
        };
        check("letting multicasts in", result)
    }
}

fn check(what: &str, result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(error(what, result)) }
}
