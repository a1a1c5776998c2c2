//! Finding the libraries when the program runs.

use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

use libloading::os::unix::{Library as Opened, RTLD_LOCAL, RTLD_NOW};

use crate::Functions;

/// Both libraries with every function that we use; never unloaded. Call a function as `(library.rdma_listen)(…)`.
pub struct Library {
    functions: Functions,
}

impl Deref for Library {
    type Target = Functions;

    #[inline]
    fn deref(&self) -> &Functions {
        &self.functions
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Library")
    }
}

/// Why the libraries could not be loaded, and what to install. The dynamic linker's own words name the file or the
/// function.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A library is not there, or something that it needs.
    #[error(
        "the RDMA libraries cannot be loaded: install librdmacm1, libibverbs1 and ibverbs-providers \
         (Debian, Ubuntu) or librdmacm and libibverbs (Fedora, SUSE): {0}"
    )]
    NotFound(libloading::Error),
    /// A library lacks a function that we use.
    #[error("the RDMA libraries are too old: update librdmacm1 and libibverbs1: {0}")]
    TooOld(libloading::Error),
}

static LIBRARY: OnceLock<Library> = OnceLock::new();

impl Library {
    /// Loads both libraries, or returns them if that was done before. A failure is not remembered: packages may be
    /// installed while the program runs.
    ///
    /// # Errors
    /// A library or a function in it is missing; the message says what to install.
    pub fn load() -> Result<&'static Library, LoadError> {
        if let Some(library) = LIBRARY.get() {
            return Ok(library);
        }
        let library = Library { functions: find(open(FILE)?)? };
        Ok(LIBRARY.get_or_init(|| library))
    }
}

/// It needs libibverbs.so.1, so that the dynamic linker loads both and finds the functions of both through this one.
const FILE: &str = "librdmacm.so.1";

fn open(file: &str) -> Result<Opened, LoadError> {
    // SAFETY: the initialisers of rdma-core's libraries only set up their own state.
    unsafe { Opened::open(Some(file), RTLD_NOW | RTLD_LOCAL) }.map_err(LoadError::NotFound)
}

fn find(library: Opened) -> Result<Functions, LoadError> {
    // SAFETY: the functions' types come from the headers of the libraries that have these names and ABI numbers, and
    // the table keeps the library open.
    unsafe { Functions::from_library(library) }.map_err(LoadError::TooOld)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_the_packages_to_install() {
        let Err(error) = open("librdmacm-that-is-not-there.so.1") else { panic!("it cannot exist") };
        let message = error.to_string();
        assert!(message.contains("librdmacm-that-is-not-there.so.1"), "{message}");
        assert!(message.contains("install librdmacm1"), "{message}");
    }

    #[test]
    fn a_library_without_our_functions_is_called_too_old_and_the_function_is_named() {
        let libc = open("libc.so.6").expect("libc is always there");
        let Err(error) = find(libc) else { panic!("libc has no verbs") };
        let message = error.to_string();
        assert!(message.contains("too old") && message.contains("ibv_"), "{message}");
    }

    #[test]
    fn loading_twice_gives_the_same_library_or_fails_twice() {
        match (Library::load(), Library::load()) {
            (Ok(first), Ok(second)) => assert!(std::ptr::eq(first, second)),
            (Err(_), Err(_)) => {} // not installed here
            _ => panic!("loading is not repeatable"),
        }
    }
}
