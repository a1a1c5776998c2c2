//! What commands do at each LUN.

use metrics::{Family, Scrape};
use transport_srp::{LunReport, Operation};

use super::is_told;

const LABELS: &[&str] = &["target", "initiator_group", "lun"];
const WITH_OPERATION: &[&str] = &["target", "initiator_group", "lun", "operation"];

static INFO: Family = Family::info(
    "srpt_lun_info",
    &["target", "initiator_group", "lun", "bdev"],
    "The bdev behind a LUN; initiator_group is empty unless the LUN is in a group's own map.",
);
static OPERATIONS: Family =
    Family::counter("srpt_lun_operations_total", WITH_OPERATION, "SCSI commands answered, by what they are for.");
static BYTES: Family = Family::counter(
    "srpt_lun_bytes_total",
    WITH_OPERATION,
    "Data that commands moved between initiator and target, if they succeeded.",
);
static LATENCY: Family = Family::latency(
    "srpt_lun_latency_seconds",
    WITH_OPERATION,
    "Time from the arrival of a command to its response; a kind that was never seen has none, but for read and write.",
);
static ERRORS: Family = Family::counter(
    "srpt_lun_errors_total",
    &["target", "initiator_group", "lun", "status", "sense_key"],
    "SCSI commands answered with another status than GOOD; unit_attention is news, not a failure.",
);
static ABORTS: Family = Family::counter("srpt_lun_aborted_commands_total", LABELS, "SCSI commands that were aborted.");

#[cfg(test)]
pub(super) const FAMILIES: &[&Family] = &[&INFO, &OPERATIONS, &BYTES, &LATENCY, &ERRORS, &ABORTS];

pub(in crate::metrics) fn add(scrape: &mut Scrape, luns: &[LunReport]) {
    for lun in luns {
        let number = lun.lun.to_string();
        let [target, group, number] = [&lun.target, lun.initiator_group.as_deref().unwrap_or_default(), &number];
        scrape.info(&INFO, &[target, group, number, &lun.bdev]);
        for (operation, totals) in Operation::ALL.into_iter().zip(&lun.operations) {
            let labels = &[target, group, number, operation.name()];
            scrape.counter(&OPERATIONS, labels, totals.latency.count());
            scrape.counter(&BYTES, labels, totals.bytes);
            if is_told(operation.name(), &totals.latency) {
                scrape.latency(&LATENCY, labels, &totals.latency);
            }
        }
        for error in &lun.errors {
            scrape.counter(&ERRORS, &[target, group, number, error.status, error.sense_key], error.count);
        }
        scrape.counter(&ABORTS, &[target, group, number], lun.aborts);
    }
}
