//! What must hold of parsers and state machines whatever bytes come: one function for each fuzz target, which panics if it does not hold.
//!
//! The fuzz targets (`../fuzz_targets`, a nightly compiler) and a plain test (`tests/replay.rs`, any compiler) call them. The test runs the inputs
//! in `../corpus` and some thousand made of them.

#![forbid(unsafe_code)]

pub mod channel;
pub mod commands;
#[cfg(feature = "app")]
pub mod configuration;
pub mod device_management;
#[cfg(feature = "app")]
pub mod import_lio;
#[cfg(feature = "app")]
pub mod import_scst;
pub mod login;
pub mod parse_iu;
pub mod roce_cm;
pub mod roce_frame;
pub mod roce_mad;
pub mod roce_packet;
pub mod roce_rc;
pub mod rpc_conversation;
#[cfg(feature = "app")]
pub mod rpc_parameters;
mod script;
pub mod transfer;

/// What is done with an input.
pub type Exercise = fn(&[u8]);

/// All targets: the name, which is also the corpus's, and the function.
pub const TARGETS: &[(&str, Exercise)] = &[
    ("channel", channel::run),
    ("commands", commands::run),
    #[cfg(feature = "app")]
    ("configuration", configuration::run),
    ("device_management", device_management::run),
    #[cfg(feature = "app")]
    ("import_lio", import_lio::run),
    #[cfg(feature = "app")]
    ("import_scst", import_scst::run),
    ("login", login::run),
    ("parse_iu", parse_iu::run),
    ("roce_cm", roce_cm::run),
    ("roce_frame", roce_frame::run),
    ("roce_mad", roce_mad::run),
    ("roce_packet", roce_packet::run),
    ("roce_rc", roce_rc::run),
    ("rpc_conversation", rpc_conversation::run),
    #[cfg(feature = "app")]
    ("rpc_parameters", rpc_parameters::run),
    ("transfer", transfer::run),
];
