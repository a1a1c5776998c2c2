//! Queue pair numbers: unpredictable, and not given out again while packets of the last owner may still be under way.

use std::collections::{HashSet, VecDeque};

use super::random;

/// How long a number rests: as long as a late packet may live (IBTA vol. 1, 12.9.8.4: time wait).
const REST_NS: u64 = 10_000_000_000;

/// Numbers of one poll group: 16 random bits over the group's 8, which steer packets (see `packet_io`).
#[derive(Debug)]
pub(super) struct Numbers {
    /// Index of the group's packet I/O, 1 to 255: the low byte.
    queue: u8,
    used: HashSet<u16>,
    resting: VecDeque<(u64, u16)>,
}

impl Numbers {
    pub(super) fn new(queue: u8) -> Numbers {
        assert!(queue > 0, "queue 0 is the connection manager's");
        Numbers { queue, used: HashSet::new(), resting: VecDeque::new() }
    }

    /// A number that is free, or `None` if more than half of them are taken: then a guess would be too easy.
    pub(super) fn take(&mut self, now: u64) -> Option<u32> {
        while let Some(&(since, high)) = self.resting.front()
            && now.saturating_sub(since) >= REST_NS
        {
            self.resting.pop_front();
            self.used.remove(&high);
        }
        if self.used.len() > usize::from(u16::MAX / 2) {
            return None;
        }
        loop {
            let high = random::next() as u16;
            // 0 and 1 with a low byte of 1 would be the connection manager's numbers and their neighbours.
            if high != 0 && self.used.insert(high) {
                return Some(u32::from(high) << 8 | u32::from(self.queue));
            }
        }
    }

    /// Lets a number rest.
    pub(super) fn give_back(&mut self, now: u64, number: u32) {
        self.resting.push_back((now, (number >> 8) as u16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roce::packet_io::queue_of;

    #[test]
    fn numbers_lead_to_their_queue_and_differ() {
        let mut numbers = Numbers::new(7);
        let taken: HashSet<u32> = (0..1000).map(|_| numbers.take(0).expect("65535 numbers")).collect();
        assert_eq!(taken.len(), 1000);
        assert!(taken.iter().all(|&number| queue_of(number) == 7 && number < 1 << 24));
    }

    #[test]
    fn a_number_rests_before_it_is_given_out_again() {
        let mut numbers = Numbers::new(1);
        let first = numbers.take(0).expect("a number");
        numbers.give_back(0, first);
        assert!(numbers.used.contains(&((first >> 8) as u16)));
        numbers.take(REST_NS).expect("a number");
        assert!(numbers.resting.is_empty(), "it rested long enough");
    }

    #[test]
    fn it_ends_before_numbers_can_be_guessed() {
        let mut numbers = Numbers::new(1);
        let count = std::iter::from_fn(|| numbers.take(0)).count();
        assert_eq!(count, usize::from(u16::MAX / 2) + 1);
    }
}
