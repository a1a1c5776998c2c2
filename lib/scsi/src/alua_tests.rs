use super::*;
use crate::control::{ControlRequest, Effect, Outcome};
use crate::testing::{Disk, PORTS, context, groups, perform_alone, run, sense_of, unit, with_nexus};
use crate::wire::sense::Sense;
use crate::{Ending, Keeper, Saved, UnitNexus};
use proptest::prelude::*;

fn report_cdb(format: u8, allocation: u8) -> [u8; 12] {
    [0xa3, format << 5 | 0x0a, 0, 0, 0, 0, 0, 0, 0, allocation, 0, 0]
}

fn set_cdb(len: usize) -> [u8; 12] {
    [0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, len as u8, 0, 0]
}

/// What SET TARGET PORT GROUPS with this list is refused with.
fn set_refusal(list: &[u8]) -> Sense {
    let unit = unit();
    let cdb = set_cdb(list.len());
    sense_of(&run(&cdb, list, &context(&unit), &mut Disk::default()), &cdb)
}

fn perform(request: ControlRequest, list: &[u8], groups: &TargetPortGroups) -> Outcome {
    let mut saved = Saved::default();
    let mut keeper = Keeper { saved: &mut saved, store: None, failure: None };
    perform_alone(request, list, &unit(), &PORTS, groups, &mut keeper)
}

#[test]
fn groups_are_reported_with_either_header_and_cut_to_the_allocation_length() {
    let unit = unit();
    let descriptors = [
        &[0x80, 0xcf, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2][..],
        &[0x02, 0xcf, 2, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4],
        &[0x0f, 0xcf, 2, 4, 0, 0, 0, 1, 0, 0, 0, 5],
        &[0x0e, 0xcf, 2, 5, 0, 0, 0, 1, 0, 0, 0, 6],
    ]
    .concat();
    let plain = [&[0, 0, 0, 52][..], &descriptors].concat();
    let extended = [&[0, 0, 0, 56, 0x10, 9, 0, 0][..], &descriptors].concat();
    let ask =
        |format, allocation| run(&report_cdb(format, allocation), &[], &context(&unit), &mut Disk::default()).data_in;
    assert_eq!(ask(0, 255), plain);
    assert_eq!(ask(1, 255), extended);
    assert_eq!(ask(1, 10), extended[..10]);
    assert_eq!(ask(0, 0), []);
    for format in 2..8 {
        let outcome = run(&report_cdb(format, 255), &[], &context(&unit), &mut Disk::default());
        assert_eq!(sense_of(&outcome, &[0xa3]), Sense::invalid_field_in_cdb(1, Some(7)));
    }
}

#[test]
fn a_group_of_more_ports_than_a_byte_counts_is_cut() {
    let mut groups = groups();
    groups.groups.truncate(1);
    groups.groups[0].ports = (1..=300).map(|relative_id| TargetPort { relative_id, id: [0; 16] }).collect();
    let data = report(&groups, false);
    assert_eq!((data.len(), data[4 + 7]), (4 + 8 + 4 * 255, 255));
}

#[test]
fn states_are_set_for_groups_that_exist_and_all_or_none() {
    let set = |list: &[u8]| perform(ControlRequest::SetTargetPortGroups, list, &groups());
    let both = [0, 0, 0, 0, 0x01, 0, 0, 1, 0x03, 0, 2, 3];
    let effect = |group, state| Effect::SetAccessState { group, state };
    let done = set(&both);
    assert_eq!(done.effects, [effect(1, AccessState::NonOptimized), effect(0x0203, AccessState::Unavailable)]);
    assert_eq!(set(&[]).effects, []);
    assert_eq!(set(&[0; 4]).effects, []);
    let bad = [0, 0, 0, 0, 0x01, 0, 0, 1, 0x03, 0, 9, 9];
    assert_eq!(set(&bad).effects, [], "the whole list is checked first");
}

#[test]
fn what_cannot_be_set_is_refused_with_its_field() {
    let field = |byte, bit| Sense {
        field: Some(FieldPointer { in_cdb: false, byte, bit }),
        ..Sense::INVALID_FIELD_IN_PARAMETER_LIST
    };
    for len in [1, 3, 5, 7, 9] {
        assert_eq!(set_refusal(&vec![0; len]), Sense::PARAMETER_LIST_LENGTH_ERROR, "{len}");
    }
    for state in 4..16 {
        assert_eq!(set_refusal(&[0, 0, 0, 0, state, 0, 0, 1]), field(4, Some(3)), "{state}");
        assert_eq!(set_refusal(&[0, 0, 0, 0, 0, 0, 0, 1, state, 0, 0, 1]), field(8, Some(3)), "{state}");
    }
    assert_eq!(set_refusal(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9]), field(10, None), "no such group");
    assert_eq!(set_refusal(&[0, 0, 0, 0, 0, 0, 2, 5]), field(6, None), "a group that is the target's own");
    assert_eq!(set_refusal(&[0, 0, 0, 0, 0, 0, 2, 4]), Sense::SET_TARGET_PORT_GROUPS_FAILED, "it is changing");
    let through_another = TargetPortGroups { through: 0x0205, ..groups() };
    let outcome = perform(ControlRequest::SetTargetPortGroups, &[], &through_another);
    assert_eq!(outcome.reply, crate::ControlReply::CheckCondition(Sense::invalid_field_in_cdb(1, Some(4))));
    let long = [0xa4, 0x0a, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0];
    let outcome = run(&long, &[], &context(&unit()), &mut Disk::default());
    assert_eq!(sense_of(&outcome, &long), Sense::invalid_field_in_cdb(6, None));
}

#[test]
fn inquiry_tells_of_the_group_that_the_nexus_is_in() {
    let (unit, nexus) = (unit(), UnitNexus::new());
    let ask = |cdb: &[u8]| run(cdb, &[], &with_nexus(&unit, &nexus), &mut Disk::default()).data_in;
    let (standard, identification) = ([0x12, 0, 0, 0, 96, 0], [0x12, 1, 0x83, 0, 255, 0]);
    let without = ask(&identification);
    assert_eq!(ask(&standard)[5] & 0x30, 0);
    for (implicit, explicit, tpgs) in [(true, false, 0x10), (false, true, 0x20), (true, true, 0x30)] {
        let group = PortGroup { id: 0xabcd, modes: AccessModes { implicit, explicit } };
        assert!(nexus.set_port_group(group) && !nexus.set_port_group(group));
        assert_eq!(nexus.port_group(), group);
        assert_eq!(ask(&standard)[5] & 0x30, tpgs);
        let with = ask(&identification);
        assert_eq!(with[4..without.len()], without[4..]);
        assert_eq!(with[without.len()..], [0x41, 0x95, 0, 4, 0, 0, 0xab, 0xcd]);
    }
    assert!(nexus.is_clear(), "it stands in no command's way");
}

#[test]
fn the_ports_page_lists_every_port_in_order() {
    let data = run(&[0x12, 1, 0x88, 0, 255, 0], &[], &context(&unit()), &mut Disk::default()).data_in;
    assert_eq!(data[..4], [0, 0x88, 0, 160]);
    let ids: Vec<u16> = data[4..].chunks(32).map(|port| be16(port, 2)).collect();
    assert_eq!(ids, [3, 4, 5, 6, 0x0102]);
    let port = &data[4..36];
    assert_eq!(port[..12], [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 20]);
    assert_eq!(port[12..], [&[0x41, 0x92, 0, 16][..], &crate::testing::PORTS.target_port_id].concat());
}

proptest! {
    #[test]
    fn any_list_is_taken_whole_or_refused(list in prop::collection::vec(prop_oneof![Just(0u8), 0..4u8, any::<u8>()], 0..64)) {
        match parse_set(&list) {
            Ok(descriptors) => {
                prop_assert_eq!(descriptors.len(), list.len().saturating_sub(4) / 4);
                for descriptor in descriptors {
                    prop_assert!(descriptor.state.code() < 4 && be16(&list, usize::from(descriptor.at) + 2) == descriptor.group);
                }
            }
            Err(sense) => prop_assert!(matches!(sense.asc, 0x1a | 0x26)),
        }
    }

    /// Words of an atomic come from nobody, and still nothing is lost.
    #[test]
    fn a_port_group_survives_its_word(id: u16, implicit: bool, explicit: bool) {
        let group = PortGroup { id, modes: AccessModes { implicit, explicit } };
        prop_assert_eq!(PortGroup::from_bits(group.to_bits()), group);
    }
}

#[test]
fn a_set_ends_well_through_the_whole_machine() {
    let list = [0, 0, 0, 0, 0x01, 0, 0, 1];
    let outcome = run(&set_cdb(list.len()), &list, &context(&unit()), &mut Disk::default());
    assert_eq!(outcome.ending, Ending::Good { data_in: 0..0 });
}
