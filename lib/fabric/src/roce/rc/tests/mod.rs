//! Rule by rule with one end (`endpoint.rs`, `requester.rs`, `responder.rs`), what soft-RoCE says (`transcript.rs`), both
//! ends over a bad network (`pair.rs`), and whatever a peer may send (`hostile.rs`). With the feature `test-utils`, `script.rs` is there for fuzzing.

#[cfg(test)]
mod end;
#[cfg(test)]
mod endpoint;
#[cfg(test)]
mod hostile;
mod memory;
#[cfg(test)]
mod pair;
#[cfg(test)]
mod requester;
#[cfg(test)]
mod responder;
mod script;
#[cfg(test)]
mod transcript;
mod world;

pub use script::run_script;
