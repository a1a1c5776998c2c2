//! One request of a configuration and where it stands, so that an error leads there.

use std::path::Path;

use anyhow::Context;
use rpc::{Request, RpcError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::rpc::Methods;

/// One request of a configuration.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// What is asked for.
    pub(crate) request: Request,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    /// In a file: the line, from 1, and the text from there on.
    Line { line: usize, text: String },
    /// In the parameters of a request.
    Path(String),
}

/// A configuration in the parameters of a request.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subsystem {
    /// Name of the subsystem: bdev or srp.
    #[serde(rename = "subsystem")]
    _name: String,
    /// Requests, which are carried out in their order.
    config: Option<Vec<Asked>>,
}

/// A request within a configuration.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Name of the method.
    method: String,
    /// Its parameters.
    params: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    #[serde(borrow)]
    subsystems: Vec<FileSubsystem<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSubsystem<'a> {
    #[serde(rename = "subsystem")]
    _name: String,
    #[serde(borrow)]
    config: Option<Vec<&'a RawValue>>,
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("-c {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

/// Parses a configuration's text.
pub(super) fn parse(text: &str) -> anyhow::Result<Vec<Entry>> {
    let file: File = serde_json::from_str(text)
        .map_err(|error| anyhow::anyhow!("line {}, column {}: {error}", error.line(), error.column()))?;
    let mut entries = Vec::new();
    for raw in file.subsystems.iter().filter_map(|subsystem| subsystem.config.as_ref()).flatten() {
        // The raw value is a part of the text, so its address tells where it stands.
        let offset = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        let line = 1 + count_lines(&text.as_bytes()[..offset.min(text.len())]);
        let Asked { method, params } = serde_json::from_str(raw.get())
            .map_err(|error| anyhow::anyhow!("line {}: {error}", line + error.line() - 1))?;
        let place = Place::Line { line, text: raw.get().to_owned() };
        entries.push(Entry { request: Request { method, params }, place });
    }
    Ok(entries)
}

/// The requests of a configuration that came as parameters.
pub(crate) fn entries_of(subsystems: Vec<Subsystem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (index, subsystem) in subsystems.into_iter().enumerate() {
        for (number, Asked { method, params }) in subsystem.config.unwrap_or_default().into_iter().enumerate() {
            let place = Place::Path(format!("subsystems[{index}].config[{number}]"));
            entries.push(Entry { request: Request { method, params }, place });
        }
    }
    entries
}

/// Looks for what can be found without carrying anything out: methods that there are not or that have no business in a configuration,
/// and parameters that they do not take.
///
/// # Errors
/// The first, by its index.
pub(super) fn check(entries: &[Entry], methods: &Methods) -> Result<(), (usize, RpcError)> {
    for (index, Entry { request, .. }) in entries.iter().enumerate() {
        let checked = match request.method.as_str() {
            "load_config" | "srpt_config_apply" | "srpt_config_write" => {
                Err(RpcError::invalid_params("method: a configuration cannot be within another"))
            }
            method => methods.check(method, request.params.as_ref()),
        };
        checked.map_err(|error| (index, error))?;
    }
    Ok(())
}

impl Entry {
    /// Where to look for the parameter that a message names.
    pub(super) fn place(&self, message: &str) -> String {
        match &self.place {
            Place::Line { line, text } => format!("line {}", line + self.lines_to_parameter(text, message)),
            Place::Path(path) => path.clone(),
        }
    }

    fn lines_to_parameter(&self, text: &str, message: &str) -> usize {
        let quoted = |(key, _): (&String, &Value)| {
            let words = message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            words.into_iter().any(|word| word == key).then(|| format!("\"{key}\""))
        };
        let params = self.request.params.as_ref().and_then(Value::as_object);
        let named = params.and_then(|params| params.iter().find_map(quoted));
        let offset = named.and_then(|key| text.find(&key)).unwrap_or(0);
        count_lines(&text.as_bytes()[..offset])
    }
}

fn count_lines(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte == b'\n').count()
}
