//! docs/metrics.md: the metrics, as the code itself says it.
//!
//! `UPDATE_DOCS=1 cargo test -p srpt-app documentation` writes the file; without it the test fails when the file is not what would be written.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use metrics::Family;

use super::families::ALL;

#[test]
fn the_file_is_what_the_code_says() {
    let text = reference();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).expect("docs/ is there");
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    let different = text.lines().zip(file.lines()).find(|(now, then)| now != then);
    assert!(file == text, "docs/metrics.md is not what the code says; UPDATE_DOCS=1 writes it. First: {different:?}");
}

#[test]
fn every_family_follows_the_conventions_and_no_name_is_used_twice() {
    let mut names = BTreeSet::new();
    for (_, families) in ALL {
        for family in families {
            assert_eq!(family.check(), Ok(()));
            assert!(family.name.starts_with("srpt_") || family.name.starts_with("process_"), "{}", family.name);
            for name in family.sample_names() {
                assert!(names.insert(name), "{} is there twice", family.name);
            }
        }
    }
}

fn reference() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Written from the code (`UPDATE_DOCS=1 cargo test -p srpt-app documentation`), and compared with it by every test run. Served at \
         `http://127.0.0.1:5590/metrics` unless `--metrics-listen` says otherwise, in Prometheus' text form or in OpenMetrics', as the client asks. \
         `scripts/prometheus` and `scripts/grafana` have a configuration, rules, consoles and dashboards.\n\n\
         Everything is gathered when it is asked for, from counters that the cores keep for themselves: nothing is asked of the data path. What is gone has no series, \
         and counters begin at 0 with the process, or with the thing that they are about. Series of sessions are named by the two ports, so an initiator that logs in \
         again goes on in the same series; there are never more of them than the reactors have channels (`--channels`). A latency of SCSI commands runs from the round of \
         the reactor that took the command to the end of the round that answered it. Its buckets are the powers of two from 1.024 µs to 17.2 s.\n\n\
         | page | answers 200 | else 503, with the reason |\n|---|---|---|\n\
         | `/healthz` | every reactor goes on, and the control thread answers | one of them did not within 2 s |\n\
         | `/readyz` | a listener takes logins | the configuration is not applied yet, there is no listener or none that listens, or the target is about to end |\n\n\
         A connection serves one request, within 15 s; there are at most 32, of which the oldest makes room for a new one.\n",
    );
    for (title, families) in ALL {
        write!(text, "\n## {title}\n\n| name | type | unit | labels | |\n|---|---|---|---|---|\n").expect("a string");
        families.iter().for_each(|family| put_family(&mut text, family));
    }
    text
}

fn put_family(text: &mut String, family: &Family) {
    let (name, kind, unit) = (family.name, family.kind.name(), family.unit().unwrap_or_default());
    let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    writeln!(text, "| `{name}` | {kind} | {unit} | {} | {} |", labels.join(", "), family.help).expect("a string");
}
