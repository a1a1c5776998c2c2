//! What a trace tells: events as people see them, and as the few words that a reactor writes.
//!
//! ```text
//!  word 0   when, in nanoseconds of the reactors' clock
//!  word 1   session (high half) and channel (low half); 0: none
//!  word 2   tag, as its eight bytes lie in memory
//!  word 3   kind (bits 0-7), a small number (8-15), LUN or another number of 16 bits (16-31), a number of 32 bits (32-63)
//!  word 4   and 5: by kind
//! ```

use bdev::{IoError, Op};

use crate::session::{ChannelId, SessionId};
use crate::wire::{PortId, Tag};

/// Words of an event's record.
pub(crate) const WORDS: usize = 6;

/// Stands for a LUN that no unit can have.
pub(crate) const NO_LUN: u16 = u16::MAX;

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceEvent {
    /// When: nanoseconds of the clock that all reactors share, as their round began.
    pub time_ns: u64,
    /// Index of the reactor that saw it; `None`: the control thread.
    pub reactor: Option<usize>,
    /// The session's number, if it has one.
    pub session: Option<u64>,
    /// The channel's number, if it has one.
    pub channel: Option<u64>,
    /// What it was.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// An SRP_CMD arrived.
    Received {
        /// Names the command until its response.
        tag: Tag,
        /// The LUN; `None`: not one that a unit can have.
        lun: Option<u16>,
        /// The first 16 bytes of its CDB.
        cdb: [u8; 16],
        /// Length of the initiator's data buffer in bytes.
        data_bytes: u32,
    },
    /// An operation of a command was handed to a device.
    Submitted {
        /// The command's.
        tag: Tag,
        /// The operation.
        operation: &'static str,
        /// First block.
        lba: u64,
        /// Number of blocks.
        blocks: u64,
    },
    /// The device was done with it.
    Done {
        /// The command's.
        tag: Tag,
        /// How it ended.
        result: Result<(), IoError>,
    },
    /// The response was sent.
    Answered {
        /// The command's.
        tag: Tag,
        /// SCSI status.
        status: u8,
        /// Sense key, additional sense code and its qualifier, if there is sense data.
        sense: Option<(u8, u8, u8)>,
        /// Bytes of data that were moved.
        data_bytes: u32,
        /// Since the command arrived.
        duration_ns: u64,
    },
    /// The response told the initiator of a unit attention.
    UnitAttention {
        /// The tag of the command that was answered with it.
        tag: Tag,
        /// The LUN.
        lun: Option<u16>,
        /// Additional sense code and its qualifier (SPC-4).
        code: (u8, u8),
    },
    /// An SRP_TSK_MGMT arrived.
    TaskManagement {
        /// Its own tag.
        tag: Tag,
        /// The LUN.
        lun: Option<u16>,
        /// The function's code (SRP r16a, 6.7).
        function: u8,
        /// The command to be aborted, if the function is ABORT TASK.
        task_tag: Tag,
    },
    /// Its answer was sent.
    TaskManagementAnswered {
        /// The request's.
        tag: Tag,
        /// The response code (SRP r16a, 6.9).
        response: u8,
        /// Since the request arrived.
        duration_ns: u64,
    },
    /// A command was aborted: by task management, by another command's end, or by PREEMPT AND ABORT.
    Aborted {
        /// The command's.
        tag: Tag,
        /// Its initiator is told by a response with status TASK ABORTED.
        answered: bool,
    },
    /// The reactor took a channel over.
    ChannelStarted,
    /// The initiator sent SRP_I_LOGOUT.
    Logout,
    /// The channel cannot go on.
    ChannelFailed {
        /// Why.
        reason: ChannelDeath,
    },
    /// The channel's last buffer came back.
    ChannelStopped,
    /// A login was accepted.
    Login {
        /// The initiator port.
        initiator: PortId,
    },
    /// A login was refused.
    LoginRefused {
        /// The initiator port, if the request could be read.
        initiator: PortId,
        /// The reason code of SRP_LOGIN_REJ.
        reason: u32,
    },
    /// The session's last channel is gone.
    SessionEnded {
        /// The initiator port.
        initiator: PortId,
    },
}

/// Why a channel cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ChannelDeath {
    /// RDMA work failed.
    Rdma,
    /// The connection ended: work that was posted came back unused.
    Disconnected,
    /// The initiator sent what cannot be parsed.
    Malformed,
    /// The initiator sent more than it has credits for.
    CreditOverrun,
}

/// Session and channel in one word. Each is cut to 32 bits, which is enough for four billion logins.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Whose(pub(crate) u64);

impl Whose {
    pub(crate) fn new(session: SessionId, channel: ChannelId) -> Whose {
        Whose(session.0 << 32 | channel.0 & 0xffff_ffff)
    }

    /// For a probe.
    #[inline]
    pub(crate) fn session_bits(self) -> u64 {
        self.0 >> 32
    }

    /// For a probe.
    #[inline]
    pub(crate) fn channel_bits(self) -> u64 {
        self.0 & 0xffff_ffff
    }

    #[inline]
    pub(crate) fn session(self) -> Option<u64> {
        Some(self.session_bits()).filter(|&session| session > 0)
    }

    #[inline]
    pub(crate) fn channel(self) -> Option<u64> {
        Some(self.channel_bits()).filter(|&channel| channel > 0)
    }
}

/// Kinds, as word 3 has them.
mod code {
    pub(super) const RECEIVED: u8 = 1;
    pub(super) const SUBMITTED: u8 = 2;
    pub(super) const DONE: u8 = 3;
    pub(super) const ANSWERED: u8 = 4;
    pub(super) const UNIT_ATTENTION: u8 = 5;
    pub(super) const TASK_MANAGEMENT: u8 = 6;
    pub(super) const TASK_MANAGEMENT_ANSWERED: u8 = 7;
    pub(super) const ABORTED: u8 = 8;
    pub(super) const CHANNEL_STARTED: u8 = 9;
    pub(super) const LOGOUT: u8 = 10;
    pub(super) const CHANNEL_FAILED: u8 = 11;
    pub(super) const CHANNEL_STOPPED: u8 = 12;
    pub(super) const LOGIN: u8 = 13;
    pub(super) const LOGIN_REFUSED: u8 = 14;
    pub(super) const SESSION_ENDED: u8 = 15;
}

/// Those of a device, as they are numbered.
const ERRORS: [IoError; 7] = [
    IoError::OutOfRange,
    IoError::WriteProtected,
    IoError::NoSpace,
    IoError::Medium,
    IoError::Gone,
    IoError::Unsupported,
    IoError::Failed,
];

/// Operations of devices, by [`operation_code`].
const OPERATIONS: [&str; 9] =
    ["read", "write", "write fua", "flush", "unmap", "write zeroes", "write zeroes fua", "LBA status", "SCSI"];

#[inline]
fn operation_code(op: Op) -> u8 {
    match op {
        Op::Read => 0,
        Op::Write { fua } => 1 + u8::from(fua),
        Op::Flush => 3,
        Op::Unmap => 4,
        Op::WriteZeroes { fua, .. } => 5 + u8::from(fua),
        Op::LbaStatus => 7,
        Op::Scsi { .. } => 8,
    }
}

#[inline]
fn word_3(kind: u8, small: u8, short: u16, long: u32) -> u64 {
    u64::from(kind) | u64::from(small) << 8 | u64::from(short) << 16 | u64::from(long) << 32
}

/// The tag as a word.
#[inline]
pub(crate) fn tag_word(tag: Tag) -> u64 {
    u64::from_ne_bytes(tag.0)
}

/// Words 3 to 5 of each kind. What makes the others stands at the callers, which have them at hand.
pub(crate) mod words {
    use super::*;

    #[inline]
    pub(crate) fn received(lun: u16, data_bytes: u32, cdb: [u64; 2]) -> [u64; 3] {
        [word_3(code::RECEIVED, 0, lun, data_bytes), cdb[0], cdb[1]]
    }

    #[inline]
    pub(crate) fn submitted(op: Op, lba: u64, blocks: u64) -> [u64; 3] {
        [word_3(code::SUBMITTED, operation_code(op), 0, 0), lba, blocks]
    }

    #[inline]
    pub(crate) fn done(result: Result<(), IoError>) -> [u64; 3] {
        [word_3(code::DONE, result.err().map_or(0, |error| error as u8 + 1), 0, 0), 0, 0]
    }

    #[inline]
    pub(crate) fn answered(status: u8, sense: Sense, data_bytes: u32, duration_ns: u64) -> [u64; 3] {
        [word_3(code::ANSWERED, status, 0, data_bytes), duration_ns, sense.0.into()]
    }

    pub(crate) fn unit_attention(lun: u16, sense: Sense) -> [u64; 3] {
        [word_3(code::UNIT_ATTENTION, 0, lun, sense.0), 0, 0]
    }

    pub(crate) fn task_management(lun: u16, function: u8, task_tag: Tag) -> [u64; 3] {
        [word_3(code::TASK_MANAGEMENT, function, lun, 0), tag_word(task_tag), 0]
    }

    pub(crate) fn task_management_answered(response: u8, duration_ns: u64) -> [u64; 3] {
        [word_3(code::TASK_MANAGEMENT_ANSWERED, response, 0, 0), duration_ns, 0]
    }

    pub(crate) fn aborted(answered: bool) -> [u64; 3] {
        [word_3(code::ABORTED, answered.into(), 0, 0), 0, 0]
    }

    pub(crate) fn channel_started() -> [u64; 3] {
        [word_3(code::CHANNEL_STARTED, 0, 0, 0), 0, 0]
    }

    pub(crate) fn logout() -> [u64; 3] {
        [word_3(code::LOGOUT, 0, 0, 0), 0, 0]
    }

    pub(crate) fn channel_failed(reason: ChannelDeath) -> [u64; 3] {
        [word_3(code::CHANNEL_FAILED, reason as u8, 0, 0), 0, 0]
    }

    pub(crate) fn channel_stopped() -> [u64; 3] {
        [word_3(code::CHANNEL_STOPPED, 0, 0, 0), 0, 0]
    }

    pub(crate) fn login(initiator: PortId) -> [u64; 3] {
        [word_3(code::LOGIN, 0, 0, 0), initiator.id_ext(), initiator.ioc_guid()]
    }

    pub(crate) fn login_refused(initiator: PortId, reason: u32) -> [u64; 3] {
        [word_3(code::LOGIN_REFUSED, 0, 0, reason), initiator.id_ext(), initiator.ioc_guid()]
    }

    pub(crate) fn session_ended(initiator: PortId) -> [u64; 3] {
        [word_3(code::SESSION_ENDED, 0, 0, 0), initiator.id_ext(), initiator.ioc_guid()]
    }
}

/// Sense key and codes in 32 bits, with a one above them if there are any.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Sense(pub(crate) u32);

impl Sense {
    #[inline]
    pub(crate) fn new(key: u8, code: u8, qualifier: u8) -> Sense {
        Sense(1 << 24 | u32::from(key) << 16 | u32::from(code) << 8 | u32::from(qualifier))
    }

    /// Of sense data in fixed or descriptor form (SPC-4, 4.5).
    pub(crate) fn of_data(data: &[u8]) -> Sense {
        let byte = |at: usize| data.get(at).copied().unwrap_or_default();
        match byte(0) & 0x7f {
            0x70 | 0x71 => Sense::new(byte(2) & 0x0f, byte(12), byte(13)),
            0x72 | 0x73 => Sense::new(byte(1) & 0x0f, byte(2), byte(3)),
            _ => Sense::default(),
        }
    }

    #[inline]
    pub(crate) fn is_unit_attention(self) -> bool {
        self.0 >> 16 == 0x106
    }

    pub(crate) fn parts(self) -> Option<(u8, u8, u8)> {
        let [some, key, code, qualifier] = self.0.to_be_bytes();
        (some > 0).then_some((key, code, qualifier))
    }
}

impl TraceEvent {
    /// From a record; `None`: of no kind that there is.
    pub(crate) fn parse(record: [u64; WORDS], reactor: Option<usize>) -> Option<TraceEvent> {
        let [time_ns, whose, tag, word, first, second] = record;
        let whose = Whose(whose);
        let (session, channel) = (whose.session(), whose.channel());
        let (tag, small, short, long) = (Tag(tag.to_ne_bytes()), (word >> 8) as u8, (word >> 16) as u16, word >> 32);
        let long = long as u32;
        let lun = Some(short).filter(|&lun| lun != NO_LUN);
        let initiator = PortId::new(first, second);
        let kind = match word as u8 {
            code::RECEIVED => EventKind::Received { tag, lun, cdb: cdb_bytes([first, second]), data_bytes: long },
            code::SUBMITTED => {
                let operation = OPERATIONS.get(usize::from(small))?;
                EventKind::Submitted { tag, operation, lba: first, blocks: second }
            }
            code::DONE => {
                let error = || ERRORS.get(usize::from(small - 1)).copied().unwrap_or(IoError::Failed);
                EventKind::Done { tag, result: if small == 0 { Ok(()) } else { Err(error()) } }
            }
            code::ANSWERED => {
                let sense = Sense(second as u32).parts();
                EventKind::Answered { tag, status: small, sense, data_bytes: long, duration_ns: first }
            }
            code::UNIT_ATTENTION => {
                let (_, code, qualifier) = Sense(long).parts().unwrap_or_default();
                EventKind::UnitAttention { tag, lun, code: (code, qualifier) }
            }
            code::TASK_MANAGEMENT => {
                EventKind::TaskManagement { tag, lun, function: small, task_tag: Tag(first.to_ne_bytes()) }
            }
            code::TASK_MANAGEMENT_ANSWERED => {
                EventKind::TaskManagementAnswered { tag, response: small, duration_ns: first }
            }
            code::ABORTED => EventKind::Aborted { tag, answered: small != 0 },
            code::CHANNEL_STARTED => EventKind::ChannelStarted,
            code::LOGOUT => EventKind::Logout,
            code::CHANNEL_FAILED => EventKind::ChannelFailed { reason: ChannelDeath::from_code(small)? },
            code::CHANNEL_STOPPED => EventKind::ChannelStopped,
            code::LOGIN => EventKind::Login { initiator },
            code::LOGIN_REFUSED => EventKind::LoginRefused { initiator, reason: long },
            code::SESSION_ENDED => EventKind::SessionEnded { initiator },
            _ => return None,
        };
        Some(TraceEvent { time_ns, reactor, session, channel, kind })
    }
}

impl ChannelDeath {
    fn from_code(code: u8) -> Option<ChannelDeath> {
        let all =
            [ChannelDeath::Rdma, ChannelDeath::Disconnected, ChannelDeath::Malformed, ChannelDeath::CreditOverrun];
        all.into_iter().find(|reason| *reason as u8 == code)
    }
}

/// The first 16 bytes of a CDB as two words.
#[inline]
pub(crate) fn cdb_words(cdb: &[u8]) -> [u64; 2] {
    let Some((first, rest)) = cdb.split_first_chunk() else { return [0; 2] };
    [u64::from_ne_bytes(*first), rest.first_chunk().map_or(0, |second| u64::from_ne_bytes(*second))]
}

/// The reverse.
pub(crate) fn cdb_bytes(words: [u64; 2]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&words[0].to_ne_bytes());
    bytes[8..].copy_from_slice(&words[1].to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag([1, 2, 3, 4, 5, 6, 7, 8]);

    fn parse(words: [u64; 3]) -> Option<EventKind> {
        let whose = Whose::new(SessionId(3), ChannelId(5)).0;
        let record = [77, whose, tag_word(TAG), words[0], words[1], words[2]];
        let event = TraceEvent::parse(record, Some(2))?;
        assert_eq!((event.time_ns, event.reactor, event.session, event.channel), (77, Some(2), Some(3), Some(5)));
        Some(event.kind)
    }

    #[test]
    fn what_was_written_is_what_is_told() {
        let cdb = [0x2a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        assert_eq!(
            parse(words::received(9, 4096, cdb_words(&cdb))),
            Some(EventKind::Received { tag: TAG, lun: Some(9), cdb, data_bytes: 4096 })
        );
        assert_eq!(
            parse(words::submitted(Op::Write { fua: true }, u64::MAX, 1 << 40)),
            Some(EventKind::Submitted { tag: TAG, operation: "write fua", lba: u64::MAX, blocks: 1 << 40 })
        );
        for result in ERRORS.map(Err).into_iter().chain([Ok(())]) {
            assert_eq!(parse(words::done(result)), Some(EventKind::Done { tag: TAG, result }));
        }
        let sense = Sense::new(6, 0x29, 3);
        assert_eq!(
            parse(words::answered(2, sense, 512, 1 << 50)),
            Some(EventKind::Answered {
                tag: TAG,
                status: 2,
                sense: Some((6, 0x29, 3)),
                data_bytes: 512,
                duration_ns: 1 << 50
            })
        );
        assert_eq!(
            parse(words::unit_attention(NO_LUN, sense)),
            Some(EventKind::UnitAttention { tag: TAG, lun: None, code: (0x29, 3) })
        );
        assert_eq!(
            parse(words::task_management(1, 8, Tag([9; 8]))),
            Some(EventKind::TaskManagement { tag: TAG, lun: Some(1), function: 8, task_tag: Tag([9; 8]) })
        );
        let reason = ChannelDeath::CreditOverrun;
        assert_eq!(parse(words::channel_failed(reason)), Some(EventKind::ChannelFailed { reason }));
        let initiator = PortId::new(u64::MAX, 7);
        assert_eq!(
            parse(words::login_refused(initiator, 0x1_0006)),
            Some(EventKind::LoginRefused { initiator, reason: 0x1_0006 })
        );
        assert_eq!(parse([0, 0, 0]), None, "what was never written");
    }

    #[test]
    fn sense_is_read_from_both_forms() {
        let mut fixed = [0; 18];
        (fixed[0], fixed[2], fixed[12], fixed[13]) = (0xf0, 0x26, 0x29, 0x01);
        assert_eq!(Sense::of_data(&fixed).parts(), Some((6, 0x29, 1)));
        assert!(Sense::of_data(&fixed).is_unit_attention());
        assert_eq!(Sense::of_data(&[0x72, 5, 0x24, 0]).parts(), Some((5, 0x24, 0)));
        assert_eq!(Sense::of_data(&[]).parts(), None);
        assert_eq!(Sense::new(0, 0, 0).parts(), Some((0, 0, 0)));
    }
}
