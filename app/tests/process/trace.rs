//! What the binary tells of recent events and slow commands, under load over RoCE.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::roce::{run, serve, serve_bdevs, wait_until};
use super::{PATIENCE, Target, folder, write_config};

fn events(target: &Target, params: Value) -> Vec<Value> {
    let answer = target.call("srpt_trace_dump", params);
    assert!(answer["unix_time_ns"].as_u64() > answer["time_ns"].as_u64(), "{answer}");
    let events = answer["events"].as_array().expect("a list").clone();
    assert!(events.is_sorted_by_key(|event| event["time_ns"].as_u64()), "in order of time");
    events
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

#[test]
fn a_dump_while_commands_run_shows_each_from_its_arrival_to_its_answer() {
    let folder = folder();
    let target = Target::start(folder.path(), &["--trace-events", "1024"]);
    let at = serve(&target);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let results = run(at, &["-w", "randrw", "-o", "4k", "-q", "8", "--channels", "2", "-d", "3000"]);
            over.store(true, Ordering::Relaxed);
            assert!(results.is_good(), "{}", results.table());
        });
        let mut dumps = 0;
        let end = Instant::now() + PATIENCE;
        while !over.load(Ordering::Relaxed) && Instant::now() < end {
            let events = events(&target, json!({"max": 65536}));
            check_commands(&events);
            dumps += usize::from(!named(&events, "command_answered").is_empty());
        }
        assert!(dumps > 0, "there was something to see");
    });
    wait_until("the session has ended", || !named(&events(&target, json!({})), "session_ended").is_empty());
    let all = events(&target, json!({"max": 65536}));
    let logins = named(&all, "login");
    assert_eq!((logins.len(), &logins[0]["reactor"]), (2, &json!("control")));
    let session = logins[0]["session"].as_u64().expect("a session");
    let of_session = events(&target, json!({"max": 65536, "session": session}));
    assert!(!of_session.is_empty() && of_session.iter().all(|event| event["session"] == session));
    assert_eq!(events(&target, json!({"session": session + 1})), [] as [Value; 0]);
    assert_eq!(events(&target, json!({"max": 3})), all[all.len() - 3..]);
    assert_eq!(target.call("srpt_trace_clear", json!({})), true);
    assert_eq!(events(&target, json!({})), [] as [Value; 0]);
    assert!(target.refusal("srpt_trace_dump", json!({"max": 0})).contains("max: "));
}

/// Of each command of which the arrival is there: what follows is in the order of its life, and says the same of it.
fn check_commands(events: &[Value]) {
    let mut commands: BTreeMap<(u64, String), Vec<&Value>> = BTreeMap::new();
    for event in events {
        let Some(tag) = event["tag"].as_str() else { continue };
        let key = (event["channel"].as_u64().expect("a channel"), tag.to_string());
        let entry = commands.entry(key).or_default();
        match event["event"].as_str().expect("a name") {
            "command_received" => {
                assert!(entry.is_empty(), "{event} while {entry:?}");
                entry.push(event);
            }
            _ if entry.is_empty() => {} // it arrived before the oldest event that is left
            "device_submitted" => {
                assert_eq!((entry.len(), &event["lba"]), (1, &entry[0]["lba"]));
                entry.push(event);
            }
            "device_done" => {
                assert_eq!((entry.len(), &event["error"]), (2, &Value::Null));
                entry.push(event);
            }
            "command_answered" => {
                let since = event["time_ns"].as_u64().zip(entry[0]["time_ns"].as_u64()).map(|(end, start)| end - start);
                assert_eq!(event["duration_ns"].as_u64(), since);
                entry.clear();
            }
            "unit_attention" => assert!(entry.is_empty(), "behind the answer"),
            other => panic!("{other}: {event}"),
        }
    }
}

#[test]
fn slow_commands_are_kept_with_what_they_waited_for_and_logged() {
    let folder = folder();
    let mut command = super::command(folder.path(), &["--slow-us", "900000"]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut log = child.stderr.take().expect("piped");
    let target = Target { child, folder: folder.path().into() };
    wait_until("it listens", || rpc::Client::connect(&target.socket()).is_ok());
    target.call("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 2048, "block_size": 512}));
    let delays = json!({"base_bdev_name": "ram0", "name": "slow0", "avg_read_latency": 30_000, "p99_read_latency": 30_000,
        "avg_write_latency": 0, "p99_write_latency": 0});
    target.call("bdev_delay_create", delays);
    let at = serve_bdevs(&target, &["slow0"]);
    let slow = || target.call("srpt_get_slow_commands", json!({}));
    assert!(run(at, &["-w", "randread", "-o", "4k", "-q", "1", "-d", "4"]).is_good());
    assert_eq!((&slow()["threshold_us"], &slow()["commands"]), (&json!(900_000), &json!([])));

    assert_eq!(target.call("srpt_set_slow_threshold", json!({"microseconds": 20_000})), true);
    assert!(run(at, &["-w", "randread", "-o", "4k", "-q", "1", "-d", "4"]).is_good());
    let answer = slow();
    let commands = answer["commands"].as_array().expect("a list");
    let reads: Vec<&Value> = commands.iter().filter(|command| command["command"] == "READ(10)").collect();
    assert!(reads.len() >= 4, "{answer}");
    for read in reads {
        assert_eq!((&read["bdev_name"], &read["lun"], &read["status"]), (&json!("slow0"), &json!(0), &json!("GOOD")));
        assert_eq!((&read["blocks"], &read["data_bytes"]), (&json!(8), &json!(4096)));
        let parts = read["waited_us"].as_object().expect("parts");
        let sum: u64 = parts.values().filter_map(Value::as_u64).sum();
        assert_eq!(Some(sum), read["total_us"].as_u64(), "{read}");
        assert!(parts["device"].as_u64() >= Some(20_000), "{read}");
    }
    let saved = target.call("save_config", json!({}));
    assert!(
        saved.to_string().contains(r#""method":"srpt_set_slow_threshold","params":{"microseconds":20000}"#),
        "{saved}"
    );
    target.call("srpt_set_slow_threshold", json!({"microseconds": 0}));
    assert!(!target.call("save_config", json!({})).to_string().contains("slow_threshold"));
    assert!(target.refusal("srpt_set_slow_threshold", json!({"microseconds": u64::MAX})).contains("microseconds: "));
    drop(target);
    let mut said = String::new();
    log.read_to_string(&mut said).expect("text");
    let line = said.lines().find(|line| line.contains("slow command")).unwrap_or_else(|| panic!("{said}"));
    for part in ["WARN", "bdev=\"slow0\"", "READ(10)", "session=", "waited_most_for=\"device\""] {
        assert!(line.contains(part), "{part}: {line}");
    }

    let config = write_config(folder.path(), &serde_json::to_string_pretty(&saved).expect("JSON"));
    let target = Target::start(folder.path(), &["-c", &config, "--trace-events", "0"]);
    assert_eq!(target.call("srpt_get_slow_commands", json!({}))["threshold_us"], 20_000);
}

/// SystemTap's notes name the probes of the binary (docs/tracing.md).
#[test]
fn the_binary_has_usdt_probes() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_srpt-app")).expect("the binary");
    for probe in ["command_start", "device_start", "device_done", "command_done"] {
        let note = [&b"srpt\0"[..], probe.as_bytes(), b"\0"].concat();
        assert!(binary.windows(note.len()).any(|bytes| bytes == note), "{probe}");
    }
}
