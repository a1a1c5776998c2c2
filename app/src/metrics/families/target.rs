//! Logins, listeners, channels, task management, and where commands wait.

use std::collections::BTreeMap;

use fabric::ListenerState;
use metrics::{Family, Scrape};

use super::{flag, number};
use crate::metrics::ask::Snapshot;

static CONTROL_RESPONDING: Family = Family::gauge(
    "srpt_control_responding",
    &[],
    "Whether the control thread answered this scrape in time; if not, what only it knows is missing.",
);
static DRAINING: Family =
    Family::gauge("srpt_draining", &[], "Whether the target is about to end and takes no logins.");
static LISTENER: Family = Family::gauge(
    "srpt_listener_up",
    &["fabric", "address"],
    "Whether the listener takes logins now; while its network interface has no address, the interface's name stands for it.",
);
static OPEN: Family = Family::gauge(
    "srpt_target_open",
    &["target"],
    "Whether no initiator group guards the target's LUNs, and other hosts can reach a listener.",
);
static LOGINS: Family = Family::counter("srpt_logins_accepted_total", &[], "Logins accepted, one for each channel.");
static REFUSALS: Family = Family::counter("srpt_logins_rejected_total", &["reason"], "Logins refused, by the reason.");
static FAILURES: Family = Family::counter(
    "srpt_channel_failures_total",
    &["reason"],
    "Channels that could not go on, by the reason; flushed and logged_out are initiators that went.",
);
static CHANNELS: Family =
    Family::gauge("srpt_channels", &["reactor", "state"], "Channels of a reactor, by their state.");
static MANAGEMENT: Family = Family::counter(
    "srpt_task_management_total",
    &["reactor", "function"],
    "Task management requests received, by the function.",
);
static COMMANDS: Family = Family::gauge(
    "srpt_commands_in_flight",
    &["reactor"],
    "Requests of initiators that have a slot, orphans included.",
);
static ORPHANS: Family = Family::gauge(
    "srpt_commands_orphaned",
    &["reactor"],
    "Commands that nobody waits for any more, but a device still works on, or that go on in the background.",
);
static WAITING: Family = Family::gauge(
    "srpt_commands_waiting",
    &["reactor", "resource"],
    "Commands that wait for a buffer, for send slots, or for their turn at a device.",
);
static WAITS: Family = Family::counter(
    "srpt_command_waits_total",
    &["reactor", "resource"],
    "Times a command had to wait for a buffer, for send slots, or for its turn at a device.",
);
static BUFFERS: Family = Family::gauge("srpt_buffers", &["reactor", "pool"], "Buffers that there are.");
static BUFFERS_FREE: Family = Family::gauge("srpt_buffers_free", &["reactor", "pool"], "Buffers that are free.");
static MEMORY: Family = Family::gauge(
    "srpt_buffer_memory_bytes",
    &["reactor", "pages", "locked"],
    "Memory that a reactor's buffers are cut from, with the kind of its pages and whether it is locked.",
);

#[cfg(test)]
pub(super) const FAMILIES: &[&Family] = &[
    &CONTROL_RESPONDING,
    &DRAINING,
    &LISTENER,
    &OPEN,
    &LOGINS,
    &REFUSALS,
    &FAILURES,
    &CHANNELS,
    &MANAGEMENT,
    &COMMANDS,
    &ORPHANS,
    &WAITING,
    &WAITS,
    &BUFFERS,
    &BUFFERS_FREE,
    &MEMORY,
];

pub(in crate::metrics) fn add_control(scrape: &mut Scrape, responding: bool) {
    scrape.gauge(&CONTROL_RESPONDING, &[], flag(responding));
}

/// `reactors` are the names of the poll groups' reactors, in their order.
pub(in crate::metrics) fn add(scrape: &mut Scrape, snapshot: &Snapshot, reactors: &[String]) {
    let transport = &snapshot.transport;
    scrape.gauge(&DRAINING, &[], flag(transport.draining));
    // An address may be a listener's of its own and an interface's, which is one sample all the same.
    let places = snapshot.listeners.iter().map(|listener| {
        let listens = matches!(listener.state, ListenerState::Listening);
        ((listener.fabric.as_str(), listener.place()), listens)
    });
    for ((fabric, place), listens) in BTreeMap::from_iter(places) {
        scrape.gauge(&LISTENER, &[fabric, &place], flag(listens));
    }
    snapshot.targets.iter().for_each(|(target, open)| scrape.gauge(&OPEN, &[target], flag(*open)));
    scrape.counter(&LOGINS, &[], transport.logins);
    transport.refusals.iter().for_each(|&(reason, count)| scrape.counter(&REFUSALS, &[reason], count));
    transport.failures.iter().for_each(|&(reason, count)| scrape.counter(&FAILURES, &[reason], count));
    for (group, reactor) in transport.groups.iter().zip(reactors) {
        let reactor = reactor.as_str();
        group.channels.iter().for_each(|&(state, count)| scrape.gauge(&CHANNELS, &[reactor, state], number(count)));
        group.management.iter().for_each(|&(function, count)| scrape.counter(&MANAGEMENT, &[reactor, function], count));
        scrape.gauge(&COMMANDS, &[reactor], number(group.commands));
        scrape.gauge(&ORPHANS, &[reactor], number(group.orphans));
        group.waiting.iter().for_each(|&(what, count)| scrape.gauge(&WAITING, &[reactor, what], number(count)));
        group.waits.iter().for_each(|&(what, count)| scrape.counter(&WAITS, &[reactor, what], count));
        for pool in &group.pools {
            scrape.gauge(&BUFFERS, &[reactor, pool.name], number(pool.capacity));
            scrape.gauge(&BUFFERS_FREE, &[reactor, pool.name], number(pool.free));
        }
        let mapping = group.region.mapping();
        let (pages, locked) = (mapping.page_kind().to_string(), mapping.locked().to_string());
        scrape.gauge(&MEMORY, &[reactor, &pages, &locked], group.region.len() as f64);
    }
}
