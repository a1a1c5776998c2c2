//! The command line: parses it, calls the library, prints for people.
//!
//! Exit status: 0 done, 1 not done or not enough, 2 wrong usage.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};

use hugepage_setup::memlock::{self, Limit};
use hugepage_setup::page::Size;
use hugepage_setup::persist::{self, Plan};
use hugepage_setup::pool;
use hugepage_setup::status::{self, Pool, PoolId};
use hugepage_setup::system::System;

/// Shows, reserves and releases huge pages, and checks how much memory may be locked.
#[derive(Debug, Parser)]
#[command(name = "hugepage-setup", version)]
struct Cli {
    /// Look for /sys, /proc and /etc under this folder (for tests)
    #[arg(long, global = true, hide = true, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show pools, mounts, the limit on locked memory and transparent huge pages
    Status,
    /// Make a pool at least this large, now (needs root)
    Reserve {
        #[command(flatten)]
        amount: Amount,
        #[command(flatten)]
        which: Which,
    },
    /// Empty a pool; pages in use go once they are unused (needs root)
    Release {
        #[command(flatten)]
        which: Which,
    },
    /// Make a reservation last over reboots (needs root)
    Persist {
        #[command(flatten)]
        amount: Amount,
        #[command(flatten)]
        which: Which,
        /// Print what would be written, and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Check that enough memory may be locked, and print what to change if not
    Check {
        /// Memory to be locked or registered with an adapter, such as 2G, or `unlimited`; default: all huge pages
        #[arg(long, value_name = "SIZE", value_parser = parse_limit)]
        memlock: Option<Limit>,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Amount {
    /// Memory, such as 512M or 2G; rounded up to whole pages
    #[arg(long)]
    size: Option<Size>,
    /// Number of pages
    #[arg(long, value_name = "N")]
    pages: Option<u64>,
}

#[derive(Debug, Args)]
struct Which {
    /// Page size: 2M or 1G (other processors have others)
    #[arg(long, default_value = "2M")]
    page_size: Size,
    /// NUMA node; without it, the whole system
    #[arg(long, value_name = "N")]
    node: Option<u32>,
}

impl Which {
    fn id(&self) -> PoolId {
        PoolId { page_bytes: self.page_size.0, node: self.node }
    }
}

impl Amount {
    /// Pages of `page_bytes` each, which [`pool::find`] has seen to exist, so it is not 0.
    fn pages(&self, page_bytes: u64) -> u64 {
        match (self.size, self.pages) {
            (Some(size), _) => size.0.div_ceil(page_bytes),
            (None, pages) => pages.unwrap_or(0),
        }
    }
}

/// Entry: parses, runs, prints errors.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&System::at(cli.root), &cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hugepage-setup: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(system: &System, command: &Command) -> Result<ExitCode> {
    match command {
        Command::Status => show_status(system),
        Command::Reserve { amount, which } => reserve(system, amount, which.id()),
        Command::Release { which } => release(system, which.id()),
        Command::Persist { amount, which, dry_run } => persist(system, amount, which.id(), *dry_run),
        Command::Check { memlock } => check(system, *memlock),
    }
}

fn show_status(system: &System) -> Result<ExitCode> {
    let status = status::read(system)?;
    if status.pools.is_empty() {
        println!("Huge pages: none in this kernel");
    } else {
        println!(
            "{:<10}{:<8}{:>10}{:>10}{:>10}{:>10}  memory",
            "page size", "node", "total", "free", "reserved", "surplus"
        );
        status.pools.iter().chain(&status.node_pools).for_each(print_pool);
    }
    match status.default_page_bytes {
        Some(bytes) => println!("Default huge page size: {}", Size(bytes)),
        None => println!("Default huge page size: none"),
    }
    for mount in &status.mounts {
        println!("hugetlbfs: {} (page size {})", mount.path.display(), mount.page_size.as_deref().unwrap_or("default"));
    }
    println!("Transparent huge pages: {}", status.transparent.name());
    println!("Locked memory limit: {}", status.memlock);
    Ok(ExitCode::SUCCESS)
}

fn print_pool(pool: &Pool) {
    let node = pool.id.node.map_or("all".to_owned(), |node| node.to_string());
    let reserved = pool.reserved.map_or("-".to_owned(), |pages| pages.to_string());
    let memory = Size(pool.total.saturating_mul(pool.id.page_bytes));
    let size = Size(pool.id.page_bytes).to_string();
    println!("{size:<10}{node:<8}{:>10}{:>10}{reserved:>10}{:>10}  {memory}", pool.total, pool.free, pool.surplus);
}

fn reserve(system: &System, amount: &Amount, id: PoolId) -> Result<ExitCode> {
    let found = pool::find(system, id)?;
    let wanted = amount.pages(id.page_bytes);
    let outcome = pool::reserve(&found, wanted)?;
    let memory = Size(outcome.after.saturating_mul(id.page_bytes));
    println!("{} {id} reserved ({memory}), {} of them free; {} before", outcome.after, outcome.free, outcome.before);
    if outcome.after >= wanted {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "hugepage-setup: got {} of {wanted} {id}: not enough free memory in one piece. Stop programs that use much \
         memory, ask for less, or reserve at boot (hugepage-setup persist)",
        outcome.after
    );
    Ok(ExitCode::FAILURE)
}

fn release(system: &System, id: PoolId) -> Result<ExitCode> {
    let found = pool::find(system, id)?;
    let outcome = pool::release(&found)?;
    println!("{} {id} released", outcome.before.saturating_sub(outcome.after));
    if outcome.surplus > 0 {
        println!("{} still in use: back to the system once unused", outcome.surplus);
    }
    // The number does not matter, only where a reservation of this pool would be written down.
    match persist::plan(id, 0, status::default_page_bytes(system)?) {
        Plan::File { path, .. } if system.path(&path).exists() => {
            println!("{path} reserves them again at the next boot; remove it to prevent that");
        }
        _ => {}
    }
    if outcome.after > 0 {
        eprintln!("hugepage-setup: {} {id} are still reserved", outcome.after);
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn persist(system: &System, amount: &Amount, id: PoolId, dry_run: bool) -> Result<ExitCode> {
    pool::find(system, id)?;
    let default_page_bytes = status::default_page_bytes(system)?;
    match persist::plan(id, amount.pages(id.page_bytes), default_page_bytes) {
        Plan::File { path, text } if dry_run => print!("# {path}\n{text}"),
        Plan::File { path, text } => {
            system.replace_file(&path, &text)?;
            println!("wrote {path}; it takes effect at the next boot (now: hugepage-setup reserve)");
        }
        Plan::KernelCommandLine { parameters } => print!(
            "Pages of this size are reserved by the kernel while it boots. Add to its command line:\n  {parameters}\n\
             With GRUB: append it to GRUB_CMDLINE_LINUX in /etc/default/grub, then run update-grub and reboot.\n"
        ),
    }
    Ok(ExitCode::SUCCESS)
}

fn check(system: &System, asked: Option<Limit>) -> Result<ExitCode> {
    let status = status::read(system)?;
    let needed =
        asked.unwrap_or_else(|| Limit::Bytes(status.pools.iter().map(pool_bytes).fold(0, u64::saturating_add)));
    println!("Locked memory limit: {}", status.memlock);
    println!("Needed: {needed}{}", if asked.is_none() { " (all huge pages)" } else { "" });
    if status.memlock.allows(needed) {
        println!("Enough.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("Too low: registering memory with an RDMA adapter, or locking it, will fail.");
    print!("{}", memlock::advice(needed, &user_name()));
    Ok(ExitCode::FAILURE)
}

fn pool_bytes(pool: &Pool) -> u64 {
    pool.total.saturating_mul(pool.id.page_bytes)
}

/// Who runs this, for the lines that go into limits.conf.
fn user_name() -> String {
    std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "USER".to_owned())
}

fn parse_limit(text: &str) -> Result<Limit> {
    match text {
        "unlimited" | "infinity" => Ok(Limit::Unlimited),
        _ => text.parse().map(|Size(bytes)| Limit::Bytes(bytes)).context("write a size, or `unlimited`"),
    }
}
