//! Every metric, by what it is about: what is said of it, and the samples that a scrape has. Names follow
//! <https://prometheus.io/docs/practices/naming/>. To add one: declare it, list it in `FAMILIES` beside it, add its samples, and write
//! docs/metrics.md anew (`documentation.rs`).

pub(super) mod bdev;
pub(super) mod discovery;
pub(super) mod host;
pub(super) mod lun;
pub(super) mod process;
pub(super) mod reactor;
pub(super) mod roce;
pub(super) mod session;
pub(super) mod target;

#[cfg(test)]
use metrics::Family;
use metrics::HistogramSnapshot;

/// Every family there is, with what each group of them is about.
#[cfg(test)]
pub(super) const ALL: [(&str, &[&Family]); 9] = [
    ("The target", target::FAMILIES),
    ("LUNs", lun::FAMILIES),
    ("Sessions", session::FAMILIES),
    ("Bdevs", bdev::FAMILIES),
    ("Reactors and their buffers", reactor::FAMILIES),
    ("RoCEv2 of our own", roce::FAMILIES),
    ("Discovery on InfiniBand", discovery::FAMILIES),
    ("Huge pages of the host", host::FAMILIES),
    ("The process", process::FAMILIES),
];

/// A gauge's value of a yes or no.
fn flag(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

/// A gauge's value of a count; exact below 2^53.
fn number(count: u64) -> f64 {
    count as f64
}

/// Whether the latencies of a kind of operation have series: 28 of them, so not for kinds that never come. Reads and writes have them from the start,
/// because a rate needs a sample from before the first.
fn is_told(operation: &str, latency: &HistogramSnapshot) -> bool {
    matches!(operation, "read" | "write") || latency.count() > 0
}
