//! What a unit is made of, and why it cannot be made.

use std::sync::Arc;

use bdev::Bdev;
use uuid::Uuid;

use crate::cd;
use crate::eui64::Eui64;
use crate::limits::{BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, BUFFER_ALIGN, SERIAL_BYTES_MAX, TRANSFER_BYTES_MIN};

/// What a unit is made of. [`UnitOptions::new`] fills in everything that has a default.
#[derive(Clone)]
pub struct UnitOptions {
    /// Product identification, given by the administrator: 1 to 16 printable ASCII characters.
    pub name: String,
    /// T10 vendor identification: 1 to 8 printable ASCII characters.
    pub vendor: String,
    /// Product revision level: 1 to 4 printable ASCII characters.
    pub revision: String,
    /// Unit serial number, 1 to [`SERIAL_BYTES_MAX`] printable ASCII characters. Default: the device's UUID as 32
    /// hexadecimal digits.
    pub serial: Option<String>,
    /// NAA designator of 8 bytes (SPC-4; the top four bits 2h, 3h or 5h). Default: locally assigned (3h) with the
    /// low 60 bits of the FNV-1a hash of the device's UUID.
    pub naa: Option<u64>,
    /// EUI-64 designator, shown beside the NAA one. Default: none.
    pub eui64: Option<Eui64>,
    /// Where the unit is configured (VPD page 85h): a URL of at most 255 printable ASCII characters without spaces. Default: none.
    pub management_url: Option<String>,
    /// The device underneath.
    pub bdev: Arc<Bdev>,
    /// What initiators take it for.
    pub device_type: DeviceType,
    /// Refuse writes even though the device would take them.
    pub read_only: bool,
    /// Largest buffer of the transport in bytes, and so the largest READ or WRITE; at least [`TRANSFER_BYTES_MIN`].
    pub transfer_bytes_max: u32,
    /// Most commands that it takes at one time, of all initiators together; `None`: as many as come.
    pub queue_depth: Option<u32>,
}

/// What a unit is to initiators (SPC-4: PERIPHERAL DEVICE TYPE). SCSI devices say themselves what they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DeviceType {
    /// Direct access block device, 00h.
    #[default]
    Disk,
    /// CD/DVD device, 05h: a drive that reads, with a disc that can be taken out.
    CdRom,
}

/// Why a unit cannot be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnitError {
    /// A string that INQUIRY returns has the wrong length or other than printable ASCII characters.
    #[error("{field}: '{value}' must have 1 to {most} characters, printable ASCII only and no space at either end")]
    Text {
        /// The option.
        field: &'static str,
        /// What it said.
        value: String,
        /// Longest allowed.
        most: usize,
    },
    /// The URL has the wrong length or other than printable ASCII characters.
    #[error("management_url: '{0}' must have 1 to {URL_CHARACTERS_MAX} characters, printable ASCII without spaces")]
    Url(String),
    /// An NAA designator of a form that has not 8 bytes.
    #[error("naa: {0:016x} must start with hexadecimal digit 3 (locally assigned), 2 or 5 (IEEE)")]
    Naa(u64),
    /// The device's blocks are of a size that cannot be served.
    #[error(
        "block size {0} of the device is not supported: choose one of {BLOCK_BYTES_MIN} to {BLOCK_BYTES_MAX} bytes"
    )]
    BlockSize(u32),
    /// The device wants buffers aligned more strictly than the transport does.
    #[error("the device wants buffers aligned to {0} bytes; at most {BUFFER_ALIGN} are supported")]
    BufferAlign(usize),
    /// A CD's blocks are of one size.
    #[error("block size {0} of the device is not that of a CD: create it with block_size {BLOCK}", BLOCK = cd::BLOCK_BYTES)]
    CdBlockSize(u32),
    /// The device has no block.
    #[error("the device has no blocks: give it a size")]
    Empty,
    /// The transport's buffers are too small.
    #[error("transfer_bytes_max {0} must be at least {TRANSFER_BYTES_MIN}")]
    TransferBytes(u32),
}

/// What INQUIRY says about a unit.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) vendor: String,
    pub(crate) revision: String,
    pub(crate) serial: String,
    pub(crate) naa: u64,
    pub(crate) eui64: Option<Eui64>,
    pub(crate) management_url: Option<String>,
}

/// Transfer limit of [`UnitOptions::new`].
const TRANSFER_BYTES_DEFAULT: u32 = 1 << 20;
const NAME_CHARACTERS_MAX: usize = 16;
const VENDOR_CHARACTERS_MAX: usize = 8;
const REVISION_CHARACTERS_MAX: usize = 4;
const URL_CHARACTERS_MAX: usize = 255;
/// Our version's first two numbers: what fits in a product revision level.
const REVISION_DEFAULT: &str = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));

/// What a unit calls itself where nobody says otherwise. SCSI devices that are passed through call themselves what they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DefaultIdentity {
    /// Product identification: the device's name, as far as 16 printable characters go.
    pub product: String,
    /// T10 vendor identification.
    pub vendor: &'static str,
    /// Product revision level.
    pub revision: &'static str,
    /// Unit serial number.
    pub serial: String,
    /// NAA designator.
    pub naa: u64,
}

impl DefaultIdentity {
    /// Of a unit on a device of this name and UUID.
    pub fn new(bdev: &str, uuid: &Uuid) -> DefaultIdentity {
        let printable = |c: char| if c.is_ascii_graphic() { c } else { '_' };
        let uuid = device_uuid(bdev, uuid);
        DefaultIdentity {
            product: bdev.chars().map(printable).take(NAME_CHARACTERS_MAX).collect(),
            vendor: "SRPT",
            revision: REVISION_DEFAULT,
            serial: uuid.simple().to_string(),
            naa: locally_assigned_naa(&uuid),
        }
    }

    fn of(bdev: &Bdev) -> DefaultIdentity {
        DefaultIdentity::new(&bdev.info().name, &bdev.info().uuid)
    }
}

impl UnitOptions {
    /// A unit on `bdev` with all defaults.
    pub fn new(bdev: Arc<Bdev>) -> UnitOptions {
        if let Some(device) = &bdev.info().passthrough {
            return UnitOptions::of_device(Arc::clone(&bdev), device);
        }
        let DefaultIdentity { product, vendor, revision, .. } = DefaultIdentity::of(&bdev);
        UnitOptions {
            name: product,
            vendor: vendor.to_owned(),
            revision: revision.to_owned(),
            serial: None,
            naa: None,
            eui64: None,
            management_url: None,
            bdev,
            device_type: DeviceType::Disk,
            read_only: false,
            transfer_bytes_max: TRANSFER_BYTES_DEFAULT,
            queue_depth: None,
        }
    }

    /// A SCSI device says itself what it is; this is only what we call it.
    fn of_device(bdev: Arc<Bdev>, device: &bdev::passthrough::Facts) -> UnitOptions {
        let known = |text: &str, most: usize| {
            let text: String = text.trim().chars().take(most).collect();
            if text.trim().is_empty() { "unknown"[..most.min(7)].to_owned() } else { text.trim().to_owned() }
        };
        UnitOptions {
            name: known(&device.product, NAME_CHARACTERS_MAX),
            vendor: known(&device.vendor, VENDOR_CHARACTERS_MAX),
            revision: known(&device.revision, REVISION_CHARACTERS_MAX),
            serial: device.serial.as_ref().map(|serial| known(serial, SERIAL_BYTES_MAX)),
            naa: None,
            eui64: None,
            management_url: None,
            bdev,
            device_type: DeviceType::Disk,
            read_only: false,
            transfer_bytes_max: TRANSFER_BYTES_DEFAULT,
            queue_depth: None,
        }
    }
}

impl Identity {
    pub(super) fn new(options: &UnitOptions) -> Result<Identity, UnitError> {
        let defaults = DefaultIdentity::of(&options.bdev);
        let serial = options.serial.clone().unwrap_or(defaults.serial);
        let naa = options.naa.unwrap_or(defaults.naa);
        if !matches!(naa >> 60, 2 | 3 | 5) {
            return Err(UnitError::Naa(naa));
        }
        Ok(Identity {
            name: text("product", &options.name, NAME_CHARACTERS_MAX)?,
            vendor: text("vendor", &options.vendor, VENDOR_CHARACTERS_MAX)?,
            revision: text("revision", &options.revision, REVISION_CHARACTERS_MAX)?,
            serial: text("serial", &serial, SERIAL_BYTES_MAX)?,
            naa,
            eui64: options.eui64,
            management_url: options.management_url.as_deref().map(url).transpose()?,
        })
    }
}

/// A string that goes into INQUIRY data (SPC-4: graphic codes, left-aligned, so no space at either end).
fn text(field: &'static str, value: &str, most: usize) -> Result<String, UnitError> {
    let printable = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if value.is_empty() || value.len() > most || !printable || value.trim() != value {
        return Err(UnitError::Text { field, value: value.to_owned(), most });
    }
    Ok(value.to_owned())
}

fn url(value: &str) -> Result<String, UnitError> {
    match (1..=URL_CHARACTERS_MAX).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(value.to_owned()),
        false => Err(UnitError::Url(value.to_owned())),
    }
}

/// What the derived identifiers hang on: the device's UUID, or, where it has none, version 5 of its name.
fn device_uuid(bdev: &str, uuid: &Uuid) -> Uuid {
    match uuid.is_nil() {
        true => Uuid::new_v5(&Uuid::NAMESPACE_OID, bdev.as_bytes()),
        false => *uuid,
    }
}

/// NAA 3h, locally assigned (SPC-4): it needs no company identifier, and 60 bits are ours to choose.
fn locally_assigned_naa(uuid: &Uuid) -> u64 {
    const LOCALLY_ASSIGNED: u64 = 3 << 60;
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = uuid.as_bytes().iter().fold(OFFSET_BASIS, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    LOCALLY_ASSIGNED | hash & !(0xf << 60)
}
