//! A small blocking client, for tools and tests.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::error::RpcError;
use crate::frame::{FrameError, Framer};
use crate::message;

/// Longest answer that is taken, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// How long an answer is waited for, unless [`Client::set_timeout`] says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    framer: Framer,
    last_id: u64,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody can be reached there.
    #[error("cannot connect to {}: {source}; is the target running, and is this its socket (-s PATH)?", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection broke, or the answer did not come in time.
    #[error("no answer: {0}")]
    Io(
        #[from]
        /// Why.
        io::Error,
    ),
    /// The server closed the connection without an answer.
    #[error("the server closed the connection without an answer")]
    Closed,
    /// The server's bytes are no answers.
    #[error("the server sent what is no JSON-RPC answer: {0}")]
    NoJsonRpc(
        /// What is wrong with them.
        String,
    ),
    /// The server refused.
    #[error(transparent)]
    Refused(
        /// Its error.
        RpcError,
    ),
}

#[derive(Deserialize)]
struct Answer {
    id: Value,
    #[serde(default, deserialize_with = "some")]
    result: Option<Value>,
    error: Option<RpcError>,
}

/// Keeps a result of null apart from no result.
fn some<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Client {
    /// Connects to the socket at `path`.
    pub fn connect(path: &Path) -> Result<Self, CallError> {
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            Ok(stream)
        };
        let stream = connect().map_err(|source| CallError::Connect { path: path.to_owned(), source })?;
        Ok(Client { stream, framer: Framer::new(MAX_ANSWER_BYTES), last_id: 0 })
    }

    /// How long to wait for the server to take or send something; `None` for ever, and a zero duration is an error.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)?;
        self.stream.set_write_timeout(timeout)
    }

    /// Calls a method and waits for its result. Give `params` as an object, or `None`.
    ///
    /// # Errors
    /// [`CallError::Refused`] is the server's own; after any other, connect again.
    pub fn call(&mut self, method: &str, params: impl Into<Option<Value>>) -> Result<Value, CallError> {
        self.last_id += 1;
        self.stream.write_all(&message::request(self.last_id, method, params.into()))?;
        loop {
            let answer = self.next_answer()?;
            // An error under null is about the connection, so about this call too. Any other id is the late answer to
            // a call that was given up.
            let ours = answer.id == self.last_id || (answer.id.is_null() && answer.error.is_some());
            match answer {
                _ if !ours => {}
                Answer { error: Some(error), .. } => return Err(CallError::Refused(error)),
                Answer { result: Some(result), .. } => return Ok(result),
                _ => return Err(CallError::NoJsonRpc("neither result nor error".to_owned())),
            }
        }
    }

    fn next_answer(&mut self) -> Result<Answer, CallError> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let no_answer = |error: FrameError| CallError::NoJsonRpc(error.to_string());
            if let Some(frame) = self.framer.next_frame().map_err(no_answer)? {
                return serde_json::from_slice(frame).map_err(|error| CallError::NoJsonRpc(error.to_string()));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(CallError::Closed),
                Ok(count) => self.framer.push(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
