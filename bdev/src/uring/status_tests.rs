use proptest::prelude::*;

use super::*;

/// A file as its data, in bytes, in order and apart from each other; holes are between them.
#[derive(Clone, Debug)]
struct Model {
    data: Vec<(u64, u64)>,
    len: u64,
}

impl Model {
    /// What the thread would answer.
    fn answer(&self, look: Look) -> i64 {
        let place = match look {
            Look::Data(offset) => {
                let found = self.data.iter().find(|(_, end)| *end > offset).map(|(start, _)| offset.max(*start));
                Some(found.unwrap_or(self.len))
            }
            Look::Hole(offset) if offset >= self.len => None,
            Look::Hole(offset) => {
                Some(self.data.iter().find(|(start, end)| (*start..*end).contains(&offset)).map_or(offset, |e| e.1))
            }
        };
        place.map_or(-i64::from(Errno::NXIO.raw_os_error()), |place| i64::try_from(place).expect("small enough"))
    }

    fn status(&self, block: u64, block_size: u64) -> u8 {
        let (start, end) = (block * block_size, (block + 1) * block_size);
        let touched = self.data.iter().any(|&(from, to)| from < end && start < to);
        if touched { MAPPED } else { DEALLOCATED }
    }

    /// The list for the blocks from `lba` on, without a limit on looks.
    fn survey(&self, lba: u64, num_blocks: u64, block_size: u32, room: usize) -> Result<Vec<Run>, IoError> {
        run(Survey { looks_left: u32::MAX, ..Survey::new(lba, num_blocks, block_size) }, room, |look| self.answer(look))
    }
}

/// A survey to its end; the list up to its end mark, behind which there must be zeroes only.
fn run(mut survey: Survey, room: usize, mut answer: impl FnMut(Look) -> i64) -> Result<Vec<Run>, IoError> {
    let mut list = vec![0xee; room * DESCRIPTOR_BYTES];
    let result = loop {
        let answer = answer(survey.next);
        if let Some(result) = survey.on_answer(answer, &mut list) {
            break result;
        }
    };
    let runs: Vec<Run> = list
        .chunks_exact(DESCRIPTOR_BYTES)
        .map(|descriptor| {
            assert_eq!(descriptor[13..], [0; 3]);
            Run {
                lba: u64::from_be_bytes(descriptor[0..8].try_into().expect("8 bytes")),
                blocks: u64::from(u32::from_be_bytes(descriptor[8..12].try_into().expect("4 bytes"))),
                status: descriptor[12],
            }
        })
        .collect();
    let end = runs.iter().position(|run| run.blocks == 0).unwrap_or(runs.len());
    assert!(runs[end..].iter().all(|run| *run == Run { lba: 0, blocks: 0, status: 0 }), "{runs:?}");
    result.map(|()| runs[..end].to_vec())
}

fn mapped(lba: u64, blocks: u64) -> Run {
    Run { status: MAPPED, lba, blocks }
}

fn deallocated(lba: u64, blocks: u64) -> Run {
    Run { status: DEALLOCATED, lba, blocks }
}

#[test]
fn data_and_holes_alternate() {
    let file = Model { data: vec![(4096, 8192), (12288, 16384)], len: 20480 };
    let all = [deallocated(0, 1), mapped(1, 1), deallocated(2, 1), mapped(3, 1), deallocated(4, 1)];
    assert_eq!(file.survey(0, 5, 4096, 9), Ok(all.to_vec()));
    assert_eq!(file.survey(3, 5, 4096, 9), Ok(all[3..].to_vec()));
    assert_eq!(file.survey(4, 5, 4096, 1), Ok(all[4..].to_vec()));
    for room in 1..5 {
        assert_eq!(file.survey(0, 5, 4096, room), Ok(all[..room].to_vec()));
    }
}

#[test]
fn a_block_with_a_byte_of_data_is_mapped() {
    let file = Model { data: vec![(8191, 8193), (16383, 16384), (24576, 24577)], len: 32768 };
    let expected = [deallocated(0, 1), mapped(1, 3), deallocated(4, 2), mapped(6, 1), deallocated(7, 1)];
    assert_eq!(file.survey(0, 8, 4096, 9), Ok(expected.to_vec()));
}

#[test]
fn a_run_longer_than_a_descriptor_counts_takes_several() {
    let most = u64::from(u32::MAX);
    let num_blocks = 2 * most + 10;
    let hole = Model { data: vec![], len: num_blocks * 512 };
    let expected = [deallocated(0, most), deallocated(most, most), deallocated(2 * most, 10)];
    assert_eq!(hole.survey(0, num_blocks, 512, 4), Ok(expected.to_vec()));
    assert_eq!(hole.survey(0, num_blocks, 512, 2), Ok(expected[..2].to_vec()));
    let full = Model { data: vec![(0, num_blocks * 512)], len: num_blocks * 512 };
    assert_eq!(full.survey(5, num_blocks, 512, 1), Ok(vec![mapped(5, most)]));
}

/// A file whose data and holes are finer than the blocks is one long run, found bit by bit: a list may end early.
#[test]
fn an_endless_search_ends_with_what_is_known() {
    let endless = |look| match look {
        Look::Data(offset) => offset as i64 + 512,
        Look::Hole(offset) => offset as i64 + 512,
    };
    let runs = run(Survey::new(0, 1 << 40, 4096), 8, endless).expect("some");
    assert_eq!(runs, [mapped(0, u64::from(LOOKS_MAX) / 2)]);
}

#[test]
fn a_file_that_became_shorter_is_no_hole() {
    let short = Model { data: vec![(0, 4096)], len: 12288 };
    assert_eq!(short.survey(0, 9, 4096, 9), Ok(vec![mapped(0, 1), deallocated(1, 2)]));
    for lba in [3, 4, 8] {
        assert_eq!(short.survey(lba, 9, 4096, 9), Err(IoError::Medium), "{lba}");
    }
}

#[test]
fn data_that_goes_away_meanwhile_counts_as_mapped() {
    let mut answers = [0, 0, 8192].into_iter();
    let runs = run(Survey::new(0, 2, 4096), 2, |_| answers.next().expect("no more looks"));
    assert_eq!(runs, Ok(vec![mapped(0, 1), deallocated(1, 1)]));
}

#[test]
fn an_error_is_told_where_nothing_else_is() {
    let errno = |errno: Errno| -i64::from(errno.raw_os_error());
    for (error, expected) in [(Errno::IO, IoError::Medium), (Errno::STALE, IoError::Gone)] {
        assert_eq!(run(Survey::new(0, 2, 4096), 2, |_| errno(error)), Err(expected));
    }
    let mut answers = [4096, errno(Errno::IO)].into_iter();
    let runs = run(Survey::new(0, 2, 4096), 2, |_| answers.next().expect("no more looks"));
    assert_eq!(runs, Ok(vec![deallocated(0, 1)]));
    let mut answers = [errno(Errno::INTR), 8192].into_iter();
    let runs = run(Survey::new(0, 2, 4096), 2, |_| answers.next().expect("no more looks"));
    assert_eq!(runs, Ok(vec![deallocated(0, 2)]));
    assert!(run(Survey::new(0, 2, 4096), 2, |_| errno(Errno::INTR)).is_err(), "not for ever");
    for error in [i64::MIN, -4096, -1] {
        assert!(run(Survey::new(0, 2, 4096), 2, |_| error).is_err());
    }
}

fn model() -> impl Strategy<Value = Model> {
    let lengths = proptest::collection::vec((prop_oneof![1..700_u64, 1..20_000_u64], 1..9000_u64), 0..40);
    (lengths, 0..9000_u64).prop_map(|(lengths, tail)| {
        let (mut data, mut at) = (Vec::new(), 0);
        for (hole, len) in lengths {
            data.push((at + hole - 1, at + hole - 1 + len));
            at += hole + len;
        }
        Model { data, len: at + tail + 4096 }
    })
}

proptest! {
    #[test]
    fn every_block_has_the_status_of_the_model(
        file in model(),
        block_size in prop_oneof![Just(512_u32), Just(1024), Just(2048), Just(4096)],
        start in 0.0..1.0_f64,
        room in 1..60_usize,
        looks in 1..80_u32,
    ) {
        let num_blocks = file.len / u64::from(block_size);
        let lba = ((num_blocks as f64 * start) as u64).min(num_blocks - 1);
        // The longest runs of one status, one after the other.
        let mut expected: Vec<Run> = Vec::new();
        for block in lba..num_blocks {
            let status = file.status(block, u64::from(block_size));
            match expected.last_mut() {
                Some(run) if run.status == status => run.blocks += 1,
                _ => expected.push(Run { status, lba: block, blocks: 1 }),
            }
        }
        let all = file.survey(lba, num_blocks, block_size, room).expect("a list");
        prop_assert_eq!(&all, &expected[..room.min(expected.len())]);
        // With fewer looks the list is shorter, and still right.
        let survey = Survey { looks_left: looks, ..Survey::new(lba, num_blocks, block_size) };
        match run(survey, room, |look| file.answer(look)) {
            Ok(some) => {
                let (last, whole) = some.split_last().expect("at least one");
                prop_assert_eq!(whole, &all[..whole.len()]);
                let full = all[whole.len()];
                prop_assert!((last.status, last.lba) == (full.status, full.lba) && last.blocks <= full.blocks);
            }
            // Data in the first block needs a second look.
            Err(_) => prop_assert!(looks == 1 && expected[0].status == MAPPED),
        }
    }

    #[test]
    fn whatever_the_kernel_says_the_list_stays_on_the_device(
        answers in proptest::collection::vec(prop_oneof![any::<i64>(), 0..70_000_i64, Just(-4)], 1..40),
        room in 1..9_usize,
    ) {
        let mut answers = answers.into_iter().cycle();
        if let Ok(runs) = run(Survey::new(1, 16, 4096), room, |_| answers.next().expect("endless")) {
            let mut at = 1;
            for run in runs {
                prop_assert_eq!(run.lba, at);
                at += run.blocks;
            }
            prop_assert!(at > 1 && at <= 16);
        }
    }
}
