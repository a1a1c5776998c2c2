//! The page: one HTML file without scripts that asks nobody for anything. Texts go in through `maud`, which escapes them.

use anyhow::Context;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::axis;
use super::chart;
use super::runs::Run;
use super::series::{Chart, Report};

/// A chart that was drawn.
#[derive(Debug)]
pub struct Figure {
    pub section: String,
    /// What it is called as a file of its own.
    pub file_name: String,
    pub svg: String,
    /// Whether it takes the page's width.
    wide: bool,
}

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#222;--soft:#666;--paper:#fff;--card:#f6f7f9;--edge:#d9dce1;--warn:#fff3cd}
@media(prefers-color-scheme:dark){:root{--ink:#ddd;--soft:#9aa;--paper:#16181c;--card:#1e2127;--edge:#363b44;--warn:#4a3d10}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1280px;margin:0 auto;padding:1.5rem}
h1{margin:0 0 .3rem}h2{margin:2.2rem 0 .8rem;border-bottom:1px solid var(--edge)}
.soft{color:var(--soft)}
.remarks{background:var(--warn);border-radius:6px;padding:.6rem 1rem;margin:1rem 0}.remarks p{margin:.3rem 0}
.figures{display:grid;grid-template-columns:1fr 1fr;grid-auto-flow:dense;gap:1rem;align-items:start}
figure{margin:0;background:var(--card);border:1px solid var(--edge);border-radius:6px;padding:.5rem;min-width:0}
figure.wide{grid-column:1/-1}
figure svg{width:100%;height:auto;display:block}
@media(max-width:800px){.figures{grid-template-columns:1fr}}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--edge);text-align:left;vertical-align:top;white-space:nowrap}
th.number,td.number{text-align:right}
td.file{white-space:normal;overflow-wrap:anywhere;min-width:13rem}
td.rest{white-space:normal;min-width:12rem;color:var(--soft)}
.bad{color:#d33;font-weight:bold}
";

/// Settings that have columns of their own.
const COLUMNS: &[&str] = &["label", "workload", "io_bytes", "depth", "cores", "channels", "sessions"];

impl Figure {
    /// Draws a chart.
    ///
    /// # Errors
    /// It cannot be drawn.
    pub fn draw(number: usize, chart: &Chart) -> anyhow::Result<Figure> {
        let svg = chart::svg(chart).with_context(|| format!("cannot draw {:?}", chart.title))?;
        let program = chart.section.split(' ').next().unwrap_or_default();
        let words = format!("{:02} {program} {} {}", number + 1, chart.title, chart.subtitle);
        Ok(Figure {
            section: chart.section.clone(),
            file_name: format!("{}.svg", slug(&words)),
            svg,
            wide: chart.panels.len() > 1,
        })
    }
}

/// Words to a file name of letters, digits and dashes.
fn slug(words: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' };
    let slug = words.chars().map(plain).collect::<String>().split_whitespace().collect::<Vec<_>>().join("-");
    slug.chars().take(100).collect()
}

/// See above.
pub fn html(title: &str, runs: &[Run], report: &Report, figures: &[Figure]) -> String {
    let count = report.machines.iter().max().copied().unwrap_or_default();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p.soft { (runs.len()) " runs on " (count) @if count == 1 { " machine" } @else { " machines" } ", " (figures.len()) " plots" }
                @if !report.remarks.is_empty() {
                    div.remarks { @for remark in &report.remarks { p { (remark) } } }
                }
                h2 { "Machines" }
                (machines(runs, report))
                @for section in figures.chunk_by(|one, other| one.section == other.section) {
                    h2 { (section[0].section) }
                    div.figures {
                        @for figure in section {
                            figure.wide[figure.wide] { (PreEscaped(&figure.svg)) }
                        }
                    }
                }
                h2 { "All runs" }
                p.soft {
                    "Latencies in µs; cores by number; load: threads that ran in the minute before, on average. Where a point of a plot has several runs, it is their median, and a thin line shows their range. "
                    "A latency distribution is of all of them together, a rate over time that of the first."
                }
                (tables(runs, report))
            }
        }
    };
    page.into_string()
}

fn machines(runs: &[Run], report: &Report) -> Markup {
    let mut first: Vec<(usize, &Run)> = report.machines.iter().copied().zip(runs).collect();
    first.sort_by_key(|(machine, _)| *machine);
    first.dedup_by_key(|(machine, _)| *machine);
    html! {
        div.scroll { table {
            tr { th { "machine" } th { "processor" } th.number { "CPUs" } th.number { "memory, GiB" } th { "kernel" } th { "distribution" } }
            @for (machine, run) in first {
                @let environment = &run.environment;
                tr {
                    td { (machine) }
                    td { (environment.cpu) @if environment.virtual_machine { " (virtual machine)" } }
                    td.number { (environment.cpus) }
                    td.number { (axis::plain(environment.memory_mib as f64 / 1024.0)) }
                    td { (environment.kernel) }
                    td { (environment.distribution) }
                }
            }
        } }
    }
}

fn tables(runs: &[Run], report: &Report) -> Markup {
    let all: Vec<(&Run, usize)> = runs.iter().zip(report.machines.iter().copied()).collect();
    html! {
        @for program in ["srp-perf", "bdevperf"] {
            @let of_program: Vec<(&Run, usize)> = all.iter().copied().filter(|(run, _)| run.program == program).collect();
            @if !of_program.is_empty() {
                h3 { (of_program.len()) " of " (program) }
                (table(&of_program))
            }
        }
    }
}

/// What has no column stands above if it is the same in all runs, and else in the last column.
fn table(runs: &[(&Run, usize)]) -> Markup {
    let facts: Vec<Vec<String>> = runs.iter().map(|(run, machine)| facts(run, *machine)).collect();
    let is_common = |fact: &String| facts.iter().all(|others| others.contains(fact));
    let common: Vec<&str> = facts[0].iter().filter(|fact| is_common(fact)).map(String::as_str).collect();
    html! {
        p.soft { "In all of them: " (common.join(", ")) "." }
        div.scroll { table {
            tr {
                th { "file" } th { "label" } th { "workload" } th.number { "size" } th.number { "depth" } th.number { "cores" }
                th.number { "channels" } th.number { "sessions" } th.number { "IOPS" } th.number { "MiB/s" } th.number { "p50" } th.number { "p99" }
                th.number { "p99.9" } th.number { "max" } th.number { "load" } th { "other settings" }
            }
            @for ((run, _), facts) in runs.iter().zip(&facts) {
                (row(run, &facts.iter().filter(|fact| !is_common(fact)).map(String::as_str).collect::<Vec<_>>().join(", ")))
            }
        } }
    }
}

fn row(run: &Run, rest: &str) -> Markup {
    let number = |name| run.number(name).map(axis::plain).unwrap_or_default();
    let latencies = match run.latency {
        Some(latency) => [latency.p50, latency.p99, latency.p99_9, latency.max].map(axis::plain),
        None => Default::default(),
    };
    html! {
        tr {
            td.file title=(run.file) { (file_name(&run.file)) @if !run.good { " " span.bad { "failed" } } }
            td { (run.setting("label").unwrap_or_default()) }
            td { (run.setting("workload").unwrap_or_default()) }
            td.number { (run.number("io_bytes").map(axis::binary).unwrap_or_default()) }
            td.number { (number("depth")) }
            td.number { (run.setting("cores").unwrap_or_default()) }
            td.number { (number("channels")) }
            td.number { (number("sessions")) }
            td.number { (format!("{:.0}", run.iops)) }
            td.number { (format!("{:.1}", run.mib_per_second())) }
            @for latency in latencies { td.number { (latency) } }
            td.number { (format!("{:.1}", run.environment.load_average)) }
            td.rest { (rest) }
        }
    }
}

/// The path stands in the cell's title.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The machine, the build, and all settings that have no column.
fn facts(run: &Run, machine: usize) -> Vec<String> {
    let build = format!("version {} {}", run.environment.version, run.environment.profile);
    let others = run.settings.iter().filter(|(name, _)| !COLUMNS.contains(&name.as_str()));
    let others = others.map(|(name, setting)| format!("{} {}", name.replace('_', " "), setting.text));
    [format!("machine {machine}"), build].into_iter().chain(others).collect()
}
