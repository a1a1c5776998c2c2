//! The trace without the control thread: whoever dies, or stands still, what was under way can be told.

use crate::controller::Controller;
use crate::trace::event::{self, EventKind, TraceEvent};
use crate::trace::ring::Reader;
use crate::wire::Tag;

/// Reads what all reactors and the control thread have traced, from any thread and at any time: it waits for nobody. The default has nothing to read.
#[derive(Clone, Default, Debug)]
pub struct FlightRecorder {
    rings: Vec<(Option<usize>, Reader<{ event::WORDS }>)>,
}

/// A request that has no answer yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnderWay {
    /// That it came.
    pub received: TraceEvent,
    /// What happened to it last.
    pub last: TraceEvent,
}

impl FlightRecorder {
    /// Everything that is kept, in order of time.
    pub fn events(&self) -> Vec<TraceEvent> {
        let of_ring = |(reactor, ring): &(Option<usize>, Reader<{ event::WORDS }>)| {
            let reactor = *reactor;
            ring.read(0).records.into_iter().filter_map(move |record| TraceEvent::parse(record, reactor))
        };
        let mut events: Vec<TraceEvent> = self.rings.iter().flat_map(of_ring).collect();
        // Stable: events of one reactor stay in the order in which they happened.
        events.sort_by_key(|event| event.time_ns);
        events
    }
}

/// The requests that came during these events and were not answered, oldest first. What came before them is not known.
pub fn requests_under_way(events: &[TraceEvent]) -> Vec<UnderWay> {
    let mut under_way: Vec<UnderWay> = Vec::new();
    for &event in events {
        let is_of = |it: &UnderWay, tag| it.received.channel == event.channel && tag_of(&it.received) == Some(tag);
        match event.kind {
            EventKind::Received { .. } | EventKind::TaskManagement { .. } => {
                under_way.push(UnderWay { received: event, last: event });
            }
            EventKind::Answered { tag, .. }
            | EventKind::TaskManagementAnswered { tag, .. }
            | EventKind::Aborted { tag, answered: false } => {
                if let Some(at) = under_way.iter().position(|it| is_of(it, tag)) {
                    under_way.remove(at);
                }
            }
            EventKind::ChannelStopped => under_way.retain(|it| it.received.channel != event.channel),
            _ => {
                let tag = tag_of(&event);
                let of_it = under_way.iter_mut().rev().find(|it| tag.is_some_and(|tag| is_of(it, tag)));
                of_it.into_iter().for_each(|it| it.last = event);
            }
        }
    }
    under_way
}

fn tag_of(event: &TraceEvent) -> Option<Tag> {
    match event.kind {
        EventKind::Received { tag, .. }
        | EventKind::Submitted { tag, .. }
        | EventKind::Done { tag, .. }
        | EventKind::Answered { tag, .. }
        | EventKind::UnitAttention { tag, .. }
        | EventKind::TaskManagement { tag, .. }
        | EventKind::TaskManagementAnswered { tag, .. }
        | EventKind::Aborted { tag, .. } => Some(tag),
        _ => None,
    }
}

impl Controller {
    /// What reads the trace when nobody else can.
    pub fn flight_recorder(&self) -> FlightRecorder {
        FlightRecorder { rings: self.traces.readers() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(channel: u64, kind: EventKind) -> TraceEvent {
        TraceEvent { time_ns: 0, reactor: Some(0), session: Some(1), channel: Some(channel), kind }
    }

    #[test]
    fn what_has_no_answer_is_under_way() {
        let tag = |number: u8| Tag([number; 8]);
        let received =
            |channel, tag| event(channel, EventKind::Received { tag, lun: Some(0), cdb: [0; 16], data_bytes: 0 });
        let submitted =
            |channel, tag| event(channel, EventKind::Submitted { tag, operation: "read", lba: 0, blocks: 1 });
        let answered = |channel, tag| {
            let (status, sense, data_bytes, duration_ns) = (0, None, 0, 0);
            event(channel, EventKind::Answered { tag, status, sense, data_bytes, duration_ns })
        };
        let aborted = |channel, tag, answered| event(channel, EventKind::Aborted { tag, answered });
        let events = [
            answered(1, tag(9)), // it came before all this
            received(1, tag(1)),
            received(2, tag(1)),
            submitted(2, tag(1)),
            answered(1, tag(1)),
            received(1, tag(1)), // the same tag again
            received(1, tag(2)),
            aborted(1, tag(2), false),
            received(1, tag(3)),
            aborted(1, tag(3), true),
            received(3, tag(4)),
            event(3, EventKind::ChannelStopped),
        ];
        let found: Vec<_> = requests_under_way(&events).iter().map(|it| (it.received, it.last)).collect();
        let expected = [
            (received(2, tag(1)), submitted(2, tag(1))),
            (received(1, tag(1)), received(1, tag(1))),
            (received(1, tag(3)), aborted(1, tag(3), true)),
        ];
        assert_eq!(found, expected);
    }
}
