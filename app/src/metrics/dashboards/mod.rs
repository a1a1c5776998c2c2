//! Dashboards: each is declared once, and written as Grafana's JSON (scripts/grafana) and as a console template of Prometheus' own
//! (scripts/prometheus/consoles), so that both show the same.
//!
//! `UPDATE_DOCS=1 cargo test -p srpt-app dashboards` writes the files; without it the test fails when a file is not what would be written.
//! `check.rs` holds every expression here, and every rule in scripts/prometheus, against the list of metrics.

mod check;
mod console;
mod grafana;
mod lun;
mod overview;
mod reactors;
mod session;

use std::path::{Path, PathBuf};

/// One page.
struct Dashboard {
    /// File name without its ending, and Grafana's uid.
    name: &'static str,
    title: &'static str,
    variables: &'static [Variable],
    panels: &'static [Panel],
}

/// What a reader chooses: values of a label; expressions have it as `$label`, a regular expression.
struct Variable {
    label: &'static str,
    /// A metric that has each value; it may be narrowed by the variables before.
    metric: &'static str,
}

/// One picture.
struct Panel {
    title: &'static str,
    kind: Kind,
    unit: Unit,
    /// Columns of 24.
    width: u8,
    queries: &'static [Query],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Lines over time.
    Graph,
    /// One number, that of now.
    Stat,
    /// A row for each series, with its labels and the value of now. One query.
    Table,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Number,
    PerSecond,
    Bytes,
    BytesPerSecond,
    Seconds,
    /// 0 to 1, shown in percent.
    Ratio,
}

/// An expression, with `$interval` for the time that a rate is taken over; and the name of its series, with labels in braces.
struct Query {
    expression: &'static str,
    legend: &'static str,
}

const fn query(expression: &'static str, legend: &'static str) -> Query {
    Query { expression, legend }
}

const INSTANCE: Variable = Variable { label: "instance", metric: "srpt_build_info" };

const ALL: [&Dashboard; 4] = [&overview::DASHBOARD, &lun::DASHBOARD, &session::DASHBOARD, &reactors::DASHBOARD];

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts")
}

#[test]
fn the_files_are_what_is_declared() {
    for dashboard in ALL {
        let grafana = scripts().join(format!("grafana/{}.json", dashboard.name));
        let console = scripts().join(format!("prometheus/consoles/{}.html", dashboard.name));
        for (path, text) in [(grafana, grafana::write(dashboard)), (console, console::write(dashboard))] {
            if std::env::var_os("UPDATE_DOCS").is_some() {
                std::fs::create_dir_all(path.parent().expect("a folder")).expect("scripts/ is there");
                std::fs::write(&path, &text).expect("the folder is there");
            }
            let file = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(file == text, "{} is not what is declared; UPDATE_DOCS=1 writes it", path.display());
        }
    }
}
