//! From what an administrator calls a SCSI device to what the kernel knows of it (sysfs).

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::BLOCK_TYPES;
use crate::create::CreateError;

/// A device as sysfs describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// Its node of the sg driver: `sg3`.
    pub(super) sg: String,
    /// Its block node, if it has one: `sda`, `sr0`.
    pub(super) block: Option<String>,
    pub(super) device_type: u8,
    pub(super) vendor: String,
    pub(super) product: String,
    pub(super) revision: String,
    pub(super) serial: Option<String>,
    /// Its name in the world (VPD page 83h), if it has one.
    pub(super) identity: Option<String>,
    pub(super) queue_depth: u32,
    pub(super) removable: bool,
    /// 512 where there are no blocks.
    pub(super) block_size: u32,
    /// 0 where there are no blocks, or no medium.
    pub(super) num_blocks: u64,
}

/// Finds a device. `sysfs` is `/sys`, or what a test puts in its place.
///
/// # Errors
/// It does not exist, is no SCSI device, or the sg driver does not know it; the message says what to do.
pub(super) fn find(sysfs: &Path, device: &str) -> Result<Found, CreateError> {
    let folder = folder(sysfs, device)?;
    let attribute = |name: &str| fs::read_to_string(folder.join(name)).ok().map(|text| text.trim().to_owned());
    let Some(device_type) = attribute("type").and_then(|text| text.parse().ok()) else {
        let problem = "is no SCSI device: name one that lsscsi lists, by H:C:I:L or node";
        return Err(refused(device, problem, Errno::NOTTY));
    };
    let Some(sg) = only_child(&folder.join("scsi_generic")) else {
        return Err(refused(device, "has no sg node: load the driver (modprobe sg)", Errno::NXIO));
    };
    let block = only_child(&folder.join("block"));
    let text = |name: &str| printable(&attribute(name).unwrap_or_default());
    let number = |of: &Option<String>, name: &str| -> Option<u64> {
        let path = folder.join("block").join(of.as_ref()?).join(name);
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let has_blocks = BLOCK_TYPES.contains(&device_type);
    let block_size = number(&block, "queue/logical_block_size").and_then(|size| u32::try_from(size).ok());
    let block_size = block_size.filter(|size| has_blocks && size.is_power_of_two() && *size >= 512).unwrap_or(512);
    let sectors = number(&block, "size").filter(|_| has_blocks).unwrap_or(0);
    Ok(Found {
        sg,
        device_type,
        vendor: text("vendor"),
        product: text("model"),
        revision: text("rev"),
        serial: fs::read(folder.join("vpd_pg80")).ok().and_then(|page| serial(&page)),
        identity: attribute("wwid").filter(|text| !text.is_empty()),
        queue_depth: attribute("queue_depth").and_then(|text| text.parse().ok()).unwrap_or(1).max(1),
        removable: number(&block, "removable") == Some(1),
        block_size,
        num_blocks: sectors / u64::from(block_size / 512),
        block,
    })
}

/// The folder of the SCSI device in sysfs.
fn folder(sysfs: &Path, device: &str) -> Result<PathBuf, CreateError> {
    if is_address(device) {
        let folder = sysfs.join("bus/scsi/devices").join(device);
        return match folder.is_dir() {
            true => Ok(folder),
            false => Err(refused(device, "does not exist: lsscsi lists what there is", Errno::NODEV)),
        };
    }
    if !device.starts_with('/') {
        let problem = format!("{device:?} is neither H:C:I:L (as 0:0:1:0) nor a node (as /dev/sg1)");
        return Err(CreateError::parameter("device", problem));
    }
    let failed = |source: io::Error| CreateError::Device {
        device: device.to_owned(),
        problem: "cannot be examined".to_owned(),
        source,
    };
    let node = fs::metadata(device).map_err(failed)?;
    let kind = match node.file_type() {
        kind if kind.is_block_device() => "block",
        kind if kind.is_char_device() => "char",
        _ => return Err(refused(device, "is no device: name H:C:I:L, or a node as /dev/sg1", Errno::NOTTY)),
    };
    folder_of_node(sysfs, device, kind, rustix::fs::major(node.rdev()), rustix::fs::minor(node.rdev()))
}

fn folder_of_node(sysfs: &Path, device: &str, kind: &str, major: u32, minor: u32) -> Result<PathBuf, CreateError> {
    let node = sysfs.join(format!("dev/{kind}/{major}:{minor}"));
    if node.join("partition").exists() {
        return Err(refused(device, "is a partition: name the whole disk", Errno::NOTTY));
    }
    Ok(node.join("device"))
}

/// Host, channel, target and LUN, as the kernel writes them.
fn is_address(text: &str) -> bool {
    let numbers = text.split(':');
    numbers.clone().count() == 4
        && numbers.into_iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn only_child(folder: &Path) -> Option<String> {
    fs::read_dir(folder).ok()?.flatten().next()?.file_name().into_string().ok()
}

/// What INQUIRY strings may hold, for people and for the unit's identity.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '_' }).collect()
}

/// VPD page 80h: a header of four bytes, its length in the last two, then the number.
fn serial(page: &[u8]) -> Option<String> {
    let len = usize::from(u16::from_be_bytes([*page.get(2)?, *page.get(3)?]));
    let text = String::from_utf8_lossy(page.get(4..4 + len)?);
    let text = printable(text.trim_matches(|c: char| c.is_whitespace() || c == '\0'));
    (!text.is_empty()).then_some(text)
}

fn refused(device: &str, problem: &str, errno: Errno) -> CreateError {
    CreateError::Device { device: device.to_owned(), problem: problem.to_owned(), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A sysfs with one SCSI device.
    fn sysfs(attributes: &[(&str, &str)]) -> TempDir {
        let root = TempDir::new().expect("a folder");
        for (name, text) in attributes {
            let path = root.path().join("bus/scsi/devices/1:0:2:3").join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        root
    }

    fn message(sysfs: &TempDir, device: &str) -> String {
        find(sysfs.path(), device).expect_err("refused").to_string()
    }

    #[test]
    fn a_disk_is_found_by_its_address_with_all_its_facts() {
        let root = sysfs(&[
            ("type", "0\n"),
            ("vendor", "Linux   \n"),
            ("model", "scsi_debug      \n"),
            ("rev", "0191\n"),
            ("queue_depth", "64\n"),
            ("wwid", "naa.3333333000001f40\n"),
            ("vpd_pg80", "\0\u{80}\0\u{4}2000"),
            ("scsi_generic/sg3/dev", "21:3\n"),
            ("block/sda/size", "16384\n"),
            ("block/sda/removable", "0\n"),
            ("block/sda/queue/logical_block_size", "4096\n"),
        ]);
        // As bytes: a page's second byte is no UTF-8.
        fs::write(root.path().join("bus/scsi/devices/1:0:2:3/vpd_pg80"), b"\x00\x80\x00\x042000").expect("written");
        let found = find(root.path(), "1:0:2:3").expect("found");
        assert_eq!((found.sg.as_str(), found.block.as_deref(), found.device_type), ("sg3", Some("sda"), 0));
        assert_eq!(
            (found.vendor.as_str(), found.product.as_str(), found.revision.as_str()),
            ("Linux", "scsi_debug", "0191")
        );
        assert_eq!((found.serial.as_deref(), found.identity.as_deref()), (Some("2000"), Some("naa.3333333000001f40")));
        assert_eq!((found.block_size, found.num_blocks, found.queue_depth, found.removable), (4096, 2048, 64, false));
    }

    #[test]
    fn a_tape_has_no_blocks_and_a_depth_of_one_if_it_says_nothing() {
        let root = sysfs(&[("type", "1\n"), ("vendor", "HP\n"), ("scsi_generic/sg0/dev", "21:0\n")]);
        let found = find(root.path(), "1:0:2:3").expect("found");
        assert_eq!((found.device_type, found.block_size, found.num_blocks, found.queue_depth), (1, 512, 0, 1));
        assert_eq!((found.block, found.serial), (None, None));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_parameter_and_the_fix() {
        let root = sysfs(&[("type", "0\n")]);
        assert!(message(&root, "1:0:2:3").contains("modprobe sg"));
        assert!(message(&root, "1:0:2:4").starts_with("device: 1:0:2:4: does not exist"));
        assert!(message(&root, "sda").starts_with("device: \"sda\" is neither"));
        assert!(message(&root, "../../../1:0:2:3").starts_with("device: "));
        assert!(message(&root, "/dev/null").contains("is no SCSI device"));
        assert!(message(&root, "/proc").contains("is no device"));
        assert!(message(&root, "/dev/no-such-node").contains("cannot be examined"));
        let partition = root.path().join("dev/block/8:1");
        fs::create_dir_all(&partition).expect("made");
        fs::write(partition.join("partition"), "1").expect("written");
        let refused = folder_of_node(root.path(), "/dev/sda1", "block", 8, 1).expect_err("refused");
        assert!(refused.to_string().contains("whole disk"));
    }

    #[test]
    fn serial_numbers_of_any_bytes() {
        assert_eq!(serial(b""), None);
        assert_eq!(serial(b"\0\x80\0\x09short"), None);
        assert_eq!(serial(b"\0\x80\0\x04    "), None);
        assert_eq!(serial(b"\0\x80\0\x04 \xff1\0"), Some("_1".to_owned()));
    }
}
