//! The devices of the process by name, for the control thread.

use std::sync::Arc;

use uuid::Uuid;

use crate::bdev::Bdev;

/// All devices, in the order in which they were made. Names and UUIDs are unique in it.
#[derive(Debug, Default)]
pub struct Registry {
    bdevs: Vec<Arc<Bdev>>,
}

/// Why the registry refuses.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RegistryError {
    /// The name is taken.
    #[error("name: a bdev `{0}` exists already: choose another name or delete that one first")]
    Exists(
        /// The name.
        String,
    ),
    /// Another device has this UUID. Initiators would take both for one disk with two paths to it.
    #[error("uuid: {uuid} is the UUID of bdev `{other}` already: initiators would take both for the same disk")]
    UuidExists {
        /// The UUID.
        uuid: Uuid,
        /// Name of the device that has it.
        other: String,
    },
    /// There is no such device.
    #[error("name: there is no bdev `{0}`")]
    NotFound(
        /// The name.
        String,
    ),
}

impl Registry {
    /// A registry without devices.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Adds a device.
    ///
    /// # Errors
    /// [`RegistryError::Exists`] or [`RegistryError::UuidExists`]; the device is dropped then, unless the caller kept an
    /// `Arc`.
    pub fn insert(&mut self, bdev: Arc<Bdev>) -> Result<(), RegistryError> {
        let info = bdev.info();
        if self.get(&info.name).is_some() {
            return Err(RegistryError::Exists(info.name.clone()));
        }
        if let Some(other) = self.bdevs.iter().find(|other| other.info().uuid == info.uuid) {
            return Err(RegistryError::UuidExists { uuid: info.uuid, other: other.info().name.clone() });
        }
        self.bdevs.push(bdev);
        Ok(())
    }

    /// The device of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Bdev>> {
        self.bdevs.iter().find(|bdev| bdev.info().name == name)
    }

    /// A device that stands on this one, so that it cannot go.
    pub fn user_of(&self, name: &str) -> Option<&Arc<Bdev>> {
        self.bdevs.iter().find(|bdev| bdev.base().is_some_and(|base| base.info().name == name))
    }

    /// Takes a device out. Channels that are open on it keep it alive.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub fn remove(&mut self, name: &str) -> Result<Arc<Bdev>, RegistryError> {
        let found = self.bdevs.iter().position(|bdev| bdev.info().name == name);
        found.map(|at| self.bdevs.remove(at)).ok_or_else(|| RegistryError::NotFound(name.to_owned()))
    }

    /// All devices, in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Bdev>> {
        self.bdevs.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null::{self, NullOptions};

    fn null(name: &str, uuid: Option<Uuid>) -> Arc<Bdev> {
        null::create(NullOptions { name: name.to_owned(), num_blocks: 1, uuid, ..NullOptions::default() })
            .expect("null")
    }

    #[test]
    fn devices_are_found_by_name_and_listed_in_order_of_creation() {
        let mut registry = Registry::new();
        for name in ["b", "a", "c"] {
            registry.insert(null(name, None)).expect("new name");
        }
        assert_eq!(registry.get("a").map(|bdev| bdev.info().name.as_str()), Some("a"));
        assert_eq!(registry.remove("b").expect("is there").info().name, "b");
        assert_eq!(registry.remove("b").unwrap_err(), RegistryError::NotFound("b".to_owned()));
        let names: Vec<&str> = registry.iter().map(|bdev| bdev.info().name.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
    }

    #[test]
    fn a_name_and_a_uuid_are_taken_once() {
        let mut registry = Registry::new();
        let uuid = Uuid::from_u128(7);
        registry.insert(null("a", Some(uuid))).expect("first");
        assert_eq!(registry.insert(null("a", None)), Err(RegistryError::Exists("a".to_owned())));
        let twin = registry.insert(null("b", Some(uuid)));
        assert_eq!(twin, Err(RegistryError::UuidExists { uuid, other: "a".to_owned() }));
        assert_eq!(registry.iter().len(), 1);
    }
}
