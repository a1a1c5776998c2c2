//! RECEIVE COPY STATUS, DATA, OPERATING PARAMETERS and FAILURE DETAILS (SPC-4, those for one-byte list identifiers), and the
//! third-party copy VPD page, which says the same as the operating parameters.

use std::sync::atomic::Ordering;

use super::list::{BLOCK_TO_BLOCK, DESCRIPTORS_BYTES_MAX, IDENTIFICATION_CSCD, OWN_UNIT};
use super::results::State;
use crate::execute::Context;
use crate::limits::{COPY_CSCDS_MAX, COPY_SEGMENT_BYTES_MAX, COPY_SEGMENTS_MAX, SENSE_BYTES_MAX};
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;
use crate::wire::cdb::{opcode, service_action};
use crate::wire::sense::{ScsiStatus, Sense};

/// What is asked of the copy manager.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CopyQuery {
    Status { list_id: u8 },
    Data { list_id: u8 },
    OperatingParameters,
    FailureDetails { list_id: u8 },
}

/// Copies of one initiator at one unit that may be under way: as many as there are list identifiers.
const CONCURRENT_COPIES_MAX: u8 = u8::MAX;
/// Copies without identifiers besides are limited by the initiator's credits alone, which are fewer.
const TOTAL_CONCURRENT_COPIES: u16 = 1024;

/// The answer to a query.
///
/// # Errors
/// INVALID FIELD IN CDB, pointing at LIST IDENTIFIER: there is no such copy, or it has not ended yet and must have.
pub(crate) fn put(
    query: CopyQuery,
    allocation: u32,
    unit: &LogicalUnit,
    context: &Context<'_>,
    bytes: &mut Bytes<'_>,
) -> Result<(), Sense> {
    match query {
        CopyQuery::Status { list_id } => put_status(list_id, context, bytes),
        CopyQuery::Data { list_id } => put_held_data(list_id, context, bytes),
        CopyQuery::OperatingParameters => {
            put_operating_parameters(bytes);
            Ok(())
        }
        CopyQuery::FailureDetails { list_id } => put_failure_details(list_id, allocation, unit, context, bytes),
    }
}

const UNKNOWN_LIST_ID: Sense = Sense::invalid_field_in_cdb(2, None);

/// How a copy stands. Of one that has ended this is told once.
fn put_status(list_id: u8, context: &Context<'_>, bytes: &mut Bytes<'_>) -> Result<(), Sense> {
    const IN_PROGRESS: u8 = 0;
    const COMPLETED: u8 = 1;
    const FAILED: u8 = 2;
    let copies = context.nexus.ok_or(UNKNOWN_LIST_ID)?.copies();
    let found = copies.look(list_id, |progress| {
        let status = match progress.state() {
            State::Running => IN_PROGRESS,
            State::Ended(_) if progress.take_status() => return None,
            State::Ended(None) => COMPLETED,
            State::Ended(Some(_)) => FAILED,
        };
        Some((status, progress.segments.load(Ordering::Relaxed), progress.bytes.load(Ordering::Relaxed)))
    });
    let (status, segments, written) = found.flatten().ok_or(UNKNOWN_LIST_ID)?;
    let (units, count) = transfer_count(written);
    bytes.put_be32(8); // AVAILABLE DATA
    bytes.put_u8(status); // HDD is clear: there was nothing to hold
    bytes.put_be16(segments as u16); // no more than one list has
    bytes.put_u8(units);
    bytes.put_be32(count);
    Ok(())
}

/// TRANSFER COUNT UNITS and TRANSFER COUNT: in bytes if they fit, else in KiB, MiB, …
fn transfer_count(mut bytes: u64) -> (u8, u32) {
    for units in 0.. {
        if let Ok(count) = u32::try_from(bytes) {
            return (units, count);
        }
        bytes >>= 10;
    }
    (0, 0)
}

/// No segment that we know holds data for the initiator.
fn put_held_data(list_id: u8, context: &Context<'_>, bytes: &mut Bytes<'_>) -> Result<(), Sense> {
    let copies = context.nexus.ok_or(UNKNOWN_LIST_ID)?.copies();
    match copies.look(list_id, |progress| progress.state()) {
        Some(State::Ended(_)) => {
            bytes.put_be32(0);
            Ok(())
        }
        Some(State::Running) | None => Err(UNKNOWN_LIST_ID),
    }
}

/// Why a copy failed, until that has been read to its end.
fn put_failure_details(
    list_id: u8,
    allocation: u32,
    unit: &LogicalUnit,
    context: &Context<'_>,
    bytes: &mut Bytes<'_>,
) -> Result<(), Sense> {
    const RESERVED_BYTES: usize = 52;
    let copies = context.nexus.ok_or(UNKNOWN_LIST_ID)?.copies();
    let put = copies.look(list_id, |progress| {
        let State::Ended(end) = progress.state() else { return Err(UNKNOWN_LIST_ID) };
        let Some(failure) = end.filter(|_| !progress.were_details_told()) else {
            bytes.put_be32(0);
            return Ok(());
        };
        let mut sense = [0; SENSE_BYTES_MAX];
        let len = failure.write(unit.descriptor_sense(), &mut sense);
        bytes.put_be32((RESERVED_BYTES + 4 + len) as u32); // AVAILABLE DATA
        bytes.put_zeroes(RESERVED_BYTES);
        bytes.put(&[ScsiStatus::CheckCondition as u8, 0]);
        bytes.put_be16(len as u16);
        bytes.put(&sense[..len]);
        if allocation == 0 || allocation as usize >= bytes.len() {
            progress.set_details_told();
        }
        Ok(())
    });
    put.unwrap_or(Err(UNKNOWN_LIST_ID))
}

fn put_operating_parameters(bytes: &mut Bytes<'_>) {
    const SNLID: u8 = 0x01;
    const DESCRIPTORS: [u8; 2] = [BLOCK_TO_BLOCK, IDENTIFICATION_CSCD];
    bytes.put_be32(0);
    bytes.put(&[SNLID, 0, 0, 0]);
    bytes.put_be16(COPY_CSCDS_MAX as u16);
    bytes.put_be16(COPY_SEGMENTS_MAX as u16);
    bytes.put_be32(DESCRIPTORS_BYTES_MAX as u32);
    bytes.put_be32(COPY_SEGMENT_BYTES_MAX as u32);
    bytes.put_be32(0); // MAXIMUM INLINE DATA LENGTH
    bytes.put_be32(0); // HELD DATA LIMIT
    bytes.put_be32(0); // MAXIMUM STREAM DEVICE TRANSFER SIZE
    bytes.put_be16(0);
    bytes.put_be16(TOTAL_CONCURRENT_COPIES);
    bytes.put_u8(CONCURRENT_COPIES_MAX);
    bytes.put(&[0, 0, 0]); // DATA SEGMENT, INLINE DATA, HELD DATA GRANULARITY: a byte
    bytes.put_zeroes(3);
    bytes.put_u8(DESCRIPTORS.len() as u8);
    bytes.put(&DESCRIPTORS);
    bytes.patch_be32(0, (bytes.len() - 4) as u32); // AVAILABLE DATA
}

/// Third-party copy VPD page (SPC-4), without its header: the descriptors that every copy manager has.
pub(crate) fn put_vpd(bytes: &mut Bytes<'_>) {
    const SUPPORTED_COMMANDS: u16 = 0x0001;
    const PARAMETER_DATA: u16 = 0x0004;
    const SUPPORTED_DESCRIPTORS: u16 = 0x0008;
    const SUPPORTED_CSCD_IDS: u16 = 0x000c;
    const GENERAL_COPY_OPERATIONS: u16 = 0x8001;
    put_descriptor(SUPPORTED_COMMANDS, bytes, |bytes| {
        use service_action::*;
        const RECEIVE: [u8; 4] = [
            RECEIVE_COPY_STATUS_LID1,
            RECEIVE_COPY_DATA_LID1,
            RECEIVE_COPY_OPERATING_PARAMETERS,
            RECEIVE_COPY_FAILURE_DETAILS_LID1,
        ];
        bytes.put_u8((3 + 2 + RECEIVE.len()) as u8);
        bytes.put(&[opcode::THIRD_PARTY_COPY_OUT, 1, EXTENDED_COPY_LID1]);
        bytes.put(&[opcode::THIRD_PARTY_COPY_IN, RECEIVE.len() as u8]);
        bytes.put(&RECEIVE);
    });
    put_descriptor(PARAMETER_DATA, bytes, |bytes| {
        bytes.put_be32(0);
        bytes.put_be16(COPY_CSCDS_MAX as u16);
        bytes.put_be16(COPY_SEGMENTS_MAX as u16);
        bytes.put_be32(DESCRIPTORS_BYTES_MAX as u32);
        bytes.put_zeroes(16); // MAXIMUM INLINE DATA LENGTH, reserved
    });
    put_descriptor(SUPPORTED_DESCRIPTORS, bytes, |bytes| bytes.put(&[2, BLOCK_TO_BLOCK, IDENTIFICATION_CSCD]));
    put_descriptor(SUPPORTED_CSCD_IDS, bytes, |bytes| {
        bytes.put_be16(2);
        bytes.put_be16(OWN_UNIT);
    });
    put_descriptor(GENERAL_COPY_OPERATIONS, bytes, |bytes| {
        bytes.put_be32(u32::from(TOTAL_CONCURRENT_COPIES));
        bytes.put_be32(u32::from(CONCURRENT_COPIES_MAX));
        bytes.put_be32(COPY_SEGMENT_BYTES_MAX as u32);
        bytes.put(&[0, 0]); // DATA SEGMENT and INLINE DATA GRANULARITY
        bytes.put_zeroes(18);
    });
}

/// One third-party copy descriptor: its type, its length, and itself, filled up to a multiple of four bytes.
fn put_descriptor(kind: u16, bytes: &mut Bytes<'_>, body: impl FnOnce(&mut Bytes<'_>)) {
    let start = bytes.len();
    bytes.put_be16(kind);
    bytes.put_be16(0);
    body(bytes);
    bytes.put_zeroes((bytes.len() - start).next_multiple_of(4) - (bytes.len() - start));
    bytes.patch_be16(start + 2, (bytes.len() - start - 4) as u16);
}
