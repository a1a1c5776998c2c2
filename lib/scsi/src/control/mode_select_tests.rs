use super::*;
use crate::control::testing::{GOOD, Host};
use crate::testing::{BLOCKS, unit, unit_with};

/// MODE SELECT(6) of a list.
fn select(host: &mut Host, save: bool, list: &[u8]) -> Result<Vec<u8>, Sense> {
    host.run(&[0x15, 0x10 | u8::from(save), 0, 0, list.len() as u8, 0], list)
}

/// A page as MODE SENSE(6) shows it: values 0 current, 1 changeable, 2 default, 3 saved.
fn page(host: &mut Host, values: u8, code: u8) -> Vec<u8> {
    host.run(&[0x1a, 0x08, values << 6 | code, 0, 255, 0], &[]).expect("a page")[4..].to_vec()
}

/// The page with these bytes changed, as a list without block descriptor. PS is reserved in it.
fn changed(host: &mut Host, code: u8, bytes: &[(usize, u8)]) -> Vec<u8> {
    let mut page = page(host, 0, code);
    page[0] &= 0x3f;
    for &(at, value) in bytes {
        page[at] = value;
    }
    [&[0; 4][..], &page].concat()
}

fn wrong_byte(byte: u16) -> Result<Vec<u8>, Sense> {
    Err(Sense::invalid_field_in_parameter_list(byte))
}

fn wrong_bit(byte: u16, bit: u8) -> Result<Vec<u8>, Sense> {
    Err(Sense::invalid_bit_in_parameter_list(byte, bit))
}

#[test]
fn what_is_changed_shows_and_is_told_once() {
    let mut host = Host::new(unit());
    let list = changed(&mut host, 0x0a, &[(2, 0x06), (4, 0x08), (5, 0)]);
    assert_eq!(select(&mut host, false, &list), GOOD);
    assert_eq!(host.told, [UnitAttention::ModeParametersChanged]);
    assert!(host.unit.descriptor_sense() && host.unit.software_write_protect() && !host.unit.task_aborted_status());
    assert_eq!(page(&mut host, 0, 0x0a)[2..6], [0x06, 0x10, 0x08, 0]);
    assert_eq!(page(&mut host, 3, 0x0a)[2..6], [0x02, 0x10, 0, 0x40], "nothing was saved");
    assert_eq!(select(&mut host, false, &list), GOOD);
    assert_eq!(host.told.len(), 1, "nothing changed the second time");
    assert_eq!(select(&mut host, false, &[]), GOOD);
}

#[test]
fn what_is_saved_survives_a_restart_and_a_reset() {
    let mut host = Host::new(unit());
    assert_eq!(page(&mut host, 0, 0x0a)[0], 0x8a, "PS");
    let saved = changed(&mut host, 0x0a, &[(4, 0x08)]);
    assert_eq!(select(&mut host, true, &saved), GOOD);
    let not_saved = changed(&mut host, 0x1c, &[(2, 0x08)]);
    assert_eq!(select(&mut host, false, &not_saved), GOOD);
    assert_eq!((page(&mut host, 0, 0x1c)[2], page(&mut host, 3, 0x1c)[2]), (0x08, 0));

    host.unit.reset();
    assert_eq!((page(&mut host, 0, 0x0a)[4], page(&mut host, 0, 0x1c)[2]), (0x08, 0));
    let mut host = host.restarted(unit());
    assert_eq!(page(&mut host, 0, 0x0a)[4], 0x08);
    assert_eq!((page(&mut host, 2, 0x0a)[4], page(&mut host, 3, 0x0a)[4]), (0, 0x08));
}

#[test]
fn what_cannot_be_saved_is_not_changed_either() {
    let mut host = Host::new(unit());
    host.store.as_mut().expect("a store").fails = true;
    let list = changed(&mut host, 0x0a, &[(4, 0x08)]);
    assert_eq!(select(&mut host, true, &list), Err(Sense::INTERNAL_TARGET_FAILURE));
    assert!(!host.unit.software_write_protect() && host.told.is_empty());
    assert_eq!(page(&mut host, 3, 0x0a)[4], 0);

    let mut host = Host::without_store(unit());
    let list = changed(&mut host, 0x0a, &[(4, 0x08)]);
    assert_eq!(page(&mut host, 0, 0x0a)[0], 0x0a, "no PS");
    assert_eq!(select(&mut host, true, &list), Err(Sense::SAVING_PARAMETERS_NOT_SUPPORTED));
    assert_eq!(host.run(&[0x1a, 0x08, 0xca, 0, 255, 0], &[]), Err(Sense::SAVING_PARAMETERS_NOT_SUPPORTED));
}

/// Every bit of every page: the mask of changeable values tells what MODE SELECT takes.
#[test]
fn the_changeable_mask_is_what_can_be_changed() {
    let watched = unit_with(|facts| {
        (facts.write_cache, facts.threshold_percent) = (true, Some(80));
    });
    let mut host = Host::new(watched);
    let codes: Vec<PageCode> = pages(&host.unit).collect();
    for (code, subpage) in codes {
        let sense = |host: &mut Host, values: u8| {
            host.run(&[0x1a, 0x08, values << 6 | code, subpage, 255, 0], &[]).expect("a page")[4..].to_vec()
        };
        let (mut current, mask) = (sense(&mut host, 0), sense(&mut host, 1));
        current[0] &= 0x7f;
        let header = if subpage == 0 { 2 } else { 4 };
        for (byte, bit) in (header..current.len()).flat_map(|byte| (0..8_u8).map(move |bit| (byte, bit))) {
            let mut list = [&[0; 4][..], &current].concat();
            list[4 + byte] ^= 1 << bit;
            let outcome = select(&mut host, false, &list);
            let fault = Sense::invalid_bit_in_parameter_list(4 + byte as u16, bit);
            match mask[byte] & 1 << bit {
                0 => assert_eq!(outcome, Err(fault), "{code:02x}/{subpage:02x} byte {byte} bit {bit}"),
                _ if outcome.is_ok() => {
                    current = sense(&mut host, 0);
                    current[0] &= 0x7f;
                    assert_eq!(current, list[4..], "{code:02x}/{subpage:02x} byte {byte} bit {bit}");
                }
                // The values of one field, or fields together, may be none that are supported.
                _ => assert!([(0x0a, 0), (0x1c, 0)].contains(&(code, subpage)), "byte {byte} bit {bit}"),
            }
        }
    }
}

#[test]
fn faults_are_pointed_at() {
    let mut host = Host::new(unit());
    let list = changed(&mut host, 0x0a, &[]);
    let mut spoilt = |byte: usize, value: u8| {
        let mut list = list.clone();
        list[byte] = value;
        select(&mut host, false, &list)
    };
    assert_eq!(spoilt(0, 0xff), GOOD, "MODE DATA LENGTH is reserved");
    assert_eq!(spoilt(2, 0x90), GOOD, "WP and DPOFUA are reserved");
    assert_eq!(spoilt(1, 1), wrong_byte(1), "MEDIUM TYPE");
    assert_eq!(spoilt(3, 4), wrong_byte(3), "BLOCK DESCRIPTOR LENGTH");
    assert_eq!(spoilt(4, 0x0b), wrong_bit(4, 5), "a page that there is not");
    assert_eq!(spoilt(4, 0x4a), wrong_byte(5), "a subpage that there is not");
    assert_eq!(spoilt(5, 0x0b), wrong_byte(5), "PAGE LENGTH");
    assert_eq!(spoilt(6, 0x03), wrong_bit(6, 0), "what is below the highest wrong bit is wrong, too");
    assert_eq!(spoilt(7, 0x00), wrong_bit(7, 4), "QUEUE ALGORITHM MODIFIER");
    for (length, what) in [(3, "header"), (5, "page header"), (15, "page")] {
        assert_eq!(select(&mut host, false, &list[..length]), Err(Sense::PARAMETER_LIST_LENGTH_ERROR), "{what}");
    }
    assert!(host.told.is_empty());
}

#[test]
fn nothing_is_changed_if_a_later_page_is_wrong() {
    let mut host = Host::new(unit());
    let mut list = changed(&mut host, 0x0a, &[(4, 0x08)]);
    list.extend(&changed(&mut host, 0x1c, &[(3, 5)])[4..]);
    assert_eq!(select(&mut host, false, &list), wrong_bit(4 + 12 + 3, 3));
    assert!(!host.unit.software_write_protect());
    list[4 + 12 + 3] = 0;
    assert_eq!(select(&mut host, false, &list), GOOD);
    assert!(host.unit.software_write_protect() && page(&mut host, 0, 0x1c)[3] == 0);
}

#[test]
fn block_descriptors_leave_things_as_they_are() {
    let mut host = Host::new(unit());
    let blocks = (BLOCKS as u32).to_be_bytes();
    let short = |blocks: [u8; 4], size: [u8; 3]| [&[0, 0, 0, 8][..], &blocks, &[0], &size].concat();
    for as_it_is in [[0; 4], blocks, [0xff; 4]] {
        assert_eq!(select(&mut host, false, &short(as_it_is, [0, 2, 0])), GOOD);
    }
    assert_eq!(select(&mut host, false, &short([0, 0, 0, 1], [0, 2, 0])), wrong_byte(4), "no smaller capacity");
    assert_eq!(select(&mut host, false, &short([0; 4], [0, 16, 0])), wrong_byte(9), "no other block length");
    assert_eq!(select(&mut host, false, &[0, 0, 0, 8, 0]), Err(Sense::PARAMETER_LIST_LENGTH_ERROR));

    let mut ten = |list: &[u8]| host.run(&[0x55, 0x10, 0, 0, 0, 0, 0, 0, list.len() as u8, 0], list);
    let long = |blocks: u64, size: u32| {
        [&[0, 0, 0, 0, 1, 0, 0, 16][..], &blocks.to_be_bytes(), &[0; 4], &size.to_be_bytes()].concat()
    };
    for as_it_is in [0, BLOCKS, u64::MAX] {
        assert_eq!(ten(&long(as_it_is, 512)), GOOD);
    }
    assert_eq!(ten(&long(BLOCKS + 1, 512)), wrong_byte(8));
    assert_eq!(ten(&long(0, 0)), wrong_byte(20));
    assert_eq!(ten(&[0, 0, 1, 0, 0, 0, 0, 0]), wrong_byte(2), "MEDIUM TYPE");
    assert_eq!(ten(&[0, 0, 0, 0, 1, 0, 0, 8]), wrong_byte(6), "a long descriptor has 16 bytes");
    assert_eq!(ten(&[0; 7]), Err(Sense::PARAMETER_LIST_LENGTH_ERROR));
}

/// WCE: what is cached is on the medium before the cache is off, and from then on every write is.
#[test]
fn without_the_cache_writes_are_through() {
    use bdev::{IoError, Op};
    let mut host = Host::new(unit_with(|facts| facts.write_cache = true));
    let off = changed(&mut host, 0x08, &[(2, 0)]);
    host.disk.results = [Err(IoError::Medium)].into();
    assert_eq!(select(&mut host, false, &off), Err(Sense::WRITE_ERROR));
    assert_eq!(page(&mut host, 0, 0x08)[2], 0x04, "the flush failed");
    assert_eq!(select(&mut host, false, &off), GOOD);
    assert_eq!(page(&mut host, 0, 0x08)[2], 0);
    let write = [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(host.run(&write, &[1; 512]), GOOD);
    let on = changed(&mut host, 0x08, &[(2, 0x04)]);
    assert_eq!(select(&mut host, false, &on), GOOD);
    assert_eq!(host.run(&write, &[1; 512]), GOOD);
    let asked: Vec<Op> = host.disk.asked.iter().map(|&(op, ..)| op).collect();
    let [failed, rest @ ..] = &asked[..] else { panic!("nothing was asked for") };
    assert_eq!(*failed, Op::Flush);
    assert_eq!(rest, [Op::Flush, Op::Flush, Op::Write { fua: true }, Op::Write { fua: false }]);
}

#[test]
fn the_test_of_informational_exceptions_is_reported() {
    let mut host = Host::new(unit());
    let asks = |host: &mut Host| host.run(&[0x03, 0, 0, 0, 18, 0], &[]).expect("sense data");
    let logged =
        |host: &mut Host| host.run(&[0x4d, 0, 0x6f, 0, 0, 0, 0, 0, 12, 0], &[]).expect("a page")[8..10].to_vec();
    assert_eq!((asks(&mut host)[12], logged(&mut host)), (0, vec![0, 0]));
    let test = changed(&mut host, 0x1c, &[(2, 0x04)]);
    assert_eq!(select(&mut host, false, &test), GOOD);
    let sense = asks(&mut host);
    assert_eq!((sense[2], sense[12], sense[13]), (0, 0x5d, 0xff));
    assert_eq!(logged(&mut host), [0x5d, 0xff]);
    let contradiction = changed(&mut host, 0x1c, &[(2, 0x0c)]);
    assert_eq!(select(&mut host, false, &contradiction), wrong_bit(6, 2), "TEST with DEXCPT");
    let to_nobody = changed(&mut host, 0x1c, &[(3, 0)]);
    assert_eq!(select(&mut host, false, &to_nobody), GOOD);
    assert_eq!(asks(&mut host)[12], 0);
}
