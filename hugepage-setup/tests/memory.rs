//! Real memory from the real kernel. Which kinds of pages there are depends on the machine; what is promised about
//! each is checked for those that were got.
#![allow(unsafe_code, reason = "memory that is given out as an address can only be tried by unsafe means")]

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hugepage_setup::page::MIB;
use hugepage_setup::{AllocationRequest, Mapping, PageKind, allocate};

fn request(len: usize, max_page: PageKind) -> AllocationRequest {
    AllocationRequest { max_page, ..AllocationRequest::new(len) }
}

/// The kernel joins mappings that lie side by side, and gives a freed range to the next: so the tests of this file,
/// which look at the process's mappings, run one by one.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lines of the mapping in /proc/self/smaps.
fn smaps(mapping: &Mapping) -> Option<String> {
    let start = format!("{:x}-", mapping.base().as_ptr() as usize);
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let entry = &smaps[smaps.find(&format!("\n{start}"))? + 1..];
    let end =
        entry.find("\nVmFlags:").map_or(entry.len(), |flags| flags + 1 + entry[flags + 1..].find('\n').unwrap_or(0));
    Some(entry[..end].to_owned())
}

fn smaps_kib(entry: &str, field: &str) -> u64 {
    let line = entry.lines().find_map(|line| line.strip_prefix(field)).expect(field);
    line.trim().trim_end_matches(" kB").trim().parse().expect(field)
}

fn check_promises(mapping: &Mapping, asked: usize) {
    let granule = mapping.page_kind().granule();
    assert!(mapping.len() >= asked && mapping.len() - asked < granule);
    assert_eq!(mapping.len() % granule, 0);
    assert_eq!(mapping.base().as_ptr() as usize % granule, 0);
    // SAFETY: the mapping is alive, its memory was given to nobody else, and every access is inside of it.
    unsafe {
        let base = mapping.base().as_ptr();
        for offset in (0..mapping.len()).step_by(1000).chain([mapping.len() - 1]) {
            assert_eq!(base.add(offset).read_volatile(), 0, "zeroed");
            base.add(offset).write_volatile(0xa5);
        }
        assert_eq!(base.add(mapping.len() - 1).read_volatile(), 0xa5);
    }
}

#[test]
fn memory_of_every_kind_is_zeroed_aligned_and_writable() {
    let _alone = alone();
    for kind in [PageKind::Huge1G, PageKind::Huge2M, PageKind::Transparent, PageKind::Ordinary] {
        for len in [1, 4096, 3 * MIB as usize + 1] {
            let mapping = allocate(&request(len, kind)).unwrap();
            check_promises(&mapping, len);
        }
    }
}

#[test]
fn the_kernel_confirms_kind_and_population() {
    let _alone = alone();
    let len = 8 * MIB as usize;
    for max_page in [PageKind::Huge2M, PageKind::Transparent, PageKind::Ordinary] {
        let mapping = allocate(&request(len, max_page)).unwrap();
        let entry = smaps(&mapping).expect("an entry that starts where the mapping starts");
        let flags = entry.lines().find_map(|line| line.strip_prefix("VmFlags:")).unwrap().to_owned();
        let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
        assert!(has("dc"), "not copied to children: {flags}");
        assert!(has("dd"), "not in core dumps: {flags}");
        match mapping.page_kind() {
            PageKind::Huge1G => panic!("not asked for"),
            PageKind::Huge2M => assert!(has("ht") && smaps_kib(&entry, "KernelPageSize:") == 2048, "{entry}"),
            PageKind::Transparent => assert!(has("hg"), "{entry}"),
            PageKind::Ordinary => assert!(!has("ht") && !has("hg"), "{entry}"),
        }
        if mapping.page_kind() != PageKind::Huge2M {
            assert_eq!(smaps_kib(&entry, "Rss:"), len as u64 / 1024, "every page is there: {entry}");
            assert_eq!(has("lo"), mapping.locked(), "{flags}");
        }
    }
}

#[test]
fn memory_is_unlocked_if_not_asked_to_be_locked() {
    let _alone = alone();
    let mapping = allocate(&AllocationRequest { lock: false, ..request(4096, PageKind::Ordinary) }).unwrap();
    assert!(!mapping.locked());
}

#[test]
fn dropping_gives_the_address_range_back() {
    let _alone = alone();
    for kind in [PageKind::Huge2M, PageKind::Transparent, PageKind::Ordinary] {
        let mapping = allocate(&request(4 * MIB as usize, kind)).unwrap();
        assert!(smaps(&mapping).is_some());
        let (start, end) = (mapping.base().as_ptr() as usize, mapping.base().as_ptr() as usize + mapping.len());
        drop(mapping);
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let name = format!("{start:x}-{end:x} ");
        assert!(!maps.lines().any(|line| line.starts_with(&name)), "{name}{maps}");
    }
}

#[test]
fn no_address_space_is_lost_to_alignment() {
    let _alone = alone();
    let virtual_pages = || {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').next().and_then(|pages| pages.parse::<usize>().ok()).expect("a number of pages")
    };
    let before = virtual_pages();
    for _ in 0..100 {
        allocate(&request(2 * MIB as usize, PageKind::Transparent)).unwrap();
    }
    let grown = virtual_pages().saturating_sub(before) * rustix::param::page_size();
    assert!(grown < 50 * MIB as usize, "{grown} bytes; a piece lost each time would be 200 MiB");
}

#[test]
fn memory_can_be_had_on_a_node() {
    let _alone = alone();
    for kind in [PageKind::Huge2M, PageKind::Transparent, PageKind::Ordinary] {
        let mapping = allocate(&AllocationRequest { numa_node: Some(0), ..request(MIB as usize, kind) }).unwrap();
        check_promises(&mapping, MIB as usize);
        // None: a container that forbids mbind. The memory is there all the same.
        if mapping.numa_node().is_none() {
            continue;
        }
        let start = format!("{:x} ", mapping.base().as_ptr() as usize);
        let policies = fs::read_to_string("/proc/self/numa_maps").expect("a kernel with mbind has it");
        let policy = policies.lines().find_map(|line| line.strip_prefix(&start)).expect("an entry for the mapping");
        let expected = if mapping.page_kind() == PageKind::Huge2M { "bind:0" } else { "prefer:0" };
        assert!(policy.starts_with(expected), "{policy}");
    }
}
