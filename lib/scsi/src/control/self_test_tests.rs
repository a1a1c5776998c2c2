use bdev::IoError;

use super::*;
use crate::control::testing::{GOOD, Host};
use crate::testing::{BLOCKS, unit};

/// SEND DIAGNOSTIC.
fn send(host: &mut Host, options: u8, list: &[u8]) -> Result<Vec<u8>, Sense> {
    host.run(&[0x1d, options, 0, 0, list.len() as u8, 0], list)
}

/// The results in the log page that are not empty: code and result, segment, address, sense.
fn logged(host: &mut Host) -> Vec<(u8, u8, u64, [u8; 3])> {
    let page = host.run(&[0x4d, 0, 0x50, 0, 0, 0, 0, 0xff, 0xff, 0], &[]).expect("a page");
    assert_eq!((page.len(), &page[4..8]), (4 + 20 * 20, &[0, 1, 3, 16][..]));
    let results = page[4..].chunks(20).filter(|result| result[4..].iter().any(|&byte| byte != 0));
    let one = |result: &[u8]| {
        let address = u64::from_be_bytes(result[8..16].try_into().expect("8 bytes"));
        (result[4], result[5], address, [result[16], result[17], result[18]])
    };
    results.map(one).collect()
}

#[test]
fn tests_read_from_the_first_block_to_the_last() {
    for (options, reads) in [(0x04, 16), (0x20, 16), (0x40, 256), (0xa0, 16), (0xc0, 256)] {
        let mut host = Host::new(unit());
        assert_eq!(send(&mut host, options, &[]), GOOD);
        let places: Vec<u64> = host.disk.asked.iter().map(|&(_, lba, _)| lba).collect();
        assert_eq!((places.len(), places[0], places[reads - 1]), (reads, 0, BLOCKS - 1), "{options:x}");
        assert!(places.is_sorted());
    }
}

#[test]
fn results_are_logged_the_latest_first() {
    let mut host = Host::new(unit());
    assert_eq!(send(&mut host, 0x04, &[]), GOOD);
    assert!(logged(&mut host).is_empty(), "the default self-test is in no log");
    assert_eq!(send(&mut host, 0x20, &[]), GOOD);
    host.disk.results = [Ok(()), Err(IoError::Medium)].into();
    assert_eq!(send(&mut host, 0xa0, &[]), Err(Sense::FAILED_SELF_TEST));
    let failed_at = (BLOCKS - 1) / 15;
    let first = (0x20, 0, u64::MAX, [0; 3]);
    assert_eq!(logged(&mut host), [(0xa7, 1, failed_at, [3, 0x11, 0]), first]);
    host.disk.results = [Err(IoError::Medium)].into();
    assert_eq!(send(&mut host, 0x40, &[]), GOOD, "a test in the background fails in the log alone");
    assert_eq!(logged(&mut host)[0], (0x47, 1, 0, [3, 0x11, 0]));
    host.disk.results = [Err(IoError::Medium)].into();
    assert_eq!(send(&mut host, 0x04, &[]), Err(Sense::FAILED_SELF_TEST));
    (0..20).for_each(|_| assert_eq!(send(&mut host, 0x20, &[]), GOOD));
    assert_eq!(logged(&mut host), [first; 20], "there is room for 20");
}

#[test]
fn send_diagnostic_points_at_faults() {
    let mut host = Host::new(unit());
    let mut wrong = |options: u8, list_bytes: u8| host.run(&[0x1d, options, 0, 0, list_bytes, 0], &[]);
    let field = |byte, bit| Err(Sense::invalid_field_in_cdb(byte, bit));
    assert_eq!(wrong(0x24, 0), field(1, Some(7)), "SELF-TEST CODE with SELFTEST");
    assert_eq!(wrong(0x80, 0), field(1, Some(7)), "no test to abort");
    assert_eq!(wrong(0x60, 0), field(1, Some(7)), "a reserved code");
    assert_eq!(wrong(0x30, 0), field(1, Some(4)), "PF with a test");
    assert_eq!(wrong(0x04, 4), field(3, None), "a list with a test");
    assert_eq!(wrong(0x00, 4), field(1, Some(4)), "a list without PF");
    assert_eq!(wrong(0x00, 0), GOOD);
    let byte = |byte| Err(Sense::invalid_field_in_parameter_list(byte));
    let short = Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
    assert_eq!(send(&mut host, 0x10, &[0; 4]), GOOD, "supported pages");
    assert_eq!(send(&mut host, 0x10, &[0x40, 0, 0, 0]), byte(0));
    assert_eq!(send(&mut host, 0x10, &[0, 0, 0, 1, 0]), byte(2));
    assert_eq!(send(&mut host, 0x10, &[0; 3]), short);
    assert_eq!(send(&mut host, 0x10, &[0; 5]), short);
}

#[test]
fn a_unit_that_is_not_ready_is_not_tested() {
    let mut host = Host::new(unit());
    assert_eq!(host.run(&[0x1b, 0, 0, 0, 0, 0], &[]), GOOD);
    assert_eq!(send(&mut host, 0x04, &[]), Err(Sense::INITIALIZING_COMMAND_REQUIRED));
}

#[test]
fn receive_diagnostic_lists_the_only_page() {
    let mut host = Host::new(unit());
    assert_eq!(host.run(&[0x1c, 0, 0, 0, 255, 0], &[]), Ok(vec![0, 0, 0, 1, 0]));
    assert_eq!(host.run(&[0x1c, 1, 0, 0, 3, 0], &[]), Ok(vec![0, 0, 0]));
    assert_eq!(host.run(&[0x1c, 1, 1, 0, 255, 0], &[]), Err(Sense::invalid_field_in_cdb(2, None)));
    assert_eq!(host.run(&[0x1c, 0, 1, 0, 255, 0], &[]), Ok(vec![0, 0, 0, 1, 0]), "without PCV there is no page code");
}

#[test]
fn there_are_no_defects() {
    let mut host = Host::new(unit());
    assert_eq!(host.run(&[0x37, 0, 0x1d, 0, 0, 0, 0, 0, 255, 0], &[]), Ok(vec![0, 0x1d, 0, 0]));
    assert_eq!(host.run(&[0xb7, 0x0b, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0], &[]), Ok(vec![0, 0x0b, 0, 0, 0, 0, 0, 0]));
    assert_eq!(host.run(&[0x37, 0, 0x07, 0, 0, 0, 0, 0, 9, 0], &[]), Err(Sense::invalid_field_in_cdb(2, Some(2))));
    assert_eq!(
        host.run(&[0xb7, 0x06, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0], &[]),
        Err(Sense::invalid_field_in_cdb(1, Some(2)))
    );
}

#[test]
fn task_management_functions_are_named() {
    let mut host = Host::new(unit());
    let mut ask = |options: u8, length: u8| host.run(&[0xa3, 0x0d, options, 0, 0, 0, 0, 0, 0, length, 0, 0], &[]);
    assert_eq!(ask(0, 255), Ok(vec![0xd8, 0, 0, 0]));
    let extended = ask(0x80, 255).expect("an answer");
    assert_eq!((extended.len(), &extended[..4]), (16, &[0xd8, 0, 0, 12][..]));
    assert_eq!(ask(0, 3), Err(Sense::invalid_field_in_cdb(6, None)));
}
