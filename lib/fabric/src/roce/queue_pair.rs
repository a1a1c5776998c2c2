//! A queue pair as it travels between the control side and a poll group, and what the two share about it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;

use super::devices::DeviceIndex;
use super::packet_io::{PacketIo, Path};
use super::rc::EndpointOptions;
use super::statistics::DataCounters;
use super::wire::Psn;
use crate::sleeper::Sleeper;

/// A queue pair: made by the control side, adopted by a poll group, given back when nothing is outstanding on it.
#[derive(Debug)]
pub struct QueuePair {
    pub(super) options: EndpointOptions,
    pub(super) path: Path,
    pub(super) device: DeviceIndex,
    pub(super) link: Arc<Link>,
}

/// What the two sides tell each other about one queue pair. Flags are only ever set.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Control → group: it is to go into error. Group → control: it did.
    failed: AtomicBool,
    /// Group → control: the peer sent something.
    heard: AtomicBool,
    /// Control → group: READs that may be outstanding.
    reads_max: AtomicU8,
    /// Control → group: the peer's end, once it is known; see [`Remote`].
    remote: AtomicU64,
}

/// The peer's end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Remote {
    /// Its queue pair number.
    pub(super) qpn: u32,
    /// The first PSN that we send.
    pub(super) send_psn: Psn,
}

/// Marks [`Link::remote`] as set: 24 bits each of number and PSN stand below.
const KNOWN: u64 = 1 << 48;

impl Link {
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn hear(&self) {
        self.heard.store(true, Ordering::Release);
    }

    pub(super) fn was_heard(&self) -> bool {
        self.heard.load(Ordering::Acquire)
    }

    pub(super) fn set_reads_max(&self, reads: u8) {
        self.reads_max.store(reads, Ordering::Release);
    }

    pub(super) fn reads_max(&self) -> u8 {
        self.reads_max.load(Ordering::Acquire)
    }

    pub(super) fn set_remote(&self, remote: Remote) {
        let bits = KNOWN | u64::from(remote.qpn) << 24 | u64::from(remote.send_psn.get());
        self.remote.store(bits, Ordering::Release);
    }

    pub(super) fn remote(&self) -> Option<Remote> {
        let bits = self.remote.load(Ordering::Acquire);
        let low24 = |bits: u64| (bits & 0xff_ffff) as u32;
        (bits & KNOWN != 0).then(|| Remote { qpn: low24(bits >> 24), send_psn: Psn::new(low24(bits)) })
    }
}

/// The way from the control side to one poll group, and back.
pub(super) struct Mail {
    /// Packet I/O of devices that were opened, on its way to the group; at most [`super::devices::DEVICES_MAX`].
    pub(super) ports: ArrayQueue<(DeviceIndex, PacketIo)>,
    /// Counts what the control side changed in links and ports.
    changes: AtomicU32,
    /// Counts what any group changed in its links; shared by all groups of a control side.
    pub(super) news: Arc<AtomicU32>,
    /// What the group counted: the newest copy that was not taken yet.
    pub(super) counters: ArrayQueue<DataCounters>,
    /// The group's reactor.
    pub(super) sleeper: Sleeper,
}

impl Mail {
    pub(super) fn new(ports: usize, news: Arc<AtomicU32>) -> Mail {
        let (ports, counters) = (ArrayQueue::new(ports), ArrayQueue::new(1));
        Mail { ports, changes: AtomicU32::new(0), news, counters, sleeper: Sleeper::default() }
    }

    /// Makes the group look at its links and ports. Release: it then sees what was changed before.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.sleeper.wake();
    }

    pub(super) fn changes(&self) -> u32 {
        self.changes.load(Ordering::Acquire)
    }

    /// Makes the control side look at the links. Release: as above.
    pub(super) fn tell(&self) {
        self.news.fetch_add(1, Ordering::Release);
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mail")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_end_is_known_once_it_is_set_even_if_its_numbers_are_zero() {
        let link = Link::default();
        assert_eq!(link.remote(), None);
        let remote = Remote { qpn: 0, send_psn: Psn::new(0) };
        link.set_remote(remote);
        assert_eq!(link.remote(), Some(remote));
        let remote = Remote { qpn: 0xff_fffe, send_psn: Psn::new(0xff_fffd) };
        link.set_remote(remote);
        assert_eq!(link.remote(), Some(remote));
    }
}
