//! Commands that are answered without touching the medium: each file builds one kind of answer.

pub(crate) mod capacity;
pub(crate) mod inquiry;
pub(crate) mod luns;
pub(crate) mod mode_sense;
pub(crate) mod opcodes;
pub(crate) mod sense;
pub(crate) mod vpd;

use crate::Context;
use crate::command::{Command, InquiryPage};
use crate::execute::{Ending, Step};
use crate::limits::ANSWER_BYTES;
use crate::medium::on_unit;
use crate::wire::bytes::Bytes;

/// Builds the answer of a command into `buffer`, cut to what the initiator allowed.
pub(crate) fn build(command: &Command, context: &Context<'_>, buffer: &mut [u8]) -> Step {
    match *command {
        Command::Inquiry { page: InquiryPage::Standard, allocation } => {
            cut(allocation, buffer, |bytes| inquiry::put(context, bytes))
        }
        Command::Inquiry { page: InquiryPage::Vpd(page), allocation } => {
            cut(allocation, buffer, |bytes| vpd::put(page, context, bytes))
        }
        Command::ReportLuns { select, allocation } => {
            cut(allocation, buffer, |bytes| luns::put(select, context, bytes))
        }
        Command::RequestSense { descriptor_format, allocation } => {
            cut(allocation, buffer, |bytes| sense::put(descriptor_format, context, bytes))
        }
        Command::ReadCapacity10 => {
            on_unit(context, |unit| cut(capacity::BYTES_10, buffer, |bytes| capacity::put_10(unit, bytes)))
        }
        Command::ReadCapacity16 { allocation } => {
            on_unit(context, |unit| cut(allocation, buffer, |bytes| capacity::put_16(unit, bytes)))
        }
        Command::ModeSense { query, allocation } => on_unit(context, |unit| {
            cut(allocation, buffer, |bytes| mode_sense::put(query, unit, context.read_only, bytes))
        }),
        Command::ReportOpcodes { query, timeouts, allocation } => {
            on_unit(context, |unit| cut(allocation, buffer, |bytes| opcodes::put(query, timeouts, unit, bytes)))
        }
        _ => Step::GOOD,
    }
}

/// Most bytes a command of this kind returns, and the buffer it is built in; `None` for commands with no answer.
pub(crate) fn lengths(command: &Command, context: &Context<'_>) -> Option<(u32, usize)> {
    match *command {
        Command::ReportLuns { select, allocation } => {
            Some((allocation, luns::full_bytes(select, context).min(allocation as usize)))
        }
        Command::ReadCapacity10 => Some((capacity::BYTES_10, ANSWER_BYTES)),
        Command::Inquiry { allocation, .. }
        | Command::RequestSense { allocation, .. }
        | Command::ReadCapacity16 { allocation }
        | Command::ModeSense { allocation, .. }
        | Command::ReportOpcodes { allocation, .. } => Some((allocation, ANSWER_BYTES)),
        _ => None,
    }
}

fn cut(allocation: u32, buffer: &mut [u8], put: impl FnOnce(&mut Bytes<'_>)) -> Step {
    let room = buffer.len().min(allocation as usize);
    let mut bytes = Bytes::new(&mut buffer[..room]);
    put(&mut bytes);
    let data_in = 0..bytes.len().min(room);
    Step::Done(Ending::Good { data_in })
}
