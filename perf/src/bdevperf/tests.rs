use clap::Parser;
use mem::Region;

use serde_json::Value;

use super::job::{Job, JobResult, Memory};
use super::*;
use crate::seconds::Sample;

/// Options for one core, with a configuration of these bdevs.
fn options(folder: &tempfile::TempDir, bdevs: &str, arguments: &[&str]) -> Options {
    let config = folder.path().join("config.json");
    std::fs::write(&config, format!(r#"{{"subsystems": [{{"subsystem": "bdev", "config": [{bdevs}]}}]}}"#))
        .expect("a file");
    let config = config.display().to_string();
    let always = ["bdevperf", "-c", &config, "-t", "0.05", "-w", "randread"];
    Options::parse_from(always.iter().chain(arguments))
}

fn null(name: &str, num_blocks: u64) -> String {
    let params = format!(r#"{{"name": "{name}", "num_blocks": {num_blocks}, "block_size": 512}}"#);
    format!(r#"{{"method": "bdev_null_create", "params": {params}}}"#)
}

fn malloc(name: &str) -> String {
    null(name, 4096).replace("null", "malloc")
}

fn refusal(bdevs: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    format!("{:#}", run(&options(&folder, bdevs, arguments)).expect_err("it must be refused"))
}

/// Runs the first job of the options by hand: `rounds` rounds with a clock that ticks 1 µs in each, then to its end.
fn by_hand(options: &Options, rounds: u64) -> JobResult {
    let bdevs = config::create_bdevs(&options.config).expect("bdevs");
    let cores = deal(options, &bdevs);
    let plan = &cores[0].plans[0];
    let mut memory = Memory { region: mem_region(plan.buffer_bytes()), used: 0 };
    let mut job = Job::new(plan, 0, &mut memory).expect("a job");
    job.start(0, 1_000 * rounds);
    for round in 1.. {
        job.round(1_000 * round);
        if job.is_over() {
            break;
        }
    }
    job.finish()
}

fn mem_region(len: usize) -> Arc<Region> {
    mem::testing::region(len.max(1))
}

#[test]
fn every_workload_does_what_its_name_says() {
    let folder = tempfile::tempdir().expect("a folder");
    for workload in
        ["read", "write", "randread", "randwrite", "rw", "randrw", "verify", "unmap", "flush", "write_zeroes"]
    {
        let options = options(&folder, &malloc("m"), &["-w", workload, "-q", "4"]);
        let bdevs = config::create_bdevs(&options.config).expect("bdevs");
        let plan = &deal(&options, &bdevs)[0].plans[0];
        let mut memory = Memory { region: mem_region(plan.buffer_bytes()), used: 0 };
        let mut job = Job::new(plan, 0, &mut memory).expect("a job");
        job.start(0, 20_000);
        for round in 1..=21 {
            job.round(1_000 * round);
        }
        assert!(job.is_over(), "{workload}");
        let result = job.finish();
        // 4 in flight, each of which takes a round, for 19 rounds that count.
        assert_eq!(
            (result.tally.ios, result.tally.failed, result.tally.min_latency_ns),
            (4 * 19, 0, 1_000),
            "{workload}"
        );
        assert_eq!(result.elapsed, std::time::Duration::from_nanos(20_000), "{workload}");
        let stat = bdevs[0].io_stat();
        let done =
            [stat.num_read_ops, stat.num_write_ops, stat.num_unmap_ops, stat.num_flush_ops, stat.num_write_zeroes_ops];
        let expected = match workload {
            "read" | "randread" => [true, false, false, false, false],
            "write" | "randwrite" => [false, true, false, false, false],
            "rw" | "randrw" | "verify" => [true, true, false, false, false],
            "unmap" => [false, false, true, false, false],
            "flush" => [false, false, false, true, false],
            _ => [false, false, false, false, true],
        };
        assert_eq!(done.map(|count| count > 0), expected, "{workload}");
        assert_eq!(done.iter().sum::<u64>(), 4 * 20, "{workload}");
    }
}

#[test]
fn verify_compares_and_finds_out_a_device_that_forgets() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = by_hand(&options(&folder, &malloc("m"), &["-w", "verify", "-q", "3", "-o", "1024"]), 100);
    assert!(kept.tally.compared > 100 && kept.tally.miscompared == 0, "{:?}", kept.tally);
    let forgot = by_hand(&options(&folder, &null("n", 4096), &["-w", "verify", "-q", "3"]), 100);
    assert!(forgot.tally.compared > 0 && forgot.tally.miscompared == forgot.tally.compared, "{:?}", forgot.tally);
    assert!(forgot.tally.ios < 10, "it ends the job: {:?}", forgot.tally);
}

#[test]
fn a_failed_operation_ends_its_job_and_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let pattern = null("n", 4096).replace("\"name\"", "\"pattern\": true, \"name\"");
    let options = options(&folder, &pattern, &["-w", "randwrite", "-q", "2"]);
    let result = by_hand(&options, 100);
    assert_eq!((result.tally.ios, result.tally.failed), (0, 2));
    let (op, _, error) = result.tally.first_error.expect("the first error");
    assert_eq!((op, error), (bdev::Op::Write { fua: false }, bdev::IoError::Medium));
    let core =
        CoreResult { jobs: vec![result], cpu: Default::default(), busy: Default::default(), seconds: Vec::new() };
    let results = Results::new(options, Environment::current(), &[], vec![core]);
    assert!(
        !results.is_good() && results.json()["good"] == false && results.json()["results"][0]["status"] == "failed"
    );
    assert!(results.table().contains("with error: Write"), "{}", results.table());
}

#[test]
fn bdevs_are_dealt_to_cores_and_every_core_may_have_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let two = format!("{}, {}", null("a", 4096), null("b", 4096));
    let dealt = |arguments: &[&str]| {
        let options = options(&folder, &two, arguments);
        let bdevs = config::create_bdevs(&options.config).expect("bdevs");
        let cores = deal(&options, &select(&options, bdevs).expect("some"));
        let plan = |plan: &JobPlan| (plan.bdev.info().name.clone(), plan.range.clone());
        cores.iter().map(|core| (core.number, core.plans.iter().map(plan).collect())).collect::<Vec<(_, Vec<_>)>>()
    };
    let (a, b) = (|range| ("a".to_owned(), range), |range| ("b".to_owned(), range));
    assert_eq!(dealt(&["-m", "0x3"]), [(0, vec![a(0..512)]), (1, vec![b(0..512)])]);
    assert_eq!(dealt(&["-m", "0x7"]), [(0, vec![a(0..512)]), (1, vec![b(0..512)])]);
    assert_eq!(dealt(&["-m", "0x2"]), [(1, vec![a(0..512), b(0..512)])]);
    assert_eq!(dealt(&["-m", "0x3", "-T", "b"]), [(0, vec![b(0..512)])]);
    assert_eq!(dealt(&["-m", "0x3", "-C"]), [(0, vec![a(0..512), b(0..512)]), (1, vec![a(0..512), b(0..512)])]);
    let parts = dealt(&["-m", "0x3", "-C", "-w", "write", "-T", "a"]);
    assert_eq!(parts, [(0, vec![a(0..256)]), (1, vec![a(256..512)])]);
}

#[test]
fn a_run_on_real_threads_tells_its_figures() {
    let folder = tempfile::tempdir().expect("a folder");
    let two = format!("{}, {}", null("a", 4096), malloc("b"));
    let results = run(&options(&folder, &two, &["-w", "randrw", "-M", "70", "-q", "8"])).expect("a run");
    assert!(results.is_good(), "{}", results.table());
    let json = results.json();
    let ios = |value: &serde_json::Value| value["ios"].as_u64().expect("a number");
    assert_eq!(ios(&json["results"][0]) + ios(&json["results"][1]), ios(&json["total"]));
    assert_eq!((&json["results"][1]["job"], &json["results"][1]["percentage"]), (&"b".into(), &70.into()));
    let table = results.table();
    assert!(
        table.contains("Job: a (Core Mask 0x1, workload: randrw, percentage: 70, depth: 8, IO size: 4096)"),
        "{table}"
    );
    assert!(table.contains("\n Total"), "{table}");
}

#[test]
fn percentiles_are_kept_if_asked_for_and_json_names_the_settings_and_the_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let two = format!("{}, {}", null("a", 4096), malloc("b"));
    let without = run(&options(&folder, &two, &["-q", "2"])).expect("a run").json();
    assert_eq!((&without["total"]["latency_us"], &without["total"]["histogram"]), (&Value::Null, &Value::Null));
    let results = run(&options(&folder, &two, &["-q", "2", "-l", "--label", "after"])).expect("a run");
    let json = results.json();
    let total = &json["total"];
    let ios = |pair: &Value| pair[1].as_u64().expect("a number");
    let pairs = total["histogram"].as_array().expect("pairs");
    assert_eq!(Some(pairs.iter().map(ios).sum()), total["ios"].as_u64(), "of both jobs");
    assert!(total["latency_us"]["p50"].as_f64() > Some(0.0), "{total}");
    assert!(json["results"][1]["latency_us"]["max"].as_f64() > Some(0.0));
    let settings = &json["settings"];
    assert_eq!(
        (&settings["label"], &settings["depth"], &settings["workload"]),
        (&"after".into(), &2.into(), &"randread".into())
    );
    assert_eq!(settings["products"], serde_json::json!(["Null disk", "Malloc disk"]));
    assert!(settings["seed"].is_u64() && json["environment"]["cpus"].as_u64() > Some(0));
    assert!(results.table().contains("\n Percentiles (us)"), "{}", results.table());
}

#[test]
fn the_rates_of_cores_add_up() {
    let core = |rates: &[f64]| {
        let seconds = (1..).zip(rates).map(|(at, &iops)| Sample { at: f64::from(at), iops }).collect();
        CoreResult { jobs: Vec::new(), cpu: Default::default(), busy: Default::default(), seconds }
    };
    let folder = tempfile::tempdir().expect("a folder");
    let cores = vec![core(&[10.0, 20.0]), core(&[1.0, 2.0, 3.0])];
    let json = Results::new(options(&folder, "", &[]), Environment::current(), &[], cores).json();
    assert_eq!(json["per_second"], serde_json::json!([[1.0, 11.0], [2.0, 22.0], [3.0, 3.0]]));
}

#[test]
fn what_is_wrong_is_named_with_its_option() {
    let n = null("n", 64);
    assert!(refusal(&n, &["-M", "70"]).contains("-M"));
    assert!(refusal(&n, &["-o", "0"]).contains("-o"));
    assert!(refusal(&n, &["-o", "700"]).contains("-o 700"));
    assert!(refusal(&n, &["-t", "0"]).contains("-t"));
    assert!(refusal(&n, &["-m", "[1000]"]).contains("-m"));
    assert!(refusal(&n, &["-T", "other"]).contains("-T other"));
    assert!(refusal("", &[]).contains("bdev_*_create"));
    assert!(refusal(&n, &["-o", "1M"]).contains("too few"));
    assert!(refusal(&n, &["-w", "verify", "-q", "9"]).contains("-q 9"));
    let pattern = n.replace("\"name\"", "\"pattern\": true, \"name\"");
    assert!(refusal(&pattern, &["-w", "unmap"]).contains("write_zeroes"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("disk").display().to_string();
    std::fs::write(&file, vec![0; 65536]).expect("a file");
    let file = format!(
        r#"{{"method": "bdev_uring_create", "params": {{"name": "u", "filename": "{file}", "readonly": true}}}}"#
    );
    assert!(refusal(&file, &["-w", "randwrite"]).contains("read-only"));
    assert!(refusal(&n, &["-c", "/nonexistent"]).contains("-c /nonexistent"));
}
