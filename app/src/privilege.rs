//! What the process may do, taken away before anything else is started: capabilities that it never needs, the right to gain others, and system
//! calls that it has no business with (`filter.rs`). All three hold for every thread, as they are set while there is but one.

mod filter;

use std::str::FromStr;

use anyhow::Context;
use clap::ValueEnum;
use fabric::roce::packet_io::Way;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::options::Options;

/// What becomes of system calls that are not on the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Seccomp {
    /// Refused, as if the kernel did not have them; those that only an intruder wants end the process
    On,
    /// Let through, and told in the kernel's log
    Log,
    /// No filter
    Off,
}

/// What the options have the process do beyond the usual.
#[derive(Clone, Copy, Default, Debug)]
struct Uses {
    xdp: bool,
    dpdk: bool,
}

/// What is kept of the capabilities that the process was started with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Keep(CapabilitySet);

impl FromStr for Keep {
    type Err = String;

    /// `none`, or names as capabilities(7) has them, with commas between, `CAP_` in front or not.
    fn from_str(text: &str) -> Result<Keep, String> {
        let mut kept = CapabilitySet::empty();
        for name in text.split(',').map(str::trim).filter(|name| *name != "none") {
            let upper = name.to_ascii_uppercase();
            let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
            kept |= CapabilitySet::from_name(plain).ok_or_else(|| {
                format!("{name:?} is no capability: write none, or names as CAP_SYS_RAWIO,CAP_IPC_LOCK")
            })?;
        }
        Ok(Keep(kept))
    }
}

/// Gives up what is not needed. While there is one thread.
///
/// # Errors
/// The kernel refuses; the filter can be switched off.
pub(crate) fn reduce(options: &Options) -> anyhow::Result<()> {
    let uses = Uses { xdp: !matches!(Way::from(options.roce_io), Way::Udp), dpdk: uses_dpdk(options) };
    let kept = reduce_capabilities(options.capabilities.map_or_else(|| needed(uses), |Keep(kept)| kept))?;
    rustix::thread::set_no_new_privs(true).context("cannot give up new privileges")?;
    filter::install(options.seccomp, uses).context(
        "the filter of system calls is refused, by this kernel or a sandbox without seccomp(2): see --seccomp off",
    )?;
    let seccomp = options.seccomp.to_possible_value();
    let seccomp = seccomp.as_ref().map_or("", |value| value.get_name());
    tracing::info!(capabilities = %names(kept), seccomp, "privileges");
    Ok(())
}

fn uses_dpdk(options: &Options) -> bool {
    #[cfg(feature = "dpdk")]
    return !options.dpdk_port.is_empty();
    #[cfg(not(feature = "dpdk"))]
    {
        let _ = options;
        false
    }
}

/// What a configuration or a request may need. docs/security.md has the reasons, too.
fn needed(uses: Uses) -> CapabilitySet {
    // Files and devices of other users, and a configuration file that keeps its owner and mode, a socket for a group.
    let files = CapabilitySet::DAC_OVERRIDE | CapabilitySet::CHOWN | CapabilitySet::FOWNER;
    // Buffers that are locked, and registered with devices.
    let memory = CapabilitySet::IPC_LOCK;
    // Listeners at ports below 1024.
    let ports = CapabilitySet::NET_BIND_SERVICE;
    // Pass-through: any command, and resets.
    let scsi = CapabilitySet::SYS_RAWIO | CapabilitySet::SYS_ADMIN;
    let packets = if uses.xdp || uses.dpdk {
        CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW | CapabilitySet::BPF
    } else {
        CapabilitySet::empty()
    };
    files | memory | ports | scsi | packets
}

/// Keeps those of the set that the process has. Returns what is left.
fn reduce_capabilities(keep: CapabilitySet) -> anyhow::Result<CapabilitySet> {
    let had = rustix::thread::capabilities(None).context("cannot read capabilities")?;
    let sets = CapabilitySets {
        effective: had.effective & keep,
        permitted: had.permitted & keep,
        // What is not inheritable is not ambient.
        inheritable: CapabilitySet::empty(),
    };
    // A sandbox around us may forbid to change what need not be changed.
    if sets != had {
        rustix::thread::set_capabilities(None, sets).context("cannot give up capabilities")?;
    }
    Ok(sets.effective)
}

fn names(set: CapabilitySet) -> String {
    let names: Vec<String> = set.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_named_as_the_manual_names_them() {
        let two = Keep(CapabilitySet::SYS_RAWIO | CapabilitySet::IPC_LOCK);
        assert_eq!("CAP_SYS_RAWIO,CAP_IPC_LOCK".parse(), Ok(two));
        assert_eq!("sys_rawio, ipc_lock".parse(), Ok(two));
        assert_eq!("none".parse(), Ok(Keep(CapabilitySet::empty())));
        assert!("CAP_FLY".parse::<Keep>().is_err_and(|said| said.contains("CAP_FLY")));
        assert!("".parse::<Keep>().is_err());
        assert_eq!(names(two.0), "CAP_IPC_LOCK,CAP_SYS_RAWIO");
        assert_eq!(names(CapabilitySet::empty()), "none");
    }

    #[test]
    fn packets_past_the_kernel_are_what_needs_the_network_capabilities() {
        let network = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW | CapabilitySet::BPF;
        assert!(!needed(Uses::default()).intersects(network));
        assert!(needed(Uses { xdp: true, ..Uses::default() }).contains(network));
    }
}
