//! Messages between threads: bounded, typed, many senders to one receiver, no locks, no allocation after creation.
//!
//! The receiver is polled by a poller of the reactor that owns it. A send wakes that reactor if it sleeps.
//!
//! The queue is crossbeam's `ArrayQueue`. One of its properties is worth knowing: a receiver that meets a message
//! whose sender was preempted half way through its push spins until that sender runs on. The window is a few
//! instructions long, and the stall detector counts it if it ever hurts.

use std::fmt;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use crate::waker::Waker;

/// Makes a mailbox for `capacity` messages, whose sends wake the reactor of `waker`. Messages that nobody received are
/// dropped with the last of its ends.
///
/// # Panics
/// If `capacity` is 0.
pub fn mailbox<T: Send>(capacity: usize, waker: Waker) -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(ArrayQueue::new(capacity));
    (Sender { queue: Arc::clone(&queue), waker }, Receiver { queue })
}

/// The sending end of a mailbox; clones send to the same one.
pub struct Sender<T> {
    queue: Arc<ArrayQueue<T>>,
    waker: Waker,
}

impl<T> Sender<T> {
    /// Puts a message into the mailbox and wakes its reactor if that sleeps. Messages of one sender arrive in order.
    ///
    /// # Errors
    /// [`Full`] gives the message back when the mailbox holds as many as it can.
    pub fn send(&self, message: T) -> Result<(), Full<T>> {
        self.queue.push(message).map_err(Full)?;
        self.waker.wake();
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { queue: Arc::clone(&self.queue), waker: self.waker.clone() }
    }
}

/// The receiving end of a mailbox: there is one.
pub struct Receiver<T> {
    queue: Arc<ArrayQueue<T>>,
}

impl<T> Receiver<T> {
    /// Takes the oldest message, if there is one. An empty mailbox costs two loads.
    #[inline]
    pub fn receive(&mut self) -> Option<T> {
        // Asked first because a pop from an empty queue passes a full fence, and most polls find nothing.
        if self.is_empty() { None } else { self.queue.pop() }
    }

    /// Whether there is no message now.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("waiting", &self.queue.len()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("waiting", &self.queue.len()).finish_non_exhaustive()
    }
}

/// The mailbox held as many messages as it can; the message comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mailbox is full")
    }
}

impl<T> std::error::Error for Full<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_in_order() {
        let (sender, mut receiver) = mailbox(2, Waker::new());
        assert!(receiver.is_empty());
        sender.send(1).unwrap();
        sender.clone().send(2).unwrap();
        assert_eq!([receiver.receive(), receiver.receive(), receiver.receive()], [Some(1), Some(2), None]);
    }

    #[test]
    fn a_full_mailbox_gives_the_message_back() {
        let (sender, mut receiver) = mailbox(1, Waker::new());
        sender.send("first").unwrap();
        assert_eq!(sender.send("second"), Err(Full("second")));
        assert_eq!(receiver.receive(), Some("first"));
        assert_eq!(sender.send("second"), Ok(()));
    }

    #[test]
    fn messages_nobody_received_are_dropped() {
        let message = Arc::new(());
        let (sender, receiver) = mailbox(1, Waker::new());
        sender.send(Arc::clone(&message)).unwrap();
        drop((sender, receiver));
        assert_eq!(Arc::strong_count(&message), 1);
    }
}
