//! Requests that are carried out whole or not at all, one after the other on the control thread.
//!
//! ```text
//!   steps ──► carried out, each when the one before has answered ──► all: done
//!               │ one fails
//!               ▼
//!             what leads back to what was before (plan.rs) ──► carried out as far as it goes ──► failed, with what could not be taken back
//! ```
//!
//! Meanwhile the target serves, requests that only ask are answered, and those that change something wait (`appliance.rs`). RAM disks
//! that are deleted are kept until the end, so that they come back with their data. What is not taken back: files that were made or grew,
//! and what is no configuration (counts, reservations of a unit without LUNs, sessions that ended).

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use reactor::Instant;
use rpc::{Errno, Pending, Request, RpcError};
use serde_json::{Value, json};

use super::entry::{self, Entry};
use super::model::{Model, Places};
use super::plan::{Impossible, Rules, Step, plan};
use super::save::{model_of, running, save_requests, settle_process};
use crate::appliance::Appliance;

/// Commands of a LUN that was just taken away may be under way for so long on what is to be stood on.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests on their way.
pub(crate) struct Transaction {
    steps: VecDeque<Planned>,
    running: Option<Running>,
    /// What was there at first.
    before: Model,
    failure: Option<Failure>,
    end: End,
}

type End = Box<dyn FnOnce(&mut Appliance, Result<(), Failure>)>;

/// A request that is to be carried out.
struct Planned {
    request: Request,
    /// Who wants it.
    entry: Option<Entry>,
}

struct Running {
    planned: Planned,
    since: Instant,
    /// `None`: it waits until the bdev that it names is free, and was not asked for yet.
    answer: Option<mpsc::Receiver<Result<Value, RpcError>>>,
}

/// Why nothing was done.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: i64,
    text: String,
    data: Value,
    /// What was done before could not be taken back.
    leaves_traces: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Failure> for RpcError {
    fn from(Failure { code, text, data, .. }: Failure) -> RpcError {
        RpcError { code, message: text, data: Some(data) }
    }
}

impl Transaction {
    /// Carries out these requests as they stand; `end` is told how it ended, now or later.
    pub(crate) fn load(
        appliance: &mut Appliance,
        entries: Vec<Entry>,
        end: impl FnOnce(&mut Appliance, Result<(), Failure>) + 'static,
    ) {
        let checked = checked(appliance, &entries);
        let planned = |entry: Entry| Planned { request: entry.request.clone(), entry: Some(entry) };
        match checked {
            Ok(()) => start(appliance, entries.into_iter().map(planned).collect(), Box::new(end)),
            Err(failure) => end(appliance, Err(failure)),
        }
    }

    /// Carries out what [`difference`] found; `end` is told how it ended, now or later.
    pub(crate) fn apply(
        appliance: &mut Appliance,
        difference: Difference,
        end: impl FnOnce(&mut Appliance, Result<(), Failure>) + 'static,
    ) {
        let Difference { steps, entries, places } = difference;
        let planned = |Step { request, key }| {
            let entry = places.get(&key).map(|&index| entries[index].clone());
            Planned { request, entry }
        };
        let end = move |appliance: &mut Appliance, outcome: Result<(), Failure>| {
            if outcome.is_ok() {
                appliance.config_file.resume();
            }
            end(appliance, outcome);
        };
        start(appliance, steps.into_iter().map(planned).collect(), Box::new(end));
    }
}

/// What leads from what is running to a configuration.
pub(crate) struct Difference {
    pub(crate) steps: Vec<Step>,
    entries: Vec<Entry>,
    places: Places,
}

/// Compares what is running with a configuration.
///
/// # Errors
/// The configuration makes no sense, or there is no way to it.
pub(crate) fn difference(appliance: &Appliance, entries: Vec<Entry>) -> Result<Difference, Failure> {
    checked(appliance, &entries)?;
    let now = running(appliance).map_err(|error| failed(None, &error, None))?;
    let misfit = |index: usize, text: &str| {
        let error = RpcError::invalid_params(text);
        failed(Some(&entries[index].request), &error, Some(&entries[index]))
    };
    let (wanted, places) = Model::of(&entries).map_err(|(index, error)| misfit(index, &error.0))?;
    let rules = Rules { keep_sizes: false, others: BTreeSet::new(), resolve: &resolve };
    let steps = plan(&now, &wanted, &rules).map_err(|Impossible { key, text }| match places.get(&key) {
        Some(&index) => misfit(index, &text),
        None => failed(None, &RpcError::invalid_params(text), None),
    })?;
    Ok(Difference { steps, entries, places })
}

/// What is wrong with entries by themselves.
fn checked(appliance: &Appliance, entries: &[Entry]) -> Result<(), Failure> {
    let Some(methods) = appliance.methods() else {
        return Err(failed(None, &RpcError::internal("the methods are not there yet"), None));
    };
    entry::check(entries, &methods)
        .map_err(|(index, error)| failed(Some(&entries[index].request), &error, Some(&entries[index])))
}

fn start(appliance: &mut Appliance, steps: VecDeque<Planned>, end: End) {
    if appliance.transaction.is_some() || appliance.is_settling() {
        let text = "bdevs are just being deleted, or files replaced: try again when that is done";
        return end(appliance, Err(failed(None, &RpcError::errno(Errno::BUSY, text), None)));
    }
    let before = model_of(&save_requests(appliance)).map(|mut before| {
        settle_process(&mut before, appliance);
        before
    });
    match before {
        Err(error) => end(appliance, Err(failed(None, &error, None))),
        Ok(before) => {
            appliance.kept.begin();
            appliance.transaction = Some(Transaction { steps, running: None, before, failure: None, end });
            advance(appliance);
        }
    }
}

/// Goes as far as can be gone without waiting.
pub(crate) fn advance(appliance: &mut Appliance) {
    while let Some(mut transaction) = appliance.transaction.take() {
        if let Some(mut running) = transaction.running.take() {
            match running.answer(appliance) {
                None => {
                    transaction.running = Some(running);
                    appliance.transaction = Some(transaction);
                    return;
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => transaction.fail(appliance, running.planned, &error),
            }
            appliance.transaction = Some(transaction);
            continue;
        }
        match transaction.steps.pop_front() {
            Some(planned) => {
                transaction.running = Some(Running { planned, since: appliance.now, answer: None });
                appliance.transaction = Some(transaction);
            }
            None => {
                appliance.kept.end();
                if transaction.failure.as_ref().is_some_and(|failure| failure.leaves_traces) {
                    appliance.config_file.suspend();
                }
                let outcome = transaction.failure.map_or(Ok(()), Err);
                (transaction.end)(appliance, outcome);
            }
        }
    }
}

impl Running {
    /// How it ended; `None`: it has not yet.
    fn answer(&mut self, appliance: &mut Appliance) -> Option<Result<Value, RpcError>> {
        if self.answer.is_none() && self.must_wait(appliance) {
            return None;
        }
        let answer = self.answer.get_or_insert_with(|| ask(appliance, &self.planned.request));
        match answer.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some(Err(RpcError::internal("there was no answer"))),
        }
    }

    /// Whether what it is to stand on is still being let go by commands of a LUN.
    fn must_wait(&self, appliance: &Appliance) -> bool {
        let Request { method, params } = &self.planned.request;
        let base = ["base_bdev_name", "base_name", "base_bdev"];
        let base = params.as_ref().and_then(|params| base.iter().find_map(|name| params.get(name)?.as_str()));
        let is_let_go = base.is_some_and(|base| appliance.is_being_let_go(base));
        method.ends_with("_create") && is_let_go && appliance.now.since(self.since) <= PATIENCE
    }
}

/// Has a method do something.
fn ask(appliance: &mut Appliance, request: &Request) -> mpsc::Receiver<Result<Value, RpcError>> {
    let (sender, answer) = mpsc::channel();
    let reply = move |outcome| {
        // Nobody listens when the target ends.
        let _ = sender.send(outcome);
    };
    let pending = Pending::new(request.clone(), reply);
    match appliance.methods() {
        _ if appliance.bring_back(request) => pending.reply(Ok(Value::Bool(true))),
        Some(methods) => methods.answer(appliance, pending),
        None => drop(pending),
    }
    answer
}

impl Transaction {
    /// Takes back what was done; or, if it is that which fails, goes on with the rest of it.
    fn fail(&mut self, appliance: &mut Appliance, planned: Planned, error: &RpcError) {
        if let Some(failure) = &mut self.failure {
            failure.text += &format!("; could not be taken back: {}: {}", planned.request.method, error.message);
            failure.leaves_traces = true;
            return;
        }
        let mut failure = failed(Some(&planned.request), error, planned.entry.as_ref());
        self.steps.clear();
        let rules = Rules { keep_sizes: true, others: appliance.kept.replaced(&appliance.bdevs), resolve: &resolve };
        let back = running(appliance).map_err(|error| error.message);
        match back.and_then(|now| plan(&now, &self.before, &rules).map_err(|impossible| impossible.text)) {
            Ok(steps) => {
                let planned = |Step { request, .. }| Planned { request, entry: None };
                self.steps = steps.into_iter().map(planned).collect();
                appliance.kept.take_back();
            }
            Err(text) => {
                failure.text += &format!("; and what was done before could not be taken back: {text}");
                failure.leaves_traces = true;
            }
        }
        self.failure = Some(failure);
    }
}

/// An error with where it comes from.
fn failed(request: Option<&Request>, error: &RpcError, entry: Option<&Entry>) -> Failure {
    let method = request.map(|request| request.method.as_str());
    let place = entry.map(|entry| entry.place(&error.message));
    let parts = [place.as_deref(), method, Some(&error.message)];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
    Failure { code: error.code, text, data: json!({"at": place, "method": method}), leaves_traces: false }
}

/// The one path of a file.
fn resolve(path: &Path) -> std::path::PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
