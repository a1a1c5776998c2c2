use serde_json::{Value, json};

use super::super::testing::{results, run, with};
use super::*;

fn refusal(bytes: &[u8]) -> String {
    format!("{:#}", parse("x.json", bytes).expect_err("it must be refused"))
}

fn refused(pointer: &str, value: Value) -> String {
    refusal(with(&[(pointer, value)]).to_string().as_bytes())
}

#[test]
fn what_is_wrong_is_named_with_its_field() {
    for (pointer, value, field) in [
        ("/program", json!("fio"), "program"),
        ("/program", json!(3), "program"),
        ("/environment/cpus", json!(-1), "environment.cpus"),
        ("/environment/cpu", json!(["x"]), "environment.cpu"),
        ("/environment/load_average", json!(-0.5), "environment.load_average"),
        ("/settings", json!([]), "settings"),
        ("/settings/depth", json!(0), "settings.depth"),
        ("/settings/depth", json!("many"), "settings.depth"),
        ("/settings/depth", json!(null), "settings.depth"),
        ("/settings/io_bytes", json!(1e16), "settings.io_bytes"),
        ("/settings/cores", json!([]), "settings.cores"),
        ("/settings/channels", json!({}), "settings.channels"),
        ("/settings/workload", json!(null), "settings.workload"),
        ("/good", json!("yes"), "good"),
        ("/total", json!(null), "total"),
        ("/total/iops", json!(-1), "total.iops"),
        ("/total/iops", json!(1e300), "total.iops"),
        ("/total/latency_us/p99_9", json!(1e300), "total.latency_us.p99_9"),
        ("/total/latency_us", json!({"mean": 1}), "total.latency_us"),
        ("/total/histogram", json!([[1.0]]), "total.histogram[0]"),
        ("/total/histogram/1", json!([9.0, 1]), "total.histogram[1]"),
        ("/total/histogram/1", json!([10.0, -1]), "total.histogram[1]"),
        ("/total/histogram", json!([[1.0, u64::MAX]]), "total.histogram[0]"),
        ("/per_second", json!([[1.0, "x"]]), "per_second[0]"),
        ("/per_second/2", json!([-3.0, 1.0]), "per_second[2]"),
    ] {
        let said = refused(pointer, value);
        assert!(said.starts_with(&format!("{field}: ")) || said.starts_with(&format!("{field}[")), "{pointer}: {said}");
    }
}

#[test]
fn what_is_no_json_of_a_run_is_refused_in_words() {
    assert!(refusal(b"").contains("EOF"));
    assert!(refusal(b"\xff\xfe").contains("line 1"));
    assert!(refusal(b"{}").contains("missing field `program`"));
    assert!(refusal(&[b'['; 100_000]).contains("--json"));
    let twice = format!("{0}{0}", results());
    assert!(refusal(twice.as_bytes()).contains("one run"));
    let huge = results().to_string().replace("1000.0", "1e999");
    assert!(refusal(huge.as_bytes()).contains("total.iops"), "{}", refusal(huge.as_bytes()));
    let long = refused("/good", json!("x".repeat(1_000_000)));
    assert!(long.len() < 2_000, "a refusal does not repeat the file: {} bytes", long.len());
    assert!(refused("/good", json!("\u{1b}[31m")).chars().all(|c| !c.is_control()));
}

#[test]
fn files_are_named_and_too_long_ones_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("long.json");
    std::fs::File::create(&path).and_then(|file| file.set_len(FILE_BYTES_MAX + 1)).expect("a sparse file");
    let said = format!("{:#}", read(&path).expect_err("too long"));
    assert!(said.contains("long.json: longer than"), "{said}");
    assert!(format!("{:#}", read(&folder.path().join("none.json")).expect_err("none")).contains("none.json"));
}

#[test]
fn settings_are_numbers_where_they_can_be() {
    let run = run(&[("/settings/cores", json!([0, 2, 3])), ("/settings/label", json!("before"))]);
    assert_eq!((run.setting("cores"), run.number("cores")), (Some("0, 2, 3"), Some(3.0)));
    assert_eq!((run.setting("label"), run.number("label")), (Some("before"), None));
    assert_eq!((run.setting("verify"), run.setting("nothing")), (Some("false"), None));
    assert!((run.mib_per_second() - 3.906_25).abs() < 1e-9);
}

#[test]
fn texts_lose_what_cannot_be_shown() {
    assert_eq!(clean("a\u{0}b\nc\u{202e}d\u{ffff}é<"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}é<");
    assert_eq!(clean(&"x".repeat(300)).chars().count(), TEXT_CHARS_MAX + 1);
}
