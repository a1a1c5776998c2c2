//! What each initiator does. A session's series are named by its two ports, so they go on when it logs in again, from 0; they
//! end with it. There are never more sessions than the reactors have channels for.

use metrics::{Family, Scrape};
use transport_srp::{Operation, SessionReport};

use super::{is_told, number};

const LABELS: &[&str] = &["target", "initiator"];
const WITH_OPERATION: &[&str] = &["target", "initiator", "operation"];

static INFO: Family = Family::info(
    "srpt_session_info",
    &["target", "initiator", "session", "initiator_group", "peer"],
    "A session's number, the initiator group that let it in, and the initiator's address at its first login.",
);
static CHANNELS: Family = Family::gauge("srpt_session_channels", LABELS, "Channels that serve the session.");
static LUNS: Family = Family::gauge("srpt_session_luns", LABELS, "LUNs that the session sees.");
static CREDITS: Family = Family::gauge("srpt_session_credits", LABELS, "Credits granted to its channels.");
static CREDITS_USED: Family = Family::gauge(
    "srpt_session_credits_used",
    LABELS,
    "Credits that came with requests and went back with no response yet.",
);
static REQUESTS: Family = Family::gauge(
    "srpt_session_queue_depth",
    LABELS,
    "Requests of the initiator to which it has no response yet, as far as the target knows.",
);
static OPERATIONS: Family =
    Family::counter("srpt_session_operations_total", WITH_OPERATION, "SCSI commands answered, by what they are for.");
static BYTES: Family = Family::counter(
    "srpt_session_bytes_total",
    WITH_OPERATION,
    "Data that commands moved between initiator and target, if they succeeded.",
);
static LATENCY: Family = Family::latency(
    "srpt_session_latency_seconds",
    WITH_OPERATION,
    "Time from the arrival of a command to its response; a kind that was never seen has none, but for read and write.",
);
static FAILURES: Family = Family::counter(
    "srpt_session_failures_total",
    LABELS,
    "SCSI commands answered with another status than GOOD, unit attentions included.",
);
static ABORTS: Family =
    Family::counter("srpt_session_aborted_commands_total", LABELS, "SCSI commands that were aborted.");
static MANAGEMENT: Family =
    Family::counter("srpt_session_task_management_total", LABELS, "Task management requests received.");
static BUFFER_WAITS: Family =
    Family::counter("srpt_session_buffer_waits_total", LABELS, "Times a command waited for a buffer.");
static SEND_WAITS: Family =
    Family::counter("srpt_session_send_waits_total", LABELS, "Times a command waited for send slots.");
static CREDIT_REQUESTS: Family = Family::counter(
    "srpt_session_credit_requests_total",
    LABELS,
    "Credits given back by a message of their own (SRP_CRED_REQ).",
);

#[cfg(test)]
pub(super) const FAMILIES: &[&Family] = &[
    &INFO,
    &CHANNELS,
    &LUNS,
    &CREDITS,
    &CREDITS_USED,
    &REQUESTS,
    &OPERATIONS,
    &BYTES,
    &LATENCY,
    &FAILURES,
    &ABORTS,
    &MANAGEMENT,
    &BUFFER_WAITS,
    &SEND_WAITS,
    &CREDIT_REQUESTS,
];

pub(in crate::metrics) fn add(scrape: &mut Scrape, sessions: &[SessionReport]) {
    for session in sessions {
        let [target, initiator] = [session.target.as_str(), session.initiator.as_str()];
        let labels = &[target, initiator];
        let group = session.initiator_group.as_deref().unwrap_or_default();
        let (id, peer) = (session.id.to_string(), session.peer.ip().to_string());
        scrape.info(&INFO, &[target, initiator, &id, group, &peer]);
        scrape.gauge(&CHANNELS, labels, session.channels as f64);
        scrape.gauge(&LUNS, labels, session.luns as f64);
        scrape.gauge(&CREDITS, labels, number(session.credits));
        scrape.gauge(&CREDITS_USED, labels, number(session.credits_used));
        scrape.gauge(&REQUESTS, labels, number(session.requests));
        let totals = &session.totals;
        for (operation, totals) in Operation::ALL.into_iter().zip(&totals.operations) {
            let labels = &[target, initiator, operation.name()];
            scrape.counter(&OPERATIONS, labels, totals.latency.count());
            scrape.counter(&BYTES, labels, totals.bytes);
            if is_told(operation.name(), &totals.latency) {
                scrape.latency(&LATENCY, labels, &totals.latency);
            }
        }
        scrape.counter(&FAILURES, labels, totals.failures);
        scrape.counter(&ABORTS, labels, totals.aborts);
        scrape.counter(&MANAGEMENT, labels, totals.management);
        scrape.counter(&BUFFER_WAITS, labels, totals.buffer_waits);
        scrape.counter(&SEND_WAITS, labels, totals.send_waits);
        scrape.counter(&CREDIT_REQUESTS, labels, totals.credit_requests);
    }
}
