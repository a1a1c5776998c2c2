//! A value that is sent once to the thread that will use it, and is used by no other from then on. One of the fenced
//! files: its one `unsafe` lets a poll group travel to its reactor although the buffers that it will hold there
//! ([`mem::Buf`]) belong to one thread.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};

/// What travels: it becomes the value on the thread that first uses it.
pub trait Seed: Send {
    /// What it becomes; need not be `Send`.
    type Value;

    /// Called once, on the thread where the value will live.
    fn settle(self) -> Self::Value;
}

/// A [`Seed`] until its first use, and its value afterwards.
///
/// # Panics
/// Every use on another thread than that of the first use: that would be our own bug.
pub struct Homebound<S: Seed> {
    state: State<S>,
}

enum State<S: Seed> {
    Travelling(Option<S>),
    Settled { home: u64, value: ManuallyDrop<S::Value> },
}

// SAFETY: before the first use it holds only an `S`, which is `Send`. From then on every way to the value, dropping it
// included, compares the current thread with `home` first: the value is reached by the thread that made it, or not at
// all. Thread numbers are given out once per process and never again.
unsafe impl<S: Seed> Send for Homebound<S> {}

impl<S: Seed> Homebound<S> {
    /// Ready to travel.
    pub fn new(seed: S) -> Homebound<S> {
        Homebound { state: State::Travelling(Some(seed)) }
    }

    /// The value; the first call makes the current thread its home.
    #[inline]
    pub fn get_mut(&mut self) -> &mut S::Value {
        if let State::Travelling(seed) = &mut self.state {
            let seed = seed.take().expect("a seed settles once");
            self.state = State::Settled { home: thread_number(), value: ManuallyDrop::new(seed.settle()) };
        }
        match &mut self.state {
            State::Settled { home, value } if *home == thread_number() => value,
            _ => stranger(),
        }
    }

    /// The value, or `None` if it was never used.
    #[inline]
    pub fn get(&self) -> Option<&S::Value> {
        match &self.state {
            State::Travelling(_) => None,
            State::Settled { home, value } if *home == thread_number() => Some(value),
            State::Settled { .. } => stranger(),
        }
    }
}

impl<S: Seed> fmt::Debug for Homebound<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Travelling(_) => "Homebound(travelling)",
            State::Settled { .. } => "Homebound(settled)",
        })
    }
}

impl<S: Seed> Drop for Homebound<S> {
    fn drop(&mut self) {
        if let State::Settled { home, value } = &mut self.state {
            if *home == thread_number() {
                // SAFETY: this is the only place that drops it, and nothing uses it afterwards.
                unsafe { ManuallyDrop::drop(value) }
            } else {
                tracing::error!("a poll group was dropped away from its reactor: its buffers are leaked");
            }
        }
    }
}

#[cold]
fn stranger() -> ! {
    panic!("a poll group was used by two threads")
}

/// A number that no other thread of this process has or had.
#[inline]
fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static NUMBER: Cell<u64> = const { Cell::new(0) });
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    struct Count(u32);

    impl Seed for Count {
        type Value = Rc<Cell<u32>>;
        fn settle(self) -> Rc<Cell<u32>> {
            Rc::new(Cell::new(self.0))
        }
    }

    #[test]
    fn it_settles_where_it_is_first_used() {
        let mut travelling = Homebound::new(Count(7));
        assert!(travelling.get().is_none());
        let seen = std::thread::spawn(move || {
            travelling.get_mut().set(8);
            travelling.get().map(|value| value.get())
        });
        assert_eq!(seen.join().expect("the thread that it settled on may use it"), Some(8));
    }

    #[test]
    fn use_on_a_second_thread_panics_and_the_value_stays_untouched() {
        let mut settled = Homebound::new(Count(7));
        let keep = Rc::clone(settled.get_mut());
        let other = std::thread::spawn(move || {
            let used = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| settled.get_mut().set(9)));
            used.is_err()
        });
        assert!(other.join().expect("the panic was caught"));
        assert_eq!(keep.get(), 7);
        assert_eq!(Rc::strong_count(&keep), 2, "dropped by another thread than its own");
    }

    #[test]
    fn dropped_at_home_it_drops_its_value() {
        let mut settled = Homebound::new(Count(7));
        let keep = Rc::clone(settled.get_mut());
        drop(settled);
        assert_eq!(Rc::strong_count(&keep), 1);
    }
}
