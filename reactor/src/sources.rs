//! What may end a sleep beside the reactor's waker: files that become readable, and moments.

use std::time::Duration;

use arrayvec::ArrayVec;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::AsFd;

use crate::clock::Instant;

/// Most files that one sleep waits for, the waker's included. With more there is hardly ever nothing to do; then the reactor looks often.
const FILES_MAX: usize = 64;

/// What the pollers of a reactor wait for while it sleeps. Gathered anew for each sleep.
#[derive(Debug)]
pub struct WakeSources<'a> {
    /// The waker's first.
    files: ArrayVec<PollFd<'a>, FILES_MAX>,
    deadline: Option<Instant>,
    look_often: bool,
}

impl<'a> WakeSources<'a> {
    pub(crate) fn new(waker: &'a impl AsFd) -> WakeSources<'a> {
        let mut sources = WakeSources { files: ArrayVec::new(), deadline: None, look_often: false };
        sources.file(waker);
        sources
    }

    /// Work has come when this file is readable. Who adds one sees to it that polling makes it unreadable again, or arming does.
    pub fn file(&mut self, file: &'a impl AsFd) {
        if self.files.try_push(PollFd::new(file, PollFlags::IN)).is_err() {
            self.look_often();
        }
    }

    /// There is work at this moment, or there is some already if it has passed.
    pub fn deadline(&mut self, at: Instant) {
        self.deadline = Some(self.deadline.map_or(at, |earlier| earlier.min(at)));
    }

    /// Work may come of which nothing tells: the sleep is to be short.
    pub fn look_often(&mut self) {
        self.look_often = true;
    }

    pub(crate) fn are_to_be_looked_at_often(&self) -> bool {
        self.look_often
    }

    /// How long to sleep at `now`, at most `longest`.
    pub(crate) fn shorten(&self, longest: Duration, now: Instant) -> Duration {
        self.deadline.map_or(longest, |at| at.since(now).min(longest))
    }

    /// The waker's file first.
    pub(crate) fn files(&mut self) -> &mut [PollFd<'a>] {
        &mut self.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> std::fs::File {
        std::fs::File::open("/dev/null").expect("a file")
    }

    #[test]
    fn the_earliest_deadline_shortens_a_sleep() {
        let waker = file();
        let mut sources = WakeSources::new(&waker);
        let us = Duration::from_micros;
        assert_eq!(sources.shorten(us(9), Instant(1_000)), us(9));
        sources.deadline(Instant(6_000));
        sources.deadline(Instant(4_000));
        sources.deadline(Instant(5_000));
        assert_eq!(sources.shorten(us(9), Instant(1_000)), us(3));
        assert_eq!(sources.shorten(us(2), Instant(1_000)), us(2));
        assert_eq!(sources.shorten(us(9), Instant(4_001)), Duration::ZERO, "it has passed");
    }

    #[test]
    fn more_files_than_there_is_room_for_are_looked_at_often() {
        let (waker, other) = (file(), file());
        let mut sources = WakeSources::new(&waker);
        (1..FILES_MAX).for_each(|_| sources.file(&other));
        assert!(!sources.are_to_be_looked_at_often());
        sources.file(&other);
        assert!(sources.are_to_be_looked_at_often());
        assert_eq!(sources.files().len(), FILES_MAX);
    }
}
