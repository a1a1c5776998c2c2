use proptest::prelude::*;

use super::*;

const ALL: HistogramOptions = HistogramOptions { granularity: 7, min_ns: 0, max_ns: u64::MAX, op: None };

/// SPDK's arithmetic, step by step: ranges by leading zeroes, then the bits below the highest.
fn bucket_by_the_book(value: u64, granularity: u32) -> (u32, u64) {
    let range = (64 - granularity).saturating_sub(value.leading_zeros());
    let shift = if range == 0 { 0 } else { range - 1 };
    (range, (value >> shift) & ((1 << granularity) - 1))
}

#[test]
fn ranges_are_those_of_the_table_in_spdks_header() {
    let layout = Layout::new(&ALL);
    assert_eq!((layout.min_range, layout.max_range, layout.len()), (0, 57, 58 * 128));
    // Range, its first value, its last.
    for (number, first, last) in [
        (0, 0, 127),
        (1, 128, 255),
        (2, 256, 511),
        (5, 2048, 4095),
        (55, 1 << 61, (1 << 62) - 1),
        (57, 1 << 63, u64::MAX),
    ] {
        assert_eq!((range(first, 7), range(last, 7)), (number, number), "{number}");
        assert_eq!(layout.index(first), number as usize * 128);
        assert_eq!(layout.index(last), number as usize * 128 + 127);
    }
    assert_eq!(layout.index(2048 + 15), 5 * 128, "16 values each");
    assert_eq!(layout.index(2048 + 16), 5 * 128 + 1);
}

#[test]
fn the_defaults_keep_a_microsecond_to_two_minutes() {
    let options = HistogramOptions::default();
    let layout = Layout::new(&options);
    assert_eq!((layout.min_range, layout.max_range), (3, 30));
    assert_eq!(layout.index(0), 0);
    assert_eq!(layout.index(511), 0);
    assert_eq!(layout.index(u64::MAX), layout.len() - 1);
    assert!(layout.index(options.max_ns - 1) < layout.len());
}

#[test]
fn one_kind_of_operation_can_be_chosen() {
    let histogram = Histogram::new(&HistogramOptions { op: Some(OpKind::Write), ..ALL });
    for op in [Op::Read, Op::Write { fua: true }, Op::Flush, Op::LbaStatus, Op::Write { fua: false }] {
        histogram.record(op, 5);
    }
    let mut sum = HistogramSnapshot::new(&ALL);
    sum.add(&histogram);
    sum.add(&histogram);
    assert_eq!((sum.total(), sum.buckets()[5]), (4, 4));
    for name in ["read", "write", "flush", "unmap", "write_zeroes"] {
        assert!(OpKind::from_name(name).is_some(), "{name}");
    }
    assert_eq!(OpKind::from_name("nvme_admin"), None);
}

#[test]
fn options_that_make_no_sense_are_named() {
    let refusal = |options: HistogramOptions| options.check().expect_err("it must be refused").to_string();
    assert!(refusal(HistogramOptions { granularity: 0, ..ALL }).starts_with("granularity: 0"));
    assert!(refusal(HistogramOptions { granularity: 11, ..ALL }).starts_with("granularity: 11"));
    assert!(refusal(HistogramOptions { min_ns: 7, max_ns: 7, ..ALL }).starts_with("max_nsec: 7"));
    assert_eq!(HistogramOptions::default().check(), Ok(()));
    assert_eq!(ALL.check(), Ok(()));
}

#[test]
fn borders_tell_how_many_lie_below() {
    let histogram = Histogram::new(&ALL);
    for value in [10, 20, 20, 100, 1 << 40] {
        histogram.record(Op::Read, value);
    }
    let mut sum = HistogramSnapshot::new(&ALL);
    sum.add(&histogram);
    assert_eq!(sum.counts_up_to(&[9, 10, 50, 1_000]), [0, 1, 3, 4, 5]);
    assert_eq!(sum.counts_up_to(&[]), [5]);
    assert_eq!(sum.counts_up_to(&[u64::MAX]), [5, 5]);
}

proptest! {
    #[test]
    fn a_value_falls_where_spdk_puts_it(value: u64, bits in 0_u32..64, granularity in 1_u8..=GRANULARITY_MAX) {
        let value = value >> bits;
        let layout = Layout::new(&HistogramOptions { granularity, ..ALL });
        let (range, bucket) = bucket_by_the_book(value, granularity.into());
        let index = layout.index(value);
        prop_assert_eq!(index, ((range as usize) << granularity) + bucket as usize);
        // It lies below the end of its bucket and not below that of the one before.
        prop_assert!(value < layout.end(index) || layout.end(index) == u64::MAX);
        prop_assert!(index == 0 || value >= layout.end(index - 1));
    }

    #[test]
    fn bounds_only_cut_off(value: u64, bits in 0_u32..64, min_ns in 0_u64..1 << 20, width in 1_u64..1 << 40) {
        let value = value >> bits;
        let options = HistogramOptions { min_ns, max_ns: min_ns + width, ..ALL };
        let (layout, whole) = (Layout::new(&options), Layout::new(&ALL));
        let offset = (layout.min_range << 7) as usize;
        let expected = whole.index(value).clamp(offset, offset + layout.len() - 1) - offset;
        prop_assert_eq!(layout.index(value), expected);
    }
}
