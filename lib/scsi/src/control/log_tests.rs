use super::*;
use crate::control::testing::{GOOD, Host};
use crate::nexus::UnitAttention;
use crate::testing::{unit, unit_with};

fn log_sense(host: &mut Host, page: u8, subpage: u8, pointer: u16) -> Result<Vec<u8>, Sense> {
    let [high, low] = pointer.to_be_bytes();
    host.run(&[0x4d, 0, 0x40 | page, subpage, 0, high, low, 0xff, 0xff, 0], &[])
}

fn page(host: &mut Host, code: u8) -> Vec<u8> {
    let page = log_sense(host, code, 0, 0).expect("a page");
    assert_eq!(usize::from(u16::from_be_bytes([page[2], page[3]])), page.len() - 4, "PAGE LENGTH");
    page
}

/// The parameters of a page by their codes.
fn values(host: &mut Host, code: u8) -> Vec<(u16, Vec<u8>)> {
    let page = page(host, code);
    let (mut rest, mut values) = (&page[4..], Vec::new());
    while let [high, low, _, length, ..] = *rest {
        let end = 4 + usize::from(length);
        values.push((u16::from_be_bytes([high, low]), rest[4..end].to_vec()));
        rest = &rest[end..];
    }
    assert!(rest.is_empty());
    values
}

fn count(host: &mut Host, page: u8, code: u16) -> u64 {
    let found = values(host, page).into_iter().find(|(known, _)| *known == code).expect("a parameter");
    u64::from_be_bytes(found.1.try_into().expect("a counter of 8 bytes"))
}

/// LOG SELECT; `options` are PCR (2) and SP (1).
fn select(host: &mut Host, options: u8, control_and_page: u8, list: &[u8]) -> Result<Vec<u8>, Sense> {
    let [high, low] = (list.len() as u16).to_be_bytes();
    host.run(&[0x4c, options, control_and_page, 0, 0, 0, 0, high, low, 0], list)
}

/// An application client parameter, filled with a byte.
fn parameter(code: u8, byte: u8) -> Vec<u8> {
    let mut parameter = vec![0, code, 0x83, 252];
    parameter.resize(4 + 252, byte);
    parameter
}

fn application_page(parameters: &[Vec<u8>]) -> Vec<u8> {
    let parameters = parameters.concat();
    let [high, low] = (parameters.len() as u16).to_be_bytes();
    [&[0x0f, 0, high, low][..], &parameters].concat()
}

#[test]
fn the_lists_name_every_page_and_each_is_there() {
    for (unit, more) in [(unit(), false), (unit_with(|facts| facts.threshold_percent = Some(80)), true)] {
        let mut host = Host::new(unit);
        let listed = page(&mut host, 0)[4..].to_vec();
        assert!(listed.is_sorted() && listed.contains(&0x0c) == more, "{listed:02x?}");
        for &code in &listed {
            assert_eq!(page(&mut host, code)[0] & 0x3f, code);
        }
        let with_subpages = log_sense(&mut host, 0, 0xff, 0).expect("a page");
        assert_eq!(with_subpages[..2], [0x40, 0xff]);
        let pairs: Vec<u8> = with_subpages[4..].chunks(2).filter(|pair| pair[1] == 0).map(|pair| pair[0]).collect();
        assert_eq!(pairs, listed);
        for code in (0..0x40).filter(|code| !listed.contains(code)) {
            assert_eq!(log_sense(&mut host, code, 0, 0), Err(Sense::invalid_field_in_cdb(2, Some(5))), "{code:02x}");
        }
    }
}

#[test]
fn faults_in_the_cdb_are_pointed_at() {
    let mut host = Host::new(unit());
    let mut wrong = |cdb: [u8; 10]| host.run(&cdb, &[]).expect_err("a refusal");
    let field = Sense::invalid_field_in_cdb;
    assert_eq!(wrong([0x4d, 1, 0x42, 0, 0, 0, 0, 0, 9, 0]), field(1, Some(0)), "SP");
    assert_eq!(wrong([0x4d, 2, 0x42, 0, 0, 0, 0, 0, 9, 0]), field(1, Some(1)), "PPC");
    assert_eq!(wrong([0x4d, 0, 0x02, 0, 0, 0, 0, 0, 9, 0]), field(2, Some(7)), "threshold values");
    assert_eq!(wrong([0x4d, 0, 0x42, 1, 0, 0, 0, 0, 9, 0]), field(3, None), "a subpage");
    assert_eq!(wrong([0x4d, 0, 0x42, 0, 0, 0, 7, 0, 9, 0]), field(5, None), "beyond the last parameter");
    assert_eq!(wrong([0x4c, 2, 0x40, 0, 0, 0, 0, 0, 4, 0]), field(7, None), "PCR with a list");
    assert_eq!(wrong([0x4c, 0, 0x4f, 0, 0, 0, 0, 0, 4, 0]), field(2, Some(5)), "a page beside a list");
    assert_eq!(wrong([0x4c, 0, 0x40, 1, 0, 0, 0, 0, 4, 0]), field(3, None), "a subpage beside a list");
    let mut host = Host::without_store(unit());
    assert_eq!(host.run(&[0x4c, 1, 0x40, 0, 0, 0, 0, 0, 0, 0], &[]), Err(field(1, Some(0))), "nowhere to save");
}

#[test]
fn what_fails_is_counted_until_it_is_reset() {
    use bdev::IoError;
    let mut host = Host::new(unit());
    let (read, write) = ([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    let verify = [0x2f, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    let counts =
        |host: &mut Host| [count(host, 0x02, 6), count(host, 0x03, 6), count(host, 0x05, 6), count(host, 0x06, 0)];
    host.disk.results = [IoError::Medium, IoError::Medium, IoError::Medium, IoError::Failed].map(Err).into();
    host.run(&read, &[]).expect_err("unreadable");
    host.run(&write, &[0; 512]).expect_err("unwritable");
    host.run(&verify, &[]).expect_err("unreadable");
    host.run(&read, &[]).expect_err("not the medium");
    assert_eq!(counts(&mut host), [1, 1, 1, 1]);
    host.disk.results = [IoError::NoSpace, IoError::WriteProtected].map(Err).into();
    host.run(&write, &[0; 512]).expect_err("no room");
    host.run(&write, &[0; 512]).expect_err("protected");
    assert_eq!(counts(&mut host), [1, 1, 1, 1], "neither is an error of the device");

    assert_eq!(select(&mut host, 0, 0x40, &[]), GOOD, "nothing to do");
    assert!(host.told.is_empty());
    let defaults = host.run(&[0x4d, 0, 0xc2, 0, 0, 0, 0, 0, 255, 0], &[]).expect("a page");
    assert_eq!(defaults[4 + 4..][..8], [0; 8], "counters begin with zero");
    assert_eq!(select(&mut host, 2, 0x43, &[]), GOOD);
    assert_eq!(counts(&mut host), [1, 0, 1, 1], "PCR of one page");
    assert_eq!(select(&mut host, 0, 0xc0, &[]), GOOD);
    assert_eq!(counts(&mut host), [0; 4], "default cumulative values of all pages");
    assert_eq!(host.told, [UnitAttention::LogParametersChanged; 2]);
}

#[test]
fn statistics_have_their_three_parameters() {
    let mut host = Host::new(unit());
    let values = values(&mut host, 0x19);
    let lengths: Vec<(u16, usize)> = values.iter().map(|(code, value)| (*code, value.len())).collect();
    assert_eq!(lengths, [(1, 64), (2, 8), (3, 8)]);
    assert_eq!(values[2].1, [0, 0, 0, 6, 0, 0, 0, 1], "intervals of microseconds");
}

#[test]
fn space_beneath_is_in_threshold_sets() {
    let mut host = Host::new(unit_with(|facts| facts.threshold_percent = Some(80)));
    host.unit.set_space(100 << 20);
    host.unit.set_free_space(30 << 20);
    let expected = [(1, vec![0, 0, 0, 30, 2, 0, 0, 0]), (2, vec![0, 0, 0, 70, 2, 0, 0, 0])];
    assert_eq!(values(&mut host, 0x0c), expected);
}

#[test]
fn a_pointer_leaves_the_parameters_before_it_out() {
    let mut host = Host::new(unit());
    let all = page(&mut host, 0x03);
    let rest = log_sense(&mut host, 0x03, 0, 5).expect("a page");
    assert_eq!(rest[4..], all[4 + 12..]);
    assert_eq!(rest[2..4], [0, 24]);
}

#[test]
fn application_clients_find_what_they_noted() {
    let mut host = Host::new(unit());
    let empty = values(&mut host, 0x0f);
    assert_eq!((empty.len(), empty[63].0), (64, 63));
    assert!(empty.iter().all(|(_, value)| value == &[0; 252]));
    assert_eq!(page(&mut host, 0x0f)[0], 0x0f, "it can be saved: DS is clear");

    assert_eq!(select(&mut host, 0, 0x40, &application_page(&[parameter(1, 0xaa), parameter(63, 0xbb)])), GOOD);
    assert_eq!(host.told, [UnitAttention::LogParametersChanged]);
    let noted = values(&mut host, 0x0f);
    assert_eq!(
        (&noted[1].1[..], &noted[63].1[..], &noted[2].1[..]),
        (&[0xaa; 252][..], &[0xbb; 252][..], &[0; 252][..])
    );
    assert_eq!(select(&mut host, 1, 0x40, &application_page(&[parameter(2, 0xcc)])), GOOD);
    assert_eq!(select(&mut host, 0, 0x40, &application_page(&[parameter(3, 0xdd)])), GOOD);
    assert_eq!(select(&mut host, 0, 0x40, &application_page(&[parameter(3, 0xdd)])), GOOD);
    assert_eq!(host.told.len(), 3, "the last one changed nothing");

    let mut host = host.restarted(unit());
    let saved = values(&mut host, 0x0f);
    let first = [1, 2, 3].map(|code: usize| saved[code].1[0]);
    assert_eq!(first, [0xaa, 0xcc, 0], "saved with the second, but not the third");
    assert_eq!(select(&mut host, 3, 0x4f, &[]), GOOD, "PCR and SP");
    assert_eq!(values(&mut host, 0x0f), empty);
    assert_eq!(values(&mut host.restarted(unit()), 0x0f), empty);
}

#[test]
fn nothing_is_noted_of_a_list_that_is_wrong() {
    let mut host = Host::new(unit());
    let byte = Sense::invalid_field_in_parameter_list;
    let short = Sense::PARAMETER_LIST_LENGTH_ERROR;
    let one = application_page(&[parameter(1, 0xaa)]);
    let two = application_page(&[parameter(1, 0xaa), parameter(2, 0xbb)]);
    let spoilt = |list: &[u8], at: usize, value: u8| {
        let mut list = list.to_vec();
        list[at] = value;
        list
    };
    for (list, sense) in [
        (one[..3].to_vec(), short),
        (one[..9].to_vec(), short),
        (vec![0x0f, 0, 0, 3, 0, 1, 3], short),
        (spoilt(&one, 0, 0x01), Sense::invalid_bit_in_parameter_list(0, 5)),
        (spoilt(&one, 1, 0x01), byte(1)),
        (spoilt(&one, 0, 0x02), byte(4)),
        (spoilt(&two, 4 + 256, 0x01), byte(4 + 256)),
        (spoilt(&two, 4 + 256 + 1, 64), byte(4 + 256)),
        (spoilt(&two, 4 + 256 + 1, 1), byte(4 + 256)),
        (spoilt(&two, 4 + 256 + 3, 251), byte(4 + 256 + 3)),
        ([&one[..], &[0x02, 0, 0, 0]].concat(), Sense::invalid_bit_in_parameter_list(260, 5)),
        ([&[0x02, 0, 0, 0][..], &one[..1]].concat(), short),
    ] {
        assert_eq!(select(&mut host, 0, 0x40, &list), Err(sense), "{:02x?}", &list[..list.len().min(8)]);
    }
    assert!(host.told.is_empty() && values(&mut host, 0x0f)[1].1 == [0; 252]);
    let after_another = [&[0x02, 0, 0, 0][..], &one].concat();
    assert_eq!(select(&mut host, 0, 0x40, &after_another), GOOD);
    assert_eq!(values(&mut host, 0x0f)[1].1, [0xaa; 252]);
}

#[test]
fn starts_are_counted() {
    let mut host = Host::new(unit());
    for stop_or_start in [0, 0, 1, 1, 0, 0x30, 0x10] {
        assert_eq!(host.run(&[0x1b, 0, 0, 0, stop_or_start, 0], &[]), GOOD);
    }
    assert_eq!(values(&mut host, 0x0e), [(4, vec![0, 0, 0, 2])]);
}
