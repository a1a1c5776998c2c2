//! Whether a unit's medium can be used: not while it is formatted or sanitized, nor after that failed (SBC-3).
//!
//! | condition | commands, but for those that are allowed (`command/allowed.rs`) | left by |
//! |---|---|---|
//! | usable | are carried out | FORMAT UNIT, SANITIZE |
//! | being formatted, being sanitized | NOT READY, with how much is done | the end of it, whatever becomes of its initiator |
//! | format failed | MEDIUM FORMAT CORRUPTED | FORMAT UNIT, SANITIZE |
//! | sanitize failed | SANITIZE COMMAND FAILED | SANITIZE: again, or EXIT FAILURE MODE unless the one that failed was restricted |
//!
//! It is one word, which all cores see. Who sees that the medium is usable again sees the type of protection that a format has set before; nothing
//! else hangs on it.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::wire::sense::Sense;

/// What is done to the whole medium.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Undertaking {
    Format,
    /// `restricted`: AUSE is clear.
    Sanitize {
        restricted: bool,
    },
}

/// Where a medium stands; see above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    Usable,
    UnderWay(Undertaking),
    Failed(Undertaking),
}

/// See above. The lower 16 bits are the progress, those above one of the constants.
#[derive(Debug, Default)]
pub(crate) struct MediumCondition(AtomicU32);

const USABLE: u32 = 0;
const FORMATTING: u32 = 1 << 16;
const SANITIZING: u32 = 2 << 16;
const SANITIZING_RESTRICTED: u32 = 3 << 16;
const FORMAT_FAILED: u32 = 4 << 16;
const SANITIZE_FAILED: u32 = 5 << 16;
const RESTRICTED_SANITIZE_FAILED: u32 = 6 << 16;
const PROGRESS: u32 = 0xffff;

impl MediumCondition {
    /// Whether commands may be carried out.
    ///
    /// # Errors
    /// What they end with, and REQUEST SENSE tells.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Sense> {
        match self.0.load(Ordering::Acquire) {
            USABLE => Ok(()),
            other => Err(sense(other)),
        }
    }

    /// Where the medium stands.
    pub(crate) fn now(&self) -> Condition {
        condition(self.0.load(Ordering::Relaxed))
    }

    /// Begins it. Of several callers one gets it.
    ///
    /// # Errors
    /// As [`MediumCondition::check`]: something else was begun meanwhile, or failed.
    pub(crate) fn begin(&self, undertaking: Undertaking) -> Result<(), Sense> {
        let begin = |now: u32| condition(now).leads_to(undertaking).then_some(begun(undertaking));
        let result = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, begin);
        result.map(|_| ()).map_err(sense)
    }

    /// Notes how much is done, in 65536ths.
    pub(crate) fn set_progress(&self, undertaking: Undertaking, progress: u16) {
        self.0.store(begun(undertaking) | u32::from(progress), Ordering::Relaxed);
    }

    /// Ends it.
    pub(crate) fn end(&self, undertaking: Undertaking, succeeded: bool) {
        let condition = match undertaking {
            _ if succeeded => USABLE,
            Undertaking::Format => FORMAT_FAILED,
            Undertaking::Sanitize { restricted: false } => SANITIZE_FAILED,
            Undertaking::Sanitize { restricted: true } => RESTRICTED_SANITIZE_FAILED,
        };
        self.0.store(condition, Ordering::Release);
    }

    /// EXIT FAILURE MODE: a sanitize operation that failed counts as done. Without one there is nothing to do.
    pub(crate) fn exit_failure_mode(&self) {
        let _ = self.0.compare_exchange(SANITIZE_FAILED, USABLE, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Condition {
    /// Whether this may be begun: FORMAT UNIT leads out of a failure of its own, SANITIZE out of both. One whose failure may be left otherwise
    /// (AUSE) does not follow one that promised it would not be.
    pub(crate) fn leads_to(self, undertaking: Undertaking) -> bool {
        match (self, undertaking) {
            (Condition::Usable | Condition::Failed(Undertaking::Format), _) => true,
            (Condition::Failed(Undertaking::Sanitize { restricted: false }), Undertaking::Sanitize { .. }) => true,
            (Condition::Failed(Undertaking::Sanitize { restricted: true }), next) => {
                next == Undertaking::Sanitize { restricted: true }
            }
            (Condition::Failed(_), Undertaking::Format) | (Condition::UnderWay(_), _) => false,
        }
    }
}

fn condition(word: u32) -> Condition {
    match word & !PROGRESS {
        USABLE => Condition::Usable,
        FORMATTING => Condition::UnderWay(Undertaking::Format),
        SANITIZING => Condition::UnderWay(Undertaking::Sanitize { restricted: false }),
        SANITIZING_RESTRICTED => Condition::UnderWay(Undertaking::Sanitize { restricted: true }),
        FORMAT_FAILED => Condition::Failed(Undertaking::Format),
        SANITIZE_FAILED => Condition::Failed(Undertaking::Sanitize { restricted: false }),
        _ => Condition::Failed(Undertaking::Sanitize { restricted: true }),
    }
}

fn begun(undertaking: Undertaking) -> u32 {
    match undertaking {
        Undertaking::Format => FORMATTING,
        Undertaking::Sanitize { restricted: false } => SANITIZING,
        Undertaking::Sanitize { restricted: true } => SANITIZING_RESTRICTED,
    }
}

#[cold]
fn sense(word: u32) -> Sense {
    let progress = (word & PROGRESS) as u16;
    match condition(word) {
        Condition::UnderWay(Undertaking::Format) => Sense::FORMAT_IN_PROGRESS.with_progress(progress),
        Condition::UnderWay(Undertaking::Sanitize { .. }) => Sense::SANITIZE_IN_PROGRESS.with_progress(progress),
        Condition::Usable | Condition::Failed(Undertaking::Format) => Sense::MEDIUM_FORMAT_CORRUPTED,
        Condition::Failed(Undertaking::Sanitize { .. }) => Sense::SANITIZE_COMMAND_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SANITIZE: Undertaking = Undertaking::Sanitize { restricted: false };
    const RESTRICTED: Undertaking = Undertaking::Sanitize { restricted: true };

    #[test]
    fn one_of_several_begins_and_the_others_are_told_how_far_it_is() {
        let condition = MediumCondition::default();
        assert_eq!(condition.check(), Ok(()));
        assert_eq!(condition.begin(Undertaking::Format), Ok(()));
        condition.set_progress(Undertaking::Format, 0x1234);
        let told = Err(Sense::FORMAT_IN_PROGRESS.with_progress(0x1234));
        assert_eq!((condition.check(), condition.now()), (told, Condition::UnderWay(Undertaking::Format)));
        assert_eq!(condition.begin(SANITIZE), told);
        condition.end(Undertaking::Format, true);
        assert_eq!(condition.check(), Ok(()));
        for undertaking in [SANITIZE, RESTRICTED] {
            assert_eq!(condition.begin(undertaking), Ok(()));
            assert_eq!(condition.check(), Err(Sense::SANITIZE_IN_PROGRESS.with_progress(0)));
            condition.end(undertaking, true);
        }
    }

    #[test]
    fn a_failed_format_is_left_by_either() {
        let condition = MediumCondition::default();
        condition.end(Undertaking::Format, false);
        assert_eq!(condition.check(), Err(Sense::MEDIUM_FORMAT_CORRUPTED));
        assert_eq!(condition.now(), Condition::Failed(Undertaking::Format));
        condition.exit_failure_mode();
        assert_eq!(condition.check(), Err(Sense::MEDIUM_FORMAT_CORRUPTED), "that is about SANITIZE");
        assert_eq!(condition.begin(SANITIZE), Ok(()));
    }

    #[test]
    fn a_failed_sanitize_is_left_by_another_or_by_leave() {
        for (undertaking, restricted) in [(SANITIZE, false), (RESTRICTED, true)] {
            let condition = MediumCondition::default();
            condition.end(undertaking, false);
            let failed = Err(Sense::SANITIZE_COMMAND_FAILED);
            assert_eq!([condition.check(), condition.begin(Undertaking::Format)], [failed; 2]);
            assert_eq!(condition.now().leads_to(SANITIZE), !restricted);
            condition.exit_failure_mode();
            assert_eq!(condition.check().is_err(), restricted);
            assert_eq!(condition.begin(undertaking), Ok(()));
        }
    }
}
