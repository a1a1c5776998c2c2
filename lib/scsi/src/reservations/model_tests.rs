//! Random PERSISTENT RESERVE OUT, RESERVE and RELEASE commands of three initiators through two target ports, against a model that
//! knows SPC-4's rules as plain sets. Everything goes through the bytes that initiators send and get.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::control::{Circumstances, ControlReply, Effect, perform};
use crate::nexus::UnitAttention;
use crate::testing::{groups, unit};
use crate::wire::cdb::{be16, be32, be64};
use crate::{Context, Ending, Keeper, LogicalUnit, Saved, ScsiStatus, Step, begin};

const INITIATORS: u8 = 3;
const TARGETS: u8 = 2;
const TYPES: [u8; 6] = [1, 3, 5, 6, 7, 8];

/// Initiator and target, by number.
type Who = (u8, u8);

/// One command.
#[derive(Clone, Copy, Debug)]
struct Command {
    by: Who,
    action: Action,
    /// 0 to 3, so that they meet often.
    key: u8,
    action_key: u8,
    kind: u8,
    all_ports: bool,
    persist: bool,
    /// SPEC_I_PT with this initiator; REGISTER AND MOVE to it.
    named: Option<u8>,
    to_port: u8,
    unregister: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Register,
    Reserve,
    Release,
    Clear,
    Preempt,
    PreemptAndAbort,
    RegisterAndIgnore,
    RegisterAndMove,
    Spc2Reserve,
    Spc2Release,
}

const ACTIONS: [Action; 10] = [
    Action::Register,
    Action::Reserve,
    Action::Release,
    Action::Clear,
    Action::Preempt,
    Action::PreemptAndAbort,
    Action::RegisterAndIgnore,
    Action::RegisterAndMove,
    Action::Spc2Reserve,
    Action::Spc2Release,
];

#[derive(Clone, PartialEq, Eq, Debug)]
enum End {
    Good,
    Conflict,
    Sense(u8, u8),
}

/// The state as the standard's text has it.
#[derive(Clone, Default, Debug)]
struct Model {
    keys: BTreeMap<Who, u8>,
    /// Type and, unless it is all registrants', holder.
    held: Option<(u8, Option<Who>)>,
    spc2: Option<Who>,
    generation: u32,
    persists: bool,
}

type Told = BTreeSet<(Who, u16)>;

const REGISTRATIONS_PREEMPTED: u16 = 0x2a05;
const RESERVATIONS_PREEMPTED: u16 = 0x2a03;
const RESERVATIONS_RELEASED: u16 = 0x2a04;
const INVALID_FIELD_IN_CDB: End = End::Sense(0x24, 0);
const INVALID_FIELD_IN_LIST: End = End::Sense(0x26, 0);

impl Model {
    fn holds(&self, who: Who) -> bool {
        match self.held {
            Some((7 | 8, _)) => self.keys.contains_key(&who),
            Some((_, holder)) => holder == Some(who),
            None => false,
        }
    }

    fn full(&self, who: Who) -> bool {
        match self.held {
            Some((1 | 3, holder)) => holder == Some(who),
            Some(_) => self.keys.contains_key(&who),
            None => true,
        }
    }

    fn access(&self, who: Who) -> ReservedFor {
        match (self.spc2, self.held) {
            (Some(holder), _) if holder != who => ReservedFor::Spc2,
            (None, Some((1 | 5 | 7, _))) if !self.full(who) => ReservedFor::Writers,
            (None, Some((3 | 6 | 8, _))) if !self.full(who) => ReservedFor::Others,
            _ => ReservedFor::Us,
        }
    }

    /// Carries a command out: how it ends, who is told what, whose commands are aborted.
    fn execute(&mut self, command: &Command) -> (End, Told, BTreeSet<Who>) {
        let mut next = self.clone();
        let (mut told, mut aborted) = (Told::new(), BTreeSet::new());
        let end = next.change(command, &mut told, &mut aborted);
        if end == End::Good {
            *self = next;
            (end, told, aborted)
        } else {
            (end, Told::new(), BTreeSet::new())
        }
    }

    fn change(&mut self, c: &Command, told: &mut Told, aborted: &mut BTreeSet<Who>) -> End {
        let by = c.by;
        match c.action {
            Action::Spc2Reserve | Action::Spc2Release if self.held.is_some() && self.full(by) => return End::Good,
            Action::Spc2Reserve | Action::Spc2Release if !self.keys.is_empty() => return End::Conflict,
            Action::Spc2Reserve => {
                return match self.spc2 {
                    Some(holder) if holder != by => End::Conflict,
                    _ => {
                        self.spc2 = Some(by);
                        End::Good
                    }
                };
            }
            Action::Spc2Release => {
                if self.spc2 == Some(by) {
                    self.spc2 = None;
                }
                return End::Good;
            }
            _ if self.spc2.is_some() => return End::Conflict,
            _ => {}
        }
        if c.names_initiators() && c.action != Action::Register {
            return INVALID_FIELD_IN_LIST;
        }
        let key = self.keys.get(&by).copied();
        let registering = matches!(c.action, Action::Register | Action::RegisterAndIgnore);
        if !registering && key != Some(c.key) {
            return End::Conflict;
        }
        match c.action {
            Action::Register | Action::RegisterAndIgnore => return self.register(c, key, told),
            Action::Reserve => match self.held {
                None => self.held = Some((c.kind, (c.kind < 7).then_some(by))),
                Some((kind, _)) if kind == c.kind && self.holds(by) => {}
                Some(_) => return End::Conflict,
            },
            Action::Release => match self.held {
                Some((kind, _)) if self.holds(by) && kind != c.kind => return End::Sense(0x26, 4),
                Some((kind, _)) if self.holds(by) => {
                    self.held = None;
                    if kind >= 5 {
                        self.tell(RESERVATIONS_RELEASED, by, told);
                    }
                }
                _ => {}
            },
            Action::Clear => {
                self.tell(RESERVATIONS_PREEMPTED, by, told);
                self.keys.clear();
                self.held = None;
                self.generation += 1;
            }
            Action::Preempt | Action::PreemptAndAbort => return self.preempt(c, told, aborted),
            Action::RegisterAndMove => {
                let to = (c.named.unwrap_or(0), c.to_port);
                match self.held {
                    None => return INVALID_FIELD_IN_CDB,
                    Some((7 | 8, _)) => return End::Conflict,
                    Some(_) if !self.holds(by) => return End::Conflict,
                    Some(_) if c.action_key == 0 || to == by || c.to_port >= TARGETS => return INVALID_FIELD_IN_LIST,
                    Some((kind, _)) => {
                        if c.unregister {
                            self.keys.remove(&by);
                        }
                        self.keys.insert(to, c.action_key);
                        self.held = Some((kind, Some(to)));
                        self.generation += 1;
                        self.persists = c.persist;
                    }
                }
            }
            Action::Spc2Reserve | Action::Spc2Release => unreachable!("done above"),
        }
        End::Good
    }

    fn register(&mut self, c: &Command, key: Option<u8>, told: &mut Told) -> End {
        let ignore = c.action == Action::RegisterAndIgnore;
        if !ignore && c.key != key.unwrap_or(0) {
            return End::Conflict;
        }
        if c.named.is_some() && key.is_some() {
            return INVALID_FIELD_IN_LIST;
        }
        if key.is_none() && c.action_key == 0 {
            return End::Good;
        }
        let ports: Vec<u8> = if c.all_ports { (0..TARGETS).collect() } else { vec![c.by.1] };
        for &port in &ports {
            let there = self.keys.get(&(c.by.0, port));
            if !ignore && there.is_some_and(|&there| there != c.key && there != c.action_key) {
                return End::Conflict;
            }
        }
        if c.action_key == 0 {
            self.keys.retain(|who, _| who.0 != c.by.0 || !ports.contains(&who.1));
            match self.held {
                Some((kind, Some(holder))) if !self.keys.contains_key(&holder) => {
                    self.held = None;
                    if matches!(kind, 5 | 6) {
                        self.tell(RESERVATIONS_RELEASED, c.by, told);
                    }
                }
                Some((_, None)) if self.keys.is_empty() => self.held = None,
                _ => {}
            }
        } else {
            for port in ports {
                self.keys.insert((c.by.0, port), c.action_key);
                if let Some(named) = c.named {
                    self.keys.entry((named, port)).or_insert(c.action_key);
                }
            }
        }
        self.persists = c.persist;
        self.generation += 1;
        End::Good
    }

    fn preempt(&mut self, c: &Command, told: &mut Told, aborted: &mut BTreeSet<Who>) -> End {
        let victims: BTreeSet<Who> =
            self.keys.iter().filter(|(_, key)| **key == c.action_key).map(|(who, _)| *who).collect();
        let takes = match self.held {
            Some((7 | 8, _)) => c.action_key == 0,
            Some((_, Some(holder))) => victims.contains(&holder),
            _ => false,
        };
        let victims = if takes && c.action_key == 0 { self.keys.keys().copied().collect() } else { victims };
        match () {
            () if c.action_key == 0 && !takes => return INVALID_FIELD_IN_LIST,
            () if victims.is_empty() => return End::Conflict,
            () => {}
        }
        for who in &victims {
            if *who != c.by {
                told.insert((*who, REGISTRATIONS_PREEMPTED));
                if c.action == Action::PreemptAndAbort {
                    aborted.insert(*who);
                }
            }
            if *who != c.by || !takes {
                self.keys.remove(who);
            }
        }
        if takes {
            let old = self.held.replace((c.kind, (c.kind < 7).then_some(c.by)));
            if old.is_some_and(|(kind, _)| kind != c.kind) {
                self.tell(RESERVATIONS_RELEASED, c.by, told);
            }
        } else if self.keys.is_empty() {
            self.held = None;
        }
        self.generation += 1;
        End::Good
    }

    fn tell(&self, what: u16, by: Who, told: &mut Told) {
        told.extend(self.keys.keys().filter(|who| **who != by).map(|who| (*who, what)));
    }
}

/// The real thing, as a control plane drives it.
struct Subject {
    unit: LogicalUnit,
    reservations: Reservations,
    ports: Vec<TargetPort>,
}

impl Subject {
    fn new() -> Subject {
        let ports = (0..TARGETS).map(|port| TargetPort { id: [0xb0 + port; 16], relative: 1 + u16::from(port) });
        Subject { unit: unit(), reservations: Reservations::default(), ports: ports.collect() }
    }

    /// Sends a command; returns its end, its data, and what its effects were.
    fn send(&mut self, by: Who, cdb: &[u8], list: &[u8]) -> (End, Vec<u8>, Told, BTreeSet<Who>) {
        let ids = ports(by);
        let context = Context { ports: &ids, ..crate::testing::context(&self.unit) };
        let mut job = match begin(cdb, &context) {
            Ok(job) => job,
            Err(Ending::CheckCondition(sense)) => {
                return (End::Sense(sense.asc, sense.ascq), vec![], Told::new(), BTreeSet::new());
            }
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(job.data_out_len() as usize, list.len(), "{cdb:02x?}");
        let mut buffer = list.to_vec();
        buffer.resize(job.buffer_len(), 0);
        let Step::Control { request, parameters } = job.step(&context, None, &mut buffer) else {
            panic!("not for the control plane")
        };
        let at = Circumstances {
            unit: &self.unit,
            ports: &ids,
            reservations: &self.reservations,
            target_ports: &self.ports,
            groups: &groups(),
            can_persist: true,
        };
        let mut saved = Saved::default();
        let mut keeper = Keeper { saved: &mut saved, store: None, failure: None };
        let outcome = perform(request, &buffer[parameters], &at, &mut keeper);
        let (mut told, mut aborted) = (Told::new(), BTreeSet::new());
        for effect in outcome.effects {
            match effect {
                Effect::Reserve(reservations) => self.reservations = *reservations,
                Effect::Tell(nexus, attention) => {
                    let sense = attention.sense();
                    let fresh = told.insert((who(nexus), u16::from_be_bytes([sense.asc, sense.ascq])));
                    assert!(fresh, "told twice: {nexus:?} {attention:?}");
                }
                Effect::Abort(nexuses) => aborted.extend(nexuses.into_iter().map(who)),
                other @ (Effect::TellAll(_) | Effect::TellOthers(_) | Effect::SetAccessState { .. }) => {
                    panic!("{other:?}")
                }
            }
        }
        let (end, data) = match outcome.reply {
            ControlReply::Good(data) => (End::Good, data.into_vec()),
            ControlReply::Status(ScsiStatus::ReservationConflict) => (End::Conflict, vec![]),
            ControlReply::Status(other) => panic!("{other:?}"),
            ControlReply::CheckCondition(sense) => (End::Sense(sense.asc, sense.ascq), vec![]),
        };
        (end, data, told, aborted)
    }

    fn read(&mut self, action: u8) -> Option<Vec<u8>> {
        let cdb = [0x5e, action, 0, 0, 0, 0, 0, 0xff, 0xff, 0];
        match self.send((0, 0), &cdb, &[]) {
            (End::Good, data, ..) => Some(data),
            (End::Conflict, ..) => None,
            other => panic!("{other:?}"),
        }
    }
}

fn ports(who: Who) -> PortIds {
    PortIds {
        initiator_port_id: [0xa0 + who.0; 16],
        target_port_id: [0xb0 + who.1; 16],
        relative_target_port: 1 + u16::from(who.1),
        addressing: crate::Addressing::default(),
    }
}

fn who(nexus: NexusId) -> Who {
    (nexus.initiator_port_id[0] - 0xa0, nexus.target_port_id[0] - 0xb0)
}

fn transport_id(initiator: u8) -> [u8; 24] {
    let mut id = [0xa0 + initiator; 24];
    id[..8].copy_from_slice(&[4, 0, 0, 0, 0, 0, 0, 0]);
    id
}

impl Command {
    /// SPEC_I_PT is set.
    fn names_initiators(&self) -> bool {
        self.named.is_some() && self.action != Action::RegisterAndMove
    }

    fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        let code = match self.action {
            Action::Spc2Reserve => return (vec![0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0], vec![]),
            Action::Spc2Release => return (vec![0x17, 0, 0, 0, 0, 0], vec![]),
            Action::Register => 0,
            Action::Reserve => 1,
            Action::Release => 2,
            Action::Clear => 3,
            Action::Preempt => 4,
            Action::PreemptAndAbort => 5,
            Action::RegisterAndIgnore => 6,
            Action::RegisterAndMove => 7,
        };
        let mut list = vec![0; 24];
        list[7] = self.key;
        list[15] = self.action_key;
        if self.action == Action::RegisterAndMove {
            list[17] = u8::from(self.persist) | u8::from(self.unregister) << 1;
            list[19] = 1 + self.to_port;
            list[23] = 24;
            list.extend(transport_id(self.named.unwrap_or(0)));
        } else {
            list[20] = u8::from(self.persist) | u8::from(self.all_ports) << 2;
            if let (Some(named), true) = (self.named, self.names_initiators()) {
                list[20] |= 8;
                list.extend([0, 0, 0, 24]);
                list.extend(transport_id(named));
            }
        }
        (vec![0x5f, code, self.kind, 0, 0, 0, 0, 0, list.len() as u8, 0], list)
    }
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let who = (0..INITIATORS, 0..TARGETS);
    // Registrations and reservations often, so that there is something to be fought for; what clears everything rarely.
    let action = prop_oneof![
        6 => Just(Action::Register),
        5 => Just(Action::RegisterAndIgnore),
        4 => Just(Action::Reserve),
        4 => proptest::sample::select(&ACTIONS[..]),
    ];
    let flags = (proptest::bool::weighted(0.2), any::<bool>(), proptest::option::weighted(0.3, 0..INITIATORS));
    let rest = (0..TARGETS + 1, any::<bool>());
    let command = (who, action, 0..4_u8, 0..4_u8, proptest::sample::select(&TYPES[..]), flags, rest).prop_map(
        |(by, action, key, action_key, kind, (all_ports, persist, named), (to_port, unregister))| {
            // SPEC_I_PT, and so a refusal, less often where it is not allowed.
            let named = named.filter(|_| matches!(action, Action::Register | Action::RegisterAndMove) || unregister);
            Command { by, action, key, action_key, kind, all_ports, persist, named, to_port, unregister }
        },
    );
    proptest::collection::vec(command, 1..40)
}

/// Whether keys guess right is left to chance by `key`; half the time the sender knows its own.
fn with_own_key(command: Command, model: &Model, knows: bool) -> Command {
    match model.keys.get(&command.by) {
        Some(&key) if knows => Command { key, ..command },
        None if knows && command.action == Action::Register => Command { key: 0, ..command },
        _ => command,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_sequence_of_commands_does_what_the_model_does(commands in commands(), knows: u64) {
        let (mut model, mut subject) = (Model::default(), Subject::new());
        for (index, command) in commands.into_iter().enumerate() {
            let command = with_own_key(command, &model, knows >> index & 1 != 0);
            let expected = model.execute(&command);
            let (cdb, list) = command.bytes();
            let (end, _, told, aborted) = subject.send(command.by, &cdb, &list);
            prop_assert_eq!((end, told, aborted), expected, "{:?}", command);
            compare(&model, &mut subject)?;
        }
    }

    /// Whatever the parameter list says, it is answered, and a refusal changes nothing.
    #[test]
    fn any_parameter_list_is_answered(action in 0..8_u8, kind: u8, list in proptest::collection::vec(any::<u8>(), 24..200)) {
        let mut subject = Subject::new();
        for key in 1..3 {
            let mut register = vec![0; 24];
            register[15] = key;
            subject.send((key, 0), &[0x5f, 6, 0, 0, 0, 0, 0, 0, 24, 0], &register);
        }
        let before = subject.reservations.clone();
        let bytes = list.len() as u32;
        let mut cdb = vec![0x5f, action, kind, 0, 0];
        cdb.extend(bytes.to_be_bytes());
        cdb.push(0);
        let list = if begin_accepts(&subject, &cdb) { list } else { return Ok(()) };
        let (end, ..) = subject.send((1, 0), &cdb, &list);
        if end != End::Good {
            prop_assert_eq!(subject.reservations, before);
        }
    }
}

fn begin_accepts(subject: &Subject, cdb: &[u8]) -> bool {
    begin(cdb, &crate::testing::context(&subject.unit)).is_ok()
}

fn compare(model: &Model, subject: &mut Subject) -> Result<(), TestCaseError> {
    for initiator in 0..INITIATORS {
        for target in 0..TARGETS {
            let nexus = NexusId::from(&ports((initiator, target)));
            prop_assert_eq!(subject.reservations.reserved_for(nexus), model.access((initiator, target)));
        }
    }
    let keys = subject.read(0);
    prop_assert_eq!(keys.is_none(), model.spc2.is_some());
    let (Some(keys), Some(reservation), Some(full)) = (keys, subject.read(1), subject.read(3)) else { return Ok(()) };
    prop_assert_eq!(be32(&keys, 0), model.generation);
    let mut listed: Vec<u64> = keys[8..].chunks(8).map(|key| be64(key, 0)).collect();
    listed.sort_unstable();
    let mut expected: Vec<u64> = model.keys.values().map(|key| u64::from(*key)).collect();
    expected.sort_unstable();
    prop_assert_eq!(&listed, &expected);
    match model.held {
        None => prop_assert_eq!(&reservation[4..], &[0; 4]),
        Some((kind, holder)) => {
            prop_assert_eq!(be32(&reservation, 4), 16);
            prop_assert_eq!(reservation[21], kind);
            prop_assert_eq!(be64(&reservation, 8), u64::from(holder.map_or(0, |holder| model.keys[&holder])));
        }
    }
    let registered: BTreeMap<Who, (u64, bool)> = full[8..].chunks(48).map(descriptor).collect();
    let expected: BTreeMap<Who, (u64, bool)> =
        model.keys.iter().map(|(who, key)| (*who, (u64::from(*key), model.holds(*who)))).collect();
    prop_assert_eq!(registered, expected);
    prop_assert_eq!(subject.read(2).expect("capabilities")[3] & 1 != 0, model.persists);
    // What is kept comes back the same.
    let saved = subject.reservations.saved();
    let restored = Reservations::from(&saved);
    prop_assert_eq!(restored.registrations().is_empty(), !model.persists || model.keys.is_empty());
    prop_assert_eq!(restored.saved(), saved);
    Ok(())
}

/// A full status descriptor: who, with what key, and whether it is a holder.
fn descriptor(bytes: &[u8]) -> (Who, (u64, bool)) {
    assert_eq!((be32(bytes, 20), &bytes[24..32]), (24, &[4, 0, 0, 0, 0, 0, 0, 0][..]));
    let target = be16(bytes, 18) as u8 - 1;
    ((bytes[32] - 0xa0, target), (be64(bytes, 0), bytes[12] == 1))
}

/// All attentions that the model tells exist by these codes.
#[test]
fn the_models_codes_are_the_crates() {
    for (attention, code) in [
        (UnitAttention::RegistrationsPreempted, REGISTRATIONS_PREEMPTED),
        (UnitAttention::ReservationsPreempted, RESERVATIONS_PREEMPTED),
        (UnitAttention::ReservationsReleased, RESERVATIONS_RELEASED),
    ] {
        let sense = attention.sense();
        assert_eq!(u16::from_be_bytes([sense.asc, sense.ascq]), code);
    }
}
