//! docs/openrpc.json and docs/rpc.md: the methods, as the code itself says it.
//!
//! `UPDATE_DOCS=1 cargo test -p srpt-app documentation` writes the files; without it the test fails when a file is not what would be
//! written. Summaries stand where methods are added, descriptions above the fields of their parameters.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use proptest::prelude::RngExt;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

#[test]
fn the_files_are_what_the_code_says() {
    let document = document();
    let json = format!("{}\n", serde_json::to_string_pretty(&document).expect("a value"));
    for (name, text) in [("openrpc.json", json), ("rpc.md", reference(&document))] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).expect("docs/ is there");
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        let different = text.lines().zip(file.lines()).find(|(now, then)| now != then);
        assert!(file == text, "docs/{name} is not what the code says; UPDATE_DOCS=1 writes it. First: {different:?}");
    }
}

#[test]
fn every_parameter_is_described() {
    for method in document()["methods"].as_array().expect("a list") {
        for param in method["params"].as_array().expect("a list") {
            assert!(
                param["description"].is_string(),
                "{}: {}: say above the field what it is",
                method["name"],
                param["name"]
            );
        }
    }
}

fn document() -> Value {
    super::describe(&super::methods())
}

fn reference(document: &Value) -> String {
    let mut text = String::from(
        "# JSON-RPC: the methods\n\n\
         Written from the code (`UPDATE_DOCS=1 cargo test -p srpt-app documentation`), and compared with it by every test run. Requests go to the socket \
         that `-r` names, in the form of JSON-RPC 2.0 and with parameters by name; what is unknown or wrong is refused with its name. [openrpc.json](openrpc.json), \
         which `rpc.discover` answers too, says the same to programs.\n\n\
         Names and parameters are SPDK's where SPDK has the method. A refusal has one of JSON-RPC's codes (-32602: a parameter is wrong), or the negative number \
         of a Linux error (-17: it exists, -19: there is no such thing, -16: it is in use).\n",
    );
    for method in document["methods"].as_array().into_iter().flatten() {
        put_method(&mut text, method);
    }
    text
}

fn put_method(text: &mut String, method: &Value) {
    let string = |value: &Value| value.as_str().unwrap_or_default().to_string();
    write!(text, "\n## {}\n\n{}.\n", string(&method["name"]), string(&method["summary"])).expect("a string takes all");
    let params = method["params"].as_array().filter(|params| !params.is_empty());
    if params.is_some() {
        text.push_str("\n| parameter | type | | |\n|---|---|---|---|\n");
    }
    for param in params.into_iter().flatten() {
        let schema = &param["schema"];
        let default = match (&param["required"], schema.get("default")) {
            (Value::Bool(true), _) => "required".into(),
            (_, Some(default)) if !default.is_null() => format!("default {default}"),
            _ => String::new(),
        };
        let (name, description) = (string(&param["name"]), string(&param["description"]));
        writeln!(text, "| {name} | {} | {default} | {description} |", kind(schema)).expect("a string takes all");
    }
}

/// A schema's type in words.
fn kind(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        return values.join(", ");
    }
    let alternatives = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
    if let Some(alternatives) = alternatives {
        let alternatives = alternatives.iter().filter(|schema| schema["type"] != "null");
        let kinds: Vec<String> = alternatives.map(constant_or_kind).collect();
        return kinds.join(", ");
    }
    let name = |name: &Value| name.as_str().filter(|name| *name != "null").map(str::to_string);
    let names: Vec<String> = match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(name).collect(),
        one => name(one).into_iter().collect(),
    };
    match names.join(" or ").as_str() {
        "" => "any".into(),
        "array" => format!("list of {}", kind(&schema["items"])),
        other => other.into(),
    }
}

fn constant_or_kind(schema: &Value) -> String {
    schema["const"].as_str().map(|value| format!("`{value}`")).unwrap_or_else(|| kind(schema))
}

/// Requests at random, by what is described: whoever believes the description is not told that a parameter is unknown, missing or of
/// another type; and what the parser takes is described.
#[test]
fn the_description_and_the_parsers_agree() {
    let methods = super::methods();
    let mut random = TestRunner::deterministic();
    for method in methods.describe() {
        let is_ip = |text: &str| text.parse::<IpAddr>().is_ok();
        let options = jsonschema::options().should_validate_formats(true).with_format("ip", is_ip);
        let schema = options.build(&method.params).expect("a schema");
        let properties = method.params["properties"].as_object().cloned().unwrap_or_default();
        for _ in 0..300 {
            let params = draw(&properties, &mut random);
            let parsed = methods.check(method.name, Some(&params));
            assert_eq!(schema.is_valid(&params), parsed.is_ok(), "{}: {params}: {parsed:?}", method.name);
        }
    }
}

/// Some of the properties, mostly of their type, and now and then one that there is not.
fn draw(properties: &Map<String, Value>, random: &mut TestRunner) -> Value {
    let mut params = Map::new();
    for (name, schema) in properties {
        if random.rng().random_ratio(3, 4) {
            params.insert(name.clone(), draw_value(schema, random));
        }
    }
    if random.rng().random_ratio(1, 20) {
        params.insert("another".into(), 1.into());
    }
    params.into()
}

fn draw_value(schema: &Value, random: &mut TestRunner) -> Value {
    if random.rng().random_ratio(1, 20) {
        let values = [json!(null), json!("x"), json!(-1), json!(true), json!([1]), json!({}), json!(1.5)];
        return values[random.rng().random_range(0..values.len())].clone();
    }
    let choices = schema["enum"].as_array().or(schema["anyOf"].as_array()).or(schema["oneOf"].as_array());
    if let Some(choices) = choices {
        let choice = &choices[random.rng().random_range(0..choices.len())];
        return if choice.is_object() { draw_value(choice, random) } else { choice.clone() };
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => &kinds[random.rng().random_range(0..kinds.len())],
        kind => kind,
    };
    match kind.as_str().unwrap_or_default() {
        "integer" => random.rng().random_range(0..200).into(),
        "boolean" => random.rng().random_bool(0.5).into(),
        "string" => match schema["format"].as_str() {
            Some("uuid") => "6b29fc40-ca47-1067-b31d-00dd010662da".into(),
            Some("ip") => "::1".into(),
            _ => "0a1b".into(),
        },
        "array" => json!([draw_value(&schema["items"], random)]),
        "object" => json!({"a": "b"}),
        _ => Value::Null,
    }
}
