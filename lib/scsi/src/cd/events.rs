//! GET EVENT STATUS NOTIFICATION (MMC-6): of the classes the Media class, which is what initiators poll to notice another disc.

use super::drive::MediaEvent;
use crate::Context;
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;

const MEDIA_CLASS: u8 = 4;
/// Bit of [`MEDIA_CLASS`] in a bitmap of classes.
pub(crate) const MEDIA_CLASSES: u8 = 1 << MEDIA_CLASS;

pub(super) fn put(media: bool, unit: &LogicalUnit, context: &Context<'_>, bytes: &mut Bytes<'_>) {
    /// NEA: no event of the classes that were asked for is available.
    const NO_EVENT_AVAILABLE: u8 = 0x80;
    bytes.put_be16(0);
    match media {
        false => bytes.put(&[NO_EVENT_AVAILABLE, MEDIA_CLASSES]),
        true => {
            bytes.put(&[MEDIA_CLASS, MEDIA_CLASSES]);
            put_media(unit, context, bytes);
        }
    }
    bytes.patch_be16(0, (bytes.len() - 2) as u16); // EVENT DATA LENGTH
}

/// Media event descriptor: what happened, and how it is now.
fn put_media(unit: &LogicalUnit, context: &Context<'_>, bytes: &mut Bytes<'_>) {
    const PRESENT: u8 = 0x02;
    const TRAY_OPEN: u8 = 0x01;
    let present = unit.check_ready().is_ok();
    let event = context.nexus.map_or(MediaEvent::Nothing, |nexus| nexus.media_told().take_event(present));
    let code = match event {
        MediaEvent::Nothing => 0,
        MediaEvent::EjectRequest => 1,
        MediaEvent::NewMedia => 2,
        MediaEvent::Removal => 3,
    };
    let open = unit.drive().is_some_and(|drive| drive.is_open());
    let status = if present { PRESENT } else { 0 } | if open { TRAY_OPEN } else { 0 };
    bytes.put(&[code, status, 0, 0]); // START SLOT and END SLOT are a changer's
}
