//! Both ends of a connection over a network that a seed, or a fuzzer's bytes, decide; for tests and fuzzing (feature
//! `test-utils`).

mod memory;
mod script;
mod world;

pub(crate) use memory::Memory;
pub use script::run_script;
#[cfg(test)]
pub(crate) use world::{Dice, Faults, Setup, World};
