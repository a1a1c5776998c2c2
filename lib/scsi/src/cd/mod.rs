//! Units that are CD drives: an image of a CD or DVD as a disc that can be taken out (MMC-6, SPC-4).
//!
//! The disc has one session with one data track, from block 0 to the end of the image, in blocks of 2048 bytes: what an ISO 9660
//! image is. Its profile follows from its size. There are no raw sectors (READ CD), no audio and no writing.
//!
//! Reading order: `drive.rs` (where the disc is), `commands.rs` (what is supported), the parsers in
//! `command/cd.rs`, then one file for each answer.

pub(crate) mod commands;
mod disc;
mod drive;
mod events;
mod features;
mod pages;
mod toc;

pub use drive::Drive;
pub(crate) use drive::{MediaTold, tray};
pub(crate) use events::MEDIA_CLASSES;
pub(crate) use pages::check_page;
pub(crate) use toc::LEAD_OUT;

use crate::Context;
use crate::command::ModeValues;
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;

/// Bytes of a logical block on every disc (MMC-6, Mode 1 user data).
pub(crate) const BLOCK_BYTES: u32 = 2048;

/// What a command that only CD drives have asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CdQuery {
    /// READ TOC/PMA/ATIP, all formats that are known.
    Toc { format: TocFormat, msf: bool },
    /// GET CONFIGURATION.
    Configuration { which: Features, first: u16 },
    /// GET EVENT STATUS NOTIFICATION; `media`: the Media class was asked for.
    EventStatus { media: bool },
    /// READ DISC INFORMATION.
    DiscInformation,
    /// MECHANISM STATUS.
    MechanismStatus,
    /// MODE SENSE; `ten`: MODE SENSE(10) and its longer header.
    ModeSense { ten: bool, page: u8, values: ModeValues },
}

/// FORMAT of READ TOC/PMA/ATIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TocFormat {
    /// 0000b: the tracks, from this one on.
    Tracks { from: u8 },
    /// 0001b: where the last session begins.
    Sessions,
    /// 0010b: the Q sub-channel of the lead-in.
    Full,
}

/// RT of GET CONFIGURATION.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Features {
    /// 00b: those that the drive has.
    All,
    /// 01b: those that the disc allows.
    Current,
    /// 10b: one.
    One,
}

/// The answer to a query.
pub(crate) fn put(query: CdQuery, unit: &LogicalUnit, context: &Context<'_>, bytes: &mut Bytes<'_>) {
    match query {
        CdQuery::Toc { format, msf } => toc::put(format, msf, unit.num_blocks(), bytes),
        CdQuery::Configuration { which, first } => features::put(which, first, unit, bytes),
        CdQuery::EventStatus { media } => events::put(media, unit, context, bytes),
        CdQuery::DiscInformation => disc::put_information(bytes),
        CdQuery::MechanismStatus => disc::put_mechanism_status(unit, bytes),
        CdQuery::ModeSense { ten, page, values } => pages::put(ten, page, values, unit, bytes),
    }
}

#[cfg(test)]
#[path = "cd_tests.rs"]
mod tests;
