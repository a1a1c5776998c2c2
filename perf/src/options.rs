//! The command line, in the manner of `spdk_nvme_perf`, and what it comes to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
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

use crate::connector::FabricOptions;
use crate::in_process::{self, Backing};
use crate::initiator::{Capacity, Form, Terms};
use crate::target_option::{TargetOption, hex};
use crate::workload::Mix;

/// Largest I/O, in bytes: what our own target takes in one command.
const IO_BYTES_MAX: u32 = TRANSFER_BYTES_MAX as u32;

/// Where a target is looked for if nothing is said.
const TARGET_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5555);

/// Size of a unit in this process if nothing is said, in bytes.
const NULL_BYTES: u64 = 1 << 40;
const MALLOC_BYTES: u64 = 64 << 20;

/// Descriptors of a list if nothing is said.
const DESCRIPTORS_DEFAULT: u8 = 8;

const TIME_DEFAULT: Duration = Duration::from_secs(10);
/// A year: as good as no limit.
const TIME_UNLIMITED: Duration = Duration::from_secs(365 * 86_400);

/// Load on SRP targets, from user space: over RoCE of our own it needs no RDMA device, no kernel module and no privilege.
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

    /// I/Os to begin in a second, of all channels together, which take turns [default: as many as the depth allows]. Latencies then count
    /// from when an I/O was to begin: one that is late, because others before it are, is not made to look fast
    #[arg(long, value_name = "IOPS", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,

    /// Cores to run on: a hexadecimal mask (0xF) or a list ([0,2-4])
    #[arg(short = 'c', visible_short_alias = 'm', long = "core-mask", default_value = "0x1", value_name = "MASK")]
    pub mask: CoreMask,

    /// Let idle cores sleep for short times, for machines without cores to spare
    #[arg(long)]
    pub adaptive: bool,

    /// Channels (queue pairs), dealt out in turn to the cores and to the targets [default: one per core, and per target]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub channels: Option<u32>,

    /// Through what: roce (our own, over UDP), verbs (RDMA devices, by rdma-core), or sim (a target in this process, with no network: what
    /// target and initiator cost by themselves)
    #[arg(long, default_value = "roce", value_name = "FABRIC")]
    pub fabric: FabricName,

    /// Where a target listens, and, where it differs from the options below, which target and unit; once for each target
    /// [default: 127.0.0.1:5555]
    #[arg(long = "target", value_name = "ADDRESS:PORT[,id_ext=HEX][,ioc_guid=HEX][,lun=NUMBER]")]
    pub targets: Vec<TargetOption>,

    /// What is behind the unit of the target in this process (--fabric sim): null or malloc, and its size, as malloc:256M
    /// [default: null; malloc with --verify]
    #[arg(long, value_name = "null|malloc[:BYTES]", value_parser = backing)]
    pub bdev: Option<Backing>,

    /// Our own address [default: the one that the system reaches the target from; 127.0.0.2 for a target on 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub local: Option<IpAddr>,

    /// How packets pass: udp (sockets, needs no privilege), xdp (past the kernel's network stack), or the best that works
    #[arg(long, default_value = "best", value_name = "WAY", value_parser = way)]
    pub roce_io: Way,

    /// First half of the targets' port identifier, in hex, as the target was created with
    #[arg(long, value_name = "HEX", value_parser = hex)]
    pub id_ext: Option<u64>,

    /// Second half of it
    #[arg(long, value_name = "HEX", value_parser = hex)]
    pub ioc_guid: Option<u64>,

    /// Number of the logical unit
    #[arg(long, default_value_t = 0, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(0..=i64::from(Lun::MAX.0)))]
    pub lun: u16,

    /// How commands say where their data are [default: direct, and immediate for writes that are small enough, if the target takes that]
    #[arg(long, value_name = "FORM")]
    pub form: Option<FormName>,

    /// Never put the data of a write into its command: slower for one at a time, faster for many, as the target then
    /// asks for them in bursts
    #[arg(long)]
    pub no_immediate: bool,

    /// Descriptors of each command, with --form indirect or partial [default: 8]; without --form: indirect, and immediate where that is possible
    #[arg(long, visible_alias = "descriptors", value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(2..))]
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

/// Through what to reach targets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "lower")]
pub enum FabricName {
    /// RoCEv2 of our own.
    Roce,
    /// rdma-core.
    Verbs,
    /// A target in this process.
    Sim,
}

/// How commands say where their data are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "lower")]
pub enum FormName {
    /// One descriptor.
    Direct,
    /// A list of descriptors in the command.
    Indirect,
    /// A list of which half is in the command: the target fetches the table.
    Partial,
    /// Writes carry their data in the command; reads are direct.
    Immediate,
}

/// A target, with everything that was said of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its port identifier.
    pub port: PortId,
    /// Number of the logical unit.
    pub lun: u16,
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
        let is_list = matches!(self.form, None | Some(FormName::Indirect | FormName::Partial));
        ensure!(
            self.indirect.is_none() || is_list,
            "--indirect is for lists of descriptors: leave it out, or say --form indirect or --form partial"
        );
        ensure!(
            !(self.no_immediate && self.form == Some(FormName::Immediate)),
            "--form immediate and --no-immediate: leave one of them out"
        );
        let targets = self.targets()?.len();
        ensure!(
            self.channels() as usize >= targets,
            "--channels {}: fewer than the {targets} targets, of which some would have none",
            self.channels()
        );
        self.mask.check_usable().context("-c")
    }

    /// What a unit's size must allow for, if this many channels use it.
    ///
    /// # Errors
    /// Names the option and the fix.
    pub fn check_against(&self, lun: u16, capacity: Capacity, channels: u32) -> anyhow::Result<()> {
        let Capacity { blocks, block_bytes } = capacity;
        ensure!(
            self.io_size.0.is_multiple_of(block_bytes),
            "-o {}: LUN {lun} has blocks of {block_bytes} bytes; give a multiple",
            self.io_size.0
        );
        let positions = blocks / u64::from(self.io_size.0 / block_bytes);
        let each = if self.own_parts() { positions / u64::from(channels) } else { positions };
        let needed = if self.verify { u64::from(self.depth) } else { 1 };
        ensure!(
            each >= needed,
            "LUN {lun} has {blocks} blocks of {block_bytes} bytes, too few for -q {} -o {} on {channels} channels",
            self.depth,
            self.io_size.0
        );
        Ok(())
    }

    /// What a login must have agreed on.
    ///
    /// # Errors
    /// Names the option and the fix.
    pub fn check_agreed(&self, terms: &Terms) -> anyhow::Result<()> {
        ensure!(
            self.form().message_bytes() <= terms.message_bytes,
            "--indirect {}: the target takes messages of {} bytes, too few for so many descriptors",
            self.form().descriptors(),
            terms.message_bytes
        );
        if self.form == Some(FormName::Immediate) && self.mix().read_percent < 100 {
            let offset = terms.immediate_offset.context("--form immediate: the target takes no immediate data")?;
            let most = terms.message_bytes.saturating_sub(offset.into());
            ensure!(
                self.io_size.0 as usize <= most,
                "-o {}: with --form immediate a write of {most} bytes is the largest that this target takes",
                self.io_size.0
            );
        }
        Ok(())
    }

    /// How long to measure at most.
    pub fn time(&self) -> Duration {
        self.time.unwrap_or(if self.ios.is_some() { TIME_UNLIMITED } else { TIME_DEFAULT })
    }

    /// Channels to log in.
    pub fn channels(&self) -> u32 {
        self.channels.unwrap_or(self.mask.cores().len().max(self.targets.len()) as u32)
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

    /// How memory is described.
    pub fn form(&self) -> Form {
        let count = self.indirect.unwrap_or(DESCRIPTORS_DEFAULT);
        match self.form_name() {
            FormName::Partial => Form::Partial(count),
            FormName::Indirect => Form::Indirect(count),
            FormName::Direct | FormName::Immediate => Form::Direct,
        }
    }

    /// The form that was asked for, or that of commands without immediate data.
    pub fn form_name(&self) -> FormName {
        self.form.unwrap_or(if self.indirect.is_some() { FormName::Indirect } else { FormName::Direct })
    }

    /// Whether writes are to carry their data, where that is possible.
    pub fn wants_immediate(&self) -> bool {
        match self.form {
            None => !self.no_immediate,
            Some(form) => form == FormName::Immediate,
        }
    }

    /// Whether every channel keeps to a part of the unit.
    pub fn own_parts(&self) -> bool {
        self.verify || !self.mix().random
    }

    /// The targets.
    ///
    /// # Errors
    /// It is not said which, or too much is.
    pub fn targets(&self) -> anyhow::Result<Vec<Target>> {
        if self.fabric == FabricName::Sim {
            ensure!(
                self.targets.is_empty() && self.id_ext.is_none() && self.ioc_guid.is_none() && self.local.is_none(),
                "--fabric sim brings its own target: leave --target, --id-ext, --ioc-guid and --local out"
            );
            return Ok(vec![Target { address: in_process::LISTENS_AT, port: in_process::PORT, lun: self.lun }]);
        }
        ensure!(self.bdev.is_none(), "--bdev is for the target in this process: say --fabric sim, or leave it out");
        let default = TargetOption::at(TARGET_DEFAULT);
        let given = if self.targets.is_empty() { std::slice::from_ref(&default) } else { &self.targets };
        given.iter().map(|target| self.complete(target)).collect()
    }

    fn complete(&self, target: &TargetOption) -> anyhow::Result<Target> {
        let missing = |option, part| {
            format!("{option} is missing for the target at {}: give it, or ,{part}=HEX behind --target", target.address)
        };
        let id_ext = target.id_ext.or(self.id_ext).with_context(|| missing("--id-ext", "id_ext"))?;
        let ioc_guid = target.ioc_guid.or(self.ioc_guid).with_context(|| missing("--ioc-guid", "ioc_guid"))?;
        let lun = target.lun.unwrap_or(self.lun);
        Ok(Target { address: target.address, port: PortId::new(id_ext, ioc_guid), lun })
    }

    /// What to connect through.
    pub fn fabric(&self) -> FabricOptions {
        match self.fabric {
            FabricName::Roce => FabricOptions::Roce(self.roce_io),
            FabricName::Verbs => FabricOptions::Verbs,
            FabricName::Sim => FabricOptions::InProcess(in_process::TargetOptions {
                backing: self.bdev.unwrap_or(default_backing(self.verify)),
                lun: self.lun,
                channels: self.channels(),
                depth: self.depth,
            }),
        }
    }

    /// Our address for one of the targets.
    ///
    /// # Errors
    /// None was given and none can be found.
    pub fn local(&self, target: SocketAddr) -> anyhow::Result<IpAddr> {
        local_address(self.local, self.fabric, target)
    }
}

/// Our own address for a target: the `given` one, else one from which it can be reached.
///
/// # Errors
/// None was given and none can be found.
pub(crate) fn local_address(given: Option<IpAddr>, fabric: FabricName, target: SocketAddr) -> anyhow::Result<IpAddr> {
    if let Some(local) = given {
        return Ok(local);
    }
    if fabric == FabricName::Sim {
        return Ok(target.ip());
    }
    let local = match target.ip() {
        IpAddr::V4(address) if address.is_loopback() && fabric == FabricName::Roce => {
            let last = if address.octets() == [127, 0, 0, 2] { 3 } else { 2 };
            IpAddr::from([127, 0, 0, last])
        }
        target => reached_from(target)
            .with_context(|| format!("no way to {target}: check --target, or give our address with --local"))?,
    };
    if local == target.ip() && fabric == FabricName::Roce {
        bail!(
            "--target {target} is this machine's own address, and RoCE needs one for each end: add an address to an \
             interface (ip addr add) and give it with --local"
        );
    }
    Ok(local)
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

/// A null device holds what was written to it for nobody, so it is no use to who verifies.
fn default_backing(verify: bool) -> Backing {
    if verify { Backing::Malloc { bytes: MALLOC_BYTES } } else { Backing::Null { bytes: NULL_BYTES } }
}

fn backing(text: &str) -> Result<Backing, String> {
    let (kind, size) = text.split_once(':').map_or((text, None), |(kind, size)| (kind, Some(size)));
    let size = size.map(str::parse::<Size>).transpose()?.map(|size| u64::from(size.0));
    match kind {
        "null" => Ok(Backing::Null { bytes: size.unwrap_or(NULL_BYTES) }),
        "malloc" => Ok(Backing::Malloc { bytes: size.unwrap_or(MALLOC_BYTES) }),
        _ => Err(format!("{kind:?} is no device of the target in this process: there are null and malloc")),
    }
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
            (&["--target", "10.0.0.1:1", "--target", "10.0.0.2:1", "--channels", "1"], "--channels"),
            (&["--bdev", "null"], "--bdev"),
            (&["--form", "direct", "--indirect", "3"], "--indirect"),
            (&["--form", "immediate", "--no-immediate"], "--no-immediate"),
            (&["--fabric", "sim"], "--id-ext"),
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
            ["--fabric", "cotton"],
            ["--bdev", "tape"],
            ["--form", "oral"],
            ["--rate", "0"],
        ] {
            let said = options(&arguments).expect_err("it is wrong");
            assert!(said.contains(arguments[0]), "{arguments:?}: {said}");
        }
        let incomplete = Options::parse_from(["srp-perf", "--id-ext", "1"]);
        assert!(incomplete.check().expect_err("incomplete").to_string().contains("--ioc-guid"));
        assert!(options(&[]).is_ok_and(|options| options.check().is_ok()));
    }

    #[test]
    fn a_form_is_one_of_four_or_what_suits_each_command() {
        for (arguments, form, immediate) in [
            (&[][..], Form::Direct, true),
            (&["--no-immediate"], Form::Direct, false),
            (&["--indirect", "3"], Form::Indirect(3), true),
            (&["--indirect", "3", "--no-immediate"], Form::Indirect(3), false),
            (&["--form", "direct"], Form::Direct, false),
            (&["--form", "indirect"], Form::Indirect(8), false),
            (&["--form", "partial", "--descriptors", "20"], Form::Partial(20), false),
            (&["--form", "immediate"], Form::Direct, true),
        ] {
            let options = good(arguments);
            options.check().expect("good options");
            assert_eq!((options.form(), options.wants_immediate()), (form, immediate), "{arguments:?}");
        }
    }

    #[test]
    fn a_form_that_the_target_does_not_take_is_refused() {
        let check = |arguments: &[&str], message_bytes, immediate_offset| {
            let terms = Terms { credits: 1, message_bytes, immediate_offset };
            good(arguments).check_agreed(&terms).map_err(|error| error.to_string())
        };
        let immediate = ["--form", "immediate", "-w", "randwrite", "-o", "4k"];
        assert_eq!(check(&immediate, 68 + 4096, Some(68)), Ok(()));
        assert!(check(&immediate, 68 + 4095, Some(68)).unwrap_err().contains("4095"));
        assert!(check(&immediate, 8260, None).unwrap_err().contains("no immediate data"));
        assert_eq!(check(&["--form", "immediate"], 300, None), Ok(()), "reads carry nothing");
        assert_eq!(check(&["--indirect", "16"], 48 + 20 + 256, None), Ok(()));
        assert!(check(&["--indirect", "17"], 48 + 20 + 256, None).unwrap_err().contains("--indirect 17"));
        assert_eq!(check(&["--form", "partial", "--descriptors", "32"], 48 + 20 + 256, None), Ok(()));
    }

    #[test]
    fn the_unit_must_be_large_enough_and_its_blocks_fit() {
        let check = |arguments: &[&str], blocks, block_bytes| {
            let options = good(arguments);
            let capacity = Capacity { blocks, block_bytes };
            options.check_against(0, capacity, options.channels()).map_err(|error| error.to_string())
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
        let local = |target: &str, arguments: &[&str]| {
            let target: SocketAddr = target.parse().expect("an address");
            good(arguments).local(target).map_err(|error| error.to_string())
        };
        assert_eq!(local("127.0.0.1:5555", &[]), Ok(IpAddr::from([127, 0, 0, 2])));
        assert_eq!(local("127.0.0.2:5555", &[]), Ok(IpAddr::from([127, 0, 0, 3])));
        assert_eq!(local("127.0.0.1:5555", &["--local", "127.9.9.9"]), Ok(IpAddr::from([127, 9, 9, 9])));
        assert!(local("[::1]:5555", &[]).unwrap_err().contains("--local"));
        let verbs = local("127.0.0.1:5555", &["--fabric", "verbs"]);
        assert_eq!(verbs, Ok(IpAddr::from([127, 0, 0, 1])), "over verbs both ends may have one address");
    }

    #[test]
    fn what_is_not_said_of_a_target_is_what_is_said_of_all() {
        let targets = |arguments: &[&str]| good(arguments).targets().expect("targets");
        let target = |address: &str, id_ext, ioc_guid, lun| {
            let address = address.parse().expect("an address");
            Target { address, port: PortId::new(id_ext, ioc_guid), lun }
        };
        assert_eq!(targets(&[]), [target("127.0.0.1:5555", 1, 2, 0)]);
        let two = ["--target", "10.0.0.1:5555,lun=3", "--target", "10.0.0.2:5556,id_ext=a,ioc_guid=b", "--lun", "7"];
        assert_eq!(targets(&two), [target("10.0.0.1:5555", 1, 2, 3), target("10.0.0.2:5556", 10, 11, 7)]);
        assert_eq!(good(&two).channels(), 2);
    }

    #[test]
    fn the_target_in_this_process_keeps_data_for_who_compares_them() {
        let backing = |arguments: &[&str]| {
            let options = Options::parse_from([&["srp-perf", "--fabric", "sim"], arguments].concat());
            options.check().expect("good options");
            match options.fabric() {
                FabricOptions::InProcess(target) => target.backing,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(backing(&[]), Backing::Null { bytes: NULL_BYTES });
        assert_eq!(backing(&["--verify"]), Backing::Malloc { bytes: MALLOC_BYTES });
        assert_eq!(backing(&["--verify", "--bdev", "null:1M"]), Backing::Null { bytes: 1 << 20 });
        assert_eq!(backing(&["--bdev", "malloc:256M"]), Backing::Malloc { bytes: 256 << 20 });
    }
}
