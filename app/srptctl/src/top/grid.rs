//! What is shown, before it is drawn: tables whose rows can be put in order.

use std::cmp::Ordering;

use super::rates::{BdevRates, Rates, ReactorRates, SessionRates};
use crate::output::units;

/// A part of the view.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub(crate) enum Part {
    Reactors,
    Sessions,
    Bdevs,
}

/// A table with rows in some order.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Grid {
    pub(crate) title: &'static str,
    pub(crate) columns: &'static [Column],
    pub(crate) rows: Vec<Vec<Field>>,
}

/// A column.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// Whether numbers stand in it.
    pub(crate) number: bool,
    /// Characters that it needs.
    pub(crate) width: u16,
}

/// What stands in a row, and what it is ordered by.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Field {
    pub(crate) text: String,
    key: Key,
}

#[derive(Clone, PartialEq, Debug)]
enum Key {
    Number(f64),
    Text(String),
}

/// By which column rows are ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Order {
    pub(crate) column: usize,
    pub(crate) descending: bool,
}

impl Part {
    pub(crate) const ALL: [Part; 3] = [Part::Reactors, Part::Sessions, Part::Bdevs];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Part::Reactors => "Reactors",
            Part::Sessions => "Sessions",
            Part::Bdevs => "LUNs and bdevs",
        }
    }

    pub(crate) fn columns(self) -> &'static [Column] {
        match self {
            Part::Reactors => REACTORS,
            Part::Sessions => SESSIONS,
            Part::Bdevs => BDEVS,
        }
    }

    /// The order until another is chosen: cores as they are numbered, the busiest session and bdev first.
    pub(crate) fn order(self) -> Order {
        match self {
            Part::Reactors => Order { column: 0, descending: false },
            Part::Sessions => Order { column: 4, descending: true },
            Part::Bdevs => Order { column: 2, descending: true },
        }
    }

    /// Its table.
    pub(crate) fn grid(self, rates: &Rates, order: Order) -> Grid {
        let mut rows: Vec<Vec<Field>> = match self {
            Part::Reactors => rates.reactors.iter().map(reactor).collect(),
            Part::Sessions => rates.sessions.iter().map(session).collect(),
            Part::Bdevs => rates.bdevs.iter().map(bdev).collect(),
        };
        rows.sort_by(|a, b| {
            let ordering = match (a.get(order.column), b.get(order.column)) {
                (Some(a), Some(b)) => a.key.compare(&b.key),
                _ => Ordering::Equal,
            };
            if order.descending { ordering.reverse() } else { ordering }
        });
        Grid { title: self.title(), columns: self.columns(), rows }
    }
}

impl Key {
    fn compare(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::Number(a), Key::Number(b)) => a.total_cmp(b),
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            (Key::Number(_), Key::Text(_)) => Ordering::Less,
            (Key::Text(_), Key::Number(_)) => Ordering::Greater,
        }
    }
}

const fn words(title: &'static str, width: u16) -> Column {
    Column { title, number: false, width }
}

const fn number(title: &'static str, width: u16) -> Column {
    Column { title, number: true, width }
}

const REACTORS: &[Column] = &[number("CORE", 4), number("BUSY", 7), number("STALLS", 6), words("LAST STALLED", 20)];

/// Data-in that was delivered, and data-out that was fetched: what came within a request (immediate data) is in the bdev's figures only.
const SESSIONS: &[Column] = &[
    number("ID", 4),
    words("INITIATOR", 34),
    words("TARGET", 12),
    number("CHANNELS", 8),
    number("CMD/s", 7),
    number("DELIVER/s", 10),
    number("FETCH/s", 10),
    number("TMF/s", 6),
    number("WAITS/s", 7),
    number("FAIL/s", 6),
];

const BDEVS: &[Column] = &[
    words("BDEV", 16),
    words("LUNS", 16),
    number("IOPS", 7),
    number("R IOPS", 7),
    number("W IOPS", 7),
    number("READ/s", 10),
    number("WRITE/s", 10),
    number("R LAT", 8),
    number("W LAT", 8),
    number("DEPTH", 6),
    number("FAIL/s", 6),
];

fn text(text: &str) -> Field {
    Field { text: text.into(), key: Key::Text(text.into()) }
}

fn shown(value: f64, show: impl Fn(f64) -> String) -> Field {
    Field { text: show(value), key: Key::Number(value) }
}

fn integer(value: u64) -> Field {
    shown(value as f64, |_| value.to_string())
}

fn latency(value: Option<f64>) -> Field {
    shown(value.unwrap_or(0.0), |_| value.map_or("-".into(), units::time))
}

fn reactor(rates: &ReactorRates) -> Vec<Field> {
    vec![integer(rates.core), shown(rates.busy, units::percent), integer(rates.stalls), text(&rates.last_stalled)]
}

fn session(rates: &SessionRates) -> Vec<Field> {
    vec![
        integer(rates.id),
        text(if rates.initiator.is_empty() { &rates.peer } else { &rates.initiator }),
        text(&rates.target),
        integer(rates.channels),
        shown(rates.commands, units::count),
        shown(rates.bytes_delivered, units::bytes),
        shown(rates.bytes_fetched, units::bytes),
        shown(rates.task_management, units::count),
        shown(rates.waits, units::count),
        shown(rates.failures, units::count),
    ]
}

fn bdev(rates: &BdevRates) -> Vec<Field> {
    vec![
        text(&rates.name),
        text(&rates.luns.join(" ")),
        shown(rates.reads + rates.writes + rates.others, units::count),
        shown(rates.reads, units::count),
        shown(rates.writes, units::count),
        shown(rates.bytes_read, units::bytes),
        shown(rates.bytes_written, units::bytes),
        latency(rates.read_ns),
        latency(rates.write_ns),
        shown(rates.in_flight, |depth| format!("{depth:.1}")),
        shown(rates.failed, units::count),
    ]
}

/// All of it in one line.
pub(crate) fn summary(rates: &Rates) -> String {
    let iops: f64 = rates.bdevs.iter().map(|bdev| bdev.reads + bdev.writes + bdev.others).sum();
    let read: f64 = rates.bdevs.iter().map(|bdev| bdev.bytes_read).sum();
    let written: f64 = rates.bdevs.iter().map(|bdev| bdev.bytes_written).sum();
    let busy: f64 = rates.reactors.iter().map(|reactor| reactor.busy).sum();
    format!(
        "{}: {} sessions, {} IOPS, read {}/s, write {}/s, {busy:.1} of {} cores busy",
        rates.version,
        rates.sessions.len(),
        units::count(iops),
        units::bytes(read),
        units::bytes(written),
        rates.reactors.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        let bdev = |name: &str, reads, read_ns| BdevRates { name: name.into(), reads, read_ns, ..BdevRates::default() };
        Rates {
            bdevs: vec![bdev("b", 5.0, Some(1500.0)), bdev("a", 50_000.0, None), bdev("c", 9.0, Some(2.0))],
            ..Rates::default()
        }
    }

    fn names(order: Order) -> Vec<String> {
        Part::Bdevs.grid(&rates(), order).rows.into_iter().map(|row| row[0].text.clone()).collect()
    }

    #[test]
    fn rows_are_ordered_by_value_not_by_text() {
        assert_eq!(names(Part::Bdevs.order()), ["a", "c", "b"]);
        assert_eq!(names(Order { column: 2, descending: false }), ["b", "c", "a"]);
        assert_eq!(names(Order { column: 0, descending: false }), ["a", "b", "c"]);
        assert_eq!(names(Order { column: 7, descending: true }), ["b", "c", "a"]);
        assert_eq!(names(Order { column: 99, descending: true }), ["b", "a", "c"], "no such column: as they came");
    }

    #[test]
    fn every_row_has_a_field_for_each_column() {
        let rates = Rates {
            reactors: vec![ReactorRates::default()],
            sessions: vec![SessionRates::default()],
            bdevs: vec![BdevRates::default()],
            ..Rates::default()
        };
        for part in Part::ALL {
            let grid = part.grid(&rates, part.order());
            assert_eq!(grid.rows[0].len(), grid.columns.len(), "{part:?}");
            assert!(part.order().column < grid.columns.len());
        }
    }
}
