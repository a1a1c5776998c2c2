//! One request of a configuration and where it stands, so that an error leads there.

use std::fs::File as OpenFile;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context;
use rpc::{Request, RpcError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::file::FILE_BYTES_MAX;
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
    /// Name of the subsystem: bdev, scheduler or srp.
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

/// Reads a file, which may be a pipe at the start of the process.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut text = String::new();
    let read = OpenFile::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    read.with_context(|| format!("-c {}", path.display()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        anyhow::bail!("-c {}: it is longer than {FILE_BYTES_MAX} bytes: is it a configuration?", path.display());
    }
    parse(&text).with_context(|| path.display().to_string())
}

/// Reads a file again. Of a pipe there is nothing more to come, and waiting for it would never end.
pub(super) fn read_again(path: &Path) -> anyhow::Result<Vec<Entry>> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        anyhow::bail!("-c {}: it is no regular file, and cannot be read again", path.display());
    }
    read(path)
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
        let wrong =
            |error: serde_json::Error| anyhow::anyhow!("line {}: {error}", line + error.line().saturating_sub(1));
        rpc::parse_json(raw.get().as_bytes()).map_err(wrong)?;
        let Asked { method, params } = serde_json::from_str(raw.get()).map_err(wrong)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The last of the two was taken: a LUN under a number that nobody meant.
    #[test]
    fn a_parameter_that_stands_twice_is_named_with_its_line() {
        let text = "{\"subsystems\": [{\"subsystem\": \"srp\", \"config\": [\n{\"method\": \"m\", \"params\": {\n\"lun\": 0,\n\"lun\": 1}}]}]}";
        let error = parse(text).expect_err("which of them?").to_string();
        assert!(error.starts_with("line 4: key `lun` stands twice"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_again_or_has_no_end_is_not() {
        for device in ["/dev/zero", "/dev/null"] {
            let error = read_again(Path::new(device)).expect_err("no file").to_string();
            assert!(error.contains("no regular file"), "{error}");
        }
        let error = read(Path::new("/dev/zero")).expect_err("no end").to_string();
        assert!(error.contains("longer than"), "{error}");
    }
}
