//! The command line, with SPDK's letters where SPDK has one.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use fabric::roce::packet_io::Way;

use crate::log::LogFormat;
use crate::privilege::{Keep, Seccomp};

/// An SRP (SCSI RDMA Protocol) storage target in user space.
#[derive(Parser, Debug)]
#[command(name = "srpt-app", version)]
pub(crate) struct Options {
    /// Cores to run reactors on: a hexadecimal mask (0xF) or a list ([0,2-4])
    #[arg(short = 'm', long = "cpumask", default_value = "0x1", value_name = "MASK")]
    pub(crate) mask: reactor::CoreMask,

    /// Configuration to apply before anything is served (JSON, as save_config prints it)
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Save the configuration to the file that -c names after every change; one that is missing is begun
    #[arg(long, requires = "config")]
    pub(crate) auto_save: bool,

    /// How many earlier versions of a configuration file are kept beside it (FILE.1 is the latest)
    #[arg(long, default_value_t = 5, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) config_versions: u32,

    /// Socket for JSON-RPC
    #[arg(short = 'r', long = "rpc-socket", default_value = "/var/tmp/srpt.sock", value_name = "PATH")]
    pub(crate) rpc_socket: PathBuf,

    /// Group, by name or number, whose members may use the socket besides the user that the target runs as
    #[arg(long, value_name = "GROUP", value_parser = parse_group)]
    pub(crate) rpc_group: Option<u32>,
    /// Where metrics and health are served over HTTP; off: nowhere [default: 127.0.0.1:5590, if that is free]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<crate::metrics::Listen>,

    /// Where units keep what initiators want kept over restarts (persistent reservations, saved mode pages)
    #[arg(long, default_value = "/var/lib/srpt", value_name = "DIRECTORY")]
    pub(crate) state_dir: PathBuf,

    /// Let idle reactors sleep until work comes, for machines without cores to spare
    #[arg(long)]
    pub(crate) adaptive: bool,

    /// Credits of each channel: requests that an initiator may have outstanding there
    #[arg(long, default_value_t = transport_srp::limits::CREDITS_DEFAULT, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(transport_srp::limits::CREDITS_MIN as i64..=transport_srp::limits::CREDITS_MAX as i64))]
    pub(crate) credits: u32,

    /// Channels that each reactor has buffers for
    #[arg(long, default_value_t = 32, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) channels: u32,

    /// Channels that one initiator may have, counted by its port id and by its address [default: three quarters of all]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) channels_per_initiator: Option<u32>,

    /// How packets of the fabric roce pass
    #[arg(long, default_value = "best", value_name = "WAY")]
    pub(crate) roce_io: RoceIo,

    /// A network port for DPDK to drive, for listeners of the fabric roce at its address; may be given several times
    #[cfg(feature = "dpdk")]
    #[arg(long, value_name = "'DEVICE ADDRESS/PREFIX [via GATEWAY] [mtu BYTES]'")]
    pub(crate) dpdk_port: Vec<fabric::roce::packet_io::dpdk::PortOptions>,

    /// Arguments of DPDK's environment, if its memory is not to come from huge pages, or other things than usual are wanted
    #[cfg(feature = "dpdk")]
    #[arg(long, default_value = "", value_name = "ARGUMENTS", allow_hyphen_values = true)]
    pub(crate) dpdk_eal: String,

    /// Whether initiators on InfiniBand are told of the targets, so that ibsrpdm and srp_daemon find them
    #[arg(long, default_value = "on", value_name = "on|off")]
    pub(crate) device_management: Switch,

    /// What becomes of system calls that the target has no business with
    #[arg(long, default_value = "on", value_name = "MODE")]
    pub(crate) seccomp: Seccomp,

    /// Capabilities to keep of those that it is started with: names with commas between, or none [default: those that exports may need]
    #[arg(long, value_name = "NAMES")]
    pub(crate) capabilities: Option<Keep>,

    /// A poller that runs longer than this is counted and logged by name
    #[arg(long, default_value_t = 20_000, value_name = "MICROSECONDS")]
    pub(crate) stall_us: u64,

    /// Recent events that each reactor keeps for srpt_trace_dump: a power of two, four events for a command; 0 keeps none
    #[arg(long, default_value_t = transport_srp::limits::TRACE_EVENTS_DEFAULT, value_name = "NUMBER", value_parser = parse_trace_events)]
    pub(crate) trace_events: usize,

    /// Commands that take longer are kept for srpt_get_slow_commands, and logged; 0: none
    #[arg(long, default_value_t = 0, value_name = "MICROSECONDS", value_parser = clap::value_parser!(u64).range(..=86_400_000_000))]
    pub(crate) slow_us: u64,

    /// What to log: error, warn, info, debug or trace
    #[arg(short = 'L', long = "log-level", default_value = "info", value_name = "LEVEL")]
    pub(crate) log_level: tracing::Level,

    /// How lines of the log look [default: journal if that is where they go, else text]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

impl Options {
    /// Most channels of one initiator: what was asked for, or what leaves a quarter of all to others.
    pub(crate) fn channels_per_initiator(&self) -> usize {
        let all = self.channels as usize * self.mask.cores().len();
        self.channels_per_initiator.map_or((all * 3).div_ceil(4), |most| most as usize)
    }
}

fn parse_group(text: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse::<u32>() {
        return Ok(number);
    }
    match nix::unistd::Group::from_name(text) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err("there is no such group".into()),
        Err(error) => Err(format!("cannot look it up: {error}")),
    }
}

fn parse_trace_events(text: &str) -> Result<usize, String> {
    let most = transport_srp::limits::TRACE_EVENTS_MAX;
    match text.parse::<usize>() {
        Ok(number) if number == 0 || number.is_power_of_two() && number <= most => Ok(number),
        _ => Err(format!("write 0, or a power of two up to {most}")),
    }
}

/// Yes or no.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

/// How packets pass.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoceIo {
    /// The fastest of the others that works on the interface
    Best,
    /// Ordinary UDP sockets: needs no privilege
    Udp,
    /// AF_XDP sockets, past the kernel's network stack
    Xdp,
}

impl From<RoceIo> for Way {
    fn from(io: RoceIo) -> Way {
        match io {
            RoceIo::Best => Way::Best,
            RoceIo::Udp => Way::Udp,
            RoceIo::Xdp => Way::Xdp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_initiator_may_have_three_quarters_of_all_channels_unless_told_otherwise() {
        let most =
            |arguments: &[&str]| Options::parse_from([&["srpt-app"], arguments].concat()).channels_per_initiator();
        assert_eq!(most(&[]), 24);
        assert_eq!(most(&["-m", "0xf", "--channels", "8"]), 24);
        assert_eq!([1, 2, 3, 4, 5].map(|all: u32| most(&["--channels", &all.to_string()])), [1, 2, 3, 3, 4]);
        assert_eq!(most(&["--channels-per-initiator", "100"]), 100);
        assert!(Options::try_parse_from(["srpt-app", "--channels-per-initiator", "0"]).is_err());
    }
}
