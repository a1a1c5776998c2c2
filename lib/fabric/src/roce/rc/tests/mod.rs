//! Rule by rule with one end (`endpoint.rs`, `requester.rs`, `responder.rs`), what soft-RoCE says (`transcript.rs`), both
//! ends over a bad network (`pair.rs`), and whatever a peer may send (`hostile.rs`).

mod end;
mod endpoint;
mod hostile;
mod pair;
mod requester;
mod responder;
mod transcript;
