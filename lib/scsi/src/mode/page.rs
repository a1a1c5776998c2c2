//! The bytes of each mode page (SPC-4, SBC-3), which of them can be changed, and what the changed ones mean.

use super::{
    CACHING, CONTROL, CONTROL_EXTENSION, DISCONNECT_RECONNECT, Exceptions, INFORMATIONAL_EXCEPTIONS, ModeParameters,
    POWER_CONDITION, PROTOCOL_SPECIFIC_PORT, PROVISIONING, PageCode, READ_WRITE_ERROR_RECOVERY, VERIFY_ERROR_RECOVERY,
};
use crate::task_set::{AttentionInterlock, QueueError};
use crate::unit::LogicalUnit;

/// The longest page, header included.
const BYTES_MAX: usize = 40;

const PS: u8 = 0x80;
const SPF: u8 = 0x40;

// Control mode page, byte 2.
const D_SENSE: u8 = 0x04;
const GLTSD: u8 = 0x02; // log parameters are not saved
// Byte 3.
const UNRESTRICTED_REORDERING: u8 = 1 << 4;
const QERR: u8 = 0b11 << QERR_AT;
const QERR_AT: u8 = 1;
// Byte 4.
const UA_INTLCK_CTRL: u8 = 0b11 << UA_INTLCK_CTRL_AT;
const UA_INTLCK_CTRL_AT: u8 = 4;
const SWP: u8 = 0x08;
// Byte 5.
const TAS: u8 = 0x40;
// Caching mode page, byte 2.
const WCE: u8 = 0x04;
// Informational exceptions control mode page, byte 2 and MRIE in byte 3.
const DEXCPT: u8 = 0x08;
const TEST: u8 = 0x04;
const MRIE: u8 = 0x0f;
const ON_REQUEST: u8 = 0x06;

/// One mode page with its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Page {
    bytes: [u8; BYTES_MAX],
    len: usize,
    header: usize,
}

/// A byte of a page, and its highest bit that is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) byte: usize,
    pub(crate) bit: u8,
}

impl Page {
    /// A page of a unit whose mode parameters are these.
    pub(crate) fn of(code: PageCode, mode: &ModeParameters, unit: &LogicalUnit) -> Page {
        let mut page = Page::empty(code, unit);
        let bytes = &mut page.bytes;
        match code {
            READ_WRITE_ERROR_RECOVERY => {
                const LBPERE: u8 = 0x80; // thresholds of provisioning are reported
                bytes[7] = if unit.provisioning_threshold().is_some() { LBPERE } else { 0 };
            }
            CACHING => bytes[2] = flag(mode.write_cache && unit.facts().write_cache, WCE),
            CONTROL => {
                bytes[2] = GLTSD | flag(mode.descriptor_sense, D_SENSE);
                bytes[3] = UNRESTRICTED_REORDERING | (mode.queue_error as u8) << QERR_AT;
                bytes[4] =
                    (mode.attention_interlock as u8) << UA_INTLCK_CTRL_AT | flag(mode.software_write_protect, SWP);
                bytes[5] = flag(mode.task_aborted_status, TAS);
                bytes[10..12].copy_from_slice(&EXTENDED_SELF_TEST_SECONDS.to_be_bytes());
            }
            CONTROL_EXTENSION => {
                const TCMOS: u8 = 0x04; // the host's clock may set the timestamp, too
                const SCSIP: u8 = 0x02; // but SET TIMESTAMP goes before
                bytes[4] = TCMOS | SCSIP; // IALUAE, bit 0, is clear: no implicit asymmetric access
            }
            PROTOCOL_SPECIFIC_PORT => {
                const SRP: u8 = 0x04;
                bytes[2] = SRP;
            }
            INFORMATIONAL_EXCEPTIONS => {
                bytes[2] = flag(mode.exceptions.disabled, DEXCPT) | flag(mode.exceptions.test, TEST);
                bytes[3] = flag(mode.exceptions.on_request, ON_REQUEST);
            }
            PROVISIONING => put_threshold(&mut bytes[16..24], unit),
            _ => (), // nothing but zeroes: no retries, no limits of bursts, no timers of power conditions
        }
        page
    }

    /// Which bits of it can be changed.
    pub(crate) fn changeable(code: PageCode, unit: &LogicalUnit) -> Page {
        let mut page = Page::empty(code, unit);
        let bytes = &mut page.bytes;
        match code {
            CACHING => bytes[2] = flag(unit.facts().write_cache, WCE),
            CONTROL => bytes[2..6].copy_from_slice(&[D_SENSE, QERR, UA_INTLCK_CTRL | SWP, TAS]),
            INFORMATIONAL_EXCEPTIONS => [bytes[2], bytes[3]] = [DEXCPT | TEST, MRIE],
            _ => (),
        }
        page
    }

    /// Only the header.
    fn empty((page, subpage): PageCode, unit: &LogicalUnit) -> Page {
        let len = bytes_of((page, subpage));
        let saveable = matches!((page, subpage), CACHING | CONTROL | INFORMATIONAL_EXCEPTIONS) && unit.can_save();
        let mut bytes = [0; BYTES_MAX];
        bytes[0] = page | flag(saveable, PS);
        let header = if subpage == 0 { 2 } else { 4 };
        match subpage {
            0 => bytes[1] = (len - header) as u8,
            _ => {
                bytes[0] |= SPF;
                bytes[1] = subpage;
                bytes[2..4].copy_from_slice(&((len - header) as u16).to_be_bytes());
            }
        }
        Page { bytes, len, header }
    }

    /// The whole page.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// First byte behind the header.
    pub(crate) fn header(&self) -> usize {
        self.header
    }
}

/// Length of a page, header included.
fn bytes_of(code: PageCode) -> usize {
    match code {
        DISCONNECT_RECONNECT => 16,
        CACHING => 20,
        CONTROL_EXTENSION => 32,
        PROTOCOL_SPECIFIC_PORT => 8,
        POWER_CONDITION => 40,
        PROVISIONING => 24,
        READ_WRITE_ERROR_RECOVERY | VERIFY_ERROR_RECOVERY => 12,
        _ => 12, // control, informational exceptions
    }
}

/// What a page says of the parameters; the rest of `mode` stays. Its length is right, and only what is changeable differs from the
/// page as it is.
///
/// # Errors
/// A value, or values together, that the standard forbids or that are not supported.
pub(crate) fn read(
    code: PageCode,
    bytes: &[u8],
    mode: ModeParameters,
    unit: &LogicalUnit,
) -> Result<ModeParameters, Fault> {
    Ok(match code {
        CACHING if unit.facts().write_cache => ModeParameters { write_cache: bytes[2] & WCE != 0, ..mode },
        CONTROL => ModeParameters {
            descriptor_sense: bytes[2] & D_SENSE != 0,
            queue_error: QueueError::from_bits((bytes[3] & QERR) >> QERR_AT).ok_or(Fault { byte: 3, bit: 2 })?,
            attention_interlock: AttentionInterlock::from_bits((bytes[4] & UA_INTLCK_CTRL) >> UA_INTLCK_CTRL_AT)
                .ok_or(Fault { byte: 4, bit: 5 })?,
            software_write_protect: bytes[4] & SWP != 0,
            task_aborted_status: bytes[5] & TAS != 0,
            ..mode
        },
        INFORMATIONAL_EXCEPTIONS => {
            let (disabled, test) = (bytes[2] & DEXCPT != 0, bytes[2] & TEST != 0);
            let on_request = match bytes[3] & MRIE {
                0 => false,
                ON_REQUEST => true,
                _ => return Err(Fault { byte: 3, bit: 3 }),
            };
            if disabled && test {
                return Err(Fault { byte: 2, bit: 2 });
            }
            ModeParameters { exceptions: Exceptions { disabled, test, on_request }, ..mode }
        }
        _ => mode,
    })
}

/// EXTENDED SELF-TEST COMPLETION TIME: the test reads a few blocks.
const EXTENDED_SELF_TEST_SECONDS: u16 = 60;

/// The descriptor of logical block provisioning (SBC-3): one threshold, which every initiator is told of (SITUA is clear).
fn put_threshold(descriptor: &mut [u8], unit: &LogicalUnit) {
    const ENABLED: u8 = 0x80; // the type, bits 5 to 3, is 000b: a soft threshold
    const ARMED_INCREASING: u8 = 0b001;
    const USED_RESOURCES: u8 = 0x02;
    if let Some(threshold) = unit.provisioning_threshold() {
        descriptor[..2].copy_from_slice(&[ENABLED | ARMED_INCREASING, USED_RESOURCES]);
        descriptor[4..].copy_from_slice(&threshold.sets.to_be_bytes());
    }
}

fn flag(on: bool, bits: u8) -> u8 {
    if on { bits } else { 0 }
}
