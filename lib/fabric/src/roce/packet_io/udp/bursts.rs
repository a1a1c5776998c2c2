//! Packets on their way out, as bursts: packets that one system call sends, because the kernel (or the NIC) cuts one
//! buffer into datagrams of equal length (UDP_SEGMENT), of which the last may be shorter.
//!
//! The bursts lie one behind the other in one buffer, which is used from its beginning again once everything is sent. A
//! packet joins the last burst or begins a new one, so the order is kept.
//!
//! The ICRC covers IPv4's identification: the kernel numbers the datagrams of a burst 0, 1, 2, …, and a single one that
//! may not be fragmented has 0.
//!
//! Where no NIC cuts a burst (loopback, virtual Ethernet), the receiving kernel steers all of it by its first packet. So
//! its packets are for the same queue pair, except for acknowledgements: they say what is done so far, so it does no harm
//! if one that has to be handed to another queue is overtaken by a later one.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::roce::packet_io::{NoRoom, datagram_len, emit_packet, write_icrc};
use crate::roce::wire::{Flow, Headers, Opcode};

/// Bytes that are on their way, at most: four of the longest bursts. Every packet is copied through it, so it should stay
/// in the processor's cache.
const BYTES_MAX: usize = 256 << 10;

/// Bursts that are on their way, at most: acknowledgements to as many queue pairs.
const BURSTS_MAX: usize = 256;

/// Datagrams of one burst (UDP_MAX_SEGMENTS of older kernels).
const SEGMENTS_MAX: usize = 64;

/// Bytes of one burst: what one datagram could hold, less some room for headers.
const BURST_BYTES_MAX: usize = 65_000;

/// Packets on their way out.
#[derive(Debug)]
pub struct Bursts {
    local: SocketAddr,
    bytes: Box<[u8]>,
    /// Bytes in use, from the beginning of `bytes`.
    used: usize,
    bursts: VecDeque<Burst>,
    /// 1: no segmentation offload.
    segments_max: usize,
}

#[derive(Debug)]
struct Burst {
    peer: SocketAddr,
    flow: Flow,
    /// Queue pair of its first packet.
    dest_qp: u32,
    /// Where it is in the buffer.
    start: usize,
    end: usize,
    /// Length of each datagram; the last may be shorter.
    segment_len: usize,
    /// How many.
    segments: usize,
}

/// What one system call sends.
#[derive(Debug)]
pub struct Outgoing<'a> {
    pub peer: SocketAddr,
    pub contents: &'a [u8],
    /// Where `contents` is to be cut, if it is more than one datagram.
    pub segment_len: Option<usize>,
    /// Datagrams in it.
    pub packets: usize,
}

impl Bursts {
    pub fn new(local: SocketAddr, offload: bool) -> Bursts {
        Bursts {
            local,
            bytes: vec![0; BYTES_MAX].into(),
            used: 0,
            bursts: VecDeque::with_capacity(BURSTS_MAX),
            segments_max: if offload { SEGMENTS_MAX } else { 1 },
        }
    }

    /// Adds a packet behind all others.
    pub fn push(&mut self, peer: SocketAddr, headers: &Headers, payload: &[u8]) -> Result<(), NoRoom> {
        let len = datagram_len(headers, payload);
        if self.bytes.len() - self.used < len {
            return Err(NoRoom);
        }
        if !self.bursts.back().is_some_and(|last| last.takes(peer, headers, len, self.segments_max)) {
            self.begin(peer, headers.dest_qp, len)?;
        }
        let burst = self.bursts.back_mut().expect("one that takes the packet");
        let datagram = &mut self.bytes[self.used..self.used + len];
        emit_packet(headers, payload, datagram);
        write_icrc(&burst.flow, burst.segments as u16, datagram);
        burst.segments += 1;
        burst.end += len;
        self.used += len;
        Ok(())
    }

    /// Begins a burst whose first datagram is that long.
    fn begin(&mut self, peer: SocketAddr, dest_qp: u32, segment_len: usize) -> Result<(), NoRoom> {
        if self.bursts.len() == BURSTS_MAX {
            return Err(NoRoom);
        }
        let flow = match self.bursts.back() {
            Some(last) if last.peer == peer => last.flow,
            _ => Flow::new(self.local, peer),
        };
        let (start, end) = (self.used, self.used);
        self.bursts.push_back(Burst { peer, flow, dest_qp, start, end, segment_len, segments: 0 });
        Ok(())
    }

    /// What has to be sent next.
    pub fn front(&self) -> Option<Outgoing<'_>> {
        let burst = self.bursts.front()?;
        let contents = &self.bytes[burst.start..burst.end];
        Some(if self.segments_max == 1 {
            let contents = &contents[..burst.segment_len.min(contents.len())];
            Outgoing { peer: burst.peer, contents, segment_len: None, packets: 1 }
        } else {
            let segment_len = (burst.segments > 1).then_some(burst.segment_len);
            Outgoing { peer: burst.peer, contents, segment_len, packets: burst.segments }
        })
    }

    /// What [`Bursts::front`] said is sent, or given up.
    pub fn pop_front(&mut self) {
        let Some(burst) = self.bursts.front_mut() else { return };
        if self.segments_max == 1 && burst.segments > 1 {
            burst.segments -= 1;
            burst.start += burst.segment_len;
            return;
        }
        self.bursts.pop_front();
        if self.bursts.is_empty() {
            self.used = 0;
        }
    }

    /// From now on every packet is sent alone, also those of the bursts that are waiting.
    pub fn stop_offload(&mut self) {
        self.segments_max = 1;
        for burst in &self.bursts {
            for datagram in self.bytes[burst.start..burst.end].chunks_mut(burst.segment_len) {
                write_icrc(&burst.flow, 0, datagram);
            }
        }
    }
}

impl Burst {
    /// Whether a datagram with these headers and of that length can be its next one.
    fn takes(&self, peer: SocketAddr, headers: &Headers, len: usize, segments_max: usize) -> bool {
        let bytes = self.end - self.start;
        self.peer == peer
            && (self.dest_qp == headers.dest_qp || headers.opcode == Opcode::Acknowledge)
            && len <= self.segment_len
            && bytes == self.segments * self.segment_len // no shorter one ended it
            && self.segments < segments_max
            && bytes + len <= BURST_BYTES_MAX
    }
}

#[cfg(test)]
mod tests;
