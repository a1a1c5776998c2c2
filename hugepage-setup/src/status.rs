//! What the kernel offers: huge-page pools, hugetlbfs mounts, the memlock limit and transparent huge pages.
//!
//! Files: Documentation/admin-guide/mm/hugetlbpage.rst and transhuge.rst of Linux. Each parser is a pure function over
//! the text of one file.

use std::path::PathBuf;

use crate::memlock::{self, MemlockLimit};
use crate::page::{KIB, Size};
use crate::system::{System, SystemError};

const POOLS: &str = "/sys/kernel/mm/hugepages";
const NODES: &str = "/sys/devices/system/node";

/// Everything that [`read()`] finds.
#[derive(Debug)]
pub struct Status {
    /// The pools of the whole system, smallest page first. Empty: the kernel has no hugetlb.
    pub pools: Vec<Pool>,
    /// The same pools node by node. Empty: the kernel has no NUMA.
    pub node_pools: Vec<Pool>,
    /// Page size in bytes that `vm.nr_hugepages` speaks of.
    pub default_page_bytes: Option<u64>,
    /// Mounted hugetlbfs file systems. We need none of them; other programs do.
    pub mounts: Vec<HugetlbMount>,
    /// How much memory this process may lock.
    pub memlock: MemlockLimit,
    /// Whether the kernel gives huge pages to ordinary memory.
    pub transparent: Transparent,
}

/// Huge pages of one size, of the whole system or of one node. All counts are in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Which pool.
    pub id: PoolId,
    /// All pages, with those in `surplus`.
    pub total: u64,
    /// Pages that no mapping has.
    pub free: u64,
    /// Free pages promised to mappings that have not touched them yet. Not told per node.
    pub reserved: Option<u64>,
    /// Pages beyond the configured number; they go back to the system once unused.
    pub surplus: u64,
}

/// Names a pool: a page size, and a node or the whole system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolId {
    /// Page size in bytes.
    pub page_bytes: u64,
    /// NUMA node; `None` is the whole system.
    pub node: Option<u32>,
}

/// One mounted hugetlbfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HugetlbMount {
    /// Where.
    pub path: PathBuf,
    /// Option `pagesize=` as it stands in /proc/mounts.
    pub page_size: Option<String>,
}

/// Mode of transparent huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transparent {
    /// For all memory.
    Always,
    /// For memory that asks by `MADV_HUGEPAGE`, as ours does.
    Madvise,
    /// Never.
    Never,
    /// The kernel was built without.
    Missing,
}

impl Transparent {
    /// Word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Madvise => "madvise",
            Self::Never => "never",
            Self::Missing => "not in this kernel",
        }
    }
}

impl std::fmt::Display for PoolId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pages of {}", Size(self.page_bytes))?;
        match self.node {
            Some(node) => write!(f, " on node {node}"),
            None => Ok(()),
        }
    }
}

/// Reads everything. Fails only if a file that is there cannot be read or understood.
pub fn read(system: &System) -> Result<Status, SystemError> {
    let limits = system.read("/proc/self/limits")?;
    let process = system.read("/proc/self/status")?;
    let memlock = memlock::parse(&limits, &process).ok_or_else(|| {
        system.unexpected("/proc/self/limits", &limits, "a line `Max locked memory` with two limits in bytes")
    })?;
    Ok(Status {
        pools: pools(system)?,
        node_pools: node_pools(system)?,
        default_page_bytes: default_page_bytes(system)?,
        mounts: parse_mounts(&system.read("/proc/mounts")?),
        memlock,
        transparent: transparent(system)?,
    })
}

/// The pools of the whole system, smallest page first.
pub fn pools(system: &System) -> Result<Vec<Pool>, SystemError> {
    pools_in(system, None)
}

/// The pools of every node, by node and then by page size.
pub fn node_pools(system: &System) -> Result<Vec<Pool>, SystemError> {
    let mut found = Vec::new();
    for node in nodes(system)? {
        found.extend(pools_in(system, Some(node))?);
    }
    Ok(found)
}

/// Numbers of the NUMA nodes that are there.
pub fn nodes(system: &System) -> Result<Vec<u32>, SystemError> {
    let names = system.list(NODES)?;
    let mut nodes: Vec<u32> = names.iter().filter_map(|name| name.strip_prefix("node")?.parse().ok()).collect();
    nodes.sort_unstable();
    Ok(nodes)
}

fn pools_in(system: &System, node: Option<u32>) -> Result<Vec<Pool>, SystemError> {
    let names = system.list(&pools_folder(node))?;
    let mut sizes: Vec<u64> = names.iter().filter_map(|name| parse_pool_name(name)).collect();
    sizes.sort_unstable();
    sizes.into_iter().map(|page_bytes| pool(system, PoolId { page_bytes, node })).collect()
}

/// One pool.
pub fn pool(system: &System, id: PoolId) -> Result<Pool, SystemError> {
    let count = |file: &str| system.read_number(&pool_file(id, file));
    Ok(Pool {
        id,
        total: count("nr_hugepages")?,
        free: count("free_hugepages")?,
        reserved: if id.node.is_none() { Some(count("resv_hugepages")?) } else { None },
        surplus: count("surplus_hugepages")?,
    })
}

/// The file of a pool, such as `/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages`.
pub fn pool_file(id: PoolId, file: &str) -> String {
    format!("{}/hugepages-{}kB/{file}", pools_folder(id.node), id.page_bytes / KIB)
}

fn pools_folder(node: Option<u32>) -> String {
    match node {
        Some(node) => format!("{NODES}/node{node}/hugepages"),
        None => POOLS.to_owned(),
    }
}

/// `hugepages-2048kB` → 2 MiB in bytes.
fn parse_pool_name(name: &str) -> Option<u64> {
    let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    kib.checked_mul(KIB)
}

/// The page size that `vm.nr_hugepages` and a mapping without a size speak of; `None` without hugetlb.
pub fn default_page_bytes(system: &System) -> Result<Option<u64>, SystemError> {
    Ok(parse_meminfo(&system.read("/proc/meminfo")?, "Hugepagesize:"))
}

/// Bytes of ordinary memory that can be had without swapping; `None` if the kernel does not say.
pub fn available_bytes(system: &System) -> Result<Option<u64>, SystemError> {
    Ok(parse_meminfo(&system.read("/proc/meminfo")?, "MemAvailable:"))
}

/// A line such as `Hugepagesize:    2048 kB` of /proc/meminfo (proc(5)), in bytes.
fn parse_meminfo(meminfo: &str, field: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(KIB)
}

/// Mode of transparent huge pages.
pub fn transparent(system: &System) -> Result<Transparent, SystemError> {
    const MODE: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
    match system.read(MODE) {
        Ok(text) => {
            parse_transparent(&text).ok_or_else(|| system.unexpected(MODE, &text, "one of [always] [madvise] [never]"))
        }
        Err(SystemError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(Transparent::Missing)
        }
        Err(error) => Err(error),
    }
}

/// `always [madvise] never` → the word in brackets.
fn parse_transparent(text: &str) -> Option<Transparent> {
    let chosen = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))?;
    match chosen {
        "always" => Some(Transparent::Always),
        "madvise" => Some(Transparent::Madvise),
        "never" => Some(Transparent::Never),
        _ => None,
    }
}

/// The hugetlbfs lines of /proc/mounts (proc(5), fstab(5)).
fn parse_mounts(mounts: &str) -> Vec<HugetlbMount> {
    let parse_line = |line: &str| {
        let mut fields = line.split(' ');
        let (_device, path, kind, options) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (kind == "hugetlbfs").then(|| HugetlbMount {
            path: unescape(path).into(),
            page_size: options.split(',').find_map(|option| option.strip_prefix("pagesize=").map(str::to_owned)),
        })
    };
    mounts.lines().filter_map(parse_line).collect()
}

/// Undoes the four escapes of /proc/mounts: space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pool_names_give_sizes() {
        assert_eq!(parse_pool_name("hugepages-2048kB"), Some(2 << 20));
        assert_eq!(parse_pool_name("hugepages-1048576kB"), Some(1 << 30));
        for name in ["hugepages-", "hugepages-2048", "2048kB", "hugepages-xkB", "hugepages-18446744073709551615kB"] {
            assert_eq!(parse_pool_name(name), None, "{name}");
        }
    }

    #[test]
    fn meminfo_is_in_kib() {
        let text =
            "MemTotal:       24689404 kB\nHugePages_Total:       0\nHugepagesize:       2048 kB\nHugetlb:  0 kB\n";
        assert_eq!(parse_meminfo(text, "Hugepagesize:"), Some(2 << 20));
        assert_eq!(parse_meminfo("MemTotal: 1 kB\n", "Hugepagesize:"), None);
        assert_eq!(parse_meminfo("MemTotal: 1 pages\n", "MemTotal:"), None);
    }

    #[test]
    fn transparent_mode_is_the_word_in_brackets() {
        assert_eq!(parse_transparent("always [madvise] never\n"), Some(Transparent::Madvise));
        assert_eq!(parse_transparent("[always] madvise never\n"), Some(Transparent::Always));
        assert_eq!(parse_transparent("always madvise [never]\n"), Some(Transparent::Never));
        assert_eq!(parse_transparent("always madvise never\n"), None);
        assert_eq!(parse_transparent("[sometimes]"), None);
    }

    #[test]
    fn only_hugetlbfs_mounts_count() {
        let text = "proc /proc proc rw,nosuid 0 0\n\
                    hugetlbfs /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0\n\
                    none /mnt/huge\\0401G hugetlbfs rw,pagesize=1024M 0 0\n\
                    none /mnt/plain hugetlbfs rw 0 0\n\
                    short line\n";
        let found = parse_mounts(text);
        let expected = [("/dev/hugepages", Some("2M")), ("/mnt/huge 1G", Some("1024M")), ("/mnt/plain", None)];
        let expected: Vec<_> =
            expected.map(|(path, size)| HugetlbMount { path: path.into(), page_size: size.map(str::to_owned) }).into();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_running_system_can_be_read() {
        let status = read(&System::real()).expect("this machine has a /proc");
        assert!(status.pools.iter().all(|pool| pool.free <= pool.total));
    }

    proptest! {
        #[test]
        fn parsers_take_any_text(text in "\\PC{0,80}|[a-zA-Z0-9 \\[\\]\\\\:,=/\n-]{0,200}") {
            let _ = (parse_pool_name(&text), parse_meminfo(&text, "MemTotal:"), parse_transparent(&text));
            let _ = (parse_mounts(&text), memlock::parse(&text, &text));
        }
    }
}
