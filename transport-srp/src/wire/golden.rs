//! IUs byte for byte as Linux' `ib_srp` (kernels 6.1 to 6.12) puts them on the wire, on a little-endian machine: its tags
//! are numbers in its own byte order, everything else is big-endian. Login with the default options on the second of
//! its channels or the first, as said. Written in hex, one field or group of fields a line.

/// The bytes of `hex`; comments go from `#` to the end of the line.
pub fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(str::chars)
        .filter(|character| !character.is_whitespace())
        .collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of digits: {digits}");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// First channel, RDMA/CM: action SINGLE, immediate data wanted at 68.
pub const LOGIN_RDMA_CM: &str = "
    0000000000000000                    # tag
    0006 80 00                          # direct and indirect; flags; opcode
    00002044                            # IUs of 8260 bytes
    0000000000000000 e81cf0fffe83cea9   # initiator_ext, low half of GID 0
    0002c90300001234 0002c90300005678   # id_ext, ioc_guid
    0044 000000000000                   # immediate data offset";

/// A further channel, InfiniBand CM: action MULTI.
pub const LOGIN_IB_CM: &str = "
    00 00000000000000 0000000000000000  # opcode, tag
    00002044 00000000
    0006 81 00 0044 0000                # formats, flags, immediate data offset
    0000000000000000 0002c903000f2e51
    0002c90300001234 0002c90300005678";

/// INQUIRY of 36 bytes to LUN 0: data-in, direct.
pub const INQUIRY: &str = "
    02 00 000000 01 00 00               # opcode, data-in direct
    0500010000000000                    # tag: queue 1, request 5
    00000000 0000000000000000           # LUN 0
    00 00 00 00                         # SIMPLE, no additional CDB
    12000000240000000000000000000000    # CDB
    ffff888102034280 00001a2b 00000024  # va, rkey, length";

/// WRITE(10) of one 512-byte block at LBA 8 to LUN 5: immediate data (cut to 8 bytes here; its length says 8).
pub const WRITE_IMMEDIATE: &str = "
    02 00 000000 30 00 00               # data-out immediate
    0600000000000000
    00000000 0005000000000000
    00 00 00 00
    2a000000000800000100000000000000
    00000008                            # length, byte 48
    00000000000000000000000000000000    # up to byte 68
    6461746120696e21";

/// WRITE(10) of 128 blocks: data-out, direct.
pub const WRITE_DIRECT: &str = "
    02 00 000000 10 00 00
    0700000000000000
    00000000 0000000000000000
    00 00 00 00
    2a000000010000008000000000000000
    0000000112340000 0000beef 00010000";

/// READ(10) of 16 blocks with never_register=1: indirect, the whole list of two inline.
pub const READ_INDIRECT: &str = "
    02 00 000000 02 00 02
    0800000000000000
    00000000 0000000000000000
    00 00 00 00
    28000000000000001000000000000000
    ffff888100aa0000 00000777 00000020  # the table: 2 descriptors
    00002000                            # total length
    0000000112345000 00000777 00001000
    00000001aaaab000 00000777 00001000";

/// WRITE(10) of 24 blocks with cmd_sg_entries=1, allow_ext_sg=1: indirect, one of three inline.
pub const WRITE_PARTIAL_TABLE: &str = "
    02 00 000000 20 01 00
    0900000000000000
    00000000 0000000000000000
    00 00 00 00
    2a000000000000001800000000000000
    ffff888100aa0000 00000777 00000030
    00003000
    0000000112345000 00000777 00001000";

/// TEST UNIT READY: no data.
pub const TEST_UNIT_READY: &str = "
    02 00 000000 00 00 00
    0a00000000000000
    00000000 0000000000000000
    00 00 00 00
    00000000000000000000000000000000";

/// ABORT TASK for LUN 5, on the channel of the command.
pub const ABORT_TASK: &str = "
    01 00 000000000000
    0100008000000000                    # tag: counter with bit 31 set
    00000000 0005000000000000
    0000 01 00                          # function
    0500010000000000                    # tag of the task
    0000000000000000";

/// LOGICAL UNIT RESET of LUN 5, always on the first channel.
pub const LUN_RESET: &str = "
    01 00 000000000000
    0200008000000000
    00000000 0005000000000000
    0000 08 00
    ffffffff00000000                    # no task
    0000000000000000";
