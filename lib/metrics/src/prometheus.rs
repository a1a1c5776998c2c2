//! What one scrape gathers, in Prometheus' data model and text form.
//!
//! Each part of the program adds its snapshots to a [`Scrape`]; values are read then and there, nothing is registered
//! beforehand, so a deleted device leaves no stale series behind.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>: a prefix for the program, base units (seconds, bytes),
//! the unit last, `_total` at the end of a counter. Debug builds assert what can be checked of that.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{TEXT_FORMAT, TextEncoder};

use crate::histogram::HistogramSnapshot;

/// The content type under which [`Scrape::encode_text`]'s result is served.
pub const TEXT_CONTENT_TYPE: &str = TEXT_FORMAT;

/// Bounds of an exported latency bucket, as powers of two of nanoseconds: 1.024 µs to 17.2 s. Finer buckets stay
/// inside: each is a time series at the scraper.
const EXPORTED_POWERS: std::ops::RangeInclusive<u32> = 10..=34;

/// A text form could not be made; a name or label of ours breaks Prometheus' rules.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be exported in Prometheus' text form: {0}")]
pub struct ExportError(#[from] prometheus::Error);

/// The metric families of one scrape. Samples of one name are kept together, in order of first appearance.
#[derive(Debug, Default)]
pub struct Scrape {
    families: Vec<MetricFamily>,
}

impl Scrape {
    /// A scrape that has gathered nothing yet.
    pub fn new() -> Scrape {
        Scrape::default()
    }

    /// Adds one sample of a counter. `name` ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: u64) {
        // Prometheus' numbers are doubles: above 2^53 the low bits go, as in every client.
        self.counter_f64(name, help, labels, value as f64);
    }

    /// Adds one sample of a counter of seconds, given in nanoseconds. `name` ends in `_seconds_total`.
    pub fn seconds_counter(&mut self, name: &str, help: &str, labels: &[(&str, &str)], nanoseconds: u64) {
        debug_assert!(name.ends_with("_seconds_total"), "{name} counts seconds");
        self.counter_f64(name, help, labels, seconds(nanoseconds));
    }

    /// Adds one sample of a gauge.
    pub fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = metric_with(labels);
        metric.set_gauge(gauge);
        self.add(name, help, MetricType::GAUGE, metric);
    }

    /// Adds one latency histogram, in seconds. `name` ends in `_seconds`.
    pub fn latency(&mut self, name: &str, help: &str, labels: &[(&str, &str)], snapshot: &HistogramSnapshot) {
        debug_assert!(name.ends_with("_seconds"), "{name} is in seconds");
        let mut histogram = Histogram::default();
        histogram.set_sample_count(snapshot.count);
        histogram.set_sample_sum(seconds(snapshot.sum));
        histogram.set_bucket(EXPORTED_POWERS.map(|power| exported_bucket(snapshot, 1 << power)).collect());
        let mut metric = metric_with(labels);
        metric.set_histogram(histogram);
        self.add(name, help, MetricType::HISTOGRAM, metric);
    }

    /// The text form, version 0.0.4, as an HTTP server answers a scrape.
    ///
    /// # Errors
    /// If the encoder refuses what was gathered, which is a bug of ours.
    pub fn encode_text(&self) -> Result<String, ExportError> {
        Ok(TextEncoder::new().encode_to_string(&self.families)?)
    }

    fn counter_f64(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        debug_assert!(name.ends_with("_total"), "{name} is a counter");
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = metric_with(labels);
        metric.set_counter(counter);
        self.add(name, help, MetricType::COUNTER, metric);
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType, metric: Metric) {
        debug_assert!(is_metric_name(name), "{name} is no name of a metric");
        if let Some(family) = self.families.iter_mut().find(|family| family.name() == name) {
            debug_assert!(family.get_field_type() == kind, "{name} is added as two kinds of metric");
            family.mut_metric().push(metric);
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(vec![metric]);
        self.families.push(family);
    }
}

fn metric_with(labels: &[(&str, &str)]) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    let mut metric = Metric::default();
    metric.set_label(pairs.collect());
    metric
}

fn exported_bucket(snapshot: &HistogramSnapshot, bound: u64) -> Bucket {
    let mut bucket = Bucket::default();
    bucket.set_upper_bound(seconds(bound));
    bucket.set_cumulative_count(snapshot.count_up_to(bound));
    bucket
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// <https://prometheus.io/docs/concepts/data_model/>; colons are left to recording rules.
fn is_metric_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram;

    #[test]
    fn samples_of_one_name_stand_under_one_header() {
        let mut scrape = Scrape::new();
        scrape.counter("srpt_commands_total", "Commands.", &[("core", "0")], 7);
        scrape.gauge("srpt_channels", "Open channels.", &[], -2.0);
        scrape.counter("srpt_commands_total", "Commands.", &[("core", "1")], 8);
        assert_eq!(
            scrape.encode_text().unwrap(),
            "# HELP srpt_commands_total Commands.\n\
             # TYPE srpt_commands_total counter\n\
             srpt_commands_total{core=\"0\"} 7\n\
             srpt_commands_total{core=\"1\"} 8\n\
             # HELP srpt_channels Open channels.\n\
             # TYPE srpt_channels gauge\n\
             srpt_channels -2\n"
        );
    }

    #[test]
    fn nanoseconds_become_seconds() {
        let mut scrape = Scrape::new();
        scrape.seconds_counter("srpt_busy_seconds_total", "Busy.", &[], 1_500_000_000);
        assert!(scrape.encode_text().unwrap().ends_with("srpt_busy_seconds_total 1.5\n"));
    }

    #[test]
    fn label_values_from_outside_are_escaped() {
        let mut scrape = Scrape::new();
        scrape.gauge("srpt_channels", "Open channels.", &[("peer", "a\"b\\c\nd")], 1.0);
        assert!(scrape.encode_text().unwrap().contains(r#"{peer="a\"b\\c\nd"} 1"#));
    }

    #[test]
    fn latency_buckets_are_cumulative_inclusive_and_end_at_infinity() {
        let histogram = histogram::Histogram::new();
        for nanoseconds in [1024, 1025, 2048, u64::MAX / 2] {
            histogram.record(nanoseconds);
        }
        let mut scrape = Scrape::new();
        scrape.latency("srpt_command_seconds", "Latency.", &[("op", "read")], &histogram.snapshot());
        let text = scrape.encode_text().unwrap();
        let line_of = |bound: &str| {
            let start = format!("srpt_command_seconds_bucket{{op=\"read\",le=\"{bound}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
        };
        assert_eq!(line_of("0.000001024").as_deref(), Some("1"), "{text}");
        assert_eq!(line_of("0.000002048").as_deref(), Some("3"), "{text}");
        assert_eq!(line_of("17.179869184").as_deref(), Some("3"), "{text}");
        assert_eq!(line_of("+Inf").as_deref(), Some("4"), "{text}");
        assert!(text.contains("srpt_command_seconds_count{op=\"read\"} 4\n"), "{text}");
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "two kinds")]
    fn a_name_of_two_kinds_is_our_bug() {
        let mut scrape = Scrape::new();
        scrape.gauge("srpt_things_total", "Things.", &[], 1.0);
        scrape.counter("srpt_things_total", "Things.", &[], 1);
    }
}
