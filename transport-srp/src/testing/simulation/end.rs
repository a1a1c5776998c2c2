//! The end of a run: nothing goes wrong any more, everything is answered, what was written is there, and all resources are back.

use std::time::Duration;

use bdev::delay::LatencyType;
use fabric::sim::FaultRates;
use scsi::alua::AccessState;
use scsi::reservations::NexusId;

use super::initiator::{Pending, What};
use super::order::Place;
use super::plan::Action;
use super::reservations::State;
use super::world::{BLOCK, Disk, Simulation, initiator};
use crate::testing::{Login, MultiChannel, Outcome, Request, lun};

/// Rounds that an end may take.
const ROUNDS_MAX: usize = 20_000;

impl Simulation {
    pub(super) fn end(&mut self) {
        self.trace.note(self.network.now(), format_args!("end"));
        self.network.set_fault_rates(FaultRates::default());
        self.asleep.fill(0);
        for disk in &self.disks {
            bdev::error::clear(&disk.faulty);
            for kind in [LatencyType::AvgRead, LatencyType::P99Read, LatencyType::AvgWrite, LatencyType::P99Write] {
                bdev::delay::set_latency(&disk.slow, kind, 0).expect("a latency");
            }
        }
        for unit in 0..self.disks.len() {
            if !self.disks[unit].exported {
                self.export(unit);
            }
        }
        if self.plan.has(Action::SetState) {
            self.put_state(None, AccessState::Optimized, Duration::ZERO);
        }
        self.rounds(600, 20_000);
        self.check_all_answered();
        self.check_reservations_left();
        self.check_credits();
        self.check_media();
        self.check_resources();
    }

    /// Every request is answered, but for those that task management ended and those whose channel is gone.
    fn check_all_answered(&mut self) {
        for number in 0..self.players.len() {
            self.players[number].initiator.end_doubtful();
            self.take_outcomes(number);
            let player = &mut self.players[number];
            let initiator = &mut player.initiator;
            let gone: Vec<_> = player.pending.values().map(|pending| pending.channel).collect();
            let gone: Vec<usize> = gone.into_iter().filter(|&channel| !initiator.end(channel).is_connected()).collect();
            let (lost, left): (Vec<_>, Vec<_>) =
                std::mem::take(&mut player.pending).into_values().partition(|pending| gone.contains(&pending.channel));
            lost.iter().for_each(|pending: &Pending| self.lost(number, pending));
            assert!(left.is_empty(), "initiator {number}: never answered: {left:?}");
        }
    }

    /// The reservations of each unit are what the answers said.
    fn check_reservations_left(&self) {
        for info in self.controller.reservations() {
            let at = |disk: &&Disk| disk.faulty.info().name == info.bdev_name;
            let disk = self.disks.iter().find(at).expect("a disk of ours");
            let number = |nexus: NexusId| nexus.initiator_port_id[15] as usize - 1;
            let mut state = State { persists: info.reservations.persists(), ..State::default() };
            for registration in info.reservations.registrations() {
                state.keys[number(registration.nexus)] = registration.key as u8;
            }
            let held = info.reservations.reservation();
            state.held = held.map(|held| (held.kind as u8, held.holder.map(number)));
            assert!(disk.reservations.may_be(&state), "{state:?} is left of {:?}", disk.reservations);
        }
    }

    /// Every credit is with the initiator once it has asked for something more.
    fn check_credits(&mut self) {
        for number in 0..self.players.len() {
            for channel in self.players[number].live.clone() {
                let initiator = &mut self.players[number].initiator;
                if !initiator.end(channel).is_connected() {
                    continue;
                }
                let (left, _) = initiator.credits(channel);
                let request = Request::test_unit_ready(lun(0));
                let Ok(handle) = initiator.start(channel, &request) else {
                    panic!("initiator {number}, channel {channel}: {left} credits are left, and nothing is under way")
                };
                self.rounds(600, 20_000);
                let initiator = &mut self.players[number].initiator;
                let outcome = initiator.take(handle);
                if matches!(initiator.login_state(channel), Login::Accepted(_)) && initiator.end(channel).is_connected()
                {
                    assert!(
                        outcome.is_some(),
                        "initiator {number}, channel {channel}: the last command is not answered"
                    );
                    let (left, limit) = initiator.credits(channel);
                    assert_eq!(left, limit, "initiator {number}, channel {channel}: credits");
                }
            }
        }
    }

    /// One that was not there before reads everything.
    fn check_media(&mut self) {
        let mut reader = initiator(&self.network, 200, false);
        let mut rounds = 0;
        // Faults that were injected and did not happen yet happen to it.
        let channel = 'again: loop {
            rounds += 1;
            assert!(rounds < 100, "the medium cannot be read");
            let Ok(number) = reader.open(MultiChannel::Single, &mut || self.round(20_000)) else { continue };
            for unit in 0..self.disks.len() {
                for request in clear_reservation(unit as u16) {
                    let Ok(handle) = reader.start(number, &request) else { continue 'again };
                    drop(reader.finish(handle, &mut || self.round(20_000)));
                }
                let mut lba = 0;
                while lba < self.plan.blocks {
                    let blocks = (self.plan.blocks - lba).min(64);
                    let request = Request::read(lun(unit as u16), lba as u32, blocks as u16, BLOCK);
                    let start = self.now();
                    let Ok(handle) = reader.start(number, &request) else { continue 'again };
                    match reader.finish(handle, &mut || self.round(20_000)) {
                        Outcome::Answered(answer) if answer.status == 0 => {
                            let what = What::Read { unit, lba, blocks };
                            let pending = Pending {
                                channel: number,
                                lun: lun(unit as u16),
                                what,
                                start,
                                place: Place::NONE,
                                overtaken: None,
                            };
                            self.check_data(unit, lba, blocks, &pending, &answer);
                            lba += blocks;
                        }
                        Outcome::Answered(answer) => {
                            assert!(answer.key_and_code().is_some_and(|(key, ..)| key == 6), "{answer:?}");
                        }
                        _ => continue 'again,
                    }
                }
            }
            break number;
        };
        reader.disconnect(channel);
    }

    fn check_resources(&mut self) {
        let mut rounds = 0;
        // Machines that vanished are noticed by probes only, and half a login only by its age.
        while rounds < 400 || (!self.controller.sessions().is_empty() && rounds < ROUNDS_MAX) {
            rounds += 1;
            self.round(100_000_000);
            for number in 0..self.players.len() {
                self.listen(number);
                let player = &mut self.players[number];
                player.live.iter().for_each(|&channel| player.initiator.disconnect(channel));
            }
        }
        let sessions = self.controller.sessions();
        assert!(sessions.is_empty(), "sessions are left: {sessions:?}");
        for group in &self.groups {
            assert_eq!(group.channels.iter().count(), 0, "channels are left");
            assert_eq!(group.commands.len(), 0, "commands are left");
            assert_eq!(group.orders.iter().count(), 0, "orders are left");
            let others = [&group.memory.tables, &group.memory.receives, &group.memory.messages];
            for pool in group.memory.data.pools().iter().chain(others) {
                assert_eq!(pool.available(), pool.capacity(), "buffers of {} bytes are missing", pool.buffer_size());
            }
        }
        assert_eq!(self.network.violations(), vec![], "rules of the fabric");
    }
}

/// REGISTER AND IGNORE EXISTING KEY, then CLEAR; twice, because of unit attentions.
fn clear_reservation(unit: u16) -> Vec<Request> {
    let mut parameters = [0; 24];
    parameters[15] = 99;
    let register = Request::new(lun(unit), [0x5f, 6, 0, 0, 0, 0, 0, 0, 24, 0]).data_out(parameters);
    let mut parameters = [0; 24];
    parameters[7] = 99;
    let clear = Request::new(lun(unit), [0x5f, 3, 0, 0, 0, 0, 0, 0, 24, 0]).data_out(parameters);
    let ready = Request::test_unit_ready(lun(unit));
    vec![ready.clone(), ready.clone(), ready, register.clone(), register, clear.clone(), clear]
}
