//! REPORT SUPPORTED OPERATION CODES (SPC-4), from the table in lib.rs.

use crate::CommandInfo;
use crate::command::OpcodeQuery;
use crate::command_table;
use crate::protection;
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;

const TIMEOUTS_BYTES: u16 = 12;

pub(crate) fn put(query: OpcodeQuery, timeouts: bool, unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    match query {
        OpcodeQuery::All => put_all(timeouts, unit, bytes),
        OpcodeQuery::One { opcode, service_action } => {
            let info = command_table::supported(unit).find(|info| info.is(opcode, service_action));
            put_one(info, timeouts, unit, bytes);
        }
    }
}

/// All commands (SPC-4).
fn put_all(timeouts: bool, unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    const CTDP: u8 = 0x02;
    const SERVACTV: u8 = 0x01;
    bytes.put_be32(0);
    for info in command_table::supported(unit) {
        let flags = if timeouts { CTDP } else { 0 } | if info.service_action.is_some() { SERVACTV } else { 0 };
        bytes.put(&[info.opcode, 0]);
        bytes.put_be16(info.service_action.unwrap_or(0));
        bytes.put(&[0, flags]);
        bytes.put_be16(info.usage.len() as u16);
        if timeouts {
            put_timeouts(info, bytes);
        }
    }
    bytes.patch_be32(0, (bytes.len() - 4) as u32); // COMMAND DATA LENGTH
}

/// One command (SPC-4). What is not supported has neither usage data nor timeouts.
fn put_one(info: Option<&CommandInfo>, timeouts: bool, unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    const CTDP: u8 = 0x80;
    const NOT_SUPPORTED: u8 = 0b001;
    const AS_THE_STANDARD_SAYS: u8 = 0b011;
    bytes.put_u8(0);
    let Some(info) = info else {
        bytes.put_u8(NOT_SUPPORTED);
        return bytes.put_be16(0);
    };
    bytes.put_u8(AS_THE_STANDARD_SAYS | if timeouts { CTDP } else { 0 });
    bytes.put_be16(info.usage.len() as u16);
    // A PROTECT field that must be zero is none.
    let without_field = protection::has_field(info.opcode) && !unit.has_metadata();
    bytes.put(&[info.usage[0], info.usage[1] & if without_field { 0x1f } else { 0xff }]);
    bytes.put(&info.usage[2..]);
    if timeouts {
        put_timeouts(info, bytes);
    }
}

/// Command timeouts descriptor (SPC-4), in seconds; no nominal time is promised.
fn put_timeouts(info: &CommandInfo, bytes: &mut Bytes<'_>) {
    bytes.put_be16(TIMEOUTS_BYTES - 2);
    bytes.put_be16(0);
    bytes.put_be32(0);
    bytes.put_be32(info.timeout_seconds);
}
