//! Metrics and health over HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever supervises the process.
//!
//! ```text
//!  client ──HTTP──► metrics thread                                  control thread
//!                   server.rs     one small runtime, bounded           appliance.rs polls
//!                   pages.rs      which page, in which form
//!                   health.rs     is it alive, is it ready
//!                   scrapes.rs    one gathering at a time  ──Ask──►  ask.rs  copies numbers
//!                   families/     numbers → samples        ◄──Snapshot──
//!         ◄──────── lib/metrics   samples → text
//! ```
//!
//! The data path is never asked: its cores count for themselves, and what they counted is read where it stands. What only the control thread may
//! look at, it copies when it is asked; if it does not answer in time, the rest is told all the same. All text is made on the metrics thread,
//! which may be slow: a client that reads slowly, or never, costs a connection, of which there are few, and gets no more than some seconds.
//!
//! `families/` is the list of all metrics; docs/metrics.md is written from it.

mod ask;
#[cfg(test)]
mod dashboards;
#[cfg(test)]
mod documentation;
mod families;
mod health;
mod listen;
mod pages;
mod scrapes;
mod server;

pub(crate) use ask::{Asks, answer, asks};
pub(crate) use listen::{Listen, bind};
pub(crate) use scrapes::Sources;
pub(crate) use server::Server;
