//! Every limit of this crate in one place, with the relations between them checked when it is compiled.

/// Bytes that a command may need on top of the largest data buffer: pieces that VERIFY reads, the block that WRITE
/// SAME repeats, parameter lists and answers.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// Least `transfer_bytes_max` of a unit: what the longest REPORT LUNS answer needs together with the scratch part.
pub const TRANSFER_BYTES_MIN: u32 = 128 * 1024;

/// Every part of a buffer that is used for I/O starts at a multiple of this, counted from the buffer's start; no
/// device wants more.
pub const BUFFER_ALIGN: usize = 4096;

/// Largest logical block: one block must fit in the scratch part.
pub const BLOCK_BYTES_MAX: u32 = 64 * 1024;

/// Smallest logical block.
pub const BLOCK_BYTES_MIN: u32 = 512;

/// Most bytes of protection information in one transfer of a unit with metadata, which lie in the scratch part; the rest of that
/// is for pieces. Bounds the unit's transfers where the transport allows more than 2 MiB.
pub const PROTECTION_BYTES_MAX: usize = SCRATCH_BYTES / 2;

/// Shortest CDB (SPC-4: group 0).
pub const CDB_BYTES_MIN: usize = 6;

/// Longest CDB (SPC-4: variable length, 8 bytes and at most 252 more).
pub const CDB_BYTES_MAX: usize = 260;

/// Room for any answer except REPORT LUNS, whose length depends on the number of units.
pub const ANSWER_BYTES: usize = 4096;

/// Longest unit serial number, in bytes.
pub const SERIAL_BYTES_MAX: usize = 64;

/// Most sense bytes that [`crate::Sense::write`] makes: header 8, information 12, command-specific information 12, sense key
/// specific 8, forwarded sense data 4 and 18.
pub const SENSE_BYTES_MAX: usize = 62;

/// Most CSCD descriptors of one EXTENDED COPY (MAXIMUM CSCD DESCRIPTOR COUNT).
pub const COPY_CSCDS_MAX: usize = 64;

/// Most segment descriptors of one EXTENDED COPY (MAXIMUM SEGMENT DESCRIPTOR COUNT).
pub const COPY_SEGMENTS_MAX: usize = 256;

/// Most bytes that one segment of an EXTENDED COPY writes (MAXIMUM SEGMENT LENGTH): what the 16 bits of its count hold in
/// blocks of 4 KiB, so that it is no limit for ordinary disks.
pub const COPY_SEGMENT_BYTES_MAX: u64 = 256 << 20;

/// Most block descriptors in one UNMAP (block limits VPD page: MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT).
pub const UNMAP_DESCRIPTORS_MAX: u32 = 256;

/// Most bytes that one UNMAP gives back in all (block limits VPD page: MAXIMUM UNMAP LBA COUNT, there in blocks). It
/// keeps a single command well inside the initiator's timeout, and is 2^20 of the smallest blocks: more is what
/// libiscsi's conformance suite calls insane.
pub const UNMAP_BYTES_MAX: u64 = 512 << 20;

/// Most bytes that one WRITE SAME covers (block limits VPD page: MAXIMUM WRITE SAME LENGTH, there in blocks). A device
/// that cannot write zeroes by itself is written in pieces, which must end well inside the initiator's timeout.
pub const WRITE_SAME_BYTES_MAX: u64 = 64 << 20;

/// Most descriptors in one answer to GET LBA STATUS: to find each costs the device a system call or two, and the initiator may
/// ask for the rest.
pub const LBA_STATUS_DESCRIPTORS_MAX: usize = 256;

/// Most registrations of one unit (SPC-4, PERSISTENT RESERVE OUT), so that READ FULL STATUS, which needs 48 bytes for each, can return
/// them all.
pub const REGISTRATIONS_MAX: usize = 1024;
/// Bytes of the data buffer and of the echo buffer that each nexus has (READ BUFFER); what the echo buffer's capacity field has room for
/// at most is 13 bits.
pub const BUFFER_CAPACITY: usize = 4096;

const fn is_aligned(bytes: usize) -> bool {
    bytes.next_multiple_of(BUFFER_ALIGN) == bytes
}

const _: () = {
    assert!(8 + 8 * (crate::Lun::MAX.0 as usize + 2) <= TRANSFER_BYTES_MIN as usize + SCRATCH_BYTES);
    assert!(BLOCK_BYTES_MAX as usize <= SCRATCH_BYTES && BLOCK_BYTES_MAX <= TRANSFER_BYTES_MIN);
    assert!(is_aligned(TRANSFER_BYTES_MIN as usize) && is_aligned(SCRATCH_BYTES));
    assert!(8 + 16 * UNMAP_DESCRIPTORS_MAX as usize <= SCRATCH_BYTES && u16::MAX as usize <= SCRATCH_BYTES);
    assert!(ANSWER_BYTES <= SCRATCH_BYTES);
    assert!(BUFFER_CAPACITY < 1 << 13 && BUFFER_CAPACITY <= SCRATCH_BYTES);
    assert!(is_aligned(PROTECTION_BYTES_MAX) && PROTECTION_BYTES_MAX + 4096 + 8 <= SCRATCH_BYTES);
    assert!(BUFFER_ALIGN + 16 * LBA_STATUS_DESCRIPTORS_MAX <= SCRATCH_BYTES);
    assert!(8 + 48 * REGISTRATIONS_MAX <= SCRATCH_BYTES && SCRATCH_BYTES > u16::MAX as usize);
    assert!(WRITE_SAME_BYTES_MAX >= BLOCK_BYTES_MAX as u64);
    assert!(UNMAP_BYTES_MAX / BLOCK_BYTES_MIN as u64 <= u32::MAX as u64 && UNMAP_BYTES_MAX >= BLOCK_BYTES_MAX as u64);
};
