//! The command line, with SPDK's letters where SPDK has one.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use fabric::roce::packet_io::Way;

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

    /// Socket for JSON-RPC
    #[arg(short = 'r', long = "rpc-socket", default_value = "/var/tmp/srpt.sock", value_name = "PATH")]
    pub(crate) rpc_socket: PathBuf,

    /// Where metrics and health are served over HTTP; off: nowhere [default: 127.0.0.1:5590, if that is free]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<crate::metrics::Listen>,

    /// Where units keep what initiators want kept over restarts (persistent reservations, saved mode pages)
    #[arg(long, default_value = "/var/lib/srpt", value_name = "DIRECTORY")]
    pub(crate) state_dir: PathBuf,

    /// Let idle reactors sleep for short times, for machines without cores to spare
    #[arg(long)]
    pub(crate) adaptive: bool,

    /// Credits of each channel: requests that an initiator may have outstanding there
    #[arg(long, default_value_t = transport_srp::limits::CREDITS_DEFAULT, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(transport_srp::limits::CREDITS_MIN as i64..=transport_srp::limits::CREDITS_MAX as i64))]
    pub(crate) credits: u32,

    /// Channels that each reactor has buffers for
    #[arg(long, default_value_t = 32, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) channels: u32,

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

    /// A poller that runs longer than this is counted and logged by name
    #[arg(long, default_value_t = 20_000, value_name = "MICROSECONDS")]
    pub(crate) stall_us: u64,

    /// What to log: error, warn, info, debug or trace
    #[arg(short = 'L', long = "log-level", default_value = "info", value_name = "LEVEL")]
    pub(crate) log_level: tracing::Level,
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
