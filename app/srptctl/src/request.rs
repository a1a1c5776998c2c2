//! From the command line to a method's parameters: which arguments there are for them, and what was given.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, ValueHint};
use serde_json::{Map, Value};

use crate::methods::{Kind, Method, Param};
use crate::output::units;
use crate::verbs::Verb;

/// The size in bytes that stands for a number of blocks, of methods that take no size.
const SIZE: &str = "size";
const NUM_BLOCKS: &str = "num_blocks";

/// The arguments of a verb that calls `method`.
pub(crate) fn arguments(verb: &Verb, method: &Method) -> Vec<Arg> {
    let offered = method.params.iter().filter(|param| !verb.hidden.contains(&param.name.as_str()));
    let mut arguments: Vec<Arg> = offered.map(|param| argument(verb, method, param)).collect();
    if takes_size(method) {
        let size = Arg::new(SIZE).long(SIZE).value_name("SIZE").value_parser(units::parse_bytes);
        arguments.push(size.help("Size, as 64M or 10G, in place of --num-blocks").conflicts_with(NUM_BLOCKS));
    }
    arguments
}

/// Whether a size in bytes may stand for its number of blocks.
fn takes_size(method: &Method) -> bool {
    method.param(NUM_BLOCKS).is_some() && method.param(SIZE).is_none()
}

/// Long option of a parameter.
pub(crate) fn option(name: &str) -> String {
    name.replace('_', "-")
}

fn argument(verb: &Verb, method: &Method, param: &Param) -> Arg {
    let place = verb.positional.iter().position(|name| *name == param.name);
    let default = verb.defaults.iter().find(|(name, _)| *name == param.name).map(|(_, value)| *value);
    let kind = param.kind();
    let many = matches!(kind, Kind::Integers | Kind::Texts | Kind::Map);
    let mut arg = Arg::new(&param.name).value_name(value_name(param)).help(help(param, default));
    arg = match place {
        Some(place) => arg.index(place + 1),
        None => arg.long(option(&param.name)),
    };
    arg = match place {
        _ if !many => arg.action(ArgAction::Set),
        Some(_) => arg.action(ArgAction::Append).num_args(1..).value_delimiter(','),
        // Without a value it is an empty list.
        None => arg.action(ArgAction::Append).value_delimiter(',').num_args(0..=1).default_missing_value(""),
    };
    if kind == Kind::Boolean && place.is_none() {
        arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
    }
    let in_blocks = takes_size(method) && param.name == NUM_BLOCKS;
    arg = match default {
        _ if in_blocks => arg.required_unless_present(SIZE),
        None => arg.required(is_required(verb, method, param)),
        Some(_) => arg,
    };
    let values = param.values();
    if !values.is_empty() {
        let names: Vec<String> = values.into_iter().map(str::to_owned).collect();
        return arg.value_parser(PossibleValuesParser::new(names).map(Value::from));
    }
    if kind == Kind::Boolean {
        let names = ["true", "false", "on", "off", "yes", "no"];
        return arg.hide_possible_values(true).value_parser(
            PossibleValuesParser::new(names).map(|text| Value::from(matches!(&text[..], "true" | "on" | "yes"))),
        );
    }
    let unit = unit(&param.name);
    arg.value_parser(move |text: &str| parse(kind, unit, text))
        .value_hint(hint(&param.name))
        .allow_negative_numbers(true)
}

/// Whether it has to be given: the method needs it, or the verb does, or what stands behind it by place.
fn is_required(verb: &Verb, method: &Method, param: &Param) -> bool {
    let behind = verb.positional.iter().skip_while(|name| **name != param.name).filter_map(|name| method.param(name));
    param.required
        || behind.into_iter().any(|param| param.required)
        || verb.select.is_some_and(|member| member == param.name)
}

fn value_name(param: &Param) -> String {
    match param.kind() {
        Kind::Map => "NAME=VALUE".into(),
        _ => param.name.to_ascii_uppercase(),
    }
}

fn help(param: &Param, default: Option<&str>) -> String {
    let text = param.description.trim_end_matches('.').to_string();
    match (default, param.default()) {
        (Some(value), _) => format!("{text} [default: {value}]"),
        (None, Some(value)) => {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{text} [default: {value}]")
        }
        (None, None) => text,
    }
}

fn hint(name: &str) -> ValueHint {
    match name {
        "filename" | "device" | "config_file" | "key_file" => ValueHint::FilePath,
        _ => ValueHint::Unknown,
    }
}

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    One,
    Bytes,
    Mebibytes,
}

fn unit(name: &str) -> Unit {
    match name {
        "size" | "block_size" | "physical_block_size" => Unit::Bytes,
        "new_size" | "split_size_mb" => Unit::Mebibytes,
        _ => Unit::One,
    }
}

/// One argument as a value; of lists, one element (null for an empty one).
fn parse(kind: Kind, unit: Unit, text: &str) -> Result<Value, String> {
    let number = |text: &str| text.parse::<u64>().map(Value::from).or_else(|_| text.parse::<i64>().map(Value::from));
    match (kind, unit) {
        (Kind::Integer, Unit::Bytes) => units::parse_bytes(text),
        (Kind::Integer, Unit::Mebibytes) if text.parse::<u64>().is_err() => mebibytes(&units::parse_bytes(text)?),
        (Kind::Integer, _) => number(text).map_err(|_| "a whole number is needed".into()),
        (Kind::Integers | Kind::Texts | Kind::Map, _) if text.is_empty() => Ok(Value::Null),
        (Kind::Integers, _) => number(text).map_err(|_| "whole numbers are needed, as 0,1,5".into()),
        (Kind::Map, _) => match text.split_once('=') {
            Some((name, value)) => Ok(Map::from_iter([(name.to_owned(), value.into())]).into()),
            None => Err("NAME=VALUE is needed".into()),
        },
        (Kind::Json, _) => Ok(guess(text)),
        (Kind::Boolean | Kind::Text | Kind::Hex | Kind::Texts, _) => Ok(text.into()),
    }
}

/// JSON if it is some, else the text itself.
pub(crate) fn guess(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// MiB of a number of bytes.
pub(crate) fn mebibytes(bytes: &Value) -> Result<Value, String> {
    match bytes.as_u64() {
        Some(bytes) if bytes % (1 << 20) == 0 => Ok((bytes >> 20).into()),
        _ => Err("whole MiB are needed".into()),
    }
}

/// The parameters that were given.
///
/// # Errors
/// Says what is wrong with the arguments.
pub(crate) fn params(verb: &Verb, method: &Method, matches: &ArgMatches) -> Result<Map<String, Value>, String> {
    let mut params = Map::new();
    for param in method.params.iter().filter(|param| !verb.hidden.contains(&param.name.as_str())) {
        let given: Vec<Value> =
            matches.get_many::<Value>(&param.name).map(|values| values.cloned().collect()).unwrap_or_default();
        let default = verb.defaults.iter().find(|(name, _)| *name == param.name).map(|(_, value)| guess(value));
        if let Some(value) = value(param.kind(), given).or(default) {
            params.insert(param.name.clone(), value);
        }
    }
    if takes_size(method)
        && let Some(bytes) = matches.get_one::<Value>(SIZE).and_then(Value::as_u64)
    {
        let block_bytes = params.get("block_size").and_then(Value::as_u64).unwrap_or(1).max(1);
        if bytes % block_bytes != 0 {
            return Err(format!("--size: {bytes} bytes are not a multiple of the block size, {block_bytes}"));
        }
        params.insert(NUM_BLOCKS.into(), (bytes / block_bytes).into());
    }
    Ok(params)
}

/// What the given arguments say together; `None` if there are none.
fn value(kind: Kind, given: Vec<Value>) -> Option<Value> {
    if given.is_empty() {
        return None;
    }
    match kind {
        Kind::Integers | Kind::Texts => Some(given.into_iter().filter(|one| !one.is_null()).collect()),
        Kind::Map => {
            let entries =
                given.into_iter().filter_map(|one| if let Value::Object(map) = one { Some(map) } else { None });
            Some(Value::Object(entries.flatten().collect()))
        }
        _ => given.into_iter().next(),
    }
}

/// Which arguments of a verb the parameters are that a refusal names, in words: one line for each.
///
/// Messages begin with the names of the parameters that they are about: `lun: there is no LUN 7`, `state, preferred: one of the two is needed`.
pub(crate) fn explain(verb: &Verb, method: &Method, message: &str) -> Vec<String> {
    let message = message.strip_prefix("Invalid parameters: ").unwrap_or(message);
    let Some((names, _)) = message.split_once(':') else { return Vec::new() };
    let named = names.split([',', ' ', '.', '[']).filter_map(|word| method.param(word));
    let explained = named.map(|param| {
        let by_place = verb.positional.contains(&param.name.as_str());
        match by_place {
            true => format!("{} is the argument <{}>", param.name, value_name(param)),
            false => format!("{} is the option --{}", param.name, option(&param.name)),
        }
    });
    explained.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods;
    use crate::verbs::{Action, VERBS};
    use serde_json::json;

    /// What a command line says.
    fn given(line: &str) -> Result<Value, String> {
        let command = crate::cli::command();
        let matches = command.try_get_matches_from(line.split(' ')).map_err(|error| error.to_string())?;
        let (verb, matches) = crate::cli::find_verb(&matches).expect("a verb");
        let Action::Call(method) = verb.action else { panic!("{line} calls no method") };
        params(verb, methods::find(method).expect("a method"), matches).map(Value::Object)
    }

    #[test]
    fn arguments_become_parameters() {
        for (line, expected) in [
            ("srptctl bdev list", json!({})),
            (
                "srptctl bdev create null n0 --size 1G",
                json!({"num_blocks": 2_097_152, "block_size": 512, "name": "n0"}),
            ),
            ("srptctl bdev create malloc --num-blocks 8 --block-size 4k", json!({"num_blocks": 8, "block_size": 4096})),
            (
                "srptctl bdev create uring d /d.img --size 10M --nv-cache --direct=false",
                json!({"filename": "/d.img", "name": "d", "size": 10_485_760, "nv_cache": true, "direct": false}),
            ),
            ("srptctl bdev set-read-only d", json!({"name": "d", "read_only": true})),
            ("srptctl bdev set-read-only d off", json!({"name": "d", "read_only": false})),
            ("srptctl bdev stats a b", json!({"names": ["a", "b"]})),
            ("srptctl listener create ::1 --fabric roce", json!({"address": "::1", "port": 5555, "fabric": "roce"})),
            (
                "srptctl listener create-interface eth0 5556 --family ipv6",
                json!({"interface": "eth0", "port": 5556, "family": "ipv6"}),
            ),
            ("srptctl listener delete-interface eth0", json!({"interface": "eth0", "port": 5555})),
            (
                "srptctl group create g 10.0.0.* !10.0.0.9 --luns 0,5",
                json!({"name": "g", "initiators": ["10.0.0.*", "!10.0.0.9"], "luns": [0, 5]}),
            ),
            ("srptctl group create g *", json!({"name": "g", "initiators": ["*"]})),
            (
                "srptctl bdev create rbd pool image --config mon_host=::1 --config key=a=b",
                json!({"pool_name": "pool", "rbd_name": "image", "block_size": 512, "config": {"mon_host": "::1", "key": "a=b"}}),
            ),
            ("srptctl port-group create a --implicit=false", json!({"name": "a", "implicit": false})),
            ("srptctl stop", json!({"sig_name": "SIGTERM"})),
            (
                "srptctl target create t 0x1 0002c90300001234",
                json!({"name": "t", "id_ext": "0x1", "ioc_guid": "0002c90300001234"}),
            ),
        ] {
            assert_eq!(given(line), Ok(expected), "{line}");
        }
        let empty = crate::cli::command().try_get_matches_from(["srptctl", "group", "create", "g", "*", "--luns", ""]);
        let matches = empty.expect("a list that is empty");
        let (verb, matches) = crate::cli::find_verb(&matches).expect("a verb");
        let method = methods::find("srp_create_initiator_group").expect("a method");
        assert_eq!(params(verb, method, matches).expect("parameters")["luns"], json!([]));
    }

    #[test]
    fn what_is_wrong_is_said_by_its_argument() {
        for (line, words) in [
            ("srptctl lun add t", "<BDEV_NAME>"),
            ("srptctl listener create", "<ADDRESS>"),
            ("srptctl listener create-interface", "<INTERFACE>"),
            ("srptctl lun add t b --lun x", "--lun"),
            ("srptctl bdev create null n --block-size 4096", "--num-blocks"),
            ("srptctl bdev create null n --size 1000", "--size: 1000 bytes are not a multiple"),
            ("srptctl port-group set-state a sleepy", "optimized"),
            ("srptctl bdev create uring d /d --read-only", "--readonly"),
            ("srptctl target show", "<NAME>"),
        ] {
            let error = given(line).expect_err(line);
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn a_refusal_s_parameters_are_named_as_arguments() {
        let explained = |path: &str, message: &str| {
            let verb = VERBS.iter().find(|verb| verb.path == path).expect("a verb");
            let Action::Call(method) = verb.action else { panic!("{path} calls no method") };
            explain(verb, methods::find(method).expect("a method"), message)
        };
        assert_eq!(explained("lun add", "bdev_name: there is no bdev x"), ["bdev_name is the argument <BDEV_NAME>"]);
        assert_eq!(
            explained("port-group set-state", "Invalid parameters: state, preferred: one of the two is needed"),
            ["state is the argument <STATE>", "preferred is the option --preferred"]
        );
        assert_eq!(explained("lun add", "no parameter at all"), [""; 0]);
    }
}
