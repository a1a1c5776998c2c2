//! Builds the response of a command: status, sense, residual, credits (T10 SRP r16a, SRP_RSP). Sans-IO.

use scsi::{Ending, ScsiStatus};

use crate::wire::Tag;
use crate::wire::cmd::Command;
use crate::wire::rsp::{Residual, Residuals, Response, ResponseBody};
use crate::wire::tmf::TmfStatus;

/// What is to be answered, kept until buffers and send slots are there.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A command ended.
    Ended(Ending),
    /// A command of another nexus was aborted (SAM-5: TAS).
    TaskAborted,
    /// A task management function ended.
    Management(TmfStatus),
}

/// How many bytes of data-in go to the initiator: what the command returned, cut to the initiator's buffer.
pub(crate) fn data_in_moved(reply: &Reply, command: &Command) -> u32 {
    match reply {
        Reply::Ended(Ending::Good { data_in } | Ending::Device { data_in, .. }) => {
            u32::try_from(data_in.len()).unwrap_or(u32::MAX).min(command.data_in.len())
        }
        _ => 0,
    }
}

/// Writes the response of a command into `out` and returns its length. `data_out_len` is what the CDB takes from the initiator,
/// `device_sense` what a SCSI device said, `descriptor_sense` the D_SENSE bit of the unit's control mode page.
pub(crate) fn command(
    reply: &Reply,
    command: &Command,
    data_out_len: u32,
    device_sense: &[u8],
    descriptor_sense: impl FnOnce() -> bool,
    delta: i32,
    out: &mut [u8],
) -> usize {
    let mut room = [0; scsi::limits::SENSE_BYTES_MAX];
    let (status, sense) = match reply {
        Reply::Ended(Ending::Good { .. }) => (0, &[][..]),
        Reply::Ended(Ending::CheckCondition(found)) => {
            let len = found.write(descriptor_sense(), &mut room);
            (ScsiStatus::CheckCondition as u8, &room[..len])
        }
        Reply::Ended(Ending::Status(status)) => (*status as u8, &[][..]),
        Reply::Ended(Ending::Device { status, .. }) => (*status, device_sense),
        Reply::TaskAborted | Reply::Management(_) => (ScsiStatus::TaskAborted as u8, &[][..]),
    };
    let residuals = residuals(reply, command, data_out_len);
    let solicited = if status == 0 { command.solicited.on_success } else { command.solicited.on_failure };
    let body = ResponseBody::Status { status, residuals, sense };
    Response { tag: command.tag, request_limit_delta: delta, solicited, body }.emit(out)
}

/// Writes a response that knows of its command only the tag and what notification it wished for; returns its length.
pub(crate) fn bare(reply: &Reply, tag: Tag, solicited: bool, delta: i32, out: &mut [u8]) -> usize {
    let (mut sense, mut sense_len) = ([0; scsi::limits::SENSE_BYTES_MAX], 0);
    let status = match reply {
        Reply::Ended(Ending::CheckCondition(found)) => {
            sense_len = found.write(false, &mut sense);
            ScsiStatus::CheckCondition
        }
        _ => ScsiStatus::TaskAborted,
    } as u8;
    let body = ResponseBody::Status { status, residuals: Residuals::default(), sense: &sense[..sense_len] };
    Response { tag, request_limit_delta: delta, solicited, body }.emit(out)
}

/// Writes the response of a task management function into `out` and returns its length.
pub(crate) fn management(status: TmfStatus, tag: Tag, solicited: bool, delta: i32, out: &mut [u8]) -> usize {
    let body = ResponseBody::TaskManagement(status);
    Response { tag, request_limit_delta: delta, solicited, body }.emit(out)
}

/// Buffer length against what the command moved. A command that failed moved nothing that counts, so its whole buffer is left.
fn residuals(reply: &Reply, command: &Command, data_out_len: u32) -> Residuals {
    let (taken, returned) = match reply {
        Reply::Ended(Ending::Good { data_in }) => (data_out_len, u32::try_from(data_in.len()).unwrap_or(u32::MAX)),
        // A device says itself how much it moved, also of a command that failed.
        Reply::Ended(Ending::Device { data_in, taken, .. }) => {
            (*taken, u32::try_from(data_in.len()).unwrap_or(u32::MAX))
        }
        _ => (0, 0),
    };
    Residuals {
        data_out: Residual::of(command.data_out.len(), u64::from(taken)),
        data_in: Residual::of(command.data_in.len(), u64::from(returned)),
    }
}
