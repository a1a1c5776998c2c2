//! The command line, as that of SPDK's bdevperf, and what it comes to.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use bdev::Bdev;
use clap::{Parser, ValueEnum};
use reactor::CoreMask;

use super::job::Kind;
use crate::options::{Size, seconds};
use crate::workload::Mix;

/// Largest I/O, in bytes.
const IO_BYTES_MAX: u32 = 64 << 20;

/// Load on bdevs, without a target or a network before them.
#[derive(Parser, Clone, Debug)]
#[command(name = "bdevperf", version, args_override_self = true)]
pub struct Options {
    /// Operations in flight at once, of each job
    #[arg(short = 'q', long = "queue-depth", default_value_t = 32, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..=32768))]
    pub depth: u32,

    /// Bytes of one I/O; 4k and 1M mean what they look like
    #[arg(short = 'o', long = "io-size", default_value = "4k", value_name = "BYTES")]
    pub io_size: Size,

    /// What to do
    #[arg(short = 'w', long = "workload", value_name = "WORKLOAD")]
    pub workload: WorkloadName,

    /// Reads in percent of all I/Os, for rw and randrw [default: 50]
    #[arg(short = 'M', long = "read-percent", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub read_percent: Option<u8>,

    /// Seconds to run
    #[arg(short = 't', long = "time", default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    pub time: Duration,

    /// Cores to run on: a hexadecimal mask (0xF) or a list ([0,2-4])
    #[arg(short = 'm', long = "core-mask", default_value = "0x1", value_name = "MASK")]
    pub mask: CoreMask,

    /// File with the bdev_*_create requests of the devices to use, in the form of a target's configuration
    #[arg(short = 'c', long = "config", visible_alias = "json", value_name = "FILE")]
    pub config: PathBuf,

    /// Name of the only bdev to use [default: all of the configuration]
    #[arg(short = 'T', long = "bdev", value_name = "NAME")]
    pub bdev: Option<String>,

    /// A job on every core for each bdev, in place of one that is given to the cores in turn
    #[arg(short = 'C', long = "every-core")]
    pub every_core: bool,

    /// Also tell percentiles of the latency, which costs some instructions per I/O
    #[arg(short = 'l', long = "latency")]
    pub latency: bool,

    /// Makes the same random choices and patterns again [default: others each time]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,

    /// A name for this run, by which `perf-report` tells it from others
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,

    /// Write the results as JSON into this file, too; "-": to standard output, in place of the table
    #[arg(long, value_name = "FILE")]
    pub json_output: Option<PathBuf>,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "lower")]
pub enum WorkloadName {
    /// Reads, one after the other.
    Read,
    /// Writes, one after the other.
    Write,
    /// Reads at random places.
    RandRead,
    /// Writes at random places.
    RandWrite,
    /// Both, one after the other.
    Rw,
    /// Both at random places.
    RandRw,
    /// Writes one after the other, each read back and compared.
    Verify,
    /// Unmaps, one after the other.
    Unmap,
    /// Flushes.
    Flush,
    /// Writes of zeroes without data, one after the other.
    #[value(name = "write_zeroes")]
    WriteZeroes,
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
        ensure!(!self.time.is_zero(), "-t 0: nothing would be measured; give it a second");
        self.mask.check_usable().context("-m")
    }

    /// What a device must allow for.
    ///
    /// # Errors
    /// Names the option and the fix.
    pub fn check_against(&self, bdev: &Bdev) -> anyhow::Result<()> {
        let info = bdev.info();
        let (name, block_size) = (&info.name, info.block_size);
        ensure!(info.passthrough.is_none(), "-T {name}: it takes SCSI commands only; take another bdev");
        ensure!(
            self.io_size.0.is_multiple_of(block_size),
            "-o {}: bdev {name} has blocks of {block_size} bytes; give a multiple",
            self.io_size.0
        );
        let reads_only = matches!(self.kind(), Kind::Transfer(Mix { read_percent: 100, .. }) | Kind::Flush);
        ensure!(reads_only || !bdev.is_read_only(), "-w: bdev {name} is read-only; read from it");
        ensure!(self.workload != WorkloadName::Unmap || info.unmap, "-w unmap: bdev {name} cannot; take write_zeroes");
        let positions = bdev.num_blocks() / u64::from(self.io_size.0 / block_size);
        let jobs = if self.every_core && self.own_parts() { self.mask.cores().len() as u64 } else { 1 };
        let needed = if self.workload == WorkloadName::Verify { u64::from(self.depth) } else { 1 };
        ensure!(
            positions / jobs >= needed,
            "bdev {name} has {} blocks of {block_size} bytes, too few for -q {} -o {} in {jobs} jobs",
            bdev.num_blocks(),
            self.depth,
            self.io_size.0
        );
        Ok(())
    }

    /// Kinds and order of the operations.
    pub(super) fn kind(&self) -> Kind {
        use WorkloadName::{Flush, RandRead, RandRw, RandWrite, Read, Rw, Unmap, Verify, Write, WriteZeroes};
        let mix = |random, read_percent| Kind::Transfer(Mix { random, read_percent });
        match self.workload {
            Read => mix(false, 100),
            Write => mix(false, 0),
            RandRead => mix(true, 100),
            RandWrite => mix(true, 0),
            Rw => mix(false, self.read_percent.unwrap_or(50)),
            RandRw => mix(true, self.read_percent.unwrap_or(50)),
            Verify => Kind::Verify,
            Unmap => Kind::Unmap,
            Flush => Kind::Flush,
            WriteZeroes => Kind::WriteZeroes,
        }
    }

    /// Whether each of several jobs keeps to a part of the bdev.
    pub(super) fn own_parts(&self) -> bool {
        !matches!(self.kind(), Kind::Transfer(Mix { random: true, .. }))
    }
}
