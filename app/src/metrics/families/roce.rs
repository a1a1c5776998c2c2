//! What RoCE of our own counted, by reason. The data path's part is up to a second old.

use fabric::roce::Counters;
use metrics::{Family, Scrape};

static PACKETS: Family = Family::counter(
    "srpt_roce_packets_total",
    &["traffic", "event"],
    "Packets of queue pairs (data) and of the connection manager (cm), by what became of them.",
);
static QUEUE_PAIRS: Family = Family::counter(
    "srpt_roce_queue_pair_events_total",
    &["event"],
    "Packets by whether a queue pair took them, and queue pairs that failed.",
);
static CONNECTIONS: Family = Family::counter(
    "srpt_roce_connection_events_total",
    &["event"],
    "What reliable connections met: repetitions, timeouts, sequence errors, congestion, and more.",
);
static CM: Family = Family::counter(
    "srpt_roce_cm_events_total",
    &["event"],
    "What the connection manager met: malformed and unknown messages, repetitions, timeouts, and more.",
);

#[cfg(test)]
pub(super) const FAMILIES: &[&Family] = &[&PACKETS, &QUEUE_PAIRS, &CONNECTIONS, &CM];

pub(in crate::metrics) fn add(scrape: &mut Scrape, counters: &Counters) {
    for (traffic, packets) in [("data", counters.packets), ("cm", counters.cm_packets)] {
        packets.list().into_iter().for_each(|(event, count)| scrape.counter(&PACKETS, &[traffic, event], count));
    }
    let events = [
        (&QUEUE_PAIRS, counters.groups.list()),
        (&CONNECTIONS, counters.connections.list()),
        (&CM, counters.cm.list()),
    ];
    for (family, list) in events {
        list.into_iter().for_each(|(event, count)| scrape.counter(family, &[event], count));
    }
}
