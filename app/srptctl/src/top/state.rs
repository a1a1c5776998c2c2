//! What the keys change.

use std::collections::BTreeMap;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::grid::{Order, Part};

/// Shown at the bottom.
pub(crate) const KEYS: &str = "q quit  Tab next view (0 all, 1 reactors, 2 sessions, 3 LUNs)  ←→ sort by  r reverse  ↑↓ scroll  +- interval  p pause";

/// The shortest interval that can be chosen, and the step.
const INTERVAL_STEP: Duration = Duration::from_millis(250);
const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// What the view shows and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct State {
    /// One part, or all of them.
    pub(crate) only: Option<Part>,
    pub(crate) interval: Duration,
    pub(crate) paused: bool,
    /// Rows that are left out above.
    pub(crate) scrolled: usize,
    orders: BTreeMap<Part, Order>,
}

/// What is to be done after a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Draw,
    Quit,
}

impl State {
    pub(crate) fn new(interval: Duration) -> State {
        State { only: None, interval, paused: false, scrolled: 0, orders: BTreeMap::new() }
    }

    pub(crate) fn order(&self, part: Part) -> Order {
        self.orders.get(&part).copied().unwrap_or(part.order())
    }

    /// The parts that are shown.
    pub(crate) fn parts(&self) -> Vec<Part> {
        self.only.map_or(Part::ALL.to_vec(), |part| vec![part])
    }

    pub(crate) fn press(&mut self, key: KeyEvent) -> Action {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Action::Quit,
            KeyCode::Char('q') | KeyCode::Esc => return Action::Quit,
            KeyCode::Char('0') => self.show(None),
            KeyCode::Char('1') => self.show(Some(Part::Reactors)),
            KeyCode::Char('2') => self.show(Some(Part::Sessions)),
            KeyCode::Char('3') => self.show(Some(Part::Bdevs)),
            KeyCode::Tab => self.show(match self.only {
                None => Some(Part::Reactors),
                Some(Part::Reactors) => Some(Part::Sessions),
                Some(Part::Sessions) => Some(Part::Bdevs),
                Some(Part::Bdevs) => None,
            }),
            KeyCode::Left => self.sort_by_next(-1),
            KeyCode::Right => self.sort_by_next(1),
            KeyCode::Char('r') => self.change_order(|order, _| order.descending = !order.descending),
            KeyCode::Up => self.scrolled = self.scrolled.saturating_sub(1),
            KeyCode::Down => self.scrolled = self.scrolled.saturating_add(1),
            KeyCode::Char('+') => self.interval = (self.interval + INTERVAL_STEP).min(INTERVAL_MAX),
            KeyCode::Char('-') => self.interval = self.interval.saturating_sub(INTERVAL_STEP).max(INTERVAL_STEP),
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            _ => {}
        }
        Action::Draw
    }

    fn show(&mut self, only: Option<Part>) {
        self.only = only;
        self.scrolled = 0;
    }

    /// The column to the left or right, and round at the end.
    fn sort_by_next(&mut self, step: isize) {
        self.change_order(|order, columns| {
            let columns = isize::try_from(columns).unwrap_or(1).max(1);
            let column = isize::try_from(order.column).unwrap_or(0);
            order.column = usize::try_from((column + step).rem_euclid(columns)).unwrap_or(0);
        });
    }

    /// Changes the order of the part that is shown; of the LUNs, where all are.
    fn change_order(&mut self, change: impl Fn(&mut Order, usize)) {
        let part = self.only.unwrap_or(Part::Bdevs);
        let mut order = self.order(part);
        change(&mut order, part.columns().len());
        self.orders.insert(part, order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(keys: &[KeyCode]) -> State {
        let mut state = State::new(Duration::from_secs(1));
        for key in keys {
            assert_eq!(state.press((*key).into()), Action::Draw, "{key:?}");
        }
        state
    }

    #[test]
    fn keys_choose_views() {
        assert_eq!(after(&[]).parts(), Part::ALL);
        assert_eq!(after(&[KeyCode::Char('2')]).parts(), [Part::Sessions]);
        assert_eq!(after(&[KeyCode::Char('2'), KeyCode::Char('0')]).parts(), Part::ALL);
        assert_eq!(after(&[KeyCode::Tab; 3]).parts(), [Part::Bdevs]);
        assert_eq!(after(&[KeyCode::Tab; 4]).parts(), Part::ALL);
    }

    #[test]
    fn keys_choose_the_order_of_what_is_shown() {
        let state = after(&[KeyCode::Char('1'), KeyCode::Left, KeyCode::Char('r')]);
        assert_eq!(state.order(Part::Reactors), Order { column: 3, descending: true });
        assert_eq!(state.order(Part::Bdevs), Part::Bdevs.order(), "the others stay");
        let last = Part::Bdevs.columns().len() - 1;
        assert_eq!(after(&[KeyCode::Left; 3]).order(Part::Bdevs).column, last);
        assert_eq!(after(&[KeyCode::Left, KeyCode::Left, KeyCode::Left, KeyCode::Right]).order(Part::Bdevs).column, 0);
    }

    #[test]
    fn the_interval_has_bounds() {
        assert_eq!(after(&[KeyCode::Char('-'); 9]).interval, INTERVAL_STEP);
        assert_eq!(after(&[KeyCode::Char('+'); 999]).interval, INTERVAL_MAX);
    }

    #[test]
    fn keys_end_it() {
        let mut state = State::new(Duration::from_secs(1));
        for key in [
            KeyEvent::from(KeyCode::Char('q')),
            KeyCode::Esc.into(),
            KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL),
        ] {
            assert_eq!(state.press(key), Action::Quit);
        }
        assert_eq!(state.press(KeyCode::Char('c').into()), Action::Draw);
    }
}
