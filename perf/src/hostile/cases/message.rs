//! Requests as bytes, written from SRP's layouts (T10 SRP r16a, 6.5 to 6.8): here every field can be wrong.

/// A direct descriptor.
pub fn descriptor(va: u64, key: u32, len: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&va.to_be_bytes());
    bytes[8..12].copy_from_slice(&key.to_be_bytes());
    bytes[12..].copy_from_slice(&len.to_be_bytes());
    bytes
}

/// SRP_CMD without data.
pub fn command(tag: [u8; 8], lun: [u8; 8], cdb: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 48];
    bytes[0] = 0x02;
    bytes[8..16].copy_from_slice(&tag);
    bytes[20..28].copy_from_slice(&lun);
    bytes[32..32 + cdb.len()].copy_from_slice(cdb);
    bytes
}

/// The command with these formats (data-out, data-in), counts, and bytes behind the CDB.
pub fn with_buffer(mut command: Vec<u8>, formats: u8, counts: [u8; 2], rest: &[u8]) -> Vec<u8> {
    command[5] = formats;
    command[6..8].copy_from_slice(&counts);
    command.extend_from_slice(rest);
    command
}

/// READ(10).
pub fn read_10(lba: u32, blocks: u16) -> [u8; 10] {
    ten(0x28, lba, blocks)
}

/// WRITE(10).
pub fn write_10(lba: u32, blocks: u16) -> [u8; 10] {
    ten(0x2a, lba, blocks)
}

fn ten(opcode: u8, lba: u32, blocks: u16) -> [u8; 10] {
    let mut cdb = [0; 10];
    cdb[0] = opcode;
    cdb[2..6].copy_from_slice(&lba.to_be_bytes());
    cdb[7..9].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

/// SRP_TSK_MGMT.
pub fn task_management(tag: [u8; 8], lun: [u8; 8], function: u8, task_tag: [u8; 8]) -> Vec<u8> {
    let mut bytes = vec![0; 48];
    bytes[0] = 0x01;
    bytes[8..16].copy_from_slice(&tag);
    bytes[20..28].copy_from_slice(&lun);
    bytes[30] = function;
    bytes[32..40].copy_from_slice(&task_tag);
    bytes
}
