//! Messages between cores: a mailbox as the poll groups and the control plane have it, both ends on one core here.

use std::hint::black_box;

use reactor::{Waker, mailbox};

/// As large as those of the transport.
type Message = [u64; 4];
const CAPACITY: usize = 64;

/// One is sent and received; its reactor is awake.
pub fn message() -> Box<dyn FnMut()> {
    let waker = Waker::new();
    waker.wake();
    let (sender, mut receiver) = mailbox::<Message>(CAPACITY, waker);
    Box::new(move || {
        sender.send(black_box([1; 4])).expect("room for one");
        black_box(receiver.receive()).expect("a message");
    })
}

/// There is none: what a round costs.
pub fn empty() -> Box<dyn FnMut()> {
    let (sender, mut receiver) = mailbox::<Message>(CAPACITY, Waker::new());
    Box::new(move || {
        black_box(&sender);
        assert!(black_box(receiver.receive()).is_none());
    })
}
