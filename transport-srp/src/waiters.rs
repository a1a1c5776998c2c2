//! Commands that wait for a buffer: those of one channel in their order, and channels take turns, so that none waits for what all the commands
//! of another ask for.

use std::collections::VecDeque;

use crate::channel::Channel;
use crate::command::Command;
use crate::slab::Key;

/// Whose a command is; `None`: nobody's any more.
type Owner = Option<Key<Channel>>;

/// Those who wait for buffers of one kind.
#[derive(Default)]
pub(crate) struct Waiters {
    /// Owners with commands that wait, in the order of their turns.
    turns: VecDeque<(Owner, VecDeque<Key<Command>>)>,
    /// Queues of nobody, empty, with room.
    spare: Vec<VecDeque<Key<Command>>>,
}

impl Waiters {
    /// Makes room, so that nothing is allocated while commands wait: for so many channels of so many commands each.
    pub(crate) fn reserve(&mut self, channels: usize, commands: usize) {
        self.turns.reserve(channels);
        let queues = self.turns.len() + self.spare.len();
        self.spare.resize_with(self.spare.len() + channels.saturating_sub(queues), VecDeque::new);
        let in_use = self.turns.iter_mut().map(|(_, queue)| queue);
        in_use.chain(&mut self.spare).for_each(|queue| queue.reserve(commands.saturating_sub(queue.len())));
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// How many commands wait; those that were ended meanwhile are among them.
    pub(crate) fn len(&self) -> usize {
        self.turns.iter().map(|(_, queue)| queue.len()).sum()
    }

    pub(crate) fn push(&mut self, owner: Owner, command: Key<Command>) {
        match self.turns.iter_mut().find(|(other, _)| *other == owner) {
            Some((_, queue)) => queue.push_back(command),
            None => {
                let mut queue = self.spare.pop().unwrap_or_default();
                queue.push_back(command);
                self.turns.push_back((owner, queue));
            }
        }
    }

    /// Whose turn it is.
    pub(crate) fn front(&self) -> Option<Key<Command>> {
        self.turns.front().and_then(|(_, queue)| queue.front()).copied()
    }

    /// That one had its turn.
    pub(crate) fn pop(&mut self) {
        let Some((owner, mut queue)) = self.turns.pop_front() else { return };
        queue.pop_front();
        if queue.is_empty() { self.spare.push(queue) } else { self.turns.push_back((owner, queue)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_take_turns_and_each_has_its_order() {
        let (channel, command) = (|bits| Some(Key::from_bits(bits)), Key::from_bits);
        let mut waiters = Waiters::default();
        waiters.reserve(3, 10);
        for number in 1..=4 {
            waiters.push(channel(1), command(number));
        }
        waiters.push(channel(2), command(20));
        waiters.push(None, command(30));
        waiters.push(channel(2), command(21));
        assert_eq!(waiters.len(), 7);
        let order: Vec<u64> = std::iter::from_fn(|| {
            let front = waiters.front()?.to_bits();
            waiters.pop();
            Some(front)
        })
        .collect();
        assert_eq!(order, [1, 20, 30, 2, 21, 3, 4]);
        assert_eq!((waiters.is_empty(), waiters.len()), (true, 0));
        assert_eq!(waiters.spare.len(), 3, "no queue was made or lost");
        waiters.pop();
    }
}
