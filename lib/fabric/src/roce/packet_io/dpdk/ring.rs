//! The descriptor rings of a port: what polling comes down to.
#![allow(unsafe_code, reason = "rings take and give buffers by address")]

use std::mem;

use dpdk_sys as sys;

use super::mbuf::{Burst, Mbuf};

/// A receive queue of a port that was started; used by one thread at a time, as `&mut` enforces.
#[derive(Debug)]
pub struct ReceiveRing {
    pub(super) port: u16,
    pub(super) queue: u16,
}

impl ReceiveRing {
    /// Adds what arrived, as far as there is room.
    #[inline]
    pub fn receive(&mut self, burst: &mut Burst) {
        let (len, room) = (burst.len(), burst.remaining_capacity());
        // SAFETY: the port is started and the queue is there, else this value were not. `Mbuf` is a pointer to a buffer;
        // behind the `len` in use there is room for `room` more, of which the driver writes as many as it says, and they
        // are ours from then on.
        unsafe {
            let place = burst.as_mut_ptr().add(len).cast::<*mut sys::rte_mbuf>();
            let received = sys::shim_rx_burst(self.port, self.queue, place, room as u16);
            burst.set_len(len + usize::from(received));
        }
    }
}

/// A transmit queue of a port that was started; used by one thread at a time, as `&mut` enforces.
#[derive(Debug)]
pub struct TransmitRing {
    pub(super) port: u16,
    pub(super) queue: u16,
}

impl TransmitRing {
    /// Sends from the front as many as the ring has room for, and returns how many; the others stay.
    #[inline]
    pub fn send(&mut self, burst: &mut Burst) -> usize {
        let count = burst.len() as u16;
        // SAFETY: the port is started and the queue is there, else this value were not. The list is `count` pointers to
        // buffers that are ours.
        let sent = unsafe { sys::shim_tx_burst(self.port, self.queue, burst.as_mut_ptr().cast(), count) };
        // Those that the driver took belong to it, and it gives them back to their pool.
        burst.drain(..usize::from(sent)).for_each(mem::forget::<Mbuf>);
        sent.into()
    }
}
