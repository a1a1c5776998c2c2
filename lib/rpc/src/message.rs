//! Requests and answers as JSON text (JSON-RPC 2.0 sections 4 to 6).
//!
//! Panic contract: no input panics.

use std::fmt::Display;

use serde_json::{Map, Value};

use crate::error::{RpcError, shortened};
use crate::json;

/// Requests of a batch. An element of two bytes takes hundreds when it is looked at, and is answered by as many.
pub const BATCH_MAX: usize = 256;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Name of the method.
    pub method: String,
    /// An object, an array, or nothing.
    pub params: Option<Value>,
}

/// A request and the id to answer it under.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The request.
    pub request: Request,
    /// `None`: a notification, which gets no answer.
    pub id: Option<Value>,
}

/// Something that is JSON and no request, with the answer it gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Invalid {
    /// What is wrong.
    pub error: RpcError,
    /// The id it came with, or null.
    pub id: Value,
}

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// One request.
    Single(Result<Call, Box<Invalid>>),
    /// Several, to be answered in one array. Never empty.
    Batch(Vec<Result<Call, Box<Invalid>>>),
}

/// Reads one frame.
///
/// # Errors
/// The text is not JSON; the connection should end.
pub fn parse(frame: &[u8]) -> Result<Message, RpcError> {
    match json::parse(frame) {
        Ok(Value::Array(elements)) if elements.len() > BATCH_MAX => {
            let what = format!("a batch of {}: {BATCH_MAX} are allowed", elements.len());
            Ok(Message::Single(Err(invalid(what, None))))
        }
        Ok(Value::Array(elements)) if !elements.is_empty() => {
            Ok(Message::Batch(elements.into_iter().map(parse_call).collect()))
        }
        Ok(value) => Ok(Message::Single(parse_call(value))),
        Err(error) if error.is_data() => Ok(Message::Single(Err(invalid(error, None)))),
        Err(error) => Err(RpcError::parse_error(error)),
    }
}

fn parse_call(value: Value) -> Result<Call, Box<Invalid>> {
    let mut members = match value {
        Value::Object(members) => members,
        Value::Array(elements) if elements.is_empty() => return Err(invalid("an empty batch", None)),
        _ => return Err(invalid("it must be an object", None)),
    };
    // The id first, so that whatever else is wrong is answered under it.
    let id = members.shift_remove("id");
    match parse_members(members) {
        Ok(request) => Ok(Call { request, id }),
        Err(what) => Err(invalid(what, id)),
    }
}

fn parse_members(mut members: Map<String, Value>) -> Result<Request, String> {
    match members.shift_remove("jsonrpc") {
        Some(Value::String(version)) if version == "2.0" => {}
        Some(_) => return Err("jsonrpc: must be \"2.0\"".to_owned()),
        None => return Err("jsonrpc: missing; must be \"2.0\"".to_owned()),
    }
    let method = match members.shift_remove("method") {
        Some(Value::String(method)) => method,
        Some(_) => return Err("method: must be a string".to_owned()),
        None => return Err("method: missing".to_owned()),
    };
    let params = match members.shift_remove("params") {
        // Some client libraries write null where there are none.
        None | Some(Value::Null) => None,
        Some(params @ (Value::Object(_) | Value::Array(_))) => Some(params),
        Some(_) => return Err("params: must be an object".to_owned()),
    };
    match members.keys().next() {
        None => Ok(Request { method, params }),
        Some(unknown) => Err(format!("unknown member `{}`; there are jsonrpc, method, params, id", shortened(unknown))),
    }
}

fn invalid(what: impl Display, id: Option<Value>) -> Box<Invalid> {
    Box::new(Invalid { error: RpcError::invalid_request(what), id: id.unwrap_or(Value::Null) })
}

/// The text of an answer, without a line end.
pub fn answer(id: Value, outcome: Result<Value, RpcError>) -> Vec<u8> {
    let mut members = Map::new();
    members.insert("jsonrpc".to_owned(), Value::from("2.0"));
    members.insert("id".to_owned(), id);
    match outcome {
        Ok(result) => members.insert("result".to_owned(), result),
        Err(error) => {
            let mut body = Map::new();
            body.insert("code".to_owned(), Value::from(error.code));
            body.insert("message".to_owned(), Value::from(error.message));
            body.extend(error.data.map(|data| ("data".to_owned(), data)));
            members.insert("error".to_owned(), Value::Object(body))
        }
    };
    Value::Object(members).to_string().into_bytes()
}

/// The text of a request, without a line end.
pub fn request(id: u64, method: &str, params: Option<Value>) -> Vec<u8> {
    let mut members = Map::new();
    members.insert("jsonrpc".to_owned(), Value::from("2.0"));
    members.insert("method".to_owned(), Value::from(method));
    members.extend(params.map(|params| ("params".to_owned(), params)));
    members.insert("id".to_owned(), Value::from(id));
    Value::Object(members).to_string().into_bytes()
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
