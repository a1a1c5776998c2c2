//! Tests of the simulation itself: each rule once, then all of them at once under random faults.

mod bench;
mod rules;
mod under_faults;
