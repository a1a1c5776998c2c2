use proptest::prelude::*;
use uuid::Uuid;

use super::facts::physical_exponent;
use super::*;
use crate::Ending;
use crate::testing::{Disk, context, options, options_of, run, sense_of};

fn error(options: UnitOptions) -> String {
    match LogicalUnit::new(options) {
        Ok(_) => panic!("the options are wrong"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn defaults_come_from_the_device() {
    let unit = LogicalUnit::new(options()).expect("a unit");
    assert_eq!(unit.name(), "disk01");
    assert_eq!(unit.serial(), "00112233445566778899aabbccddeeff");
    assert_eq!(unit.identity().vendor, "SRPT");
    assert_eq!(unit.identity().revision, "0.1");
    assert_eq!(unit.block_size(), 512);
    assert!(unit.task_aborted_status() && !unit.descriptor_sense() && !unit.software_write_protect());
}

/// Both identifiers are on disks' labels and in multipath configurations: they may never change for a given UUID.
#[test]
fn identifiers_are_stable() {
    let naa = |options| LogicalUnit::new(options).expect("a unit").naa();
    assert_eq!(naa(options()), 0x32a3_9b8a_741b_3ef5);
    let other = UnitOptions { naa: Some(0x5000_0000_0000_0001), ..options() };
    assert_eq!(naa(other), 0x5000_0000_0000_0001);
}

#[test]
fn a_device_without_uuid_is_told_by_its_name() {
    let with_name = |name: &str| {
        let uuid = Some(Uuid::nil());
        let device = bdev::null::NullOptions { name: name.to_owned(), num_blocks: 8, uuid, ..Default::default() };
        LogicalUnit::new(UnitOptions::new(bdev::null::create(device).expect("a device"))).expect("a unit")
    };
    assert_eq!(with_name("a").naa(), with_name("a").naa());
    assert_ne!(with_name("a").naa(), with_name("b").naa());
    assert_ne!(with_name("a").serial(), with_name("b").serial());
}

#[test]
fn long_and_odd_device_names_make_a_legal_product_name() {
    let device = |name: &str| bdev::null::NullOptions { name: name.to_owned(), num_blocks: 8, ..Default::default() };
    let named = |name: &str| UnitOptions::new(bdev::null::create(device(name)).expect("a device")).name;
    assert_eq!(named("a-very-long-device-name"), "a-very-long-devi");
    assert_eq!(named("größe"), "gr__e");
}

#[test]
fn errors_name_the_option() {
    let text = |change: fn(&mut UnitOptions)| {
        let mut options = options();
        change(&mut options);
        error(options)
    };
    assert!(text(|options| options.name = String::new()).starts_with("product: ''"));
    assert!(text(|options| options.name = "seventeen letters".to_owned()).contains("1 to 16 characters"));
    assert!(text(|options| options.name = "tab\there".to_owned()).starts_with("product:"));
    assert!(text(|options| options.name = " padded".to_owned()).starts_with("product:"));
    assert!(text(|options| options.vendor = "ninechars".to_owned()).starts_with("vendor"));
    assert!(text(|options| options.revision = "1.2.3".to_owned()).starts_with("revision"));
    assert!(text(|options| options.serial = Some("x".repeat(65))).starts_with("serial"));
    assert!(text(|options| options.naa = Some(0x6000_0000_0000_0000)).starts_with("naa: 6000000000000000"));
    assert!(text(|options| options.transfer_bytes_max = 4096).starts_with("transfer_bytes_max 4096"));
}

#[test]
fn transfers_are_whole_blocks_and_pages() {
    let unit = LogicalUnit::new(UnitOptions { transfer_bytes_max: 200_001, ..options() }).expect("a unit");
    assert_eq!(unit.transfer_bytes_max(), 196_608);
    assert_eq!(unit.facts().transfer_blocks_max(), 384);
}

#[test]
fn ratio_to_physical_blocks() {
    assert_eq!(physical_exponent(512, 512), 0);
    assert_eq!(physical_exponent(512, 4096), 3);
    assert_eq!(physical_exponent(4096, 512), 0);
    assert_eq!(physical_exponent(512, 1536), 0);
    assert_eq!(physical_exponent(512, 1 << 30), 15);
}

#[test]
fn block_limits_follow_the_block_size() {
    let unit = LogicalUnit::new(options_of(1024, 4096)).expect("a unit");
    assert_eq!(unit.facts().transfer_blocks_max(), 256);
    assert_eq!(unit.facts().write_same_blocks_max(), 16384);
    assert_eq!(unit.facts().unmap_blocks_max(), 131_072);
}

/// A unit whose file is missing: it shows itself, and is not ready.
#[test]
fn a_unit_without_its_medium_answers_what_needs_none() {
    let options = bdev::uring::UringOptions {
        name: "disk".to_owned(),
        filename: "/nonexistent/file".into(),
        block_size: Some(512),
        wait_for_file: true,
        ..Default::default()
    };
    let bdev = bdev::uring::create(options).expect("it waits for its file");
    let unit = LogicalUnit::new(UnitOptions::new(bdev)).expect("a unit of no blocks");
    let ending = |cdb: &[u8]| run(cdb, &[0; 512], &context(&unit), &mut Disk::default());
    for cdb in
        [&[0x12, 0, 0, 0, 36, 0][..], &[0x12, 1, 0x83, 0, 255, 0], &[0x1a, 0, 0x3f, 0, 255, 0], &[0x1b, 0, 0, 0, 0, 0]]
    {
        assert!(matches!(ending(cdb).ending, Ending::Good { .. }), "{cdb:02x?}");
    }
    let mut read_16 = [0; 16];
    read_16[0] = 0x88;
    let mut capacity_16 = [0; 16];
    capacity_16[..2].copy_from_slice(&[0x9e, 0x10]);
    for cdb in
        [&[0; 6][..], &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], &read_16, &capacity_16, &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
    {
        let sense = sense_of(&ending(cdb), cdb);
        assert_eq!(sense, Sense::NOT_READY_MANUAL_INTERVENTION, "{cdb:02x?}");
    }
    let asked = ending(&[0x03, 0, 0, 0, 252, 0]).data_in;
    assert_eq!((asked[2] & 0x0f, asked[12], asked[13]), (0x2, 0x04, 0x03), "REQUEST SENSE tells so, too");
}

#[test]
fn a_reset_takes_the_mode_parameters_back() {
    let unit = LogicalUnit::new(options()).expect("a unit");
    unit.set_descriptor_sense(true);
    unit.set_software_write_protect(true);
    unit.set_task_aborted_status(false);
    unit.reset();
    assert!(unit.task_aborted_status() && !unit.descriptor_sense() && !unit.software_write_protect());
}

#[test]
fn a_threshold_is_counted_in_sets_that_32_bits_can_number() {
    let threshold = |num_blocks, block_size, space_bytes| {
        let unit = LogicalUnit::new(options_of(num_blocks, block_size)).expect("a unit");
        let unit = unit.with_facts(|facts| facts.threshold_percent = Some(50));
        unit.set_space(space_bytes);
        unit.provisioning_threshold().expect("a threshold")
    };
    assert_eq!(threshold(1000, 512, 14 << 20), ProvisioningThreshold { exponent: 11, sets: 7 });
    assert_eq!(threshold(1000, 4096, 14 << 20), ProvisioningThreshold { exponent: 8, sets: 7 });
    assert_eq!(threshold(1 << 43, 512, 14 << 30), ProvisioningThreshold { exponent: 12, sets: 7 << 9 });
    assert_eq!(threshold((1 << 43) - 1, 512, u64::MAX).sets, u32::MAX);
}

/// A file system that grows beneath a unit moves the threshold; one that was never seen has none to speak of.
#[test]
fn a_threshold_follows_the_space_beneath() {
    let unit = LogicalUnit::new(options()).expect("a unit").with_facts(|facts| facts.threshold_percent = Some(80));
    let sets = |unit: &LogicalUnit| unit.provisioning_threshold().map(|threshold| threshold.sets);
    assert_eq!(sets(&unit), Some(0));
    for (mib, expected) in [(100, 80), (1000, 800), (10, 8), (1, 0)] {
        unit.set_space(mib << 20);
        assert_eq!(sets(&unit), Some(expected));
    }
}

#[test]
fn a_unit_has_no_threshold_without_one_of_the_device() {
    assert_eq!(LogicalUnit::new(options()).expect("a unit").provisioning_threshold(), None);
}

proptest! {
    /// Against numbers of 128 bits.
    #[test]
    fn a_range_is_within_the_capacity_or_refused(
        edge in prop::sample::select(vec![0, 1000, 1 << 32, u64::MAX]), near in -3_i64..4, blocks in prop_oneof![0_u64..5, any::<u64>()],
    ) {
        let device = bdev::null::NullOptions { name: "n".into(), num_blocks: 1000, ..Default::default() };
        let unit = LogicalUnit::new(UnitOptions::new(bdev::null::create(device).expect("a device"))).expect("a unit");
        let lba = edge.wrapping_add_signed(near);
        let within = u128::from(lba) + u128::from(blocks) <= 1000;
        prop_assert_eq!(unit.check_range(BlockRange { lba, blocks }).is_ok(), within, "{} + {}", lba, blocks);
    }

    /// Pieces of a range follow each other, cover it, and end.
    #[test]
    fn pieces_cover_their_range(lba in 0_u64..1 << 40, blocks in 0_u64..100_000) {
        let device = bdev::null::NullOptions { name: "n".into(), num_blocks: 8, ..Default::default() };
        let unit = LogicalUnit::new(UnitOptions::new(bdev::null::create(device).expect("a device"))).expect("a unit");
        let (range, mut done) = (BlockRange { lba, blocks }, 0);
        loop {
            let piece = crate::medium::piece(range, done, unit.facts());
            prop_assert_eq!(piece.lba, lba + done);
            prop_assert!(piece.blocks <= crate::medium::piece_blocks_max(unit.facts()));
            done += piece.blocks;
            if piece.blocks == 0 {
                break;
            }
        }
        prop_assert_eq!(done, blocks);
    }
}
