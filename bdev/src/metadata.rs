//! Metadata: bytes that are stored with the data of each block, behind it (SPDK: interleaved), for T10 protection information.
//!
//! A device with metadata has blocks that are longer by it: [`crate::Info::block_size`] counts it, and a `Read` or `Write` moves
//! both as one piece. So nothing between a channel and the medium knows of it, data and metadata of a block cannot be mixed up
//! with another's, and a device without it does not do a thing more.
//!
//! What is in the metadata is the user's affair, with one promise: **where a block reads as zeroes because it was never written,
//! or was unmapped or zeroed, so does its metadata.** `lib/scsi` stores protection information inverted, so that such a block's is
//! all ones, which SBC-3 takes for "not to be checked". No hole, no growth of a file and no allocated space has to be
//! initialised.
//!
//! # Files
//! A file holds block after block, each with its metadata: 520 or 4104 bytes. One write carries both. Data and metadata in two places
//! would keep O_DIRECT's alignment, but take two writes, between which the power can fail, and that no order makes safe. The
//! price: such blocks are no multiple of any disk's, so they go through the page cache, and a power failure may keep one page
//! of a block that lies across two. Therefore each write is on stable media before it is done (as with `write_through`),
//! unless `nv_cache` says that nothing is lost with the power: **a block whose write was acknowledged is whole**. The limit: a
//! block that is being overwritten when the power fails may be left half old and half new, which its guard then tells. A disk with
//! sectors of its own promises more.

use crate::create::CreateError;

/// What each block has behind its data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// Bytes; 8, the length of protection information.
    pub bytes: u32,
    /// What they are made for; FORMAT UNIT may choose another.
    pub protection: ProtectionType,
}

/// The type of a unit's protection (SBC-3: protection types).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ProtectionType {
    /// Type 0: there is none, or it is not used.
    #[default]
    None,
    /// Type 1: guard, and the low 32 bits of the block's address as reference tag.
    Type1,
    /// Type 3: guard; the reference tag is nobody's but the application's.
    Type3,
}

impl ProtectionType {
    /// SPDK's `dif_type`; `None` for type 2, which needs CDBs of 32 bytes, and for what is no type.
    pub fn of_number(number: u32) -> Option<ProtectionType> {
        match number {
            0 => Some(ProtectionType::None),
            1 => Some(ProtectionType::Type1),
            3 => Some(ProtectionType::Type3),
            _ => None,
        }
    }

    /// As a number, 0, 1 or 3.
    pub fn number(self) -> u32 {
        match self {
            ProtectionType::None => 0,
            ProtectionType::Type1 => 1,
            ProtectionType::Type3 => 3,
        }
    }
}

impl Metadata {
    /// Length of protection information in bytes.
    pub const PROTECTION_BYTES: u32 = 8;

    /// Metadata for protection information of a type.
    pub fn of(protection: ProtectionType) -> Metadata {
        Metadata { bytes: Metadata::PROTECTION_BYTES, protection }
    }

    /// # Errors
    /// [`CreateError::Parameter`]: it is of a length that cannot be had.
    pub(crate) fn check(metadata: Option<Metadata>) -> Result<(), CreateError> {
        match metadata {
            Some(Metadata { bytes, .. }) if bytes != Metadata::PROTECTION_BYTES => {
                let problem = format!(
                    "{bytes} is neither 0 nor {}, the length of protection information",
                    Self::PROTECTION_BYTES
                );
                Err(CreateError::parameter("md_size", problem))
            }
            _ => Ok(()),
        }
    }
}

/// Bytes per block as stored, for blocks of so many bytes of data.
pub(crate) fn stored_block_size(data_block_size: u32, metadata: Option<Metadata>) -> u32 {
    data_block_size + metadata.map_or(0, |metadata| metadata.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_spdk_s_numbers() {
        for number in 0..=4 {
            let known = ProtectionType::of_number(number);
            assert_eq!(known.map(ProtectionType::number), [0, 1, 3].contains(&number).then_some(number));
        }
    }

    #[test]
    fn only_protection_information_has_room() {
        assert!(Metadata::check(None).is_ok() && Metadata::check(Some(Metadata::of(ProtectionType::Type1))).is_ok());
        for bytes in [0, 1, 16, 64, u32::MAX] {
            let error = Metadata::check(Some(Metadata { bytes, protection: ProtectionType::None })).expect_err("bad");
            assert!(error.to_string().starts_with("md_size: "), "{error}");
        }
    }
}
