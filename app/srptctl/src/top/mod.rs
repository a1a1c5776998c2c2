//! `srptctl top`: what the target does, live.
//!
//! ```text
//!  RPC answers ──► sample.rs  counts at one moment
//!                  rates.rs   two samples ──► what happens in a second
//!                  grid.rs    tables in some order ──► draw.rs  the terminal, or text for --batch
//!                  state.rs   what keys change
//! ```
//!
//! Everything but this file is functions of their input. Rates come from the target's own clock and counters, so that they are right however
//! long an answer takes.

mod draw;
mod grid;
mod rates;
mod sample;
mod state;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyEventKind};
use ratatui::DefaultTerminal;
use serde_json::{Value, json};

use crate::cli::Session;
use crate::failure::Failure;
use crate::output::table::{Column, Table, left, right};
use grid::{Part, summary};
use rates::{Rates, rates};
use sample::{Answers, Sample};
use state::{Action, State};

/// All methods that are asked.
pub(crate) const METHODS: &[&str] = &[
    "spdk_get_version",
    "framework_get_reactors",
    "srp_get_sessions",
    "bdev_get_iostat",
    "srp_get_targets",
    "srp_get_initiator_groups",
];

/// Shows the view until a key ends it.
pub(crate) fn live(session: &Session, interval: Duration) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() {
        return Err(Failure::Usage("top needs a terminal; --batch prints its figures as text".into()));
    }
    // What cannot be reached at all is told where it can be read.
    let first = take(session)?;
    let mut terminal = ratatui::try_init()?;
    let outcome = show(session, &mut terminal, State::new(interval), first);
    ratatui::restore();
    outcome
}

fn show(session: &Session, terminal: &mut DefaultTerminal, mut state: State, first: Sample) -> Result<(), Failure> {
    let color = session.output.is_colored();
    let mut shown = rates(None, &first);
    let (mut last, mut taken, mut trouble) = (Some(first), Instant::now(), None);
    loop {
        terminal.draw(|frame| draw::draw(frame, &state, &shown, trouble.as_deref(), color))?;
        let wait = state.interval.saturating_sub(taken.elapsed());
        if event::poll(if state.paused { Duration::from_secs(3600) } else { wait })? {
            let Event::Key(key) = event::read()? else { continue };
            if key.kind != KeyEventKind::Release && state.press(key) == Action::Quit {
                return Ok(());
            }
        }
        if state.paused || taken.elapsed() < state.interval {
            continue;
        }
        taken = Instant::now();
        match take(session) {
            Ok(sample) => {
                shown = rates(last.as_ref(), &sample);
                (last, trouble) = (Some(sample), None);
            }
            // A target that is started anew is shown again as soon as it is there.
            Err(failure) => trouble = Some(failure.to_string()),
        }
    }
}

/// Prints so many frames as text; each tells of the time since the one before.
pub(crate) fn batch(session: &Session, interval: Duration, frames: u64) -> Result<(), Failure> {
    let mut last = take(session)?;
    for frame in 0..frames {
        std::thread::sleep(interval);
        let sample = take(session)?;
        let gap = if frame == 0 { "" } else { "\n" };
        session.output.line(&format!("{gap}{}", text(&rates(Some(&last), &sample))))?;
        last = sample;
    }
    Ok(())
}

fn text(rates: &Rates) -> String {
    let mut text = format!("{}\n", summary(rates));
    for part in Part::ALL {
        let grid = part.grid(rates, part.order());
        let column =
            |column: &grid::Column| -> Column { if column.number { right(column.title) } else { left(column.title) } };
        let mut table = Table::new(grid.columns.iter().map(column));
        for row in &grid.rows {
            table.row(row.iter().map(|field| field.text.clone().into()));
        }
        text += &format!("\n{}\n{}", grid.title, table.render(false, None));
    }
    text
}

fn take(session: &Session) -> Result<Sample, Failure> {
    let call = |method| -> Result<Value, Failure> { session.target.call(method, json!({})) };
    let answers = Answers {
        version: call("spdk_get_version")?,
        targets: call("srp_get_targets")?,
        groups: call("srp_get_initiator_groups")?,
        reactors: call("framework_get_reactors")?,
        sessions: call("srp_get_sessions")?,
        iostat: call("bdev_get_iostat")?,
    };
    Ok(Sample::new(&answers))
}
