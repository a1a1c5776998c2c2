//! What the tests of configurations share: an appliance within the test, and requests at random.

mod bench;
pub(super) mod draw;

pub(crate) use bench::Bench;

use rpc::Request;
use serde_json::{Value, json};

use super::model::Model;
use super::params::{Misfit, Params};

/// Requests in the form of a configuration.
pub(super) fn configuration(requests: &[Request]) -> Value {
    let entries: Vec<Value> =
        requests.iter().map(|request| json!({"method": request.method, "params": request.params})).collect();
    json!({"subsystems": [{"subsystem": "srp", "config": entries}]})
}

/// Carries a request out on a model.
pub(super) fn apply(model: &mut Model, request: &Request) -> Result<(), Misfit> {
    let nothing = Params::new();
    let params = request.params.as_ref().and_then(Value::as_object).unwrap_or(&nothing);
    model.apply(&request.method, params).map(drop)
}

/// What requests make; those that cannot be are left out.
pub(super) fn model_of(requests: &[Request]) -> Model {
    let mut model = Model::default();
    for request in requests {
        // That one is refused belongs to drawing at random.
        let _ = apply(&mut model, request);
    }
    model
}

/// A request.
pub(super) fn request(method: &str, params: Value) -> Request {
    Request { method: method.to_owned(), params: Some(params) }
}
