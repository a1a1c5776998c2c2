//! Configurations in files: `{"subsystems": [{"subsystem": NAME, "config": [{"method": NAME, "params": {…}}, …]}, …]}`, with the line of each
//! request, and what can be said against it without the target.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::methods::{self, Method};

/// A request of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) params: Map<String, Value>,
}

impl Request {
    pub(crate) fn new(method: &str, params: Value) -> Request {
        let params = if let Value::Object(params) = params { params } else { Map::new() };
        Request { method: method.into(), params }
    }

    pub(crate) fn json(&self) -> Value {
        json!({"method": self.method, "params": self.params})
    }

    /// The subsystem that it stands in.
    fn subsystem(&self) -> &'static str {
        if self.method.starts_with("bdev_") { "bdev" } else { "srp" }
    }
}

/// A configuration of these requests, which stand in the order in which they are to be carried out.
pub(crate) fn configuration(requests: &[Request]) -> Value {
    let part = |name: &str| -> Vec<Value> {
        requests.iter().filter(|request| request.subsystem() == name).map(Request::json).collect()
    };
    json!({"subsystems": [{"subsystem": "bdev", "config": part("bdev")}, {"subsystem": "srp", "config": part("srp")}]})
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let text = match path.to_str() {
        Some("-") => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).map(|_| bytes)
        }
        _ => fs::read(path),
    };
    let bytes = text.map_err(|error| Failure::io(path, &error))?;
    String::from_utf8(bytes).map_err(|_| Failure::File(format!("{}: it is not UTF-8 text", path.display())))
}

/// The `subsystems` of a file, to be sent as they stand.
pub(crate) fn read_subsystems(path: &Path) -> Result<Value, Failure> {
    let text = read_text(path)?;
    parse(&text).map_err(|problem| Failure::File(format!("{}:{problem}", path.display())))?;
    let file: Value =
        serde_json::from_str(&text).map_err(|error| Failure::File(format!("{}: {error}", path.display())))?;
    Ok(json!({"subsystems": file["subsystems"]}))
}

/// Writes a file whole or not at all: a reader sees the old text or the new one, also after a loss of power. Who could read the old one can
/// read the new one; one that is new is for its owner only, since requests may hold keys of a Ceph cluster.
pub(crate) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    // What a link leads to is replaced, not the link.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(directory)?;
    if let Ok(old) = fs::metadata(path)
        && fchown(file.as_file(), Some(old.uid()), Some(old.gid())).is_ok()
    {
        file.as_file().set_permissions(Permissions::from_mode(old.mode() & 0o777))?;
    }
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

/// What is wrong, and in which line of the file (from 1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.line, self.text)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration<'a> {
    #[serde(borrow)]
    subsystems: Vec<Subsystem<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subsystem<'a> {
    #[serde(rename = "subsystem")]
    _name: String,
    #[serde(borrow)]
    config: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest<'a> {
    method: String,
    #[serde(borrow)]
    params: Option<BTreeMap<String, &'a RawValue>>,
}

/// A request, and the lines of its parts.
struct Located<'a> {
    line: usize,
    method: String,
    params: BTreeMap<String, (usize, &'a RawValue)>,
}

/// Everything that can be said against a configuration without the target; the requests must exist and take these parameters.
pub(crate) fn check(text: &str) -> Vec<Problem> {
    let requests = match parse(text) {
        Ok(requests) => requests,
        Err(problem) => return vec![problem],
    };
    requests.iter().flat_map(check_request).collect()
}

fn parse(text: &str) -> Result<Vec<Located<'_>>, Problem> {
    // The raw values are parts of the text, so their addresses tell where they stand.
    let line_of = |raw: &RawValue| {
        let offset = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
    };
    let file: Configuration =
        serde_json::from_str(text).map_err(|error| Problem { line: error.line(), text: without_place(&error) })?;
    let mut requests = Vec::new();
    for raw in file.subsystems.iter().filter_map(|subsystem| subsystem.config.as_ref()).flatten() {
        let line = line_of(raw);
        let request: RawRequest = serde_json::from_str(raw.get())
            .map_err(|error| Problem { line: line + error.line() - 1, text: without_place(&error) })?;
        let params = request.params.unwrap_or_default();
        let params = params.into_iter().map(|(name, value)| (name, (line_of(value), value))).collect();
        requests.push(Located { line, method: request.method, params });
    }
    Ok(requests)
}

/// The message of an error; the line is told before it.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

fn check_request(request: &Located<'_>) -> Vec<Problem> {
    let Some(method) = methods::find(&request.method) else {
        return vec![Problem { line: request.line, text: format!("there is no method {}", request.method) }];
    };
    let mut problems = Vec::new();
    for (name, (line, value)) in &request.params {
        let fault = match method.param(name) {
            None => Some(format!("there is no parameter {name}; there are {}", names(method))),
            Some(param) => serde_json::from_str(value.get()).ok().and_then(|value| param.check(&value).err()),
        };
        problems.extend(fault.map(|fault| Problem { line: *line, text: format!("{}: {fault}", method.name) }));
    }
    let missing = method.params.iter().filter(|param| param.required && !request.params.contains_key(&param.name));
    problems.extend(missing.map(|param| {
        let text = format!("{}: {} is missing", method.name, param.name);
        Problem { line: request.line, text }
    }));
    problems.sort_by_key(|problem| problem.line);
    problems
}

fn names(method: &Method) -> String {
    method.params.iter().map(|param| param.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        check(text).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_sound_configuration_has_no_problems() {
        let requests = [
            Request::new("srp_create_target", json!({"name": "t", "id_ext": "0x1", "ioc_guid": "0x2"})),
            Request::new("bdev_null_create", json!({"name": "n", "num_blocks": 8, "block_size": 512})),
        ];
        let configuration = configuration(&requests);
        assert_eq!(configuration["subsystems"][0]["config"][0]["method"], "bdev_null_create");
        assert_eq!(said(&configuration.to_string()), [""; 0]);
    }

    #[test]
    fn problems_have_their_line() {
        let text = r#"{"subsystems": [{"subsystem": "bdev", "config": [
  {"method": "bdev_null_create",
   "params": {"name": "n",
              "num_blocks": "8",
              "blocksize": 512}},
  {"method": "bdev_make"},
  {"method": "srp_create_target_port_group", "params": {"name": "g",
     "state": "asleep"}}
]}]}"#;
        let said = said(text);
        assert_eq!(said.len(), 5, "{said:?}");
        for (said, begin) in said.iter().zip([
            "2: bdev_null_create: block_size is missing",
            "4: bdev_null_create: num_blocks: \"8\" is not a whole number",
            "5: bdev_null_create: there is no parameter blocksize; there are name, ",
            "6: there is no method bdev_make",
            "8: srp_create_target_port_group: state: \"asleep\" is none of optimized, ",
        ]) {
            assert!(said.starts_with(begin), "{said}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_one_problem() {
        for (text, begin) in [
            ("", "1: EOF"),
            ("{}", "1: missing field `subsystems`"),
            ("{\n\"subsystems\": 3}", "2: invalid type: integer `3`"),
            (
                "{\"subsystems\": [{\"subsystem\": \"bdev\",\n \"config\": [{\"methods\": \"x\"}]}]}",
                "2: unknown field `methods`",
            ),
            ("[", "1: "),
        ] {
            assert!(matches!(&said(text)[..], [one] if one.starts_with(begin)), "{text}: {:?}", said(text));
        }
    }

    #[test]
    fn files_are_replaced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.json");
        write_whole(&path, "old").expect("a file");
        write_whole(&path, "new").expect("a file");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "new");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing temporary is left");
        let mode = || fs::metadata(&path).expect("a file").mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("a mode");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        write_whole(&link, "newer").expect("a file");
        assert_eq!((fs::read_to_string(&path).expect("a file"), mode()), ("newer".into(), 0o640));
        assert!(write_whole(&folder.path().join("nowhere/config.json"), "x").is_err());
    }
}
