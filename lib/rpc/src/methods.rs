//! A table of methods: name → handler, with typed parameters and results.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::RpcError;
use crate::message::Request;
use crate::pending::Pending;

/// The methods that a server offers. `Ctx` is what the handlers work on; the control thread owns it.
///
/// ```
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Create { name: String }
///
/// let mut methods = rpc::Methods::<Vec<String>>::new();
/// methods.add("create", "Makes a name", |names, params: Create| {
///     names.push(params.name);
///     Ok(true)
/// });
/// let request = rpc::Request { method: "create".into(), params: Some(serde_json::json!({"nmae": "x"})) };
/// let error = methods.dispatch(&mut Vec::new(), &request).unwrap_err();
/// assert!(error.message.contains("unknown field `nmae`, expected `name`"));
/// ```
pub struct Methods<Ctx> {
    table: BTreeMap<&'static str, Method<Ctx>>,
}

struct Method<Ctx> {
    summary: &'static str,
    params: SchemaOf,
    result: SchemaOf,
    check: fn(Option<&Value>) -> Result<(), RpcError>,
    handler: Handler<Ctx>,
}

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

enum Handler<Ctx> {
    Immediate(Box<ImmediateFn<Ctx>>),
    Deferred(Box<DeferredFn<Ctx>>),
}

type ImmediateFn<Ctx> = dyn Fn(&mut Ctx, Option<&Value>) -> Result<Value, RpcError> + Send;
type DeferredFn<Ctx> = dyn Fn(&mut Ctx, Pending) + Send;

/// Parameters of a method that has none.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

/// A method as it is described to others, its schemas in JSON Schema's form (draft 2020-12).
#[derive(Debug, Clone)]
pub struct Description {
    /// The name.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// The parameters: the schema of an object.
    pub params: Value,
    /// The result.
    pub result: Value,
}

impl<Ctx> Methods<Ctx> {
    /// An empty table.
    pub fn new() -> Self {
        Methods { table: BTreeMap::new() }
    }

    /// Adds a method that answers when its handler returns. `summary` says in a line what it does. Give `P`
    /// `#[serde(deny_unknown_fields)]`, so that a misspelt parameter is refused by name and not ignored; what stands above
    /// its fields describes them.
    ///
    /// # Panics
    /// The name is taken.
    pub fn add<P, R>(
        &mut self,
        name: &'static str,
        summary: &'static str,
        handler: impl Fn(&mut Ctx, P) -> Result<R, RpcError> + Send + 'static,
    ) where
        P: DeserializeOwned + JsonSchema,
        R: Serialize + JsonSchema,
    {
        self.insert::<P, R>(
            name,
            summary,
            Handler::Immediate(Box::new(move |ctx, params| {
                let result = handler(ctx, parse_params(params)?)?;
                serde_json::to_value(result).map_err(|error| RpcError::internal(format!("result of {name}: {error}")))
            })),
        );
    }

    /// Adds a method that may answer later, with `true` or an error: its handler gets the request itself, to be answered by
    /// [`Pending::reply`] from wherever its work ends. Wrong parameters are answered without it.
    ///
    /// # Panics
    /// The name is taken.
    pub fn add_deferred<P>(
        &mut self,
        name: &'static str,
        summary: &'static str,
        handler: impl Fn(&mut Ctx, P, Pending) + Send + 'static,
    ) where
        P: DeserializeOwned + JsonSchema,
    {
        self.add_deferred_as::<bool, P>(name, summary, handler);
    }

    /// As [`Self::add_deferred`], for a method whose result is an `R`.
    ///
    /// # Panics
    /// The name is taken.
    pub fn add_deferred_as<R, P>(
        &mut self,
        name: &'static str,
        summary: &'static str,
        handler: impl Fn(&mut Ctx, P, Pending) + Send + 'static,
    ) where
        R: JsonSchema,
        P: DeserializeOwned + JsonSchema,
    {
        self.insert::<P, R>(
            name,
            summary,
            Handler::Deferred(Box::new(move |ctx, pending| match parse_params(pending.params()) {
                Ok(params) => handler(ctx, params, pending),
                Err(error) => pending.reply(Err(error)),
            })),
        );
    }

    fn insert<P: DeserializeOwned + JsonSchema, R: JsonSchema>(
        &mut self,
        name: &'static str,
        summary: &'static str,
        handler: Handler<Ctx>,
    ) {
        let check = |params: Option<&Value>| parse_params::<P>(params).map(drop);
        let method = Method { summary, params: P::json_schema, result: R::json_schema, check, handler };
        assert!(self.table.insert(name, method).is_none(), "RPC method {name} added twice");
    }

    /// Runs the method that a request names, and sees to its answer: at once, or when a deferred method is done.
    pub fn answer(&self, ctx: &mut Ctx, pending: Pending) {
        match self.table.get(pending.method()).map(|method| &method.handler) {
            Some(Handler::Immediate(handler)) => {
                let outcome = handler(ctx, pending.params());
                pending.reply(outcome);
            }
            Some(Handler::Deferred(handler)) => handler(ctx, pending),
            None => {
                let error = RpcError::method_not_found(pending.method());
                pending.reply(Err(error));
            }
        }
    }

    /// Runs an immediate method and returns its result.
    ///
    /// # Errors
    /// Those of the method, and -32601 for an unknown one. A deferred method is refused (-32603) and not run: only
    /// [`Self::answer`] can run it.
    pub fn dispatch(&self, ctx: &mut Ctx, request: &Request) -> Result<Value, RpcError> {
        match self.table.get(request.method.as_str()).map(|method| &method.handler) {
            Some(Handler::Immediate(handler)) => handler(ctx, request.params.as_ref()),
            Some(Handler::Deferred(_)) => {
                Err(RpcError::internal(format!("`{}` answers later and cannot be run here", request.method)))
            }
            None => Err(RpcError::method_not_found(&request.method)),
        }
    }

    /// The names of all methods, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.table.keys().copied()
    }

    /// Whether there is such a method and it takes such parameters, without running it.
    ///
    /// # Errors
    /// -32601 and -32602, as [`Self::dispatch`] would answer.
    pub fn check(&self, name: &str, params: Option<&Value>) -> Result<(), RpcError> {
        let method = self.table.get(name).ok_or_else(|| RpcError::method_not_found(name))?;
        (method.check)(params)
    }

    /// All methods, sorted by name.
    pub fn describe(&self) -> Vec<Description> {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let mut generator = settings.into_generator();
        let methods = self.table.iter().map(|(&name, method)| Description {
            name,
            summary: method.summary,
            params: (method.params)(&mut generator).to_value(),
            result: (method.result)(&mut generator).to_value(),
        });
        methods.collect()
    }
}

impl<Ctx> Default for Methods<Ctx> {
    fn default() -> Self {
        Self::new()
    }
}

/// Parameters by name; none is the same as an empty object.
///
/// # Errors
/// -32602, with the path of the parameter that is wrong.
pub fn parse_params<P: DeserializeOwned>(params: Option<&Value>) -> Result<P, RpcError> {
    let none = Value::Object(Map::new());
    let params = params.unwrap_or(&none);
    if !params.is_object() {
        return Err(RpcError::invalid_params("give them by name, in an object"));
    }
    serde_path_to_error::deserialize(params).map_err(|error| {
        let path = error.path().to_string();
        // The path of a parameter that is missing is that of the object it is missing from: "." for the outermost.
        if path == "." {
            RpcError::invalid_params(error.inner())
        } else {
            RpcError::invalid_params(format!("{path}: {}", error.inner()))
        }
    })
}

#[cfg(test)]
#[path = "methods_tests.rs"]
mod tests;
