//! What must hold of configurations and of the parameters of requests whatever they say: for tests and fuzzing.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::entry::{self, Entry};
use super::model::Model;
use super::params::Params;
use super::plan::{Rules, Step, plan};
use crate::rpc::{Methods, methods};

thread_local! {
    static METHODS: Methods = methods();
}

/// Tries a text as a configuration file: what it makes can be made from nothing and from parts of it, and taken away again.
pub fn configuration(text: &str) {
    let entries = match entry::parse(text) {
        Ok(entries) => entries,
        Err(error) => return assert!(error.to_string().starts_with("line "), "{error}"),
    };
    if let Err((index, error)) = METHODS.with(|methods| entry::check(&entries, methods)) {
        return refused(text, &entries[index], &error.to_string());
    }
    let wanted = match Model::of(&entries) {
        Ok((wanted, _)) => wanted,
        Err((index, misfit)) => return refused(text, &entries[index], &misfit.to_string()),
    };
    // Without its last entry, what is there stays and changes; with half of it, much comes or goes.
    for kept in [0, entries.len() / 2, entries.len().saturating_sub(1)] {
        if let Ok((part, _)) = Model::of(&entries[..kept]) {
            lead(&part, &wanted);
            lead(&wanted, &part);
        }
    }
}

/// Tries a text as the parameters of a method, which is chosen by number.
pub fn parameters(method: usize, text: &[u8]) {
    let Ok(params) = rpc::parse_json(text) else { return };
    METHODS.with(|methods| {
        let name = methods.names().nth(method % methods.names().count()).expect("there are methods");
        if let Err(error) = methods.check(name, Some(&params)) {
            assert!(!error.to_string().is_empty(), "{name}");
        }
    });
}

/// The message leads to a line that there is.
fn refused(text: &str, entry: &Entry, message: &str) {
    let place = entry.place(message);
    let line: usize = place.strip_prefix("line ").and_then(|line| line.parse().ok()).expect("a line");
    assert!((1..=text.lines().count()).contains(&line), "{place}: {message}");
}

/// The plan from one to the other, if there is one, finds what it needs at each step and ends where it should.
fn lead(now: &Model, wanted: &Model) {
    let rules = Rules { keep_sizes: false, others: BTreeSet::new(), resolve: &|path: &Path| path.to_owned() };
    let steps = match plan(now, wanted, &rules) {
        Ok(steps) => steps,
        Err(impossible) => return assert!(!impossible.text.is_empty()),
    };
    let (mut model, nothing) = (now.clone(), Params::new());
    for Step { request, .. } in &steps {
        let params = request.params.as_ref().and_then(Value::as_object).unwrap_or(&nothing);
        model.apply(&request.method, params).unwrap_or_else(|error| panic!("{request:?}: {error}; of {steps:#?}"));
    }
    let mut settled = wanted.clone();
    settled.settle(now, false);
    assert_eq!(model.objects(), settled.objects(), "{steps:#?}");
}
