//! GET CONFIGURATION (MMC-6): profiles and features.

use super::{BLOCK_BYTES, Features};
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;

/// Profiles; what the disc is follows from its size.
const CD_ROM: u16 = 0x0008;
const DVD_ROM: u16 = 0x0010;

/// Blocks that the greatest MSF address of a CD, 99:59:74, leaves room for.
pub(crate) const CD_BLOCKS_MAX: u64 = 100 * 60 * 75 - 150;

/// A feature of the drive.
struct Feature {
    code: u16,
    version: u8,
    persistent: bool,
    /// What it says besides, `profile` being the current one.
    data: fn(profile: u16, bytes: &mut Bytes<'_>),
}

const PERSISTENT: u8 = 0x02;
const CURRENT: u8 = 0x01;

const FEATURES: [Feature; 5] = [
    Feature { code: 0x0000, version: 0, persistent: true, data: put_profiles },
    Feature { code: 0x0001, version: 2, persistent: true, data: put_core },
    Feature { code: 0x0002, version: 1, persistent: true, data: put_morphing },
    Feature { code: 0x0003, version: 0, persistent: true, data: put_removable_medium },
    Feature { code: 0x0010, version: 0, persistent: false, data: put_random_readable },
];

/// The profile of the disc, 0 if there is none.
fn current_profile(unit: &LogicalUnit) -> u16 {
    match unit.check_ready() {
        Err(_) => 0,
        Ok(()) if unit.num_blocks() <= CD_BLOCKS_MAX => CD_ROM,
        Ok(()) => DVD_ROM,
    }
}

pub(super) fn put(which: Features, first: u16, unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    let profile = current_profile(unit);
    bytes.put_be32(0);
    bytes.put_be16(0);
    bytes.put_be16(profile);
    for feature in &FEATURES {
        let current = feature.persistent || profile != 0;
        let wanted = match which {
            Features::All => feature.code >= first,
            Features::Current => feature.code >= first && current,
            Features::One => feature.code == first,
        };
        if wanted {
            feature.put(current, profile, bytes);
        }
    }
    bytes.patch_be32(0, (bytes.len() - 4) as u32); // DATA LENGTH
}

impl Feature {
    fn put(&self, current: bool, profile: u16, bytes: &mut Bytes<'_>) {
        let start = bytes.len();
        let flags = if self.persistent { PERSISTENT } else { 0 } | if current { CURRENT } else { 0 };
        bytes.put_be16(self.code);
        bytes.put(&[self.version << 2 | flags, 0]);
        (self.data)(profile, bytes);
        bytes.patch_u8(start + 3, (bytes.len() - start - 4) as u8); // ADDITIONAL LENGTH
    }
}

/// Profile list: the greater first.
fn put_profiles(current: u16, bytes: &mut Bytes<'_>) {
    for profile in [DVD_ROM, CD_ROM] {
        bytes.put_be16(profile);
        bytes.put(&[u8::from(profile == current), 0]);
    }
}

/// Core: PHYSICAL INTERFACE STANDARD 1, the SCSI family; neither INQ2 nor DBE.
fn put_core(_: u16, bytes: &mut Bytes<'_>) {
    bytes.put_be32(1);
    bytes.put_be32(0);
}

/// Morphing: events are polled for (ASYNC is clear).
fn put_morphing(_: u16, bytes: &mut Bytes<'_>) {
    bytes.put_be32(0);
}

/// Removable medium: a tray that initiators can open, and can lock.
fn put_removable_medium(_: u16, bytes: &mut Bytes<'_>) {
    bytes.put(&[super::pages::TRAY_EJECT_LOCK, 0, 0, 0]);
}

/// Random readable: LOGICAL BLOCK SIZE, BLOCKING (blocks that the medium reads at once), PP (mode page 01h is there).
fn put_random_readable(profile: u16, bytes: &mut Bytes<'_>) {
    const PP: u8 = 0x01;
    bytes.put_be32(BLOCK_BYTES);
    bytes.put_be16(if profile == DVD_ROM { 16 } else { 1 });
    bytes.put(&[PP, 0]);
}
