//! The control thread's side of the trace: reads what the reactors write, and adds the names.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::controller::{Controller, LogLimit};
use crate::trace::event::{self, TraceEvent};
use crate::trace::ring::Reader;
use crate::trace::slow::{self, SlowCommand, Threshold, Wait};
use crate::trace::{ControlTracer, Tracer, TracerReader};

/// Slow commands that are kept.
const SLOW_KEPT: usize = 256;

/// All that was traced.
pub(crate) struct Traces {
    pub(crate) control: ControlTracer,
    threshold: Arc<Threshold>,
    rings: Vec<EventRing>,
    slow_rings: Vec<SlowRing>,
    /// The newest slow commands, oldest first.
    slow: VecDeque<SlowCommand>,
    log: LogLimit,
}

struct EventRing {
    reactor: Option<usize>,
    events: Reader<{ event::WORDS }>,
    /// The first event that was not cleared.
    first: u64,
}

struct SlowRing {
    reactor: usize,
    commands: Reader<{ slow::WORDS }>,
    next: u64,
}

impl Traces {
    /// For so many poll groups, each of which keeps so many events (0: none); with what they write by.
    pub(crate) fn new(groups: usize, events: usize, slow_threshold: Option<Duration>) -> (Traces, Vec<Tracer>) {
        let threshold = Arc::new(Threshold::new(slow_threshold));
        let (control, control_events) = ControlTracer::new();
        let mut rings = vec![EventRing { reactor: None, events: control_events, first: 0 }];
        let (mut slow_rings, mut tracers) = (Vec::new(), Vec::new());
        for reactor in 0..groups {
            let (tracer, TracerReader { events, slow }) = Tracer::new(events, Arc::clone(&threshold));
            tracers.push(tracer);
            rings.extend(events.map(|events| EventRing { reactor: Some(reactor), events, first: 0 }));
            slow_rings.push(SlowRing { reactor, commands: slow, next: 0 });
        }
        let log = LogLimit::new(10, Duration::from_secs(1));
        (Traces { control, threshold, rings, slow_rings, slow: VecDeque::new(), log }, tracers)
    }

    /// Where all events are, and whose.
    pub(crate) fn readers(&self) -> Vec<(Option<usize>, Reader<{ event::WORDS }>)> {
        self.rings.iter().map(|ring| (ring.reactor, ring.events.clone())).collect()
    }
}

impl Controller {
    /// The newest `max` events, of one session or of all, in order of time.
    pub fn trace_events(&self, max: usize, session: Option<u64>) -> Vec<TraceEvent> {
        let mut events: Vec<TraceEvent> = Vec::new();
        for ring in &self.traces.rings {
            let found = ring.events.read(ring.first).records.into_iter();
            let parsed = found.filter_map(|record| TraceEvent::parse(record, ring.reactor));
            events.extend(parsed.filter(|event| session.is_none() || event.session == session));
        }
        // Stable: events of one reactor stay in the order in which they happened.
        events.sort_by_key(|event| event.time_ns);
        events.drain(..events.len().saturating_sub(max));
        events
    }

    /// Forgets all events so far.
    pub fn clear_trace(&mut self) {
        self.traces.rings.iter_mut().for_each(|ring| ring.first = ring.events.count());
    }

    /// Keeps commands that take longer than this, from now on; `None`: none.
    pub fn set_slow_threshold(&mut self, threshold: Option<Duration>) {
        self.traces.threshold.set(threshold);
    }

    /// See [`Controller::set_slow_threshold`].
    pub fn slow_threshold(&self) -> Option<Duration> {
        self.traces.threshold.get()
    }

    /// The newest commands that took longer than the threshold, oldest first.
    pub fn slow_commands(&self) -> impl Iterator<Item = &SlowCommand> {
        self.traces.slow.iter()
    }

    /// Takes over what the reactors found slow, and logs some of it.
    pub(crate) fn collect_slow_commands(&mut self) {
        let traces = &mut self.traces;
        for ring in &mut traces.slow_rings {
            if ring.commands.count() == ring.next {
                continue;
            }
            let found = ring.commands.read(ring.next);
            ring.next = found.next;
            if found.lost > 0 && traces.log.allows(self.now) {
                tracing::warn!(lost = found.lost, "more commands were slow than are kept");
            }
            for record in found.records {
                let (mut command, unit) = slow::parse(record, ring.reactor);
                let unit = unit.and_then(|unit| self.units.get(unit));
                command.bdev_name = unit.map(|unit| unit.logical_unit.bdev().info().name.clone());
                if traces.log.allows(self.now) {
                    log(&command);
                }
                if traces.slow.len() == SLOW_KEPT {
                    traces.slow.pop_front();
                }
                traces.slow.push_back(command);
            }
        }
    }
}

fn log(command: &SlowCommand) {
    let most = Wait::ALL.into_iter().max_by_key(|wait| command.spent_us[*wait as usize]).unwrap_or(Wait::Device);
    let described = scsi::describe_cdb(&command.cdb);
    let (lba, blocks) = described.range.unzip();
    tracing::warn!(
        session = command.session,
        lun = command.lun,
        bdev = command.bdev_name,
        opcode = %format_args!("{:#04x}", command.cdb[0]),
        command = described.name,
        lba,
        blocks,
        status = command.status,
        total_us = command.total_us,
        waited_most_for = most.name(),
        waited_us = command.spent_us[most as usize],
        "slow command"
    );
}
