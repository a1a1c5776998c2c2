//! What a command is for, as its CDB says.

use scsi::wire::cdb::{opcode, service_action};

/// Kinds of commands that are counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// READ.
    Read,
    /// WRITE, and what else puts data of the initiator on the medium once: WRITE AND VERIFY, WRITE ATOMIC, COMPARE AND WRITE, ORWRITE.
    Write,
    /// WRITE SAME.
    WriteSame,
    /// UNMAP.
    Unmap,
    /// SYNCHRONIZE CACHE.
    Flush,
    /// All others.
    Other,
}

impl Operation {
    /// Number of kinds.
    pub const COUNT: usize = Operation::ALL.len();

    /// All of them, each at the place of its number.
    pub const ALL: [Operation; 6] =
        [Operation::Read, Operation::Write, Operation::WriteSame, Operation::Unmap, Operation::Flush, Operation::Other];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::WriteSame => "write_same",
            Operation::Unmap => "unmap",
            Operation::Flush => "flush",
            Operation::Other => "other",
        }
    }

    /// What a CDB asks for; it may hold anything, of any length.
    #[inline]
    pub(crate) fn of(cdb: &[u8]) -> Operation {
        match cdb.first() {
            Some(&opcode::VARIABLE_LENGTH) => Operation::of_variable_length(cdb),
            Some(&code) => BY_CODE[usize::from(code)],
            None => Operation::Other,
        }
    }

    #[cold]
    fn of_variable_length(cdb: &[u8]) -> Operation {
        match cdb.get(8..10) {
            Some([0, service_action::READ_32]) => Operation::Read,
            Some([0, service_action::WRITE_32 | service_action::WRITE_AND_VERIFY_32 | service_action::ORWRITE_32]) => {
                Operation::Write
            }
            Some([0, service_action::WRITE_SAME_32]) => Operation::WriteSame,
            _ => Operation::Other,
        }
    }
}

/// What each operation code is for.
static BY_CODE: [Operation; 256] = {
    let mut table = [Operation::Other; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = of_code(code as u8);
        code += 1;
    }
    table
};

const fn of_code(code: u8) -> Operation {
    match code {
        opcode::READ_6 | opcode::READ_10 | opcode::READ_12 | opcode::READ_16 => Operation::Read,
        opcode::WRITE_6 | opcode::WRITE_10 | opcode::WRITE_12 | opcode::WRITE_16 => Operation::Write,
        opcode::WRITE_AND_VERIFY_10 | opcode::WRITE_AND_VERIFY_12 | opcode::WRITE_AND_VERIFY_16 => Operation::Write,
        opcode::WRITE_ATOMIC_16 | opcode::COMPARE_AND_WRITE | opcode::ORWRITE_16 => Operation::Write,
        opcode::WRITE_SAME_10 | opcode::WRITE_SAME_16 => Operation::WriteSame,
        opcode::UNMAP => Operation::Unmap,
        opcode::SYNCHRONIZE_CACHE_10 | opcode::SYNCHRONIZE_CACHE_16 => Operation::Flush,
        _ => Operation::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_stands_at_its_number() {
        for (number, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, number);
        }
    }

    #[test]
    fn the_code_decides_and_anything_may_come() {
        assert_eq!(Operation::of(&[]), Operation::Other);
        assert_eq!(Operation::of(&[opcode::TEST_UNIT_READY]), Operation::Other);
        assert_eq!(Operation::of(&[opcode::READ_10]), Operation::Read);
        assert_eq!(Operation::of(&[opcode::WRITE_16, 0]), Operation::Write);
        assert_eq!(Operation::of(&[opcode::UNMAP]), Operation::Unmap);
        assert_eq!(Operation::of(&[opcode::SYNCHRONIZE_CACHE_10]), Operation::Flush);
        assert_eq!(Operation::of(&[opcode::WRITE_SAME_16]), Operation::WriteSame);
        let long = |action: u8| {
            let mut cdb = [0; 32];
            (cdb[0], cdb[9]) = (opcode::VARIABLE_LENGTH, action);
            Operation::of(&cdb)
        };
        assert_eq!(long(service_action::READ_32), Operation::Read);
        assert_eq!(long(service_action::WRITE_32), Operation::Write);
        assert_eq!(long(service_action::VERIFY_32), Operation::Other);
        assert_eq!(Operation::of(&[opcode::VARIABLE_LENGTH; 9]), Operation::Other);
    }
}
