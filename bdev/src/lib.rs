//! The block device contract and its devices.
