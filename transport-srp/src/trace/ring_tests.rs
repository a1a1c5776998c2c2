use std::sync::atomic::AtomicBool;

use super::*;

const SLOTS: u64 = 8;

/// A record that shows whether it is whole.
fn record(number: u64) -> [u64; 3] {
    [number, number.wrapping_mul(3), !number]
}

fn written(count: u64) -> (Writer<3>, Reader<3>) {
    let (mut writer, reader) = ring(SLOTS as usize);
    (0..count).for_each(|number| writer.write(record(number)));
    (writer, reader)
}

fn numbers(found: &Found<3>) -> Vec<u64> {
    for found in &found.records {
        assert_eq!(*found, record(found[0]), "a torn record");
    }
    found.records.iter().map(|record| record[0]).collect()
}

#[test]
fn what_was_written_is_read_in_order_and_the_oldest_is_overwritten() {
    let (_writer, reader) = written(0);
    assert_eq!((numbers(&reader.read(0)), reader.count()), (vec![], 0));
    let (_writer, reader) = written(5);
    let found = reader.read(2);
    assert_eq!((numbers(&found), found.lost, found.next), (vec![2, 3, 4], 0, 5));
    assert_eq!(numbers(&reader.read(7)), [0; 0]);
    // One slot is the writer's: what it may be about to overwrite does not count as there.
    let (_writer, reader) = written(21);
    let found = reader.read(0);
    assert_eq!((numbers(&found), found.lost, found.next), ((14..21).collect(), 14, 21));
}

#[test]
fn sizes_are_rounded_up_to_powers_of_two() {
    let (mut writer, reader) = ring::<1>(5);
    (0..20).for_each(|number| writer.write([number]));
    assert_eq!(reader.read(0).records.len(), 7);
}

#[test]
fn what_is_overwritten_while_it_is_read_is_left_out() {
    for meanwhile in 0..20 {
        let (mut writer, reader) = written(12);
        let found = reader.read_while(0, || (12..12 + meanwhile).for_each(|number| writer.write(record(number))));
        let oldest = (12 + meanwhile + 1 - SLOTS).min(12);
        assert_eq!((numbers(&found), found.lost), ((oldest..12).collect(), oldest), "{meanwhile}");
    }
}

/// The writer is stopped in the middle of a record. The slot holds words of two of them: without the look at what the writer is at, the reader
/// would show the mixture.
#[test]
fn a_record_that_is_half_written_is_left_out() {
    let (writer, reader) = written(12);
    writer.shared.slots[12 % SLOTS as usize][1].store(1, Ordering::Relaxed);
    let found = reader.read(0);
    assert_eq!((numbers(&found), found.lost), ((5..12).collect(), 5));
    assert_ne!(writer.shared.slots[12 % SLOTS as usize][1].load(Ordering::Relaxed), record(4)[1], "4 was torn");
}

#[test]
fn a_reader_beside_a_writer_sees_whole_records_alone() {
    let (mut writer, reader) = ring::<3>(SLOTS as usize);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..400_000).for_each(|number| writer.write(record(number)));
            over.store(true, Ordering::Relaxed);
        });
        let (mut next, mut seen, mut lost) = (0, 0, 0);
        while next < 400_000 {
            let ended = over.load(Ordering::Relaxed);
            let found = reader.read(next);
            let numbers = numbers(&found);
            assert_eq!(numbers, (found.next - numbers.len() as u64..found.next).collect::<Vec<_>>());
            (next, seen, lost) = (found.next, seen + numbers.len() as u64, lost + found.lost);
            assert!(!ended || next == 400_000);
        }
        assert_eq!(seen + lost, 400_000, "each was seen or counted as lost");
    });
}
