//! Names of pages, functions and conditions, and why some are not there.

/// A page: code, subpage, name, and why a unit may not have it.
pub(super) type Page = (u8, u8, &'static str, &'static str);

/// Vital product data pages (SPC-4, SBC-3).
#[rustfmt::skip]
pub(super) const VPD: &[Page] = &[
    (0x00, 0, "Supported VPD pages", ""),
    (0x80, 0, "Unit serial number", ""),
    (0x83, 0, "Device identification", ""),
    (0x84, 0, "Software interface identification", "no such identifiers"),
    (0x85, 0, "Management network addresses", "the RPC socket is local"),
    (0x86, 0, "Extended INQUIRY data", ""),
    (0x87, 0, "Mode page policy", "all mode pages are shared"),
    (0x88, 0, "SCSI ports", "REPORT TARGET PORT GROUPS would name them"),
    (0x8a, 0, "Power condition", "power is the host's affair"),
    (0x8d, 0, "Power consumption", "power is the host's affair"),
    (0x8f, 0, "Third-party copy", "no EXTENDED COPY"),
    (0xb0, 0, "Block limits", ""),
    (0xb1, 0, "Block device characteristics", ""),
    (0xb2, 0, "Logical block provisioning", ""),
    (0xb3, 0, "Referrals", "every path reaches every block"),
    (0xb6, 0, "Zoned block device characteristics", "no zoned devices"),
];

/// Mode pages (SPC-4, SBC-3, MMC-6).
#[rustfmt::skip]
pub(super) const MODE: &[Page] = &[
    (0x01, 0x00, "Read-write error recovery", "the device beneath recovers as it sees fit"),
    (0x02, 0x00, "Disconnect-reconnect", "SRP has none"),
    (0x03, 0x00, "Format device", "obsolete"),
    (0x04, 0x00, "Rigid disk geometry", "obsolete"),
    (0x05, 0x00, "Flexible disk", "obsolete"),
    (0x07, 0x00, "Verify error recovery", "the device beneath recovers as it sees fit"),
    (0x08, 0x00, "Caching", ""),
    (0x0a, 0x00, "Control", ""),
    (0x0a, 0x01, "Control extension", "no command needs it"),
    (0x19, 0x00, "Protocol specific port", "SRP has none"),
    (0x1a, 0x00, "Power condition", "power is the host's affair"),
    (0x1c, 0x00, "Informational exceptions control", ""),
    (0x1c, 0x02, "Logical block provisioning", ""),
    (0x2a, 0x00, "MM capabilities and mechanical status", "for CD and DVD drives"),
];

/// Log pages (SPC-4, SBC-3).
#[rustfmt::skip]
pub(super) const LOG: &[Page] = &[
    (0x00, 0x00, "Supported log pages", "no log pages"),
    (0x00, 0xff, "Supported log pages and subpages", "no log pages"),
    (0x02, 0x00, "Write error counters", "bdev_get_iostat counts errors"),
    (0x03, 0x00, "Read error counters", "bdev_get_iostat counts errors"),
    (0x05, 0x00, "Verify error counters", "bdev_get_iostat counts errors"),
    (0x06, 0x00, "Non-medium errors", "bdev_get_iostat counts errors"),
    (0x0c, 0x00, "Logical block provisioning", "bdev_get_bdevs tells the space in use"),
    (0x0d, 0x00, "Temperature", "nothing to measure"),
    (0x0e, 0x00, "Start-stop cycle counter", "nothing wears"),
    (0x0e, 0x01, "Utilization", "nothing wears"),
    (0x0f, 0x00, "Application client", "no room for others' notes"),
    (0x10, 0x00, "Self-test results", "no self-tests"),
    (0x11, 0x00, "Solid state media", "the device beneath knows its wear"),
    (0x15, 0x00, "Background scan", "the device beneath scans itself"),
    (0x18, 0x00, "Protocol specific port", "SRP has none"),
    (0x19, 0x00, "General statistics and performance", "bdev_get_iostat has them"),
    (0x1a, 0x00, "Power condition transitions", "they are not counted"),
    (0x2f, 0x00, "Informational exceptions", "none are reported"),
];

/// Task management functions (SAM-5): their code in SRP, if it has one, and what becomes of them.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[(Option<u8>, &str, &str)] = &[
    (Some(0x01), "ABORT TASK", "answered at once; the credit of what it aborts comes with the answer"),
    (Some(0x02), "ABORT TASK SET", "commands of this initiator at the unit"),
    (Some(0x04), "CLEAR TASK SET", "commands of all initiators at the unit; the others are told: 2Fh/00h"),
    (Some(0x08), "LOGICAL UNIT RESET", "the same, and mode parameters are as they were at first; the others are told: 29h/03h"),
    (Some(0x40), "CLEAR ACA", "answered: not supported, as there is no ACA"),
    (None, "I_T NEXUS RESET", "SRP has no code for it; a new login does it"),
    (None, "QUERY TASK, QUERY TASK SET, QUERY ASYNCHRONOUS EVENT", "SRP has no code for them"),
];

/// Additional sense codes of unit attentions (SPC-4).
#[rustfmt::skip]
pub(super) const CONDITIONS: &[(u8, u8, &str)] = &[
    (0x0c, 0x00, "WRITE ERROR, as a deferred error: a write that was answered before it was done"),
    (0x28, 0x00, "NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED"),
    (0x28, 0x01, "IMPORT OR EXPORT ELEMENT ACCESSED"),
    (0x29, 0x00, "POWER ON, RESET, OR BUS DEVICE RESET OCCURRED"),
    (0x29, 0x03, "BUS DEVICE RESET FUNCTION OCCURRED"),
    (0x29, 0x07, "I_T NEXUS LOSS OCCURRED"),
    (0x2a, 0x00, "PARAMETERS CHANGED"),
    (0x2a, 0x01, "MODE PARAMETERS CHANGED"),
    (0x2a, 0x02, "LOG PARAMETERS CHANGED"),
    (0x2a, 0x03, "RESERVATIONS PREEMPTED"),
    (0x2a, 0x04, "RESERVATIONS RELEASED"),
    (0x2a, 0x05, "REGISTRATIONS PREEMPTED"),
    (0x2a, 0x06, "ASYMMETRIC ACCESS STATE CHANGED"),
    (0x2a, 0x07, "IMPLICIT ASYMMETRIC ACCESS STATE TRANSITION FAILED"),
    (0x2a, 0x08, "PRIORITY CHANGED"),
    (0x2a, 0x09, "CAPACITY DATA HAS CHANGED"),
    (0x2a, 0x10, "TIMESTAMP CHANGED"),
    (0x2c, 0x07, "PREVIOUS BUSY STATUS"),
    (0x2c, 0x08, "PREVIOUS TASK SET FULL STATUS"),
    (0x2c, 0x09, "PREVIOUS RESERVATION CONFLICT STATUS"),
    (0x2f, 0x00, "COMMANDS CLEARED BY ANOTHER INITIATOR"),
    (0x38, 0x07, "THIN PROVISIONING SOFT THRESHOLD REACHED"),
    (0x3f, 0x00, "TARGET OPERATING CONDITIONS HAVE CHANGED"),
    (0x3f, 0x01, "MICROCODE HAS BEEN CHANGED"),
    (0x3f, 0x02, "CHANGED OPERATING DEFINITION"),
    (0x3f, 0x03, "INQUIRY DATA HAS CHANGED"),
    (0x3f, 0x05, "DEVICE IDENTIFIER CHANGED"),
    (0x3f, 0x0e, "REPORTED LUNS DATA HAS CHANGED"),
    (0x5a, 0x01, "OPERATOR MEDIUM REMOVAL REQUEST"),
    (0x5d, 0x00, "FAILURE PREDICTION THRESHOLD EXCEEDED"),
];
