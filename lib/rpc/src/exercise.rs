//! What must hold of a client's conversation whatever it sends: for tests and fuzzing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::connection::{Connection, Limits};
use crate::error::{Errno, RpcError};
use crate::frame::Framer;
use crate::message::Request;

const LIMITS: Limits = Limits {
    request_bytes: 1000,
    answer_bytes: 400,
    request_time: Duration::from_secs(60),
    write_time: Duration::from_secs(30),
};

/// Has a client send `bytes`, whole and in pieces of `piece` bytes. Each request is answered at once.
///
/// # Panics
/// If the two conversations differ, or an answer is no JSON, or nothing ends.
pub fn conversation(bytes: &[u8], piece: usize) {
    let whole = answers(bytes, bytes.len().max(1));
    assert_eq!(answers(bytes, piece.max(1)), whole, "in pieces of {piece} bytes");
    let mut framer = Framer::new(usize::MAX);
    framer.push(&whole);
    while let Some(frame) = framer.next_frame().expect("answers are objects or arrays") {
        answer(&serde_json::from_slice(frame).expect("JSON"));
    }
    assert!(!framer.is_within_frame(), "half an answer");
}

/// All that the client hears.
fn answers(bytes: &[u8], piece: usize) -> Vec<u8> {
    let now = Instant::now();
    let mut connection = Connection::new(LIMITS, now);
    let mut heard = Vec::new();
    for piece in bytes.chunks(piece) {
        connection.received(piece, now);
        serve(&mut connection, &mut heard, now);
    }
    connection.input_ended();
    serve(&mut connection, &mut heard, now);
    assert!(connection.is_finished(), "it ends with the client's input: {connection:?}");
    heard
}

fn serve(connection: &mut Connection, heard: &mut Vec<u8>, now: Instant) {
    loop {
        let mut request = connection.advance(now);
        let mut progress = request.is_some();
        while let Some(Request { method, params }) = request {
            let outcome = match method.len() % 3 {
                0 => Ok(params.unwrap_or_default()),
                1 => Err(RpcError::errno(Errno::INVAL, method)),
                _ => Err(RpcError::invalid_params(method)),
            };
            request = connection.answered(outcome, now);
        }
        let output = connection.output().len();
        progress |= output > 0;
        heard.extend_from_slice(connection.output());
        connection.wrote(output, now);
        if !progress {
            return;
        }
    }
}

/// JSON-RPC 2.0: either a result or an error, and the id; a batch has some.
fn answer(value: &Value) {
    if let Value::Array(answers) = value {
        assert!(!answers.is_empty(), "an empty batch is no answer");
        return answers.iter().for_each(|one| {
            assert!(one.is_object());
            answer(one);
        });
    }
    assert_eq!(value["jsonrpc"], json!("2.0"));
    assert!(value.get("id").is_some(), "{value}");
    assert!(value.get("result").is_some() != value.get("error").is_some(), "{value}");
}
