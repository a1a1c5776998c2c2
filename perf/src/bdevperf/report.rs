//! Results for people, in the form of SPDK's bdevperf, and for programs.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bdev::Bdev;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::core::CoreResult;
use super::job::{JobResult, Tally};
use super::options::{Options, WorkloadName};
use crate::environment::Environment;
use crate::seconds::{self, Sample};
use crate::tally::Latencies;

/// All that a run brought.
#[derive(Debug)]
pub struct Results {
    options: Options,
    environment: Environment,
    bdevs: Vec<Arc<Bdev>>,
    cores: Vec<CoreResult>,
}

/// Figures of one job, or of all.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    iops: f64,
    failed_per_second: f64,
    ios: u64,
    latency_ns: u64,
    min_ns: u64,
    max_ns: u64,
}

impl Results {
    pub(super) fn new(
        options: Options,
        environment: Environment,
        bdevs: &[Arc<Bdev>],
        cores: Vec<CoreResult>,
    ) -> Results {
        Results { options, environment, bdevs: bdevs.to_vec(), cores }
    }

    /// Whether there were I/Os, all succeeded, and every comparison did.
    pub fn is_good(&self) -> bool {
        let good = |Tally { ios, failed, miscompared, .. }: Tally| ios > 0 && failed == 0 && miscompared == 0;
        self.jobs().all(|job| good(job.tally))
    }

    /// The results as lines of text.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{:>107}", "Latency(us)");
        let _ = writeln!(
            text,
            " {:<28}: {:>10} {:>10} {:>10} {:>10} {:>8} {:>10} {:>10} {:>10}",
            "Device Information", "runtime(s)", "IOPS", "MiB/s", "Fail/s", "TO/s", "Average", "min", "max"
        );
        for job in self.jobs() {
            self.job_lines(&mut text, job);
        }
        let _ = writeln!(text, " {}", "=".repeat(115));
        let _ = writeln!(text, " {:<28}: {:>10} {}", "Total", "", self.columns(self.total()));
        let _ = writeln!(
            text,
            " CPU time of the polling threads per I/O: {:.3} us; in rounds that had work: {:.3} us",
            self.per_io_us(|core| core.cpu),
            self.per_io_us(|core| core.busy)
        );
        if let Some(latencies) = self.latencies() {
            let _ = write!(text, " Percentiles (us)");
            for (name, share) in [("50", 0.5), ("90", 0.9), ("99", 0.99), ("99.9", 0.999), ("99.99", 0.9999)] {
                let _ = write!(text, "  {name}%: {:.2}", latencies.quantile_us(share));
            }
            let _ = writeln!(text);
        }
        text
    }

    fn job_lines(&self, text: &mut String, job: &JobResult) {
        let percentage = self.percentage().map_or_else(String::new, |percent| format!(" percentage: {percent},"));
        let _ = writeln!(
            text,
            "Job: {} (Core Mask {}, workload: {},{percentage} depth: {}, IO size: {})",
            job.bdev,
            core_mask(job.core),
            self.workload(),
            self.options.depth,
            self.options.io_size.0
        );
        if let Some((op, lba, error)) = job.tally.first_error {
            let seconds = job.elapsed.as_secs_f64();
            let _ = writeln!(
                text,
                "Job: {} ended in about {seconds:.2} seconds with error: {op:?} at block {lba}: {error}",
                job.bdev
            );
        }
        if self.options.workload == WorkloadName::Verify {
            let (start, len) = (job.range.start, job.range.end - job.range.start);
            let _ = writeln!(
                text,
                "\t Verification LBA range: start {start:#x} length {len:#x} (in I/Os), {} compared, {} differ",
                job.tally.compared, job.tally.miscompared
            );
        }
        if let Some(miscompare) = job.tally.first_miscompare {
            let _ = writeln!(text, "Job: {}: {miscompare}", job.bdev);
        }
        let columns = self.columns(figures(job));
        let _ = writeln!(text, "\t {:<20}: {:>10.2} {columns}", job.bdev, job.elapsed.as_secs_f64());
    }

    fn columns(&self, figures: Figures) -> String {
        format!(
            "{:>10.2} {:>10.2} {:>10.2} {:>8.2} {:>10.2} {:>10.2} {:>10.2}",
            figures.iops,
            self.mib_per_second(figures),
            figures.failed_per_second,
            0.0, // operations have no time limit here
            figures.mean_us(),
            figures.min_ns as f64 / 1e3,
            figures.max_ns as f64 / 1e3
        )
    }

    /// The results as JSON, with SPDK's names where it has any.
    pub fn json(&self) -> Value {
        let mut total = self.figures_json(self.total());
        add_latencies(&mut total, self.latencies().as_ref());
        json!({
            "program": "bdevperf",
            "environment": self.environment,
            "settings": self.settings(),
            "results": self.jobs().map(|job| self.job_json(job)).collect::<Vec<_>>(),
            "core_count": self.cores.len(),
            "good": self.is_good(),
            "total": total,
            "per_second": seconds::pairs(&self.seconds()),
            "cpu_us_per_io": self.per_io_us(|core| core.cpu),
            "busy_us_per_io": self.per_io_us(|core| core.busy),
        })
    }

    /// All that may change the figures.
    fn settings(&self) -> Value {
        let options = &self.options;
        let of_bdevs = |value: fn(&Bdev) -> Value| self.bdevs.iter().map(|bdev| value(bdev)).collect::<Value>();
        json!({
            "label": options.label,
            "workload": self.workload(),
            "read_percent": self.percentage(),
            "io_bytes": options.io_size.0,
            "depth": options.depth,
            "cores": options.mask.cores(),
            "every_core": options.every_core,
            "time_seconds": options.time.as_secs_f64(),
            "seed": options.seed,
            "bdevs": of_bdevs(|bdev| bdev.info().name.as_str().into()),
            "products": of_bdevs(|bdev| bdev.info().product_name.into()),
            "blocks": of_bdevs(|bdev| bdev.num_blocks().into()),
            "block_bytes": of_bdevs(|bdev| bdev.info().block_size.into()),
        })
    }

    fn job_json(&self, job: &JobResult) -> Value {
        let mut value = json!({
            "job": job.bdev,
            "core_mask": core_mask(job.core),
            "workload": self.workload(),
            "percentage": self.percentage(),
            "status": if job.tally.failed + job.tally.miscompared > 0 { "failed" } else { "finished" },
            "queue_depth": self.options.depth,
            "io_size": self.options.io_size.0,
            "runtime": job.elapsed.as_secs_f64(),
            "io_failed": job.tally.failed,
            "io_timeout": 0,
            "compared": job.tally.compared,
            "miscompared": job.tally.miscompared,
        });
        if let (Value::Object(value), Value::Object(figures)) = (&mut value, self.figures_json(figures(job))) {
            value.extend(figures);
        }
        add_latencies(&mut value, job.latencies.as_deref());
        value
    }

    fn figures_json(&self, figures: Figures) -> Value {
        json!({
            "ios": figures.ios,
            "iops": figures.iops,
            "mibps": self.mib_per_second(figures),
            "avg_latency_us": figures.mean_us(),
            "min_latency_us": figures.min_ns as f64 / 1e3,
            "max_latency_us": figures.max_ns as f64 / 1e3,
        })
    }

    fn jobs(&self) -> impl Iterator<Item = &JobResult> {
        self.cores.iter().flat_map(|core| &core.jobs)
    }

    fn total(&self) -> Figures {
        self.jobs().map(figures).reduce(Figures::add).unwrap_or_default()
    }

    /// Of all jobs, if they were kept.
    fn latencies(&self) -> Option<Latencies> {
        let mut kept = self.jobs().filter_map(|job| job.latencies.as_deref());
        let mut all = kept.next()?.clone();
        kept.for_each(|latencies| all.add(latencies));
        Some(all)
    }

    /// Of all cores, which note the same seconds.
    fn seconds(&self) -> Vec<Sample> {
        let mut all: Vec<Sample> = Vec::new();
        for (index, sample) in self.cores.iter().flat_map(|core| core.seconds.iter().enumerate()) {
            match all.get_mut(index) {
                Some(sum) => sum.iops += sample.iops,
                None => all.push(*sample),
            }
        }
        all
    }

    fn per_io_us(&self, time: impl Fn(&CoreResult) -> Duration) -> f64 {
        let ios = self.total().ios;
        self.cores.iter().map(time).sum::<Duration>().as_secs_f64() * 1e6 / ios.max(1) as f64
    }

    fn mib_per_second(&self, figures: Figures) -> f64 {
        figures.iops * f64::from(self.options.io_size.0) / f64::from(1 << 20)
    }

    fn percentage(&self) -> Option<u8> {
        let mixed = matches!(self.options.workload, WorkloadName::Rw | WorkloadName::RandRw);
        mixed.then(|| self.options.read_percent.unwrap_or(50))
    }

    fn workload(&self) -> String {
        self.options.workload.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

fn add_latencies(figures: &mut Value, latencies: Option<&Latencies>) {
    if let Some(latencies) = latencies {
        figures["latency_us"] = latencies.json();
        figures["histogram"] = json!(latencies.histogram());
    }
}

fn figures(job: &JobResult) -> Figures {
    let Tally { ios, failed, latency_ns, min_latency_ns, max_latency_ns, .. } = job.tally;
    let seconds = job.elapsed.as_secs_f64().max(1e-9);
    let min_ns = if ios == 0 { 0 } else { min_latency_ns };
    Figures {
        iops: ios as f64 / seconds,
        failed_per_second: failed as f64 / seconds,
        ios,
        latency_ns,
        min_ns,
        max_ns: max_latency_ns,
    }
}

impl Figures {
    fn add(self, other: Figures) -> Figures {
        Figures {
            iops: self.iops + other.iops,
            failed_per_second: self.failed_per_second + other.failed_per_second,
            ios: self.ios + other.ios,
            latency_ns: self.latency_ns + other.latency_ns,
            min_ns: self.min_ns.min(other.min_ns),
            max_ns: self.max_ns.max(other.max_ns),
        }
    }

    fn mean_us(&self) -> f64 {
        self.latency_ns as f64 / 1e3 / self.ios.max(1) as f64
    }
}

/// SPDK's hexadecimal mask with the bit of one core.
fn core_mask(core: u32) -> String {
    format!("0x{}{}", 1 << (core % 4), "0".repeat(core as usize / 4))
}
