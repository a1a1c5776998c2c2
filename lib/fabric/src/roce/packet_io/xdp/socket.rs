//! One AF_XDP socket: four rings and the memory for frames that it shares with the kernel (the kernel's
//! Documentation/networking/af_xdp.rst).
//!
//! # Who owns which memory
//! The memory is chunks of [`CHUNK_LEN`]. Those for receiving go round: the fill ring gives them to the kernel, the receive
//! ring brings them back with (a part of) a frame, and once it was looked at, the fill ring gets them again. Those for
//! sending are slots of two neighbours, so that the longest frame lies in one piece: free, or being written, or the
//! kernel's from the transmit ring until the completion ring has returned them.
//!
//! What the kernel owns is never read or written here. The rings are as long as there are chunks that can be in them, so
//! that there is always room.
//!
//! A frame that is longer than a chunk takes several (XDP_USE_SG): all but its last descriptor say that it goes on.
#![allow(unsafe_code, reason = "memory that is shared with the kernel")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags};
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING, XDP_UMEM_PGOFF_COMPLETION_RING,
    XDP_UMEM_PGOFF_FILL_RING, XdpDesc, XdpDescOptions, XdpOptionsFlags, XdpRingFlags, XdpRingOffset, XdpUmemReg,
    XdpUmemRegFlags,
};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::roce::packet_io::{DATAGRAM_MAX, NoRoom};
use crate::roce::wire::FRAME_HEADERS_MAX;

/// Bytes of a chunk: a page, the most that the kernel allows.
const CHUNK_LEN: usize = 4096;

/// Chunks for receiving (16 MiB), a power of 2: what arrives while the reactor does something else.
const RECEIVE_CHUNKS: usize = 4096;

/// What the kernel keeps free at the beginning of a chunk (XDP_PACKET_HEADROOM).
const RECEIVE_HEADROOM: usize = 256;

/// Frames that can wait to be sent (4 MiB), a power of 2.
const SEND_SLOTS: usize = 512;
const SLOT_LEN: usize = 2 * CHUNK_LEN;
const SLOTS_AT: usize = RECEIVE_CHUNKS * CHUNK_LEN;
const MEMORY_LEN: usize = SLOTS_AT + SEND_SLOTS * SLOT_LEN;

/// Longest frame that is received or sent, in bytes.
const FRAME_MAX: usize = FRAME_HEADERS_MAX + DATAGRAM_MAX;
const _: () = assert!(FRAME_MAX <= SLOT_LEN);

/// Descriptors that are looked at in one go.
const BATCH: usize = 64;

/// A socket bound to one receive queue of an interface, and its transmit queue of the same number.
#[derive(Debug)]
pub struct XdpSocket {
    fd: OwnedFd,
    memory: Mapping,
    fill: Ring<u64>,
    received: Ring<XdpDesc>,
    to_send: Ring<XdpDesc>,
    completed: Ring<u64>,
    /// Slots that are ours.
    free: Vec<u32>,
    /// Descriptors of each slot that the kernel has not returned.
    in_kernel: Box<[u8; SEND_SLOTS]>,
    /// A frame in several chunks, as far as it came.
    frame: Box<[u8; FRAME_MAX]>,
    frame_len: usize,
    zero_copy: bool,
}

impl XdpSocket {
    /// Binds a socket.
    pub fn bind(interface: u32, queue: u32) -> io::Result<XdpSocket> {
        let memory = Mapping::anonymous(MEMORY_LEN)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(AddressFamily::XDP, SocketType::RAW, flags, None)?;
        let registration = XdpUmemReg {
            addr: memory.start.as_ptr().expose_provenance() as u64,
            len: MEMORY_LEN as u64,
            chunk_size: CHUNK_LEN as u32,
            headroom: 0,
            flags: XdpUmemRegFlags::empty(),
            tx_metadata_len: 0,
        };
        sockopt::set_xdp_umem_reg(&fd, registration)?;
        sockopt::set_xdp_umem_fill_ring_size(&fd, RECEIVE_CHUNKS as u32)?;
        sockopt::set_xdp_rx_ring_size(&fd, RECEIVE_CHUNKS as u32)?;
        sockopt::set_xdp_tx_ring_size(&fd, 2 * SEND_SLOTS as u32)?;
        sockopt::set_xdp_umem_completion_ring_size(&fd, 2 * SEND_SLOTS as u32)?;
        let offsets = sockopt::xdp_mmap_offsets(&fd)?;
        let mut fill = Ring::map(&fd, XDP_UMEM_PGOFF_FILL_RING, &offsets.fr, RECEIVE_CHUNKS)?;
        let received = Ring::map(&fd, XDP_PGOFF_RX_RING, &offsets.rx, RECEIVE_CHUNKS)?;
        let to_send = Ring::map(&fd, XDP_PGOFF_TX_RING, &offsets.tx, 2 * SEND_SLOTS)?;
        let completed = Ring::map(&fd, XDP_UMEM_PGOFF_COMPLETION_RING, &offsets.cr, 2 * SEND_SLOTS)?;
        for chunk in 0..RECEIVE_CHUNKS {
            fill.push((chunk * CHUNK_LEN) as u64);
        }
        fill.publish();
        // Without a word about copying, the kernel uses the driver's zero copy if it can.
        let flags = SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP | SocketAddrXdpFlags::XDP_USE_SG;
        rustix::net::bind(&fd, &SocketAddrXdp::new(flags, interface, queue))?;
        let zero_copy = sockopt::xdp_options(&fd)?.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY);
        Ok(XdpSocket {
            fd,
            memory,
            fill,
            received,
            to_send,
            completed,
            free: (0..SEND_SLOTS as u32).rev().collect(),
            in_kernel: Box::new([0; SEND_SLOTS]),
            frame: Box::new([0; FRAME_MAX]),
            frame_len: 0,
            zero_copy,
        })
    }

    /// Whether the NIC reads and writes the frames' memory itself.
    pub fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// Frames of that length that can arrive between two polls.
    pub fn receive_room(frame_len: usize) -> usize {
        RECEIVE_CHUNKS / frame_len.div_ceil(CHUNK_LEN - RECEIVE_HEADROOM)
    }

    /// Hands over what arrived, at most one batch. A frame that is too long is cut off.
    pub fn receive(&mut self, mut take: impl FnMut(&[u8])) {
        for _ in 0..BATCH {
            let Some(descriptor) = self.received.pop() else { break };
            let (at, len) = (descriptor.addr as usize, descriptor.len as usize);
            let chunk = at - at % CHUNK_LEN;
            if chunk >= SLOTS_AT || at + len > chunk + CHUNK_LEN {
                debug_assert!(false, "the kernel received into {at}, {len} bytes");
                continue;
            }
            // SAFETY: the bytes are in a chunk for receiving, which the kernel has just returned and gets again only by
            // `publish` below; nothing else refers to it.
            let piece = unsafe { self.memory.bytes(at, len) };
            let goes_on = descriptor.options.contains(XdpDescOptions::XDP_PKT_CONTD);
            if self.frame_len == 0 && !goes_on {
                take(piece);
            } else {
                let room = &mut self.frame[self.frame_len..];
                let len = piece.len().min(room.len());
                room[..len].copy_from_slice(&piece[..len]);
                self.frame_len += len;
                if !goes_on {
                    take(&self.frame[..self.frame_len]);
                    self.frame_len = 0;
                }
            }
            self.fill.push(chunk as u64);
        }
        self.received.release();
        self.fill.publish();
        if self.fill.needs_wakeup() {
            let _ = rustix::net::recv(&self.fd, &mut [0; 0], RecvFlags::DONTWAIT);
        }
    }

    /// Queues a frame: `write` writes it and returns its length. It leaves with the next [`XdpSocket::flush`].
    pub fn send(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> Result<(), NoRoom> {
        if self.free.is_empty() {
            self.take_back_sent();
        }
        let slot = self.free.pop().ok_or(NoRoom)? as usize;
        let at = SLOTS_AT + slot * SLOT_LEN;
        // SAFETY: the slot was free, so the kernel does not have it; taking it from the free ones, we alone do.
        let bytes = unsafe { self.memory.bytes_mut(at, SLOT_LEN) };
        let len = write(bytes).min(SLOT_LEN);
        let (first, second) = (len.min(CHUNK_LEN), len.saturating_sub(CHUNK_LEN));
        self.in_kernel[slot] = if second > 0 { 2 } else { 1 };
        let more = if second > 0 { XdpDescOptions::XDP_PKT_CONTD } else { XdpDescOptions::empty() };
        self.to_send.push(XdpDesc { addr: at as u64, len: first as u32, options: more });
        if second > 0 {
            let addr = (at + CHUNK_LEN) as u64;
            self.to_send.push(XdpDesc { addr, len: second as u32, options: XdpDescOptions::empty() });
        }
        Ok(())
    }

    /// Gives the kernel what is queued.
    pub fn flush(&mut self) {
        self.to_send.publish();
        // Without zero copy, each call sends a limited number of descriptors.
        while self.to_send.needs_wakeup() {
            let waiting = self.to_send.waiting();
            if waiting == 0 {
                break;
            }
            let _ = rustix::net::send(&self.fd, &[], SendFlags::DONTWAIT); // an error shows in what is still waiting
            if self.to_send.waiting() == waiting {
                break; // no room in the driver: the next flush tries again
            }
        }
        self.take_back_sent();
    }

    fn take_back_sent(&mut self) {
        while let Some(at) = self.completed.pop() {
            let slot = (at as usize).wrapping_sub(SLOTS_AT) / SLOT_LEN;
            let Some(in_kernel @ 1..) = self.in_kernel.get_mut(slot) else {
                debug_assert!(false, "the kernel sent from {at}");
                continue;
            };
            *in_kernel -= 1;
            if *in_kernel == 0 {
                self.free.push(slot as u32);
            }
        }
        self.completed.release();
    }
}

impl AsFd for XdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// One ring. On two of the four we are the producer, on the others the consumer.
#[derive(Debug)]
struct Ring<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    /// A power of 2.
    len: u32,
    /// How far we are; the other side learns it by `publish` or `release`.
    ours: u32,
    /// How far the other side is, as far as we know.
    theirs: u32,
    /// What the pointers point into.
    _mapping: Mapping,
}

// SAFETY: the pointers point into the mapping that the ring owns, and are used only through it.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T: Copy> Ring<T> {
    fn map(fd: &OwnedFd, page_offset: u64, offsets: &XdpRingOffset, len: usize) -> io::Result<Ring<T>> {
        let flags_at = offsets.flags.ok_or(io::ErrorKind::Unsupported)?; // since Linux 5.4
        let entries_at = offsets.desc as usize;
        let mapping = Mapping::of_socket(fd, page_offset, entries_at + len * size_of::<T>())?;
        Ok(Ring {
            producer: mapping.at(offsets.producer as usize),
            consumer: mapping.at(offsets.consumer as usize),
            flags: mapping.at(flags_at as usize),
            entries: mapping.at(entries_at),
            len: len as u32,
            ours: 0,
            theirs: 0,
            _mapping: mapping,
        })
    }

    /// As producer: adds an entry, for which there has to be room.
    fn push(&mut self, entry: T) {
        // SAFETY: the index is below the length, for which the mapping has room. The kernel reads the entry only after
        // `publish`, and as each entry stands for a chunk of which there are no more than entries, it has read what was
        // there before.
        unsafe { self.entries.add((self.ours & (self.len - 1)) as usize).write(entry) };
        self.ours = self.ours.wrapping_add(1);
    }

    /// As producer: lets the kernel see what was added. Release: the entries, and the chunks, before the index.
    fn publish(&self) {
        self.index(self.producer).store(self.ours, Ordering::Release);
    }

    /// As producer: how many entries the kernel has not taken.
    fn waiting(&self) -> u32 {
        self.ours.wrapping_sub(self.index(self.consumer).load(Ordering::Acquire))
    }

    /// As producer: the kernel wants a system call to go on.
    fn needs_wakeup(&self) -> bool {
        self.index(self.flags).load(Ordering::Relaxed) & XdpRingFlags::XDP_RING_NEED_WAKEUP.bits() != 0
    }

    /// As consumer: the next entry. Acquire: the index before the entries, and the chunks.
    fn pop(&mut self) -> Option<T> {
        if self.ours == self.theirs {
            self.theirs = self.index(self.producer).load(Ordering::Acquire);
            if self.ours == self.theirs {
                return None;
            }
        }
        // SAFETY: the index is below the length, for which the mapping has room, and the kernel has written the entry:
        // it is behind the producer's index. Any bits are a valid entry.
        let entry = unsafe { self.entries.add((self.ours & (self.len - 1)) as usize).read() };
        self.ours = self.ours.wrapping_add(1);
        Some(entry)
    }

    /// As consumer: lets the kernel use the places of what was taken.
    fn release(&self) {
        self.index(self.consumer).store(self.ours, Ordering::Release);
    }

    fn index(&self, at: NonNull<AtomicU32>) -> &AtomicU32 {
        // SAFETY: the indexes and flags are aligned words in the mapping, which lives as long as self; the kernel uses
        // them atomically, too.
        unsafe { at.as_ref() }
    }
}

/// Memory of ours that the kernel uses as well.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: an address range that one value owns.
unsafe impl Send for Mapping {}

impl Mapping {
    fn anonymous(len: usize) -> io::Result<Mapping> {
        let flags = MapFlags::PRIVATE | MapFlags::POPULATE;
        // SAFETY: no address is asked for, so no existing mapping is replaced.
        let start = unsafe { rustix::mm::mmap_anonymous(null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
        Ok(Mapping { start: NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?, len })
    }

    fn of_socket(fd: &OwnedFd, offset: u64, len: usize) -> io::Result<Mapping> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: no address is asked for, so no existing mapping is replaced.
        let start = unsafe { rustix::mm::mmap(null_mut(), len, access, flags, fd, offset) }?;
        Ok(Mapping { start: NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?, len })
    }

    /// Where something is in it. The kernel's offsets are aligned for what is there.
    fn at<T>(&self, offset: usize) -> NonNull<T> {
        assert!(offset + size_of::<T>() <= self.len && offset.is_multiple_of(align_of::<T>()));
        // SAFETY: the offset is within the mapping.
        unsafe { self.start.add(offset) }.cast()
    }

    /// # Safety
    /// Nobody writes to these bytes while the slice lives.
    unsafe fn bytes(&self, at: usize, len: usize) -> &[u8] {
        assert!(at + len <= self.len);
        // SAFETY: within the mapping; the rest is what the caller promises.
        unsafe { std::slice::from_raw_parts(self.start.add(at).as_ptr(), len) }
    }

    /// # Safety
    /// Nobody else uses these bytes while the slice lives.
    unsafe fn bytes_mut(&mut self, at: usize, len: usize) -> &mut [u8] {
        assert!(at + len <= self.len);
        // SAFETY: within the mapping; the rest is what the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at).as_ptr(), len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by us, and what refers to it is gone with its owner. The kernel holds the pages
        // that it still uses by itself.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
