//! What one scrape gathers, and its text forms.
//!
//! Each part of the program adds its snapshots to a [`Scrape`]; values are read then and there, nothing is registered beforehand, so a deleted
//! device leaves no stale series behind.

use std::collections::HashMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

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
            Form::Prometheus => prometheus_text::CONTENT_TYPE,
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

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
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Counter(u64),
    SecondsCounter(f64),
    Gauge(f64),
    Latency(Box<HistogramSnapshot>),
    Info,
}

impl Scrape {
    /// A scrape that has gathered nothing yet.
    pub fn new() -> Scrape {
        Scrape::default()
    }

    /// Adds one sample of a counter. Here and below, `labels` are the values of the family's labels.
    pub fn counter(&mut self, family: &'static Family, labels: &[&str], value: u64) {
        self.add(family, Kind::Counter, labels, Value::Counter(value));
    }

    /// Adds one sample of a counter of seconds, given in nanoseconds.
    pub fn seconds_counter(&mut self, family: &'static Family, labels: &[&str], nanoseconds: u64) {
        self.add(family, Kind::Counter, labels, Value::SecondsCounter(seconds(nanoseconds)));
    }

    /// Adds one sample of a gauge.
    pub fn gauge(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        self.add(family, Kind::Gauge, labels, Value::Gauge(value));
    }

    /// Adds one sample of a gauge of seconds, given in nanoseconds.
    pub fn seconds_gauge(&mut self, family: &'static Family, labels: &[&str], nanoseconds: u64) {
        self.gauge(family, labels, seconds(nanoseconds));
    }

    /// Adds one histogram.
    pub fn latency(&mut self, family: &'static Family, labels: &[&str], snapshot: &HistogramSnapshot) {
        self.add(family, Kind::Histogram, labels, Value::Latency(Box::new(*snapshot)));
    }

    /// Adds facts.
    pub fn info(&mut self, family: &'static Family, labels: &[&str]) {
        self.add(family, Kind::Info, labels, Value::Info);
    }

    /// The families that have samples, in order of first appearance.
    pub fn families(&self) -> impl Iterator<Item = &'static Family> {
        self.families.iter().map(|gathered| gathered.family)
    }

    /// The text as an HTTP server answers a scrape.
    ///
    /// # Errors
    /// None that is known of: writing to a string does not fail.
    pub fn encode(self, form: Form) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        match form {
            Form::Prometheus => prometheus_text::encode(&mut text, &registry)?,
            Form::OpenMetrics => text::encode(&mut text, &registry)?,
        }
        Ok(text)
    }

    fn add(&mut self, family: &'static Family, kind: Kind, labels: &[&str], value: Value) {
        debug_assert_eq!(family.check(), Ok(()));
        debug_assert_eq!(family.kind, kind, "{} is added as another kind", family.name);
        debug_assert_eq!(family.labels.len(), labels.len(), "{} has other labels", family.name);
        let place = *self.places.entry(family.name).or_insert_with(|| {
            self.families.push(Gathered { family, samples: Vec::new() });
            self.families.len() - 1
        });
        let labels = family.labels.iter().copied().zip(labels.iter().map(|value| (*value).to_owned())).collect();
        self.families[place].samples.push(Sample { labels, value });
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.families.iter().try_for_each(|gathered| gathered.encode(&mut encoder))
    }
}

impl Gathered {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (family, base) = (self.family, self.family.base_name());
        let unit = family.unit().map(|unit| Unit::Other(unit.to_owned()));
        // The encoder puts the unit behind the name.
        let stem = match family.unit() {
            Some(unit) => base.strip_suffix(unit).and_then(|rest| rest.strip_suffix('_')).unwrap_or(base),
            None => base,
        };
        let kind = match family.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        };
        let mut encoder = encoder.encode_descriptor(stem, family.help, unit.as_ref(), kind)?;
        self.samples.iter().try_for_each(|sample| sample.encode(&mut encoder))
    }
}

impl Sample {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        let labels = &&self.labels[..];
        match &self.value {
            Value::Counter(value) => ConstCounter::new(*value).encode(encoder.encode_family(labels)?),
            Value::SecondsCounter(value) => ConstCounter::new(*value).encode(encoder.encode_family(labels)?),
            Value::Gauge(value) => ConstGauge::new(*value).encode(encoder.encode_family(labels)?),
            Value::Latency(snapshot) => encode_latency(snapshot, encoder.encode_family(labels)?),
            Value::Info => encoder.encode_info(labels),
        }
    }
}

fn encode_latency(snapshot: &HistogramSnapshot, mut encoder: MetricEncoder<'_>) -> fmt::Result {
    let bounds = (0..).map(|index| HistogramSnapshot::upper_bound(index).map_or(f64::INFINITY, seconds));
    let buckets: Vec<(f64, u64)> = bounds.zip(snapshot.buckets).collect();
    encoder.encode_histogram::<NoLabelSet>(seconds(snapshot.sum), snapshot.count(), &buckets, None)
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
#[path = "scrape_tests.rs"]
mod tests;
