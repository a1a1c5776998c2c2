//! The sg driver's interface, version 3: the only file of this device with `unsafe`, beside `watch.rs`.
//!
//! What makes it sound: write(2) copies the CDB and data to the device before it returns; data from the device and sense are copied
//! to where the header of the write said within the read(2) that fetches the command, and at no other time, because no flag
//! here asks for direct I/O. So a [`Lane`] keeps every operation, and with it its buffer, from the write to the read, or
//! until nobody can read from the file any more.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_ulong, c_void};
use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::outcome::Raw;
use super::record::{RECORD_BYTES, Request, SENSE, SENSE_BYTES_MAX};
use crate::io::BlockIo;

/// Commands that the driver takes per open file (SG_MAX_QUEUE).
pub(super) const LANE_COMMANDS: usize = 16;

/// `struct sg_io_hdr` of <scsi/sg.h>.
#[repr(C)]
struct Header {
    interface_id: c_int,
    dxfer_direction: c_int,
    cmd_len: u8,
    mx_sb_len: u8,
    iovec_count: u16,
    dxfer_len: u32,
    dxferp: *mut c_void,
    cmdp: *mut u8,
    sbp: *mut u8,
    timeout: u32,
    flags: u32,
    pack_id: c_int,
    usr_ptr: *mut c_void,
    status: u8,
    masked_status: u8,
    msg_status: u8,
    sb_len_wr: u8,
    host_status: u16,
    driver_status: u16,
    resid: c_int,
    duration: u32,
    info: u32,
}

const _: () = assert!(size_of::<Header>() == 88 && size_of::<usize>() == 8, "the layout of 64-bit Linux");

const INTERFACE_ID: c_int = b'S' as c_int;
const DXFER_NONE: c_int = -1;
const DXFER_TO_DEV: c_int = -2;
const DXFER_FROM_DEV: c_int = -3;
/// In the order in which they came; without it a command overtakes those that wait.
const FLAG_Q_AT_TAIL: u32 = 0x10;

const SG_GET_SG_TABLESIZE: c_ulong = 0x227f;
const SG_GET_VERSION_NUM: c_ulong = 0x2282;
const SG_SCSI_RESET: c_ulong = 0x2284;
const BLKSECTGET: c_ulong = 0x1267;
const RESET_DEVICE: c_int = 1;
const RESET_NO_ESCALATE: c_int = 0x100;

/// An operation on its way.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) io: BlockIo,
    pub(super) submitted_ns: u64,
}

/// What a lane talks to.
#[derive(Debug)]
pub(super) enum Port {
    /// The sg driver: a file of its own, opened with NONBLOCK.
    Sg(OwnedFd),
    #[cfg(any(test, feature = "test-utils"))]
    Fake(super::fake::FakePort),
}

/// One open file with the commands that it carries.
#[derive(Debug)]
pub(super) struct Lane {
    // Dropped first: without the file nobody can make the kernel write to what the slots hold.
    port: Port,
    /// Index = `pack_id` of the command.
    slots: [Option<Operation>; LANE_COMMANDS],
    /// The file gives nothing any more.
    dead: bool,
}

/// What [`Lane::fetch`] found.
#[derive(Debug)]
pub(super) enum Fetched {
    /// Nothing has ended.
    Nothing,
    /// This has.
    Ended(Operation, Raw),
    /// Nothing will ever come from this file: [`Lane::abandon`] what it carries.
    Dead(io::Error),
}

impl Lane {
    pub(super) fn new(port: Port) -> Lane {
        Lane { port, slots: Default::default(), dead: false }
    }

    /// Whether it takes another command.
    pub(super) fn has_room(&self) -> bool {
        !self.dead && self.slots.iter().any(Option::is_none)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    /// The file, to be watched for what ends.
    pub(super) fn file(&self) -> Option<BorrowedFd<'_>> {
        match &self.port {
            Port::Sg(file) => Some(file.as_fd()),
            #[cfg(any(test, feature = "test-utils"))]
            Port::Fake(_) => None,
        }
    }

    /// Hands a command to the device.
    ///
    /// # Errors
    /// The operation back, with the system's answer: it was not started.
    pub(super) fn start(&mut self, mut operation: Operation) -> Result<(), (Operation, io::Error)> {
        let Some(slot) = self.slots.iter().position(Option::is_none) else {
            return Err((operation, io::ErrorKind::WouldBlock.into()));
        };
        let outcome = match &mut self.port {
            Port::Sg(file) => write(file, slot, &mut operation.io),
            #[cfg(any(test, feature = "test-utils"))]
            Port::Fake(fake) => fake.start(slot),
        };
        match outcome {
            Ok(()) => {
                self.slots[slot] = Some(operation);
                Ok(())
            }
            Err(error) => Err((operation, error)),
        }
    }

    /// The next command that has ended.
    pub(super) fn fetch(&mut self) -> Fetched {
        let found = match &mut self.port {
            Port::Sg(file) => read(file),
            #[cfg(any(test, feature = "test-utils"))]
            Port::Fake(fake) => fake.fetch(&mut self.slots),
        };
        match found {
            Ok(Some((slot, raw))) => match self.slots.get_mut(slot).and_then(Option::take) {
                Some(operation) => Fetched::Ended(operation, raw),
                None => {
                    debug_assert!(false, "an answer for slot {slot}, which is empty");
                    Fetched::Nothing
                }
            },
            Ok(None) => Fetched::Nothing,
            Err(error) => {
                self.dead = true;
                Fetched::Dead(error)
            }
        }
    }

    /// Of a lane that is dead: an operation that nothing will be heard of. What the lane is still told by the kernel is
    /// never read, so nothing is written to the operation's buffer.
    pub(super) fn abandon(&mut self) -> Option<Operation> {
        match self.dead {
            true => self.slots.iter_mut().find_map(Option::take),
            false => None,
        }
    }

    /// Waits until something has ended; false if nothing did in `time`.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let (Some(file), Ok(time)) = (self.file(), Timespec::try_from(time)) else { return false };
        let mut files = [PollFd::new(&file, PollFlags::IN)];
        rustix::event::poll(&mut files, Some(&time)).is_ok_and(|count| count > 0)
    }
}

/// Gives the driver a command under its slot's number.
fn write(file: &OwnedFd, slot: usize, io: &mut BlockIo) -> io::Result<()> {
    let buffer = io.data.as_mut().map_or(&mut [][..], |data| data.bytes_mut());
    let Some(Request { cdb, time_limit, data }) = Request::parse(buffer) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let (cmd_len, time_limit_ms) = (cdb.len() as u8, time_limit.as_millis() as u32);
    let (before, record) = buffer.split_at_mut(buffer.len() - RECORD_BYTES);
    let (head, sense) = record.split_at_mut(SENSE.start);
    let data = &mut before[data];
    let dxfer_direction = match (io.op, data.is_empty()) {
        (crate::Op::Scsi { direction: crate::Direction::In }, false) => DXFER_FROM_DEV,
        (crate::Op::Scsi { direction: crate::Direction::Out }, false) => DXFER_TO_DEV,
        _ => DXFER_NONE,
    };
    let has_data = dxfer_direction != DXFER_NONE;
    let header = Header {
        interface_id: INTERFACE_ID,
        dxfer_direction,
        cmd_len,
        mx_sb_len: SENSE_BYTES_MAX as u8,
        iovec_count: 0,
        dxfer_len: if has_data { data.len() as u32 } else { 0 },
        dxferp: if has_data { data.as_mut_ptr().cast() } else { std::ptr::null_mut() },
        cmdp: head.as_mut_ptr(),
        sbp: sense.as_mut_ptr(),
        timeout: time_limit_ms,
        flags: FLAG_Q_AT_TAIL,
        pack_id: slot as c_int,
        usr_ptr: std::ptr::null_mut(),
        ..Header::EMPTY
    };
    // SAFETY: the header is valid for reads of its size. What it points to lies in the operation's buffer: the CDB (at least
    // `cmd_len` bytes of the record) and data-out are read within this call; data-in and sense are written within a later
    // read(2) of this file, until which the caller keeps the operation in its slot.
    let written = unsafe { libc::write(file.as_raw_fd(), (&raw const header).cast(), size_of::<Header>()) };
    match written {
        ..0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Fetches what has ended, and with it data and sense into the operation's buffer.
fn read(file: &OwnedFd) -> io::Result<Option<(usize, Raw)>> {
    let mut header = Header::EMPTY;
    // SAFETY: the header is valid for writes of its size, and any bytes are a Header. Beside it the kernel writes only to
    // the data and sense of the command that it fetches, which is in a slot of the lane that has this file: that lane is
    // borrowed by the caller, so nobody else refers to the buffer.
    let got = unsafe { libc::read(file.as_raw_fd(), (&raw mut header).cast(), size_of::<Header>()) };
    if got < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Ok(None),
            _ => Err(error),
        };
    }
    let raw = Raw {
        status: header.status,
        host_status: header.host_status,
        residual: header.resid,
        sense_len: header.sb_len_wr.min(SENSE_BYTES_MAX as u8),
    };
    Ok(Some((usize::try_from(header.pack_id).unwrap_or(usize::MAX), raw)))
}

impl Header {
    const EMPTY: Header = Header {
        interface_id: INTERFACE_ID,
        dxfer_direction: DXFER_NONE,
        cmd_len: 0,
        mx_sb_len: 0,
        iovec_count: 0,
        dxfer_len: 0,
        dxferp: std::ptr::null_mut(),
        cmdp: std::ptr::null_mut(),
        sbp: std::ptr::null_mut(),
        timeout: 0,
        flags: 0,
        pack_id: -1,
        usr_ptr: std::ptr::null_mut(),
        status: 0,
        masked_status: 0,
        msg_status: 0,
        sb_len_wr: 0,
        host_status: 0,
        driver_status: 0,
        resid: 0,
        duration: 0,
        info: 0,
    };
}

/// Most bytes that a command through this file moves: what the adapter takes at once, and what the driver can gather in its
/// buffers, which it cuts into elements of `element_bytes`.
///
/// # Errors
/// The file is not the sg driver's, or that is older than version 3.
pub(super) fn transfer_bytes_max(file: &OwnedFd, element_bytes: u32) -> io::Result<u32> {
    if get_int(file, SG_GET_VERSION_NUM)? < 30000 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let adapter = u32::try_from(get_int(file, BLKSECTGET)?).unwrap_or(0);
    let elements = u32::try_from(get_int(file, SG_GET_SG_TABLESIZE)?).unwrap_or(0);
    // Whatever they say, one page always fits.
    Ok(adapter.min(elements.saturating_mul(element_bytes)).max(4096))
}

/// Resets the logical unit, without going on to larger resets if that fails.
pub(super) fn reset(file: &OwnedFd) -> io::Result<()> {
    let how = RESET_DEVICE | RESET_NO_ESCALATE;
    // SAFETY: this request reads one int, and `how` is one.
    let outcome = unsafe { libc::ioctl(file.as_raw_fd(), SG_SCSI_RESET, &raw const how) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn get_int(file: &OwnedFd, request: c_ulong) -> io::Result<c_int> {
    let mut value: c_int = 0;
    // SAFETY: the requests of this file's callers write one int, and `value` is one.
    let outcome = unsafe { libc::ioctl(file.as_raw_fd(), request, &raw mut value) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
