use fabric::SEGMENTS_MAX;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::Indirect;

fn list(descriptors: &[Descriptor]) -> Vec<u8> {
    descriptors.iter().flat_map(Descriptor::emit).collect()
}

/// All segments of a transfer, cut into pieces of at most `limit`.
fn plan(descriptors: &Descriptors<'_>, total: u32, base: u32, limit: usize) -> Result<Vec<Segment>, TransferError> {
    let mut cursor = Cursor::new(total);
    let mut all = Vec::new();
    while cursor.remaining() > 0 {
        let mut segments = Segments::new();
        cursor.next(descriptors, base, limit, &mut segments)?;
        assert!(!segments.is_empty() && segments.len() <= limit);
        all.extend(segments);
    }
    Ok(all)
}

#[test]
fn one_descriptor_is_one_segment() {
    let descriptors = Descriptors::One(Descriptor { va: 0xffff_8881_0203_4280, rkey: 7, len: 4096 });
    assert_eq!(validate(&descriptors, 4096), Ok(()));
    let expected = Segment { local_offset: 512, len: 4096, remote_addr: 0xffff_8881_0203_4280, rkey: 7 };
    assert_eq!(plan(&descriptors, 4096, 512, SEGMENTS_MAX), Ok(vec![expected]));
}

#[test]
fn a_transfer_ends_at_its_total() {
    let bytes = list(&[
        Descriptor { va: 0x1000, rkey: 1, len: 512 },
        Descriptor { va: 0x9000, rkey: 2, len: 0 },
        Descriptor { va: 0x2000, rkey: 3, len: 512 },
    ]);
    let expected = [
        Segment { local_offset: 0, len: 512, remote_addr: 0x1000, rkey: 1 },
        Segment { local_offset: 512, len: 88, remote_addr: 0x2000, rkey: 3 },
    ];
    assert_eq!(plan(&Descriptors::List(&bytes), 600, 0, SEGMENTS_MAX), Ok(expected.to_vec()));
    assert_eq!(plan(&Descriptors::List(&bytes), 0, 0, SEGMENTS_MAX), Ok(vec![]));
}

#[test]
fn a_long_descriptor_is_cut() {
    let descriptors = Descriptors::One(Descriptor { va: 0x10, rkey: 1, len: 3 << 20 });
    let segments = plan(&descriptors, (2 << 20) + 1, 0, 2).unwrap();
    let lens: Vec<u32> = segments.iter().map(|segment| segment.len).collect();
    assert_eq!(lens, [1 << 20, 1 << 20, 1]);
    assert_eq!(segments[2].remote_addr, 0x10 + (2 << 20));
}

#[test]
fn descriptors_that_end_early_are_refused_before_anything_moves() {
    let bytes = list(&[Descriptor { va: 0x1000, rkey: 1, len: 512 }; 2]);
    let error = TransferError::DescriptorsEnd { count: 2, missing: 1 };
    assert_eq!(validate(&Descriptors::List(&bytes), 1025), Err(error));
    assert_eq!(validate(&Descriptors::List(&bytes), 1024), Ok(()));
    assert_eq!(
        validate(&Descriptors::List(&bytes[..31]), 513),
        Err(TransferError::DescriptorsEnd { count: 1, missing: 1 })
    );
    assert_eq!(validate(&Descriptors::List(&[]), 0), Ok(()));

    let (mut cursor, mut segments) = (Cursor::new(1025), Segments::new());
    segments.push(Segment { local_offset: 9, len: 9, remote_addr: 9, rkey: 9 });
    let before = (cursor, segments.clone());
    assert_eq!(cursor.next(&Descriptors::List(&bytes), 0, SEGMENTS_MAX, &mut segments), Err(error));
    assert_eq!((cursor, segments), before);
}

#[test]
fn addresses_must_not_wrap() {
    let high = |va, len| Descriptors::One(Descriptor { va, rkey: 1, len });
    assert_eq!(validate(&high(u64::MAX - 511, 512), 512), Ok(()), "the last byte has the last address");
    assert_eq!(plan(&high(u64::MAX - 511, 512), 512, 0, 1).unwrap()[0].remote_addr, u64::MAX - 511);
    let error = TransferError::AddressWraps { index: 0, va: u64::MAX - 510, len: 512 };
    assert_eq!(validate(&high(u64::MAX - 510, 512), 512), Err(error));
    assert_eq!(plan(&high(u64::MAX - 510, 512), 512, 0, 1), Err(error));
    assert_eq!(validate(&high(u64::MAX - 510, 512), 511), Ok(()), "what is not used does not count");
}

#[test]
fn local_offsets_must_fit() {
    let descriptors = Descriptors::One(Descriptor { va: 0, rkey: 0, len: 16 });
    let error = TransferError::LocalRange { local_base: u32::MAX, total: 16 };
    assert_eq!(plan(&descriptors, 16, u32::MAX, 1), Err(error));
}

#[test]
fn without_room_nothing_happens() {
    let descriptors = Descriptors::One(Descriptor { va: 0, rkey: 0, len: 16 });
    let (mut cursor, mut segments) = (Cursor::new(16), Segments::new());
    cursor.next(&descriptors, 0, 0, &mut segments).unwrap();
    assert_eq!((cursor.remaining(), segments.len()), (16, 0));
    let filler = Segment { local_offset: 0, len: 1, remote_addr: 0, rkey: 0 };
    segments.extend([filler; SEGMENTS_MAX]);
    cursor.next(&descriptors, 0, usize::MAX, &mut segments).unwrap();
    assert_eq!((cursor.remaining(), segments.len()), (16, SEGMENTS_MAX));
}

#[test]
fn descriptors_are_found_in_the_iu() {
    let direct = Descriptor { va: 1, rkey: 2, len: 3 };
    let iu: Vec<u8> = (0..100).collect();
    let indirect = Indirect { table: direct, total_len: 9, inline_count: 2, inline_offset: 68, table_count: 2 };
    assert_eq!(Descriptors::in_iu(&DataBuffer::Direct(direct), &iu), Descriptors::One(direct));
    assert_eq!(Descriptors::in_iu(&DataBuffer::Indirect(indirect), &iu), Descriptors::List(&iu[68..100]));
    assert_eq!(Descriptors::in_iu(&DataBuffer::None, &iu), Descriptors::List(&[]));
    assert_eq!(Descriptors::in_iu(&DataBuffer::Immediate { offset: 68, len: 8 }, &iu), Descriptors::List(&[]));
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    let len = prop_oneof![Just(0u32), 1u32..2000, 1u32..5 << 20];
    (0..u64::MAX - (8 << 20), any::<u32>(), len).prop_map(|(va, rkey, len)| Descriptor { va, rkey, len })
}

/// Where byte `at` of the transfer lies, found the slow way.
fn place(descriptors: &[Descriptor], mut at: u32) -> (u64, u32) {
    for descriptor in descriptors {
        if at < descriptor.len {
            return (descriptor.va + u64::from(at), descriptor.rkey);
        }
        at -= descriptor.len;
    }
    panic!("byte {at} behind the end");
}

proptest! {
    /// Each segment begins where the one before ended, each of its bytes lies where the descriptors say, none is missing.
    #[test]
    fn segments_cover_exactly_the_first_bytes(
        descriptors in vec(descriptor(), 1..100), portion in 0.0..=1.0f64, base in 0u32..1 << 20, limit in 1usize..100,
    ) {
        let described: u32 = descriptors.iter().map(|descriptor| descriptor.len).sum();
        let total = (f64::from(described) * portion) as u32;
        let bytes = list(&descriptors);
        let source = Descriptors::List(&bytes);
        prop_assert_eq!(validate(&source, total), Ok(()));
        let mut at = 0;
        for segment in plan(&source, total, base, limit).unwrap() {
            prop_assert_eq!(segment.local_offset, base + at);
            prop_assert!(segment.len > 0 && segment.len <= SEGMENT_LEN_MAX);
            let last = at + segment.len - 1;
            prop_assert_eq!((segment.remote_addr, segment.rkey), place(&descriptors, at));
            let end = segment.remote_addr + u64::from(segment.len) - 1;
            prop_assert_eq!((end, segment.rkey), place(&descriptors, last), "it lies in one descriptor");
            at += segment.len;
        }
        prop_assert_eq!(at, total);
    }

    #[test]
    fn any_chunking_gives_the_same_list(
        descriptors in vec(descriptor(), 1..150), limits in vec(0usize..70, 1..20), total in 0u32..8 << 20,
    ) {
        let bytes = list(&descriptors);
        let source = Descriptors::List(&bytes);
        prop_assume!(validate(&source, total).is_ok());
        let mut cursor = Cursor::new(total);
        let mut chunked = Vec::new();
        for limit in limits.iter().copied().chain([1]).cycle() {
            if cursor.remaining() == 0 {
                break;
            }
            let mut segments = Segments::new();
            cursor.next(&source, 0, limit, &mut segments).unwrap();
            chunked.extend(segments);
        }
        prop_assert_eq!(chunked, plan(&source, total, 0, 1).unwrap());
    }

    /// What validation lets through can be planned, what it refuses cannot; and no bytes panic.
    #[test]
    fn validation_and_planning_agree(bytes in vec(any::<u8>(), 0..200), total: u32, zeroes in vec(0usize..200, 0..60)) {
        let mut bytes = bytes;
        for at in zeroes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = 0;
            }
        }
        for total in [total, total >> 8, total >> 20] {
            let source = Descriptors::List(&bytes);
            prop_assert_eq!(validate(&source, total).is_ok(), plan(&source, total, 0, SEGMENTS_MAX).is_ok());
        }
    }
}
