//! What one scrape gathers, and its text forms.
//!
//! Each part of the program adds its snapshots to a [`Scrape`]; values are read then and there, nothing is registered beforehand, so a deleted
//! device leaves no stale series behind.

use std::collections::HashMap;
use std::fmt::Write;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{TEXT_FORMAT, TextEncoder};

use crate::family::{Family, Kind};
use crate::histogram::HistogramSnapshot;

/// A text form of a scrape.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Form {
    /// Prometheus' text form, version 0.0.4.
    Prometheus,
    /// OpenMetrics' text form, version 1.0.
    OpenMetrics,
}

impl Form {
    /// The content type that it is served under.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Prometheus => TEXT_FORMAT,
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A text form could not be made: a family or a label of ours breaks Prometheus' rules.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be told: {0}")]
pub struct EncodeError(#[from] prometheus::Error);

/// The families of one scrape. Samples of one name are kept together, in order of first appearance.
#[derive(Debug, Default)]
pub struct Scrape {
    families: Vec<Gathered>,
    /// Where each family is.
    places: HashMap<&'static str, usize>,
}

#[derive(Debug)]
struct Gathered {
    family: &'static Family,
    /// The same in the data model of Prometheus, with the samples.
    model: MetricFamily,
}

impl Scrape {
    /// A scrape that has gathered nothing yet.
    pub fn new() -> Scrape {
        Scrape::default()
    }

    /// Adds one sample of a counter. Here and below, `labels` are the values of the family's labels.
    pub fn counter(&mut self, family: &'static Family, labels: &[&str], value: u64) {
        // Prometheus' numbers are doubles: above 2^53 the low bits go, as in every client.
        self.add(family, Kind::Counter, labels, counter(value as f64));
    }

    /// Adds one sample of a counter of seconds, given in nanoseconds.
    pub fn seconds_counter(&mut self, family: &'static Family, labels: &[&str], nanoseconds: u64) {
        self.add(family, Kind::Counter, labels, counter(seconds(nanoseconds)));
    }

    /// Adds one sample of a gauge.
    pub fn gauge(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        self.add(family, Kind::Gauge, labels, gauge(value));
    }

    /// Adds one sample of a gauge of seconds, given in nanoseconds.
    pub fn seconds_gauge(&mut self, family: &'static Family, labels: &[&str], nanoseconds: u64) {
        self.gauge(family, labels, seconds(nanoseconds));
    }

    /// Adds one histogram.
    pub fn latency(&mut self, family: &'static Family, labels: &[&str], snapshot: &HistogramSnapshot) {
        self.add(family, Kind::Histogram, labels, histogram(snapshot));
    }

    /// Adds facts.
    pub fn info(&mut self, family: &'static Family, labels: &[&str]) {
        self.add(family, Kind::Info, labels, gauge(1.0));
    }

    /// The families that have samples, in order of first appearance.
    pub fn families(&self) -> impl Iterator<Item = &'static Family> {
        self.families.iter().map(|gathered| gathered.family)
    }

    /// The text as an HTTP server answers a scrape.
    ///
    /// # Errors
    /// If the encoder refuses what was gathered, which is a bug of ours.
    pub fn encode(&self, form: Form) -> Result<String, EncodeError> {
        let mut text = String::new();
        for gathered in &self.families {
            match form {
                Form::Prometheus => gathered.encode(&mut text)?,
                Form::OpenMetrics => gathered.encode_open_metrics(&mut text)?,
            }
        }
        if form == Form::OpenMetrics {
            text.push_str("# EOF\n");
        }
        Ok(text)
    }

    fn add(&mut self, family: &'static Family, kind: Kind, labels: &[&str], mut metric: Metric) {
        debug_assert_eq!(family.check(), Ok(()));
        debug_assert_eq!(family.kind, kind, "{} is added as another kind", family.name);
        debug_assert_eq!(family.labels.len(), labels.len(), "{} has other labels", family.name);
        let place = *self.places.entry(family.name).or_insert_with(|| {
            self.families.push(Gathered { family, model: model_of(family) });
            self.families.len() - 1
        });
        metric.set_label(family.labels.iter().zip(labels).map(|(name, value)| label(name, value)).collect());
        self.families[place].model.mut_metric().push(metric);
    }
}

impl Gathered {
    fn encode(&self, text: &mut String) -> Result<(), EncodeError> {
        Ok(TextEncoder::new().encode_utf8(std::slice::from_ref(&self.model), text)?)
    }

    /// Of OpenMetrics the crate knows nothing; but samples are the same, so only what stands above them is replaced.
    fn encode_open_metrics(&self, text: &mut String) -> Result<(), EncodeError> {
        let (family, name) = (self.family, self.family.base_name());
        // Writing to a string does not fail.
        let _ = write!(text, "# HELP {name} {}\n# TYPE {name} {}\n", family.help, family.kind.name());
        if let Some(unit) = family.unit() {
            let _ = writeln!(text, "# UNIT {name} {unit}");
        }
        let mut plain = String::new();
        self.encode(&mut plain)?;
        text.extend(plain.split_inclusive('\n').filter(|line| !line.starts_with('#')));
        Ok(())
    }
}

fn model_of(family: &Family) -> MetricFamily {
    let mut model = MetricFamily::default();
    model.set_name(family.name.to_owned());
    model.set_help(family.help.to_owned());
    model.set_field_type(match family.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge | Kind::Info => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    model
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn counter(value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

fn gauge(value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    Metric::from_gauge(gauge)
}

fn histogram(snapshot: &HistogramSnapshot) -> Metric {
    let mut below = 0;
    // The last bucket has no bound; the encoder makes it of the count.
    let buckets = snapshot.buckets.iter().enumerate().map_while(|(index, count)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(seconds(HistogramSnapshot::upper_bound(index)?));
        bucket.set_cumulative_count(below);
        Some(bucket)
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(snapshot.count());
    histogram.set_sample_sum(seconds(snapshot.sum));
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
#[path = "scrape_tests.rs"]
mod tests;
