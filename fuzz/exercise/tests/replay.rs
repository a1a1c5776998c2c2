//! Runs the fuzz targets without a fuzzer: with the committed inputs, so that what was found stays found, and with others made of them, so
//! that something is tried where there is no nightly compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use exercise::{Exercise, TARGETS};

/// Inputs made of a corpus, at most.
const MUTATIONS: usize = 4000;

/// No target makes more of them once this is over: some do a lot for an input.
const TIME: Duration = Duration::from_secs(3);

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz_folder().join("corpus").join(target);
    let paths = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = paths
        .map(|entry| entry.expect("readable").path())
        .map(|path| (path.clone(), fs::read(path).expect("readable")))
        .collect();
    inputs.sort();
    inputs
}

/// Runs a target; shows the input if that panics.
fn run(target: &str, exercise: Exercise, input: &[u8], origin: &str) {
    struct Shown<'a>(&'a str, &'a str, &'a [u8]);
    impl Drop for Shown<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let Shown(target, origin, input) = self;
                eprintln!("{target}, {origin}: {input:02x?}");
            }
        }
    }
    let _shown = Shown(target, origin, input);
    exercise(input);
}

/// SplitMix64: the same inputs in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    /// Another input, made of two.
    fn mutated(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        const EDGES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match (self.below(8), bytes.get_mut(at)) {
                (0 | 1, Some(byte)) => *byte = self.next() as u8,
                (2, Some(byte)) => *byte ^= 1 << self.below(8),
                (3, Some(byte)) => *byte = EDGES[self.below(EDGES.len())],
                (4, Some(_)) => bytes.truncate(at),
                (5, Some(_)) => drop(bytes.remove(at)),
                (6, _) => bytes.insert(at, self.next() as u8),
                (7, _) => {
                    let from = self.below(other.len());
                    let piece = &other[from..][..self.below(other.len() - from + 1)];
                    bytes.splice(at..at, piece.iter().copied());
                }
                _ => bytes.push(self.next() as u8),
            }
        }
        bytes
    }
}

/// Targets are apart, so that they run at the same time.
macro_rules! replay {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                let name = stringify!($target);
                let (_, exercise) = *TARGETS.iter().find(|(target, _)| *target == name).expect("it is in the table");
                let inputs = corpus(name);
                assert!(inputs.len() >= 10, "only {} inputs", inputs.len());
                for (path, input) in &inputs {
                    run(name, exercise, input, &path.display().to_string());
                }
                let (mut random, end) = (Random(0), Instant::now() + TIME);
                for number in 0..MUTATIONS {
                    if Instant::now() > end {
                        break;
                    }
                    let [input, other] = [0; 2].map(|_| &inputs[random.below(inputs.len())].1);
                    let input = random.mutated(input, other);
                    run(name, exercise, &input, &format!("mutation {number}"));
                }
            }
        )*

        /// The table, the corpora, the fuzz targets and the tests here are about the same targets.
        #[test]
        fn every_target_is_everywhere() {
            let names: Vec<String> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
            assert_eq!(names, [$(stringify!($target)),*], "and in the order of the alphabet");
            let listed = |folder: &str| {
                let entries = fs::read_dir(fuzz_folder().join(folder)).expect("a folder");
                let name = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
                let mut names: Vec<String> = entries.map(|entry| name(entry.expect("readable").path())).collect();
                names.sort();
                names
            };
            assert_eq!(listed("corpus"), names);
            assert_eq!(listed("fuzz_targets"), names);
        }
    };
}

replay!(
    channel commands configuration device_management import_lio import_scst login parse_iu roce_cm
    roce_frame roce_mad roce_packet roce_rc rpc_conversation rpc_parameters transfer
);
