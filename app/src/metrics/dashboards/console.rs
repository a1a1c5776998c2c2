//! A dashboard as a console template of Prometheus. The page says what to show; scripts/prometheus/console_libraries/srpt.lib draws it
//! in the browser with nothing but Prometheus' HTTP API.

use std::fmt::Write;

use super::{ALL, Dashboard, Kind, Panel, Unit};

pub(super) fn write(dashboard: &Dashboard) -> String {
    let mut text = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n");
    put(&mut text, format_args!("<title>{}</title>\n{{{{ template \"srpt_head\" }}}}\n</head>\n", dashboard.title));
    put(&mut text, format_args!("<body data-prefix=\"{{{{ pathPrefix }}}}\">\n<nav>"));
    for page in ALL {
        let here = if page.name == dashboard.name { " class=\"here\"" } else { "" };
        put(&mut text, format_args!("<a href=\"{}.html\"{here}>{}</a>", page.name, page.title));
    }
    put(&mut text, format_args!("<form id=\"choices\">"));
    for variable in dashboard.variables {
        let (label, metric) = (variable.label, variable.metric);
        put(
            &mut text,
            format_args!("<label>{label} <select name=\"{label}\" data-metric=\"{metric}\"></select></label>"),
        );
    }
    text.push_str("<label>range <select name=\"range\"></select></label></form></nav>\n<main>\n");
    dashboard.panels.iter().for_each(|panel| put_panel(&mut text, panel));
    text.push_str("</main>\n</body>\n</html>\n");
    text
}

fn put_panel(text: &mut String, panel: &Panel) {
    let kind = match panel.kind {
        Kind::Graph => "graph",
        Kind::Stat => "stat",
        Kind::Table => "table",
    };
    let unit = match panel.unit {
        Unit::Number => "number",
        Unit::PerSecond => "persecond",
        Unit::Bytes => "bytes",
        Unit::BytesPerSecond => "bytespersecond",
        Unit::Seconds => "seconds",
        Unit::Ratio => "ratio",
    };
    let (width, title) = (panel.width, panel.title);
    put(
        text,
        format_args!("<section class=\"{kind} w{width}\" data-kind=\"{kind}\" data-unit=\"{unit}\"><h2>{title}</h2>"),
    );
    for query in panel.queries {
        let (expression, legend) = (escape(query.expression), escape(query.legend));
        put(text, format_args!("<data value=\"{expression}\" data-legend=\"{legend}\"></data>"));
    }
    text.push_str("<div class=\"picture\"></div></section>\n");
}

/// HTML's entities.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a string takes all");
}
