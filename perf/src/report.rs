//! Results for people and for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::environment::Environment;
use crate::initiator::Capacity;
use crate::options::{Options, WorkloadName};
use crate::seconds::{self, Sample};
use crate::tally::{Latencies, Tally};

/// All that a run brought.
#[derive(Debug)]
pub struct Results {
    /// What was asked for.
    pub options: Options,
    /// The machine.
    pub environment: Environment,
    /// The seed that was used.
    pub seed: u64,
    /// The unit.
    pub capacity: Capacity,
    /// Whether the target takes immediate data.
    pub immediate: bool,
    /// The time that was measured.
    pub measured: Duration,
    /// Of all channels.
    pub tally: Tally,
    /// The rate of each second, warm-up included.
    pub seconds: Vec<Sample>,
    /// Channels that failed, and why.
    pub broken: Vec<String>,
}

impl Results {
    /// Whether every I/O succeeded, and every comparison, and there was any.
    pub fn is_good(&self) -> bool {
        let Tally { failed, miscompared, .. } = self.tally;
        self.tally.both().count() > 0 && failed == 0 && miscompared == 0 && self.broken.is_empty()
    }

    /// The results as lines of text.
    pub fn table(&self) -> String {
        let (options, tally) = (&self.options, &self.tally);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}: {}, {} bytes, depth {} on {} channels, cores {}, {:.1} s; LUN {}: {} blocks of {} bytes",
            options.target,
            name(options.workload),
            options.io_size.0,
            options.depth,
            options.channels(),
            options.mask,
            self.measured.as_secs_f64(),
            options.lun,
            self.capacity.blocks,
            self.capacity.block_bytes
        );
        let _ = writeln!(
            text,
            "{:<6}{:>12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "", "IOPS", "MiB/s", "mean µs", "p50 µs", "p99 µs", "p99.9 µs", "max µs"
        );
        let (reads, writes, both) = (&tally.reads, &tally.writes, &tally.both());
        let is_mixed = reads.count() > 0 && writes.count() > 0;
        for (name, latencies) in [("read", reads), ("write", writes), ("total", both)] {
            if latencies.count() == 0 || (name == "total" && !is_mixed) {
                continue;
            }
            let _ = writeln!(
                text,
                "{name:<6}{:>12.1}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>10.2}",
                self.iops(latencies),
                self.mib_per_second(latencies),
                latencies.mean_us(),
                latencies.quantile_us(0.5),
                latencies.quantile_us(0.99),
                latencies.quantile_us(0.999),
                latencies.max_us()
            );
        }
        self.remarks(&mut text);
        text
    }

    fn remarks(&self, text: &mut String) {
        let tally = &self.tally;
        if tally.both().count() == 0 {
            let _ = writeln!(text, "no I/O completed within the measured time");
        }
        if self.options.verify {
            let _ =
                writeln!(text, "{} reads compared, {} differ (seed {})", tally.compared, tally.miscompared, self.seed);
        }
        if let Some(miscompare) = tally.first_miscompare {
            let _ = writeln!(text, "first difference: {miscompare}");
        }
        if tally.retried > 0 {
            let _ = writeln!(text, "{} commands were sent again because the target asked for it", tally.retried);
        }
        if tally.failed > 0 {
            let first = tally.first_failure.as_deref().unwrap_or("unknown");
            let _ = writeln!(text, "{} commands failed; the first: {first}", tally.failed);
        }
        for why in &self.broken {
            let _ = writeln!(text, "{why}");
        }
    }

    /// The results as JSON.
    pub fn json(&self) -> Value {
        let tally = &self.tally;
        json!({
            "program": "srp-perf",
            "environment": self.environment,
            "settings": self.settings(),
            "good": self.is_good(),
            "seconds": self.measured.as_secs_f64(),
            "read": self.latencies(&tally.reads),
            "write": self.latencies(&tally.writes),
            "total": self.latencies(&tally.both()),
            "per_second": seconds::pairs(&self.seconds),
            "retried": tally.retried,
            "failed": tally.failed,
            "first_failure": tally.first_failure,
            "compared": tally.compared,
            "miscompared": tally.miscompared,
            "first_miscompare": tally.first_miscompare.map(|miscompare| miscompare.to_string()),
            "broken_channels": self.broken,
        })
    }

    /// All that may change the figures, what was not asked for but found included. What each session has of its own is a list.
    fn settings(&self) -> Value {
        let options = &self.options;
        json!({
            "label": options.label,
            "workload": name(options.workload),
            "read_percent": options.mix().read_percent,
            "io_bytes": options.io_size.0,
            "depth": options.depth,
            "channels": options.channels(),
            "cores": options.mask.cores(),
            "time_seconds": options.time.map(|time| time.as_secs_f64()),
            "warmup_seconds": options.warmup.as_secs_f64(),
            "ios_max": options.ios,
            "adaptive": options.adaptive,
            "verify": options.verify,
            "seed": self.seed,
            "fabric": "roce",
            "roce_io": format!("{:?}", options.roce_io).to_lowercase(),
            "sessions": 1,
            "targets": [options.target.to_string()],
            "luns": [options.lun],
            "blocks": [self.capacity.blocks],
            "block_bytes": [self.capacity.block_bytes],
            "form": if options.indirect.is_some() { "indirect" } else { "direct" },
            "descriptors": options.indirect.unwrap_or(1),
            "immediate_data": self.immediate,
        })
    }

    fn latencies(&self, latencies: &Latencies) -> Value {
        if latencies.count() == 0 {
            return Value::Null;
        }
        json!({
            "ios": latencies.count(),
            "iops": self.iops(latencies),
            "mib_per_second": self.mib_per_second(latencies),
            "latency_us": latencies.json(),
            "histogram": latencies.histogram(),
        })
    }

    fn iops(&self, latencies: &Latencies) -> f64 {
        latencies.count() as f64 / self.measured.as_secs_f64().max(1e-9)
    }

    fn mib_per_second(&self, latencies: &Latencies) -> f64 {
        self.iops(latencies) * f64::from(self.options.io_size.0) / f64::from(1 << 20)
    }
}

/// A line for one second of the run.
pub fn second_line(elapsed: Duration, ios: u64, io_bytes: u32) -> String {
    let mib = ios as f64 * f64::from(io_bytes) / f64::from(1 << 20);
    format!("{:>6.0} s {ios:>10} IOPS {mib:>10.2} MiB/s", elapsed.as_secs_f64())
}

fn name(workload: WorkloadName) -> String {
    clap::ValueEnum::to_possible_value(&workload).map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::pattern::Miscompare;
    use crate::workload::Direction;

    fn results(arguments: &[&str], tally: Tally) -> Results {
        let always = ["srp-perf", "--id-ext", "1", "--ioc-guid", "2"];
        let options = Options::parse_from(always.iter().chain(arguments));
        let capacity = Capacity { blocks: 1000, block_bytes: 512 };
        Results {
            options,
            environment: Environment::current(),
            seed: 7,
            capacity,
            immediate: true,
            measured: Duration::from_secs(2),
            tally,
            seconds: vec![Sample { at: 1.0, iops: 5.0 }],
            broken: Vec::new(),
        }
    }

    fn tally(reads: u64, writes: u64) -> Tally {
        let mut tally = Tally::new();
        (0..reads).for_each(|_| tally.record(Direction::Read, 10_000));
        (0..writes).for_each(|_| tally.record(Direction::Write, 20_000));
        tally
    }

    fn row_names(results: &Results) -> Vec<String> {
        let table = results.table();
        table.lines().skip(2).map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn rates_are_per_second() {
        let json = results(&["-o", "1M"], tally(200, 0)).json();
        assert_eq!(json["read"]["iops"], 100.0);
        assert_eq!(json["read"]["mib_per_second"], 100.0);
        assert_eq!(json["write"], Value::Null);
        assert_eq!(json["total"], json["read"]);
        let median = json["read"]["latency_us"]["p50"].as_f64().expect("a number");
        assert!((median - 10.0).abs() < 0.1, "{median}");
    }

    #[test]
    fn json_names_the_settings_and_the_machine() {
        let json = results(&["-w", "randrw", "-q", "4", "--indirect", "3", "--label", "before"], tally(3, 1)).json();
        let settings = &json["settings"];
        for (name, value) in [
            ("label", Value::from("before")),
            ("workload", "randrw".into()),
            ("depth", 4.into()),
            ("form", "indirect".into()),
            ("descriptors", 3.into()),
            ("roce_io", "best".into()),
            ("cores", json!([0])),
            ("luns", json!([0])),
        ] {
            assert_eq!(settings[name], value, "{name}");
        }
        assert_eq!(json["environment"]["profile"], "debug");
        assert_eq!(json["total"]["histogram"].as_array().map(Vec::len), Some(2), "10 and 20 µs");
        assert!(json["total"]["latency_us"]["p99_99"].as_f64() > Some(19.0));
        assert_eq!(json["per_second"], json!([[1.0, 5.0]]));
    }

    #[test]
    fn kinds_that_did_not_happen_have_no_row() {
        assert_eq!(row_names(&results(&[], tally(1, 0))), ["read"]);
        assert_eq!(row_names(&results(&["-w", "write"], tally(0, 1))), ["write"]);
        assert_eq!(row_names(&results(&["-w", "rw"], tally(1, 1))), ["read", "write", "total"]);
    }

    #[test]
    fn the_table_stands_in_columns() {
        let table = results(&["-w", "rw"], tally(200_000, 300_000)).table();
        let ends: Vec<usize> = table.lines().skip(1).map(|line| line.chars().count()).collect();
        assert!(ends.iter().all(|&end| end == ends[0]), "{table}");
        assert!(table.contains("read      100000.0    390.62     10.00"), "{table}");
    }

    #[test]
    fn whatever_went_wrong_is_told_and_fails_the_run() {
        assert!(results(&[], tally(1, 0)).is_good());
        let wrong = |change: &dyn Fn(&mut Results)| {
            let mut results = results(&["--verify"], tally(1, 0));
            change(&mut results);
            assert!(!results.is_good() && results.json()["good"] == false);
            results.table()
        };
        assert!(wrong(&|results| results.tally.fail(3, || "no answer".into())).contains("no answer"));
        assert!(wrong(&|results| results.broken.push("channel 0 broke".into())).contains("channel 0 broke"));
        assert!(wrong(&|results| results.tally = Tally::new()).contains("no I/O"));
        let miscompare = Miscompare { lba: 77, offset: 8, expected: 1, found: 2 };
        assert!(wrong(&|results| results.tally.compare(Err(miscompare))).contains("block 77, byte 8"));
    }
}
