//! Every metric and label that a dashboard or a rule uses is one that there is.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::label::Matchers;
use promql_parser::parser::{self, Expr, LabelModifier};
use serde_yaml_ng::Value;

use super::{ALL, scripts};
use crate::metrics::families;

/// Labels that Prometheus itself puts on everything.
const OF_SCRAPES: [&str; 2] = ["job", "instance"];

/// What can be asked for: names of samples with their labels.
type Names = BTreeMap<String, BTreeSet<String>>;

#[test]
fn dashboards_ask_for_what_there_is() {
    let names = names();
    for dashboard in ALL {
        for variable in dashboard.variables {
            let labels = names.get(variable.metric).unwrap_or_else(|| panic!("no metric {}", variable.metric));
            assert!(
                labels.contains(variable.label),
                "{}: {} has no {}",
                dashboard.name,
                variable.metric,
                variable.label
            );
        }
        for panel in dashboard.panels {
            for query in panel.queries {
                let place = format!("{}: {}", dashboard.name, panel.title);
                let labels = check(&query.expression.replace("$interval", "5m"), &names, &place);
                for part in query.legend.split('{').skip(1) {
                    let label = part.split('}').next().unwrap_or_default();
                    assert!(labels.contains(label), "{place}: the legend has {label}, the result does not: {labels:?}");
                }
                for variable in query.expression.split("=~\"$").skip(1) {
                    let variable = variable.split('"').next().unwrap_or_default();
                    assert!(
                        dashboard.variables.iter().any(|it| it.label == variable),
                        "{place}: no choice of {variable}"
                    );
                }
            }
        }
    }
}

#[test]
fn rules_ask_for_what_there_is_and_say_what_they_know() {
    let text = std::fs::read_to_string(scripts().join("prometheus/srpt.rules.yml")).expect("the rules");
    let file: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    let rules =
        || file["groups"].as_sequence().into_iter().flatten().flat_map(|group| group["rules"].as_sequence()).flatten();
    let string = |rule: &Value, key: &str| rule[key].as_str().map(str::to_string);
    let mut names = names();
    for rule in rules() {
        let expression = string(rule, "expr").expect("an expression");
        let Some(record) = string(rule, "record") else { continue };
        let labels = check(&expression, &names, &record);
        names.insert(record, labels);
    }
    let mut alerts = 0;
    for rule in rules() {
        let Some(alert) = string(rule, "alert") else { continue };
        let labels = check(&string(rule, "expr").expect("an expression"), &names, &alert);
        for annotation in ["summary", "description"] {
            let text =
                rule["annotations"][annotation].as_str().unwrap_or_else(|| panic!("{alert} has no {annotation}"));
            for part in text.split("$labels.").skip(1) {
                let label = part.split(' ').next().unwrap_or_default();
                assert!(labels.contains(label), "{alert}: {annotation} has {label}, the result does not: {labels:?}");
            }
        }
        alerts += 1;
    }
    assert!(alerts > 0);
    let tests = std::fs::read_to_string(scripts().join("prometheus/srpt.rules.test.yml")).expect("the tests");
    let untested = rules()
        .filter_map(|rule| string(rule, "alert"))
        .find(|alert| !tests.contains(&format!("alertname: {alert}\n")));
    assert_eq!(untested, None, "each alert has a test");
}

/// A name, a label of a selector, of an aggregation, of a legend: each kind of mistake is found.
#[test]
fn mistakes_are_found() {
    let names = names();
    for wrong in [
        "srpt_lun_operation_total",
        "rate(srpt_lun_latency_seconds[5m])",
        "srpt_lun_operations_total{op=\"read\"}",
        "sum by (lun, le) (srpt_lun_operations_total)",
        "srpt_bdev_up * on (lun) srpt_lun_info",
    ] {
        let found = std::panic::catch_unwind(|| check(wrong, &names, "wrong"));
        assert!(found.is_err(), "{wrong}");
    }
}

fn names() -> Names {
    let mut names = Names::new();
    let with_scrape =
        |labels: &[&str]| labels.iter().chain(&OF_SCRAPES).map(ToString::to_string).collect::<BTreeSet<_>>();
    for family in families::ALL.iter().flat_map(|(_, families)| families.iter()) {
        for name in family.sample_names() {
            let mut labels = with_scrape(family.labels);
            if name.ends_with("_bucket") {
                labels.insert("le".into());
            }
            names.insert(name, labels);
        }
    }
    names.insert("up".into(), with_scrape(&[]));
    names.insert("ALERTS".into(), with_scrape(&["alertname", "alertstate"]));
    names
}

/// Panics on what there is not; otherwise the labels that the result has, or may have.
fn check(expression: &str, names: &Names, place: &str) -> BTreeSet<String> {
    let parsed = parser::parse(expression).unwrap_or_else(|error| panic!("{place}: {error}: {expression}"));
    labels_of(&parsed, names, place)
}

fn labels_of(expression: &Expr, names: &Names, place: &str) -> BTreeSet<String> {
    let of = |expression: &Expr| labels_of(expression, names, place);
    match expression {
        Expr::VectorSelector(selector) => of_selector(selector.name.as_deref(), &selector.matchers, names, place),
        Expr::MatrixSelector(selector) => of_selector(selector.vs.name.as_deref(), &selector.vs.matchers, names, place),
        Expr::Aggregate(aggregate) => {
            let inner = of(&aggregate.expr);
            match &aggregate.modifier {
                // topk and its like keep what there is.
                None if aggregate.param.is_some() => inner,
                None => BTreeSet::new(),
                Some(LabelModifier::Include(by)) => among(&by.labels, &inner, place),
                Some(LabelModifier::Exclude(without)) => &inner - &among(&without.labels, &inner, place),
            }
        }
        Expr::Binary(binary) => {
            let (left, right) = (of(&binary.lhs), of(&binary.rhs));
            if let Some(LabelModifier::Include(on) | LabelModifier::Exclude(on)) =
                binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref())
            {
                among(&on.labels, &left, place);
                among(&on.labels, &right, place);
            }
            if left.is_empty() { right } else { left }
        }
        Expr::Call(call) => call.args.args.iter().flat_map(|argument| of(argument)).collect(),
        Expr::Paren(paren) => of(&paren.expr),
        Expr::Unary(unary) => of(&unary.expr),
        Expr::Subquery(subquery) => of(&subquery.expr),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => BTreeSet::new(),
        Expr::Extension(_) => panic!("{place}: no query of ours has one"),
    }
}

fn of_selector(name: Option<&str>, matchers: &Matchers, names: &Names, place: &str) -> BTreeSet<String> {
    let name = name.unwrap_or_else(|| panic!("{place}: a selector without a name"));
    let labels = names.get(name).unwrap_or_else(|| panic!("{place}: there is no metric {name}"));
    let used: Vec<String> = matchers.matchers.iter().map(|matcher| matcher.name.clone()).collect();
    among(&used, labels, &format!("{place}: {name}"));
    labels.clone()
}

fn among(labels: &[String], all: &BTreeSet<String>, place: &str) -> BTreeSet<String> {
    let strange = labels.iter().find(|label| !all.contains(*label));
    assert!(strange.is_none(), "{place}: there is no label {strange:?} among {all:?}");
    labels.iter().cloned().collect()
}
