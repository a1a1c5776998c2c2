//! Results to test with.

use serde_json::{Value, json};

use super::runs::{self, Run};

/// What a load generator writes, as short as it can be.
pub fn results() -> Value {
    json!({
        "program": "srp-perf",
        "environment": {
            "cpu": "AMD EPYC", "cpus": 2, "virtual_machine": true, "memory_mib": 24_000, "kernel": "6.18.1", "distribution": "Debian 12",
            "load_average": 0.5, "version": "0.1.0", "profile": "release"
        },
        "settings": {
            "label": null, "workload": "randread", "io_bytes": 4096, "depth": 1, "channels": 1, "cores": [0], "seed": 7, "verify": false
        },
        "good": true,
        "total": {
            "ios": 1000, "iops": 1000.0,
            "latency_us": {"mean": 11.0, "p50": 10.0, "p90": 12.0, "p99": 20.0, "p99_9": 40.0, "p99_99": 80.0, "max": 90.0},
            "histogram": [[9.0, 100], [10.0, 800], [20.0, 99], [90.0, 1]]
        },
        "per_second": [[1.0, 900.0], [2.0, 1100.0], [3.0, 1000.0]]
    })
}

/// The same, with values at these JSON pointers.
pub fn with(changes: &[(&str, Value)]) -> Value {
    let mut results = results();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        let parent = results.pointer_mut(parent).expect("it is there");
        match parent {
            Value::Array(members) => members[name.parse::<usize>().expect("an index")] = value.clone(),
            parent => parent[name] = value.clone(),
        }
    }
    results
}

/// The run that they tell of.
pub fn run(changes: &[(&str, Value)]) -> Run {
    runs::parse("run.json", with(changes).to_string().as_bytes()).expect("good results")
}
