//! What the binary counts while an initiator of our own does I/O, and the device that checks what it is given.

use serde_json::{Value, json};

use super::roce::{run, serve};
use super::{Target, folder};

fn stat(target: &Target, params: Value) -> Value {
    target.call("bdev_get_iostat", params)["bdevs"][0].clone()
}

/// The buckets of `bdev_get_histogram`, as SPDK's scripts/histogram.py takes them out.
fn buckets(histogram: &Value) -> Vec<u64> {
    let text = histogram["histogram"].as_str().expect("a text");
    let digit = |character: u8| match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("{character} is no digit of base64"),
    };
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::new();
    for four in digits.chunks(4) {
        let bits =
            four.iter().fold(0, |bits, &character| bits << 6 | u32::from(digit(character))) << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes"))).collect()
}

#[test]
fn every_operation_is_counted_once_in_statistics_and_histogram() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let at = serve(&target);
    target.call("bdev_enable_histogram", json!({"name": "ram0", "enable": true}));
    let results = run(at, &["-w", "randrw", "-q", "8", "-d", "300"]);
    assert!(results.is_good(), "{}", results.table());

    let counted = stat(&target, json!({"name": "ram0", "reset_mode": "all"}));
    let [reads, writes] = ["num_read_ops", "num_write_ops"].map(|name| counted[name].as_u64().expect("a number"));
    assert_eq!((reads, writes), (results.tally.reads.count(), results.tally.writes.count()));
    assert_eq!(counted["bytes_read"], 4096 * reads);
    assert_eq!((&counted["num_failed_ops"], &counted["io_error"]), (&json!(0), &json!({})));

    let histogram = target.call("bdev_get_histogram", json!({"name": "ram0"}));
    assert_eq!(buckets(&histogram).iter().sum::<u64>(), reads + writes);
    let field = |name: &str| histogram[name].as_u64().expect("a number");
    let ranges = field("max_range") - field("min_range") + 1;
    assert_eq!(buckets(&histogram).len() as u64, ranges << field("granularity"));
    assert_eq!((field("granularity"), field("tsc_rate")), (7, 1_000_000_000));
    let borders = json!({"name": "ram0", "borders": [1, 1_000_000_000]});
    let counts = target.call("bdev_get_histogram_borders", borders);
    assert_eq!(counts["borders_count"][2], reads + writes);
    target.call("bdev_enable_histogram", json!({"name": "ram0", "enable": false}));
    assert!(target.refusal("bdev_get_histogram", json!({"name": "ram0"})).contains("bdev_enable_histogram"));

    assert_eq!(stat(&target, json!({"names": ["ram0"]}))["num_read_ops"], 0);
    assert!(run(at, &["-w", "randread", "-q", "2", "-d", "50"]).is_good());
    let channels = target.call("bdev_get_iostat", json!({"names": ["ram0"], "per_channel": true}));
    assert_eq!(channels["name"], "ram0");
    let channels = channels["channels"].as_array().expect("a list");
    assert_eq!((&channels[0]["thread"], &channels[0]["lcore"]), (&json!("reactor_0"), &json!(0)));
    let reads: u64 = channels.iter().filter_map(|channel| channel["num_read_ops"].as_u64()).sum();
    assert_eq!(reads, 50);
    assert_eq!(target.call("bdev_reset_iostat", json!({"name": "ram0"})), true);
    assert_eq!(stat(&target, json!({"name": "ram0"}))["num_read_ops"], 0);
}

#[test]
fn a_histogram_and_a_pattern_are_saved_with_the_configuration() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    target.call("bdev_null_create", json!({"name": "p", "num_blocks": 8, "block_size": 512, "pattern": true}));
    target
        .call("bdev_malloc_create", json!({"name": "m", "num_blocks": 8, "block_size": 512, "optimal_io_boundary": 4}));
    target.call("bdev_enable_histogram", json!({"name": "p", "enable": true, "opc": "write", "granularity": 5}));
    let saved = target.call("save_config", json!({}));
    drop(target);
    let config = super::write_config(folder.path(), &serde_json::to_string_pretty(&saved).expect("JSON"));
    let target = Target::start(folder.path(), &["-c", &config]);
    assert_eq!(target.call("save_config", json!({})), saved);
    assert_eq!(target.call("bdev_get_histogram", json!({"name": "p"}))["granularity"], 5);
    let bdevs = target.call("bdev_get_bdevs", json!({}));
    assert!(
        bdevs[0]["driver_specific"]["null"]["fio_verify_pattern"].as_str().is_some_and(|text| text.starts_with("%o0x"))
    );
    assert_eq!(bdevs[0]["supported_io_types"]["unmap"], false);
    let memory = &bdevs[1]["driver_specific"]["malloc"];
    assert!(memory["pages"].is_string() && memory["page_size"].is_u64() && memory["numa_id"] == -1, "{memory}");
}

/// Whoever writes other data to a pattern device is told by an error, and the statistics say of which kind.
#[test]
fn wrong_data_on_the_way_to_a_pattern_device_fail_the_write() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let at = serve(&target);
    target.call("bdev_null_create", json!({"name": "p", "num_blocks": 2048, "block_size": 512, "pattern": true}));
    target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "p", "lun": 5}));
    let results = run(at, &["-w", "randread", "-q", "8", "-d", "100", "--lun", "5"]);
    assert!(results.is_good(), "{}", results.table());
    let results = run(at, &["-w", "randwrite", "-q", "8", "-d", "100", "--lun", "5", "--verify"]);
    assert_eq!(results.tally.failed, 100, "{}", results.table());
    let counted = stat(&target, json!({"name": "p"}));
    assert_eq!((&counted["num_failed_ops"], &counted["io_error"]), (&json!(100), &json!({"medium": 100})));
}
