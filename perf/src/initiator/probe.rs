//! The first commands on a unit: unit attentions are taken until it is ready, then it is asked for its size.

use super::answer::{Answer, Verdict};
use super::cdb::{self, Cdb};

/// Bytes of READ CAPACITY(16)'s answer that are asked for, as Linux does.
pub const CAPACITY_BYTES: u32 = 32;

/// TEST UNIT READYs before a unit is given up: one per unit attention, of which a new session may find a few.
const TRIES_MAX: u32 = 16;

/// The size of a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// Logical blocks.
    pub blocks: u64,
    /// Bytes of each.
    pub block_bytes: u32,
}

/// Where the conversation with the unit stands.
#[derive(Debug)]
pub struct Probe {
    asking: Asking,
    tries: u32,
}

#[derive(Clone, Copy, Debug)]
enum Asking {
    Ready,
    Capacity,
}

/// What to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Send this command, with a data-in buffer of this many bytes.
    Send(Cdb, u32),
    /// The unit answered everything.
    Done(Capacity),
    /// It will not do, and why.
    Failed(String),
}

impl Probe {
    /// Before the first command.
    pub fn new() -> Probe {
        Probe { asking: Asking::Ready, tries: 0 }
    }

    /// The command to send first.
    pub fn start(&self) -> Step {
        Step::Send(cdb::test_unit_ready(), 0)
    }

    /// Takes an answer and the data-in that came with it.
    pub fn on_answer(&mut self, answer: &Answer, data: &[u8]) -> Step {
        self.tries += 1;
        match (self.asking, answer.verdict()) {
            (_, Verdict::Again) if self.tries < TRIES_MAX => self.resend(),
            (Asking::Ready, Verdict::Good) => {
                self.asking = Asking::Capacity;
                self.resend()
            }
            (Asking::Capacity, Verdict::Good) => Capacity::parse(data).map_or_else(Step::Failed, Step::Done),
            (Asking::Ready, _) => Step::Failed(format!("TEST UNIT READY: {answer}: check --lun")),
            (Asking::Capacity, _) => Step::Failed(format!("READ CAPACITY(16): {answer}: is it a disk?")),
        }
    }

    fn resend(&self) -> Step {
        match self.asking {
            Asking::Ready => self.start(),
            Asking::Capacity => Step::Send(cdb::read_capacity_16(CAPACITY_BYTES), CAPACITY_BYTES),
        }
    }
}

impl Default for Probe {
    fn default() -> Probe {
        Probe::new()
    }
}

impl Capacity {
    /// From READ CAPACITY(16) parameter data (SBC-3): RETURNED LOGICAL BLOCK ADDRESS, LOGICAL BLOCK LENGTH IN BYTES.
    fn parse(data: &[u8]) -> Result<Capacity, String> {
        let (Some(last), Some(len)) = (data.first_chunk::<8>(), data.get(8..).and_then(<[u8]>::first_chunk::<4>))
        else {
            return Err(format!("READ CAPACITY(16): {} bytes of answer", data.len()));
        };
        let (last, block_bytes) = (u64::from_be_bytes(*last), u32::from_be_bytes(*len));
        if block_bytes < 512 || !block_bytes.is_power_of_two() {
            return Err(format!("READ CAPACITY(16): blocks of {block_bytes} bytes"));
        }
        Ok(Capacity { blocks: last.saturating_add(1), block_bytes })
    }
}

#[cfg(test)]
mod tests {
    use transport_srp::wire::Residuals;

    use super::super::answer::SenseCodes;
    use super::super::channel::Slot;
    use super::*;

    const GOOD: Answer = Answer {
        slot: Slot(0),
        status: 0,
        sense: None,
        residuals: Residuals {
            data_out: transport_srp::wire::Residual::None,
            data_in: transport_srp::wire::Residual::None,
        },
    };

    fn check(key: u8) -> Answer {
        Answer { status: 2, sense: Some(SenseCodes { key, asc: 0x29, ascq: 0 }), ..GOOD }
    }

    fn capacity(last: u64, block_bytes: u32) -> Vec<u8> {
        let mut data = vec![0; 32];
        data[..8].copy_from_slice(&last.to_be_bytes());
        data[8..12].copy_from_slice(&block_bytes.to_be_bytes());
        data
    }

    #[test]
    fn unit_attentions_are_taken_and_then_the_size_is_asked() {
        let mut probe = Probe::new();
        assert_eq!(probe.start(), Step::Send(cdb::test_unit_ready(), 0));
        assert_eq!(probe.on_answer(&check(6), &[]), Step::Send(cdb::test_unit_ready(), 0));
        assert_eq!(probe.on_answer(&GOOD, &[]), Step::Send(cdb::read_capacity_16(32), 32));
        assert_eq!(probe.on_answer(&check(6), &[]), Step::Send(cdb::read_capacity_16(32), 32));
        let done = probe.on_answer(&GOOD, &capacity(99, 4096));
        assert_eq!(done, Step::Done(Capacity { blocks: 100, block_bytes: 4096 }));
    }

    #[test]
    fn a_unit_that_never_becomes_ready_is_given_up() {
        let mut probe = Probe::new();
        let steps = std::iter::from_fn(|| Some(probe.on_answer(&check(6), &[])));
        let given_up = steps.take(100).position(|step| matches!(step, Step::Failed(_)));
        assert_eq!(given_up, Some(TRIES_MAX as usize - 1));
    }

    #[test]
    fn a_lun_that_is_not_there_is_named() {
        let Step::Failed(why) = Probe::new().on_answer(&check(5), &[]) else { panic!("it failed") };
        assert!(why.contains("--lun"), "{why}");
    }

    #[test]
    fn nonsense_is_no_capacity() {
        for data in [capacity(99, 0), capacity(99, 520), vec![0; 11], vec![]] {
            assert!(Capacity::parse(&data).is_err(), "{data:?}");
        }
        assert_eq!(Capacity::parse(&capacity(u64::MAX, 512)).map(|capacity| capacity.blocks), Ok(u64::MAX));
    }
}
