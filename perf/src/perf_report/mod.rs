//! `perf-report`: draws what `srp-perf` and `bdevperf` measured. Reads their JSON, writes one HTML file that needs nothing else.
//!
//! # Parts, in the order of the way through them
//! | file | does |
//! |---|---|
//! | `runs.rs` | a file's bytes, which may be anything, to a `Run`, or to an error that names file and field |
//! | `series.rs` | runs to charts: which of them differ in one dimension only, and what their lines are called |
//! | `axis.rs` | values to places and labels on an axis |
//! | `chart.rs` | a chart to SVG |
//! | `page.rs` | charts, remarks and the table of all runs to HTML |

mod axis;
mod chart;
mod page;
mod runs;
mod series;
#[cfg(test)]
mod testing;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;

use self::page::Figure;

/// Plots of what srp-perf and bdevperf measured, in one HTML file that needs nothing else.
///
/// Runs that differ in one of depth, cores, channels, sessions and block size become the points of a line; runs that differ in none are rounds,
/// of which the median is drawn.
#[derive(Parser, Clone, Debug)]
#[command(name = "perf-report", version)]
pub struct Options {
    /// What srp-perf wrote with --json, and bdevperf with --json-output; with bdevperf's -l its latencies are drawn, too
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// The HTML file to write
    #[arg(short = 'o', long = "output", default_value = "report.html", value_name = "FILE")]
    pub output: PathBuf,

    /// Also write each plot as a file of its own into this folder, which is made if it is not there
    #[arg(long, value_name = "FOLDER")]
    pub svg: Option<PathBuf>,

    /// What the page is called
    #[arg(long, default_value = "Performance report", value_name = "TEXT")]
    pub title: String,
}

/// The program.
pub fn main(options: &Options) -> ExitCode {
    match run(options) {
        Ok(figures) => {
            println!("{}: {} runs, {figures} plots", options.output.display(), options.files.len());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("perf-report: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads, draws and writes. Returns the number of plots.
///
/// # Errors
/// A file cannot be read, is not what it should be (which names the file and the field), or cannot be written.
pub fn run(options: &Options) -> anyhow::Result<usize> {
    let runs = options.files.iter().map(|file| runs::read(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let report = series::arrange(&runs);
    let figures = report
        .charts
        .iter()
        .enumerate()
        .map(|(number, chart)| Figure::draw(number, chart))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let html = page::html(&runs::clean(&options.title), &runs, &report, &figures);
    write(&options.output, &html)?;
    if let Some(folder) = &options.svg {
        write_svgs(folder, &figures)?;
    }
    Ok(figures.len())
}

fn write_svgs(folder: &Path, figures: &[Figure]) -> anyhow::Result<()> {
    ensure!(
        !figures.is_empty(),
        "--svg {}: there is no plot to write: the runs have nothing to draw",
        folder.display()
    );
    std::fs::create_dir_all(folder).with_context(|| format!("--svg {}", folder.display()))?;
    figures.iter().try_for_each(|figure| write(&folder.join(&figure.file_name), &chart::stand_alone(&figure.svg)))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
