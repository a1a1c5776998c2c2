//! What the kernel's verdict on a command means to the initiator. Sans-IO.
//!
//! A device's own status and sense pass as they are. Where the command did not reach the device, or no answer came back,
//! there is only the adapter driver's host status, for which sense data is made here:
//!
//! | host status | becomes | because |
//! |---|---|---|
//! | NO_CONNECT, BAD_TARGET, TRANSPORT_FAILFAST | [`IoError::Gone`] | there is no device there (any more) |
//! | TIME_OUT | ABORTED COMMAND, 2Eh/02h COMMAND TIMEOUT DURING PROCESSING | the device may yet do it: the initiator decides |
//! | PARITY | ABORTED COMMAND, 47h/00h SCSI PARITY ERROR | worth another try |
//! | BUS_BUSY, ABORT, RESET, SOFT_ERROR, IMM_RETRY, REQUEUE, TRANSPORT_DISRUPTED, TRANSPORT_MARGINAL | ABORTED COMMAND, 00h/00h | worth another try |
//! | ALLOC_FAILURE | DATA PROTECT, 27h/07h SPACE ALLOCATION FAILED WRITE PROTECT | the kernel ate the sense that said so |
//! | MEDIUM_ERROR | MEDIUM ERROR, 11h/00h UNRECOVERED READ ERROR | as before |
//! | ERROR and all others | HARDWARE ERROR, 44h/00h INTERNAL TARGET FAILURE | what it says |

use crate::io::IoError;

/// Host status of Linux' SCSI midlayer (`DID_…`), as far as it says anything special.
#[allow(missing_docs, reason = "the names are the kernel's")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum HostStatus {
    Ok = 0x00,
    NoConnect = 0x01,
    BusBusy = 0x02,
    TimeOut = 0x03,
    BadTarget = 0x04,
    Abort = 0x05,
    Parity = 0x06,
    Error = 0x07,
    Reset = 0x08,
    SoftError = 0x0b,
    ImmRetry = 0x0c,
    Requeue = 0x0d,
    TransportDisrupted = 0x0e,
    TransportFailfast = 0x0f,
    AllocFailure = 0x12,
    MediumError = 0x13,
    TransportMarginal = 0x14,
}

impl HostStatus {
    const ALL: [HostStatus; 17] = [
        HostStatus::Ok,
        HostStatus::NoConnect,
        HostStatus::BusBusy,
        HostStatus::TimeOut,
        HostStatus::BadTarget,
        HostStatus::Abort,
        HostStatus::Parity,
        HostStatus::Error,
        HostStatus::Reset,
        HostStatus::SoftError,
        HostStatus::ImmRetry,
        HostStatus::Requeue,
        HostStatus::TransportDisrupted,
        HostStatus::TransportFailfast,
        HostStatus::AllocFailure,
        HostStatus::MediumError,
        HostStatus::TransportMarginal,
    ];

    fn of(raw: u16) -> HostStatus {
        HostStatus::ALL.into_iter().find(|status| *status as u16 == raw).unwrap_or(HostStatus::Error)
    }
}

/// A command's end as the sg driver tells it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Raw {
    /// SCSI status.
    pub(super) status: u8,
    pub(super) host_status: u16,
    /// Bytes that were not moved. Some adapters count more than there were, or less than none.
    pub(super) residual: i32,
    /// Sense data that lies in its place in the record.
    pub(super) sense_len: u8,
}

/// What goes into the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    pub(super) status: u8,
    pub(super) moved: u32,
    pub(super) sense: Sense,
}

/// Whose sense data it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sense {
    /// The device's, this many bytes.
    Device(u8),
    /// Ours.
    Made([u8; 18]),
}

pub(super) const CHECK_CONDITION: u8 = 0x02;
pub(super) const BUSY: u8 = 0x08;

/// Judges a command that was to move `data_len` bytes.
///
/// # Errors
/// [`IoError::Gone`].
pub(super) fn judge(raw: Raw, data_len: usize) -> Result<Verdict, IoError> {
    let host = HostStatus::of(raw.host_status);
    if raw.status != 0 || host == HostStatus::Ok {
        let unmoved = u32::try_from(raw.residual).unwrap_or(0);
        let moved = (data_len as u32).saturating_sub(unmoved);
        // Without CHECK CONDITION there may be sense, too, which SRP has no place for.
        let sense_len = if raw.status == CHECK_CONDITION { raw.sense_len } else { 0 };
        return Ok(Verdict { status: raw.status, moved, sense: Sense::Device(sense_len) });
    }
    let (key, asc, ascq) = match host {
        HostStatus::NoConnect | HostStatus::BadTarget | HostStatus::TransportFailfast => return Err(IoError::Gone),
        HostStatus::TimeOut => (0x0b, 0x2e, 0x02),
        HostStatus::Parity => (0x0b, 0x47, 0x00),
        HostStatus::BusBusy
        | HostStatus::Abort
        | HostStatus::Reset
        | HostStatus::SoftError
        | HostStatus::ImmRetry
        | HostStatus::Requeue
        | HostStatus::TransportDisrupted
        | HostStatus::TransportMarginal => (0x0b, 0x00, 0x00),
        HostStatus::AllocFailure => (0x07, 0x27, 0x07),
        HostStatus::MediumError => (0x03, 0x11, 0x00),
        HostStatus::Ok | HostStatus::Error => (0x04, 0x44, 0x00),
    };
    Ok(Verdict { status: CHECK_CONDITION, moved: 0, sense: Sense::Made(fixed_sense(key, asc, ascq)) })
}

/// Fixed format (SPC-4).
fn fixed_sense(key: u8, asc: u8, ascq: u8) -> [u8; 18] {
    let mut sense = [0; 18];
    (sense[0], sense[2], sense[7], sense[12], sense[13]) = (0x70, key, 10, asc, ascq);
    sense
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(host_status: HostStatus) -> (u8, u8, u8) {
        let raw = Raw { host_status: host_status as u16, ..Raw::default() };
        match judge(raw, 512) {
            Ok(Verdict { status: CHECK_CONDITION, moved: 0, sense: Sense::Made(sense) }) => {
                (sense[2], sense[12], sense[13])
            }
            other => panic!("{host_status:?}: {other:?}"),
        }
    }

    #[test]
    fn what_did_not_reach_the_device_is_told_apart() {
        assert_eq!(made(HostStatus::TimeOut), (0x0b, 0x2e, 0x02));
        assert_eq!(made(HostStatus::Reset), (0x0b, 0, 0));
        assert_eq!(made(HostStatus::Error), (0x04, 0x44, 0));
        assert_eq!(made(HostStatus::MediumError), (0x03, 0x11, 0));
        for gone in [HostStatus::NoConnect, HostStatus::BadTarget, HostStatus::TransportFailfast] {
            assert_eq!(judge(Raw { host_status: gone as u16, ..Raw::default() }, 0), Err(IoError::Gone));
        }
        let unknown = judge(Raw { host_status: 0x7777, ..Raw::default() }, 0).expect("a verdict");
        assert_eq!(unknown.sense, Sense::Made(fixed_sense(0x04, 0x44, 0)));
    }

    #[test]
    fn a_devices_own_status_passes_whatever_the_adapter_says() {
        let raw = Raw { status: 2, host_status: HostStatus::Error as u16, residual: 100, sense_len: 20 };
        assert_eq!(judge(raw, 512), Ok(Verdict { status: 2, moved: 412, sense: Sense::Device(20) }));
        let conflict = Raw { status: 0x18, sense_len: 20, ..Raw::default() };
        assert_eq!(judge(conflict, 0), Ok(Verdict { status: 0x18, moved: 0, sense: Sense::Device(0) }));
    }

    proptest! {
        #[test]
        fn never_more_is_moved_than_there_was(status in any::<u8>(), host in any::<u16>(), residual in any::<i32>(), sense_len in 0..97_u8, len in 0_usize..1 << 20) {
            if let Ok(verdict) = judge(Raw { status, host_status: host, residual, sense_len }, len) {
                prop_assert!(verdict.moved as usize <= len);
                prop_assert!(verdict.status == status || verdict.status == CHECK_CONDITION);
            }
        }
    }
}
