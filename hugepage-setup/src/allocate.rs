//! The fallback chain: which pages to try, in which order, and what to say when the best are not to be had.

use std::sync::Once;

use rustix::io::Errno;

use crate::mapping::{Mapping, Placement};
use crate::page::{GIB, MIB, PageKind, Size};
use crate::status::{self, Pool, PoolId, Transparent};
use crate::system::System;

/// What memory is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllocationRequest {
    /// Bytes; rounded up to whole pages of the kind that is used.
    pub len: usize,
    /// NUMA node the pages should stand on; `None` leaves it to the kernel (the node of the calling thread).
    pub numa_node: Option<u32>,
    /// Best kind to try. [`PageKind::Huge1G`] is used only for 1 GiB and more, since it is rounded up to whole GiB.
    pub max_page: PageKind,
    /// Keep pages that are not hugetlb in memory by `mlock` (hugetlb pages always stay).
    pub lock: bool,
}

impl AllocationRequest {
    /// `len` bytes, 2 MiB pages if possible, on any node, locked.
    pub fn new(len: usize) -> Self {
        AllocationRequest { len, numa_node: None, max_page: PageKind::Huge2M, lock: true }
    }
}

/// Why there is no memory at all.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// A length of 0.
    #[error("cannot allocate 0 bytes")]
    Empty,
    /// Rounded up to whole pages, the length does not fit the address space.
    #[error("cannot allocate {len} bytes: more than the address space")]
    TooLarge {
        /// Bytes asked for.
        len: usize,
    },
    /// The node is not there, or this process may not use it.
    #[error("NUMA node {node} does not exist or is closed to this process (nodes here: {present:?})")]
    NoSuchNode {
        /// Node asked for.
        node: u32,
        /// Nodes that the system shows.
        present: Vec<u32>,
    },
    /// Ordinary pages would be needed, and bringing so many in would push everything else out or wake the OOM killer.
    #[error(
        "cannot allocate {}: no huge pages are free for it, and only {} of ordinary memory are available. \
         Configure smaller pools, or add memory",
        Size(*len as u64),
        Size(available / MIB * MIB)
    )]
    NotAvailable {
        /// Bytes asked for.
        len: usize,
        /// Bytes of ordinary memory that can be had without swapping (`MemAvailable`).
        available: u64,
    },
    /// Not even ordinary pages.
    #[error("cannot allocate {} of ordinary memory: {source}", Size(*len as u64))]
    OutOfMemory {
        /// Bytes asked for.
        len: usize,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// Why one kind of page was passed over.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    kind: PageKind,
    why: Why,
}

#[derive(Debug, PartialEq, Eq)]
enum Why {
    /// The kernel refused with this error.
    Errno(Errno),
    /// Transparent huge pages are off.
    TransparentOff,
}

/// Maps zeroed memory on the best pages there are, from [`AllocationRequest::max_page`] downwards.
///
/// Takes a moment, since every page is brought in here and not on first use. When it must fall back to a lesser kind,
/// or may not lock, it logs one warning per process for each.
///
/// # Errors
/// [`AllocateError`]; missing huge pages are none.
pub fn allocate(request: &AllocationRequest) -> Result<Mapping, AllocateError> {
    if request.len == 0 {
        return Err(AllocateError::Empty);
    }
    let mut refusals = Vec::new();
    for &kind in chain(request) {
        match try_kind(request, kind)? {
            Ok(mapping) => {
                warn_about_fallback(request, &mapping, &refusals);
                tracing::debug!(
                    len = mapping.len(),
                    locked = mapping.locked(),
                    node = ?mapping.numa_node(),
                    "allocated {}",
                    mapping.page_kind()
                );
                return Ok(mapping);
            }
            Err(why) => refusals.push(Refusal { kind, why }),
        }
    }
    // The last kind of every chain is ordinary pages, whose refusal is the answer.
    let errno = match refusals.pop() {
        Some(Refusal { why: Why::Errno(errno), .. }) => errno,
        _ => Errno::NOMEM,
    };
    Err(AllocateError::OutOfMemory { len: request.len, source: errno.into() })
}

/// The kinds to try, best first.
fn chain(request: &AllocationRequest) -> &'static [PageKind] {
    use PageKind::{Huge1G, Huge2M, Ordinary, Transparent};
    match request.max_page {
        Huge1G if request.len as u64 >= GIB => &[Huge1G, Huge2M, Transparent, Ordinary],
        Huge1G | Huge2M => &[Huge2M, Transparent, Ordinary],
        Transparent => &[Transparent, Ordinary],
        Ordinary => &[Ordinary],
    }
}

/// Outer error: no kind can help. Inner error: try the next kind.
fn try_kind(request: &AllocationRequest, kind: PageKind) -> Result<Result<Mapping, Why>, AllocateError> {
    if kind == PageKind::Transparent && !transparent_possible() {
        return Ok(Err(Why::TransparentOff));
    }
    let len = request
        .len
        .checked_next_multiple_of(kind.granule())
        .filter(|&len| isize::try_from(len).is_ok())
        .ok_or(AllocateError::TooLarge { len: request.len })?;
    if matches!(kind, PageKind::Transparent | PageKind::Ordinary) {
        check_available(len)?;
    }
    let mut mapping = match Mapping::reserve_address_range(len, kind) {
        Ok(mapping) => mapping,
        Err(errno) => return Ok(Err(Why::Errno(errno))),
    };
    if let Some(node) = request.numa_node {
        place(&mut mapping, node)?;
    }
    Ok(bring_in(&mut mapping, request.lock).map(|()| mapping).map_err(Why::Errno))
}

/// mmap promises more ordinary memory than there is; so look first. With no word from the kernel, go on.
fn check_available(len: usize) -> Result<(), AllocateError> {
    match status::available_bytes(&System::real()) {
        Ok(Some(available)) if len as u64 > available => Err(AllocateError::NotAvailable { len, available }),
        _ => Ok(()),
    }
}

/// With no word from the kernel, assume that it has them: the advice itself then tells.
fn transparent_possible() -> bool {
    !matches!(status::transparent(&System::real()), Ok(Transparent::Never | Transparent::Missing))
}

/// Sets the node; a kernel without NUMA, or a container that forbids it, costs a warning, not the memory.
fn place(mapping: &mut Mapping, node: u32) -> Result<(), AllocateError> {
    let placement = match mapping.page_kind() {
        PageKind::Huge1G | PageKind::Huge2M => Placement::Only,
        PageKind::Transparent | PageKind::Ordinary => Placement::Preferred,
    };
    match mapping.place_on_node(node, placement) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL) => {
            Err(AllocateError::NoSuchNode { node, present: status::nodes(&System::real()).unwrap_or_default() })
        }
        Err(errno) => {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| {
                tracing::warn!(
                    "memory cannot be placed on NUMA node {node}: mbind: {errno}; going on without. \
                     In a container, allow it with --cap-add SYS_NICE."
                );
            });
            Ok(())
        }
    }
}

/// Brings every page in and keeps it there.
fn bring_in(mapping: &mut Mapping, lock: bool) -> Result<(), Errno> {
    match mapping.page_kind() {
        // Without populating, a page that is missing after all would show as SIGBUS much later. So a kernel that
        // cannot populate (before 5.14) has no huge pages as far as we are concerned.
        PageKind::Huge1G | PageKind::Huge2M => return mapping.populate(),
        PageKind::Transparent => mapping.advise_huge()?,
        PageKind::Ordinary => {}
    }
    match mapping.populate() {
        // An old kernel: mlock brings the pages in, and without mlock the first use does.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(errno),
    }
    if lock {
        mapping.lock().unwrap_or_else(|errno| warn_about_memlock(mapping.len(), errno));
    }
    Ok(())
}

fn warn_about_fallback(request: &AllocationRequest, mapping: &Mapping, refusals: &[Refusal]) {
    static ONCE: Once = Once::new();
    let Some(best) = refusals.first() else { return };
    ONCE.call_once(|| {
        // hugetlb pages can only be refused for want of pages, so the counts of the pool tell the rest.
        let pool = pool_id(best.kind, request.numa_node).and_then(|id| status::pool(&System::real(), id).ok());
        tracing::warn!("{}", fallback_warning(request, mapping.page_kind(), best, pool));
    });
}

/// One line that says what was wanted, what was got, and what to run.
fn fallback_warning(request: &AllocationRequest, got: PageKind, best: &Refusal, pool: Option<Pool>) -> String {
    let wanted = Size(request.len.next_multiple_of(best.kind.granule()) as u64);
    let node = request.numa_node.map(|node| format!(" on node {node}")).unwrap_or_default();
    let mut text = format!("no {} for {wanted}{node}", best.kind);
    match (&best.why, pool) {
        (Why::TransparentOff, _) => {
            text += " (they are off)";
            return text + &format!("; using {got}. To allow them: {ALLOW_TRANSPARENT}");
        }
        (Why::Errno(_), Some(pool)) => text += &format!(" ({} free of {} pages)", pool.free, pool.total),
        (Why::Errno(errno), None) => text += &format!(" ({errno})"),
    }
    text += &format!("; using {got}: more address translation, slower transfers.");
    let Some(id) = pool_id(best.kind, request.numa_node) else { return text };
    // `reserve` names the size of the whole pool, so what others use comes on top of what is wanted here.
    let in_use = pool.map_or(0, |pool| pool.total.saturating_sub(pool.free).saturating_mul(id.page_bytes));
    text += &format!(" To get them: hugepage-setup reserve --size {}", Size(in_use.saturating_add(wanted.0)));
    if best.kind == PageKind::Huge1G {
        text += " --page-size 1G";
    }
    if let Some(node) = request.numa_node {
        text += &format!(" --node {node}");
    }
    text + ", then start again"
}

const ALLOW_TRANSPARENT: &str = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";

fn pool_id(kind: PageKind, node: Option<u32>) -> Option<PoolId> {
    match kind {
        PageKind::Huge1G | PageKind::Huge2M => Some(PoolId { page_bytes: kind.granule() as u64, node }),
        PageKind::Transparent | PageKind::Ordinary => None,
    }
}

fn warn_about_memlock(len: usize, errno: Errno) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let soft = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
        tracing::warn!("{}", memlock_warning(len, errno, soft));
    });
}

/// One line that names the limit and the fix.
fn memlock_warning(len: usize, errno: Errno, soft_limit: Option<u64>) -> String {
    let limit = soft_limit.map_or("unlimited".to_owned(), |bytes| Size(bytes).to_string());
    format!(
        "cannot lock {} in memory: {errno}; the limit on locked memory (RLIMIT_MEMLOCK, `ulimit -l`) is {limit}. \
         The memory is used unlocked and may be swapped out. To fix it, raise the limit (LimitMEMLOCK=infinity in a \
         systemd unit; `hugepage-setup check` prints the lines for every case) or reserve huge pages",
        Size(len as u64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(len: u64, max_page: PageKind) -> AllocationRequest {
        AllocationRequest { max_page, ..AllocationRequest::new(len as usize) }
    }

    #[test]
    fn small_requests_are_not_rounded_up_to_a_gibibyte() {
        assert_eq!(chain(&request(GIB - 1, PageKind::Huge1G))[0], PageKind::Huge2M);
        assert_eq!(chain(&request(GIB, PageKind::Huge1G))[0], PageKind::Huge1G);
    }

    #[test]
    fn every_chain_ends_with_ordinary_pages() {
        for kind in [PageKind::Huge1G, PageKind::Huge2M, PageKind::Transparent, PageKind::Ordinary] {
            assert_eq!(chain(&request(GIB, kind)).last(), Some(&PageKind::Ordinary), "{kind}");
        }
    }

    #[test]
    fn impossible_lengths_are_errors() {
        assert!(matches!(allocate(&AllocationRequest::new(0)), Err(AllocateError::Empty)));
        for len in [usize::MAX, usize::MAX - (1 << 21), isize::MAX as usize] {
            assert!(matches!(allocate(&AllocationRequest::new(len)), Err(AllocateError::TooLarge { .. })), "{len}");
        }
        // More than any machine has: an error, not a signal and not the OOM killer.
        let absurd = allocate(&request(1 << 50, PageKind::Huge2M));
        assert!(matches!(absurd, Err(AllocateError::NotAvailable { .. })), "{absurd:?}");
    }

    #[test]
    fn a_node_that_is_not_there_is_named() {
        for node in [1023, 1024, u32::MAX] {
            let request = AllocationRequest { numa_node: Some(node), ..request(4096, PageKind::Ordinary) };
            let error = allocate(&request).expect_err("no such node");
            assert!(error.to_string().contains(&format!("NUMA node {node} does not exist")), "{error}");
        }
    }

    #[test]
    fn the_warning_names_the_command_and_counts_what_others_use() {
        let request = AllocationRequest { numa_node: Some(1), ..request(511 * MIB, PageKind::Huge2M) };
        let best = Refusal { kind: PageKind::Huge2M, why: Why::Errno(Errno::NOMEM) };
        let id = PoolId { page_bytes: 2 * MIB, node: Some(1) };
        let pool = Pool { id, total: 64, free: 32, reserved: None, surplus: 0 };
        assert_eq!(
            fallback_warning(&request, PageKind::Transparent, &best, Some(pool)),
            "no 2 MiB huge pages for 512M on node 1 (32 free of 64 pages); using transparent huge pages: more address \
             translation, slower transfers. To get them: hugepage-setup reserve --size 576M --node 1, then start again"
        );
    }

    #[test]
    fn the_warning_names_the_page_size_and_the_switch() {
        let best = Refusal { kind: PageKind::Huge1G, why: Why::Errno(Errno::INVAL) };
        let text = fallback_warning(&request(GIB, PageKind::Huge1G), PageKind::Huge2M, &best, None);
        assert!(text.ends_with("reserve --size 1G --page-size 1G, then start again"), "{text}");
        let best = Refusal { kind: PageKind::Transparent, why: Why::TransparentOff };
        let text = fallback_warning(&request(4096, PageKind::Transparent), PageKind::Ordinary, &best, None);
        assert!(text.ends_with(ALLOW_TRANSPARENT), "{text}");
    }

    #[test]
    fn the_memlock_warning_names_limit_and_fix() {
        let text = memlock_warning(16 << 20, Errno::NOMEM, Some(8 << 20));
        for part in ["16M", "is 8M", "RLIMIT_MEMLOCK", "LimitMEMLOCK=infinity", "hugepage-setup check"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
