//! From the descriptors of a data buffer to the segments of an operation: which bytes of a local buffer go to, or come
//! from, which memory of the initiator. Sans-IO: nothing is moved here.
//!
//! A transfer moves the first `total` bytes that the descriptors describe, in their order, and touches nothing behind
//! them. [`validate`] says beforehand whether the descriptors reach that far; then a [`Cursor`] cuts them into
//! [`Segments`], as many at a time as one operation takes. Descriptors come from the initiator: whatever they say, no
//! segment leaves one, and no call panics.

use fabric::{Segment, Segments};

use crate::wire::descriptor::DESCRIPTOR_LEN;
use crate::wire::{DataBuffer, Descriptor};

#[cfg(test)]
mod tests;

/// Longest segment in bytes: one RDMA READ or WRITE. Devices take 1 GiB as a rule, but a shorter one lets other commands
/// pass on the same queue pair.
pub const SEGMENT_LEN_MAX: u32 = 1 << 20;

/// Where the descriptors of one data buffer are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Descriptors<'a> {
    /// There is one.
    One(Descriptor),
    /// One after the other, 16 bytes each: in the IU, or in the fetched table. A part of one at the end is none.
    List(&'a [u8]),
}

impl<'a> Descriptors<'a> {
    /// Those that stand in `iu`, from which `buffer` was parsed: all of them unless [`DataBuffer::needs_table`].
    pub fn in_iu(buffer: &DataBuffer, iu: &'a [u8]) -> Descriptors<'a> {
        match buffer {
            DataBuffer::Direct(descriptor) => Descriptors::One(*descriptor),
            DataBuffer::Indirect(indirect) => Descriptors::List(indirect.inline(iu)),
            DataBuffer::None | DataBuffer::Immediate { .. } => Descriptors::List(&[]),
        }
    }

    #[inline]
    fn get(&self, index: u32) -> Option<Descriptor> {
        match self {
            Descriptors::One(descriptor) => (index == 0).then_some(*descriptor),
            Descriptors::List(bytes) => {
                let at = (index as usize).checked_mul(DESCRIPTOR_LEN as usize)?;
                bytes.get(at..)?.first_chunk().map(Descriptor::parse)
            }
        }
    }
}

/// Why descriptors cannot be used. All but the last are the initiator's mistakes, to be answered with CHECK CONDITION.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransferError {
    /// The descriptors describe less memory than shall be moved.
    #[error("data buffer descriptors: {count} of them end {missing} bytes before the end of the data")]
    DescriptorsEnd {
        /// How many descriptors there are.
        count: u32,
        /// How many bytes have no descriptor.
        missing: u32,
    },
    /// A descriptor reaches over the end of the 64-bit address space.
    #[error("data buffer descriptor {index}: {len} bytes at address {va:#x} end outside of the address space")]
    AddressWraps {
        /// Which descriptor, counted from 0.
        index: u32,
        /// Its address.
        va: u64,
        /// The length used of it, in bytes.
        len: u32,
    },
    /// The local buffer's offsets exceed 32 bits: a bug of ours.
    #[error("local buffer: {total} bytes from offset {local_base} on exceed 4 GiB")]
    LocalRange {
        /// Where the data begins in the local buffer, in bytes.
        local_base: u32,
        /// Bytes to move.
        total: u32,
    },
}

/// Whether the first `total` bytes of `descriptors` can be moved. After `Ok`, a [`Cursor`] of the same two meets no error
/// that the initiator caused. Ask before the first operation is posted: a transfer never ends halfway.
pub fn validate(descriptors: &Descriptors<'_>, total: u32) -> Result<(), TransferError> {
    let mut missing = total;
    let mut index = 0;
    while missing > 0 {
        let descriptor = descriptors.get(index).ok_or(TransferError::DescriptorsEnd { count: index, missing })?;
        let len = descriptor.len.min(missing);
        check_address(index, &descriptor, len)?;
        missing -= len;
        index += 1;
    }
    Ok(())
}

/// The first `len` bytes of a descriptor have addresses.
#[inline]
fn check_address(index: u32, descriptor: &Descriptor, len: u32) -> Result<(), TransferError> {
    match descriptor.va.checked_add(u64::from(len.saturating_sub(1))) {
        Some(_last) => Ok(()),
        None => Err(TransferError::AddressWraps { index, va: descriptor.va, len }),
    }
}

/// How far a transfer has come. Small and `Copy`: a long transfer keeps it while its pieces are posted one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// Bytes already cut into segments.
    moved: u32,
    /// Bytes not yet.
    remaining: u32,
    /// The descriptor of the next byte,
    index: u32,
    /// and how much of it is used.
    offset: u32,
}

impl Cursor {
    /// At the start of a transfer of `total` bytes.
    pub fn new(total: u32) -> Cursor {
        Cursor { moved: 0, remaining: total, index: 0, offset: 0 }
    }

    /// Bytes that have no segment yet.
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Appends the next segments to `out`: at most `limit`, and no more than it has room for. The transfer's first byte
    /// lies at `local_base` of the local buffer. Give the same `descriptors` and `local_base` on every call.
    ///
    /// An error leaves `out` and the cursor as they were.
    #[inline(always)]
    pub fn next(
        &mut self,
        descriptors: &Descriptors<'_>,
        local_base: u32,
        limit: usize,
        out: &mut Segments,
    ) -> Result<(), TransferError> {
        if let Descriptors::One(descriptor) = descriptors
            && self.is_one_piece_of(descriptor)
            && limit > 0
            && let Some(_end) = local_base.checked_add(self.remaining)
            && !out.is_full()
        {
            let len = std::mem::take(&mut self.remaining);
            self.moved = len;
            out.push(Segment { local_offset: local_base, len, remote_addr: descriptor.va, rkey: descriptor.rkey });
            return Ok(());
        }
        self.next_pieces(descriptors, local_base, limit, out)
    }

    /// Most transfers begin and end with one segment of one descriptor.
    #[inline]
    fn is_one_piece_of(&self, descriptor: &Descriptor) -> bool {
        let fits = 0 < self.remaining && self.remaining <= descriptor.len.min(SEGMENT_LEN_MAX);
        self.moved == 0 && fits && check_address(0, descriptor, self.remaining).is_ok()
    }

    #[inline(never)]
    fn next_pieces(
        &mut self,
        descriptors: &Descriptors<'_>,
        local_base: u32,
        limit: usize,
        out: &mut Segments,
    ) -> Result<(), TransferError> {
        let len_before = out.len();
        let len_after = len_before + limit.min(out.remaining_capacity());
        let mut cursor = *self;
        while cursor.remaining > 0 && out.len() < len_after {
            match cursor.segment(descriptors, local_base) {
                Ok(segment) => out.push(segment),
                Err(error) => {
                    out.truncate(len_before);
                    return Err(error);
                }
            }
        }
        *self = cursor;
        Ok(())
    }

    /// The next segment; something remains.
    fn segment(&mut self, descriptors: &Descriptors<'_>, local_base: u32) -> Result<Segment, TransferError> {
        let total = self.moved.saturating_add(self.remaining);
        local_base.checked_add(total).ok_or(TransferError::LocalRange { local_base, total })?;
        loop {
            let end = TransferError::DescriptorsEnd { count: self.index, missing: self.remaining };
            let descriptor = descriptors.get(self.index).ok_or(end)?;
            let len = descriptor.len.saturating_sub(self.offset).min(self.remaining);
            if len == 0 {
                self.index += 1;
                self.offset = 0;
                continue;
            }
            check_address(self.index, &descriptor, self.offset + len)?;
            let len = len.min(SEGMENT_LEN_MAX);
            let segment = Segment {
                local_offset: local_base + self.moved,
                len,
                remote_addr: descriptor.va + u64::from(self.offset),
                rkey: descriptor.rkey,
            };
            self.moved += len;
            self.remaining -= len;
            self.offset += len;
            return Ok(segment);
        }
    }
}
