//! What the target has counted at one moment, out of its answers.

use std::collections::BTreeMap;

use serde_json::Value;

/// Everything that the view shows, as it was at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Sample {
    /// The target's own clock, in nanoseconds: what passes between two samples is told by it, not by when answers came.
    pub(crate) at_ns: u64,
    pub(crate) version: String,
    pub(crate) reactors: Vec<Reactor>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) bdevs: Vec<Bdev>,
}

/// A reactor.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Reactor {
    pub(crate) core: u64,
    pub(crate) busy: u64,
    pub(crate) idle: u64,
    pub(crate) stalls: u64,
    pub(crate) last_stalled: String,
}

/// A session, with the counts of all its channels.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) initiator: String,
    pub(crate) peer: String,
    pub(crate) target: String,
    pub(crate) channels: u64,
    pub(crate) commands: u64,
    pub(crate) bytes_delivered: u64,
    pub(crate) bytes_fetched: u64,
    pub(crate) task_management: u64,
    pub(crate) waits: u64,
    pub(crate) failures: u64,
}

/// A bdev, and the LUNs that show it.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Bdev {
    pub(crate) name: String,
    /// `TARGET/LUN` or `GROUP/LUN`.
    pub(crate) luns: Vec<String>,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    /// Flushes, unmaps and the like.
    pub(crate) others: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
    pub(crate) read_ns: u64,
    pub(crate) write_ns: u64,
    pub(crate) failed: u64,
}

/// The answers that a sample is made of.
pub(crate) struct Answers {
    pub(crate) version: Value,
    pub(crate) reactors: Value,
    pub(crate) sessions: Value,
    pub(crate) iostat: Value,
    pub(crate) targets: Value,
    pub(crate) groups: Value,
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

impl Sample {
    pub(crate) fn new(answers: &Answers) -> Sample {
        let rate = number(&answers.iostat["tick_rate"]).max(1);
        let nanoseconds = |ticks: &Value| scaled(number(ticks), rate);
        let luns = luns(&answers.targets, &answers.groups);
        Sample {
            at_ns: nanoseconds(&answers.iostat["ticks"]),
            version: text(&answers.version["version"]),
            reactors: list(&answers.reactors["reactors"]).map(reactor).collect(),
            sessions: list(&answers.sessions).map(session).collect(),
            bdevs: list(&answers.iostat["bdevs"]).map(|entry| bdev(entry, &luns, nanoseconds)).collect(),
        }
    }
}

/// Ticks as nanoseconds.
fn scaled(ticks: u64, rate: u64) -> u64 {
    u64::try_from(u128::from(ticks) * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX)
}

fn reactor(entry: &Value) -> Reactor {
    Reactor {
        core: number(&entry["lcore"]),
        busy: number(&entry["busy"]),
        idle: number(&entry["idle"]),
        stalls: number(&entry["stalls"]),
        last_stalled: text(&entry["last_stalled_poller"]),
    }
}

fn session(entry: &Value) -> Session {
    let sum = |names: &[&str]| {
        let counts = list(&entry["channels"]).flat_map(|channel| names.iter().map(|name| number(&channel[*name])));
        counts.fold(0, u64::saturating_add)
    };
    Session {
        id: number(&entry["id"]),
        initiator: text(&entry["initiator_port_id"]),
        peer: text(&entry["peer"]),
        target: text(&entry["target"]),
        channels: u64::try_from(list(&entry["channels"]).count()).unwrap_or(u64::MAX),
        commands: sum(&["commands"]),
        bytes_delivered: sum(&["bytes_in"]),
        bytes_fetched: sum(&["bytes_out"]),
        task_management: sum(&["task_management"]),
        waits: sum(&["buffer_waits", "send_waits"]),
        failures: sum(&["failures"]),
    }
}

fn bdev(entry: &Value, luns: &BTreeMap<String, Vec<String>>, nanoseconds: impl Fn(&Value) -> u64) -> Bdev {
    let name = text(&entry["name"]);
    let others = ["num_unmap_ops", "num_flush_ops", "num_write_zeroes_ops", "num_copy_ops"];
    Bdev {
        luns: luns.get(&name).cloned().unwrap_or_default(),
        name,
        reads: number(&entry["num_read_ops"]),
        writes: number(&entry["num_write_ops"]),
        others: others.into_iter().map(|name| number(&entry[name])).fold(0, u64::saturating_add),
        bytes_read: number(&entry["bytes_read"]),
        bytes_written: number(&entry["bytes_written"]),
        read_ns: nanoseconds(&entry["read_latency_ticks"]),
        write_ns: nanoseconds(&entry["write_latency_ticks"]),
        failed: number(&entry["num_failed_ops"]),
    }
}

/// The LUNs of targets and of groups, by the bdev that they show.
fn luns(targets: &Value, groups: &Value) -> BTreeMap<String, Vec<String>> {
    let mut luns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (owner, members) in [(targets, "luns"), (groups, "map")] {
        for owner in list(owner) {
            for lun in list(&owner[members]).filter(|lun| lun["bdev_name"].is_string()) {
                let entry = luns.entry(text(&lun["bdev_name"])).or_default();
                entry.push(format!("{}/{}", text(&owner["name"]), lun["lun"]));
            }
        }
    }
    luns
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sample_is_made_of_answers() {
        let answers = Answers {
            version: json!({"version": "srpt-app v1"}),
            reactors: json!({"reactors": [{"lcore": 3, "busy": 10, "idle": 30, "stalls": 1, "last_stalled_poller": "p"}]}),
            sessions: json!([{"id": 1, "target": "t", "channels": [
                {"commands": 2, "bytes_in": 3, "bytes_out": 4, "task_management": 5, "buffer_waits": 1, "send_waits": 1, "failures": 0},
                {"commands": 10, "bytes_in": 0, "bytes_out": 0, "task_management": 0, "buffer_waits": 0, "send_waits": 0, "failures": 7}]}]),
            iostat: json!({"tick_rate": 1000, "ticks": 5, "bdevs": [{"name": "b", "num_read_ops": 1, "read_latency_ticks": 2, "num_flush_ops": 3, "num_unmap_ops": 4}]}),
            targets: json!([{"name": "t", "luns": [{"lun": 0, "bdev_name": "b"}]}]),
            groups: json!([{"name": "g", "map": [{"lun": 7, "bdev_name": "b"}, {"lun": 8, "bdev_name": null, "target_lun": 1}]}, {"name": "h", "map": null}]),
        };
        let sample = Sample::new(&answers);
        assert_eq!(sample.at_ns, 5_000_000, "milliseconds");
        assert_eq!((sample.reactors[0].core, sample.reactors[0].idle), (3, 30));
        let session = &sample.sessions[0];
        assert_eq!((session.channels, session.commands, session.waits, session.failures), (2, 12, 2, 7));
        let bdev = &sample.bdevs[0];
        assert_eq!((bdev.read_ns, bdev.others), (2_000_000, 7));
        assert_eq!(bdev.luns, ["t/0", "g/7"]);
    }

    #[test]
    fn odd_answers_make_an_empty_sample() {
        let null = || Value::Null;
        let answers = Answers {
            version: null(),
            reactors: null(),
            sessions: json!([1, {}]),
            iostat: json!({"bdevs": [[]]}),
            targets: json!({"x": 1}),
            groups: null(),
        };
        assert_eq!(Sample::new(&answers).reactors, []);
    }
}
