//! Turns a CDB into a decision for one logical unit.
