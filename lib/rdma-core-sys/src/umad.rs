//! libibumad, by which management datagrams (MADs) are exchanged: the few functions that an agent needs, of ABI 3 (`man 3 umad_register`). Written
//! by hand, as no structure of the library's is among what they take.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::fmt;
use std::sync::OnceLock;

use libloading::os::unix::{Library as Opened, RTLD_LOCAL, RTLD_NOW};

/// The library with every function that we use; never unloaded. Call a function as `(library.umad_poll)(…)`.
///
/// Those that return a number return a negative one when they fail, mostly of little meaning; `errno` is the system call's.
pub struct Umad {
    /// Before any other. 0 if this version of the library gets along with the kernel's.
    pub umad_init: unsafe extern "C" fn() -> c_int,
    /// Opens a port for exchange that does not wait: device's name, port number. The number that the other functions know it by.
    pub umad_open_port: unsafe extern "C" fn(*const c_char, c_int) -> c_int,
    /// Closes a port, with all agents.
    pub umad_close_port: unsafe extern "C" fn(c_int) -> c_int,
    /// Registers an agent: port, class, class version, RMPP version, the 128 bits of the methods whose requests it takes. The agent's number.
    pub umad_register: unsafe extern "C" fn(c_int, c_int, c_int, u8, *mut [c_long; 2]) -> c_int,
    /// The size of the header in front of each MAD, once a port is open: 64 bytes, or 56 of a kernel before 2.6.24.
    pub umad_size: unsafe extern "C" fn() -> usize,
    /// Whether there is a MAD, waiting so many milliseconds: port, timeout. 0 if there is one.
    pub umad_poll: unsafe extern "C" fn(c_int, c_int) -> c_int,
    /// Takes a MAD: port, header and MAD, the size of the latter in and out, timeout. The number of the agent that it is for.
    pub umad_recv: unsafe extern "C" fn(c_int, *mut c_void, *mut c_int, c_int) -> c_int,
    /// Sends a MAD: port, agent, header and MAD, size of the latter, timeout, retries. 0 if it was taken.
    pub umad_send: unsafe extern "C" fn(c_int, c_int, *mut c_void, c_int, c_int, c_int) -> c_int,
    _library: Opened,
}

impl fmt::Debug for Umad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Umad")
    }
}

/// Why libibumad could not be loaded, and what to install.
#[derive(Debug, thiserror::Error)]
#[error("libibumad cannot be loaded: install libibumad3 (Debian, Ubuntu) or libibumad (Fedora, SUSE): {0}")]
pub struct UmadLoadError(#[from] libloading::Error);

static UMAD: OnceLock<Umad> = OnceLock::new();

impl Umad {
    /// Loads the library, or returns it if that was done before. A failure is not remembered.
    ///
    /// # Errors
    /// The library or a function in it is missing; the message says what to install.
    pub fn load() -> Result<&'static Umad, UmadLoadError> {
        if let Some(umad) = UMAD.get() {
            return Ok(umad);
        }
        let umad = find("libibumad.so.3")?;
        Ok(UMAD.get_or_init(|| umad))
    }
}

fn find(file: &str) -> Result<Umad, UmadLoadError> {
    // SAFETY: the library has no initialisers of its own. The functions' types are those of its header, infiniband/umad.h, and the table keeps the
    // library open.
    unsafe {
        let library = Opened::open(Some(file), RTLD_NOW | RTLD_LOCAL)?;
        Ok(Umad {
            umad_init: *library.get(b"umad_init\0")?,
            umad_open_port: *library.get(b"umad_open_port\0")?,
            umad_close_port: *library.get(b"umad_close_port\0")?,
            umad_register: *library.get(b"umad_register\0")?,
            umad_size: *library.get(b"umad_size\0")?,
            umad_poll: *library.get(b"umad_poll\0")?,
            umad_recv: *library.get(b"umad_recv\0")?,
            umad_send: *library.get(b"umad_send\0")?,
            _library: library,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_package_to_install() {
        for (file, missing) in [("libibumad-that-is-not-there.so.3", "is-not-there"), ("libc.so.6", "umad_init")] {
            let message = find(file).expect_err("neither is libibumad").to_string();
            assert!(message.contains(missing) && message.contains("install libibumad3"), "{message}");
        }
    }

    #[test]
    fn the_library_is_loaded_once_where_it_is_installed() {
        match (Umad::load(), Umad::load()) {
            (Ok(first), Ok(second)) => assert!(std::ptr::eq(first, second)),
            (Err(_), Err(_)) => {} // not installed here
            _ => panic!("loading is not repeatable"),
        }
    }
}
