//! Commands that are answered without touching the medium: each file builds one kind of answer.

pub(crate) mod capacity;
pub(crate) mod diagnostic;
pub(crate) mod inquiry;
pub(crate) mod luns;
pub(crate) mod mode_sense;
pub(crate) mod opcodes;
pub(crate) mod sense;
pub(crate) mod task_management;
pub(crate) mod vpd;

use crate::Context;
use crate::cd;
use crate::command::{InquiryPage, Query};
use crate::copy::receive;
use crate::execute::{Ending, Step};
use crate::limits::ANSWER_BYTES;
use crate::medium::on_unit;
use crate::wire::bytes::Bytes;

/// Builds the answer to a query into `buffer`, cut to what the initiator allowed.
pub(crate) fn step(query: Query, allocation: u32, context: &Context<'_>, buffer: &mut [u8]) -> Step {
    let room = buffer.len().min(allocation as usize);
    let bytes = Bytes::new(&mut buffer[..room]);
    match query {
        Query::Cd(query) => on_unit(context, |unit| done(bytes, |bytes| cd::put(query, unit, context, bytes))),
        Query::Inquiry(InquiryPage::Standard) => done(bytes, |bytes| inquiry::put(context, bytes)),
        Query::Inquiry(InquiryPage::Vpd(page)) => done(bytes, |bytes| vpd::put(page, context, bytes)),
        Query::ReportLuns(select) => done(bytes, |bytes| luns::put(select, context, bytes)),
        Query::RequestSense { descriptor_format } => done(bytes, |bytes| sense::put(descriptor_format, context, bytes)),
        Query::ReadCapacity10 => on_unit(context, |unit| done(bytes, |bytes| capacity::put_10(unit, bytes))),
        Query::ReadCapacity16 => on_unit(context, |unit| done(bytes, |bytes| capacity::put_16(unit, bytes))),
        Query::ModeSense(query) => {
            on_unit(context, |unit| done(bytes, |bytes| mode_sense::put(query, unit, context.read_only, bytes)))
        }
        Query::ReceiveCopy(query) => on_unit(context, |unit| {
            let mut bytes = bytes;
            match receive::put(query, allocation, unit, context, &mut bytes) {
                Ok(()) => Step::Done(Ending::Good { data_in: 0..bytes.fitting() }),
                Err(sense) => Step::refuse(sense),
            }
        }),
        Query::ReportOpcodes { opcodes, timeouts } => {
            on_unit(context, |unit| done(bytes, |bytes| opcodes::put(opcodes, timeouts, unit, bytes)))
        }
        Query::BufferDescriptor { there } => done(bytes, |bytes| diagnostic::put_buffer(there, bytes)),
        Query::DefectList { options, long } => done(bytes, |bytes| diagnostic::put_defects(options, long, bytes)),
        Query::DiagnosticPages => done(bytes, diagnostic::put_pages),
        Query::EchoBufferDescriptor => done(bytes, diagnostic::put_echo_buffer),
        Query::TaskManagement { extended } => done(bytes, |bytes| task_management::put(extended, bytes)),
    }
}

/// Bytes of buffer that an answer is built in.
pub(crate) fn buffer_bytes(query: Query, allocation: u32, context: &Context<'_>) -> usize {
    match query {
        Query::ReportLuns(select) => luns::full_bytes(select, context).min(allocation as usize),
        _ => ANSWER_BYTES,
    }
}

fn done(mut bytes: Bytes<'_>, put: impl FnOnce(&mut Bytes<'_>)) -> Step {
    put(&mut bytes);
    Step::Done(Ending::Good { data_in: 0..bytes.fitting() })
}
