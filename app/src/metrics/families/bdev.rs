//! What block devices do, and how they are.

use metrics::{Family, Scrape};

use super::{flag, is_told, number};
use crate::metrics::ask::Snapshot;

static INFO: Family = Family::info("srpt_bdev_info", &["bdev", "kind"], "The kind of a bdev, in SPDK's words.");
static SIZE: Family = Family::gauge("srpt_bdev_size_bytes", &["bdev"], "Its size, metadata included.");
static UP: Family = Family::gauge(
    "srpt_bdev_up",
    &["bdev"],
    "Whether the device is there; a missing file or an unplugged disk is not.",
);
static READ_ONLY: Family = Family::gauge("srpt_bdev_read_only", &["bdev"], "Whether it refuses writes.");
static OPERATIONS: Family =
    Family::counter("srpt_bdev_operations_total", &["bdev", "operation"], "Operations that succeeded.");
static BYTES: Family = Family::counter("srpt_bdev_bytes_total", &["bdev", "operation"], "Bytes that these were about.");
static LATENCY: Family = Family::latency(
    "srpt_bdev_latency_seconds",
    &["bdev", "operation"],
    "Time that operations took at the device, queues included, in rounds of the reactor; a kind that was never seen has none, but for read and write.",
);
static ERRORS: Family =
    Family::counter("srpt_bdev_errors_total", &["bdev", "reason"], "Operations that failed, by the reason.");
static QUEUE_DEPTH: Family =
    Family::gauge("srpt_bdev_queue_depth", &["bdev"], "Operations at a device that is exported, of all reactors.");
static SPACE: Family = Family::gauge(
    "srpt_bdev_space_bytes",
    &["bdev"],
    "Space beneath a bdev with a threshold, in use or free, as it was seen last.",
);
static SPACE_FREE: Family = Family::gauge("srpt_bdev_space_free_bytes", &["bdev"], "What of that space is free.");
static THRESHOLD: Family = Family::gauge(
    "srpt_bdev_space_threshold_ratio",
    &["bdev"],
    "Share of that space in use at which initiators are told, 0 to 1.",
);

#[cfg(test)]
pub(super) const FAMILIES: &[&Family] = &[
    &INFO,
    &SIZE,
    &UP,
    &READ_ONLY,
    &OPERATIONS,
    &BYTES,
    &LATENCY,
    &ERRORS,
    &QUEUE_DEPTH,
    &SPACE,
    &SPACE_FREE,
    &THRESHOLD,
];

pub(in crate::metrics) fn add(scrape: &mut Scrape, snapshot: &Snapshot) {
    for bdev in &snapshot.bdevs {
        let name = bdev.name.as_str();
        scrape.info(&INFO, &[name, bdev.product_name]);
        scrape.gauge(&SIZE, &[name], number(bdev.size_bytes));
        scrape.gauge(&UP, &[name], flag(bdev.ready));
        scrape.gauge(&READ_ONLY, &[name], flag(bdev.read_only));
        for of_kind in &bdev.stat.ops {
            let labels = &[name, of_kind.op.name()];
            scrape.counter(&OPERATIONS, labels, of_kind.latency.count());
            scrape.counter(&BYTES, labels, of_kind.bytes);
            if is_told(of_kind.op.name(), &of_kind.latency) {
                scrape.latency(&LATENCY, labels, &of_kind.latency);
            }
        }
        bdev.stat.errors().for_each(|(reason, count)| scrape.counter(&ERRORS, &[name, reason], count));
        if let (Some(percent), Some(space)) = (bdev.threshold_percent, bdev.space) {
            scrape.gauge(&SPACE, &[name], number(space.total_bytes));
            scrape.gauge(&SPACE_FREE, &[name], number(space.free_bytes));
            scrape.gauge(&THRESHOLD, &[name], f64::from(percent) / 100.0);
        }
    }
    for unit in &snapshot.transport.units {
        scrape.gauge(&QUEUE_DEPTH, &[&unit.bdev], number(unit.in_flight));
    }
}
