//! What is tried, in the order in which it is tried.

mod behaviour;
mod login;
pub mod message;
mod messages;
mod transfers;

use super::bench::{Bench, Outcome};

/// Something to try.
#[derive(Debug)]
pub struct Case {
    /// For `--case`.
    pub name: &'static str,
    /// Tries it. An error is the target's.
    pub run: fn(&mut Bench) -> Outcome,
}

/// All of them.
pub const ALL: &[Case] = &[
    Case { name: "login_fields", run: login::fields },
    Case { name: "login_lengths", run: login::lengths },
    Case { name: "login_random", run: login::random },
    Case { name: "login_storm", run: login::storm },
    Case { name: "login_again", run: login::again },
    Case { name: "half_open", run: login::half_open },
    Case { name: "message_lengths", run: messages::lengths },
    Case { name: "message_opcodes", run: messages::opcodes },
    Case { name: "message_cut", run: messages::cut },
    Case { name: "message_mutated", run: messages::mutated },
    Case { name: "message_random", run: messages::random },
    Case { name: "direct_buffers", run: transfers::direct },
    Case { name: "indirect_buffers", run: transfers::indirect },
    Case { name: "immediate_data", run: transfers::immediate },
    Case { name: "buffer_formats", run: transfers::formats },
    Case { name: "bogus_keys", run: transfers::bogus_keys },
    Case { name: "task_management", run: messages::task_management },
    Case { name: "tag_reuse", run: behaviour::tag_reuse },
    Case { name: "credit_overrun", run: behaviour::credit_overrun },
    Case { name: "stops_reading", run: behaviour::stops_reading },
    Case { name: "leaves_in_the_middle", run: behaviour::leaves_in_the_middle },
    Case { name: "never_completed", run: login::never_completed },
];

/// The name of a case.
///
/// # Errors
/// There is no such case; the error tells which there are.
pub fn parse_name(text: &str) -> Result<&'static str, String> {
    let found = ALL.iter().find(|case| case.name == text).map(|case| case.name);
    let names = || ALL.iter().map(|case| case.name).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("there are {}", names()))
}
