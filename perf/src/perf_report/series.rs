//! Runs to charts. A line joins runs that were told the same in everything but one dimension; what was told the same in all is rounds of one
//! point. What comes from different machines or builds is never joined.

use super::axis::{self, Scale};
use super::runs::{LatencyUs, Run};

/// Settings that runs may differ in and still be rounds of one point.
const OF_NO_ACCOUNT: &[&str] = &["seed"];
/// Lines of a chart, so that their colours can be told apart. More are drawn in another chart.
const LINES_MAX: usize = 8;
/// Samples without which a rate over time says nothing.
const SAMPLES_MIN: usize = 3;
type Percentile = fn(&LatencyUs) -> f64;

/// Percentiles that are drawn, by panel.
const PERCENTILES: [(&str, Percentile); 3] = [
    ("median", |latency| latency.p50),
    ("99th percentile", |latency| latency.p99),
    ("99.9th percentile", |latency| latency.p99_9),
];

/// What is varied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dimension {
    Depth,
    Cores,
    Channels,
    Sessions,
    IoSize,
}

/// All that a report draws, and what has to be said about it.
#[derive(Debug)]
pub struct Report {
    pub charts: Vec<Chart>,
    /// For each run, the number of its machine, from 1.
    pub machines: Vec<usize>,
    /// What a reader must know before the figures.
    pub remarks: Vec<String>,
}

/// Panels that share their axes and the lines' names.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Charts of a section stand together.
    pub section: String,
    pub title: String,
    /// What all lines have in common.
    pub subtitle: String,
    pub x_label: &'static str,
    pub x_scale: Scale,
    pub y_label: &'static str,
    pub y_scale: Scale,
    /// What each panel shows; empty where there is one only.
    pub panels: Vec<&'static str>,
    pub lines: Vec<Line>,
    /// Whether points are marked: what was measured is, what is many along a curve is not.
    pub marked: bool,
}

/// A line, in every panel of its chart.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    pub name: String,
    /// For each panel, its points in ascending order.
    pub panels: Vec<Vec<Point>>,
}

/// A point, with the range of its rounds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub low: f64,
    pub high: f64,
}

/// Runs that differ in one dimension at most: each of its values, ascending, with its rounds.
#[derive(Debug)]
struct Group<'a> {
    key: Key,
    steps: Vec<(f64, Vec<&'a Run>)>,
}

/// What the runs of a group were told: names and values, in the order in which lines are named by them.
type Key = Vec<(String, String)>;

/// See above.
pub fn arrange(runs: &[Run]) -> Report {
    let machines = machines(runs);
    let mut charts = Vec::new();
    for program in ["srp-perf", "bdevperf"] {
        let all: Vec<(&Run, usize)> =
            runs.iter().zip(machines.iter().copied()).filter(|(run, _)| run.program == program).collect();
        let mut rest = all.clone();
        for dimension in Dimension::ALL {
            let mut groups = groups(&all, Some(dimension));
            groups.retain(|group| group.steps.len() > 1);
            rest.retain(|(run, _)| !groups.iter().flat_map(Group::runs).any(|drawn| std::ptr::eq(drawn, *run)));
            charts.extend(dimension_charts(program, dimension, &groups));
        }
        charts.extend(other_charts(program, &groups(&rest, None)));
    }
    Report { charts, remarks: remarks(runs, &machines), machines }
}

/// Numbers the machines, in the order of the runs.
fn machines(runs: &[Run]) -> Vec<usize> {
    let mut known: Vec<&Run> = Vec::new();
    let mut numbers = Vec::with_capacity(runs.len());
    for run in runs {
        let is_same = |other: &&Run| other.environment.same_machine(&run.environment);
        let index = known.iter().position(is_same).unwrap_or_else(|| {
            known.push(run);
            known.len() - 1
        });
        numbers.push(index + 1);
    }
    numbers
}

/// Runs by what they have in common, in the order in which it was first seen.
fn groups<'a>(runs: &[(&'a Run, usize)], dimension: Option<Dimension>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group> = Vec::new();
    for &(run, machine) in runs {
        let x = dimension.map_or(Some(0.0), |dimension| run.number(dimension.setting()));
        let Some(x) = x else { continue };
        for key in keys(run, machine, dimension) {
            let index = groups.iter().position(|group| group.key == key).unwrap_or_else(|| {
                groups.push(Group { key, steps: Vec::new() });
                groups.len() - 1
            });
            groups[index].add(x, run);
        }
    }
    groups
}

/// What has to be equal for runs to be joined. With one channel for each core or session, as is the default, channels grow with them: such runs
/// are joined, too, beside those whose number of channels stays the same.
fn keys(run: &Run, machine: usize, dimension: Option<Dimension>) -> Vec<Key> {
    let key = key(run, machine, dimension);
    let channels = Dimension::Channels.setting();
    let one_each = match dimension {
        Some(Dimension::Cores) => "one channel per core",
        Some(Dimension::Sessions) => "one channel per session",
        _ => return vec![key],
    };
    if run.number(channels) != dimension.and_then(|dimension| run.number(dimension.setting())) {
        return vec![key];
    }
    let grown = |(name, value): &(String, String)| {
        (name.clone(), if name == channels { one_each.to_owned() } else { value.clone() })
    };
    vec![key.iter().map(grown).collect(), key]
}

fn key(run: &Run, machine: usize, dimension: Option<Dimension>) -> Key {
    let mut key: Key = vec![("machine".into(), machine.to_string())];
    let mut add = |name: &str, value: Option<String>| key.extend(value.map(|value| (name.to_owned(), value)));
    let setting = |name: &str| run.setting(name).map(str::to_owned);
    add("label", setting("label"));
    add("workload", setting("workload"));
    for other in Dimension::ALL.into_iter().filter(|&other| Some(other) != dimension) {
        add(other.setting(), run.number(other.setting()).map(|value| other.value(value)));
    }
    for (name, value) in &run.settings {
        // What each session has of its own differs where their number does.
        let of_sessions =
            dimension == Some(Dimension::Sessions) && value.is_list && value.number == run.number("sessions");
        let is_known =
            of_sessions || matches!(name.as_str(), "label" | "workload") || OF_NO_ACCOUNT.contains(&name.as_str());
        if !is_known && Dimension::ALL.iter().all(|dimension| dimension.setting() != name) {
            add(name, Some(value.text.clone()));
        }
    }
    add("version", Some(format!("{} {}", run.environment.version, run.environment.profile)));
    key
}

/// Rates and latencies by the dimension; and for each line, how latencies are distributed and how rates went, step by step.
fn dimension_charts(program: &str, dimension: Dimension, groups: &[Group]) -> Vec<Chart> {
    let section = format!("{program} by {}", dimension.name());
    let (names, common) = names(groups);
    let mut charts = Vec::new();
    let frame = Chart {
        subtitle: common.clone(),
        x_label: dimension.label(program),
        x_scale: Scale::Doubling { bytes: dimension == Dimension::IoSize },
        ..frame(&section)
    };
    let indices: Vec<usize> = (0..groups.len()).collect();
    for (part, indices) in indices.chunks(LINES_MAX).enumerate() {
        let part = if groups.len() > LINES_MAX { format!(", part {}", part + 1) } else { String::new() };
        let lines = |points: &dyn Fn(&Group) -> Vec<Vec<Point>>| {
            let line = |&index: &usize| Line { name: names[index].clone(), panels: points(&groups[index]) };
            indices.iter().map(line).collect::<Vec<Line>>()
        };
        charts.push(Chart {
            title: format!("IOPS by {}{part}", dimension.name()),
            lines: lines(&|group| vec![group.points(|run| Some(run.iops))]),
            ..frame.clone()
        });
        charts.push(Chart {
            title: format!("Latency by {}{part}", dimension.name()),
            y_label: "latency in µs",
            y_scale: Scale::Log,
            panels: PERCENTILES.map(|(name, _)| name).to_vec(),
            lines: lines(&|group| PERCENTILES.map(|(_, of)| group.points(|run| run.latency.as_ref().map(of))).to_vec()),
            ..frame.clone()
        });
        if dimension == Dimension::IoSize {
            charts.push(Chart {
                title: format!("Throughput by {}{part}", dimension.name()),
                y_label: "MiB per second",
                lines: lines(&|group| vec![group.points(|run| Some(run.mib_per_second()))]),
                ..frame.clone()
            });
        }
    }
    for (group, name) in groups.iter().zip(&names) {
        let subtitle =
            [name.as_str(), &common].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
        let steps: Vec<(String, &[&Run])> =
            thinned(&group.steps).map(|(value, rounds)| (dimension.value(*value), rounds.as_slice())).collect();
        charts.push(distribution(&section, &format!("by {}", dimension.name()), &subtitle, &steps));
        charts.push(over_time(&section, &format!("by {}", dimension.name()), &subtitle, &steps));
    }
    charts.retain(Chart::shows_anything);
    charts
}

/// Of runs that nothing was varied in.
fn other_charts(program: &str, groups: &[Group]) -> Vec<Chart> {
    let section = format!("{program}, single runs");
    let (names, common) = names(groups);
    let all: Vec<(String, &[&Run])> =
        names.into_iter().zip(groups).map(|(name, group)| (name, group.steps[0].1.as_slice())).collect();
    let draw = |runs: &[(String, &[&Run])]| {
        [distribution(&section, "", &common, runs), over_time(&section, "", &common, runs)]
    };
    all.chunks(LINES_MAX).flat_map(draw).filter(Chart::shows_anything).collect()
}

/// At most as many steps as a chart has lines, the first and the last among them.
fn thinned<T>(steps: &[T]) -> impl Iterator<Item = &T> {
    let count = steps.len().min(LINES_MAX);
    (0..count).map(move |index| &steps[index * (steps.len() - 1) / (count - 1).max(1)])
}

/// The latency that each share of all I/Os did not exceed.
fn distribution(section: &str, by: &str, subtitle: &str, runs: &[(String, &[&Run])]) -> Chart {
    let line = |(name, rounds): &(String, &[&Run])| Line { name: name.clone(), panels: vec![cumulative(rounds)] };
    Chart {
        title: format!("Latency distribution {by}").trim_end().to_owned(),
        subtitle: subtitle.to_owned(),
        x_label: "percent of I/Os that took no longer",
        x_scale: Scale::Nines,
        y_label: "latency in µs",
        y_scale: Scale::Log,
        marked: false,
        lines: runs.iter().map(line).filter(|line| !line.panels[0].is_empty()).collect(),
        ..frame(section)
    }
}

/// Of all rounds together.
fn cumulative(rounds: &[&Run]) -> Vec<Point> {
    let mut pairs: Vec<(f64, u64)> = rounds.iter().flat_map(|run| &run.histogram).copied().collect();
    pairs.sort_by(|one, other| one.0.total_cmp(&other.0));
    let total = pairs.iter().map(|&(_, ios)| ios as f64).sum::<f64>();
    let mut so_far = 0.0;
    let mut points = Vec::with_capacity(pairs.len());
    for (us, ios) in pairs {
        so_far += ios as f64;
        // The longest has a place, too: that of the last I/O among all.
        let share = ((so_far - 0.5) / total).clamp(0.0, 1.0);
        if ios > 0 && points.is_empty() {
            points.push(Point::exact(0.0, us));
        }
        if ios > 0 {
            points.push(Point::exact(share, us));
        }
    }
    points
}

/// The rate of each second, of the first round.
fn over_time(section: &str, by: &str, subtitle: &str, runs: &[(String, &[&Run])]) -> Chart {
    let line = |(name, rounds): &(String, &[&Run])| {
        let samples = rounds.first().map_or(&[][..], |run| run.per_second.as_slice());
        let points = samples.iter().map(|&(at, iops)| Point::exact(at, iops)).collect();
        Line { name: name.clone(), panels: vec![points] }
    };
    Chart {
        title: format!("IOPS over time {by}").trim_end().to_owned(),
        subtitle: subtitle.to_owned(),
        x_label: "seconds since the load began, warm-up included",
        x_scale: Scale::Linear,
        marked: false,
        lines: runs.iter().map(line).filter(|line| line.panels[0].len() >= SAMPLES_MIN).collect(),
        ..frame(section)
    }
}

/// A chart of rates without anything in it.
fn frame(section: &str) -> Chart {
    Chart {
        section: section.to_owned(),
        title: String::new(),
        subtitle: String::new(),
        x_label: "",
        x_scale: Scale::Linear,
        y_label: "I/Os per second",
        y_scale: Scale::Linear,
        panels: vec![""],
        lines: Vec::new(),
        marked: true,
    }
}

/// Names of lines, by what tells them apart and no more, and what they have in common. A setting is named if it tells apart what those before it
/// do not.
fn names(groups: &[Group]) -> (Vec<String>, String) {
    let mut names: Vec<Vec<String>> = vec![Vec::new(); groups.len()];
    let mut common = Vec::new();
    let mut settings: Vec<&str> = Vec::new();
    for (name, _) in groups.iter().flat_map(|group| &group.key) {
        if !settings.contains(&name.as_str()) {
            settings.push(name);
        }
    }
    for setting in settings {
        let value_of = |group: &Group| {
            let value = group.key.iter().find(|(name, _)| name == setting).map(|(_, value)| value.as_str());
            describe(setting, value)
        };
        let values: Vec<String> = groups.iter().map(value_of).collect();
        if values.iter().all(|value| *value == values[0]) {
            let worth_telling = matches!(setting, "label" | "workload" | "fabric") || Dimension::of(setting).is_some();
            common.extend(worth_telling.then(|| values[0].clone()));
            continue;
        }
        let refined: Vec<Vec<String>> =
            names.iter().zip(values).map(|(name, value)| [name.clone(), vec![value]].concat()).collect();
        if distinct(&refined) > distinct(&names) {
            names = refined;
        }
    }
    let mut names: Vec<String> = names.into_iter().map(|parts| parts.join(", ")).collect();
    let mut common = common.join(", ");
    if let [only] = names.as_mut_slice() {
        // A single line is named by what else would stand beneath the title.
        (*only, common) = (common, String::new());
    }
    (names, common)
}

fn distinct(names: &[Vec<String>]) -> usize {
    names.iter().enumerate().filter(|(index, name)| !names[..*index].contains(name)).count()
}

/// A setting in words, as short as they can be understood.
fn describe(setting: &str, value: Option<&str>) -> String {
    match (setting, value) {
        ("label" | "workload" | "fabric", Some(value)) => value.to_owned(),
        (_, Some(value)) if Dimension::of(setting).is_some() => value.to_owned(),
        (_, Some(value)) => format!("{} {value}", setting.replace('_', " ")),
        (_, None) => format!("no {}", setting.replace('_', " ")),
    }
}

fn remarks(runs: &[Run], machines: &[usize]) -> Vec<String> {
    let mut remarks = Vec::new();
    let count = machines.iter().max().copied().unwrap_or_default();
    if count > 1 {
        remarks.push(format!(
            "These runs come from {count} different machines. No line joins runs of different ones; where lines of several stand in one plot, their \
             names say which. Compare them with care."
        ));
    }
    let debug = runs.iter().filter(|run| run.environment.profile != "release").count();
    if debug > 0 {
        remarks.push(format!(
            "{debug} of {} runs come from a build that is not a release build: it is many times slower.",
            runs.len()
        ));
    }
    let mut versions: Vec<&str> = runs.iter().map(|run| run.environment.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() > 1 {
        remarks.push(format!("The runs come from different versions: {}.", versions.join(", ")));
    }
    let bad = runs.iter().filter(|run| !run.good).count();
    if bad > 0 {
        remarks.push(format!("In {bad} of {} runs I/Os or comparisons failed. The table marks them.", runs.len()));
    }
    remarks
}

impl Dimension {
    /// In the order of a report.
    pub const ALL: [Dimension; 5] =
        [Dimension::Depth, Dimension::Cores, Dimension::Channels, Dimension::Sessions, Dimension::IoSize];

    fn of(setting: &str) -> Option<Dimension> {
        Dimension::ALL.into_iter().find(|dimension| dimension.setting() == setting)
    }

    /// What it is called among the settings.
    pub fn setting(self) -> &'static str {
        match self {
            Dimension::Depth => "depth",
            Dimension::Cores => "cores",
            Dimension::Channels => "channels",
            Dimension::Sessions => "sessions",
            Dimension::IoSize => "io_bytes",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Dimension::Depth => "queue depth",
            Dimension::Cores => "cores",
            Dimension::Channels => "channels",
            Dimension::Sessions => "sessions",
            Dimension::IoSize => "block size",
        }
    }

    fn label(self, program: &str) -> &'static str {
        match self {
            Dimension::Depth if program == "bdevperf" => "queue depth (operations per job)",
            Dimension::Depth => "queue depth (commands per channel)",
            Dimension::Cores => "cores of the load generator",
            Dimension::Channels => "channels (queue pairs)",
            Dimension::Sessions => "sessions",
            Dimension::IoSize => "bytes of one I/O",
        }
    }

    /// One of its values in words.
    fn value(self, value: f64) -> String {
        let counted = |one: &str| format!("{} {one}{}", axis::plain(value), if value == 1.0 { "" } else { "s" });
        match self {
            Dimension::Depth => format!("depth {}", axis::plain(value)),
            Dimension::Cores => counted("core"),
            Dimension::Channels => counted("channel"),
            Dimension::Sessions => counted("session"),
            Dimension::IoSize => axis::binary(value),
        }
    }
}

impl Chart {
    fn shows_anything(&self) -> bool {
        self.lines.iter().flat_map(|line| &line.panels).any(|points| !points.is_empty())
    }
}

impl Point {
    fn exact(x: f64, y: f64) -> Point {
        Point { x, y, low: y, high: y }
    }
}

impl<'a> Group<'a> {
    fn add(&mut self, x: f64, run: &'a Run) {
        match self.steps.binary_search_by(|(other, _)| other.total_cmp(&x)) {
            Ok(index) => self.steps[index].1.push(run),
            Err(index) => self.steps.insert(index, (x, vec![run])),
        }
    }

    fn runs(&self) -> impl Iterator<Item = &'a Run> {
        self.steps.iter().flat_map(|(_, rounds)| rounds.iter().copied())
    }

    /// The median of the rounds of each step, with their range.
    fn points(&self, figure: impl Fn(&Run) -> Option<f64>) -> Vec<Point> {
        let point = |(x, rounds): &(f64, Vec<&Run>)| {
            let mut figures: Vec<f64> = rounds.iter().filter_map(|run| figure(run)).collect();
            figures.sort_by(f64::total_cmp);
            let (low, high) = (*figures.first()?, *figures.last()?);
            let middle = (figures[(figures.len() - 1) / 2] + figures[figures.len() / 2]) / 2.0;
            Some(Point { x: *x, y: middle, low, high })
        };
        self.steps.iter().filter_map(point).collect()
    }
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
