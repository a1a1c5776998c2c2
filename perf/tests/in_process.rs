//! The program, with a target in its own process: no network, no privilege, nothing to set up.

use std::process::{Command, Output};

use serde_json::Value;

fn srp_perf(arguments: &[&str]) -> Output {
    let always = ["--fabric", "sim", "--adaptive", "--json", "-"];
    let program = env!("CARGO_BIN_EXE_srp-perf");
    Command::new(program).args(always).args(arguments).output().expect("the program runs")
}

/// Whether it found all well, and its results.
fn run(arguments: &[&str]) -> (bool, Value) {
    let Output { status, stdout, stderr } = srp_perf(arguments);
    let results = serde_json::from_slice(&stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", String::from_utf8_lossy(&stderr)));
    (status.success(), results)
}

fn number(results: &Value, name: &str) -> u64 {
    results[name].as_u64().unwrap_or_else(|| panic!("{name} is no number: {results:#}"))
}

#[test]
fn what_was_written_in_every_form_is_read_back() {
    for form in ["direct", "indirect", "partial", "immediate"] {
        for size in ["512", "8k"] {
            let load = ["-w", "randrw", "-o", size, "-q", "8", "-d", "600", "--verify", "--bdev", "malloc:1M"];
            let (good, results) = run(&[&["--form", form][..], &load].concat());
            assert!(good, "{form}, {size}: {results:#}");
            assert!(number(&results, "compared") > 0, "{form}, {size}: {results:#}");
        }
    }
}

#[test]
fn long_lists_large_ios_and_several_channels_are_no_different() {
    for arguments in [
        &["--form", "partial", "--descriptors", "255", "-o", "1M", "-q", "2", "-d", "40", "--bdev", "malloc:8M"][..],
        &["--indirect", "20", "-o", "64k", "-q", "4", "-d", "100", "--bdev", "malloc:4M"],
        &["--channels", "3", "-o", "4k", "-q", "4", "-d", "300", "--bdev", "malloc:1M"],
        &["-M", "80", "--rate", "20000", "-o", "4k", "-q", "4", "-d", "500", "--bdev", "malloc:1M"],
    ] {
        let (good, results) = run(&[&["-w", "randrw", "--verify"][..], arguments].concat());
        assert!(good, "{arguments:?}: {results:#}");
        assert!(number(&results, "compared") > 0, "{arguments:?}: {results:#}");
    }
}

/// The null device forgets what is written to it: the comparison must see that, or it sees nothing.
#[test]
fn data_that_were_not_kept_are_found_out() {
    let (good, results) = run(&["-w", "randrw", "-q", "4", "-d", "300", "--verify", "--bdev", "null:256k"]);
    assert!(!good, "{results:#}");
    assert_eq!(number(&results, "miscompared"), number(&results, "compared"));
    assert!(number(&results, "compared") > 0 && number(&results, "failed") == 0, "{results:#}");
}

#[test]
fn a_mix_is_kept_and_every_io_is_told() {
    let (good, results) = run(&["-w", "randrw", "-M", "70", "-d", "1000", "--seed", "5"]);
    assert!(good, "{results:#}");
    let ios = |kind: &str| number(&results[kind], "ios");
    assert_eq!((ios("read") + ios("write"), ios("total")), (1000, 1000));
    assert!((600..800).contains(&ios("read")), "{} reads of 1000 at 70 %", ios("read"));
    let latency = |name: &str| results["total"]["latency_us"][name].as_f64().unwrap_or_else(|| panic!("{results:#}"));
    let names = ["p50", "p90", "p99", "p99_9", "p99_99", "max"];
    assert!(names.windows(2).all(|pair| latency(pair[0]) <= latency(pair[1])), "{results:#}");
}

#[test]
fn after_a_warm_up_the_time_that_was_asked_for_is_measured() {
    let (good, results) = run(&["--warmup", "0.1", "-t", "0.25"]);
    assert!(good, "{results:#}");
    assert_eq!(results["seconds"], 0.25);
}

#[test]
fn options_that_do_not_fit_are_refused_by_name() {
    for (arguments, word) in [
        (&["--target", "127.0.0.1:5555"][..], "--target"),
        (&["--form", "immediate", "-w", "randwrite", "-o", "64k"], "-o 65536"),
        (&["-w", "randread", "--bdev", "malloc:4k", "--channels", "2", "--verify", "-q", "32"], "-q 32"),
    ] {
        let Output { status, stderr, .. } = srp_perf(arguments);
        let said = String::from_utf8_lossy(&stderr);
        assert!(!status.success() && said.contains(word), "{arguments:?}: {said}");
    }
}
