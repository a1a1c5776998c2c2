use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::page::{self, Figure};
use super::super::testing::{results, run, with};
use super::super::{chart, runs};
use super::*;

fn depth(depth: u32, iops: f64) -> Run {
    // Each run has a seed of its own, unless it is told one.
    run(&[("/settings/depth", json!(depth)), ("/settings/seed", json!(iops)), ("/total/iops", json!(iops))])
}

fn find<'a>(report: &'a Report, title: &str) -> &'a Chart {
    let titles: Vec<&str> = report.charts.iter().map(|chart| chart.title.as_str()).collect();
    report.charts.iter().find(|chart| chart.title == title).unwrap_or_else(|| panic!("{title} is not in {titles:?}"))
}

fn names(chart: &Chart) -> Vec<&str> {
    chart.lines.iter().map(|line| line.name.as_str()).collect()
}

#[test]
fn runs_that_differ_in_depth_alone_are_a_line_and_equal_ones_are_rounds() {
    let runs = [depth(4, 400.0), depth(1, 100.0), depth(1, 300.0), depth(1, 120.0), depth(32, 900.0)];
    let report = arrange(&runs);
    let chart = find(&report, "IOPS by queue depth");
    let expected =
        [Point { x: 1.0, y: 120.0, low: 100.0, high: 300.0 }, Point::exact(4.0, 400.0), Point::exact(32.0, 900.0)];
    assert_eq!(chart.lines[0].panels, [expected]);
    assert_eq!(names(chart), ["randread, 1 core, 1 channel, 4 KiB"]);
    let latency = find(&report, "Latency by queue depth");
    assert_eq!(latency.lines[0].panels.iter().map(|panel| panel[0].y).collect::<Vec<_>>(), [10.0, 20.0, 40.0]);
    assert_eq!(names(find(&report, "Latency distribution by queue depth")), ["depth 1", "depth 4", "depth 32"]);
    assert_eq!(names(find(&report, "IOPS over time by queue depth")), ["depth 1", "depth 4", "depth 32"]);
    assert!(report.remarks.is_empty(), "{:?}", report.remarks);
}

#[test]
fn lines_are_named_by_what_tells_them_apart() {
    let of = |label: &str, workload: &str, depth: u32| {
        let changes = [
            ("/settings/label", json!(label)),
            ("/settings/workload", json!(workload)),
            ("/settings/depth", json!(depth)),
        ];
        run(&changes)
    };
    let runs = [of("before", "read", 1), of("before", "read", 2), of("after", "read", 1), of("after", "read", 2)];
    let report = arrange(&runs);
    let chart = find(&report, "IOPS by queue depth");
    assert_eq!((names(chart), chart.subtitle.as_str()), (vec!["before", "after"], "read, 1 core, 1 channel, 4 KiB"));
    let runs = [of("a", "read", 1), of("a", "read", 2), of("a", "write", 1), of("a", "write", 2)];
    assert_eq!(names(find(&arrange(&runs), "IOPS by queue depth")), ["read", "write"]);
}

#[test]
fn an_unknown_setting_keeps_lines_apart_and_names_them() {
    let of = |form: Value, depth: u32| run(&[("/settings/form", form), ("/settings/depth", json!(depth))]);
    let runs = [of(json!("direct"), 1), of(json!("direct"), 2), of(Value::Null, 1), of(Value::Null, 2)];
    assert_eq!(names(find(&arrange(&runs), "IOPS by queue depth")), ["form direct", "no form"]);
}

#[test]
fn each_dimension_that_varies_has_its_charts() {
    for (pointer, low, high, name) in [
        ("/settings/cores", json!([0]), json!([0, 1]), "cores"),
        ("/settings/channels", json!(1), json!(8), "channels"),
        ("/settings/sessions", json!(1), json!(8), "sessions"),
        ("/settings/io_bytes", json!(512), json!(65536), "block size"),
    ] {
        let report = arrange(&[run(&[(pointer, low)]), run(&[(pointer, high)])]);
        let chart = find(&report, &format!("IOPS by {name}"));
        assert_eq!(chart.lines[0].panels[0].len(), 2, "{name}");
        assert_eq!(report.charts.len(), if name == "block size" { 5 } else { 4 }, "and no other: {name}");
    }
}

#[test]
fn what_each_session_has_of_its_own_does_not_keep_them_apart() {
    let of = |sessions: usize| {
        let targets: Vec<String> = (1..=sessions).map(|number| format!("10.0.0.{number}:5555")).collect();
        run(&[("/settings/sessions", json!(sessions)), ("/settings/targets", json!(targets))])
    };
    let report = arrange(&[of(1), of(2), of(4)]);
    assert_eq!(find(&report, "IOPS by sessions").lines[0].panels[0].len(), 3);
    // Of as many sessions, those at other targets are something else.
    let elsewhere = run(&[("/settings/sessions", json!(1)), ("/settings/targets", json!(["10.9.9.9:5555"]))]);
    assert_eq!(arrange(&[of(1), elsewhere]).charts[0].lines.len(), 2);
}

#[test]
fn channels_that_grow_with_cores_or_sessions_are_joined() {
    for (dimension, title) in [("core", "IOPS by cores"), ("session", "IOPS by sessions")] {
        let setting = format!("/settings/{dimension}s");
        let of = |number: usize| {
            let value = if dimension == "core" { json!(vec![0; number]) } else { json!(number) };
            run(&[(&setting, value), ("/settings/channels", json!(number))])
        };
        let report = arrange(&[of(1), of(2), of(4)]);
        let chart = find(&report, title);
        assert_eq!((chart.lines.len(), chart.lines[0].panels[0].len()), (1, 3));
        assert!(names(chart)[0].contains(&format!("one channel per {dimension}")), "{:?}", names(chart));
    }
}

#[test]
fn other_machines_and_builds_are_never_joined_and_it_is_said() {
    let here = [depth(1, 1.0), depth(2, 2.0)];
    let elsewhere = |pointer: &str, value: Value| {
        [1, 2].map(|depth| run(&[(pointer, value.clone()), ("/settings/depth", json!(depth))]))
    };
    let report = arrange(&[here.clone(), elsewhere("/environment/cpu", json!("Other"))].concat());
    assert_eq!(report.machines, [1, 1, 2, 2]);
    assert_eq!(names(find(&report, "IOPS by queue depth")), ["machine 1", "machine 2"]);
    assert!(report.remarks[0].contains("2 different machines"), "{:?}", report.remarks);
    let report = arrange(&[here.clone(), elsewhere("/environment/version", json!("0.2.0"))].concat());
    assert_eq!(names(find(&report, "IOPS by queue depth")), ["version 0.1.0 release", "version 0.2.0 release"]);
    assert!(report.remarks[0].contains("0.1.0, 0.2.0"), "{:?}", report.remarks);
    let report = arrange(&elsewhere("/environment/profile", json!("debug")));
    assert!(report.remarks[0].contains("not a release build"), "{:?}", report.remarks);
    let report = arrange(&elsewhere("/good", json!(false)));
    assert!(report.remarks[0].contains("failed"), "{:?}", report.remarks);
    // Only another load average makes no other machine.
    assert_eq!(arrange(&elsewhere("/environment/load_average", json!(7.0))).machines, [1, 1]);
}

#[test]
fn a_run_that_nothing_was_varied_from_is_shown_by_itself() {
    let report = arrange(&[depth(1, 1.0), run(&[("/program", json!("bdevperf"))])]);
    let sections: Vec<&str> = report.charts.iter().map(|chart| chart.section.as_str()).collect();
    assert_eq!(
        sections,
        ["srp-perf, single runs", "srp-perf, single runs", "bdevperf, single runs", "bdevperf, single runs"]
    );
}

#[test]
fn what_was_not_measured_has_no_chart() {
    let without = |depth: u32| {
        let nothing = [("/total/latency_us", Value::Null), ("/total/histogram", json!([])), ("/per_second", json!([]))];
        run(&[&nothing[..], &[("/settings/depth", json!(depth))]].concat())
    };
    let report = arrange(&[without(1), without(2)]);
    assert_eq!(report.charts.iter().map(|chart| chart.title.as_str()).collect::<Vec<_>>(), ["IOPS by queue depth"]);
}

#[test]
fn a_distribution_is_of_all_rounds_and_ends_with_the_longest() {
    let report = arrange(&[depth(1, 1.0), depth(1, 2.0)]);
    let chart = find(&report, "Latency distribution");
    let points: Vec<(f64, f64)> = chart.lines[0].panels[0].iter().map(|point| (point.x, point.y)).collect();
    assert_eq!((points.len(), points[0]), (9, (0.0, 9.0)));
    assert!((points[2].0 - 199.5 / 2000.0).abs() < 1e-12, "{points:?}");
    assert_eq!(points.last(), Some(&(1999.5 / 2000.0, 90.0)));
}

#[test]
fn many_lines_are_drawn_in_several_charts_and_many_steps_are_thinned() {
    let of = |label: u32, depth: u32| {
        run(&[("/settings/label", json!(label.to_string())), ("/settings/depth", json!(depth))])
    };
    let runs: Vec<Run> = (0..10).flat_map(|label| [of(label, 1), of(label, 2)]).collect();
    let report = arrange(&runs);
    assert_eq!(find(&report, "IOPS by queue depth, part 1").lines.len(), 8);
    assert_eq!(find(&report, "IOPS by queue depth, part 2").lines.len(), 2);
    let report = arrange(&(1..=100).map(|depth| of(0, depth)).collect::<Vec<_>>());
    let lines = names(find(&report, "Latency distribution by queue depth"));
    assert_eq!((lines.len(), lines[0], lines[7]), (8, "depth 1", "depth 100"));
}

/// What is drawn from these results; panics unless it is well-formed.
fn drawn(runs: &[Run]) -> (String, Vec<String>) {
    let report = arrange(runs);
    let figures: Vec<Figure> = report
        .charts
        .iter()
        .enumerate()
        .map(|(number, chart)| Figure::draw(number, chart).expect("a drawing"))
        .collect();
    let svgs: Vec<String> = figures.iter().map(|figure| chart::stand_alone(&figure.svg)).collect();
    for svg in &svgs {
        let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(document.root_element().tag_name().name(), "svg");
    }
    (page::html("<title>", runs, &report, &figures), svgs)
}

#[test]
fn a_plot_says_what_its_axes_and_lines_are() {
    let (_, svgs) = drawn(&[depth(1, 100_000.0), depth(8, 400_000.0), depth(128, 900_000.0)]);
    let document = roxmltree::Document::parse(&svgs[0]).expect("XML");
    let texts: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")))
        .filter_map(|node| node.text())
        .map(str::trim)
        .collect();
    for text in [
        "IOPS by queue depth",
        "queue depth (commands per channel)",
        "I/Os per second",
        "randread, 1 core, 1 channel, 4 KiB",
        "1",
        "8",
        "128",
        "0",
        "200k",
        "1M",
    ] {
        assert!(texts.contains(&text), "{text} is not in {texts:?}");
    }
    assert!(!svgs[0].contains("#000000"), "ink is the colour of the text around");
}

#[test]
fn texts_of_files_are_escaped_wherever_they_stand() {
    let evil = "<script>alert('x')</script>&\"\u{0}";
    let of = |label: &str, depth: u32| {
        let text = json!(label);
        run(&[
            ("/settings/label", text.clone()),
            ("/settings/depth", json!(depth)),
            ("/settings/verify", text.clone()),
            ("/settings/<b>", text),
            ("/environment/cpu", json!(evil)),
            ("/environment/profile", json!(evil)),
            ("/environment/distribution", json!(evil)),
        ])
    };
    let (html, svgs) = drawn(&[of(evil, 1), of(evil, 2), of("other", 1), of("other", 2)]);
    assert!(!html.contains("<script") && !html.contains("<b>") && !html.contains('\0'), "{html}");
    assert!(html.contains("&lt;script&gt;") && html.contains("<title>&lt;title&gt;</title>"));
    assert!(svgs[0].contains("&lt;script&gt;"));
}

#[test]
fn a_page_asks_nobody_for_anything() {
    let (html, svgs) = drawn(&[depth(1, 1.0), depth(2, 2.0)]);
    for text in svgs.iter().chain([&html]) {
        let addresses = text.replace("http://www.w3.org/2000/svg", ""); // the name of the format, which nobody fetches
        for word in ["http:", "https:", "<script", "<link", "<img", "url(", "@import", "href"] {
            assert!(!addresses.contains(word), "{word}");
        }
    }
}

/// Values that a file may hold anywhere.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just(0.0), Just(1e-300), Just(1e-9), Just(1e15), Just(0.1)].prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!([])),
        Just(json!([[0.0, 0]])),
        Just(json!([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])),
        Just(json!({})),
    ]
}

fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| pointers(member, &format!("{at}/{name}"), into))
        }
        Value::Array(members) => {
            members.iter().enumerate().for_each(|(index, member)| pointers(member, &format!("{at}/{index}"), into))
        }
        _ => {}
    }
    if !at.is_empty() {
        into.push(at.to_owned());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_a_file_holds_is_refused_or_drawn(changes in prop::collection::vec((any::<prop::sample::Index>(), anything()), 1..3), depth in 1_u64..2_000_000) {
        let mut places = Vec::new();
        pointers(&results(), "", &mut places);
        let mut drawable = vec![run(&[("/settings/depth", json!(depth))])];
        for (place, value) in changes {
            let changed = with(&[(place.get(&places).as_str(), value)]).to_string();
            drawable.extend(runs::parse("x.json", changed.as_bytes()).ok());
        }
        drawn(&drawable);
    }

    #[test]
    fn bytes_never_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = runs::parse("x.json", &bytes);
    }
}
