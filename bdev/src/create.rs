//! What the constructors of all devices check and derive, and how they refuse.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Why a device was not made. Nothing is left behind when one of these is returned.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A parameter is out of range or does not fit the others.
    #[error("{parameter}: {problem}")]
    Parameter {
        /// The parameter, by the name it has in the options.
        parameter: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// There is not enough memory for a disk in memory.
    #[error("num_blocks: no memory for a device of {bytes} bytes: {reason}")]
    Memory {
        /// Size of the device in bytes.
        bytes: u64,
        /// Who says so, and what to do.
        reason: String,
    },
    /// The system refuses to do something with the file.
    #[error("filename: {path}: {problem}: {source}")]
    File {
        /// The file as it was named.
        path: PathBuf,
        /// What could not be done, and what may help.
        problem: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process, or another device of this one, has the file.
    #[error(
        "filename: {path} is in use by {holder}: two writers would destroy each other's data; stop the other first"
    )]
    InUse {
        /// The file as it was named.
        path: PathBuf,
        /// Who has it, as far as the system says.
        holder: String,
    },
    /// A SCSI device cannot be had.
    #[error("device: {device}: {problem}: {source}")]
    Device {
        /// The device as it was named.
        device: String,
        /// What could not be done, and what may help.
        problem: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel gives this process no io_uring.
    #[error(
        "io_uring is refused by the system: {source}. It needs Linux 5.6 or later, kernel.io_uring_disabled=0 (sysctl), \
         and in a container a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register"
    )]
    Ring {
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel gives this process no Linux AIO.
    #[error(
        "{also}Linux AIO is refused by the system: {source}. It needs Linux 4.13 or later, built with CONFIG_AIO, \
         fs.aio-max-nr (sysctl) not used up, and in a container a seccomp profile that allows io_setup, io_submit, \
         io_getevents and io_destroy"
    )]
    Aio {
        /// What else was refused.
        also: String,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no thread to be had for calls that may block.
    #[error(
        "the file's thread cannot be started: {source}. Raise the limit on threads (RLIMIT_NPROC, or pids.max of the cgroup)"
    )]
    Thread {
        /// The system's answer.
        source: io::Error,
    },
}

impl CreateError {
    pub(crate) fn parameter(parameter: &'static str, problem: impl Into<String>) -> CreateError {
        CreateError::Parameter { parameter, problem: problem.into() }
    }
}

/// Longest name of a device, in bytes.
const NAME_LEN_MAX: usize = 255;

/// A name is what administrators type and logs show: not empty, not endless, printable.
pub(crate) fn check_name(name: &str) -> Result<(), CreateError> {
    if name.is_empty() || name.len() > NAME_LEN_MAX {
        let problem = format!("is {} bytes long: 1 to {NAME_LEN_MAX} are allowed", name.len());
        return Err(CreateError::parameter("name", problem));
    }
    if let Some(bad) = name.chars().find(|c| c.is_control() || c.is_whitespace()) {
        return Err(CreateError::parameter(
            "name",
            format!("{name:?} contains {bad:?}: leave spaces and control characters out"),
        ));
    }
    Ok(())
}

/// The block sizes that initiators know.
pub(crate) fn check_block_size(block_size: u32) -> Result<(), CreateError> {
    match block_size {
        512 | 1024 | 2048 | 4096 => Ok(()),
        other => Err(CreateError::parameter("block_size", format!("{other} is none of 512, 1024, 2048 and 4096"))),
    }
}

/// The physical block size, which SBC-4 gives as a power of two times the logical one.
pub(crate) fn physical_block_size(given: Option<u32>, block_size: u32) -> Result<u32, CreateError> {
    const PHYSICAL_MAX: u32 = 1 << 20;
    match given {
        None => Ok(block_size),
        Some(size) if size.is_power_of_two() && (block_size..=PHYSICAL_MAX).contains(&size) => Ok(size),
        Some(size) => {
            let problem = format!("{size} is no power of two from block_size ({block_size}) to {PHYSICAL_MAX}");
            Err(CreateError::parameter("physical_block_size", problem))
        }
    }
}

/// The device's size in bytes, which must fit the offsets of files (2^63 - 1).
pub(crate) fn check_capacity(num_blocks: u64, block_size: u32) -> Result<u64, CreateError> {
    if num_blocks == 0 {
        return Err(CreateError::parameter("num_blocks", "0: a device has at least one block"));
    }
    let bytes = num_blocks.checked_mul(u64::from(block_size)).filter(|&bytes| i64::try_from(bytes).is_ok());
    bytes.ok_or_else(|| {
        let problem = format!("{num_blocks} blocks of {block_size} bytes are more than 2^63 - 1 bytes: choose fewer");
        CreateError::parameter("num_blocks", problem)
    })
}

/// The identity of a device whose administrator gave none: the same after every restart on this machine, another one
/// on every other machine, so that no initiator takes two machines' devices of one name for the same disk.
pub(crate) fn derive_uuid(product: &str, name: &str, file: Option<&Path>) -> Uuid {
    // Random once, then fixed: names of ours are hashed below this one only.
    const NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_2a0e_93d4_4b57_8a36_5d0c_7be1_42f9);
    let Some(machine) = machine_id() else {
        tracing::warn!(
            "bdev {name}: this machine has neither /etc/machine-id nor a host name: its UUID is random and will be \
             another one after a restart; set the uuid parameter"
        );
        return Uuid::new_v4();
    };
    let mut text = Vec::new();
    for part in [machine.as_bytes(), product.as_bytes(), name.as_bytes()] {
        text.extend_from_slice(part);
        text.push(0);
    }
    if let Some(file) = file {
        text.extend_from_slice(file.as_os_str().as_encoded_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &text)
}

/// machine-id(5), or the host's name where there is none.
fn machine_id() -> Option<String> {
    ["/etc/machine-id", "/var/lib/dbus/machine-id", "/proc/sys/kernel/hostname"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|text| text.trim().to_owned())
        .find(|text| !matches!(text.as_str(), "" | "uninitialized" | "(none)" | "localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printable_and_bounded() {
        check_name("disk01").expect("a name");
        check_name(&"x".repeat(255)).expect("the longest");
        for bad in ["", "a b", "a\n", "a\0", "\u{7f}", &"x".repeat(256)] {
            let error = check_name(bad).expect_err(bad).to_string();
            assert!(error.starts_with("name: "), "{error}");
        }
    }

    #[test]
    fn block_sizes_are_a_closed_set() {
        for good in [512, 1024, 2048, 4096] {
            check_block_size(good).expect("known");
        }
        for bad in [0, 1, 511, 520, 8192, u32::MAX] {
            assert!(check_block_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn physical_blocks_are_powers_of_two_of_logical_ones() {
        assert_eq!(physical_block_size(None, 4096).expect("default"), 4096);
        assert_eq!(physical_block_size(Some(4096), 512).expect("512e"), 4096);
        for bad in [0, 256, 513, 1536, 1 << 21] {
            let error = physical_block_size(Some(bad), 512).expect_err("bad").to_string();
            assert!(error.starts_with("physical_block_size: "), "{error}");
        }
    }

    #[test]
    fn capacity_ends_where_file_offsets_do() {
        assert_eq!(check_capacity(8, 512).expect("small"), 4096);
        let most = i64::MAX as u64 / 512;
        assert_eq!(check_capacity(most, 512).expect("largest"), most * 512);
        for bad in [0, most + 1, u64::MAX / 512 + 1, u64::MAX] {
            let error = check_capacity(bad, 512).expect_err("too large").to_string();
            assert!(error.starts_with("num_blocks: "), "{error}");
        }
    }

    #[test]
    fn derived_uuids_are_stable_and_differ_in_every_part() {
        let base = derive_uuid("p", "n", Some(Path::new("/f")));
        assert_eq!(base, derive_uuid("p", "n", Some(Path::new("/f"))));
        for (product, name, file) in
            [("q", "n", Some("/f")), ("p", "m", Some("/f")), ("p", "n", None), ("p", "n", Some("/g"))]
        {
            assert_ne!(base, derive_uuid(product, name, file.map(Path::new)), "{product} {name} {file:?}");
        }
        assert_ne!(derive_uuid("pn", "", None), derive_uuid("p", "n", None));
    }
}
