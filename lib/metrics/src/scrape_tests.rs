use super::*;
use crate::histogram::Histogram;

static COMMANDS: Family = Family::counter("srpt_commands_total", &["core"], "Commands.");
static CHANNELS: Family = Family::gauge("srpt_channels", &["peer"], "Open channels.");
static BUSY: Family = Family::counter("srpt_busy_seconds_total", &[], "Busy.");
static LATENCY: Family = Family::latency("srpt_command_seconds", &["op"], "Latency.");
static BUILD: Family = Family::info("srpt_build_info", &["version"], "Build.");

fn both(gather: impl Fn(&mut Scrape)) -> [String; 2] {
    [Form::Prometheus, Form::OpenMetrics].map(|form| {
        let mut scrape = Scrape::new();
        gather(&mut scrape);
        scrape.encode(form).expect("rules are kept")
    })
}

#[test]
fn samples_of_one_name_stand_under_one_header() {
    let [prometheus, open_metrics] = both(|scrape| {
        scrape.counter(&COMMANDS, &["0"], 7);
        scrape.gauge(&CHANNELS, &["x"], -2.0);
        scrape.counter(&COMMANDS, &["1"], 8);
        scrape.seconds_counter(&BUSY, &[], 1_500_000_000);
        scrape.info(&BUILD, &["1.0"]);
    });
    assert_eq!(
        prometheus,
        "# HELP srpt_commands_total Commands.\n\
         # TYPE srpt_commands_total counter\n\
         srpt_commands_total{core=\"0\"} 7\n\
         srpt_commands_total{core=\"1\"} 8\n\
         # HELP srpt_channels Open channels.\n\
         # TYPE srpt_channels gauge\n\
         srpt_channels{peer=\"x\"} -2\n\
         # HELP srpt_busy_seconds_total Busy.\n\
         # TYPE srpt_busy_seconds_total counter\n\
         srpt_busy_seconds_total 1.5\n\
         # HELP srpt_build_info Build.\n\
         # TYPE srpt_build_info gauge\n\
         srpt_build_info{version=\"1.0\"} 1\n"
    );
    assert_eq!(
        open_metrics,
        "# HELP srpt_commands Commands.\n\
         # TYPE srpt_commands counter\n\
         srpt_commands_total{core=\"0\"} 7\n\
         srpt_commands_total{core=\"1\"} 8\n\
         # HELP srpt_channels Open channels.\n\
         # TYPE srpt_channels gauge\n\
         srpt_channels{peer=\"x\"} -2\n\
         # HELP srpt_busy_seconds Busy.\n\
         # TYPE srpt_busy_seconds counter\n\
         # UNIT srpt_busy_seconds seconds\n\
         srpt_busy_seconds_total 1.5\n\
         # HELP srpt_build Build.\n\
         # TYPE srpt_build info\n\
         srpt_build_info{version=\"1.0\"} 1\n\
         # EOF\n"
    );
}

#[test]
fn label_values_from_outside_are_escaped() {
    for text in both(|scrape| scrape.gauge(&CHANNELS, &["a\"b\\c\n# d"], 1.0)) {
        assert!(text.contains(r#"{peer="a\"b\\c\n# d"} 1"#), "{text}");
    }
}

#[test]
fn latency_buckets_are_cumulative_inclusive_and_end_at_infinity() {
    let histogram = Histogram::new();
    for nanoseconds in [1024, 1025, 2048, u64::MAX / 2] {
        histogram.record(nanoseconds);
    }
    let texts = both(|scrape| scrape.latency(&LATENCY, &["read"], &histogram.snapshot()));
    for text in texts {
        let buckets: Vec<(f64, u64)> = text
            .lines()
            .filter_map(|line| {
                let (labels, count) = line.strip_prefix("srpt_command_seconds_bucket{")?.split_once("} ")?;
                let le = labels.split(',').find_map(|label| label.strip_prefix("le=\"")?.strip_suffix('"'))?;
                assert!(labels.contains("op=\"read\""), "{text}");
                Some((le.parse().expect("a number"), count.parse().expect("a number")))
            })
            .collect();
        let count_of = |bound: f64| buckets.iter().find(|(le, _)| *le == bound).map(|(_, count)| *count);
        assert_eq!(count_of(1.024e-6), Some(1), "{text}");
        assert_eq!(count_of(2.048e-6), Some(3), "{text}");
        assert_eq!(count_of(17.179869184), Some(3), "{text}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 4)), "{text}");
        assert!(text.contains("srpt_command_seconds_count{op=\"read\"} 4\n"), "{text}");
    }
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "another kind")]
fn a_family_of_two_kinds_is_our_bug() {
    Scrape::new().gauge(&COMMANDS, &["0"], 1.0);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "other labels")]
fn a_forgotten_label_is_our_bug() {
    Scrape::new().counter(&COMMANDS, &[], 1);
}
