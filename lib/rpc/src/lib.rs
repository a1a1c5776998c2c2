//! JSON-RPC 2.0 over a Unix socket: framing, dispatch, replies.
//!
//! The control interface of a storage target in the manner of SPDK: a stream socket, requests and answers as JSON
//! objects one after the other with nothing between them. SPDK's own client (PyPI `spdk`, command `spdk-rpc`) works
//! against it. This crate knows no method; whoever uses it brings them.
//!
//! ```text
//!  client ──bytes──► server thread                                   control thread
//!                    event_loop.rs   one poll() over all sockets
//!                    frame.rs        bytes → one JSON text
//!                    message.rs      JSON text → Request
//!                    connection.rs   one request at a time ──Pending──► methods.rs  name → handler
//!                                                                        handler(&mut context, params)
//!         ◄──bytes── connection.rs   answers in order ◄────reply──────── Pending::reply, now or later
//! ```
//!
//! * One thread serves all clients. It sleeps in `poll` until there is something to do, and runs no handler: it gives
//!   each request to the function that [`Server::bind`] was given, which must pass it on without waiting.
//! * A [`Pending`] is the right and the duty to answer one request. It may go to another thread and be answered later;
//!   dropped, it answers with an error, so no client waits for ever.
//! * Per connection one request is worked on at a time; what the client sends meanwhile waits in its socket. Hence
//!   answers come in the order of requests, each request sees the effects of those before it, and a client that does
//!   not read holds up only itself. Clients that want things done at once open several connections.
//! * What was sent is done, even if the client has gone before the answer.
//!
//! Everything from a client is hostile until parsed: requests, connections, answers and waiting times are bounded by
//! [`ServerOptions`], and what is refused is refused with a JSON-RPC error that says why. Where the text cannot be
//! trusted any more (no JSON, too long), the connection ends, since a stream without delimiters has no place to
//! continue from.
//!
//! Standards: JSON-RPC 2.0 (jsonrpc.org/specification), JSON (RFC 8259). Batches are supported, and notifications get no
//! answer.
//!
//! Reading order: `frame.rs`, `message.rs`, `connection.rs` (no input or output in these three), `event_loop.rs`,
//! `server.rs`, `socket.rs`; `methods.rs` is what most users see, `openrpc.rs` describes it to them.
#![forbid(unsafe_code)]

pub mod client;
mod connection;
pub mod error;
mod event_loop;
#[cfg(any(test, feature = "test-utils"))]
pub mod exercise;
pub mod frame;
mod json;
pub mod message;
pub mod methods;
mod openrpc;
mod pending;
mod server;
mod socket;

pub use client::{CallError, Client};
pub use error::{Errno, RpcError};
pub use json::parse as parse_json;
pub use message::Request;
pub use methods::{Description, Methods, NoParams};
pub use openrpc::openrpc;
pub use pending::Pending;
pub use server::{Server, ServerOptions};
pub use socket::BindError;
