//! Which cores to use, and holding a thread to one.
//!
//! The set of cores that a process may use is read from its affinity, so it respects `taskset`, cpusets and containers.
//! A pinned thread sees only its own core there: ask [`CoreMask::check_usable`] before pinning.

use std::fmt;
use std::str::FromStr;

/// The highest core number plus one that the kernel's usual affinity calls (`CPU_SETSIZE`), and so this crate, can name.
const CORE_LIMIT: u32 = 1024;

/// A set of cores, never empty, as SPDK's `-m` takes it: a hexadecimal mask (`0x1d` or `1d`) or a list in brackets
/// (`[0,2-4]`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreMask {
    cores: Vec<u32>,
}

impl CoreMask {
    /// The cores in ascending order, each once.
    pub fn cores(&self) -> &[u32] {
        &self.cores
    }

    /// Checks that the calling thread may run on every core of the mask. Call it before pinning.
    ///
    /// # Errors
    /// Names the cores it may not use, and those it may.
    pub fn check_usable(&self) -> Result<(), AffinityError> {
        self.check_against(&usable_cores()?)
    }

    fn check_against(&self, usable: &[u32]) -> Result<(), AffinityError> {
        let unusable: Vec<u32> = self.cores.iter().copied().filter(|core| !usable.contains(core)).collect();
        if unusable.is_empty() {
            return Ok(());
        }
        Err(AffinityError::NotUsable { unusable: list(&unusable), usable: list(usable) })
    }
}

impl FromStr for CoreMask {
    type Err = CoreMaskError;

    fn from_str(text: &str) -> Result<CoreMask, CoreMaskError> {
        let text = text.trim();
        let mut cores = match text.strip_prefix('[') {
            Some(rest) => parse_list(rest.strip_suffix(']').ok_or(CoreMaskError::Unclosed)?)?,
            None => parse_hexadecimal(text)?,
        };
        cores.sort_unstable();
        cores.dedup();
        Ok(CoreMask { cores })
    }
}

/// `0x1d`: bit n is core n. As many digits as you like.
fn parse_hexadecimal(text: &str) -> Result<Vec<u32>, CoreMaskError> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let mut cores = Vec::new();
    for (position, character) in digits.chars().rev().enumerate() {
        let digit = character.to_digit(16).ok_or(CoreMaskError::NotHexadecimal { character })?;
        for bit in (0..4).filter(|bit| digit & (1 << bit) != 0) {
            let core = position * 4 + bit;
            let known = u32::try_from(core).ok().filter(|&core| core < CORE_LIMIT);
            cores.push(known.ok_or_else(|| CoreMaskError::TooHigh { core: core.to_string() })?);
        }
    }
    if cores.is_empty() { Err(CoreMaskError::Empty) } else { Ok(cores) }
}

/// `0,2-4`: what stands between the brackets.
fn parse_list(text: &str) -> Result<Vec<u32>, CoreMaskError> {
    if text.trim().is_empty() {
        return Err(CoreMaskError::Empty);
    }
    let mut cores = Vec::new();
    for item in text.split(',').map(str::trim) {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (parse_core(first, item)?, parse_core(last, item)?);
        if first > last {
            return Err(CoreMaskError::Backwards { item: item.to_owned() });
        }
        cores.extend(first..=last);
    }
    Ok(cores)
}

fn parse_core(text: &str, item: &str) -> Result<u32, CoreMaskError> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CoreMaskError::NotACore { item: item.to_owned() });
    }
    let known = text.parse().ok().filter(|&core| core < CORE_LIMIT);
    known.ok_or_else(|| CoreMaskError::TooHigh { core: text.to_owned() })
}

/// The list form, `[0,2-4]`.
impl fmt::Display for CoreMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&list(&self.cores))
    }
}

/// Ascending cores as a list in brackets, runs drawn together.
fn list(cores: &[u32]) -> String {
    let runs = cores.chunk_by(|&core, &next| core + 1 == next);
    let items: Vec<String> = runs
        .map(|run| match run {
            [only] => only.to_string(),
            _ => format!("{}-{}", run[0], run[run.len() - 1]),
        })
        .collect();
    format!("[{}]", items.join(","))
}

/// Holds the calling thread to one core.
///
/// # Errors
/// If the kernel refuses, or if the thread may still run elsewhere afterwards.
pub fn pin_current_thread(core: u32) -> Result<(), AffinityError> {
    // core_affinity answers yes or no, without the system's reason, and panics on a core beyond its set.
    let id = core_affinity::CoreId { id: core as usize };
    if core >= CORE_LIMIT || !core_affinity::set_for_current(id) {
        return Err(AffinityError::Refused { core });
    }
    let actual = rustix::thread::sched_getaffinity(None).map_err(|_| AffinityError::Unknown)?;
    if actual.count() != 1 || !actual.is_set(core as usize) {
        return Err(AffinityError::Refused { core });
    }
    Ok(())
}

/// Keeps the calling thread, and those that it starts from now on, off the cores of `mask`, if that leaves it any: who polls there is not to be
/// interrupted. Threads that are pinned later are not held by it.
pub fn keep_off(mask: &CoreMask) {
    let Ok(mut set) = rustix::thread::sched_getaffinity(None) else { return };
    mask.cores.iter().for_each(|&core| set.unset(core as usize));
    if set.count() > 0
        && let Err(error) = rustix::thread::sched_setaffinity(None, &set)
    {
        tracing::warn!(%error, "threads beside the reactors may run on the reactors' cores: the kernel does not let them be kept off");
    }
}

/// The cores on which the calling thread may run, ascending.
fn usable_cores() -> Result<Vec<u32>, AffinityError> {
    let ids = core_affinity::get_core_ids().ok_or(AffinityError::Unknown)?;
    ids.into_iter().map(|core| u32::try_from(core.id).map_err(|_| AffinityError::Unknown)).collect()
}

/// Why a text is no core mask.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CoreMaskError {
    /// No core at all.
    #[error("the core mask names no core; give at least one, as 0x1 or [0]")]
    Empty,
    /// A mask with a character that is no hexadecimal digit.
    #[error(
        "the core mask has {character:?}, which is no hexadecimal digit; give a mask as 0x1d, or a list of cores in brackets as [0,2-4]"
    )]
    NotHexadecimal {
        /// The character.
        character: char,
    },
    /// A list without its closing bracket.
    #[error("the core list does not end with a closing bracket; write it as [0,2-4], quoted for the shell")]
    Unclosed,
    /// An item of a list that is neither number nor range.
    #[error("{item:?} in the core list is neither a core nor a range; write it as 3 or 2-4")]
    NotACore {
        /// The item.
        item: String,
    },
    /// A range that ends before it starts.
    #[error("the range {item:?} in the core list runs backwards; write the lower core first")]
    Backwards {
        /// The range.
        item: String,
    },
    /// A core number beyond what can be pinned.
    #[error("core {core} in the core mask is out of range; cores 0 to 1023 can be used")]
    TooHigh {
        /// The number.
        core: String,
    },
}

/// Why cores cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AffinityError {
    /// Cores outside what the process may use.
    #[error(
        "this process may not use the cores {unusable} of the core mask, only {usable}; take others, or widen its cpuset or taskset mask"
    )]
    NotUsable {
        /// The cores of the mask that it may not use, as a list.
        unusable: String,
        /// The cores that it may use, as a list.
        usable: String,
    },
    /// The kernel did not pin.
    #[error(
        "the kernel does not let this thread run on core {core} alone; check that the core is online and in the process's cpuset"
    )]
    Refused {
        /// The core.
        core: u32,
    },
    /// The kernel did not say.
    #[error("the cores that this process may use cannot be read (sched_getaffinity failed)")]
    Unknown,
}

#[cfg(test)]
#[path = "affinity_tests.rs"]
mod tests;
