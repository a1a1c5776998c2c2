//! Parsers of the third-party copy commands (SPC-4).

use super::{Command, Query, unknown_service_action};
use crate::copy::receive::CopyQuery;
use crate::copy::{ExtendedCopy, HEADER_BYTES, LIST_BYTES_MAX};
use crate::wire::cdb::{be32, service_action};
use crate::wire::sense::Sense;

/// THIRD-PARTY COPY OUT: EXTENDED COPY(LID1). A list of length zero copies nothing, and is no error.
pub(super) fn third_party_copy_out(cdb: &[u8]) -> Result<Command, Sense> {
    if cdb[1] & 0x1f != service_action::EXTENDED_COPY_LID1 {
        return Err(unknown_service_action());
    }
    let list_bytes = be32(cdb, 10);
    match list_bytes as usize {
        0 | HEADER_BYTES..=LIST_BYTES_MAX => Ok(Command::ExtendedCopy(ExtendedCopy::new(list_bytes))),
        _ => Err(Sense::PARAMETER_LIST_LENGTH_ERROR),
    }
}

/// THIRD-PARTY COPY IN: the RECEIVE COPY commands.
pub(super) fn third_party_copy_in(cdb: &[u8]) -> Result<Command, Sense> {
    let list_id = cdb[2];
    let query = match cdb[1] & 0x1f {
        service_action::RECEIVE_COPY_STATUS_LID1 => CopyQuery::Status { list_id },
        service_action::RECEIVE_COPY_DATA_LID1 => CopyQuery::Data { list_id },
        service_action::RECEIVE_COPY_OPERATING_PARAMETERS => CopyQuery::OperatingParameters,
        service_action::RECEIVE_COPY_FAILURE_DETAILS_LID1 => CopyQuery::FailureDetails { list_id },
        _ => return Err(unknown_service_action()),
    };
    Ok(Command::Query { query: Query::ReceiveCopy(query), allocation: be32(cdb, 10) })
}
