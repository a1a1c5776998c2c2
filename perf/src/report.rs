//! Results for people and for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::initiator::Capacity;
use crate::options::{Options, WorkloadName};
use crate::tally::{Latencies, Tally};

/// All that a run brought.
#[derive(Debug)]
pub struct Results {
    /// What was asked for.
    pub options: Options,
    /// The seed that was used.
    pub seed: u64,
    /// The unit.
    pub capacity: Capacity,
    /// Whether the target takes immediate data.
    pub immediate: bool,
    /// Of all channels.
    pub tally: Tally,
    /// Channels that failed, and why.
    pub broken: Vec<String>,
}

impl Results {
    /// Whether every I/O succeeded, and every comparison.
    pub fn is_good(&self) -> bool {
        self.tally.failed == 0 && self.tally.miscompared == 0 && self.broken.is_empty()
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
            options.time.as_secs_f64(),
            options.lun,
            self.capacity.blocks,
            self.capacity.block_bytes
        );
        let _ = writeln!(
            text,
            "{:<6}{:>12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "", "IOPS", "MiB/s", "mean µs", "p50 µs", "p99 µs", "p99.9 µs", "max µs"
        );
        let both = tally.both();
        let rows = [("read", &tally.reads), ("write", &tally.writes), ("total", &both)];
        for (name, latencies) in rows.into_iter().filter(|(_, latencies)| self.is_worth_a_row(latencies)) {
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

    /// Kinds of which there were none have no row, and a single kind needs no sum.
    fn is_worth_a_row(&self, latencies: &Latencies) -> bool {
        let (all, count) = (self.tally.both().count(), latencies.count());
        count > 0 && (count < all || self.tally.reads.count() == all || self.tally.writes.count() == all || count == all)
    }

    fn remarks(&self, text: &mut String) {
        let tally = &self.tally;
        if self.options.verify {
            let _ = writeln!(text, "{} reads compared, {} differ (seed {})", tally.compared, tally.miscompared, self.seed);
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
        let (options, tally) = (&self.options, &self.tally);
        json!({
            "good": self.is_good(),
            "target": options.target.to_string(),
            "lun": options.lun,
            "blocks": self.capacity.blocks,
            "block_bytes": self.capacity.block_bytes,
            "workload": name(options.workload),
            "read_percent": options.mix().read_percent,
            "io_bytes": options.io_size.0,
            "depth": options.depth,
            "channels": options.channels(),
            "cores": options.mask.cores(),
            "seconds": options.time.as_secs_f64(),
            "warmup_seconds": options.warmup.as_secs_f64(),
            "immediate_data": self.immediate,
            "indirect_descriptors": options.indirect,
            "seed": self.seed,
            "read": self.latencies(&tally.reads),
            "write": self.latencies(&tally.writes),
            "total": self.latencies(&tally.both()),
            "retried": tally.retried,
            "failed": tally.failed,
            "first_failure": tally.first_failure,
            "compared": tally.compared,
            "miscompared": tally.miscompared,
            "first_miscompare": tally.first_miscompare.map(|miscompare| miscompare.to_string()),
            "broken_channels": self.broken,
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
            "latency_us": {
                "mean": latencies.mean_us(),
                "p50": latencies.quantile_us(0.5),
                "p99": latencies.quantile_us(0.99),
                "p99_9": latencies.quantile_us(0.999),
                "max": latencies.max_us(),
            },
        })
    }

    fn iops(&self, latencies: &Latencies) -> f64 {
        latencies.count() as f64 / self.options.time.as_secs_f64()
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
