use proptest::prelude::*;

use super::*;
use crate::IoError;
use crate::testing::{BLOCK, BLOCKS_MAX, Bench, WRITE, malloc, null};

fn split(base: &Arc<Bdev>, split_count: u32, split_size_mb: Option<u64>) -> Result<Vec<Arc<Bdev>>, CreateError> {
    create(base, SplitOptions { split_count, split_size_mb, split_size_blocks: None })
}

#[test]
fn parts_are_named_after_the_device_and_lie_side_by_side() {
    let parts = split(&null(100), 3, None).expect("parts");
    let facts: Vec<(&str, u64, Option<u64>)> =
        parts.iter().map(|part| (part.info().name.as_str(), part.num_blocks(), offset_blocks(part))).collect();
    assert_eq!(facts, [("nullp0", 33, Some(0)), ("nullp1", 33, Some(33)), ("nullp2", 33, Some(66))]);
    let parts = split(&null(10 << 11), 3, Some(3)).expect("parts of 3 MiB");
    let places: Vec<_> = parts.iter().map(|part| (part.num_blocks(), offset_blocks(part))).collect();
    assert_eq!(places, [(6144, Some(0)), (6144, Some(6144)), (6144, Some(12288))]);
    assert_eq!(offset_blocks(&null(1)), None);
}

#[test]
fn parts_have_identities_of_their_own_that_stay() {
    let uuids = |base: &Arc<Bdev>| -> Vec<_> {
        split(base, 3, None).expect("parts").iter().map(|part| part.info().uuid).collect()
    };
    let first = uuids(&null(100));
    assert_eq!(first, uuids(&null(100)));
    let all: std::collections::BTreeSet<_> = first.into_iter().chain([null(100).info().uuid]).collect();
    assert_eq!(all.len(), 4);
}

#[test]
fn parts_begin_at_physical_blocks() {
    let options = crate::null::NullOptions {
        name: "n".to_owned(),
        num_blocks: 100,
        physical_block_size: Some(4096),
        ..Default::default()
    };
    let base = crate::null::create(options).expect("null");
    let places: Vec<_> = split(&base, 3, None).expect("parts").iter().map(|part| part.num_blocks()).collect();
    assert_eq!(places, [32, 32, 32]);
    assert!(split(&base, 13, None).is_err(), "no part has a whole physical block");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let base = null(8 << 11);
    for (count, size_mb, parameter) in [
        (0, None, "split_count: "),
        (SPLIT_COUNT_MAX + 1, None, "split_count: "),
        (u32::MAX, Some(1), "split_count: "),
        (9, Some(1), "split_size_mb: "),
        (1, Some(9), "split_size_mb: "),
        (2, Some(u64::MAX), "split_size_mb: "),
        (2, Some(u64::MAX >> 11), "split_size_mb: "),
        (1024, Some(u64::MAX >> 21), "split_size_mb: "),
    ] {
        let error = split(&base, count, size_mb).expect_err("it does not fit").to_string();
        assert!(error.starts_with(parameter), "{count} {size_mb:?}: {error}");
    }
    assert!(split(&base, 8, Some(1)).is_ok() && split(&base, 1, Some(8)).is_ok());
    let error = split(&null(3), 4, None).expect_err("no block each").to_string();
    assert!(error.starts_with("split_count: "), "{error}");
}

#[test]
fn a_size_in_blocks_places_parts_whatever_the_size_of_the_device_has_become() {
    let of_blocks = |base: &Arc<Bdev>, blocks| {
        create(base, SplitOptions { split_count: 3, split_size_blocks: Some(blocks), ..SplitOptions::default() })
    };
    for num_blocks in [100, 1000] {
        let parts = of_blocks(&null(num_blocks), 33).expect("they fit");
        let places: Vec<_> = parts.iter().map(|part| (part.num_blocks(), offset_blocks(part))).collect();
        assert_eq!(places, [(33, Some(0)), (33, Some(33)), (33, Some(66))]);
    }
    for blocks in [0, 34, u64::MAX] {
        let error = of_blocks(&null(100), blocks).expect_err("it does not fit").to_string();
        assert!(error.starts_with("split_size_blocks: "), "{error}");
    }
    let both = SplitOptions { split_count: 1, split_size_mb: Some(1), split_size_blocks: Some(1) };
    let error = create(&null(1 << 20), both).expect_err("two sizes").to_string();
    assert!(error.starts_with("split_size_blocks: "), "{error}");
}

#[test]
fn a_scsi_device_has_no_parts() {
    let mut base = null(1000);
    let facts = crate::passthrough::Facts { device_type: 0, transfer_bytes_max: 1 << 20, ..Default::default() };
    Arc::get_mut(&mut base).expect("mine").info_mut().passthrough = Some(facts);
    let error = split(&base, 2, None).expect_err("no parts").to_string();
    assert!(error.starts_with("base_bdev: "), "{error}");
}

#[test]
fn a_part_keeps_its_size_when_the_device_beneath_changes() {
    let base = null(100);
    let parts = split(&base, 2, None).expect("parts");
    base.set_num_blocks(1000);
    assert_eq!((parts[0].num_blocks(), parts[1].num_blocks()), (50, 50));
    base.set_num_blocks(75);
    let mut bench = Bench::on(&parts[1], 1);
    assert_eq!(bench.run(Op::Read, 24, 1, 0).result, Ok(()));
    assert_eq!(bench.run(Op::Read, 25, 1, 0).result, Err(IoError::OutOfRange));
}

proptest! {
    #[test]
    fn parts_lie_in_the_device_and_do_not_touch(
        num_blocks in 1..=u64::MAX >> 10,
        count in 0..40_u32,
        size_mb in proptest::option::of(prop_oneof![0..100_u64, any::<u64>()]),
    ) {
        let base = null(num_blocks);
        let Ok(parts) = split(&base, count, size_mb) else { return Ok(()) };
        prop_assert_eq!(parts.len(), count as usize);
        let mut free = 0;
        for part in &parts {
            let offset = offset_blocks(part).expect("a part");
            prop_assert!(offset == free && part.num_blocks() > 0);
            free = offset + part.num_blocks();
        }
        prop_assert!(free <= num_blocks);
    }

    /// The parts together against the device as a whole: an array of bytes.
    #[test]
    fn operations_on_parts_stay_in_them(
        steps in proptest::collection::vec((0..4_usize, 0..3_usize, 0..45_u64, 0..45_u64, 1..=255_u8), 1..60)
    ) {
        const EACH: u64 = 40;
        let base = malloc(3 * EACH + 2);
        let parts = split(&base, 3, None).expect("parts");
        let mut benches: Vec<_> = parts.iter().map(|part| Bench::on(part, 2)).collect();
        let mut model = vec![0_u8; (3 * EACH as usize + 2) * BLOCK];
        for (op, part, lba, blocks, fill) in steps {
            let op = [Op::Read, WRITE, Op::Unmap, Op::WriteZeroes { unmap: false, fua: false }][op];
            let done = benches[part].run(op, lba, blocks, fill);
            if lba + blocks > EACH {
                prop_assert_eq!(done.result, Err(IoError::OutOfRange));
                continue;
            }
            prop_assert_eq!(done.result, Ok(()));
            let first = part as u64 * EACH + lba;
            let range = first as usize * BLOCK..(first + blocks) as usize * BLOCK;
            match op {
                Op::Read => prop_assert!(done.data.expect("came back").bytes() == &model[range]),
                Op::Write { .. } => model[range].fill(fill),
                _ => model[range].fill(0),
            }
        }
        let whole = Bench::on(&base, 1).run(Op::Read, 0, 3 * EACH + 2, 0);
        prop_assert!(3 * EACH + 2 <= BLOCKS_MAX);
        prop_assert!(whole.data.expect("came back").bytes() == &model[..]);
    }

    /// Whatever the device beneath says of its blocks, a part says of the same blocks, and of no others.
    #[test]
    fn lba_status_of_a_part_is_that_of_the_blocks_beneath(
        runs in proptest::collection::vec((1..60_u32, 0..3_u8), 1..12),
        offset in 0..100_u64,
        size in 1..200_u64,
        start in 0..100_u64,
    ) {
        // Beneath: runs from `offset + start` on, as they would be given for a request there.
        let begin = offset + start;
        let mut descriptors = Vec::new();
        let mut beneath = Vec::new();
        for (blocks, status) in runs {
            descriptors.extend_from_slice(&(begin + beneath.len() as u64).to_be_bytes());
            descriptors.extend_from_slice(&blocks.to_be_bytes());
            descriptors.extend_from_slice(&[status, 0, 0, 0]);
            beneath.extend(std::iter::repeat_n(status, blocks as usize));
        }
        descriptors.extend_from_slice(&[0; 16]);
        translate(&mut descriptors, offset, size);
        let mut seen = Vec::new();
        let mut ended = false;
        for descriptor in descriptors.chunks_exact(16) {
            let lba = u64::from_be_bytes(descriptor[..8].try_into().expect("8 bytes"));
            let blocks = u32::from_be_bytes(descriptor[8..12].try_into().expect("4 bytes"));
            ended |= blocks == 0;
            prop_assert_eq!(ended, descriptor.iter().all(|&byte| byte == 0), "nothing behind the end");
            if !ended {
                prop_assert_eq!(lba, start + seen.len() as u64);
                seen.extend(std::iter::repeat_n(descriptor[12], blocks as usize));
            }
        }
        beneath.truncate(size.saturating_sub(start) as usize);
        prop_assert_eq!(seen, beneath);
    }

    #[test]
    fn lba_status_descriptors_of_any_content_are_cut_to_the_part(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..80),
        offset in any::<u64>(),
        size in any::<u64>(),
    ) {
        translate(&mut bytes, offset, size);
        for descriptor in bytes.chunks_exact(16) {
            let lba = u64::from_be_bytes(descriptor[..8].try_into().expect("8 bytes"));
            let blocks = u32::from_be_bytes(descriptor[8..12].try_into().expect("4 bytes"));
            prop_assert!(blocks == 0 || lba.checked_add(u64::from(blocks)).is_some_and(|end| end <= size));
        }
    }
}

/// A MiB is one of data, which the metadata is no part of.
#[test]
fn sizes_in_mib_do_not_count_metadata() {
    let metadata = Some(crate::Metadata::of(crate::ProtectionType::Type1));
    let name = "m".to_owned();
    let options = crate::malloc::MallocOptions { name, num_blocks: 4096, metadata, ..Default::default() };
    let base = crate::malloc::create(options).expect("2 MiB");
    let options = SplitOptions { split_count: 2, split_size_mb: Some(1), ..SplitOptions::default() };
    let parts = create(&base, options).expect("two halves");
    assert!(parts.iter().all(|part| part.num_blocks() == 2048 && part.info().metadata == metadata));
}
