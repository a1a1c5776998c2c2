//! The end of a short or extended self-test (SPC-4, SEND DIAGNOSTIC): its result goes to the log page, and the command ends.

use super::Outcome;
use crate::medium::self_test::is_background;
use crate::state::{SELF_TESTS_MAX, SelfTestFailure, SelfTestResult};
use crate::unit::LogicalUnit;
use crate::wire::sense::Sense;

/// A test in the background ends well whatever was found: its initiator looks into the log page.
pub(super) fn note(code: u8, failure: Option<SelfTestFailure>, unit: &LogicalUnit) -> Outcome {
    let hours = u16::try_from(unit.state().age().as_secs() / 3600).unwrap_or(u16::MAX);
    let mut kept = unit.state().kept();
    kept.self_tests.push_front(SelfTestResult { code, hours, failure });
    kept.self_tests.truncate(SELF_TESTS_MAX);
    match failure {
        Some(_) if !is_background(code) => Sense::FAILED_SELF_TEST.into(),
        _ => Outcome::good(),
    }
}

#[cfg(test)]
#[path = "self_test_tests.rs"]
mod tests;
