//! One client's conversation, without sockets and clocks: bytes in, requests out, answers in, bytes out.
//!
//! ```text
//!             whole request                        answered                    flushed
//!   Idle ────────────────────► Waiting ──────────────────────► Idle + output ─────────► Idle
//!     │                                 next element of a batch
//!     │  end of input, or text that cannot be trusted
//!     ▼
//!   Closing ── output flushed; what still comes is thrown away until the client closes, or the deadline
//! ```
//!
//! | state | waits for | at the deadline |
//! |---|---|---|
//! | `Idle` | input | half a request: an error, then `Closing`; none: there is no deadline |
//! | any, with output | room in the socket | the connection is dropped |
//! | `Waiting` | the reply of the `Pending` that was handed out | there is none: a `Pending` always replies |
//! | `Closing` | the client's end of input | the connection is dropped |
//!
//! Why not close at once: closing a socket that has unread input makes the client's next write fail, and it would
//! never read the error that we sent.

use std::mem;
use std::time::{Duration, Instant};
use std::vec;

use serde_json::Value;

use crate::error::RpcError;
use crate::frame::Framer;
use crate::message::{self, Call, Invalid, Message, Request};

/// How long a closing connection may go on sending.
const LINGER: Duration = Duration::from_secs(5);

/// Bounds on one connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest request, in bytes.
    pub request_bytes: usize,
    /// Longest answer, in bytes.
    pub answer_bytes: usize,
    /// From the first byte of a request to its last.
    pub request_time: Duration,
    /// From one successful write to the next.
    pub write_time: Duration,
}

/// What the socket is polled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    pub read: bool,
    pub write: bool,
}

/// The state of one client's conversation.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    framer: Framer,
    turn: Turn,
    /// Length of the last frame that was taken.
    frame_bytes: usize,
    /// Answers to be sent; the first `written` bytes are gone.
    output: Vec<u8>,
    written: usize,
    /// The client sends no more.
    input_ended: bool,
    /// The client reads no more: answers are thrown away.
    deaf: bool,
    /// When the present waiting began.
    since: Instant,
}

#[derive(Debug)]
enum Turn {
    Idle,
    Waiting { id: Option<Value>, batch: Option<Batch> },
    Closing,
}

/// An array of requests, worked on in order.
#[derive(Debug)]
struct Batch {
    rest: vec::IntoIter<Result<Call, Box<Invalid>>>,
    /// The answers so far, as JSON texts with commas between.
    answers: Vec<u8>,
}

impl Connection {
    pub fn new(limits: Limits, now: Instant) -> Self {
        Connection {
            limits,
            framer: Framer::new(limits.request_bytes),
            turn: Turn::Idle,
            frame_bytes: 0,
            output: Vec::new(),
            written: 0,
            input_ended: false,
            deaf: false,
            since: now,
        }
    }

    /// A connection that gets nothing but this error.
    pub fn refused(limits: Limits, error: RpcError, now: Instant) -> Self {
        let mut connection = Self::new(limits, now);
        connection.refuse(error, now);
        connection
    }

    /// Takes bytes that the client sent.
    pub fn received(&mut self, bytes: &[u8], now: Instant) {
        if matches!(self.turn, Turn::Closing) {
            return;
        }
        if !self.framer.is_within_frame() {
            self.since = now;
        }
        self.framer.push(bytes);
    }

    /// The client sends no more.
    pub fn input_ended(&mut self) {
        self.input_ended = true;
    }

    /// The next request, if it is its turn. The reply goes to [`Self::answered`].
    pub fn advance(&mut self, now: Instant) -> Option<Request> {
        while matches!(self.turn, Turn::Idle) && self.output().is_empty() {
            let frame = match self.framer.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    self.end_if_input_ended(now);
                    return None;
                }
                Err(error) => {
                    self.refuse(RpcError::invalid_request(error), now);
                    return None;
                }
            };
            let (frame_bytes, message) = (frame.len(), message::parse(frame));
            self.frame_bytes = frame_bytes;
            match message {
                Ok(Message::Single(Ok(call))) => {
                    self.turn = Turn::Waiting { id: call.id, batch: None };
                    return Some(call.request);
                }
                Ok(Message::Single(Err(invalid))) => self.send(message::answer(invalid.id, Err(invalid.error)), now),
                Ok(Message::Batch(calls)) => {
                    let batch = Batch { rest: calls.into_iter(), answers: Vec::new() };
                    if let Some(request) = self.next_of_batch(batch, now) {
                        return Some(request);
                    }
                }
                Err(error) => self.refuse(error, now),
            }
        }
        None
    }

    /// Takes the reply to the request that [`Self::advance`] gave out, or this function itself: it returns the next
    /// request of the same batch.
    pub fn answered(&mut self, outcome: Result<Value, RpcError>, now: Instant) -> Option<Request> {
        let Turn::Waiting { id, batch } = mem::replace(&mut self.turn, Turn::Idle) else {
            return None; // the server is stopping and has answered already
        };
        self.since = now;
        let used = batch.as_ref().map_or(0, |batch| batch.answers.len());
        let answer = id.map(|id| self.bounded_answer(id, outcome, used));
        match batch {
            Some(mut batch) => {
                batch.add(answer);
                self.next_of_batch(batch, now)
            }
            None => {
                if let Some(answer) = answer {
                    self.send(answer, now);
                }
                None
            }
        }
    }

    /// How long the text of what is worked on was: it is in memory many times as large.
    pub fn working_bytes(&self) -> usize {
        match self.turn {
            Turn::Waiting { .. } => self.frame_bytes,
            Turn::Idle | Turn::Closing => 0,
        }
    }

    /// The bytes to be written next.
    pub fn output(&self) -> &[u8] {
        self.output.get(self.written..).unwrap_or_default()
    }

    /// That many bytes of the output went out.
    pub fn wrote(&mut self, count: usize, now: Instant) {
        self.written += count;
        self.since = now;
        if self.output().is_empty() {
            self.drop_output();
        }
    }

    /// The client reads no more. What it has sent is still done.
    pub fn output_failed(&mut self) {
        self.deaf = true;
        self.drop_output();
    }

    /// What to poll the socket for.
    pub fn interest(&self) -> Interest {
        let write = !self.output().is_empty();
        let read = match self.turn {
            Turn::Idle => !write,
            Turn::Waiting { .. } => false,
            Turn::Closing => true,
        };
        Interest { read: read && !self.input_ended, write }
    }

    /// When [`Self::expire`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let time = match self.turn {
            _ if !self.output().is_empty() => self.limits.write_time,
            Turn::Closing => LINGER,
            Turn::Idle if self.framer.is_within_frame() => self.limits.request_time,
            Turn::Idle | Turn::Waiting { .. } => return None,
        };
        self.since.checked_add(time)
    }

    /// The deadline has passed; true if the connection is to be dropped.
    pub fn expire(&mut self, now: Instant) -> bool {
        if !self.output().is_empty() || matches!(self.turn, Turn::Closing) {
            return true;
        }
        let seconds = self.limits.request_time.as_secs();
        self.refuse(RpcError::parse_error(format!("the request did not end within {seconds} s")), now);
        false
    }

    /// Ends the conversation because the server stops: a request that is being worked on is answered by `error`.
    pub fn stop(&mut self, error: &RpcError, now: Instant) {
        while self.answered(Err(error.clone()), now).is_some() {}
        self.close(now);
    }

    /// All answers are given: the client may be told that no more will come.
    pub fn output_ended(&self) -> bool {
        matches!(self.turn, Turn::Closing) && self.output().is_empty()
    }

    /// Nothing is left to be done.
    pub fn is_finished(&self) -> bool {
        self.output_ended() && self.input_ended
    }

    fn end_if_input_ended(&mut self, now: Instant) {
        if !self.input_ended {
            return;
        }
        if self.framer.is_within_frame() {
            self.refuse(RpcError::parse_error("the connection ended within a request"), now);
        } else {
            self.close(now);
        }
    }

    /// Answers an error that no request can be named for, and ends the conversation.
    fn refuse(&mut self, error: RpcError, now: Instant) {
        self.send(message::answer(Value::Null, Err(error)), now);
        self.close(now);
    }

    fn close(&mut self, now: Instant) {
        self.turn = Turn::Closing;
        self.since = now;
        self.framer = Framer::new(0); // nothing more is read: give the memory back
    }

    /// Goes on to the next request of the batch; with none left, sends all answers as one array.
    fn next_of_batch(&mut self, mut batch: Batch, now: Instant) -> Option<Request> {
        while let Some(element) = batch.rest.next() {
            match element {
                Ok(call) => {
                    self.turn = Turn::Waiting { id: call.id, batch: Some(batch) };
                    return Some(call.request);
                }
                Err(invalid) => {
                    let answer = self.bounded_answer(invalid.id, Err(invalid.error), batch.answers.len());
                    batch.add(Some(answer));
                }
            }
        }
        self.turn = Turn::Idle;
        if !batch.answers.is_empty() {
            batch.answers.insert(0, b'[');
            batch.answers.push(b']');
            self.send(batch.answers, now);
        }
        None
    }

    /// The text of an answer; of an error instead if it would be too long after `used` bytes of the same batch.
    fn bounded_answer(&self, id: Value, outcome: Result<Value, RpcError>, used: usize) -> Vec<u8> {
        let limit = self.limits.answer_bytes;
        let answer = message::answer(id.clone(), outcome);
        if answer.len().saturating_add(used) <= limit {
            return answer;
        }
        let length = answer.len();
        drop(answer);
        let error = RpcError::internal(format!("an answer of {length} bytes, where {limit} are allowed"));
        message::answer(id, Err(error))
    }

    fn send(&mut self, answer: Vec<u8>, now: Instant) {
        if self.deaf {
            return;
        }
        self.output.drain(..self.written);
        self.written = 0;
        self.output.extend_from_slice(&answer);
        self.output.push(b'\n');
        self.since = now;
    }

    fn drop_output(&mut self) {
        self.output = Vec::new();
        self.written = 0;
    }
}

impl Batch {
    fn add(&mut self, answer: Option<Vec<u8>>) {
        let Some(answer) = answer else { return };
        if !self.answers.is_empty() {
            self.answers.push(b',');
        }
        self.answers.extend(answer);
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
