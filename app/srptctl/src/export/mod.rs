//! The running configuration, as other targets have theirs. Functions of the requests that `save_config` answers.

pub(crate) mod scst;
mod stanzas;
