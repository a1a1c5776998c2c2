//! `save_config`, `load_config` (SPDK's) and `srpt_config_*`: whole configurations.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bdev::Bdev;
use rpc::{Errno, NoParams, Pending, RpcError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Methods;
use crate::appliance::Appliance;
use crate::config::{self, Difference, Failure, Subsystem, Transaction};

pub(super) fn add(methods: &mut Methods) {
    methods.add(
        "save_config",
        "Answers the whole configuration as it is now",
        |appliance: &mut Appliance, _: NoParams| {
            check_whole(appliance)?;
            Ok(config::save(appliance))
        },
    );
    methods.add_deferred(
        "load_config",
        "Carries out the requests of a configuration as they stand, all of them or none: what one finds there already is an error",
        load,
    );
    methods.add(
        "srpt_config_diff",
        "Answers what srpt_config_apply would carry out",
        |appliance: &mut Appliance, params: Configuration| Ok(Requests::of(&difference(appliance, params)?)),
    );
    methods.add_deferred_as::<Requests, _>(
        "srpt_config_apply",
        "Makes a configuration of what is running, by the fewest requests, all of them or none; answers them",
        apply,
    );
    methods.add_deferred_as::<Written, _>(
        "srpt_config_write",
        "Writes the configuration as it is now to a file, whole or not at all, and keeps what was there; answers the file's name",
        write,
    );
}

/// A configuration as save_config answers it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Configuration {
    /// As save_config answers them: each with its name (`subsystem`) and its requests (`config`: `method` and `params`).
    subsystems: Vec<Subsystem>,
}

/// What a configuration was made by.
#[derive(Serialize, JsonSchema)]
struct Requests {
    /// In the order in which they are carried out.
    requests: Vec<RequestOut>,
}

#[derive(Serialize, JsonSchema)]
struct RequestOut {
    /// Name of the method.
    method: String,
    /// Its parameters.
    params: Value,
}

impl Requests {
    fn of(difference: &Difference) -> Requests {
        let request = |step: &config::Step| RequestOut {
            method: step.request.method.clone(),
            params: step.request.params.clone().unwrap_or_else(|| json!({})),
        };
        Requests { requests: difference.steps.iter().map(request).collect() }
    }
}

fn load(appliance: &mut Appliance, params: Configuration, pending: Pending) {
    let entries = config::entries_of(params.subsystems);
    Transaction::load(appliance, entries, |_, outcome| answer(pending, outcome, Value::Bool(true)));
}

fn difference(appliance: &Appliance, params: Configuration) -> Result<Difference, RpcError> {
    Ok(config::difference(appliance, config::entries_of(params.subsystems))?)
}

fn apply(appliance: &mut Appliance, params: Configuration, pending: Pending) {
    match difference(appliance, params) {
        Err(error) => pending.reply(Err(error)),
        Ok(difference) => {
            let requests = json!(Requests::of(&difference));
            Transaction::apply(appliance, difference, |_, outcome| answer(pending, outcome, requests));
        }
    }
}

fn answer(pending: Pending, outcome: Result<(), Failure>, result: Value) {
    pending.reply(outcome.map(|()| result).map_err(RpcError::from));
}

/// At the end of the process listeners go first: a configuration without them would be no good.
fn check_whole(appliance: &Appliance) -> Result<(), RpcError> {
    match appliance.stop.load(Ordering::Relaxed) {
        true => Err(RpcError::errno(Errno::BUSY, "the target is ending, and half of it is gone: ask it before")),
        false => Ok(()),
    }
}

/// A slip of the pen is not to put a configuration in a disk's place, which would be gone at the next start.
fn check_no_disk(appliance: &Appliance, path: &Path) -> Result<(), RpcError> {
    let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let Some(written) = identity(path) else { return Ok(()) };
    let stands_on_it = |bdev: &&Arc<Bdev>| bdev.filename().and_then(|path| identity(&path)) == Some(written);
    match appliance.bdevs.iter().find(stands_on_it) {
        Some(bdev) => {
            let text = format!("filename: bdev {} stands on it: name another file", bdev.info().name);
            Err(RpcError::errno(Errno::BUSY, text))
        }
        None => Ok(()),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Write {
    /// The file; left out: the one that -c names.
    filename: Option<PathBuf>,
}

#[derive(Serialize, JsonSchema)]
struct Written {
    /// The file that was written.
    filename: PathBuf,
}

fn write(appliance: &mut Appliance, params: Write, pending: Pending) {
    let Some(path) = params.filename.or_else(|| appliance.config_file.path().map(PathBuf::from)) else {
        let text = "filename: the target was started without -c: say where to";
        return pending.reply(Err(RpcError::invalid_params(text)));
    };
    if let Err(error) = check_whole(appliance).and_then(|()| check_no_disk(appliance, &path)) {
        return pending.reply(Err(error));
    }
    if appliance.config_file.path() == Some(&path) {
        appliance.config_file.resume();
    }
    let text = config::save_text(appliance);
    let (filename, result) = (path.display().to_string(), json!(Written { filename: path.clone() }));
    let wrong = move |error| RpcError::io(&error, format!("filename: {filename}: cannot be written"));
    let done = {
        let wrong = wrong.clone();
        move |outcome: std::io::Result<()>| pending.reply(outcome.map(|()| result).map_err(wrong))
    };
    // If there is no thread for it, the request goes with the task and answers so.
    if let Err(error) = appliance.config_file.write(path, text, done) {
        tracing::warn!("srpt_config_write: {}", wrong(error));
    }
}
