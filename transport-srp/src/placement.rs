//! Which reactor a new channel comes to. It stays there for life: its queue pair, its buffers and its commands are that reactor's, and to
//! move them would stop it.
//!
//! The channels of one session are spread over the reactors first, so that a session of as many channels has all of them; among those
//! reactors the one with the fewest channels gets the next. So neither one initiator nor many, logging in one by one or all at once, in
//! whatever order, can end up on one core while others idle.

/// What a reactor has already.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Load {
    /// Channels of the session that the new one belongs to.
    pub(crate) of_session: usize,
    /// Channels in all.
    pub(crate) channels: usize,
}

/// The number of the reactor that gets the next channel: the first of those with the least load.
pub(crate) fn place(loads: impl IntoIterator<Item = Load>) -> usize {
    let least = loads.into_iter().enumerate().min_by_key(|&(_, load)| load);
    least.map_or(0, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Channels of each session on each reactor, after logins of these sessions in this order.
    fn placed(reactors: usize, sessions: usize, logins: &[usize]) -> Vec<Vec<usize>> {
        let mut channels = vec![vec![0; reactors]; sessions];
        for &session in logins {
            let load = |reactor: usize| Load {
                of_session: channels[session][reactor],
                channels: channels.iter().map(|of| of[reactor]).sum(),
            };
            let reactor = place((0..reactors).map(load));
            channels[session][reactor] += 1;
        }
        channels
    }

    #[test]
    fn sessions_that_log_in_alternately_have_all_reactors_each() {
        assert_eq!(placed(2, 2, &[0, 1, 0, 1]), [[1, 1], [1, 1]]);
    }

    #[test]
    fn sessions_of_one_channel_are_dealt_out() {
        assert_eq!(placed(3, 4, &[0, 1, 2, 3]), [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]);
    }

    proptest! {
        #[test]
        fn every_session_is_spread_evenly(reactors in 1..9_usize, logins in prop::collection::vec(0..6_usize, 0..64)) {
            for of_session in placed(reactors, 6, &logins) {
                let (least, most) = (of_session.iter().min(), of_session.iter().max());
                prop_assert!(most.unwrap() - least.unwrap() <= 1, "{:?}", of_session);
            }
        }
    }
}
