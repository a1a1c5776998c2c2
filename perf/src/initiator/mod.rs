//! An SRP initiator for one core: logs channels in, sends commands, takes responses.
//!
//! Bytes are read and written by [`transport_srp::wire`]; this module knows what follows what.
//!
//! # What an initiator owns
//! A channel has `depth` *slots*. A slot is a command's tag and its data buffer. While the command is under way the buffer
//! is exposed to the target under a key of its own, which is withdrawn when the response arrives: a target that wrote late
//! would be refused by the fabric. Messages travel in buffers of their own, which come back when the target
//! acknowledged them; that may be after the response.
//!
//! # Reading order
//! `login.rs` (what is agreed), `cdb.rs`, `form.rs` (how data are described), `channel.rs` (slots, credits, tags), `answer.rs` (what a response means),
//! `probe.rs` (the first commands on a unit), `memory.rs` (where the buffers lie).

pub mod answer;
pub mod cdb;
pub mod channel;
pub mod form;
pub mod login;
pub mod memory;
pub mod probe;

pub use answer::{Answer, Verdict};
pub use channel::{Channel, Event, Fault, Slot, Transfer};
pub use form::Form;
pub use login::{Login, Terms};
pub use memory::MemoryLayout;
pub use probe::{Capacity, Probe};
