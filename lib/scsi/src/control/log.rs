//! LOG SENSE (SPC-4, SBC-3): what a unit counted, and what it was told to note.
//!
//! The counters are those of the unit's device, kept by each core, and those of what failed; what each page's mean stands at its function.

use super::Outcome;
use crate::saved::ApplicationLog;
use crate::state::{Counts, Failed, SELF_TESTS_MAX};
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;
use crate::wire::sense::Sense;

const SUPPORTED: u8 = 0x00;
pub(super) const WRITE_ERRORS: u8 = 0x02;
pub(super) const READ_ERRORS: u8 = 0x03;
pub(super) const VERIFY_ERRORS: u8 = 0x05;
pub(super) const NON_MEDIUM_ERRORS: u8 = 0x06;
/// Only of a unit with a threshold.
const PROVISIONING: u8 = 0x0c;
const TEMPERATURE: u8 = 0x0d;
const START_STOP_CYCLES: u8 = 0x0e;
pub(super) const APPLICATION_CLIENT: u8 = 0x0f;
const SELF_TESTS: u8 = 0x10;
const BACKGROUND_SCAN: u8 = 0x15;
pub(super) const STATISTICS: u8 = 0x19;
const INFORMATIONAL_EXCEPTIONS: u8 = 0x2f;
const ALL_SUBPAGES: u8 = 0xff;

/// The pages of a unit, in ascending order.
pub(super) fn pages(unit: &LogicalUnit) -> impl Iterator<Item = u8> {
    let always = [
        SUPPORTED,
        WRITE_ERRORS,
        READ_ERRORS,
        VERIFY_ERRORS,
        NON_MEDIUM_ERRORS,
        PROVISIONING,
        TEMPERATURE,
        START_STOP_CYCLES,
        APPLICATION_CLIENT,
        SELF_TESTS,
        BACKGROUND_SCAN,
        STATISTICS,
        INFORMATIONAL_EXCEPTIONS,
    ];
    let watched = unit.provisioning_threshold().is_some();
    always.into_iter().filter(move |&page| page != PROVISIONING || watched)
}

/// Whether a page is there to be asked for.
///
/// # Errors
/// INVALID FIELD IN CDB with a pointer to PAGE CODE or SUBPAGE CODE.
pub(crate) fn check_page(page: u8, subpage: u8, unit: &LogicalUnit) -> Result<(), Sense> {
    match (page, subpage) {
        _ if !pages(unit).any(|known| known == page) => Err(Sense::invalid_field_in_cdb(2, Some(5))),
        (_, 0) | (SUPPORTED, ALL_SUBPAGES) => Ok(()),
        _ => Err(Sense::invalid_field_in_cdb(3, None)),
    }
}

/// LOG SENSE: the page from the parameter `pointer` on; counters at zero if the default values are asked for.
pub(super) fn sense(page: u8, subpage: u8, defaults: bool, pointer: u16, unit: &LogicalUnit) -> Outcome {
    let parameters = parameters(page, defaults, unit);
    if parameters.iter().map(|parameter| parameter.code).max().unwrap_or(0) < pointer {
        return Sense::invalid_field_in_cdb(5, None).into();
    }
    const DS: u8 = 0x80; // cannot be saved
    const SPF: u8 = 0x40;
    let mut buffer = vec![0; BYTES_MAX];
    let mut bytes = Bytes::new(&mut buffer);
    let saveable = page == APPLICATION_CLIENT && unit.can_save();
    match (page, subpage) {
        (SUPPORTED, 0) => {
            bytes.put(&[SUPPORTED, 0, 0, 0]);
            pages(unit).for_each(|page| bytes.put_u8(page));
        }
        (SUPPORTED, _) => {
            bytes.put(&[SPF | SUPPORTED, ALL_SUBPAGES, 0, 0]);
            bytes.put(&[SUPPORTED, 0, SUPPORTED, ALL_SUBPAGES]);
            pages(unit).filter(|&page| page != SUPPORTED).for_each(|page| bytes.put(&[page, 0]));
        }
        _ => {
            bytes.put(&[page | if saveable { 0 } else { DS }, 0, 0, 0]);
            for parameter in parameters.iter().filter(|parameter| parameter.code >= pointer) {
                bytes.put_be16(parameter.code);
                bytes.put(&[parameter.format as u8, parameter.value.len() as u8]);
                bytes.put(&parameter.value);
            }
        }
    }
    bytes.patch_be16(2, (bytes.len() - 4) as u16);
    let len = bytes.fitting();
    buffer.truncate(len);
    Outcome::data(buffer)
}

/// Longest page: that of the application clients.
const BYTES_MAX: usize = 4 + ApplicationLog::PARAMETERS as usize * (4 + ApplicationLog::PARAMETER_BYTES);

struct Parameter {
    code: u16,
    format: Format,
    value: Vec<u8>,
}

/// FORMAT AND LINKING of the parameter control byte (SPC-4); its other bits are zero.
#[derive(Clone, Copy)]
enum Format {
    /// Unbounded data counter.
    Counter = 0b10,
    /// Binary format list.
    List = 0b11,
}

fn counter(code: u16, value: u64) -> Parameter {
    Parameter { code, format: Format::Counter, value: value.to_be_bytes().into() }
}

fn list(code: u16, value: impl Into<Vec<u8>>) -> Parameter {
    Parameter { code, format: Format::List, value: value.into() }
}

fn parameters(page: u8, defaults: bool, unit: &LogicalUnit) -> Vec<Parameter> {
    let now = unit.counts();
    let since =
        Since { now, before: if defaults { Some(now) } else { unit.state().kept().baselines.get(&page).copied() } };
    match page {
        WRITE_ERRORS => error_counters(since.failed(Failed::Write), Some(since.io(|io| io.bytes_written))),
        READ_ERRORS => error_counters(since.failed(Failed::Read), Some(since.io(|io| io.bytes_read))),
        VERIFY_ERRORS => error_counters(since.failed(Failed::Verify), None),
        NON_MEDIUM_ERRORS => vec![counter(0x0000, since.failed(Failed::Other))],
        PROVISIONING => provisioning(unit),
        TEMPERATURE => vec![list(0x0000, [0, UNKNOWN]), list(0x0001, [0, UNKNOWN])],
        START_STOP_CYCLES => vec![list(0x0004, unit.state().starts().to_be_bytes())],
        APPLICATION_CLIENT => application_log(defaults, unit),
        SELF_TESTS => self_tests(unit),
        BACKGROUND_SCAN => vec![background_scan(unit)],
        STATISTICS => statistics(&since, unit),
        INFORMATIONAL_EXCEPTIONS => vec![exceptions(unit)],
        _ => Vec::new(),
    }
}

/// A temperature that cannot be had (SPC-4).
const UNKNOWN: u8 = 0xff;

/// What was counted since the page was reset.
struct Since {
    now: Counts,
    before: Option<Counts>,
}

impl Since {
    /// A counter of the device may have been reset by the administrator meanwhile: then it is as it stands.
    fn of(&self, read: impl Fn(&Counts) -> u64) -> u64 {
        let before = self.before.as_ref().map_or(0, &read);
        read(&self.now).checked_sub(before).unwrap_or_else(|| read(&self.now))
    }

    fn io(&self, read: impl Fn(&bdev::IoStatSnapshot) -> u64) -> u64 {
        self.of(|counts| read(&counts.io))
    }

    fn failed(&self, kind: Failed) -> u64 {
        self.of(|counts| counts.failures[kind as usize])
    }
}

/// Errors corrected: none, as nothing is repeated here. Bytes processed: all that the device read or wrote for the unit, whatever
/// command wanted it. Uncorrected errors: operations that ended with a medium error.
fn error_counters(uncorrected: u64, bytes: Option<u64>) -> Vec<Parameter> {
    let mut parameters = vec![counter(0x0003, 0)];
    parameters.extend(bytes.map(|bytes| counter(0x0005, bytes)));
    parameters.push(counter(0x0006, uncorrected));
    parameters
}

/// Space beneath in threshold sets (SBC-3), as it was seen last: available and used, of a pool that other units may share.
fn provisioning(unit: &LogicalUnit) -> Vec<Parameter> {
    const NOT_ONLY_THIS_UNIT: u8 = 0b10;
    let resource = |code, sets: u32| {
        let mut value = sets.to_be_bytes().to_vec();
        value.extend([NOT_ONLY_THIS_UNIT, 0, 0, 0]);
        list(code, value)
    };
    let (available, used) = unit.space_sets().unwrap_or_default();
    vec![resource(0x0001, available), resource(0x0002, used)]
}

/// What LOG SELECT brought; the rest is zero.
fn application_log(defaults: bool, unit: &LogicalUnit) -> Vec<Parameter> {
    let kept = unit.state().kept();
    let one = |code| {
        let mut value = kept.application.0.get(&code).filter(|_| !defaults).cloned().unwrap_or_default();
        value.resize(ApplicationLog::PARAMETER_BYTES, 0);
        list(code, value)
    };
    (0..ApplicationLog::PARAMETERS).map(one).collect()
}

/// The latest first; what is unused is zero.
fn self_tests(unit: &LogicalUnit) -> Vec<Parameter> {
    const FAILED_IN_A_SEGMENT: u8 = 0x7;
    let kept = unit.state().kept();
    let mut results = kept.self_tests.iter();
    let one = |index: usize| {
        let mut value = [0; 16];
        if let Some(result) = results.next() {
            value[0] = result.code << 5;
            value[2..4].copy_from_slice(&result.hours.to_be_bytes());
            value[4..12].fill(0xff);
            if let Some(failure) = result.failure {
                value[0] |= FAILED_IN_A_SEGMENT;
                value[1] = 1;
                value[4..12].copy_from_slice(&failure.lba.to_be_bytes());
                value[12..15].copy_from_slice(&failure.sense);
            }
        }
        list(index as u16 + 1, value)
    };
    (0..SELF_TESTS_MAX).map(one).collect()
}

/// No scan is ever active; the minutes are those that the unit has been there.
fn background_scan(unit: &LogicalUnit) -> Parameter {
    let minutes = u32::try_from(unit.state().age().as_secs() / 60).unwrap_or(u32::MAX);
    let mut value = [0; 12];
    value[..4].copy_from_slice(&minutes.to_be_bytes());
    list(0x0000, value)
}

/// Commands are counted as operations of the device, so a piecewise command counts as several; writes and unmaps are write commands. Processing
/// time is the sum of their latencies at the device, in microseconds; the weighted fields are zero, as there are no command priorities.
/// Idle time is the time that has passed less all of those: never more than the truth, less where commands overlapped.
fn statistics(since: &Since, unit: &LogicalUnit) -> Vec<Parameter> {
    let block_size = u64::from(unit.block_size());
    let reading = since.io(|io| io.read_latency_ns) / 1000;
    let writing = since.io(|io| io.write_latency_ns + io.unmap_latency_ns) / 1000;
    let passed = since.of(|counts| u64::try_from(counts.at.as_micros()).unwrap_or(u64::MAX));
    let access = [
        since.io(|io| io.num_read_ops),
        since.io(|io| io.num_write_ops + io.num_unmap_ops),
        since.io(|io| io.bytes_written) / block_size,
        since.io(|io| io.bytes_read) / block_size,
        reading,
        writing,
        0,
        0,
    ];
    let access = access.iter().flat_map(|value| value.to_be_bytes()).collect();
    // One interval is 10^-6 s: EXPONENT, INTEGER.
    let interval = [6_u32.to_be_bytes(), 1_u32.to_be_bytes()].concat();
    vec![
        Parameter { code: 0x0001, format: Format::Counter, value: access },
        counter(0x0002, passed.saturating_sub(reading).saturating_sub(writing)),
        list(0x0003, interval),
    ]
}

/// None, or the test of the mode page.
fn exceptions(unit: &LogicalUnit) -> Parameter {
    let sense = if unit.state().exceptions().reports_test() { Sense::FAILURE_PREDICTION_TEST } else { Sense::NONE };
    list(0x0000, [sense.asc, sense.ascq, UNKNOWN, 0])
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
