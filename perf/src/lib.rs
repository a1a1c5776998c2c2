//! Load generators and micro-benchmarks: still to come.

#![forbid(unsafe_code)]
