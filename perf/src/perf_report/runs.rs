//! A run, from the JSON that a load generator wrote. The file may hold anything: what is not as it should be is an error that names the file and
//! the field, and no text or number gets through that a page or an axis could not show.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::environment::Environment;

/// Bytes of a file: far more than any run writes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Characters of a text that are shown.
const TEXT_CHARS_MAX: usize = 200;
/// Beyond any count, rate or latency that is measured; sums of a few of them stay exact enough.
const NUMBER_MAX: f64 = 1e15;
/// Latencies of a histogram, and seconds of a run.
const PAIRS_MAX: usize = 100_000;

/// One run of a load generator.
#[derive(Clone, Debug)]
pub struct Run {
    /// The file that it comes from.
    pub file: String,
    /// `srp-perf` or `bdevperf`.
    pub program: String,
    pub environment: Environment,
    /// By name, in the order of the file; without what was left open.
    pub settings: Vec<(String, Setting)>,
    /// Whether every I/O succeeded.
    pub good: bool,
    pub iops: f64,
    pub latency: Option<LatencyUs>,
    /// Pairs of a latency in microseconds and the I/Os that took so long, in ascending order.
    pub histogram: Vec<(f64, u64)>,
    /// Pairs of the seconds since the load began and the I/Os per second.
    pub per_second: Vec<(f64, f64)>,
}

/// What a run was told.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    /// As it is shown.
    pub text: String,
    /// A number, or how many there are in a list.
    pub number: Option<f64>,
    pub is_list: bool,
}

/// Microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
pub struct LatencyUs {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub p99_99: f64,
    pub max: f64,
}

/// The form of the file, of which only this much is read.
#[derive(Deserialize)]
struct Results {
    program: String,
    environment: Environment,
    settings: Map<String, Value>,
    good: bool,
    total: Option<Total>,
    #[serde(default)]
    per_second: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
struct Total {
    iops: f64,
    latency_us: Option<LatencyUs>,
    #[serde(default)]
    histogram: Vec<(f64, u64)>,
}

/// Reads a file.
///
/// # Errors
/// Names the file, and the field that is wrong.
pub fn read(path: &Path) -> anyhow::Result<Run> {
    let name = path.display().to_string();
    read_bytes(path).and_then(|bytes| parse(&name, &bytes)).with_context(|| name.clone())
}

fn read_bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= FILE_BYTES_MAX, "longer than {FILE_BYTES_MAX} bytes: not the results of a run");
    Ok(bytes)
}

pub(super) fn parse(file: &str, bytes: &[u8]) -> anyhow::Result<Run> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let results: Results = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // Both may quote the file.
        let (field, why) = (clean(&error.path().to_string()), clean(&error.inner().to_string()));
        let hint = "write the file anew with --json of srp-perf or --json-output of bdevperf";
        if field == "." { anyhow!("{why}; {hint}") } else { anyhow!("{field}: {why}; {hint}") }
    })?;
    json.end().context("something follows the results: a file holds those of one run")?;
    let Some(total) = results.total else { bail!("total: no I/O completed in this run; leave the file out") };
    check(&results.program, &results.environment, &results.per_second, &total)?;
    Ok(Run {
        file: clean(file),
        program: results.program,
        environment: clean_environment(results.environment),
        settings: settings(&results.settings)?,
        good: results.good,
        iops: total.iops,
        latency: total.latency_us,
        histogram: total.histogram,
        per_second: results.per_second,
    })
}

fn check(program: &str, environment: &Environment, per_second: &[(f64, f64)], total: &Total) -> anyhow::Result<()> {
    ensure!(
        matches!(program, "srp-perf" | "bdevperf"),
        "program: {:?} is not known: only results of srp-perf and bdevperf are",
        clean(program)
    );
    in_range("environment.load_average", environment.load_average)?;
    in_range("total.iops", total.iops)?;
    if let Some(LatencyUs { mean, p50, p90, p99, p99_9, p99_99, max }) = total.latency_us {
        for (name, value) in [
            ("mean", mean),
            ("p50", p50),
            ("p90", p90),
            ("p99", p99),
            ("p99_9", p99_9),
            ("p99_99", p99_99),
            ("max", max),
        ] {
            in_range(&format!("total.latency_us.{name}"), value)?;
        }
    }
    ensure!(total.histogram.len() <= PAIRS_MAX, "total.histogram: more than {PAIRS_MAX} pairs");
    for (index, &(us, ios)) in total.histogram.iter().enumerate() {
        let field = format!("total.histogram[{index}]");
        in_range(&field, us)?;
        in_range(&field, ios as f64)?;
        let before = index.checked_sub(1).map(|before| total.histogram[before].0);
        ensure!(before.is_none_or(|before| before < us), "{field}: {us} µs does not come after the one before");
    }
    ensure!(per_second.len() <= PAIRS_MAX, "per_second: more than {PAIRS_MAX} pairs");
    for (index, &(at, iops)) in per_second.iter().enumerate() {
        in_range(&format!("per_second[{index}]"), at)?;
        in_range(&format!("per_second[{index}]"), iops)?;
    }
    Ok(())
}

fn in_range(field: &str, value: f64) -> anyhow::Result<()> {
    ensure!((0.0..=NUMBER_MAX).contains(&value), "{field}: {value} is no such number: it is 0 to {NUMBER_MAX:e}");
    Ok(())
}

fn settings(map: &Map<String, Value>) -> anyhow::Result<Vec<(String, Setting)>> {
    ensure!(map.len() <= 1000, "settings: more than 1000 of them");
    for needed in ["workload", "depth", "cores", "io_bytes"] {
        ensure!(map.get(needed).is_some_and(|value| !value.is_null()), "settings.{needed}: it is missing");
    }
    let mut settings = Vec::new();
    for (name, value) in map {
        let number = match value {
            Value::Null => continue,
            Value::Number(number) => number.as_f64(),
            Value::Array(members) => Some(members.len() as f64),
            _ => None,
        };
        settings.push((clean(name), Setting { text: text(value), number, is_list: value.is_array() }));
    }
    for dimension in super::series::Dimension::ALL {
        let name = dimension.setting();
        let Some((_, setting)) = settings.iter().find(|(other, _)| other == name) else { continue };
        let good = setting.number.is_some_and(|number| (1.0..=NUMBER_MAX).contains(&number));
        ensure!(good, "settings.{name}: {} is no such number: it is 1 or more", setting.text);
    }
    Ok(settings)
}

/// A value as people read it: lists of one kind without brackets, texts without quotes.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text),
        Value::Array(members) => clean(&members.iter().map(text).collect::<Vec<_>>().join(", ")),
        other => clean(&other.to_string()),
    }
}

/// A text of others, to be shown: without what XML cannot hold or what turns the direction of writing, and not endlessly long.
pub fn clean(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}');
    let shown = |c: char| if c.is_control() || turns(c) { char::REPLACEMENT_CHARACTER } else { c };
    let mut cleaned: String = text.chars().take(TEXT_CHARS_MAX).map(shown).collect();
    if text.chars().nth(TEXT_CHARS_MAX).is_some() {
        cleaned.push('…');
    }
    cleaned
}

fn clean_environment(environment: Environment) -> Environment {
    Environment {
        cpu: clean(&environment.cpu),
        kernel: clean(&environment.kernel),
        distribution: clean(&environment.distribution),
        version: clean(&environment.version),
        profile: clean(&environment.profile),
        ..environment
    }
}

impl Run {
    /// What it was told, as it is shown.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.find(name).map(|setting| setting.text.as_str())
    }

    /// The same as a number: of a list, how many there are.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.find(name).and_then(|setting| setting.number)
    }

    /// Mebibytes per second.
    pub fn mib_per_second(&self) -> f64 {
        self.iops * self.number("io_bytes").unwrap_or_default() / f64::from(1 << 20)
    }

    fn find(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|(other, _)| other == name).map(|(_, setting)| setting)
    }
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
