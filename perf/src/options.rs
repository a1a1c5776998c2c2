//! The command line, in the manner of `spdk_nvme_perf`, and what it comes to.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};
use fabric::roce::packet_io::Way;
use reactor::CoreMask;
use scsi::Lun;
use transport_srp::limits::TRANSFER_BYTES_MAX;
use transport_srp::wire::PortId;

use crate::initiator::Capacity;
use crate::workload::Mix;

/// Largest I/O, in bytes: what our own target takes in one command.
const IO_BYTES_MAX: u32 = TRANSFER_BYTES_MAX as u32;

const TIME_DEFAULT: Duration = Duration::from_secs(10);
/// A year: as good as no limit.
const TIME_UNLIMITED: Duration = Duration::from_secs(365 * 86_400);

/// Load on an SRP target over RoCE, from user space: it needs no RDMA device, no kernel module and no privilege.
#[derive(Parser, Clone, Debug)]
#[command(name = "srp-perf", version, args_override_self = true)]
pub struct Options {
    /// Commands under way at once on each channel
    #[arg(short = 'q', long = "queue-depth", default_value_t = 32, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub depth: u32,

    /// Bytes of one I/O; 4k and 1M mean what they look like
    #[arg(short = 'o', long = "io-size", default_value = "4k", value_name = "BYTES")]
    pub io_size: Size,

    /// What to do
    #[arg(short = 'w', long = "workload", default_value = "randread", value_name = "WORKLOAD")]
    pub workload: WorkloadName,

    /// Reads in percent of all I/Os, for rw and randrw [default: 50]
    #[arg(short = 'M', long = "read-percent", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub read_percent: Option<u8>,

    /// Seconds to measure [default: 10, or with -d until that is done]
    #[arg(short = 't', long = "time", value_name = "SECONDS", value_parser = seconds)]
    pub time: Option<Duration>,

    /// I/Os of each channel, after which it ends before its time
    #[arg(short = 'd', long = "number-ios", value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub ios: Option<u64>,

    /// Seconds of load before that
    #[arg(long, default_value = "0", value_name = "SECONDS", value_parser = seconds)]
    pub warmup: Duration,

    /// Cores to run on: a hexadecimal mask (0xF) or a list ([0,2-4])
    #[arg(short = 'c', visible_short_alias = 'm', long = "core-mask", default_value = "0x1", value_name = "MASK")]
    pub mask: CoreMask,

    /// Let idle cores sleep for short times, for machines without cores to spare
    #[arg(long)]
    pub adaptive: bool,

    /// Channels (queue pairs), dealt out to the cores in turn [default: one per core]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub channels: Option<u32>,

    /// Where the target listens
    #[arg(long, default_value = "127.0.0.1:5555", value_name = "ADDRESS:PORT")]
    pub target: SocketAddr,

    /// Our own address [default: the one that the system reaches the target from; 127.0.0.2 for a target on 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub local: Option<IpAddr>,

    /// How packets pass: udp (sockets, needs no privilege), xdp (past the kernel's network stack), or the best that works
    #[arg(long, default_value = "best", value_name = "WAY", value_parser = way)]
    pub roce_io: Way,

    /// First half of the target's port identifier, in hex, as the target was created with
    #[arg(long, value_name = "HEX", value_parser = hex)]
    pub id_ext: u64,

    /// Second half of it
    #[arg(long, value_name = "HEX", value_parser = hex)]
    pub ioc_guid: u64,

    /// Number of the logical unit
    #[arg(long, default_value_t = 0, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(0..=i64::from(Lun::MAX.0)))]
    pub lun: u16,

    /// Never put the data of a write into its command: slower for one at a time, faster for many, as the target then
    /// asks for them in bursts
    #[arg(long)]
    pub no_immediate: bool,

    /// Describe the memory of each command by a list of this many descriptors
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(2..))]
    pub indirect: Option<u8>,

    /// Compare what is read with what was written; what was not written yet is written first
    #[arg(long)]
    pub verify: bool,

    /// Makes the same random choices and patterns again [default: others each time]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,

    /// Also tell the I/Os of each second
    #[arg(long)]
    pub per_second: bool,

    /// A name for this run, by which `perf-report` tells it from others
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,

    /// Write the results as JSON into this file; "-": to standard output, in place of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "lower")]
pub enum WorkloadName {
    /// Reads, one after the other.
    Read,
    /// Writes, one after the other.
    Write,
    /// Both, one after the other.
    Rw,
    /// Reads at random places.
    RandRead,
    /// Writes at random places.
    RandWrite,
    /// Both at random places.
    RandRw,
}

impl Options {
    /// Checks what the options mean together.
    ///
    /// # Errors
    /// Names the option and the fix.
    pub fn check(&self) -> anyhow::Result<()> {
        let mixed = matches!(self.workload, WorkloadName::Rw | WorkloadName::RandRw);
        ensure!(
            self.read_percent.is_none() || mixed,
            "-M is for a mix of reads and writes: leave it out, or say -w rw or -w randrw"
        );
        ensure!(
            (1..=IO_BYTES_MAX).contains(&self.io_size.0),
            "-o {}: one I/O has 1 to {IO_BYTES_MAX} bytes",
            self.io_size.0
        );
        ensure!(!self.time().is_zero(), "-t 0: nothing would be measured; give it a second");
        ensure!(
            self.channels() as usize >= self.mask.cores().len(),
            "--channels {}: fewer than the {} cores of -c, of which some would have nothing to do",
            self.channels(),
            self.mask.cores().len()
        );
        self.mask.check_usable().context("-c")
    }

    /// What the unit's size must allow for.
    ///
    /// # Errors
    /// Names the option and the fix.
    pub fn check_against(&self, capacity: Capacity) -> anyhow::Result<()> {
        let Capacity { blocks, block_bytes } = capacity;
        ensure!(
            self.io_size.0.is_multiple_of(block_bytes),
            "-o {}: LUN {} has blocks of {block_bytes} bytes; give a multiple",
            self.io_size.0,
            self.lun
        );
        let positions = blocks / u64::from(self.io_size.0 / block_bytes);
        let each = if self.own_parts() { positions / u64::from(self.channels()) } else { positions };
        let needed = if self.verify { u64::from(self.depth) } else { 1 };
        ensure!(
            each >= needed,
            "LUN {} has {blocks} blocks of {block_bytes} bytes, too few for -q {} -o {} on {} channels",
            self.lun,
            self.depth,
            self.io_size.0,
            self.channels()
        );
        Ok(())
    }

    /// How long to measure at most.
    pub fn time(&self) -> Duration {
        self.time.unwrap_or(if self.ios.is_some() { TIME_UNLIMITED } else { TIME_DEFAULT })
    }

    /// Channels to log in.
    pub fn channels(&self) -> u32 {
        self.channels.unwrap_or(self.mask.cores().len() as u32)
    }

    /// Kinds and order of the I/Os.
    pub fn mix(&self) -> Mix {
        use WorkloadName::{RandRead, RandRw, RandWrite, Read, Rw, Write};
        let random = matches!(self.workload, RandRead | RandWrite | RandRw);
        let read_percent = match self.workload {
            Read | RandRead => 100,
            Write | RandWrite => 0,
            Rw | RandRw => self.read_percent.unwrap_or(50),
        };
        Mix { random, read_percent }
    }

    /// Whether every channel keeps to a part of the unit.
    pub fn own_parts(&self) -> bool {
        self.verify || !self.mix().random
    }

    /// The target's port identifier.
    pub fn target_port(&self) -> PortId {
        PortId::new(self.id_ext, self.ioc_guid)
    }

    /// Our address.
    ///
    /// # Errors
    /// None was given and none can be found.
    pub fn local(&self) -> anyhow::Result<IpAddr> {
        if let Some(local) = self.local {
            return Ok(local);
        }
        let local = match self.target.ip() {
            IpAddr::V4(address) if address.is_loopback() => {
                let last = if address.octets() == [127, 0, 0, 2] { 3 } else { 2 };
                IpAddr::from([127, 0, 0, last])
            }
            target => reached_from(target)
                .with_context(|| format!("no way to {target}: check --target, or give our address with --local"))?,
        };
        if local == self.target.ip() {
            bail!(
                "--target {} is this machine's own address, and RoCE needs one for each end: add an address to an \
                 interface (ip addr add) and give it with --local",
                self.target
            );
        }
        Ok(local)
    }
}

/// The address from which the system would send to `target`. Nothing is sent.
fn reached_from(target: IpAddr) -> std::io::Result<IpAddr> {
    let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((target, 1))?;
    Ok(socket.local_addr()?.ip())
}

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size(pub u32);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let wrong = || format!("{text:?} is no number of bytes: write it as 4096, 4k or 1M");
        let (digits, unit) = match text.strip_suffix(['k', 'K']) {
            Some(digits) => (digits, 1 << 10),
            None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1 << 20)),
        };
        let number: u32 = digits.parse().map_err(|_| wrong())?;
        number.checked_mul(unit).map(Size).ok_or_else(wrong)
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number: Option<f64> = text.parse().ok();
    let duration = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
    duration.ok_or_else(|| format!("{text:?} is no number of seconds: write it as 10 or 0.5"))
}

fn way(text: &str) -> Result<Way, String> {
    match text {
        "best" => Ok(Way::Best),
        "udp" => Ok(Way::Udp),
        "xdp" => Ok(Way::Xdp),
        _ => Err(format!("{text:?} is no way for packets: there are best, udp and xdp")),
    }
}

fn hex(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text).replace(':', "");
    u64::from_str_radix(&digits, 16)
        .map_err(|_| format!("{text:?} is no port identifier: 1 to 16 hex digits are needed, like 0x0002c90300001234"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<Options, String> {
        let always = ["srp-perf", "--id-ext", "1", "--ioc-guid", "2"];
        Options::try_parse_from(always.iter().chain(arguments)).map_err(|error| error.to_string())
    }

    fn good(arguments: &[&str]) -> Options {
        options(arguments).expect("good options")
    }

    #[test]
    fn sizes_have_suffixes() {
        for (text, bytes) in [("512", 512), ("4k", 4096), ("128K", 131_072), ("1M", 1 << 20)] {
            assert_eq!(good(&["-o", text]).io_size, Size(bytes), "{text}");
        }
        for text in ["", "k", "4g", "-1", "4096M", "1.5k"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn workloads_have_the_usual_names() {
        for (name, percent, mix) in [
            ("read", None, Mix { random: false, read_percent: 100 }),
            ("write", None, Mix { random: false, read_percent: 0 }),
            ("randread", None, Mix { random: true, read_percent: 100 }),
            ("randwrite", None, Mix { random: true, read_percent: 0 }),
            ("rw", None, Mix { random: false, read_percent: 50 }),
            ("randrw", Some("70"), Mix { random: true, read_percent: 70 }),
        ] {
            let mut arguments = vec!["-w", name];
            arguments.extend(percent.iter().flat_map(|percent| ["-M", percent]));
            assert_eq!(good(&arguments).mix(), mix, "{name}");
        }
    }

    #[test]
    fn a_number_of_ios_stands_in_for_the_time() {
        assert_eq!(good(&[]).time(), TIME_DEFAULT);
        assert_eq!(good(&["-d", "100"]).time(), TIME_UNLIMITED);
        assert_eq!(good(&["-d", "100", "-t", "2.5"]).time(), Duration::from_millis(2_500));
    }

    #[test]
    fn the_core_mask_is_c_and_m() {
        for letter in ["-c", "-m"] {
            assert_eq!(good(&[letter, "[0,2-3]"]).mask.cores(), [0, 2, 3]);
        }
        assert_eq!(good(&["-c", "0x7"]).channels(), 3);
        assert_eq!(good(&["-c", "0x7", "--channels", "5"]).channels(), 5);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_option() {
        for (arguments, word) in [
            (&["-w", "randread", "-M", "70"][..], "-M"),
            (&["-o", "0"], "-o"),
            (&["-o", "2M"], "-o"),
            (&["-t", "0"], "-t"),
            (&["-c", "0x3", "--channels", "1"], "--channels"),
            (&["-c", "[1000]"], "-c"),
        ] {
            let said = format!("{:#}", good(arguments).check().expect_err("it is wrong"));
            assert!(said.contains(word), "{arguments:?}: {said}");
        }
        // clap speaks of options by their long names.
        for arguments in [
            ["--queue-depth", "0"],
            ["--io-size", "many"],
            ["--time", "never"],
            ["--workload", "walk"],
            ["--target", "here"],
            ["--indirect", "1"],
            ["--roce-io", "pigeon"],
        ] {
            let said = options(&arguments).expect_err("it is wrong");
            assert!(said.contains(arguments[0]), "{arguments:?}: {said}");
        }
        assert!(Options::try_parse_from(["srp-perf"]).expect_err("incomplete").to_string().contains("--ioc-guid"));
        assert!(options(&[]).is_ok_and(|options| options.check().is_ok()));
    }

    #[test]
    fn the_unit_must_be_large_enough_and_its_blocks_fit() {
        let check = |arguments: &[&str], blocks, block_bytes| {
            good(arguments).check_against(Capacity { blocks, block_bytes }).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["-o", "4k"], 8, 512), Ok(()));
        assert!(check(&["-o", "4k"], 7, 512).unwrap_err().contains("too few"));
        assert!(check(&["-o", "512"], 100, 4096).unwrap_err().contains("-o 512"));
        assert!(check(&["-o", "512", "-q", "8", "--verify"], 7, 512).unwrap_err().contains("-q 8"));
        assert_eq!(check(&["-o", "512", "-q", "8", "--verify"], 8, 512), Ok(()));
        assert!(check(&["-o", "512", "-w", "read", "--channels", "3"], 2, 512).is_err());
    }

    #[test]
    fn our_address_is_not_the_targets() {
        let local = |arguments: &[&str]| good(arguments).local().map_err(|error| error.to_string());
        assert_eq!(local(&[]), Ok(IpAddr::from([127, 0, 0, 2])));
        assert_eq!(local(&["--target", "127.0.0.2:5555"]), Ok(IpAddr::from([127, 0, 0, 3])));
        assert_eq!(local(&["--local", "127.9.9.9"]), Ok(IpAddr::from([127, 9, 9, 9])));
        assert!(local(&["--target", "[::1]:5555"]).unwrap_err().contains("--local"));
    }

    #[test]
    fn identifiers_are_hex_as_in_a_login_string() {
        assert_eq!(hex("0002c90300001234"), Ok(0x0002_c903_0000_1234));
        assert_eq!(hex("0x0002:c903:0000:1234"), Ok(0x0002_c903_0000_1234));
        assert!(hex("xyz").is_err() && hex("").is_err() && hex("11111111111111111").is_err());
    }
}
