//! A dashboard as Grafana's JSON model. The data source is chosen on the page, so that a file can be imported anywhere.

use serde_json::{Value, json};

use super::{Dashboard, Kind, Panel, Query, Unit, Variable};

const COLUMNS: u64 = 24;

pub(super) fn write(dashboard: &Dashboard) -> String {
    let (mut x, mut y, mut row_height) = (0, 0, 0);
    let mut panels = Vec::new();
    for (id, panel) in (1..).zip(dashboard.panels) {
        let (width, height) = (u64::from(panel.width), height(panel));
        if x + width > COLUMNS {
            (x, y, row_height) = (0, y + row_height, 0);
        }
        panels.push(write_panel(panel, id, json!({"x": x, "y": y, "w": width, "h": height})));
        (x, row_height) = (x + width, row_height.max(height));
    }
    let source = json!({"name": "datasource", "label": "data source", "type": "datasource", "query": "prometheus"});
    let variables = (0..dashboard.variables.len()).map(|at| write_variable(dashboard.variables, at));
    let choices: Vec<Value> = [source].into_iter().chain(variables).collect();
    let document = json!({
        "uid": dashboard.name,
        "title": dashboard.title,
        "tags": ["srpt"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{"title": "srpt", "type": "dashboards", "tags": ["srpt"], "includeVars": true, "keepTime": true, "asDropdown": false}],
        "templating": {"list": choices},
        "panels": panels,
    });
    format!("{document:#}\n")
}

fn height(panel: &Panel) -> u64 {
    if panel.kind == Kind::Stat { 4 } else { 8 }
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// Values of a label, narrowed by the variables before it.
fn write_variable(variables: &[Variable], at: usize) -> Value {
    let Variable { label, metric } = variables[at];
    let before = &variables[..at];
    let matchers: Vec<String> = before.iter().map(|it| format!("{}=~\"${}\"", it.label, it.label)).collect();
    let query = format!("label_values({metric}{{{}}}, {label})", matchers.join(","));
    json!({
        "name": label, "label": label, "type": "query", "datasource": source(), "query": {"query": query, "refId": label}, "definition": query,
        "refresh": 2, "sort": 3, "multi": true, "includeAll": true, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
    })
}

fn write_panel(panel: &Panel, id: u32, position: Value) -> Value {
    let unit = match panel.unit {
        Unit::Number => "short",
        Unit::PerSecond => "ops",
        Unit::Bytes => "bytes",
        Unit::BytesPerSecond => "binBps",
        Unit::Seconds => "s",
        Unit::Ratio => "percentunit",
    };
    let targets: Vec<Value> =
        ('A'..).zip(panel.queries).map(|(letter, query)| write_target(panel.kind, letter, query)).collect();
    let (kind, options, custom) = match panel.kind {
        Kind::Graph => (
            "timeseries",
            json!({"legend": {"showLegend": true, "displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
                "tooltip": {"mode": "multi", "sort": "desc"}}),
            json!({"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}),
        ),
        Kind::Stat => (
            "stat",
            json!({"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none", "graphMode": "area"}),
            json!({}),
        ),
        Kind::Table => ("table", json!({"showHeader": true}), json!({"align": "auto"})),
    };
    let mut written = json!({
        "id": id, "title": panel.title, "type": kind, "gridPos": position, "datasource": source(), "targets": targets, "options": options,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": custom}, "overrides": []},
    });
    if panel.kind == Kind::Table {
        let hidden = json!({"Time": true, "job": true, "__name__": true});
        written["transformations"] = json!([{"id": "organize", "options": {"excludeByName": hidden}}]);
    }
    written
}

fn write_target(kind: Kind, letter: char, query: &Query) -> Value {
    let mut target = json!({
        "refId": letter.to_string(),
        "datasource": source(),
        "editorMode": "code",
        "expr": query.expression.replace("$interval", "$__rate_interval"),
        "legendFormat": query.legend.replace('{', "{{").replace('}', "}}"),
    });
    match kind {
        Kind::Table => {
            target["instant"] = true.into();
            target["format"] = "table".into();
        }
        Kind::Graph | Kind::Stat => target["range"] = true.into(),
    }
    target
}
