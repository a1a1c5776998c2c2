//! The running target, at the other end of its RPC socket.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use rpc::{CallError, Client};
use serde_json::Value;

use crate::failure::{Failure, Refusal};

/// Connects when it is first called, and keeps the connection.
pub(crate) struct Target {
    socket: PathBuf,
    timeout: Duration,
    client: RefCell<Option<Client>>,
}

impl Target {
    pub(crate) fn new(socket: PathBuf, timeout: Duration) -> Target {
        Target { socket, timeout, client: RefCell::new(None) }
    }

    /// Calls a method; `params` is an object.
    pub(crate) fn call(&self, method: &str, params: Value) -> Result<Value, Failure> {
        let mut client = self.client.borrow_mut();
        let connected = match client.take() {
            Some(connected) => connected,
            None => self.connect().map_err(Failure::NotReached)?,
        };
        let answer = client.insert(connected).call(method, params);
        match answer {
            Ok(result) => Ok(result),
            Err(CallError::Refused(error)) => {
                let refusal = Refusal { method: method.into(), error, arguments: Vec::new() };
                Err(Failure::Refused(Box::new(refusal)))
            }
            Err(error) => {
                *client = None;
                Err(Failure::NotReached(error))
            }
        }
    }

    fn connect(&self) -> Result<Client, CallError> {
        let mut client = Client::connect(&self.socket)?;
        client.set_timeout(Some(self.timeout))?;
        Ok(client)
    }
}
