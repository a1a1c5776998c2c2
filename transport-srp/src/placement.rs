//! Which reactor a new channel comes to. It stays there for life: its queue pair, its buffers and its commands are that reactor's, and to
//! move them would stop it.
//!
//! The channels of one session are spread over the reactors first, so that a session of as many channels has all of them. Among those
//! reactors none gets the next that is clearly busier than another, where it is known how busy they are; and of the others the one with
//! the fewest channels. So neither one initiator nor many, logging in one by one or all at once, in whatever order, can end up on one core
//! while others idle. One that is full gets none while another is not.

/// What a reactor has already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Load {
    /// It has no buffers for another channel.
    pub(crate) is_full: bool,
    /// Channels of the session that the new one belongs to.
    pub(crate) of_session: usize,
    /// Share of its time that it was busy lately; the same of all where nobody measures it.
    pub(crate) busy_percent: u8,
    /// Channels in all.
    pub(crate) channels: usize,
}

/// A reactor is clearly busier than another from so many percent more on. Less is noise: two that do the same differ by some.
const CLEARLY_BUSIER_PERCENT: u8 = 10;

/// The number of the reactor that gets the next channel: the first of those with the least load.
pub(crate) fn place(loads: &[Load]) -> usize {
    let all_full = loads.iter().all(|load| load.is_full);
    let with_room = loads.iter().enumerate().filter(|(_, load)| all_full || !load.is_full);
    let of_session = with_room.clone().map(|(_, load)| load.of_session).min();
    let spread = with_room.filter(|(_, load)| Some(load.of_session) == of_session);
    let least_percent = spread.clone().map(|(_, load)| load.busy_percent).min().unwrap_or(0);
    let calm = spread.filter(|(_, load)| load.busy_percent - least_percent < CLEARLY_BUSIER_PERCENT);
    calm.min_by_key(|(_, load)| load.channels).map_or(0, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Channels of each session on each reactor, after logins of these sessions in this order. Each login finds the reactors as busy as
    /// `busy` says.
    fn placed(busy: &[u8], sessions: usize, logins: &[usize]) -> Vec<Vec<usize>> {
        let mut channels = vec![vec![0; busy.len()]; sessions];
        for &session in logins {
            let load = |(reactor, &busy_percent): (usize, &u8)| Load {
                is_full: false,
                of_session: channels[session][reactor],
                busy_percent,
                channels: channels.iter().map(|of| of[reactor]).sum(),
            };
            let loads: Vec<Load> = busy.iter().enumerate().map(load).collect();
            channels[session][place(&loads)] += 1;
        }
        channels
    }

    #[test]
    fn sessions_that_log_in_alternately_have_all_reactors_each() {
        assert_eq!(placed(&[0, 0], 2, &[0, 1, 0, 1]), [[1, 1], [1, 1]]);
    }

    #[test]
    fn sessions_of_one_channel_are_dealt_out() {
        assert_eq!(placed(&[0, 0, 0], 4, &[0, 1, 2, 3]), [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]);
    }

    #[test]
    fn new_sessions_come_to_the_reactors_that_are_clearly_less_busy() {
        assert_eq!(placed(&[90, 5, 14], 3, &[0, 1, 2]), [[0, 1, 0], [0, 0, 1], [0, 1, 0]]);
        assert_eq!(placed(&[10, 0], 2, &[0, 1]), [[0, 1], [0, 1]], "from ten percent on");
        assert_eq!(placed(&[9, 0], 2, &[0, 1]), [[1, 0], [0, 1]], "less is noise");
    }

    #[test]
    fn a_session_of_several_channels_has_busy_reactors_too() {
        assert_eq!(placed(&[100, 0], 1, &[0, 0, 0]), [[1, 2]]);
    }

    /// An idle reactor whose buffers one initiator had taken got the next login, too, which was refused while another reactor had room.
    #[test]
    fn a_full_reactor_gets_no_channel_while_another_has_room() {
        let load = |is_full, of_session, busy_percent, channels| Load { is_full, of_session, busy_percent, channels };
        assert_eq!(place(&[load(true, 0, 0, 4), load(false, 2, 90, 7)]), 1);
        assert_eq!(place(&[load(true, 0, 50, 4), load(true, 0, 0, 4)]), 1, "all full: as if none were");
    }

    fn any_load() -> impl Strategy<Value = Load> {
        let load = |(of_session, busy_percent, channels)| Load { is_full: false, of_session, busy_percent, channels };
        (0..3_usize, 0..=100_u8, 0..5_usize).prop_map(load)
    }

    proptest! {
        #[test]
        fn every_session_is_spread_evenly(
            busy in prop::collection::vec(0..=100_u8, 1..9),
            is_measured in any::<bool>(),
            logins in prop::collection::vec(0..6_usize, 0..64),
        ) {
            let busy = if is_measured { busy } else { vec![0; busy.len()] };
            for of_session in placed(&busy, 6, &logins) {
                let (least, most) = (of_session.iter().min(), of_session.iter().max());
                prop_assert!(most.unwrap() - least.unwrap() <= 1, "{:?}", of_session);
            }
        }

        #[test]
        fn no_channel_comes_to_a_reactor_while_another_is_clearly_less_busy(loads in prop::collection::vec(any_load(), 1..9)) {
            let chosen = loads[place(&loads)];
            for other in loads {
                prop_assert!(chosen.of_session <= other.of_session);
                if chosen.of_session == other.of_session {
                    prop_assert!(chosen.busy_percent < other.busy_percent + CLEARLY_BUSIER_PERCENT, "{other:?}");
                    let is_calm = other.busy_percent <= chosen.busy_percent;
                    prop_assert!(!is_calm || chosen.channels <= other.channels, "{other:?}");
                }
            }
        }

        #[test]
        fn reactors_that_are_equally_busy_are_as_if_nobody_measured(
            loads in prop::collection::vec(any_load(), 1..9),
            busy_percent in 0..=100_u8,
        ) {
            let with = |busy_percent| loads.iter().map(|&load| Load { busy_percent, ..load }).collect::<Vec<_>>();
            let fewest = loads.iter().enumerate().min_by_key(|(_, load)| (load.of_session, load.channels));
            prop_assert_eq!(place(&with(busy_percent)), place(&with(0)));
            prop_assert_eq!(Some(place(&with(busy_percent))), fewest.map(|(number, _)| number));
        }
    }
}
