use super::features::CD_BLOCKS_MAX;
use crate::control::{ControlReply, Effect};
use crate::testing::{
    CD_BLOCKS, Disk, PORTS, answer, cd, cd_of, cdb, context, options_of, perform_at, refusal, run, sense_of, with_nexus,
};
use crate::{ControlRequest, DeviceType, Ending, LogicalUnit, Sense, UnitAttention, UnitNexus, UnitOptions, begin};

const TUR: [u8; 6] = [0; 6];

fn read_toc(format: u8, msf: bool, number: u8) -> Vec<u8> {
    let mut cdb = cdb(&[0x43, if msf { 2 } else { 0 }, format]);
    (cdb[6], cdb[8]) = (number, 200);
    cdb
}

fn get_configuration(which: u8, first: u16) -> Vec<u8> {
    let mut cdb = cdb(&[0x46, which]);
    cdb[2..4].copy_from_slice(&first.to_be_bytes());
    cdb[8] = 200;
    cdb
}

fn get_event(classes: u8) -> Vec<u8> {
    let mut cdb = cdb(&[0x4a, 1, 0, 0, classes]);
    cdb[8] = 200;
    cdb
}

/// Event code and media status.
fn media_event(unit: &LogicalUnit, nexus: &UnitNexus) -> (u8, u8) {
    let event = answer(&get_event(0x10), &with_nexus(unit, nexus));
    assert_eq!((event.len(), &event[..4]), (8, &[0, 6, 4, 0x10][..]));
    (event[4], event[5])
}

/// An initiator moves the tray; what the control plane has to do besides.
fn move_tray(unit: &LogicalUnit, open: bool) -> Result<Vec<Effect>, Sense> {
    let outcome = perform_at(ControlRequest::MoveTray { open }, &[], unit);
    match outcome.reply {
        ControlReply::Good(_) => Ok(outcome.effects),
        ControlReply::CheckCondition(sense) => Err(sense),
        ControlReply::Status(status) => panic!("{status:?}"),
    }
}

#[test]
fn inquiry_is_that_of_a_drive_with_a_removable_medium() {
    let unit = cd();
    let standard = answer(&[0x12, 0, 0, 0, 96, 0], &context(&unit));
    assert_eq!((standard[0], standard[1], standard[5]), (0x05, 0x80, 0x00), "type, RMB, no third-party copy");
    assert_eq!(standard[58..66], [0x00, 0xa0, 0x09, 0x40, 0x04, 0x60, 0x04, 0xe0]);
    let pages = answer(&[0x12, 1, 0, 0, 96, 0], &context(&unit));
    assert_eq!(pages, [5, 0, 0, 4, 0x00, 0x80, 0x83, 0x86]);
    for page in &pages[4..] {
        assert_eq!(answer(&[0x12, 1, *page, 0, 96, 0], &context(&unit))[..2], [5, *page]);
    }
    let no_disks_page = refusal(&[0x12, 1, 0xb0, 0, 96, 0], &context(&unit));
    assert_eq!(no_disks_page, Sense::invalid_field_in_cdb(2, None));
}

#[test]
fn blocks_are_of_2048_bytes_and_are_read_not_written() {
    let unit = cd();
    let capacity = answer(&cdb(&[0x25]), &context(&unit));
    assert_eq!(capacity, [(CD_BLOCKS as u32 - 1).to_be_bytes(), 2048_u32.to_be_bytes()].concat());
    let mut disk = Disk::default();
    disk.blocks.insert(7, vec![0x77; 2048]);
    for read in [cdb(&[0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0]), cdb(&[0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0])] {
        assert_eq!(run(&read, &[], &context(&unit), &mut disk).data_in, [0x77; 2048]);
    }
    assert_eq!(refusal(&cdb(&[0x28, 0, 0, 0xff, 0, 0, 0, 0, 1]), &context(&unit)), Sense::LBA_OUT_OF_RANGE);
    for write in [&[0x2a, 0, 0, 0, 0, 7, 0, 0, 1, 0][..], &[0xaa, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0]] {
        assert_eq!(refusal(&cdb(write), &context(&unit)), Sense::WRITE_PROTECTED);
    }
    for unknown in [0x08, 0x0a, 0x41, 0x42, 0x83, 0x84, 0x88, 0x8a, 0x93, 0xbe] {
        assert_eq!(refusal(&cdb(&[unknown]), &context(&unit)), Sense::INVALID_COMMAND_OPERATION_CODE, "{unknown:x}");
    }
}

#[test]
fn a_device_with_other_blocks_is_no_cd() {
    let options = UnitOptions { device_type: DeviceType::CdRom, ..options_of(64, 512) };
    let said = LogicalUnit::new(options).expect_err("blocks of 512 bytes").to_string();
    assert!(said.contains("512") && said.contains("block_size 2048"), "{said}");
}

#[test]
fn the_table_of_contents_has_one_data_track() {
    let unit = cd();
    let toc = |format, msf, number| answer(&read_toc(format, msf, number), &context(&unit));
    let end = (CD_BLOCKS as u32).to_be_bytes();
    let whole = [&[0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0][..], &end].concat();
    assert_eq!(toc(0, false, 0), whole);
    assert_eq!(toc(0, false, 1), whole);
    assert_eq!(toc(0, false, 0xaa), [&[0, 10, 1, 1, 0, 0x14, 0xaa, 0][..], &end].concat());
    // 5 minutes, 2 seconds and 4 frames, behind the lead-in's 2 seconds.
    assert_eq!(toc(0, true, 0)[8..], [0, 0, 2, 0, 0, 0x14, 0xaa, 0, 0, 5, 4, 4]);
    assert_eq!(toc(1, false, 9), [0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0]);
    assert_eq!(toc(1, true, 0)[8..], [0, 0, 2, 0]);
    let point = |point, position: [u8; 3]| [&[1, 0x14, 0, point, 0, 0, 0, 0][..], &position].concat();
    let full = [
        vec![0, 46, 1, 1],
        point(0xa0, [1, 0, 0]),
        point(0xa1, [1, 0, 0]),
        point(0xa2, [5, 4, 4]),
        point(1, [0, 2, 0]),
    ];
    assert_eq!((toc(2, true, 0), toc(2, false, 1)), (full.concat(), full.concat()));
    let mut cut = read_toc(0, false, 0);
    cut[8] = 6;
    assert_eq!(answer(&cut, &context(&unit)), whole[..6]);
    for (format, number, sense) in [
        (0, 2, Sense::invalid_field_in_cdb(6, None)),
        (2, 2, Sense::invalid_field_in_cdb(6, None)),
        (3, 0, Sense::invalid_field_in_cdb(2, Some(3))),
        (5, 0, Sense::invalid_field_in_cdb(2, Some(3))),
        (15, 0, Sense::invalid_field_in_cdb(2, Some(3))),
    ] {
        assert_eq!(refusal(&read_toc(format, false, number), &context(&unit)), sense, "format {format}");
    }
}

#[test]
fn a_disc_that_is_larger_than_minutes_can_say_has_the_greatest_address() {
    let lead_out = |blocks| answer(&read_toc(0, true, 0xaa), &context(&cd_of(blocks)))[9..].to_vec();
    assert_eq!(lead_out(CD_BLOCKS_MAX), [100, 0, 0]);
    assert_eq!(lead_out(256 * 60 * 75 - 151), [255, 59, 74]);
    assert_eq!(lead_out(256 * 60 * 75 - 150), [255, 59, 74]);
    assert_eq!(lead_out(u64::from(u32::MAX) + 9), [255, 59, 74]);
    assert_eq!(answer(&read_toc(0, false, 0xaa), &context(&cd_of(u64::from(u32::MAX) + 9)))[8..], [0xff; 4]);
}

#[test]
fn the_profile_follows_from_the_size_and_needs_a_disc() {
    let profile = |unit: &LogicalUnit| answer(&get_configuration(0, 0), &context(unit))[6..8].to_vec();
    assert_eq!(profile(&cd()), [0, 0x08]);
    assert_eq!(profile(&cd_of(CD_BLOCKS_MAX)), [0, 0x08]);
    assert_eq!(profile(&cd_of(CD_BLOCKS_MAX + 1)), [0, 0x10]);
    let unit = cd();
    unit.drive().expect("a drive").eject();
    assert_eq!(profile(&unit), [0, 0]);
}

#[test]
fn features_are_those_asked_for() {
    let unit = cd();
    let get = |which, first| {
        let answer = answer(&get_configuration(which, first), &context(&unit));
        assert_eq!(answer[..4], (answer.len() as u32 - 4).to_be_bytes());
        let (mut codes, mut at) = (Vec::new(), 8);
        while at < answer.len() {
            codes.push((u16::from_be_bytes([answer[at], answer[at + 1]]), answer[at + 2] & 1 != 0));
            at += 4 + usize::from(answer[at + 3]);
        }
        assert_eq!(at, answer.len());
        codes
    };
    let persistent = [(0, true), (1, true), (2, true), (3, true)];
    assert_eq!(get(0, 0), [&persistent[..], &[(0x10, true)]].concat());
    assert_eq!(get(0, 3), [(3, true), (0x10, true)]);
    assert_eq!((get(2, 1), get(2, 4), get(1, 0x11)), (vec![(1, true)], vec![], vec![]));
    let profiles = &answer(&get_configuration(2, 0), &context(&unit))[8..];
    assert_eq!(profiles, [0, 0, 0x03, 8, 0, 0x10, 0, 0, 0, 0x08, 1, 0]);
    let readable = &answer(&get_configuration(2, 0x10), &context(&unit))[8..];
    assert_eq!(readable, [0, 0x10, 0x01, 8, 0, 0, 8, 0, 0, 1, 1, 0]);
    unit.drive().expect("a drive").eject();
    assert_eq!((get(1, 0), get(0, 0x10)), (persistent.to_vec(), vec![(0x10, false)]));
    assert_eq!(refusal(&get_configuration(3, 0), &context(&unit)), Sense::invalid_field_in_cdb(1, Some(1)));
}

#[test]
fn disc_and_mechanism_are_told() {
    let unit = cd();
    let mut information = cdb(&[0x51]);
    information[8] = 200;
    let disc = answer(&information, &context(&unit));
    assert_eq!((disc.len(), &disc[..8]), (34, &[0, 32, 0x0e, 1, 1, 1, 1, 0x20][..]));
    information[1] = 1;
    assert_eq!(refusal(&information, &context(&unit)), Sense::invalid_field_in_cdb(1, Some(2)));
    let mut mechanism = cdb(&[0xbd]);
    mechanism[9] = 8;
    assert_eq!(answer(&mechanism, &context(&unit)), [0; 8]);
    unit.drive().expect("a drive").eject();
    assert_eq!(answer(&mechanism, &context(&unit))[1], 0x10, "door open");
}

#[test]
fn capabilities_are_those_of_a_drive_that_reads_and_locks() {
    let (unit, nexus) = (cd(), UnitNexus::new());
    let page = |cdb: &[u8]| answer(cdb, &with_nexus(&unit, &nexus));
    let six = page(&[0x1a, 0, 0x2a, 0, 255, 0]);
    assert_eq!((six[0] as usize + 1, &six[1..4]), (six.len(), &[0, 0, 0][..]));
    assert_eq!((six.len(), &six[4..12]), (4 + 32, &[0x2a, 0x1e, 0x08, 0, 0, 0, 0x29, 0][..]));
    let mut ten = cdb(&[0x5a, 0, 0x3f]);
    ten[8] = 255;
    let all = page(&ten);
    assert_eq!((all[..2].to_vec(), all.len()), (vec![0, 8 + 12 + 32 - 2], 8 + 12 + 32));
    assert_eq!((&all[8..10], &all[20..]), (&[0x01, 0x0a][..], &six[4..]));
    perform_at(ControlRequest::PreventRemoval { prevent: true }, &[], &unit);
    assert_eq!(page(&[0x1a, 0, 0x2a, 0, 255, 0])[10], 0x2b, "locked");
    assert_eq!(page(&[0x1a, 0, 0xaa, 0, 255, 0])[10], 0x29, "not by default");
    assert_eq!(page(&[0x1a, 0, 0x6a, 0, 255, 0])[6..], [0; 30], "nothing can be changed");
    let refused = |cdb: &[u8]| refusal(cdb, &context(&unit));
    assert_eq!(refused(&[0x1a, 0, 0xea, 0, 255, 0]), Sense::SAVING_PARAMETERS_NOT_SUPPORTED);
    assert_eq!(refused(&[0x1a, 0, 0x08, 0, 255, 0]), Sense::invalid_field_in_cdb(2, Some(5)));
    assert_eq!(refused(&[0x1a, 0, 0x2a, 1, 255, 0]), Sense::invalid_field_in_cdb(3, None));
}

#[test]
fn an_initiator_opens_and_closes_the_tray() {
    let unit = cd();
    for (byte, open) in [(0b10, true), (0b11, false)] {
        let job = begin(&[0x1b, 0, 0, 0, byte, 0], &context(&unit)).expect("a job");
        let mut job = job;
        let step = job.step(&context(&unit), None, &mut []);
        let request = ControlRequest::MoveTray { open };
        assert_eq!(step, crate::Step::Control { request, parameters: 0..0 });
    }
    for byte in [0b00, 0b01] {
        let started = run(&[0x1b, 1, 0, 0, byte, 0], &[], &context(&unit), &mut Disk::default());
        assert_eq!(started.ending, Ending::Good { data_in: 0..0 }, "nothing to spin");
    }
    assert_eq!(refusal(&[0x1b, 0, 0, 1, 2, 0], &context(&unit)), Sense::invalid_field_in_cdb(3, Some(3)));
    assert_eq!(refusal(&[0x1b, 0, 0, 0, 0x30, 0], &context(&unit)), Sense::invalid_field_in_cdb(4, Some(7)));

    assert_eq!(move_tray(&unit, false), Ok(vec![]), "it is closed");
    assert_eq!(move_tray(&unit, true), Ok(vec![]));
    assert_eq!(refusal(&TUR, &context(&unit)), Sense::MEDIUM_NOT_PRESENT_TRAY_OPEN);
    assert_eq!(move_tray(&unit, true), Ok(vec![]), "it is open");
    assert_eq!(move_tray(&unit, false), Ok(vec![Effect::TellAll(UnitAttention::NotReadyToReady)]));
    answer(&TUR, &context(&unit));
}

#[test]
fn a_disc_that_was_taken_out_does_not_come_back_by_closing_the_tray() {
    let unit = cd();
    let drive = unit.drive().expect("a drive");
    drive.eject();
    assert!(drive.is_open() && drive.is_disc_out());
    for command in [&TUR[..], &[0x25; 1], &[0x28], &[0xa8], &[0x2a], &[0xaa], &[0x2f], &[0x43], &[0x51]] {
        assert_eq!(refusal(&cdb(command), &context(&unit)), Sense::MEDIUM_NOT_PRESENT_TRAY_OPEN, "{command:x?}");
    }
    assert_eq!(move_tray(&unit, false), Ok(vec![]), "nothing to be told");
    assert_eq!(refusal(&TUR, &context(&unit)), Sense::MEDIUM_NOT_PRESENT_TRAY_CLOSED);
    drive.insert();
    answer(&TUR, &context(&unit));
}

#[test]
fn who_prevents_removal_keeps_the_tray_closed_until_it_is_taken_back_or_over() {
    let unit = cd();
    let say = |prevent: bool| drop(perform_at(ControlRequest::PreventRemoval { prevent }, &[], &unit));
    let overs: [&dyn Fn(); 3] = [&|| say(false), &|| unit.reset(), &|| unit.forget_nexus(&PORTS)];
    for over in overs {
        say(true);
        assert_eq!(move_tray(&unit, true), Err(Sense::MEDIUM_REMOVAL_PREVENTED));
        over();
        assert_eq!((move_tray(&unit, true), move_tray(&unit, false).is_ok()), (Ok(vec![]), true));
    }
    assert_eq!(refusal(&[0x1e, 0, 0, 0, 2, 0], &context(&unit)), Sense::invalid_field_in_cdb(4, Some(1)));
}

#[test]
fn each_initiator_is_told_once_what_became_of_the_medium() {
    let unit = cd();
    let drive = unit.drive().expect("a drive");
    let [one, two] = [UnitNexus::new(), UnitNexus::new()];
    assert_eq!((media_event(&unit, &one), media_event(&unit, &one)), ((2, 2), (0, 2)));
    drive.eject();
    assert_eq!((media_event(&unit, &one), media_event(&unit, &one)), ((3, 1), (0, 1)));
    assert_eq!(media_event(&unit, &two), (0, 1), "it never knew of it");
    drive.insert();
    for nexus in [&one, &two] {
        nexus.establish(UnitAttention::NotReadyToReady);
        assert_eq!((media_event(&unit, nexus), media_event(&unit, nexus)), ((2, 2), (0, 2)));
        assert!(nexus.has_pending(), "the unit attention waits for other commands");
        assert_eq!(refusal(&TUR, &with_nexus(&unit, nexus)), UnitAttention::NotReadyToReady.sense());
    }
    // Out and in between two polls.
    drive.eject();
    drive.insert();
    one.establish(UnitAttention::NotReadyToReady);
    assert_eq!((media_event(&unit, &one), media_event(&unit, &one)), ((2, 2), (0, 2)));
    // Somebody presses the button; whether it is in or out counts for more.
    one.request_eject();
    assert_eq!((media_event(&unit, &one), media_event(&unit, &one)), ((1, 2), (0, 2)));
    one.request_eject();
    drive.eject();
    assert_eq!(media_event(&unit, &one), (3, 1));
    drive.insert();
    one.request_eject();
    assert_eq!(media_event(&unit, &one), (2, 2));
    let none = answer(&get_event(0xef), &context(&unit));
    assert_eq!(none, [0, 2, 0x80, 0x10], "no such class");
    assert_eq!(refusal(&cdb(&[0x4a, 0, 0, 0, 0x10]), &context(&unit)), Sense::invalid_field_in_cdb(1, Some(0)));
}

#[test]
fn what_only_asks_of_the_drive_leaves_the_unit_attention() {
    let (unit, nexus) = (cd(), UnitNexus::new());
    nexus.establish(UnitAttention::PowerOnReset);
    answer(&get_configuration(0, 0), &with_nexus(&unit, &nexus));
    answer(&get_event(0x10), &with_nexus(&unit, &nexus));
    let sense = sense_of(&run(&read_toc(0, false, 0), &[], &with_nexus(&unit, &nexus), &mut Disk::default()), &[0x43]);
    assert_eq!(sense, UnitAttention::PowerOnReset.sense());
    let disk = crate::testing::unit();
    nexus.establish(UnitAttention::PowerOnReset);
    let sense = refusal(&get_event(0x10), &with_nexus(&disk, &nexus));
    assert_eq!(sense, UnitAttention::PowerOnReset.sense(), "a disk has no such exception");
}

proptest::proptest! {
    /// Whatever stands in a CDB for a drive, it is answered, and never with more than the drive knows.
    #[test]
    fn no_cdb_is_too_much(mut cdb: [u8; 16], row in 0..crate::CD_COMMANDS.len(), ejected: bool) {
        let unit = cd();
        if ejected {
            unit.drive().expect("a drive").eject();
        }
        cdb[0] = crate::CD_COMMANDS[row].opcode;
        run(&cdb, &[0; 1 << 16], &context(&unit), &mut Disk::default());
    }
}
