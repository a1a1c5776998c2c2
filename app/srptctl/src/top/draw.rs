//! Draws the view.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::grid::{Grid, Order, Part, summary};
use super::rates::Rates;
use super::state::{KEYS, State};

/// Draws everything. `trouble` is why the newest figures are not there.
pub(crate) fn draw(frame: &mut Frame, state: &State, rates: &Rates, trouble: Option<&str>, color: bool) {
    let parts = state.parts();
    let mut heights = vec![Constraint::Length(1)];
    heights.extend(parts.iter().map(|part| height(*part, rates, parts.len() == 1)));
    heights.push(Constraint::Length(1));
    let areas = Layout::vertical(heights).split(frame.area());
    let [first, tables @ .., last] = &areas[..] else { return };
    frame.render_widget(head(state, rates, trouble, color), *first);
    for (part, area) in parts.iter().zip(tables) {
        let order = state.order(*part);
        table(frame, *area, part.grid(rates, order), order, state.scrolled, color);
    }
    frame.render_widget(Paragraph::new(KEYS).style(Style::new().add_modifier(Modifier::DIM)), *last);
}

/// Title, column titles and rows of a part. Where all are shown, the last takes what is left.
fn height(part: Part, rates: &Rates, alone: bool) -> Constraint {
    let rows = match part {
        Part::Reactors => rates.reactors.len(),
        Part::Sessions => rates.sessions.len(),
        Part::Bdevs => rates.bdevs.len(),
    };
    match part {
        _ if alone => Constraint::Min(3),
        Part::Bdevs => Constraint::Min(3),
        _ => Constraint::Length(u16::try_from(rows.clamp(1, 8)).unwrap_or(8) + 3),
    }
}

fn head<'a>(state: &State, rates: &Rates, trouble: Option<&'a str>, color: bool) -> Paragraph<'a> {
    let tone = |tone| if color { Style::new().fg(tone) } else { Style::new() };
    let (text, style) = match trouble {
        Some(trouble) => (trouble.to_string(), tone(Color::Red)),
        None if state.paused => (format!("paused; {}", summary(rates)), tone(Color::Yellow)),
        None => (summary(rates), Style::new()),
    };
    let interval = format!("  every {:.2} s", state.interval.as_secs_f64());
    Paragraph::new(Line::from(text + &interval)).style(style.add_modifier(Modifier::BOLD))
}

fn table(frame: &mut Frame, area: Rect, grid: Grid, order: Order, scrolled: usize, color: bool) {
    let count = grid.rows.len();
    let shown = usize::from(area.height.saturating_sub(3)).max(1);
    let first = scrolled.min(count.saturating_sub(shown));
    let [title, body, _] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)]).areas(area);
    let arrow = if order.descending { '↓' } else { '↑' };
    let by = grid.columns.get(order.column).map_or("", |column| column.title);
    let style = if color { Style::new().fg(Color::Cyan) } else { Style::new() };
    frame.render_widget(Paragraph::new(format!("{} ({count}), by {by} {arrow}", grid.title)).style(style), title);

    let aligned = |text: &str, number: bool| {
        let alignment = if number { Alignment::Right } else { Alignment::Left };
        Cell::from(Text::from(text.to_string()).alignment(alignment))
    };
    let titles = grid.columns.iter().map(|column| aligned(column.title, column.number));
    let rows =
        grid.rows.iter().skip(first).take(shown).map(|row| {
            Row::new(row.iter().zip(grid.columns).map(|(field, column)| aligned(&field.text, column.number)))
        });
    let widths = grid.columns.iter().map(|column| match column.number {
        true => Constraint::Length(column.width),
        false => Constraint::Max(column.width),
    });
    let header = Row::new(titles).style(Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Table::new(rows, widths).header(header).column_spacing(2), body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::rates::{BdevRates, ReactorRates, SessionRates};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::time::Duration;

    fn rates(bdevs: u32) -> Rates {
        let bdev = |n: u32| BdevRates {
            name: format!("disk{n:02}"),
            luns: vec![format!("tgt0/{n}")],
            reads: f64::from(1000 * n),
            bytes_read: f64::from(4_096_000 * n),
            read_ns: Some(25_300.0),
            in_flight: 3.96,
            ..BdevRates::default()
        };
        Rates {
            seconds: 1.0,
            version: "srpt-app v0.1.0".into(),
            reactors: vec![ReactorRates { core: 2, busy: 0.731, stalls: 4, last_stalled: "poll group".into() }],
            sessions: vec![SessionRates {
                id: 7,
                initiator: "fe80".into(),
                target: "tgt0".into(),
                channels: 2,
                commands: 12_345.0,
                ..SessionRates::default()
            }],
            bdevs: (1..=bdevs).map(bdev).collect(),
        }
    }

    fn screen(state: &State, rates: &Rates, trouble: Option<&str>, size: (u16, u16)) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a terminal in memory");
        terminal.draw(|frame| draw(frame, state, rates, trouble, false)).expect("drawn");
        let buffer = terminal.backend().buffer().clone();
        let line = |y| (0..size.0).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_string();
        (0..size.1).map(line).collect()
    }

    fn state() -> State {
        State::new(Duration::from_secs(1))
    }

    #[test]
    fn everything_is_on_one_screen() {
        let lines = screen(&state(), &rates(2), None, (140, 20));
        let expected = [
            "srpt-app v0.1.0: 1 sessions, 3k IOPS, read 11.7 MiB/s, write 0 B/s, 0.7 of 1 cores busy  every 1.00 s",
            "Reactors (1), by CORE ↑",
            "CORE     BUSY  STALLS  LAST STALLED",
            "   2   73.1 %       4  poll group",
            "",
            "Sessions (1), by CMD/s ↓",
        ];
        assert_eq!(lines[..6], expected, "{lines:#?}");
        assert!(lines[7].starts_with("   7  fe80") && lines[7].contains("12.3k"), "{lines:#?}");
        assert_eq!(lines[9], "LUNs and bdevs (2), by IOPS ↓");
        assert!(lines[11].starts_with("disk02            tgt0/2") && lines[11].contains("25.3 µs"), "{lines:#?}");
        assert!(lines[12].starts_with("disk01"), "{lines:#?}");
        assert!(lines[19].starts_with("q quit"), "{lines:#?}");
    }

    #[test]
    fn long_lists_scroll_to_their_end_and_no_further() {
        let mut state = state();
        state.only = Some(Part::Bdevs);
        let names = |state: &State| {
            let lines = screen(state, &rates(30), None, (120, 10));
            lines
                .into_iter()
                .filter(|line| line.starts_with("disk"))
                .map(|line| line[..6].to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&state), ["disk30", "disk29", "disk28", "disk27", "disk26"]);
        state.scrolled = 1000;
        assert_eq!(names(&state), ["disk05", "disk04", "disk03", "disk02", "disk01"]);
    }

    #[test]
    fn trouble_stands_where_the_summary_stood() {
        let lines = screen(&state(), &rates(1), Some("cannot connect"), (100, 16));
        assert!(lines[0].starts_with("cannot connect"), "{lines:#?}");
    }

    #[test]
    fn no_size_is_too_small() {
        for size in [(1, 1), (3, 2), (20, 5), (500, 3)] {
            screen(&state(), &rates(50), None, size);
        }
    }
}
