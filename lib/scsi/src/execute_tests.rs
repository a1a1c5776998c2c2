use proptest::prelude::*;

use super::*;
use crate::limits::SENSE_BYTES_MAX;
use crate::testing::*;
use crate::wire::cdb::{be16, be32};
use crate::wire::sense::SenseKey;
use crate::{COMMANDS, UnitAttention, UnitNexus, UnitOptions};

fn big_unit(num_blocks: u64) -> LogicalUnit {
    LogicalUnit::new(options_of(num_blocks, 512)).expect("a unit")
}

fn inquiry(evpd: u8, page: u8, allocation: u16) -> Vec<u8> {
    let [high, low] = allocation.to_be_bytes();
    vec![0x12, evpd, page, high, low, 0]
}

#[test]
fn standard_inquiry() {
    let unit = unit();
    let data = answer(&inquiry(0, 0, 96), &context(&unit));
    let mut expected = vec![0x00, 0x00, 0x06, 0x12, 0x5b, 0x08, 0x00, 0x02];
    expected.extend(b"SRPT    disk01          0.1 ");
    expected.extend([0; 22]);
    expected.extend([0x00, 0xa0, 0x09, 0x40, 0x04, 0x60, 0x04, 0xc0]);
    expected.resize(96, 0);
    assert_eq!(data, expected);
}

#[test]
fn standard_inquiry_of_a_removable_medium() {
    let unit = unit_with(|facts| facts.removable = true);
    assert_eq!(answer(&inquiry(0, 0, 4), &context(&unit)), [0x00, 0x80, 0x06, 0x12]);
}

/// The 36 bytes that Linux asks for first; and 512 is told from 0 only by 16 bits of length.
#[test]
fn inquiry_is_cut_to_the_allocation_length() {
    let unit = unit();
    let full = answer(&inquiry(0, 0, 512), &context(&unit));
    assert_eq!(full.len(), 96);
    for allocation in [0, 1, 5, 36, 95, 96, 97, 255, 65535] {
        let data = answer(&inquiry(0, 0, allocation), &context(&unit));
        assert_eq!(data, full[..full.len().min(usize::from(allocation))]);
    }
}

#[test]
fn inquiry_where_there_is_no_unit() {
    for (address, first) in [
        (Address::Unit(Lun(0)), 0x3f),
        (Address::Unit(Lun(7)), 0x7f),
        (Address::Unknown, 0x7f),
        (Address::ReportLuns, 0x1e),
    ] {
        let data = answer(&inquiry(0, 0, 96), &no_unit(address));
        assert_eq!((data.len(), data[0], data[2], data[4]), (96, first, 6, 0x5b));
        assert_eq!(answer(&inquiry(1, 0, 96), &no_unit(address)), [first, 0, 0, 1, 0]);
    }
}

#[test]
fn vpd_pages_and_their_list() {
    let unit = unit();
    let list = answer(&inquiry(1, 0, 252), &context(&unit));
    assert_eq!(list, [0, 0, 0, 12, 0x00, 0x80, 0x83, 0x85, 0x86, 0x87, 0x88, 0x8a, 0x8f, 0xb0, 0xb1, 0xb2]);
    for &page in &list[4..] {
        let data = answer(&inquiry(1, page, 1024), &context(&unit));
        assert_eq!(data[..2], [0, page]);
        assert_eq!(usize::from(u16::from_be_bytes([data[2], data[3]])), data.len() - 4, "page {page:02x}");
        for allocation in [0, 3, 4, 8.min(data.len()), data.len() - 1] {
            let cut = answer(&inquiry(1, page, allocation as u16), &context(&unit));
            assert_eq!(cut, data[..allocation], "page {page:02x}");
        }
    }
}

#[test]
fn vpd_serial_number_and_identification() {
    let unit = unit();
    let serial = b"00112233445566778899aabbccddeeff";
    let data = answer(&inquiry(1, 0x80, 252), &context(&unit));
    assert_eq!(data, [&[0, 0x80, 0, 32][..], serial].concat());

    let data = answer(&inquiry(1, 0x83, 252), &context(&unit));
    let expected = [
        &[0x00, 0x83, 0, 12 + 44 + 28 + 20 + 8][..],
        &[0x01, 0x03, 0, 8, 0x32, 0xa3, 0x9b, 0x8a, 0x74, 0x1b, 0x3e, 0xf5],
        &[0x02, 0x01, 0, 40],
        b"SRPT    ",
        serial,
        &[0x03, 0x08, 0, 24],
        b"naa.32A39B8A741B3EF5\0\0\0\0",
        &[0x41, 0x92, 0, 16],
        &PORTS.target_port_id,
        &[0x41, 0x94, 0, 4, 0, 0, 0x01, 0x02],
    ];
    assert_eq!(data, expected.concat());
}

#[test]
fn vpd_identification_by_eui_64() {
    for (text, len) in
        [("0002c90300001234", 8), ("0002c9030000123400000001", 12), ("00000000000000010002c90300001234", 16)]
    {
        let eui64: crate::Eui64 = text.parse().expect("an EUI-64");
        let unit = LogicalUnit::new(UnitOptions { eui64: Some(eui64), ..options() }).expect("a unit");
        let data = answer(&inquiry(1, 0x83, 252), &context(&unit));
        assert_eq!(usize::from(data[3]), 12 + 4 + len + 44 + 28 + 20 + 8);
        assert_eq!(data[4..8], [0x01, 0x03, 0, 8]);
        assert_eq!(data[16..20], [0x01, 0x02, 0, len as u8]);
        assert_eq!(data[20..20 + len], *eui64.bytes());
        assert_eq!(data[20 + len..][..4], [0x02, 0x01, 0, 40]);
    }
}

#[test]
fn vpd_extended_inquiry() {
    let page = |unit| answer(&inquiry(1, 0x86, 252), &context(&unit));
    let mut expected = vec![0, 0x86, 0, 0x3c, 0, 0x07, 0, 0, 0, 0, 0, 1, 0, 62];
    expected.resize(64, 0);
    assert_eq!(page(unit()), expected);
    expected[6] = 0x01;
    assert_eq!(page(unit_with(|facts| facts.write_cache = true)), expected);
}

#[test]
fn vpd_management_addresses() {
    let page = |url: Option<&str>| {
        let management_url = url.map(str::to_owned);
        let unit = LogicalUnit::new(UnitOptions { management_url, ..options() }).expect("a unit");
        answer(&inquiry(1, 0x85, 1024), &context(&unit))
    };
    assert_eq!(page(None), [0, 0x85, 0, 0]);
    assert_eq!(page(Some("http://a")), *b"\0\x85\0\x10\x01\0\0\x0chttp://a\0\0\0\0");
    assert_eq!(page(Some("http://abc")), *b"\0\x85\0\x10\x01\0\0\x0chttp://abc\0\0");
    assert_eq!(page(Some(&"x".repeat(255))).len(), 4 + 4 + 256);
    for wrong in ["", "a b", &"x".repeat(256)] {
        let options = UnitOptions { management_url: Some(wrong.to_owned()), ..options() };
        let error = LogicalUnit::new(options).expect_err("no URL").to_string();
        assert!(error.starts_with(&format!("management_url: '{wrong}'")), "{error}");
    }
}

#[test]
fn vpd_mode_page_policy_and_power_conditions() {
    let unit = unit();
    let page = |page| answer(&inquiry(1, page, 252), &context(&unit));
    assert_eq!(page(0x87), [0, 0x87, 0, 4, 0x3f, 0xff, 0, 0]);
    let mut expected = vec![0, 0x8a, 0, 14, 0x01, 0x01];
    expected.resize(18, 0);
    assert_eq!(page(0x8a), expected);
}

#[test]
fn vpd_block_limits() {
    let page = |unit| answer(&inquiry(1, 0xb0, 252), &context(&unit));
    let mut expected = vec![0, 0xb0, 0, 0x3c, 0, 255, 0, 8, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0];
    expected.extend([0, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 0, 8, 0, 0, 0, 0]); // unmap
    expected.extend([0, 0, 0, 0, 0, 2, 0, 0]); // write same: 131072
    expected.resize(64, 0);
    let facts = |facts: &mut crate::unit::Facts| {
        facts.physical_exponent = 3;
        facts.optimal_blocks = 256;
    };
    assert_eq!(page(unit_with(facts)), expected);
    expected[20..32].fill(0);
    let without_unmap = unit_with(|it| {
        facts(it);
        it.unmap = false;
    });
    assert_eq!(page(without_unmap), expected);
    let atomic = |blocks: u32| {
        page(unit_with(|it| it.atomic_blocks = blocks))[44..64]
            .chunks(4)
            .map(|field| be32(field, 0))
            .collect::<Vec<_>>()
    };
    assert_eq!([atomic(0), atomic(8), atomic(u32::MAX)], [vec![0; 5], vec![8, 0, 0, 0, 0], vec![2048, 0, 0, 0, 0]]);
}

/// COMPARE AND WRITE brings two blocks for each that it writes; with large blocks it is the buffer that says how many.
#[test]
fn vpd_block_limits_of_compare_and_write_fit_a_buffer() {
    for (block_size, transfer, most) in
        [(512, 1 << 20, 255), (4096, 1 << 20, 128), (4096, 8 << 20, 255), (4096, 128 << 10, 16)]
    {
        let options = UnitOptions { transfer_bytes_max: transfer, ..options_of(1000, block_size) };
        let unit = LogicalUnit::new(options).expect("a unit");
        assert_eq!(answer(&inquiry(1, 0xb0, 252), &context(&unit))[5], most, "{block_size} {transfer}");
    }
}

/// Linux drops an optimal transfer length that is no multiple of the physical block.
#[test]
fn vpd_block_limits_have_an_optimal_length_of_whole_physical_blocks() {
    for (optimal, exponent, expected) in [(256, 0, 256_u32), (100, 3, 96), (4, 3, 0), (1 << 30, 3, 2048), (0, 3, 0)] {
        let unit = unit_with(|facts| (facts.optimal_blocks, facts.physical_exponent) = (optimal, exponent));
        let page = answer(&inquiry(1, 0xb0, 252), &context(&unit));
        assert_eq!(page[12..16], expected.to_be_bytes(), "{optimal} {exponent}");
    }
}

#[test]
fn vpd_characteristics_and_provisioning() {
    let page = |page, change: fn(&mut crate::unit::Facts)| answer(&inquiry(1, page, 252), &context(&unit_with(change)));
    let mut expected = vec![0, 0xb1, 0, 0x3c, 0, 1, 0, 0x40, 0x03];
    expected.resize(64, 0);
    assert_eq!(page(0xb1, |_| ()), expected);
    expected[4..6].copy_from_slice(&7200_u16.to_be_bytes());
    assert_eq!(page(0xb1, |facts| facts.rotational = true), expected);
    assert_eq!(page(0xb1, |facts| facts.unmap = false)[7..9], [0, 0x03], "nothing can be erased");

    assert_eq!(page(0xb2, |_| ()), [0, 0xb2, 0, 4, 0, 0xe4, 2, 0]);
    assert_eq!(page(0xb2, |facts| facts.unmap_zeroes = false), [0, 0xb2, 0, 4, 0, 0xe0, 2, 0]);
    let thick = |facts: &mut crate::unit::Facts| (facts.unmap, facts.unmap_zeroes) = (false, false);
    assert_eq!(page(0xb2, thick), [0, 0xb2, 0, 4, 0, 0, 0, 0]);

    let watched = |facts: &mut crate::unit::Facts| facts.threshold_percent = Some(50);
    assert_eq!(page(0xb2, watched), [0, 0xb2, 0, 4, 11, 0xe4, 2, 0]);
    let watched_and_thick = |facts: &mut crate::unit::Facts| {
        (facts.unmap, facts.unmap_zeroes, facts.threshold_percent) = (false, false, Some(50));
    };
    assert_eq!(page(0xb2, watched_and_thick), [0, 0xb2, 0, 4, 0, 0, 0, 0]);
}

#[test]
fn capacity() {
    let small = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let large = |allocation: u8| [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, allocation, 0, 0];
    let unit = unit_with(|facts| facts.physical_exponent = 3);
    assert_eq!(answer(&small, &context(&unit)), [0, 3, 0xff, 0xff, 0, 0, 2, 0]);
    let mut expected = vec![0, 0, 0, 0, 0, 3, 0xff, 0xff, 0, 0, 2, 0, 0, 3, 0xc0, 0];
    expected.resize(32, 0);
    assert_eq!(answer(&large(32), &context(&unit)), expected);
    assert_eq!(answer(&large(12), &context(&unit)), expected[..12]);
    assert_eq!(answer(&large(0), &context(&unit)), []);
    assert_eq!(answer(&large(255), &context(&unit)).len(), 32);

    assert_eq!(answer(&small, &context(&big_unit(1 << 32)))[..4], [0xff; 4]);
    let huge = big_unit((1 << 32) + 1);
    assert_eq!(answer(&small, &context(&huge))[..4], [0xff; 4]);
    assert_eq!(answer(&large(32), &context(&huge))[..8], [0, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn report_luns() {
    let unit = unit();
    let luns: Vec<Lun> = [0, 1, 255, 256, 300].map(Lun).to_vec();
    let context = Context { luns: &luns, ..context(&unit) };
    let list = |select, allocation: u8| answer(&[0xa0, 0, select, 0, 0, 0, 0, 0, 0, allocation, 0, 0], &context);
    let units = [
        [0, 0, 0, 40, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0, 0, 0],
        [0, 255, 0, 0, 0, 0, 0, 0],
        [0x41, 0x00, 0, 0, 0, 0, 0, 0],
        [0x41, 0x2c, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(list(0, 255), units);
    assert_eq!(list(0, 16), units[..16]);
    assert_eq!(list(0, 4), units[..4]);
    assert_eq!(list(1, 255), [0, 0, 0, 8, 0, 0, 0, 0, 0xc1, 1, 0, 0, 0, 0, 0, 0]);
    let all = [&[0, 0, 0, 48, 0, 0, 0, 0, 0xc1, 1, 0, 0, 0, 0, 0, 0], &units[8..]].concat();
    assert_eq!(list(2, 255), all);
}

#[test]
fn the_longest_list_of_luns_fits_a_buffer() {
    let luns: Vec<Lun> = (0..=Lun::MAX.0).map(Lun).collect();
    let unit = unit();
    let context = Context { luns: &luns, ..context(&unit) };
    let data = answer(&[0xa0, 0, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], &context);
    assert_eq!(data.len(), 8 + 8 * 16385);
    assert_eq!(data[data.len() - 8..][..2], [0x7f, 0xff]);
}

/// Linux reads 4 bytes for the write protect bit, then the caching page with its true length.
#[test]
fn mode_sense_6() {
    let unit = unit_with(|facts| facts.write_cache = true);
    let page = |page, allocation| answer(&[0x1a, 0x08, page, 0, allocation, 0], &context(&unit));
    let mut caching = vec![0x08, 0x12, 0x04];
    caching.resize(20, 0);
    let control = [0x0a, 0x0a, 0x02, 0x10, 0, 0x40, 0, 0, 0, 0, 0, 60];
    let exceptions = [0x1c, 0x0a, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(page(0x08, 255), [&[23, 0, 0x10, 0][..], &caching].concat());
    assert_eq!(page(0x0a, 255), [&[15, 0, 0x10, 0][..], &control].concat());
    assert_eq!(page(0x1c, 255), [&[15, 0, 0x10, 0][..], &exceptions].concat());
    let zeroes = |header: [u8; 2]| [&header[..], &vec![0; usize::from(header[1])]].concat();
    let port = [0x19, 6, 4, 0, 0, 0, 0, 0];
    let start = [zeroes([0x01, 0x0a]), zeroes([0x02, 0x0e]), zeroes([0x07, 0x0a]), caching].concat();
    let extension = [&[0x4a, 1, 0, 28, 0x06][..], &[0; 27]].concat();
    let power = zeroes([0x1a, 0x26]);
    let pages = [&start[..], &control, &port, &power, &exceptions].concat();
    let all = [&start[..], &control, &extension, &port, &power, &exceptions].concat();
    assert_eq!(page(0x3f, 255), [&[135, 0, 0x10, 0][..], &pages].concat());
    assert_eq!(page(0x3f, 4), [135, 0, 0x10, 0]);
    assert_eq!(page(0x3f, 0), []);
    let with_subpages = answer(&[0x1a, 0x08, 0x3f, 0xff, 255, 0], &context(&unit));
    assert_eq!(with_subpages, [&[167, 0, 0x10, 0][..], &all].concat());
    let control_pages = answer(&[0x1a, 0x08, 0x0a, 0xff, 255, 0], &context(&unit));
    assert_eq!(control_pages[4..], [&control[..], &extension].concat());
}

#[test]
fn mode_sense_10_and_block_descriptors() {
    let unit = big_unit(0x1_0000_0001);
    let header = |options| answer(&[0x5a, options, 0x0a, 0, 0, 0, 0, 1, 0, 0], &context(&unit));
    assert_eq!(header(0x08)[..8], [0, 18, 0, 0x10, 0, 0, 0, 0]);
    let short = [0, 26, 0, 0x10, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0, 0x0a];
    assert_eq!(header(0x00)[..17], short);
    let long = [0, 34, 0, 0x10, 1, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0x0a];
    assert_eq!(header(0x10)[..25], long);
    let data = answer(&[0x1a, 0, 0x0a, 0, 255, 0], &context(&unit));
    assert_eq!(data[..12], [23, 0, 0x10, 8, 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0]);
}

#[test]
fn mode_sense_shows_current_changeable_and_default_values() {
    let unit = unit_with(|facts| facts.write_cache = true);
    unit.set_descriptor_sense(true);
    unit.set_software_write_protect(true);
    unit.set_task_aborted_status(false);
    let page =
        |control: u8, page: u8| answer(&[0x1a, 0x08, control << 6 | page, 0, 255, 0], &context(&unit))[4..].to_vec();
    assert_eq!(page(0, 0x0a)[..6], [0x0a, 0x0a, 0x06, 0x10, 0x08, 0x00]);
    assert_eq!(page(2, 0x0a)[..6], [0x0a, 0x0a, 0x02, 0x10, 0x00, 0x40]);
    assert_eq!(page(2, 0x08)[..3], [0x08, 0x12, 0x04]);
    for start in [
        [0x01, 0x0a, 0, 0, 0, 0],
        [0x02, 0x0e, 0, 0, 0, 0],
        [0x07, 0x0a, 0, 0, 0, 0],
        [0x08, 0x12, 0x04, 0, 0, 0],
        [0x0a, 0x0a, 0x04, 0x06, 0x38, 0x40],
        [0x19, 0x06, 0, 0, 0, 0],
        [0x1a, 0x26, 0, 0, 0, 0],
        [0x1c, 0x0a, 0x0c, 0x0f, 0, 0],
    ] {
        let mut mask = start.to_vec();
        mask.resize(usize::from(start[1]) + 2, 0);
        assert_eq!(page(1, start[0]), mask);
    }
    unit.set_mode(&crate::ModeParameters { write_cache: false, ..unit.mode() });
    assert_eq!((page(0, 0x08)[2], page(2, 0x08)[2]), (0, 0x04));
    let without = unit_with(|facts| facts.write_cache = false);
    assert_eq!(answer(&[0x1a, 0x08, 0x48, 0, 255, 0], &context(&without))[6], 0, "there is no cache to switch");
}

#[test]
fn mode_sense_shows_write_protection() {
    let header = |context: &Context<'_>| answer(&[0x1a, 0x08, 0x3f, 0, 4, 0], context)[2];
    let (plain, fixed, swp) = (unit(), unit_with(|facts| facts.read_only = true), unit());
    swp.set_software_write_protect(true);
    assert_eq!(header(&context(&plain)), 0x10);
    assert_eq!(header(&context(&fixed)), 0x90);
    assert_eq!(header(&context(&swp)), 0x90);
    assert_eq!(header(&Context { read_only: true, ..context(&plain) }), 0x90);
}

/// The page of SBC-3's thresholds is there only with a threshold, and a subpage of its own.
#[test]
fn mode_sense_shows_the_provisioning_threshold() {
    let page = |control: u8, page: u8, subpage: u8, unit: &LogicalUnit| {
        answer(&[0x1a, 0x08, control << 6 | page, subpage, 255, 0], &context(unit))[4..].to_vec()
    };
    let watched = unit_with(|facts| facts.threshold_percent = Some(50));
    watched.set_space((200 << 20) + 99);
    let mut expected = vec![0x5c, 0x02, 0, 20];
    expected.resize(16, 0);
    expected.extend([0x81, 0x02, 0, 0, 0, 0, 0, 100]);
    assert_eq!(page(0, 0x1c, 0x02, &watched), expected);
    assert_eq!(page(2, 0x1c, 0x02, &watched), expected);
    let mut nothing = expected[..16].to_vec();
    nothing.resize(24, 0);
    assert_eq!(page(1, 0x1c, 0x02, &watched), nothing);

    let exceptions = page(0, 0x1c, 0, &watched);
    assert_eq!(exceptions[..2], [0x1c, 0x0a]);
    assert_eq!(page(0, 0x1c, 0xff, &watched), [&exceptions[..], &expected].concat());
    let all = page(0, 0x3f, 0xff, &watched);
    assert!(all.ends_with(&[&exceptions[..], &expected].concat()));
    assert_eq!(all.len(), page(0, 0x3f, 0xff, &unit()).len() + expected.len());
    assert_eq!((page(0, 0x01, 0, &watched)[7], page(0, 0x01, 0, &unit())[7]), (0x80, 0), "LBPERE");

    let refused =
        |page: u8, subpage: u8, unit: &LogicalUnit| refusal(&[0x1a, 0x08, page, subpage, 255, 0], &context(unit));
    let thick = unit_with(|facts| (facts.unmap, facts.threshold_percent) = (false, Some(50)));
    for (code, subpage, unit) in
        [(0x1c, 2, &unit()), (0x1c, 2, &thick), (0x1c, 1, &watched), (0x08, 2, &watched), (0x3f, 2, &watched)]
    {
        assert_eq!(refused(code, subpage, unit), Sense::invalid_field_in_cdb(3, None), "{code:x}/{subpage:x}");
    }
}

fn opcodes(options: u8, opcode: u8, action: u16, unit: &LogicalUnit) -> Vec<u8> {
    let [high, low] = action.to_be_bytes();
    answer(&[0xa3, 0x0c, options, opcode, high, low, 0, 0, 0x10, 0, 0, 0], &context(unit))
}

#[test]
fn all_supported_operation_codes() {
    let unit = unit_with(|facts| facts.atomic_blocks = 8);
    let data = opcodes(0, 0, 0, &unit);
    assert_eq!(data.len(), 4 + 8 * COMMANDS.len());
    assert_eq!(data[..4], (data.len() as u32 - 4).to_be_bytes());
    assert_eq!(data[4..12], [0x00, 0, 0, 0, 0, 0, 0, 6]);
    assert!(data[4..].chunks(8).any(|row| row == [0x9e, 0, 0, 0x10, 0, 0x01, 0, 16]));
    let timed = opcodes(0x80, 0, 0, &unit);
    assert_eq!(timed.len(), 4 + 20 * COMMANDS.len());
    assert_eq!(timed[4..24], [0x00, 0, 0, 0, 0, 0x02, 0, 6, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30]);
    assert!(data[4..].chunks(8).any(|row| row == [0x7f, 0, 0, 0x09, 0, 0x01, 0, 32]));
    let thick = unit_with(|facts| facts.unmap = false);
    assert_eq!(opcodes(0, 0, 0, &thick).len(), data.len() - 3 * 8, "no UNMAP, BLOCK ERASE, WRITE ATOMIC");
}

#[test]
fn one_supported_operation_code() {
    let unit = unit();
    // As Linux asks before it uses INQUIRY's answer, with room for the header and 6 bytes of CDB.
    let data = answer(&[0xa3, 0x0c, 1, 0x12, 0, 0, 0, 0, 0, 10, 0, 0], &context(&unit));
    assert_eq!(data, [0, 3, 0, 6, 0x12, 0x03, 0xff, 0xff, 0xff, 0x04]);
    let timed = opcodes(0x81, 0x12, 0, &unit);
    assert_eq!(timed, [0, 0x83, 0, 6, 0x12, 0x03, 0xff, 0xff, 0xff, 0x04, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30]);
    assert_eq!(opcodes(3, 0x12, 0, &unit)[..4], [0, 3, 0, 6]);
    assert_eq!(opcodes(2, 0x9e, 0x10, &unit)[..6], [0, 3, 0, 16, 0x9e, 0x10]);
    assert_eq!(opcodes(3, 0x9e, 0x10, &unit)[..6], [0, 3, 0, 16, 0x9e, 0x10]);
    for (options, opcode, action) in
        [(1, 0x02, 0), (0x81, 0x85, 0), (2, 0x9e, 0x13), (2, 0x9f, 0x11), (3, 0x12, 1), (3, 0x9e, 0), (3, 0x7f, 1)]
    {
        assert_eq!(opcodes(options, opcode, action, &unit), [0, 1, 0, 0], "{options:x} {opcode:x} {action:x}");
    }
    let thick = unit_with(|facts| facts.unmap = false);
    assert_eq!(opcodes(1, 0x42, 0, &thick), [0, 1, 0, 0]);
}

#[test]
fn a_unit_attention_ends_the_next_command_once() {
    let (unit, nexus) = (unit(), UnitNexus::new());
    let context = with_nexus(&unit, &nexus);
    nexus.establish(UnitAttention::CapacityChanged);
    nexus.establish(UnitAttention::PowerOnReset);
    assert_eq!(refusal(&cdb(&[0x00]), &context), Sense::unit_attention(0x29, 0x00));
    assert_eq!(refusal(&cdb(&[0xc0]), &context), Sense::unit_attention(0x2a, 0x09));
    assert_eq!(answer(&cdb(&[0x00]), &context), []);
}

#[test]
fn with_interlock_a_unit_attention_stays_until_request_sense() {
    let (unit, nexus) = (unit(), UnitNexus::new());
    unit.task_set().set_attention_interlock(AttentionInterlock::Kept);
    nexus.establish(UnitAttention::CapacityChanged);
    nexus.establish(UnitAttention::ModeParametersChanged);
    let context = with_nexus(&unit, &nexus);
    for expected in [Sense::unit_attention(0x2a, 0x09), Sense::unit_attention(0x2a, 0x01)] {
        for _ in 0..2 {
            assert_eq!(refusal(&cdb(&[0x00]), &context), expected);
        }
        let data = answer(&cdb(&[0x03, 0, 0, 0, 252]), &context);
        assert_eq!((data[12], data[13]), (expected.asc, expected.ascq));
    }
    assert!(begin(&cdb(&[0x00]), &context).is_ok());
}

#[test]
fn where_there_is_no_unit_there_is_no_attention() {
    let nexus = UnitNexus::new();
    nexus.establish(UnitAttention::PowerOnReset);
    let context = Context { nexus: Some(&nexus), ..no_unit(Address::Unit(Lun(4))) };
    assert_eq!(refusal(&cdb(&[0x00]), &context), Sense::LOGICAL_UNIT_NOT_SUPPORTED);
}

/// An initiator that sees one unit, and has this there.
struct AllUnits<'a>(&'a UnitNexus);

impl Peers for AllUnits<'_> {
    fn find(&self, _: &crate::Designation<'_>) -> Option<crate::Peer> {
        None
    }

    fn unit(&self, _: crate::Peer) -> Option<crate::PeerUnit<'_>> {
        None
    }

    fn clear(&self, attention: UnitAttention) {
        self.0.clear(attention);
    }
}

/// SAM-5 5.14: three commands are answered although there is something to tell.
#[test]
fn inquiry_report_luns_and_request_sense_run_in_spite_of_a_unit_attention() {
    let (unit, nexus) = (unit(), UnitNexus::new());
    let context = Context { peers: &AllUnits(&nexus), ..with_nexus(&unit, &nexus) };
    nexus.establish(UnitAttention::PowerOnReset);
    nexus.establish(UnitAttention::ReportedLunsChanged);
    assert_eq!(answer(&cdb(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16]), &Context { unit: None, ..context }).len(), 8);
    assert_eq!(answer(&inquiry(0, 0, 36), &context).len(), 36);
    assert_eq!(answer(&cdb(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16]), &context).len(), 8);
    let sense = answer(&cdb(&[0x03, 0, 0, 0, 252]), &context);
    assert_eq!(sense, [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0]);
    assert!(!nexus.has_pending(), "REPORT LUNS told of the changed list, REQUEST SENSE of the reset");
    assert_eq!(answer(&cdb(&[0x03, 0, 0, 0, 252]), &context)[..3], [0x70, 0, 0]);
    nexus.establish(UnitAttention::NexusLoss);
    assert_eq!(answer(&cdb(&[0x03, 1, 0, 0, 252]), &context), [0x72, 6, 0x29, 7, 0, 0, 0, 0]);
}

#[test]
fn request_sense_where_there_is_no_unit() {
    let sense = |address| answer(&cdb(&[0x03, 0, 0, 0, 18]), &no_unit(address));
    assert_eq!(sense(Address::Unit(Lun(3)))[12], 0x25);
    assert_eq!(sense(Address::Unknown)[2], SenseKey::IllegalRequest as u8);
    assert_eq!(sense(Address::ReportLuns)[2], SenseKey::NoSense as u8);
    assert_eq!(answer(&cdb(&[0x03, 0, 0, 0, 4]), &no_unit(Address::Unknown)).len(), 4);
}

#[test]
fn commands_that_are_accepted_and_do_nothing() {
    let unit = unit();
    for start in [&[0x1e, 0, 0, 0, 1][..], &[0x1e], &[0x1b, 0, 0, 0, 1], &[0x1b, 1, 0, 0, 0]] {
        assert_eq!(answer(&cdb(start), &context(&unit)), [], "{start:02x?}");
    }
}

#[test]
fn lengths_tell_the_transport_what_to_bring() {
    let unit = unit();
    let job = |start: &[u8]| begin(&cdb(start), &context(&unit)).expect("legal");
    let read = job(&[0x28, 0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!((read.data_out_len(), read.data_in_len(), read.buffer_len()), (0, 9 * 512, 9 * 512));
    assert!(read.is_read() && !read.is_write() && read.opcode() == 0x28);
    let write = job(&[0x2a, 0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!((write.data_out_len(), write.data_in_len(), write.buffer_len()), (9 * 512, 0, 9 * 512));
    assert!(write.is_write() && !write.is_read());
    let ready = job(&[0x00]);
    assert_eq!((ready.data_out_len(), ready.data_in_len(), ready.buffer_len()), (0, 0, 0));
    let sense = job(&[0x12, 0, 0, 0, 36]);
    assert_eq!((sense.data_out_len(), sense.data_in_len()), (0, 36));
    let one_block = job(&[0x2f, 0x06, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!((one_block.data_out_len(), one_block.buffer_len()), (512, 4096 + 65536));
}

fn any_cdb() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![6 => Just(16), 4 => Just(32), 1 => 0..=16_usize, 1 => Just(crate::limits::CDB_BYTES_MAX)];
    let opcode = prop_oneof![1 => any::<u8>(), 6 => (0..COMMANDS.len()).prop_map(|row| COMMANDS[row].opcode)];
    // Mostly small bytes, so that many commands get past their parser.
    let byte = prop_oneof![6 => Just(0), 2 => 0..4_u8, 2 => any::<u8>(), 1 => Just(0x10), 1 => Just(0x0c)];
    (length, opcode).prop_flat_map(move |(length, opcode)| {
        proptest::collection::vec(byte.clone(), length).prop_map(move |mut cdb| {
            if let Some(first) = cdb.first_mut() {
                *first = opcode;
            }
            if opcode == 0x7f && cdb.len() >= 10 {
                (cdb[7], cdb[8], cdb[9]) = (0x18, 0, 8 + cdb[9] % 8);
            }
            cdb
        })
    })
}

fn any_context() -> impl Strategy<Value = (Option<LogicalUnit>, Address, bool, Vec<UnitAttention>)> {
    let facts = (
        any::<[bool; 7]>(),
        0..16_u8,
        prop_oneof![Just(128 << 10), Just(1 << 20), Just(8 << 20)],
        prop_oneof![Just(0), any::<u32>()],
        proptest::option::of(1..100_u8),
        any::<u64>(),
    );
    let size = prop_oneof![Just((1, 512)), Just((1000, 512)), Just((1000, 4096))];
    let made = (facts, size).prop_map(
        |((flags, exponent, transfer, optimal_blocks, threshold_percent, space), (blocks, size))| {
            let options = options_of(blocks, size);
            let unit = LogicalUnit::new(UnitOptions { transfer_bytes_max: transfer, ..options }).expect("a unit");
            unit.set_space(space);
            unit.with_facts(|facts| {
                [facts.write_cache, facts.read_only, facts.unmap, facts.unmap_zeroes, facts.rotational, ..] = flags;
                [.., facts.removable, facts.lba_status] = flags;
                facts.physical_exponent = exponent;
                facts.optimal_blocks = optimal_blocks;
                facts.atomic_blocks = optimal_blocks;
                facts.threshold_percent = threshold_percent;
            })
        },
    );
    let address = prop_oneof![
        Just(Address::Unit(Lun(0))),
        Just(Address::Unit(Lun(9))),
        Just(Address::Unknown),
        Just(Address::ReportLuns)
    ];
    let attentions = proptest::sample::subsequence(UnitAttention::ALL.to_vec(), 0..=2);
    let unit = proptest::option::weighted(0.85, made);
    (unit, address, any::<bool>(), prop_oneof![4 => Just(Vec::new()), 1 => attentions])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever a CDB and its data hold: no panic, no I/O outside the unit or the buffer (the disk checks that), an
    /// ending that is legal, and no byte of the buffer's former life in the answer.
    #[test]
    fn every_command_ends_legally(
        cdb in any_cdb(),
        (unit, address, read_only, attentions) in any_context(),
        data_out in proptest::collection::vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 0..600),
        results in proptest::collection::vec(prop_oneof![9 => Just(Ok(())), 1 => any_error().prop_map(Err)], 0..6),
    ) {
        let nexus = UnitNexus::new();
        attentions.iter().for_each(|&attention| nexus.establish(attention));
        let luns = [Lun(0), Lun(3)];
        let context =
            Context { nexus: Some(&nexus), luns: &luns, read_only, unit: unit.as_ref(), ..no_unit(address) };
        let mut disk = Disk { results: results.into(), ..Disk::default() };
        let outcome = run(&cdb, &data_out, &context, &mut disk);
        match outcome.ending {
            Ending::Good { .. } => {
                let read = disk.asked.iter().any(|(op, ..)| *op == Op::Read);
                prop_assert!(read || !outcome.data_in.contains(&0xee));
            }
            Ending::CheckCondition(sense) => {
                prop_assert!(sense.key != SenseKey::NoSense);
                if let Some(field) = sense.field {
                    prop_assert!(sense.key == SenseKey::IllegalRequest);
                    prop_assert!(!field.in_cdb || usize::from(field.byte) < cdb.len());
                }
                let mut out = [0; SENSE_BYTES_MAX];
                let fixed = sense.write(false, &mut out);
                let deferred = u8::from(sense.deferred);
                prop_assert!(fixed == 18 && out[0] & 0x7f == 0x70 | deferred);
                let descriptors = sense.write(true, &mut out);
                prop_assert!(out[0] == 0x72 | deferred && usize::from(out[7]) + 8 == descriptors);
            }
            Ending::Status(ScsiStatus::ReservationConflict) => prop_assert_eq!(cdb[0], opcode::PERSISTENT_RESERVE_OUT),
            Ending::Status(_) | Ending::Device { .. } => prop_assert!(false, "{:?}", outcome.ending),
        }
        if read_only && unit.is_some() {
            let wrote = disk.asked.iter().any(|(op, ..)| !matches!(op, Op::Read | Op::Flush));
            prop_assert!(!wrote, "{:?}", disk.asked);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever the device is like: every page and list says how long it is, and the pages do not contradict each other.
    #[test]
    fn answers_are_well_formed((unit, ..) in any_context(), eui_len in 0..4_usize) {
        let Some(unit) = unit else { return Ok(()) };
        let eui64 = ["", "0002c90300001234", "0002c9030000123400000001", "00000000000000010002c90300001234"][eui_len];
        let unit = unit.with_eui64(eui64.parse().ok());
        let ask = |cdb: &[u8]| answer(cdb, &context(&unit));

        let standard = ask(&inquiry(0, 0, 0xffff));
        prop_assert_eq!(usize::from(standard[4]), standard.len() - 5);
        for page in ask(&inquiry(1, 0, 0xffff)).split_off(4) {
            let data = ask(&inquiry(1, page, 0xffff));
            prop_assert!(data[..2] == [0, page] && usize::from(be16(&data, 2)) == data.len() - 4);
        }
        let mut designators = &ask(&inquiry(1, 0x83, 0xffff))[4..];
        while let [_, _, _, len, rest @ ..] = designators {
            prop_assert!(usize::from(*len) <= rest.len());
            designators = &rest[usize::from(*len)..];
        }
        prop_assert!(designators.is_empty());

        let modes = ask(&[0x5a, 0x08, 0x3f, 0xff, 0, 0, 0, 0xff, 0xff, 0]);
        prop_assert_eq!(usize::from(be16(&modes, 0)), modes.len() - 2);
        prop_assert_eq!(modes[3] & 0x80 != 0, unit.is_read_only());
        let (mut pages, mut watched) = (&modes[8..], false);
        while let [code, second, ..] = *pages {
            watched |= (code & 0x7f, second) == (0x5c, 2);
            let len = if code & 0x40 == 0 { 2 + usize::from(second) } else { 4 + usize::from(be16(pages, 2)) };
            prop_assert!(len <= pages.len());
            pages = &pages[len..];
        }
        prop_assert!(pages.is_empty());

        let (limits, provisioning) = (ask(&inquiry(1, 0xb0, 64)), ask(&inquiry(1, 0xb2, 8)));
        let capacity = ask(&cdb(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32]));
        let (granularity, most, optimal) = (be16(&limits, 6), be32(&limits, 8), be32(&limits, 12));
        prop_assert!(u32::from(granularity) == 1 << (capacity[13] & 0x0f) && optimal <= most);
        prop_assert!(optimal.is_multiple_of(u32::from(granularity)));
        let (lbpme, lbpu, unmap_limit) = (capacity[14] & 0x80 != 0, provisioning[5] & 0x80 != 0, be32(&limits, 20));
        prop_assert!(lbpme == lbpu && lbpu == (unmap_limit > 0) && lbpu == (provisioning[6] == 2));
        prop_assert_eq!(capacity[14] & 0x40 != 0, provisioning[5] & 0x04 != 0);
        prop_assert_eq!(provisioning[4] != 0, watched);

        let status = ask(&cdb(&[0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]));
        let told: u64 = status[8..].chunks(16).map(|descriptor| u64::from(be32(descriptor, 8))).sum();
        prop_assert!(be32(&status, 0) as usize == status.len() - 4 && told == unit.num_blocks());
        let opcodes = ask(&cdb(&[0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0xff, 0xff]));
        prop_assert!(be32(&opcodes, 0) as usize == opcodes.len() - 4 && (opcodes.len() - 4) % 20 == 0);
    }
}

fn any_error() -> impl Strategy<Value = IoError> {
    prop_oneof![
        Just(IoError::Medium),
        Just(IoError::NoSpace),
        Just(IoError::Gone),
        Just(IoError::Unsupported),
        Just(IoError::Failed),
        Just(IoError::OutOfRange),
        Just(IoError::WriteProtected)
    ]
}
