//! `call`: any method.

use clap::{Arg, ArgMatches, Command};
use serde_json::{Map, Value};

use super::Own;
use crate::cli::Session;
use crate::failure::Failure;
use crate::methods::{self, Kind};
use crate::output::units;
use crate::output::views::View;
use crate::request;

pub(crate) const CALL: Own = Own { build, run, methods: &[] };

fn build(command: Command) -> Command {
    command
        .about("Calls any method of the target")
        .after_help("`srptctl methods` lists the methods, docs/rpc.md describes them.")
        .arg(Arg::new("method").value_name("METHOD").required(true).help("Name of the method"))
        .arg(
            Arg::new("params")
                .value_name("NAME=VALUE|JSON")
                .num_args(0..)
                .allow_hyphen_values(true)
                .help("Its parameters: NAME=VALUE each, where a value may be JSON, or one JSON object"),
        )
}

fn run(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let method = matches.get_one::<String>("method").map(String::as_str).unwrap_or_default();
    let words: Vec<&str> = matches.get_many::<String>("params").into_iter().flatten().map(String::as_str).collect();
    let params = parse(method, &words).map_err(Failure::Usage)?;
    session.output.answer(&View::Json, &session.target.call(method, params.into())?)
}

fn parse(method: &str, words: &[&str]) -> Result<Map<String, Value>, String> {
    if let [text] = words
        && text.trim_start().starts_with('{')
    {
        return serde_json::from_str(text).map_err(|error| format!("{text}: no JSON object: {error}"));
    }
    let method = methods::find(method);
    let mut params = Map::new();
    for word in words {
        let (name, text) = word.split_once('=').ok_or_else(|| format!("{word}: NAME=VALUE, or one JSON object"))?;
        let kind = method.and_then(|method| method.param(name)).map_or(Kind::Json, |param| param.kind());
        let value = match kind {
            Kind::Text | Kind::Hex => text.into(),
            Kind::Integer => units::parse_bytes(text).unwrap_or_else(|_| request::guess(text)),
            Kind::Texts if !text.starts_with('[') => text.split(',').collect(),
            Kind::Integers if !text.starts_with('[') => text.split(',').map(request::guess).collect(),
            _ => request::guess(text),
        };
        if params.insert(name.into(), value).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_read_as_what_they_are() {
        for (method, words, expected) in [
            ("bdev_get_bdevs", vec![], json!({})),
            ("bdev_get_bdevs", vec!["name=12"], json!({"name": "12"})),
            (
                "srp_create_target",
                vec!["name=t", "id_ext=10", "ioc_guid=0x2"],
                json!({"name": "t", "id_ext": "10", "ioc_guid": "0x2"}),
            ),
            ("bdev_null_create", vec!["num_blocks=8", "block_size=4k"], json!({"num_blocks": 8, "block_size": 4096})),
            (
                "srp_create_initiator_group",
                vec!["name=g", "initiators=a,b", "luns=0,1"],
                json!({"name": "g", "initiators": ["a", "b"], "luns": [0, 1]}),
            ),
            ("srp_create_initiator_group", vec!["luns=[]"], json!({"luns": []})),
            ("not_yet_known", vec!["a=1", "b=x", "c=[1]", "d=true"], json!({"a": 1, "b": "x", "c": [1], "d": true})),
            ("not_yet_known", vec![r#"{"a": {"b": null}}"#], json!({"a": {"b": null}})),
        ] {
            assert_eq!(parse(method, &words).map(Value::Object), Ok(expected), "{method} {words:?}");
        }
        for words in [vec!["name"], vec!["{"], vec!["a=1", "a=2"], vec!["{}", "{}"]] {
            assert!(parse("m", &words).is_err(), "{words:?}");
        }
    }
}
