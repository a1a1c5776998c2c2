//! What is said when huge pages are missing. A process of its own: the warnings come once per process.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use hugepage_setup::page::MIB;
use hugepage_setup::{AllocationRequest, PageKind, allocate, status, system::System};

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn missing_huge_pages_and_a_low_limit_are_told_once_each() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    // One page more than there are: those that are free may be more in a moment.
    let pools = status::pools(&System::real()).unwrap();
    let total = pools.iter().find(|pool| pool.id.page_bytes == 2 * MIB).map_or(0, |pool| pool.total);
    let request = AllocationRequest::new(((total + 1) * 2 * MIB) as usize);

    forbid_locking();
    let mappings: Vec<_> = (0..3).map(|_| allocate(&request).expect("memory of a lesser kind")).collect();

    let lesser = [PageKind::Transparent, PageKind::Ordinary];
    assert!(mappings.iter().all(|mapping| lesser.contains(&mapping.page_kind()) && !mapping.locked()));
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("hugepage-setup reserve --size").count(), 1, "{text}");
    assert_eq!(text.matches("RLIMIT_MEMLOCK").count(), 1, "{text}");
    assert_eq!(text.matches("WARN").count(), 2, "{text}");
}

/// Sets the limit to nothing, and gives up root's right to exceed it.
fn forbid_locking() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, sets).unwrap();
}
