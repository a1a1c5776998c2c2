//! What initiators do, and what is done to the target, in a step.

use std::time::Duration;

use bdev::delay::LatencyType;
use bdev::error::{ErrorType, Injection, IoType};
use fabric::WorkError;
use fabric::sim::{Fault, FaultAction, OperationKind, When};
use scsi::alua::AccessState;

use super::initiator::{Coming, Pending, What};
use super::model::fill;
use super::order::{HEAD_OF_QUEUE, ORDERED, Place, SIMPLE};
use super::paths::{GROUP, STATES};
use super::plan::Action;
use super::reservations::{KINDS, Out, Service};
use super::world::{BLOCK, Simulation, TARGET};
use crate::testing::{Form, MultiChannel, Request, lun};
use crate::{LunOptions, StateChange};

/// PERSISTENT RESERVE OUT without an end at most: the model follows all orders that they may be carried out in.
const OPEN_MAX: usize = 4;

impl Simulation {
    pub(super) fn act(&mut self, action: Action) {
        let number = self.random.index(self.players.len());
        match action {
            Action::Read | Action::Write | Action::Other | Action::Reserve => self.send(number, action),
            Action::Abort => self.abort(number, false),
            Action::LateAbort => self.abort(number, true),
            Action::Reset => self.reset(number),
            Action::ResetBurst => {
                let count = self.random.within(2..=7);
                (0..count).for_each(|_| self.reset(number));
            }
            Action::LoginMulti => {
                let player = &self.players[number];
                if player.coming.is_empty() && player.live.len() < self.plan.channels {
                    let action = if player.live.is_empty() { MultiChannel::Single } else { MultiChannel::Multi };
                    self.log_in(number, action);
                }
            }
            Action::LoginSingle => self.log_in(number, MultiChannel::Single),
            Action::Disconnect | Action::Logout => self.leave(number, action),
            Action::Vanish => self.vanish(number),
            Action::Fault => self.inject(),
            Action::DeviceError | Action::DeviceStall | Action::DeviceResume | Action::DeviceLatency => {
                self.trouble_device(action);
            }
            Action::Sleep => {
                let (who, rounds) = (self.random.index(self.asleep.len()), self.random.within(1..=30));
                self.note(format_args!("thread {who} sleeps for {rounds} rounds"));
                self.asleep[who] = rounds;
                self.report.sleeps += 1;
            }
            Action::ToggleLun | Action::ToggleReadOnly | Action::CloseSession => self.configure(action),
            Action::SetState => self.set_state(),
        }
    }

    pub(super) fn note(&mut self, line: std::fmt::Arguments<'_>) {
        self.trace.note(self.network.now(), line);
    }

    /// A live channel of an initiator.
    pub(super) fn channel(&mut self, number: usize) -> Option<usize> {
        let live = &self.players[number].live;
        (!live.is_empty()).then(|| live[self.random.index(live.len())])
    }

    fn send(&mut self, number: usize, action: Action) {
        let Some(channel) = self.channel(number) else { return };
        if self.players[number].initiator.outstanding(channel) >= self.plan.depth {
            return;
        }
        let unit = self.random.index(self.disks.len());
        let (request, what) = match action {
            Action::Read | Action::Write => self.transfer(unit, action),
            Action::Reserve if self.disks[unit].reservations.open() < OPEN_MAX => self.reserve(number, unit),
            _ => {
                let request = match self.random.below(4) {
                    0 => Request::synchronize_cache(lun(unit as u16)),
                    1 => Request::inquiry(lun(unit as u16), None, 96),
                    2 => Request::report_luns(256),
                    _ => Request::test_unit_ready(lun(unit as u16)),
                };
                (request, What::Other)
            }
        };
        let solicit = self.random.pick(&[0, 0, 2, 4, 6]);
        let task_attribute = match (action, self.plan.attributes) {
            (Action::Read | Action::Write, of @ 1..) => match self.random.below(of) {
                0 => ORDERED,
                1 => HEAD_OF_QUEUE,
                _ => SIMPLE,
            },
            _ => SIMPLE,
        };
        self.start(number, channel, unit, &Request { solicit, task_attribute, ..request }, what);
    }

    pub(super) fn start(&mut self, number: usize, channel: usize, unit: usize, request: &Request, what: What) {
        let Ok(handle) = self.players[number].initiator.start(channel, request) else { return };
        let start = self.now();
        let (attribute, exports) = (request.task_attribute, self.disks[unit].medium.barriers.exports);
        let place = Place { sender: (number, channel), attribute, start, exports };
        match what {
            What::Write { unit, lba, blocks, stamp } => {
                self.disks[unit].medium.write_starts(lba, blocks, stamp, place);
            }
            What::Reserve { unit, out } => self.disks[unit].reservations.asked(start, number, out),
            What::Read { .. } | What::Manage(_) | What::Other => {}
        }
        if let Some((unit, writes)) = what.access() {
            self.disks[unit].reservations.access_starts(start, number, writes);
        }
        if let Some((unit, _)) = what.path() {
            self.paths.starts(start, unit);
        }
        self.note(format_args!("i{number} c{channel} @{start} {what:?}, attribute {attribute}"));
        let player = &mut self.players[number];
        player.pending.insert(handle, Pending { channel, lun: request.lun, what, start, place, overtaken: None });
        if player.recent.len() >= 16 {
            player.recent.remove(0);
        }
        player.recent.push((handle, channel, unit as u16));
        self.report.commands += 1;
    }

    fn transfer(&mut self, unit: usize, action: Action) -> (Request, What) {
        let most = if self.random.one_in(8) { self.plan.blocks } else { self.plan.blocks.min(9) };
        let blocks = self.random.within(1..=most);
        let lba = self.random.below(self.plan.blocks - blocks + 1);
        let (address, len) = (lun(unit as u16), blocks as u32 * BLOCK);
        let form = match self.random.below(5) {
            0 => Form::inline(len, self.random.within(1..=6) as u8),
            1 => Form::table(len, self.random.within(2..=40) as u32, self.random.below(3) as u8),
            2 if action == Action::Write && len <= 8192 - 512 => Form::Immediate,
            _ => Form::Direct,
        };
        if action == Action::Read {
            let request = Request::read(address, lba as u32, blocks as u16, BLOCK).form(form);
            return (request, What::Read { unit, lba, blocks });
        }
        self.stamp += 1;
        let mut bytes = vec![0; len as usize];
        for (block, lba) in bytes.chunks_exact_mut(BLOCK as usize).zip(lba..) {
            fill(block, self.stamp, lba);
        }
        let request = Request::write(address, lba as u32, BLOCK, bytes).form(form);
        (request, What::Write { unit, lba, blocks, stamp: self.stamp })
    }

    /// Mostly what makes sense in the state that the unit seems to have.
    fn reserve(&mut self, number: usize, unit: usize) -> (Request, What) {
        let state = self.disks[unit].reservations.state();
        let other = self.random.index(self.players.len());
        let own_key = number as u8 + 1;
        let sensible: &[Service] = match state.held {
            _ if state.keys[number] == 0 => &[Service::Register, Service::RegisterAndIgnore],
            None => &[Service::Reserve, Service::Reserve, Service::Reserve, Service::Preempt],
            Some(_) if state.is_holder(number) => {
                &[Service::Reserve, Service::Release, Service::Clear, Service::Register, Service::Preempt]
            }
            Some(_) => &[Service::Preempt, Service::PreemptAndAbort, Service::Reserve, Service::Release],
        };
        let any = [
            Service::Register,
            Service::Reserve,
            Service::Release,
            Service::Clear,
            Service::Preempt,
            Service::PreemptAndAbort,
            Service::RegisterAndIgnore,
        ];
        let service = if self.random.one_in(6) { self.random.pick(&any) } else { self.random.pick(sensible) };
        let kind = match state.held {
            Some((kind, _)) if self.random.one_in(2) => kind,
            _ => self.random.pick(&KINDS),
        };
        let key = if self.random.one_in(12) { own_key } else { state.keys[number] };
        let action_key = match service {
            Service::Register | Service::RegisterAndIgnore if key == 0 => own_key,
            Service::Register | Service::RegisterAndIgnore => self.random.pick(&[0, own_key, other as u8 + 1]),
            _ if self.random.one_in(4) => 0,
            _ => state.keys[other],
        };
        let registers = matches!(service, Service::Register | Service::RegisterAndIgnore);
        let persists = registers && self.random.one_in(3);
        let out = Out { service, kind, key, action_key, persists };
        let mut parameters = [0; 24];
        (parameters[7], parameters[15], parameters[20]) = (key, action_key, u8::from(persists));
        let cdb = [0x5f, service as u8, kind, 0, 0, 0, 0, 0, 24, 0];
        let request = Request::new(lun(unit as u16), cdb).data_out(parameters);
        (request, What::Reserve { unit, out })
    }

    pub(super) fn log_in(&mut self, number: usize, action: MultiChannel) {
        let start = self.now();
        let player = &mut self.players[number];
        let channel = player.initiator.login(action);
        player.coming.push(Coming { channel, action, start });
        let connection = player.initiator.end(channel).connection();
        self.note(format_args!("i{number} c{channel} logs in, {action:?}, {connection:?}"));
    }

    fn leave(&mut self, number: usize, action: Action) {
        let Some(channel) = self.channel(number) else { return };
        self.note(format_args!("i{number} c{channel} {action:?}"));
        self.report.departures += 1;
        self.players[number].left.push(channel);
        let initiator = &mut self.players[number].initiator;
        match action {
            Action::Logout => drop(initiator.logout(channel)),
            _ => initiator.disconnect(channel),
        }
    }

    /// The machine is gone: what it had asked for is lost.
    fn vanish(&mut self, number: usize) {
        self.note(format_args!("i{number} vanishes"));
        self.report.departures += 1;
        let player = &mut self.players[number];
        player.initiator.vanish();
        player.live.clear();
        player.coming.clear();
        player.ends.clear();
        let pending = std::mem::take(&mut player.pending);
        pending.values().for_each(|pending| self.lost(number, pending));
    }

    fn inject(&mut self) {
        let nth = self.random.within(1..=20);
        let kinds = [
            OperationKind::Read,
            OperationKind::Write,
            OperationKind::Send,
            OperationKind::Message,
            OperationKind::Any,
        ];
        let kind = self.random.pick(&kinds);
        let error = self.random.pick(&[
            WorkError::RetriesExceeded,
            WorkError::RemoteAccess,
            WorkError::RemoteRequest,
            WorkError::Local(21),
        ]);
        let done = self.random.one_in(2);
        let delay = Duration::from_nanos(self.random.within(1..=300_000));
        let (kind, action) = match self.random.below(9) {
            0 => (OperationKind::Established, FaultAction::Lose),
            1 => (OperationKind::Established, FaultAction::Delay(delay)),
            2 => (OperationKind::Established, FaultAction::VanishPeer),
            3 => (OperationKind::QueuePair, FaultAction::Fail { error, done }),
            4 if matches!(kind, OperationKind::Read | OperationKind::Write | OperationKind::Send) => {
                (kind, FaultAction::Fail { error, done })
            }
            5 => (kind, FaultAction::LoseConnection),
            6 => (kind, FaultAction::VanishPeer),
            7 => (kind, FaultAction::PeerDisconnect),
            _ => (kind, FaultAction::Delay(delay)),
        };
        self.note(format_args!("fault: {action:?} at {kind:?} {nth}"));
        self.report.fabric_faults += 1;
        self.network.inject(Fault { connection: None, when: When::Nth(kind, nth), action });
    }

    fn trouble_device(&mut self, action: Action) {
        let unit = self.random.index(self.disks.len());
        let kind = self.random.pick(&IoType::ALL);
        let num = self.random.within(1..=6) as u32;
        let error = match action {
            Action::DeviceStall => ErrorType::Pending,
            _ => self.random.pick(&[ErrorType::Failure, ErrorType::Medium, ErrorType::NoMem]),
        };
        let latency = self.random.pick(&[0, 5, 50, 500]);
        self.note(format_args!("device {unit}: {action:?}, {kind:?}, {error:?} {num}, {latency} us"));
        let disk = &self.disks[unit];
        match action {
            Action::DeviceError | Action::DeviceStall => {
                self.report.device_faults += 1;
                bdev::error::inject(&disk.faulty, kind, Injection { error, num, queue_depth: 0 });
            }
            Action::DeviceResume => drop(bdev::error::resume_pending(&disk.faulty)),
            _ => {
                for kind in [LatencyType::AvgRead, LatencyType::P99Read, LatencyType::AvgWrite, LatencyType::P99Write] {
                    bdev::delay::set_latency(&disk.slow, kind, latency).expect("a latency");
                }
            }
        }
    }

    fn configure(&mut self, action: Action) {
        let unit = self.random.index(self.disks.len());
        self.note(format_args!("administrator: {action:?} {unit}"));
        self.report.changes += 1;
        let number = unit as u16;
        let disk = &mut self.disks[unit];
        match action {
            Action::ToggleLun if disk.exported => {
                disk.reservations.reset();
                self.controller.remove_lun(TARGET, number).expect("it is there");
                disk.exported = false;
                disk.medium.barriers.end();
                self.paths.forget(unit);
            }
            Action::ToggleLun => self.export(unit),
            Action::ToggleReadOnly if disk.exported => {
                disk.read_only = !disk.read_only;
                let options = LunOptions { read_only: disk.read_only, ..LunOptions::default() };
                self.controller.replace_lun(TARGET, number, &disk.faulty, &options).expect("it is there");
            }
            _ => {
                let sessions = self.controller.sessions();
                if !sessions.is_empty() {
                    let session = &sessions[self.random.index(sessions.len())];
                    self.controller.close_session(session.id).expect("it is there");
                }
            }
        }
    }

    /// Mostly back to active, so that something can be done in between.
    fn set_state(&mut self) {
        let unit = self.random.index(self.disks.len());
        let unit = (self.disks[unit].exported && self.random.one_in(2)).then_some(unit);
        let state = if self.random.one_in(2) { AccessState::Optimized } else { self.random.pick(&STATES) };
        let micros = if self.random.one_in(2) { 0 } else { self.random.within(1..=300) };
        self.put_state(unit, state, Duration::from_micros(micros));
    }

    pub(super) fn put_state(&mut self, unit: Option<usize>, state: AccessState, transition: Duration) {
        self.note(format_args!("administrator: state of {unit:?} is {state:?}, after {transition:?}"));
        self.report.changes += 1;
        let bdev = unit.map(|unit| self.disks[unit].faulty.info().name.clone());
        let change = StateChange { state: Some(state), bdev: bdev.as_deref(), preferred: None, transition };
        self.controller.set_port_group_state(GROUP, &change).expect("a group, and a unit");
        let until = (!transition.is_zero()).then(|| self.controlled.plus(transition).0);
        self.paths.set(unit, state, until);
    }

    pub(super) fn export(&mut self, unit: usize) {
        let disk = &mut self.disks[unit];
        let options = LunOptions { lun: Some(unit as u16), read_only: disk.read_only, ..LunOptions::default() };
        disk.reservations.reset();
        self.controller.add_lun(TARGET, &disk.faulty, &options).expect("its number is free");
        disk.exported = true;
    }
}
