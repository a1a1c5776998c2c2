//! Reserving huge pages, and giving them back.
//!
//! A pool's `nr_hugepages` is a wish: the kernel takes as many free, contiguous pages as it finds and says nothing if
//! they are fewer. So every change is read back.

use crate::page::Size;
use crate::status::{self, PoolId};
use crate::system::{System, SystemError};

/// A pool could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// No pool of this page size.
    #[error("there are no pages of {} {place}; page sizes there: {present}", Size(*page_bytes))]
    NoSuchPageSize {
        /// Page size asked for, in bytes.
        page_bytes: u64,
        /// `on this system` or `on node N`.
        place: String,
        /// Sizes that exist, for people.
        present: String,
    },
    /// No such NUMA node.
    #[error("there is no NUMA node {node}; nodes here: {present:?}")]
    NoSuchNode {
        /// Node asked for.
        node: u32,
        /// Nodes that exist.
        present: Vec<u32>,
    },
    /// A file of the pool could not be read or written.
    #[error(transparent)]
    System(
        #[from]
        /// Which file, and why.
        SystemError,
    ),
}

/// What a change came to, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Pages in the pool before.
    pub before: u64,
    /// Pages in the pool now; surplus pages, which are on their way out, do not count.
    pub after: u64,
    /// Pages that no mapping has now.
    pub free: u64,
    /// Pages still in use that will go back to the system once unused.
    pub surplus: u64,
}

/// The pool `id` of the running system, after making sure that it exists.
///
/// # Errors
/// [`PoolError::NoSuchNode`], [`PoolError::NoSuchPageSize`], naming what there is.
pub fn find(system: &System, id: PoolId) -> Result<SystemPool<'_>, PoolError> {
    if let Some(node) = id.node {
        let present = status::nodes(system)?;
        if !present.contains(&node) {
            return Err(PoolError::NoSuchNode { node, present });
        }
    }
    let pools = if id.node.is_some() { status::node_pools(system)? } else { status::pools(system)? };
    let mut sizes = pools.iter().filter(|pool| pool.id.node == id.node).map(|pool| pool.id.page_bytes);
    if !sizes.any(|size| size == id.page_bytes) {
        let names =
            pools.iter().filter(|pool| pool.id.node == id.node).map(|pool| Size(pool.id.page_bytes).to_string());
        let names: Vec<String> = names.collect();
        return Err(PoolError::NoSuchPageSize {
            page_bytes: id.page_bytes,
            place: id.node.map_or("on this system".to_owned(), |node| format!("on node {node}")),
            present: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
        });
    }
    Ok(SystemPool { system, id })
}

/// Makes the pool at least `pages` large. A larger pool is left as it is: others may count on it.
pub fn reserve(pool: &impl PoolFiles, pages: u64) -> Result<Outcome, SystemError> {
    let before = configured(pool)?;
    if before < pages {
        pool.set_total(pages)?;
        if configured(pool)? < pages {
            // Free memory may be there in pieces that are too small. Once joined, a second wish finds more.
            pool.join_free_memory();
            pool.set_total(pages)?;
        }
    }
    outcome(pool, before)
}

/// Empties the pool. Pages in use stay until their users let go of them, and show as surplus.
pub fn release(pool: &impl PoolFiles) -> Result<Outcome, SystemError> {
    let before = configured(pool)?;
    pool.set_total(0)?;
    outcome(pool, before)
}

fn configured(pool: &impl PoolFiles) -> Result<u64, SystemError> {
    let counts = pool.counts()?;
    Ok(counts.total.saturating_sub(counts.surplus))
}

fn outcome(pool: &impl PoolFiles, before: u64) -> Result<Outcome, SystemError> {
    let counts = pool.counts()?;
    let after = counts.total.saturating_sub(counts.surplus);
    Ok(Outcome { before, after, free: counts.free, surplus: counts.surplus })
}

/// The files of one pool, as the kernel keeps them.
pub trait PoolFiles {
    /// Reads the counts.
    fn counts(&self) -> Result<status::Pool, SystemError>;
    /// Wishes for that many pages.
    fn set_total(&self, pages: u64) -> Result<(), SystemError>;
    /// Asks the kernel to join free memory into larger pieces, as far as it can.
    fn join_free_memory(&self);
}

/// A pool of a [`System`].
#[derive(Debug)]
pub struct SystemPool<'a> {
    system: &'a System,
    id: PoolId,
}

impl PoolFiles for SystemPool<'_> {
    fn counts(&self) -> Result<status::Pool, SystemError> {
        status::pool(self.system, self.id)
    }

    fn set_total(&self, pages: u64) -> Result<(), SystemError> {
        self.system.write_existing(&status::pool_file(self.id, "nr_hugepages"), &pages.to_string())
    }

    fn join_free_memory(&self) {
        // Only a help: a kernel without compaction has no such file.
        let _ = self.system.write_existing("/proc/sys/vm/compact_memory", "1");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Behaves as the kernel does: gives at most `available` pages, keeps pages in use as surplus.
    #[derive(Default)]
    struct FakePool {
        total: Cell<u64>,
        in_use: u64,
        available: Cell<u64>,
        available_when_joined: u64,
        wishes: Cell<u32>,
    }

    impl PoolFiles for FakePool {
        fn counts(&self) -> Result<status::Pool, SystemError> {
            let total = self.total.get().max(self.in_use);
            let id = PoolId { page_bytes: 2 << 20, node: None };
            let surplus = total - self.total.get();
            Ok(status::Pool { id, total, free: total - self.in_use, reserved: Some(0), surplus })
        }
        fn set_total(&self, pages: u64) -> Result<(), SystemError> {
            self.wishes.set(self.wishes.get() + 1);
            self.total.set(pages.min(self.available.get()));
            Ok(())
        }
        fn join_free_memory(&self) {
            self.available.set(self.available_when_joined);
        }
    }

    #[test]
    fn reserve_takes_what_is_asked() {
        let pool = FakePool { available: Cell::new(100), ..FakePool::default() };
        let outcome = reserve(&pool, 64).unwrap();
        assert_eq!(outcome, Outcome { before: 0, after: 64, free: 64, surplus: 0 });
    }

    #[test]
    fn reserve_joins_free_memory_and_wishes_again_when_it_got_less() {
        let pool = FakePool { available: Cell::new(10), available_when_joined: 70, ..FakePool::default() };
        assert_eq!(reserve(&pool, 64).unwrap().after, 64);
        let pool = FakePool { available: Cell::new(10), available_when_joined: 20, ..FakePool::default() };
        assert_eq!(reserve(&pool, 64).unwrap().after, 20);
        assert_eq!(pool.wishes.get(), 2);
    }

    #[test]
    fn reserve_never_shrinks_a_pool() {
        let pool = FakePool { total: Cell::new(128), available: Cell::new(200), ..FakePool::default() };
        assert_eq!(reserve(&pool, 64).unwrap().after, 128);
        assert_eq!(pool.wishes.get(), 0);
    }

    #[test]
    fn surplus_pages_do_not_count_as_reserved() {
        let pool = FakePool { in_use: 5, available: Cell::new(3), available_when_joined: 3, ..FakePool::default() };
        assert_eq!(reserve(&pool, 8).unwrap(), Outcome { before: 0, after: 3, free: 0, surplus: 2 });
    }

    #[test]
    fn release_leaves_pages_in_use_as_surplus() {
        let pool = FakePool { total: Cell::new(8), in_use: 3, available: Cell::new(8), ..FakePool::default() };
        assert_eq!(release(&pool).unwrap(), Outcome { before: 8, after: 0, free: 0, surplus: 3 });
    }
}
