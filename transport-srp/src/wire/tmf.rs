//! SRP_TSK_MGMT: one task management function (SRP r16a, 6.7; SAM-5, 7).
//!
//! Linux sends ABORT TASK on the channel of the command, and LOGICAL UNIT RESET always on its first channel. The answer
//! is an SRP_RSP with response data, see `rsp.rs`.

use super::field::Field;
use super::{IuError, Solicited, Tag, opcode};

/// Length of an SRP_TSK_MGMT in bytes.
pub const TASK_MANAGEMENT_LEN: usize = 48;

mod field {
    use super::Field;
    pub const OPCODE: Field<0, 1> = Field;
    pub const SOLICITED: Field<1, 1> = Field;
    pub const TAG: Field<8, 8> = Field;
    pub const LUN: Field<20, 8> = Field;
    pub const FUNCTION: Field<30, 1> = Field;
    pub const TASK_TAG: Field<32, 8> = Field;
}

/// A parsed SRP_TSK_MGMT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskManagement {
    /// Comes back in the response.
    pub tag: Tag,
    /// The logical unit, as SAM's eight-byte structure.
    pub lun: [u8; 8],
    /// What to do; `Err` holds a code that SRP does not define, to be answered with [`TmfStatus::NotSupported`].
    pub function: Result<TmfFunction, u8>,
    /// The command to abort; meaningful for ABORT TASK only.
    pub task_tag: Tag,
    /// Which answers shall be solicited.
    pub solicited: Solicited,
}

impl TaskManagement {
    /// Reads an SRP_TSK_MGMT. Errors: [`IuError::Malformed`] if it is too short.
    pub(super) fn parse(iu: &[u8]) -> Result<TaskManagement, IuError> {
        let Some(fixed) = iu.first_chunk::<TASK_MANAGEMENT_LEN>() else {
            return Err(IuError::Malformed { iu: "SRP_TSK_MGMT", len: iu.len(), minimum: TASK_MANAGEMENT_LEN });
        };
        Ok(TaskManagement {
            tag: Tag(field::TAG.get(fixed)),
            lun: field::LUN.get(fixed),
            function: TmfFunction::try_from(field::FUNCTION.read(fixed)),
            task_tag: Tag(field::TASK_TAG.get(fixed)),
            solicited: Solicited::from_byte(field::SOLICITED.read(fixed)),
        })
    }

    /// The IU, for initiators.
    pub fn emit(&self) -> [u8; TASK_MANAGEMENT_LEN] {
        let mut iu = [0; TASK_MANAGEMENT_LEN];
        field::OPCODE.write(&mut iu, opcode::TSK_MGMT);
        field::SOLICITED.write(&mut iu, self.solicited.to_byte());
        field::TAG.put(&mut iu, self.tag.0);
        field::LUN.put(&mut iu, self.lun);
        field::FUNCTION.write(&mut iu, self.function.map_or_else(|code| code, |function| function as u8));
        field::TASK_TAG.put(&mut iu, self.task_tag.0);
        iu
    }
}

/// Task management functions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TmfFunction {
    /// ABORT TASK: one command.
    AbortTask = 0x01,
    /// ABORT TASK SET: all commands of this nexus on the logical unit.
    AbortTaskSet = 0x02,
    /// CLEAR TASK SET: all commands of every nexus on the logical unit.
    ClearTaskSet = 0x04,
    /// LOGICAL UNIT RESET.
    LunReset = 0x08,
    /// CLEAR ACA.
    ClearAca = 0x40,
}

impl TryFrom<u8> for TmfFunction {
    type Error = u8;

    fn try_from(code: u8) -> Result<TmfFunction, u8> {
        match code {
            0x01 => Ok(TmfFunction::AbortTask),
            0x02 => Ok(TmfFunction::AbortTaskSet),
            0x04 => Ok(TmfFunction::ClearTaskSet),
            0x08 => Ok(TmfFunction::LunReset),
            0x40 => Ok(TmfFunction::ClearAca),
            other => Err(other),
        }
    }
}

/// The answer to a task management function: the fourth byte of the response data (SRP r16a, 6.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TmfStatus {
    /// Function complete; also for a task that is no longer there, as SAM wants.
    Complete = 0x00,
    /// A field of the request is invalid.
    FieldsInvalid = 0x02,
    /// Function not supported.
    NotSupported = 0x04,
    /// Function failed. Linux' LUN reset escalates on any status but complete; its abort looks at none.
    Failed = 0x05,
}

impl TryFrom<u8> for TmfStatus {
    type Error = u8;

    fn try_from(code: u8) -> Result<TmfStatus, u8> {
        match code {
            0x00 => Ok(TmfStatus::Complete),
            0x02 => Ok(TmfStatus::FieldsInvalid),
            0x04 => Ok(TmfStatus::NotSupported),
            0x05 => Ok(TmfStatus::Failed),
            other => Err(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::golden;

    #[test]
    fn abort_task_as_linux_sends_it() {
        let iu = golden::bytes(golden::ABORT_TASK);
        let parsed = TaskManagement::parse(&iu).unwrap();
        let expected = TaskManagement {
            tag: Tag([1, 0, 0, 0x80, 0, 0, 0, 0]),
            lun: [0, 5, 0, 0, 0, 0, 0, 0],
            function: Ok(TmfFunction::AbortTask),
            task_tag: Tag([5, 0, 1, 0, 0, 0, 0, 0]),
            solicited: Solicited::default(),
        };
        assert_eq!(parsed, expected);
        assert_eq!(parsed.emit(), *iu);
    }

    #[test]
    fn lun_reset_as_linux_sends_it() {
        let iu = golden::bytes(golden::LUN_RESET);
        let parsed = TaskManagement::parse(&iu).unwrap();
        assert_eq!(parsed.function, Ok(TmfFunction::LunReset));
        assert_eq!(parsed.task_tag, Tag([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]));
        assert_eq!(parsed.emit(), *iu);
    }

    #[test]
    fn an_undefined_function_keeps_its_code() {
        let mut iu = golden::bytes(golden::LUN_RESET);
        iu[30] = 0x10;
        assert_eq!(TaskManagement::parse(&iu).unwrap().function, Err(0x10));
    }

    #[test]
    fn a_short_request_has_no_tag_to_trust() {
        let iu = golden::bytes(golden::LUN_RESET);
        let error = TaskManagement::parse(&iu[..47]).unwrap_err();
        assert_eq!(error, IuError::Malformed { iu: "SRP_TSK_MGMT", len: 47, minimum: 48 });
    }

    proptest! {
        #[test]
        fn codes_are_their_own_inverse(code: u8) {
            prop_assert_eq!(TmfFunction::try_from(code).map_or_else(|code| code, |function| function as u8), code);
            prop_assert_eq!(TmfStatus::try_from(code).map_or_else(|code| code, |status| status as u8), code);
        }

        #[test]
        fn emit_is_the_inverse_of_parse(fields: [u8; 40], more in prop::collection::vec(any::<u8>(), 0..20)) {
            // Reserved bytes are ignored and emitted as zero, so that the second reading must equal the first.
            let iu: Vec<u8> = fields.iter().copied().chain([0; 8]).chain(more).collect();
            let parsed = TaskManagement::parse(&iu).unwrap();
            prop_assert_eq!(TaskManagement::parse(&parsed.emit()), Ok(parsed));
        }
    }
}
