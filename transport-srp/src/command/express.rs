//! The short way of the plain READ or WRITE ([`scsi::Job::express`]) whose data come into, or from, one place, or with the IU: it goes to its device at
//! once. It stands then where the long way would have brought it, and everything after that is the same for both.

use std::ops::Range;

use bdev::Op;
use mem::{Buf, IoBuf};
use scsi::{Ending, Express, Job};

use super::{Action, Command, Request, Stage};
use crate::respond::Reply;
use crate::session::UnitId;
use crate::transfer::Cursor;
use crate::wire::Descriptor;
use crate::wire::cmd::{self, DataBuffer};

/// Where the short way leads.
pub(crate) enum Way {
    /// To the device of the command's own unit.
    Device(UnitId, Operation),
    /// To the initiator, whose data are fetched into this. What comes then is the long way's: the unit may be another by that time.
    Fetch(IoBuf),
}

/// What the device is to do.
pub(crate) struct Operation {
    pub(crate) op: Op,
    pub(crate) lba: u64,
    pub(crate) blocks: u64,
    pub(crate) data: Option<IoBuf>,
}

impl Command {
    /// Takes the short way if the command may, with a `buffer` of that many bytes if it needs one. `None`: nothing has changed, it goes the
    /// long way.
    #[inline]
    pub(crate) fn express(&mut self, buffer: impl FnOnce(usize) -> Option<Buf>) -> Option<Way> {
        let Request::Command(command) = &self.request else { return None };
        let (entry, receive) = (self.unit()?, self.receive.as_ref()?);
        let (unit, cdb) = (entry.unit, command.cdb(receive.bytes()));
        let express = Job::express(cdb, &entry.logical_unit, &entry.nexus, entry.read_only)?;
        let Express { op, lba, blocks, bytes, .. } = express;
        let bytes = bytes as usize;
        let reaches =
            |memory: &Descriptor| (memory.len as usize) >= bytes && memory.va.checked_add(memory.len.into()).is_some();
        let (data, buffer_len) = match (&command.data_out, &command.data_in) {
            (DataBuffer::None, DataBuffer::Direct(memory)) if op == Op::Read && reaches(memory) => {
                (IoBuf::new(buffer(bytes)?, 0..bytes), memory.len)
            }
            (DataBuffer::Immediate { offset, len }, DataBuffer::None) if op != Op::Read => {
                let align = entry.logical_unit.bdev().info().buf_align as u64;
                let offset = usize::from(*offset);
                if (*len as usize) < bytes || !(receive.addr() + offset as u64).is_multiple_of(align) {
                    return None;
                }
                let len = *len;
                self.in_place = Some(offset);
                (IoBuf::new(self.receive.take()?, offset..offset + bytes), len)
            }
            (DataBuffer::Direct(memory), DataBuffer::None) if op != Op::Read && reaches(memory) => {
                let data = IoBuf::new(buffer(bytes)?, 0..bytes);
                self.is_exact = memory.len as usize == bytes;
                self.job = Some(express.unstarted());
                self.cursor = Cursor::new(bytes as u32);
                self.stage = Stage::FetchData;
                return Some(Way::Fetch(data));
            }
            _ => return None,
        };
        self.is_exact = buffer_len as usize == bytes;
        self.job = Some(express.job());
        self.stage = Stage::Execute;
        Some(Way::Device(unit, Operation { op, lba, blocks, data: Some(data) }))
    }

    /// The request, if it is a command of the short way that ended with GOOD and left nothing over: its response says nothing more.
    #[inline]
    pub(crate) fn ended_exactly(&self) -> Option<&cmd::Command> {
        match (&self.reply, &self.request) {
            (Some(Reply::Ended(Ending::Good { .. })), Request::Command(command)) if self.is_exact => Some(command),
            _ => None,
        }
    }

    /// The operation went well of a command that [`Command::express`] took and whose buffer is filled: false if it is not such a one. What is to
    /// be delivered stays in `data`.
    #[inline]
    pub(crate) fn executed_exactly(&mut self, data: &mut Option<IoBuf>) -> bool {
        let (Some(data_in), true) = (self.job.as_ref().and_then(Job::ends_well), self.is_exact) else { return false };
        if data.as_ref().is_none_or(|data| data.len() < data_in.len()) {
            return false;
        }
        self.executing = None;
        self.stage = Stage::Deliver;
        self.watch.data_in = data_in.len() as u32;
        self.cursor = Cursor::new(data_in.len() as u32);
        self.reply = Some(Reply::Ended(Ending::Good { data_in }));
        if self.in_place.is_some() {
            self.receive = data.take().map(IoBuf::into_buf);
        } else if self.cursor.remaining() == 0 {
            *data = None;
        }
        true
    }

    /// Ends with GOOD, and this part of the buffer for the initiator.
    #[inline]
    pub(super) fn end_well(&mut self, data_in: Range<usize>, buf: Option<Buf>) -> Action {
        self.stage = Stage::Deliver;
        let wanted = match &self.request {
            Request::Command(command) => command.data_in.len() as usize,
            Request::Management(_) | Request::Answer { .. } => 0,
        };
        let moved = data_in.len().min(wanted);
        self.reply = Some(Reply::Ended(Ending::Good { data_in: data_in.clone() }));
        self.watch.data_in = moved as u32;
        self.cursor = Cursor::new(moved as u32);
        match buf {
            _ if self.in_place.is_some() => {
                self.receive = buf;
                Action::Deliver(None)
            }
            Some(buf) if moved > 0 => Action::Deliver(Some(IoBuf::new(buf, data_in.start..data_in.start + moved))),
            _ => Action::Deliver(None),
        }
    }
}
