//! READ TOC/PMA/ATIP (MMC-6): one session, one data track.

use super::TocFormat;
use crate::wire::bytes::Bytes;

/// ADR 1 (the sub-channel holds the position) and CONTROL 4 (a data track, recorded uninterrupted).
const DATA_TRACK: u8 = 0x14;
const TRACK: u8 = 1;
const SESSION: u8 = 1;
/// Track number of the lead-out.
pub(crate) const LEAD_OUT: u8 = 0xaa;

pub(super) fn put(format: TocFormat, msf: bool, blocks: u64, bytes: &mut Bytes<'_>) {
    bytes.put_be16(0);
    bytes.put(&[TRACK, TRACK]); // first and last track; of the other formats first and last session, which are the same
    match format {
        TocFormat::Tracks { from } => {
            if from <= TRACK {
                put_track(TRACK, 0, msf, bytes);
            }
            put_track(LEAD_OUT, blocks, msf, bytes);
        }
        TocFormat::Sessions => put_track(TRACK, 0, msf, bytes),
        TocFormat::Full => {
            put_point(0xa0, [TRACK, 0, 0], bytes); // the first track; PSEC 0: CD-DA or CD-ROM
            put_point(0xa1, [TRACK, 0, 0], bytes); // the last track
            put_point(0xa2, minutes_seconds_frames(blocks), bytes); // the lead-out
            put_point(TRACK, minutes_seconds_frames(0), bytes);
        }
    }
    bytes.patch_be16(0, (bytes.len() - 2) as u16); // TOC DATA LENGTH
}

fn put_track(track: u8, lba: u64, msf: bool, bytes: &mut Bytes<'_>) {
    bytes.put(&[0, DATA_TRACK, track, 0]);
    match msf {
        true => {
            bytes.put_u8(0);
            bytes.put(&minutes_seconds_frames(lba));
        }
        false => bytes.put_be32(u32::try_from(lba).unwrap_or(u32::MAX)),
    }
}

fn put_point(point: u8, position: [u8; 3], bytes: &mut Bytes<'_>) {
    bytes.put(&[SESSION, DATA_TRACK, 0, point, 0, 0, 0, 0]); // TNO 0 is the lead-in; MIN, SEC, FRAME, ZERO
    bytes.put(&position);
}

/// MSF address: 75 frames are a second, and block 0 is at 00:02:00. What no CD reaches is told as the greatest.
fn minutes_seconds_frames(lba: u64) -> [u8; 3] {
    const LEAD_IN_FRAMES: u64 = 150;
    const GREATEST: [u8; 3] = [255, 59, 74];
    let frames = lba.saturating_add(LEAD_IN_FRAMES);
    match u8::try_from(frames / (60 * 75)) {
        Ok(minutes) => [minutes, (frames / 75 % 60) as u8, (frames % 75) as u8],
        Err(_) => GREATEST,
    }
}
