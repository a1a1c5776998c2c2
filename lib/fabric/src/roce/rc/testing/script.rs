//! Two ends driven by a string of bytes, for a fuzzer.

use super::world::{Dice, Setup, World};

/// Runs both ends with work and a network that `bytes` decide: the setup first, then each loss, each posted operation and
/// so on; when they are used up, nothing bad happens any more. If the first byte is odd, a stranger sends packets, too:
/// then only the rules of memory and buffers are checked, else also that everything arrives.
///
/// # Panics
/// If a rule is broken.
pub fn run_script(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let mut dice = Dice::Script(rest);
    let setup = Setup { hostile: first & 1 != 0, ..Setup::roll(&mut dice) };
    World::new(setup, dice).run();
}
