//! How many packets may be on their way, and how fast they go out: the network between two ends has room for less than
//! the ends have work.

/// Packets at first: 128 KiB at the largest MTU, one large SRP transfer, about what a shallow switch port buffers.
const SIZE_FIRST: u32 = 32;

/// Fewest packets: with two on their way the loss of the first is seen from the second.
const SIZE_MIN: u32 = 2;

/// Most packets: 1 MiB at the largest MTU fills 40 Gbit/s at 200 µs, and a receiving socket's buffer (with its overhead).
const SIZE_MAX: u32 = 256;

/// The size of the window in packets (PSNs, so READ responses count): slow start, then one more per window; half after
/// a loss or a congestion notification (TCP's rules, RFC 5681). A timeout after which nothing turns out to be missing was
/// the peer's pause, not the network's loss: what it did is undone (in the manner of RFC 5682).
#[derive(Debug)]
pub(super) struct Window {
    size: u32,
    /// Below it, slow start.
    threshold: u32,
    /// Packets acknowledged since it last grew by one.
    acknowledged: u32,
    /// Losses of packets before this one were answered already: once per window is enough.
    answered_until: u64,
    /// Size and threshold before the timeouts since the last acknowledgement.
    before_timeout: Option<(u32, u32)>,
}

impl Window {
    pub(super) fn new() -> Window {
        Window { size: SIZE_FIRST, threshold: SIZE_MAX, acknowledged: 0, answered_until: 0, before_timeout: None }
    }

    #[inline]
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// `packets` were acknowledged while `in_flight` were on their way; now all before `oldest` are.
    #[inline]
    pub(super) fn on_acknowledged(&mut self, packets: u64, in_flight: u64, oldest: u64) {
        if let Some(before) = self.before_timeout.take()
            && oldest >= self.answered_until
        {
            (self.size, self.threshold) = before;
        }
        if in_flight < u64::from(self.size / 2) {
            return; // what is not used says nothing about the network
        }
        let packets = packets.min(u64::from(SIZE_MAX)) as u32;
        if self.size < self.threshold {
            self.size += packets;
        } else {
            self.acknowledged += packets;
            if self.acknowledged >= self.size {
                self.acknowledged = 0;
                self.size += 1;
            }
        }
        self.size = self.size.min(SIZE_MAX);
    }

    /// The network dropped or marked a packet, all before `oldest` are acknowledged and all before `sent` were sent.
    pub(super) fn on_congestion(&mut self, oldest: u64, sent: u64) {
        if oldest >= self.answered_until {
            self.halve(sent);
        }
    }

    /// Nothing came back for a whole timeout.
    pub(super) fn on_timeout(&mut self, sent: u64) {
        self.before_timeout = self.before_timeout.or(Some((self.size, self.threshold)));
        self.halve(sent);
    }

    fn halve(&mut self, sent: u64) {
        self.size = (self.size / 2).max(SIZE_MIN);
        self.threshold = self.size;
        self.acknowledged = 0;
        self.answered_until = sent;
    }
}

/// Round trips shorter than this are not paced: there a window is a burst that every buffer on the way can hold, and
/// gaps of under a microsecond per packet are finer than we are called.
const PACED_FROM_NS: u64 = 200_000;

/// Packets that may go out at once: 64 KiB at the largest MTU, what one call of the kernel takes (UDP segmentation).
const BURST: u64 = 16;

/// Spreads a window over the round trip, a quarter faster than it empties, so that a slow link is not buried by bursts
/// (a token bucket, kept as the time at which it is full again).
#[derive(Debug)]
pub(super) struct Pacer {
    full_at: u64,
}

impl Pacer {
    pub(super) fn new() -> Pacer {
        Pacer { full_at: 0 }
    }

    /// `None`: a packet may go out now, when `before` others have gone. Else when.
    #[inline]
    pub(super) fn wait(&self, now: u64, before: u64, window: &Window, round_trip: u64) -> Option<u64> {
        let interval = interval(window, round_trip);
        let at = (self.full_at.max(now) + before * interval).saturating_sub(BURST * interval);
        (at > now && round_trip >= PACED_FROM_NS).then_some(at)
    }

    #[inline]
    pub(super) fn on_sent(&mut self, now: u64, packets: u32, window: &Window, round_trip: u64) {
        self.full_at = self.full_at.max(now) + u64::from(packets) * interval(window, round_trip);
    }
}

/// Between two packets, in nanoseconds.
#[inline]
fn interval(window: &Window, round_trip: u64) -> u64 {
    round_trip * 4 / (5 * u64::from(window.size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_each_round_trip_until_the_first_loss_and_then_grows_by_one() {
        let mut window = Window::new();
        window.on_acknowledged(32, 32, 0);
        assert_eq!(window.size(), 64);
        window.on_congestion(100, 164);
        assert_eq!(window.size(), 32);
        window.on_acknowledged(31, 32, 0);
        assert_eq!(window.size(), 32);
        window.on_acknowledged(1, 32, 0);
        assert_eq!(window.size(), 33);
    }

    #[test]
    fn one_loss_per_window_counts_and_every_timeout() {
        let mut window = Window::new();
        window.on_congestion(0, 32);
        window.on_congestion(10, 40);
        window.on_congestion(31, 60);
        assert_eq!(window.size(), 16);
        window.on_congestion(32, 60);
        assert_eq!(window.size(), 8);
        window.on_timeout(60);
        window.on_timeout(60);
        assert_eq!(window.size(), 2);
        window.on_timeout(60);
        assert_eq!(window.size(), SIZE_MIN);
    }

    #[test]
    fn it_stays_within_its_bounds_and_does_not_grow_unused() {
        let mut window = Window::new();
        window.on_acknowledged(15, 15, 0);
        assert_eq!(window.size(), 32);
        window.on_acknowledged(u64::MAX, 1000, 0);
        assert_eq!(window.size(), SIZE_MAX);
        window.on_congestion(0, 1);
        (0..100_000).for_each(|_| window.on_acknowledged(1, 1000, 0));
        assert_eq!(window.size(), SIZE_MAX);
    }

    #[test]
    fn a_burst_goes_at_once_and_then_packets_at_the_pace() {
        let (window, mut pacer) = (Window::new(), Pacer::new());
        let round_trip = 400_000;
        let pace = 10_000; // 32 packets in four fifths of 400 µs
        let now = 1_000_000;
        for _ in 0..BURST {
            assert_eq!(pacer.wait(now, 0, &window, round_trip), None);
            pacer.on_sent(now, 1, &window, round_trip);
        }
        assert_eq!(pacer.wait(now, 0, &window, round_trip), None, "the bucket is just empty");
        assert_eq!(pacer.wait(now, 1, &window, round_trip), Some(now + pace));
        pacer.on_sent(now, 1, &window, round_trip);
        assert_eq!(pacer.wait(now, 0, &window, round_trip), Some(now + pace));
        assert_eq!(pacer.wait(now + pace, 0, &window, round_trip), None);
    }

    #[test]
    fn a_timeout_that_lost_nothing_is_undone_by_the_first_acknowledgement_of_everything() {
        let mut window = Window::new();
        window.on_acknowledged(64, 64, 64);
        window.on_timeout(164);
        window.on_timeout(164);
        assert_eq!(window.size(), 24);
        window.on_acknowledged(100, 0, 164);
        assert_eq!(window.size(), 96);

        window.on_timeout(264);
        window.on_acknowledged(1, 0, 165);
        window.on_acknowledged(99, 0, 264);
        assert_eq!(window.size(), 48, "the first acknowledgement was of one packet: others were missing");
    }

    #[test]
    fn short_round_trips_are_not_paced() {
        let (window, mut pacer) = (Window::new(), Pacer::new());
        pacer.on_sent(0, 1000, &window, 199_999);
        assert_eq!(pacer.wait(0, 0, &window, 199_999), None);
        assert!(pacer.wait(0, 0, &window, 200_000).is_some());
    }
}
