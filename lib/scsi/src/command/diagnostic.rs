//! Parsers of diagnostics, buffers and defect lists (SPC-4, SBC-3).

use super::unit::control;
use super::{Command, Query};
use crate::control::ControlRequest;
use crate::limits::BUFFER_CAPACITY;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{be16, be24, be32, opcode};
use crate::wire::sense::Sense;

/// SEND DIAGNOSTIC (SPC-4). DEVOFFL and UNITOFFL allow a test what ours does not do, so they have no effect.
pub(super) fn send_diagnostic(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    const PF: u8 = 0x10;
    const SELFTEST: u8 = 0x04;
    let (code, page_format, default_test) = (cdb[1] >> 5, cdb[1] & PF != 0, cdb[1] & SELFTEST != 0);
    let list_bytes = be16(cdb, 3);
    match code {
        0b000 => (),
        _ if default_test => return Err(Sense::invalid_field_in_cdb(1, Some(7))),
        // 100b aborts a test in the background, and none is ever in progress.
        0b001 | 0b010 | 0b101 | 0b110 if page_format => return Err(Sense::invalid_field_in_cdb(1, Some(4))),
        0b001 | 0b010 | 0b101 | 0b110 => (),
        _ => return Err(Sense::invalid_field_in_cdb(1, Some(7))),
    }
    let is_test = code != 0 || default_test;
    if list_bytes > 0 && is_test {
        return Err(Sense::invalid_field_in_cdb(3, None));
    }
    if list_bytes > 0 && !page_format {
        return Err(Sense::invalid_field_in_cdb(1, Some(4)));
    }
    match is_test {
        true => {
            unit.check_ready()?;
            Ok(Command::SelfTest { code: (code != 0).then_some(code) })
        }
        false => Ok(Command::DiagnosticPage { list_bytes }),
    }
}

/// RECEIVE DIAGNOSTIC RESULTS (SPC-4): the list of pages is the only page, also as the result of a SEND DIAGNOSTIC before.
pub(super) fn receive_diagnostic(cdb: &[u8]) -> Result<Command, Sense> {
    const PCV: u8 = 0x01;
    match cdb[1] & PCV != 0 && cdb[2] != 0 {
        false => Ok(Command::Query { query: Query::DiagnosticPages, allocation: u32::from(be16(cdb, 3)) }),
        true => Err(Sense::invalid_field_in_cdb(2, None)),
    }
}

/// MODE of READ BUFFER and WRITE BUFFER (SPC-4).
const DATA: u8 = 0x02;
const DESCRIPTOR: u8 = 0x03;
const ECHO: u8 = 0x0a;
const ECHO_DESCRIPTOR: u8 = 0x0b;

/// READ BUFFER. There is one buffer of each kind; where an echo buffer is meant, BUFFER ID and BUFFER OFFSET are ignored.
pub(super) fn read_buffer(cdb: &[u8]) -> Result<Command, Sense> {
    let (id, offset, allocation) = (cdb[2], be24(cdb, 3), be24(cdb, 6));
    match cdb[1] & 0x1f {
        DATA if id != 0 => Err(Sense::invalid_field_in_cdb(2, None)),
        DATA if offset as usize > BUFFER_CAPACITY => Err(Sense::invalid_field_in_cdb(3, None)),
        DATA => Ok(control(ControlRequest::ReadBuffer { echo: false, offset }, 0, allocation)),
        // Of a buffer that is not there all zeroes are returned.
        DESCRIPTOR => Ok(Command::Query { query: Query::BufferDescriptor { there: id == 0 }, allocation }),
        ECHO => Ok(control(ControlRequest::ReadBuffer { echo: true, offset: 0 }, 0, allocation)),
        ECHO_DESCRIPTOR => Ok(Command::Query { query: Query::EchoBufferDescriptor, allocation }),
        _ => Err(Sense::invalid_field_in_cdb(1, Some(4))),
    }
}

/// WRITE BUFFER. Microcode does not come this way.
pub(super) fn write_buffer(cdb: &[u8]) -> Result<Command, Sense> {
    let (id, offset, list_bytes) = (cdb[2], be24(cdb, 3), be24(cdb, 6));
    let capacity = BUFFER_CAPACITY as u32;
    match cdb[1] & 0x1f {
        DATA if id != 0 => Err(Sense::invalid_field_in_cdb(2, None)),
        DATA if offset > capacity => Err(Sense::invalid_field_in_cdb(3, None)),
        DATA if list_bytes > capacity - offset => Err(Sense::invalid_field_in_cdb(6, None)),
        DATA => Ok(control(ControlRequest::WriteBuffer { echo: false, offset }, list_bytes, 0)),
        ECHO if list_bytes > capacity => Err(Sense::invalid_field_in_cdb(6, None)),
        ECHO => Ok(control(ControlRequest::WriteBuffer { echo: true, offset: 0 }, list_bytes, 0)),
        _ => Err(Sense::invalid_field_in_cdb(1, Some(4))),
    }
}

/// READ DEFECT DATA 10 and 12 (SBC-3): the lists are empty, whatever the format.
pub(super) fn read_defect_data(cdb: &[u8]) -> Result<Command, Sense> {
    const REQ_PLIST_GLIST_FORMAT: u8 = 0x1f;
    let (options_at, allocation) = match cdb[0] {
        opcode::READ_DEFECT_DATA_10 => (2, u32::from(be16(cdb, 7))),
        _ => (1, be32(cdb, 6)),
    };
    let options = cdb[options_at] & REQ_PLIST_GLIST_FORMAT;
    match options & 0b111 {
        0b110 | 0b111 => Err(Sense::invalid_field_in_cdb(options_at as u16, Some(2))), // vendor specific, reserved
        _ => Ok(Command::Query { query: Query::DefectList { options, long: options_at == 1 }, allocation }),
    }
}
