//! Single rules, byte by byte, that the model tests take for granted or cannot meet.

use super::out::Refusal;
use super::*;
use crate::limits::REGISTRATIONS_MAX;
use crate::nexus::UnitAttention;
use crate::testing::{cdb, context, refusal, unit};
use crate::wire::sense::{FieldPointer, Sense};

const PORTS: [TargetPort; 2] = [TargetPort { id: [0xb0; 16], relative: 1 }, TargetPort { id: [0xb1; 16], relative: 2 }];

fn nexus_of(initiator: u8, target: u8) -> NexusId {
    NexusId { initiator_port_id: [initiator; 16], target_port_id: [0xb0 + target; 16] }
}

fn list(key: u64, action_key: u64, flags: u8) -> Vec<u8> {
    let mut list = [key.to_be_bytes(), action_key.to_be_bytes(), [0; 8]].concat();
    list[20] = flags;
    list
}

fn transport_id(initiator: u8) -> Vec<u8> {
    let mut id = vec![initiator; 24];
    id[..8].copy_from_slice(&[4, 0, 0, 0, 0, 0, 0, 0]);
    id
}

fn with_initiators(mut list: Vec<u8>, initiators: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let ids: Vec<u8> = initiators.into_iter().flat_map(transport_id).collect();
    list.extend((ids.len() as u32).to_be_bytes());
    list.extend(ids);
    list
}

fn move_list(key: u64, action_key: u64, relative_port: u16, initiator: u8) -> Vec<u8> {
    let mut list = [key.to_be_bytes(), action_key.to_be_bytes(), [0; 8]].concat();
    list[18..20].copy_from_slice(&relative_port.to_be_bytes());
    list[23] = 24;
    list.extend(transport_id(initiator));
    list
}

/// Reservations with initiators 1 to `count` registered through port 0, each with its number as key.
fn registered(count: u8) -> Reservations {
    let mut reservations = Reservations::default();
    for initiator in 1..=count {
        out(&mut reservations, OutAction::Register, &list(0, initiator.into(), 0), initiator).expect("registered");
    }
    reservations
}

fn out(reservations: &mut Reservations, action: OutAction, list: &[u8], by: u8) -> Result<Consequences, Refusal> {
    let parameters = match action {
        OutAction::RegisterAndMove => Parameters::of_move(list)?,
        _ => Parameters::basic(list)?,
    };
    reservations.out(action, &parameters, nexus_of(by, 0), &PORTS, true)
}

fn sense(result: Result<Consequences, Refusal>) -> Sense {
    match result {
        Err(Refusal::Sense(sense)) => sense,
        other => panic!("{other:?}"),
    }
}

fn field(byte: u16, bit: Option<u8>) -> Sense {
    let field = FieldPointer { in_cdb: false, byte, bit };
    Sense { field: Some(field), ..Sense::INVALID_FIELD_IN_PARAMETER_LIST }
}

#[test]
fn other_initiators_are_registered_along_with_oneself_logged_in_or_not() {
    let mut reservations = Reservations::default();
    let all_ports = with_initiators(list(0, 9, 0x0c), [7, 8]);
    out(&mut reservations, OutAction::Register, &all_ports, 1).expect("registered");
    let nexuses: Vec<NexusId> = reservations.registrations().iter().map(|it| it.nexus).collect();
    let expected = [(1, 0), (1, 1), (7, 0), (7, 1), (8, 0), (8, 1)];
    assert_eq!(nexuses, expected.map(|(initiator, target)| nexus_of(initiator, target)));
    assert!(reservations.registrations().iter().all(|it| it.key == 9));
    assert_eq!(reservations.generation(), 1, "one command");
}

#[test]
fn lists_of_transport_ids_that_are_wrong_have_their_sense() {
    let mut reservations = Reservations::default();
    let good = with_initiators(list(0, 9, 0x08), [7]);
    let mut register = |list: &[u8]| sense(out(&mut reservations, OutAction::Register, list, 1));
    assert_eq!(register(&good[..24]), Sense::PARAMETER_LIST_LENGTH_ERROR, "no length");
    assert_eq!(register(&good[..51]), Sense::PARAMETER_LIST_LENGTH_ERROR, "not all bytes that the length says");
    let mut cut = good.clone();
    cut.pop();
    cut[27] = 23;
    assert_eq!(register(&cut), field(24, None), "a TransportID is cut");
    let mut fibre_channel = good.clone();
    fibre_channel[28] = 0;
    assert_eq!(register(&fibre_channel), field(28, None), "another protocol");
    let spec_i_pt = field(20, Some(3));
    assert_eq!(sense(out(&mut reservations, OutAction::RegisterAndIgnore, &good, 1)), spec_i_pt);
    out(&mut reservations, OutAction::Register, &list(0, 1, 0), 1).expect("registered");
    let again = with_initiators(list(1, 9, 0x08), [7]);
    assert_eq!(sense(out(&mut reservations, OutAction::Register, &again, 1)), spec_i_pt, "it is registered already");
}

#[test]
fn who_is_registered_keeps_its_key_when_another_names_it() {
    let mut reservations = registered(2);
    out(&mut reservations, OutAction::Register, &with_initiators(list(0, 9, 0x08), [2, 7]), 3).expect("registered");
    let keys = [1, 2, 3, 7].map(|initiator| reservations.key_of(nexus_of(initiator, 0)));
    assert_eq!(keys, [Some(1), Some(2), Some(9), Some(9)]);
}

#[test]
fn cdbs_that_are_wrong_have_their_sense() {
    let field = Sense::invalid_field_in_cdb;
    let unit = unit();
    let cases: &[(&[u8], Sense)] = &[
        (&[0x5e, 0x04], field(1, Some(4))), // a service action that is not there
        (&[0x5f, 0x08, 0, 0, 0, 0, 0, 0, 24], field(1, Some(4))), // REPLACE LOST RESERVATION
        (&[0x5f, 0x01, 0x02, 0, 0, 0, 0, 0, 24], field(2, Some(3))), // no type
        (&[0x5f, 0x01, 0x11, 0, 0, 0, 0, 0, 24], field(2, Some(7))), // no scope
        (&[0x5f, 0x00, 0, 0, 0, 0, 0, 0, 23], Sense::PARAMETER_LIST_LENGTH_ERROR),
        (&[0x5f, 0x03, 0, 0, 0, 0, 0, 0, 0], Sense::PARAMETER_LIST_LENGTH_ERROR),
        (&[0x5f, 0x00, 0, 0, 0, 0xff, 0, 0, 24], Sense::PARAMETER_LIST_LENGTH_ERROR), // longer than any
        (&[0x16, 0x10], field(1, Some(4))),                                           // a third party
        (&[0x17, 0x01], field(1, Some(0))),                                           // an extent
        (&[0x56, 0x02], field(1, Some(1))),                                           // LONGID
        (&[0x57, 0x10], field(1, Some(4))),
    ];
    for (start, sense) in cases {
        assert_eq!(refusal(&cdb(start), &context(&unit)), *sense, "{start:02x?}");
    }
}

#[test]
fn a_list_of_another_length_than_24_is_refused_unless_it_names_initiators() {
    let mut reservations = Reservations::default();
    assert_eq!(
        sense(out(&mut reservations, OutAction::Register, &[&list(0, 9, 0)[..], &[0; 4]].concat(), 1)),
        Sense::PARAMETER_LIST_LENGTH_ERROR
    );
}

#[test]
fn there_is_room_for_so_many_registrations_and_no_more_and_nothing_is_done_by_halves() {
    let mut reservations = registered(1);
    let initiator = |number: usize| {
        let mut id = [0xee; 16];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        id
    };
    for number in 1..REGISTRATIONS_MAX - 1 {
        reservations.set_key(NexusId { initiator_port_id: initiator(number), target_port_id: [0xb0; 16] }, 5);
    }
    let before = reservations.clone();
    let two = with_initiators(list(0, 9, 0x08), [7]);
    let refused = sense(out(&mut reservations, OutAction::Register, &two, 6));
    assert_eq!((refused.asc, refused.ascq), (0x55, 0x04), "INSUFFICIENT REGISTRATION RESOURCES");
    assert_eq!(reservations, before);
    out(&mut reservations, OutAction::Register, &list(0, 9, 0), 6).expect("one more");
    let full = reservations.answer(InAction::ReadFullStatus, &PORTS, true);
    assert_eq!(full.len(), 8 + 48 * REGISTRATIONS_MAX);
    out(&mut reservations, OutAction::Reserve(ReservationType::WriteExclusive), &list(9, 0, 0), 6).expect("reserved");
    let refused = sense(out(&mut reservations, OutAction::RegisterAndMove, &move_list(9, 1, 2, 6), 6));
    assert_eq!((refused.asc, refused.ascq), (0x55, 0x04));
}

#[test]
fn a_device_without_a_place_for_it_does_not_promise_to_persist() {
    let mut reservations = Reservations::default();
    let parameters = Parameters::basic(&list(0, 1, 1)).expect("a list");
    let refused = reservations.out(OutAction::Register, &parameters, nexus_of(1, 0), &PORTS, false);
    assert_eq!(sense(refused), field(20, Some(0)));
    assert_eq!(reservations.answer(InAction::ReportCapabilities, &PORTS, false), [0, 8, 0x1c, 0xb0, 0xea, 0x01, 0, 0]);
    assert_eq!(reservations.answer(InAction::ReportCapabilities, &PORTS, true), [0, 8, 0x1d, 0xb0, 0xea, 0x01, 0, 0]);
    out(&mut reservations, OutAction::Register, &list(0, 1, 1), 1).expect("registered");
    assert_eq!(reservations.answer(InAction::ReportCapabilities, &PORTS, true), [0, 8, 0x1d, 0xb1, 0xea, 0x01, 0, 0]);
    out(&mut reservations, OutAction::Register, &list(1, 1, 0), 1).expect("registered");
    assert!(!reservations.persists(), "the last registration counts");
}

#[test]
fn release_must_name_the_reservation_that_there_is() {
    let mut reservations = registered(2);
    out(&mut reservations, OutAction::Reserve(ReservationType::WriteExclusive), &list(1, 0, 0), 1).expect("reserved");
    let release = |byte| OutAction::Release(byte);
    for wrong in [0x03, 0x11, 0x02] {
        let refused = sense(out(&mut reservations, release(wrong), &list(1, 0, 0), 1));
        assert_eq!((refused.asc, refused.ascq), (0x26, 0x04), "INVALID RELEASE OF PERSISTENT RESERVATION");
    }
    out(&mut reservations, release(0x01), &list(2, 0, 0), 2).expect("nothing is done, and that is good");
    assert!(reservations.is_holder(nexus_of(1, 0)));
    let consequences = out(&mut reservations, release(0x01), &list(1, 0, 0), 1).expect("released");
    assert_eq!(consequences, Consequences::default(), "nobody is told: others had no part in it");
    assert_eq!(reservations.reservation(), None);
}

#[test]
fn preempt_looks_at_scope_and_type_only_for_a_reservation_that_it_makes() {
    let mut reservations = registered(3);
    let preempt = |scope_and_type| OutAction::Preempt { scope_and_type, abort: false };
    out(&mut reservations, preempt(0x12), &list(1, 3, 0), 1).expect("a registration is removed");
    out(&mut reservations, OutAction::Reserve(ReservationType::WriteExclusive), &list(2, 0, 0), 2).expect("reserved");
    let refused = sense(out(&mut reservations, preempt(0x11), &list(1, 2, 0), 1));
    assert_eq!(refused, Sense::invalid_field_in_cdb(2, Some(7)));
    let refused = sense(out(&mut reservations, preempt(0x02), &list(1, 2, 0), 1));
    assert_eq!(refused, Sense::invalid_field_in_cdb(2, Some(3)));
    let told = out(&mut reservations, preempt(0x06), &list(1, 2, 0), 1).expect("preempted").told;
    assert_eq!(told, [(nexus_of(2, 0), UnitAttention::RegistrationsPreempted)]);
    assert_eq!(reservations.reserved_for(nexus_of(2, 0)), ReservedFor::Others);
}

#[test]
fn full_status_names_ports_as_sg_persist_prints_them() {
    let mut reservations = registered(1);
    out(&mut reservations, OutAction::Reserve(ReservationType::ExclusiveAccess), &list(1, 0, 0), 1).expect("reserved");
    let mut expected = vec![0, 0, 0, 1, 0, 0, 0, 48]; // PRGENERATION, ADDITIONAL LENGTH
    expected.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]); // key
    expected.extend([0x01, 0x03, 0, 0, 0, 0, 0, 1]); // R_HOLDER, scope and type, relative target port 1
    expected.extend([0, 0, 0, 24, 4, 0, 0, 0, 0, 0, 0, 0]); // ADDITIONAL DESCRIPTOR LENGTH, SRP
    expected.extend([1; 16]);
    assert_eq!(reservations.answer(InAction::ReadFullStatus, &PORTS, true), expected);
    // Its target is gone.
    expected[27] = 0;
    assert_eq!(reservations.answer(InAction::ReadFullStatus, &PORTS[1..], true), expected);
}

#[test]
fn what_is_kept_comes_back_without_the_generation() {
    let mut reservations = registered(2);
    assert_eq!(reservations.saved(), SavedReservations::default(), "nothing was to be kept");
    out(&mut reservations, OutAction::Register, &list(2, 0xfeed, 1), 2).expect("registered");
    let kind = ReservationType::WriteExclusiveRegistrantsOnly;
    out(&mut reservations, OutAction::Reserve(kind), &list(0xfeed, 0, 0), 2).expect("reserved");
    let restored = Reservations::from(&reservations.saved());
    assert_eq!((restored.generation(), restored.saved()), (0, reservations.saved()));
    assert_eq!(restored.reserved_for(nexus_of(3, 0)), ReservedFor::Writers);
    assert!(restored.is_holder(nexus_of(2, 0)));
}

#[test]
fn the_administrator_clears_everything_and_what_is_to_be_kept_stays_so() {
    let mut reservations = registered(2);
    out(&mut reservations, OutAction::Register, &list(2, 3, 1), 2).expect("registered");
    let cleared = reservations.cleared();
    assert!(cleared.registrations().is_empty() && cleared.persists());
    assert_eq!(cleared.generation(), reservations.generation() + 1);
    assert_eq!(Reservations::default().cleared(), Reservations::default());
}
