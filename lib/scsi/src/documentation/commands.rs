//! Every command that a user might look for: those that SPC-4, SBC-3 and MMC-6 demand, and those that other targets have.

/// One of them. What is true of a command that is supported stands in `limits`; why one is not, in `reason`. A command for
/// which both can be said has both, so that the row holds whichever is the case.
pub(super) struct Known {
    pub(super) opcode: u8,
    pub(super) action: Option<u16>,
    /// As the standard has it; unused for what is in [`crate::COMMANDS`], which has the name itself.
    pub(super) name: &'static str,
    pub(super) standard: &'static str,
    pub(super) limits: &'static str,
    pub(super) reason: &'static str,
}

const fn known(
    opcode: u8,
    name: &'static str,
    standard: &'static str,
    limits: &'static str,
    reason: &'static str,
) -> Known {
    Known { opcode, action: None, name, standard, limits, reason }
}

const fn action(
    opcode: u8,
    action: u16,
    name: &'static str,
    standard: &'static str,
    limits: &'static str,
    reason: &'static str,
) -> Known {
    Known { action: Some(action), ..known(opcode, name, standard, limits, reason) }
}

const FUA: &str = "FUA is kept; DPO is accepted and changes nothing";
const OBSOLETE: &str = "obsolete";
const PI_FORM: &str = "for protection information of type 2";
const ZONED: &str = "no zoned devices";
const NO_DEFECTS: &str = "the device beneath keeps its own lists of defects";
const NO_ALIASES: &str = "no aliases: nothing names them";
const NO_TOKENS: &str = "no token-based copies";
const NO_CD: &str = "for CD and DVD drives; one can be passed through";
const NO_COPY: &str = "the initiator copies itself";
const NO_SANITIZE: &str = "overwriting a file or an SSD promises nothing about what is beneath";
const NO_RESERVATIONS: &str = "no reservations";
const NO_ALUA: &str = "all paths are active and optimized";

/// In ascending order.
#[rustfmt::skip]
pub(super) const KNOWN: &[Known] = &[
    known(0x00, "TEST UNIT READY", "SPC-4", "a device that was found gone is asked", ""),
    known(0x01, "REZERO UNIT", "SBC", "accepted, has no effect", OBSOLETE),
    known(0x03, "REQUEST SENSE", "SPC-4", "both formats; reports and clears a unit attention", ""),
    known(0x04, "FORMAT UNIT", "SBC-3", "no defect lists", "the block size is chosen when the bdev is made"),
    known(0x07, "REASSIGN BLOCKS", "SBC-3", "", NO_DEFECTS),
    known(0x08, "READ(6)", "SBC-3", "", ""),
    known(0x0a, "WRITE(6)", "SBC-3", "", ""),
    known(0x0b, "SEEK(6)", "SBC", "accepted, has no effect", OBSOLETE),
    known(0x12, "INQUIRY", "SPC-4", "", ""),
    known(0x15, "MODE SELECT(6)", "SPC-4", "the mode pages below", ""),
    known(0x16, "RESERVE(6)", "SPC-2", "of the whole unit", NO_RESERVATIONS),
    known(0x17, "RELEASE(6)", "SPC-2", "of the whole unit", NO_RESERVATIONS),
    known(0x1a, "MODE SENSE(6)", "SPC-4", "the mode pages below", ""),
    known(0x1b, "START STOP UNIT", "SBC-3", "see the README for what stopping means", ""),
    known(0x1c, "RECEIVE DIAGNOSTIC RESULTS", "SPC-4", "", "no diagnostic pages"),
    known(0x1d, "SEND DIAGNOSTIC", "SPC-4", "the default self-test", "there is nothing to test but the device beneath, which tests itself"),
    known(0x1e, "PREVENT ALLOW MEDIUM REMOVAL", "SPC-4", "", ""),
    known(0x23, "READ FORMAT CAPACITIES", "MMC-6", "", NO_CD),
    known(0x25, "READ CAPACITY(10)", "SBC-3", "", ""),
    known(0x28, "READ(10)", "SBC-3", FUA, ""),
    known(0x2a, "WRITE(10)", "SBC-3", FUA, ""),
    known(0x2b, "SEEK(10)", "SBC", "accepted, has no effect", OBSOLETE),
    known(0x2e, "WRITE AND VERIFY(10)", "SBC-3", "BYTCHK 00b and 01b", "WRITE, then VERIFY, do the same"),
    known(0x2f, "VERIFY(10)", "SBC-3", "BYTCHK 00b, 01b, 11b", ""),
    known(0x34, "PRE-FETCH(10)", "SBC-3", "", "no cache of our own to fetch into"),
    known(0x35, "SYNCHRONIZE CACHE(10)", "SBC-3", "flushes the whole device; SYNC_NV as without it", ""),
    known(0x37, "READ DEFECT DATA(10)", "SBC-3", "", NO_DEFECTS),
    known(0x3b, "WRITE BUFFER", "SPC-4", "echo buffer and data; no microcode", "no microcode to download"),
    known(0x3c, "READ BUFFER(10)", "SPC-4", "echo buffer, data, descriptor", "no buffer to show"),
    known(0x3e, "READ LONG(10)", "SBC-3", "", "no error correction bytes to show"),
    known(0x3f, "WRITE LONG(10)", "SBC-3", "", "no error correction bytes to write"),
    known(0x41, "WRITE SAME(10)", "SBC-3", "at most 64 MiB; no anchoring", ""),
    known(0x42, "UNMAP", "SBC-3", "at most 256 descriptors and 512 MiB; no anchoring", ""),
    known(0x43, "READ TOC/PMA/ATIP", "MMC-6", "", NO_CD),
    known(0x46, "GET CONFIGURATION", "MMC-6", "", NO_CD),
    action(0x48, 0x01, "SANITIZE: OVERWRITE", "SBC-3", "", NO_SANITIZE),
    action(0x48, 0x02, "SANITIZE: BLOCK ERASE", "SBC-3", "", NO_SANITIZE),
    action(0x48, 0x03, "SANITIZE: CRYPTOGRAPHIC ERASE", "SBC-3", "", NO_SANITIZE),
    action(0x48, 0x1f, "SANITIZE: EXIT FAILURE MODE", "SBC-3", "", NO_SANITIZE),
    known(0x4a, "GET EVENT STATUS NOTIFICATION", "MMC-6", "polled", NO_CD),
    known(0x4c, "LOG SELECT", "SPC-4", "the log pages below", "no log pages"),
    known(0x4d, "LOG SENSE", "SPC-4", "the log pages below", "no log pages"),
    known(0x51, "READ DISC INFORMATION", "MMC-6", "", NO_CD),
    known(0x52, "READ TRACK INFORMATION", "MMC-6", "", NO_CD),
    known(0x55, "MODE SELECT(10)", "SPC-4", "the mode pages below", ""),
    known(0x56, "RESERVE(10)", "SPC-2", "of the whole unit", NO_RESERVATIONS),
    known(0x57, "RELEASE(10)", "SPC-2", "of the whole unit", NO_RESERVATIONS),
    known(0x5a, "MODE SENSE(10)", "SPC-4", "LLBAA, too", ""),
    action(0x5e, 0x00, "PERSISTENT RESERVE IN: READ KEYS", "SPC-4", "", NO_RESERVATIONS),
    action(0x5e, 0x01, "PERSISTENT RESERVE IN: READ RESERVATION", "SPC-4", "", NO_RESERVATIONS),
    action(0x5e, 0x02, "PERSISTENT RESERVE IN: REPORT CAPABILITIES", "SPC-4", "", NO_RESERVATIONS),
    action(0x5e, 0x03, "PERSISTENT RESERVE IN: READ FULL STATUS", "SPC-4", "", NO_RESERVATIONS),
    action(0x5f, 0x00, "PERSISTENT RESERVE OUT: REGISTER", "SPC-4", "all types; APTPL", NO_RESERVATIONS),
    action(0x5f, 0x01, "PERSISTENT RESERVE OUT: RESERVE", "SPC-4", "", NO_RESERVATIONS),
    action(0x5f, 0x02, "PERSISTENT RESERVE OUT: RELEASE", "SPC-4", "", NO_RESERVATIONS),
    action(0x5f, 0x03, "PERSISTENT RESERVE OUT: CLEAR", "SPC-4", "", NO_RESERVATIONS),
    action(0x5f, 0x04, "PERSISTENT RESERVE OUT: PREEMPT", "SPC-4", "", NO_RESERVATIONS),
    action(0x5f, 0x05, "PERSISTENT RESERVE OUT: PREEMPT AND ABORT", "SPC-4", "", NO_RESERVATIONS),
    action(0x5f, 0x06, "PERSISTENT RESERVE OUT: REGISTER AND IGNORE EXISTING KEY", "SPC-4", "", NO_RESERVATIONS),
    action(0x5f, 0x07, "PERSISTENT RESERVE OUT: REGISTER AND MOVE", "SPC-4", "", NO_RESERVATIONS),
    action(0x5f, 0x08, "PERSISTENT RESERVE OUT: REPLACE LOST RESERVATION", "SPC-4", "", "reservations are not lost"),
    action(0x7f, 0x0009, "READ(32)", "SBC-3", PI_FORM, PI_FORM),
    action(0x7f, 0x000a, "VERIFY(32)", "SBC-3", PI_FORM, PI_FORM),
    action(0x7f, 0x000b, "WRITE(32)", "SBC-3", PI_FORM, PI_FORM),
    action(0x7f, 0x000c, "WRITE AND VERIFY(32)", "SBC-3", PI_FORM, PI_FORM),
    action(0x7f, 0x000d, "WRITE SAME(32)", "SBC-3", PI_FORM, PI_FORM),
    action(0x83, 0x00, "EXTENDED COPY(LID1)", "SPC-4", "between units that the initiator sees", NO_COPY),
    action(0x83, 0x01, "EXTENDED COPY(LID4)", "SPC-4", "between units that the initiator sees", NO_COPY),
    action(0x83, 0x10, "POPULATE TOKEN", "SBC-3", "", NO_TOKENS),
    action(0x83, 0x11, "WRITE USING TOKEN", "SBC-3", "", NO_TOKENS),
    action(0x83, 0x1c, "COPY OPERATION ABORT", "SPC-4", "", NO_COPY),
    action(0x84, 0x00, "RECEIVE COPY STATUS(LID1)", "SPC-4", "", NO_COPY),
    action(0x84, 0x01, "RECEIVE COPY DATA(LID1)", "SPC-4", "", NO_COPY),
    action(0x84, 0x03, "RECEIVE COPY OPERATING PARAMETERS", "SPC-4", "", NO_COPY),
    action(0x84, 0x04, "RECEIVE COPY FAILURE DETAILS(LID1)", "SPC-4", "", NO_COPY),
    action(0x84, 0x05, "RECEIVE COPY STATUS(LID4)", "SPC-4", "", NO_COPY),
    action(0x84, 0x06, "RECEIVE COPY DATA(LID4)", "SPC-4", "", NO_COPY),
    action(0x84, 0x07, "RECEIVE ROD TOKEN INFORMATION", "SPC-4", "", NO_TOKENS),
    action(0x84, 0x08, "REPORT ALL ROD TOKENS", "SPC-4", "", NO_TOKENS),
    known(0x86, "ACCESS CONTROL IN", "SPC-3", "", "obsolete; initiator groups do it"),
    known(0x87, "ACCESS CONTROL OUT", "SPC-3", "", "obsolete; initiator groups do it"),
    known(0x88, "READ(16)", "SBC-3", FUA, ""),
    known(0x89, "COMPARE AND WRITE", "SBC-3", "", "no blocks are locked between commands"),
    known(0x8a, "WRITE(16)", "SBC-3", FUA, ""),
    known(0x8b, "ORWRITE(16)", "SBC-3", "", "no blocks are locked between commands"),
    known(0x8c, "READ ATTRIBUTE", "SPC-4", "", "no medium with a memory of its own"),
    known(0x8e, "WRITE AND VERIFY(16)", "SBC-3", "BYTCHK 00b and 01b", "WRITE, then VERIFY, do the same"),
    known(0x8f, "VERIFY(16)", "SBC-3", "BYTCHK 00b, 01b, 11b", ""),
    known(0x90, "PRE-FETCH(16)", "SBC-3", "", "no cache of our own to fetch into"),
    known(0x91, "SYNCHRONIZE CACHE(16)", "SBC-3", "flushes the whole device; SYNC_NV as without it", ""),
    known(0x93, "WRITE SAME(16)", "SBC-3", "at most 64 MiB; NDOB; no anchoring", ""),
    action(0x94, 0x04, "RESET WRITE POINTER", "ZBC", "", ZONED),
    action(0x95, 0x00, "REPORT ZONES", "ZBC", "", ZONED),
    known(0x9b, "READ BUFFER(16)", "SPC-5", "", "the buffer is small enough for READ BUFFER(10)"),
    known(0x9c, "WRITE ATOMIC(16)", "SBC-4", "", "a write may be torn by a loss of power"),
    action(0x9e, 0x10, "READ CAPACITY(16)", "SBC-3", "", ""),
    action(0x9e, 0x11, "READ LONG(16)", "SBC-3", "", "no error correction bytes to show"),
    action(0x9e, 0x12, "GET LBA STATUS(16)", "SBC-3", "at most 256 descriptors an answer", ""),
    action(0x9e, 0x13, "REPORT REFERRALS", "SBC-3", "", "every path reaches every block"),
    action(0x9e, 0x17, "GET PHYSICAL ELEMENT STATUS", "SBC-4", "", "no elements to depopulate"),
    action(0x9f, 0x11, "WRITE LONG(16)", "SBC-3", "", "no error correction bytes to write"),
    known(0xa0, "REPORT LUNS", "SPC-4", "SELECT REPORT 00h, 01h, 02h", ""),
    known(0xa2, "SECURITY PROTOCOL IN", "SPC-4", "", "no security protocols"),
    action(0xa3, 0x05, "REPORT IDENTIFYING INFORMATION", "SPC-4", "", "the serial number and the designators identify the unit"),
    action(0xa3, 0x0a, "REPORT TARGET PORT GROUPS", "SPC-4", "", NO_ALUA),
    action(0xa3, 0x0b, "REPORT ALIASES", "SPC-4", "", NO_ALIASES),
    action(0xa3, 0x0c, "REPORT SUPPORTED OPERATION CODES", "SPC-4", "all reporting options but 11b of SPC-5, timeouts", ""),
    action(0xa3, 0x0d, "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", "SPC-4", "", "the functions are named below"),
    action(0xa3, 0x0e, "REPORT PRIORITY", "SPC-4", "", "commands have no priority"),
    action(0xa3, 0x0f, "REPORT TIMESTAMP", "SPC-4", "", "no clock to ask"),
    action(0xa4, 0x06, "SET IDENTIFYING INFORMATION", "SPC-4", "", "the serial number and the designators identify the unit"),
    action(0xa4, 0x0a, "SET TARGET PORT GROUPS", "SPC-4", "where explicit changes are allowed", NO_ALUA),
    action(0xa4, 0x0b, "CHANGE ALIASES", "SPC-4", "", NO_ALIASES),
    action(0xa4, 0x0e, "SET PRIORITY", "SPC-4", "", "commands have no priority"),
    action(0xa4, 0x0f, "SET TIMESTAMP", "SPC-4", "", "no clock to set"),
    known(0xa8, "READ(12)", "SBC-3", FUA, ""),
    known(0xaa, "WRITE(12)", "SBC-3", FUA, ""),
    known(0xac, "GET PERFORMANCE", "MMC-6", "", NO_CD),
    known(0xad, "READ DISC STRUCTURE", "MMC-6", "", NO_CD),
    known(0xae, "WRITE AND VERIFY(12)", "SBC-3", "BYTCHK 00b and 01b", "WRITE, then VERIFY, do the same"),
    known(0xaf, "VERIFY(12)", "SBC-3", "BYTCHK 00b, 01b, 11b", ""),
    known(0xb5, "SECURITY PROTOCOL OUT", "SPC-4", "", "no security protocols"),
    known(0xb7, "READ DEFECT DATA(12)", "SBC-3", "", NO_DEFECTS),
    known(0xb9, "READ CD MSF", "MMC-6", "", NO_CD),
    known(0xbb, "SET CD SPEED", "MMC-6", "", NO_CD),
    known(0xbd, "MECHANISM STATUS", "MMC-6", "", NO_CD),
    known(0xbe, "READ CD", "MMC-6", "", NO_CD),
];
