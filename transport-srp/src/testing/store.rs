//! Where units keep what outlives them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use scsi::{Saved, Store, StoreError};

/// A state directory in memory, which can be made to fail.
#[derive(Clone, Default, Debug)]
pub struct MemoryStore {
    /// What was saved, by the unit's NAA.
    pub saved: Arc<Mutex<HashMap<u64, Saved>>>,
    /// From now on nothing can be read or written.
    pub fails: Arc<AtomicBool>,
}

impl Store for MemoryStore {
    fn load(&self, naa: u64) -> Result<Saved, StoreError> {
        match self.fails.load(Ordering::Relaxed) {
            true => Err(StoreError("the file is damaged".into())),
            false => Ok(self.saved.lock().expect("a lock").get(&naa).cloned().unwrap_or_default()),
        }
    }

    fn save(&self, naa: u64, saved: &Saved) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError("no space".into()));
        }
        self.saved.lock().expect("a lock").insert(naa, saved.clone());
        Ok(())
    }
}
