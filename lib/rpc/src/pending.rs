//! The duty to answer one request.

use std::fmt;

use serde_json::Value;

use crate::error::RpcError;
use crate::message::Request;

/// One received request and the right to answer it, exactly once, now or later, from any thread.
///
/// Dropped unanswered, it answers with an internal error (-32603).
#[must_use = "dropping it answers the client with an error"]
pub struct Pending {
    request: Request,
    /// `None` once answered.
    reply: Option<ReplyFn>,
}

type ReplyFn = Box<dyn FnOnce(Result<Value, RpcError>) + Send>;

impl Pending {
    /// A request of our own, such as one line of a configuration file: `reply` gets the answer.
    pub fn new(request: Request, reply: impl FnOnce(Result<Value, RpcError>) + Send + 'static) -> Self {
        Pending { request, reply: Some(Box::new(reply)) }
    }

    /// What is asked for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Name of the method.
    pub fn method(&self) -> &str {
        &self.request.method
    }

    /// Its parameters: an object, an array, or nothing.
    pub fn params(&self) -> Option<&Value> {
        self.request.params.as_ref()
    }

    /// Answers. A client that has gone meanwhile is no error.
    pub fn reply(mut self, outcome: Result<Value, RpcError>) {
        self.reply_once(outcome);
    }

    fn reply_once(&mut self, outcome: Result<Value, RpcError>) {
        if let Some(reply) = self.reply.take() {
            reply(outcome);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.reply.is_some() {
            let message = format!("`{}` ended without an answer", crate::error::shortened(&self.request.method));
            self.reply_once(Err(RpcError::internal(message)));
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("request", &self.request).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn pending() -> (Pending, mpsc::Receiver<Result<Value, RpcError>>) {
        let (sender, receiver) = mpsc::channel();
        let request = Request { method: "m".into(), params: None };
        (Pending::new(request, move |outcome| sender.send(outcome).unwrap()), receiver)
    }

    #[test]
    fn a_reply_arrives_once() {
        let (pending, replies) = pending();
        pending.reply(Ok(Value::from(1)));
        assert_eq!(replies.iter().collect::<Vec<_>>(), [Ok(Value::from(1))]);
    }

    #[test]
    fn a_dropped_request_is_answered_with_an_internal_error() {
        let (pending, replies) = pending();
        drop(pending);
        let answers: Vec<_> = replies.iter().collect();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].as_ref().unwrap_err().code, -32603);
    }
}
