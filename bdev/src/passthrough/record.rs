//! The record at the end of a command's buffer.
//!
//! The data buffer of [`crate::Op::Scsi`] is the command's data, padded to a multiple of 8 bytes, and then a record of
//! [`RECORD_BYTES`] bytes: a [`Request`] on the way in, which becomes an [`Outcome`] on the way out. So an operation is no
//! larger than any other, and nothing is allocated for it. A command that moves a part of the data only, because it was split, says
//! which.
//!
//! ```text
//!   0  CDB (32)     32  CDB length (1)     36  time limit in ms (4)     40  offset of the data (4)   44  length of the data (4)
//!  48  bytes moved (4)   52  SCSI status (1)   53  sense length (1)     96  sense data (96)
//! ```
//!
//! Numbers are little-endian. The record never leaves this process, but a wrong one must not reach the kernel: parsing checks
//! every field and never panics; emitting panics if the buffer is too small for what it is told, which is our own bug.

use std::ops::Range;
use std::time::Duration;

/// Length of the record at the end of a command's data buffer, in bytes.
pub const RECORD_BYTES: usize = 192;

/// Longest CDB, in bytes: Linux' limit.
pub const CDB_BYTES_MAX: usize = 32;

/// Longest sense data, in bytes: Linux' limit.
pub const SENSE_BYTES_MAX: usize = 96;

/// Shortest CDB, in bytes (SPC-4).
const CDB_BYTES_MIN: usize = 6;

const CDB: Range<usize> = 0..CDB_BYTES_MAX;
const CDB_LEN: usize = 32;
const TIME_LIMIT_MS: usize = 36;
const DATA_OFFSET: usize = 40;
const DATA_LEN: usize = 44;
const MOVED: usize = 48;
const STATUS: usize = 52;
const SENSE_LEN: usize = 53;
pub(super) const SENSE: Range<usize> = 96..RECORD_BYTES;

const _: () = {
    assert!(CDB.end <= CDB_LEN && CDB_LEN < TIME_LIMIT_MS && MOVED + 4 <= STATUS && SENSE_LEN < SENSE.start);
    assert!(SENSE.end - SENSE.start == SENSE_BYTES_MAX && SENSE.end == RECORD_BYTES);
    assert!(RECORD_BYTES.is_multiple_of(8));
};

/// Bytes of a buffer for `data_len` bytes of data and the record.
pub const fn buffer_bytes(data_len: usize) -> usize {
    data_len.next_multiple_of(8) + RECORD_BYTES
}

/// What a device shall do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// The command, 6 to [`CDB_BYTES_MAX`] bytes.
    pub cdb: &'a [u8],
    /// How long the device may take. Milliseconds count; more than 2^32 - 1 of them are as many.
    pub time_limit: Duration,
    /// The part of the buffer that is moved; empty for a command without data.
    pub data: Range<usize>,
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome<'a> {
    /// SCSI status (SAM-5).
    pub status: u8,
    /// Bytes of the request's data that the device took or gave.
    pub moved: u32,
    /// Sense data as it came, at most [`SENSE_BYTES_MAX`] bytes.
    pub sense: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads the request at the end of an operation's buffer; `None` if there is none that can be carried out.
    pub fn parse(buffer: &'a [u8]) -> Option<Request<'a>> {
        let (before, record) = split(buffer)?;
        let cdb = record[CDB].get(..usize::from(record[CDB_LEN]))?;
        let offset = get_u32(record, DATA_OFFSET) as usize;
        let end = offset.checked_add(get_u32(record, DATA_LEN) as usize)?;
        let time_limit = Duration::from_millis(u64::from(get_u32(record, TIME_LIMIT_MS)));
        (cdb.len() >= CDB_BYTES_MIN && end <= before.len()).then_some(Request { cdb, time_limit, data: offset..end })
    }

    /// Writes the request to the end of an operation's buffer.
    ///
    /// # Panics
    /// If the CDB is too long or the data not in the buffer before the record.
    pub fn emit(&self, buffer: &mut [u8]) {
        let at = buffer.len() - RECORD_BYTES;
        assert!(self.data.start <= self.data.end && self.data.end <= at, "{:?} is not before {at}", self.data);
        let record = &mut buffer[at..];
        record.fill(0);
        record[CDB][..self.cdb.len()].copy_from_slice(self.cdb);
        record[CDB_LEN] = self.cdb.len() as u8;
        let time_limit_ms = u32::try_from(self.time_limit.as_millis()).unwrap_or(u32::MAX);
        put_u32(record, TIME_LIMIT_MS, time_limit_ms);
        put_u32(record, DATA_OFFSET, self.data.start as u32);
        put_u32(record, DATA_LEN, self.data.len() as u32);
    }
}

impl<'a> Outcome<'a> {
    /// Reads the outcome at the end of an operation's buffer, and where in the buffer its sense data lies; `None` if there is
    /// no room for a record.
    pub fn parse(buffer: &'a [u8]) -> Option<Outcome<'a>> {
        let range = Outcome::sense_range(buffer)?;
        let (_, record) = split(buffer)?;
        let moved = get_u32(record, MOVED).min(get_u32(record, DATA_LEN));
        Some(Outcome { status: record[STATUS], moved, sense: &buffer[range] })
    }

    /// Where the sense data lies in the buffer.
    pub fn sense_range(buffer: &[u8]) -> Option<Range<usize>> {
        let (before, record) = split(buffer)?;
        let start = before.len() + SENSE.start;
        Some(start..start + usize::from(record[SENSE_LEN]).min(SENSE_BYTES_MAX))
    }

    /// Makes a request's record that of its outcome.
    ///
    /// # Panics
    /// If there is no room for a record, or the sense is too long.
    pub fn emit(&self, buffer: &mut [u8]) {
        set(buffer, self.status, self.moved, self.sense.len());
        let sense = buffer.len() - RECORD_BYTES + SENSE.start;
        buffer[sense..sense + self.sense.len()].copy_from_slice(self.sense);
    }
}

/// As [`Outcome::emit`], where the kernel has put the sense data into its place.
pub(super) fn set(buffer: &mut [u8], status: u8, moved: u32, sense_len: usize) {
    assert!(sense_len <= SENSE_BYTES_MAX, "{sense_len} bytes of sense");
    let at = buffer.len() - RECORD_BYTES;
    let record = &mut buffer[at..];
    put_u32(record, MOVED, moved);
    record[STATUS] = status;
    record[SENSE_LEN] = sense_len as u8;
}

fn split(buffer: &[u8]) -> Option<(&[u8], &[u8])> {
    buffer.split_at_checked(buffer.len().checked_sub(RECORD_BYTES)?)
}

fn get_u32(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}

fn put_u32(record: &mut [u8], at: usize, value: u32) {
    record[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn requests_and_outcomes_survive_their_record(
            cdb in proptest::collection::vec(any::<u8>(), CDB_BYTES_MIN..=CDB_BYTES_MAX),
            millis in any::<u32>(),
            len in 0_usize..5000,
            cut in (0.0..1.0, 0.0..1.0),
            status in any::<u8>(),
            sense in proptest::collection::vec(any::<u8>(), 0..=SENSE_BYTES_MAX),
        ) {
            let mut buffer = vec![0xee; buffer_bytes(len)];
            let start = (cut.0 * len as f64) as usize;
            let data = start..start + (cut.1 * (len - start) as f64) as usize;
            let request = Request { cdb: &cdb, time_limit: Duration::from_millis(u64::from(millis)), data };
            request.emit(&mut buffer);
            prop_assert_eq!(Request::parse(&buffer), Some(request.clone()));
            prop_assert!(buffer[..len].iter().all(|&byte| byte == 0xee), "the data is not touched");
            let outcome = Outcome { status, moved: request.data.len() as u32 / 2, sense: &sense };
            outcome.emit(&mut buffer);
            prop_assert_eq!(Outcome::parse(&buffer), Some(outcome));
        }

        #[test]
        fn any_bytes_are_a_request_within_the_buffer_or_none(
            mut buffer in proptest::collection::vec(any::<u8>(), 0..400),
            offset in 0_u32..300,
            len in 0_u32..300,
        ) {
            if let Some(at) = buffer.len().checked_sub(RECORD_BYTES) {
                put_u32(&mut buffer[at..], DATA_OFFSET, offset);
                put_u32(&mut buffer[at..], DATA_LEN, len);
            }
            if let Some(request) = Request::parse(&buffer) {
                prop_assert!(request.data.end <= buffer.len() - RECORD_BYTES);
                prop_assert!((CDB_BYTES_MIN..=CDB_BYTES_MAX).contains(&request.cdb.len()));
            }
            if let Some(outcome) = Outcome::parse(&buffer) {
                prop_assert!(outcome.sense.len() <= SENSE_BYTES_MAX);
            }
        }
    }

    #[test]
    fn more_than_was_asked_for_was_not_moved() {
        let mut buffer = vec![0; buffer_bytes(16)];
        Request { cdb: &[0; 6], time_limit: Duration::from_secs(1 << 40), data: 4..12 }.emit(&mut buffer);
        assert_eq!(Request::parse(&buffer).map(|request| request.time_limit.as_millis()), Some(u128::from(u32::MAX)));
        Outcome { status: 0, moved: 9, sense: &[] }.emit(&mut buffer);
        assert_eq!(Outcome::parse(&buffer).map(|outcome| outcome.moved), Some(8));
    }
}
