//! Logins, several channels, relogin, and channels that die.

use fabric::sim::SimOptions;

use super::*;
use crate::testing::Login;
use crate::{InitiatorGroup, limits};

fn rig() -> Rig {
    let mut rig = Rig::new(11, 2, SimOptions::default(), 32);
    rig.export(&malloc("ram0", 64));
    rig
}

fn refused(rig: &mut Rig, options: InitiatorOptions) -> u32 {
    let mut initiator = Initiator::new(&rig.network, options);
    match initiator.open(MultiChannel::Single, &mut || rig.step()) {
        Err(Login::Refused(Some(refusal))) => refusal.reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn each_kind_of_refusal_has_its_reason_on_the_wire() {
    let mut rig = rig();
    let mut other_target = initiator_options(1);
    other_target.target_port[15] ^= 1;
    assert_eq!(refused(&mut rig, other_target), 0x0001_0003);
    assert_eq!(refused(&mut rig, InitiatorOptions { max_it_iu_len: 8261, ..initiator_options(1) }), 0x0001_0002);
    assert_eq!(refused(&mut rig, InitiatorOptions { formats: 0, ..initiator_options(1) }), 0x0001_0004);
    let initiators = vec!["192.0.2.7".parse().expect("a pattern")];
    let group = InitiatorGroup::new("g".into(), None, initiators, Some(vec![]));
    rig.controller.create_initiator_group(group).expect("a group");
    assert_eq!(refused(&mut rig, initiator_options(1)), 0x0001_0006);
    let mut allowed = rig.initiator(7);
    let channel = rig.login(&mut allowed, MultiChannel::Single);
    let answer = rig.execute(&mut allowed, channel, &Request::inquiry(lun(0), None, 36)).good();
    assert_ne!(answer.data[0], 0, "its group shows it no unit");
    rig.check_refusals_left_nothing(1);
}

impl Rig {
    fn check_refusals_left_nothing(&mut self, sessions: usize) {
        self.run(50);
        assert_eq!(self.controller.sessions().len(), sessions);
        assert_eq!(self.controller.connections.len(), sessions);
    }
}

#[test]
fn several_channels_on_two_reactors_are_one_session() {
    let mut rig = rig();
    let mut initiator = rig.initiator(1);
    let first = rig.login(&mut initiator, MultiChannel::Single);
    let others: Vec<usize> = (0..3).map(|_| rig.login(&mut initiator, MultiChannel::Multi)).collect();
    let sessions = rig.controller.sessions();
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].channels.len(), 4);
    assert_eq!(
        sessions[0].channels.iter().filter(|channel| channel.reactor == 0).count(),
        2,
        "spread over both reactors"
    );
    // One unit attention for the nexus, not one per channel.
    rig.clear_attention(&mut initiator, first, 0);
    for &channel in &others {
        rig.execute(&mut initiator, channel, &Request::test_unit_ready(lun(0))).good();
    }
    for channel in [first].into_iter().chain(others) {
        initiator.disconnect(channel);
    }
    rig.check_nothing_leaked();
}

#[test]
fn a_new_session_comes_to_the_idle_reactor_while_the_other_is_busy() {
    let mut rig = rig();
    let reactors = |rig: &Rig| {
        let sessions = rig.controller.sessions();
        sessions.iter().map(|session| session.channels.iter().map(|channel| channel.reactor).collect()).collect()
    };
    let mut initiators: Vec<Initiator> = (1..=5).map(|number| rig.initiator(number)).collect();
    let mut login = |rig: &mut Rig, index: usize, action| rig.login(&mut initiators[index], action);
    login(&mut rig, 0, MultiChannel::Single);
    rig.controller.set_busy_percents(&[5, 95]);
    login(&mut rig, 1, MultiChannel::Single);
    login(&mut rig, 2, MultiChannel::Single);
    login(&mut rig, 2, MultiChannel::Multi);
    let busy: Vec<Vec<usize>> = reactors(&rig);
    assert_eq!(busy, [vec![0], vec![0], vec![0, 1]], "none comes to the busy one but a session's second channel");
    // Nobody measures any more: the fewest channels decide, and those that are there have stayed.
    rig.controller.set_busy_percents(&[]);
    login(&mut rig, 3, MultiChannel::Single);
    login(&mut rig, 4, MultiChannel::Single);
    assert_eq!(reactors(&rig), [busy, vec![vec![1], vec![1]]].concat());
}

#[test]
fn a_single_login_ends_the_old_channels_first_and_a_multi_login_does_not() {
    let mut rig = rig();
    let mut initiator = rig.initiator(1);
    let old = [rig.login(&mut initiator, MultiChannel::Single), rig.login(&mut initiator, MultiChannel::Multi)];
    assert_eq!(rig.controller.sessions()[0].channels.len(), 2);
    let new = rig.login(&mut initiator, MultiChannel::Single);
    rig.run(50);
    initiator.poll();
    assert_eq!(rig.controller.sessions().len(), 1);
    assert_eq!(rig.controller.sessions()[0].channels.len(), 1, "only the new one is left");
    for channel in old {
        assert!(matches!(initiator.login_state(channel), Login::Ended(_)));
    }
    rig.clear_attention(&mut initiator, new, 0);
    initiator.disconnect(new);
    rig.check_nothing_leaked();
}

/// The older was let in first, whose initiator had given it up, and the newer was refused half a minute later.
#[test]
fn of_logins_that_wait_for_the_same_channels_to_end_the_newest_is_let_in() {
    let mut rig = rig();
    let mut initiators = [rig.initiator(1), rig.initiator(1), rig.initiator(1)];
    let mut channels = vec![rig.login(&mut initiators[0], MultiChannel::Single)];
    for initiator in &mut initiators[1..] {
        channels.push(initiator.login(MultiChannel::Single));
        // The reactor does nothing meanwhile: what is to be replaced does not end.
        for _ in 0..20 {
            rig.network.advance(Duration::from_micros(2));
            rig.controller.poll(Instant(u64::try_from(rig.network.now().as_nanos()).expect("tests are short")));
        }
    }
    rig.run(50);
    let states = initiators.iter_mut().zip(&channels).map(|(initiator, &channel)| {
        initiator.poll();
        initiator.login_state(channel)
    });
    let states: Vec<Login> = states.collect();
    assert!(matches!(&states[..], [Login::Ended(_), Login::Refused(_), Login::Accepted(_)]), "{states:?}");
    assert_eq!(rig.channels(), [1]);
}

#[test]
fn logins_and_logouts_in_a_row_leave_nothing_behind() {
    let mut rig = rig();
    for _ in 0..50 {
        let mut initiator = rig.initiator(1);
        let channel = rig.login(&mut initiator, MultiChannel::Single);
        rig.clear_attention(&mut initiator, channel, 0);
        initiator.disconnect(channel);
        rig.run(20);
    }
    rig.check_nothing_leaked();
}

#[test]
fn an_initiator_that_vanishes_is_found_out_by_the_keepalive() {
    let mut rig = rig();
    let mut initiator = rig.initiator(1);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    rig.clear_attention(&mut initiator, channel, 0);
    initiator.vanish();
    for _ in 0..40 {
        rig.network.advance(limits::KEEPALIVE_PERIOD / 4);
        rig.run(10);
    }
    rig.check_nothing_leaked();
}

#[test]
fn garbage_ends_its_own_channel_and_no_other() {
    let mut rig = rig();
    let (mut good, mut bad) = (rig.initiator(1), rig.initiator(2));
    let good_channel = rig.login(&mut good, MultiChannel::Single);
    let bad_channel = rig.login(&mut bad, MultiChannel::Single);
    rig.clear_attention(&mut good, good_channel, 0);
    bad.send_raw(bad_channel, &[0x02, 0, 0]).expect("a channel");
    rig.run(100);
    bad.poll();
    assert!(matches!(bad.login_state(bad_channel), Login::Ended(_)));
    assert_eq!(rig.controller.sessions().len(), 1);
    rig.execute(&mut good, good_channel, &Request::test_unit_ready(lun(0))).good();
    good.disconnect(good_channel);
    rig.check_nothing_leaked();
}

#[test]
fn a_drain_answers_what_was_accepted_and_closes_every_channel() {
    let mut rig = rig();
    let mut initiator = rig.initiator(1);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    rig.clear_attention(&mut initiator, channel, 0);
    let handles: Vec<_> = (0..8)
        .map(|index| {
            initiator.start(channel, &Request::write(lun(0), index, BLOCK, pattern(512, 1))).expect("a credit")
        })
        .collect();
    rig.step();
    rig.step();
    rig.controller.start_drain();
    rig.run(300);
    initiator.poll();
    assert!(rig.controller.is_drained());
    assert_eq!(initiator.target_logout(channel), Some(0), "SRP_T_LOGOUT came first");
    for handle in handles {
        assert!(initiator.take(handle).is_some(), "answered, or its channel ended");
    }
    rig.check_nothing_leaked();
}

/// Two channels for each initiator.
fn limited_rig() -> Rig {
    let mut rig = rig();
    rig.controller.set_channels_per_initiator(2);
    rig
}

impl Rig {
    /// Logs in, and returns the reason of the refusal, if it is one.
    fn try_login(&mut self, initiator: &mut Initiator, action: MultiChannel) -> Option<u32> {
        match initiator.open(action, &mut || self.step()) {
            Ok(_) => None,
            Err(Login::Refused(Some(refusal))) => Some(refusal.reason),
            Err(other) => panic!("neither accepted nor refused: {other:?}"),
        }
    }

    /// Logins that were refused because of the limit.
    fn refused_by_limit(&mut self) -> u64 {
        let refusals = self.controller.statistics().refusals;
        refusals.into_iter().find(|(cause, _)| *cause == "initiator_limit").expect("it is counted").1
    }

    fn channels(&self) -> Vec<usize> {
        self.controller.sessions().iter().map(|session| session.channels.len()).collect()
    }
}

#[test]
fn an_initiator_at_its_limit_gets_no_other_channel_and_others_do() {
    let mut rig = limited_rig();
    let (mut greedy, mut other) = (rig.initiator(1), rig.initiator(2));
    let first = rig.login(&mut greedy, MultiChannel::Single);
    rig.login(&mut greedy, MultiChannel::Multi);
    assert_eq!(rig.try_login(&mut greedy, MultiChannel::Multi), Some(0x0001_0006));
    // By the same port id at another address, and at a target of another name.
    let elsewhere = InitiatorOptions { peer: initiator_options(3).peer, ..initiator_options(1) };
    let mut elsewhere = Initiator::new(&rig.network, elsewhere);
    assert_eq!(rig.try_login(&mut elsewhere, MultiChannel::Multi), Some(0x0001_0006));
    rig.controller.create_target("tgt1", ID_EXT, IOC_GUID + 1).expect("another target");
    let mut second_target = initiator_options(1);
    second_target.target_port[8..].copy_from_slice(&(IOC_GUID + 1).to_be_bytes());
    let mut second_target = Initiator::new(&rig.network, second_target);
    assert_eq!(rig.try_login(&mut second_target, MultiChannel::Single), Some(0x0001_0006));
    assert_eq!(rig.refused_by_limit(), 3);
    assert_eq!(rig.try_login(&mut other, MultiChannel::Single), None);
    assert_eq!(rig.channels(), [2, 1], "those that were there have stayed");
    // A channel that ends makes room at once, before its last buffer is back.
    greedy.disconnect(first);
    assert_eq!(rig.try_login(&mut greedy, MultiChannel::Multi), None);
    assert_eq!(rig.refused_by_limit(), 3);
}

#[test]
fn new_port_ids_at_the_same_address_do_not_get_around_the_limit() {
    let mut rig = limited_rig();
    let mut initiators: Vec<Initiator> = (1..=3)
        .map(|number| {
            let mut peer = initiator_options(1).peer;
            peer.set_port(40_000 + u16::from(number));
            Initiator::new(&rig.network, InitiatorOptions { peer, ..initiator_options(number) })
        })
        .collect();
    let answers: Vec<_> =
        initiators.iter_mut().map(|initiator| rig.try_login(initiator, MultiChannel::Single)).collect();
    assert_eq!(answers, [None, None, Some(0x0001_0006)]);
    let mut other = rig.initiator(4);
    assert_eq!(rig.try_login(&mut other, MultiChannel::Single), None);
    assert_eq!((rig.channels(), rig.refused_by_limit()), (vec![1, 1, 1], 1));
}

#[test]
fn at_its_limit_an_initiator_can_still_log_in_anew() {
    let mut rig = limited_rig();
    let mut initiator = rig.initiator(1);
    for _ in 0..3 {
        assert_eq!(rig.try_login(&mut initiator, MultiChannel::Single), None);
        assert_eq!(rig.try_login(&mut initiator, MultiChannel::Multi), None);
        rig.run(50);
        assert_eq!((rig.channels(), rig.refused_by_limit()), (vec![2], 0));
    }
    // Only what the login replaces: another port's channels at the same address still count.
    let mut neighbour =
        Initiator::new(&rig.network, InitiatorOptions { peer: initiator_options(1).peer, ..initiator_options(2) });
    assert_eq!(rig.try_login(&mut neighbour, MultiChannel::Single), Some(0x0001_0006));
}
