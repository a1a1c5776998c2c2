//! READ and WRITE of more bytes than the adapter takes at once are done in pieces.

use std::ops::Range;

use bdev::Direction;

use crate::limits::{BLOCK_BYTES_MAX, BLOCK_BYTES_MIN};
use crate::wire::cdb::{BlockRange, Form, opcode::*};
use crate::wire::sense::Sense;

/// Which way a READ or WRITE that can be split moves data.
fn moves(operation: u8) -> Option<Direction> {
    match operation {
        READ_6 | READ_10 | READ_12 | READ_16 => Some(Direction::In),
        WRITE_6 | WRITE_10 | WRITE_12 | WRITE_16 => Some(Direction::Out),
        _ => None,
    }
}

/// How long the pieces of a command are: all its data for one that needs no splitting, or cannot be split.
///
/// # Errors
/// The CDB and the initiator's buffer do not belong together.
pub(super) fn piece_len(cdb: &[u8], direction: Direction, data_len: u32, limit: u32) -> Result<u32, Sense> {
    let (Some(moves), Some(form)) = (moves(cdb[0]), Form::of(cdb[0])) else { return Ok(data_len) };
    if direction != moves && direction != Direction::None {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    if data_len <= limit {
        return Ok(data_len);
    }
    // The size of a block follows from the buffer: a medium may have been changed for one with other blocks.
    let BlockRange { lba, blocks } = form.range(cdb);
    let length_at_fault = Sense::invalid_field_in_cdb(form.length_at(), None);
    let Some(block_size) = u64::from(data_len).checked_div(blocks) else { return Err(length_at_fault) };
    let legal = u64::from(BLOCK_BYTES_MIN)..=u64::from(BLOCK_BYTES_MAX.min(limit));
    if block_size * blocks != u64::from(data_len) || !legal.contains(&block_size) {
        return Err(length_at_fault);
    }
    // Each piece has an address of its own, which must fit its field.
    match lba.checked_add(blocks - 1) {
        Some(last) if last <= lba_max(form) => Ok(limit / block_size as u32 * block_size as u32),
        _ => Err(Sense::LBA_OUT_OF_RANGE),
    }
}

fn lba_max(form: Form) -> u64 {
    match form {
        Form::Six => 0x1f_ffff,
        Form::Ten | Form::Twelve => u64::from(u32::MAX),
        Form::Sixteen | Form::ThirtyTwo => u64::MAX,
    }
}

/// Makes a CDB that was found fit for splitting, and that moves `data_len` bytes in all, one for a piece of them.
pub(super) fn narrow(cdb: &mut [u8], data_len: u32, piece: &Range<usize>) {
    let Some(form) = Form::of(cdb[0]) else { return };
    let BlockRange { lba, blocks } = form.range(cdb);
    let block_size = u64::from(data_len) / blocks.max(1);
    let lba = lba + piece.start as u64 / block_size.max(1);
    let blocks = (piece.len() as u64 / block_size.max(1)) as u32;
    match form {
        Form::Six => {
            let [_, high, middle, low] = (lba as u32).to_be_bytes();
            cdb[1] = cdb[1] & 0xe0 | high & 0x1f;
            // 256 is written as 0.
            (cdb[2], cdb[3], cdb[4]) = (middle, low, blocks as u8);
        }
        Form::Ten => {
            cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
            cdb[7..9].copy_from_slice(&(blocks as u16).to_be_bytes());
        }
        Form::Twelve => {
            cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
            cdb[6..10].copy_from_slice(&blocks.to_be_bytes());
        }
        Form::ThirtyTwo => {
            cdb[12..20].copy_from_slice(&lba.to_be_bytes());
            cdb[28..32].copy_from_slice(&blocks.to_be_bytes());
        }
        Form::Sixteen => {
            cdb[2..10].copy_from_slice(&lba.to_be_bytes());
            cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cdb(form: Form, lba: u64, blocks: u32) -> Vec<u8> {
        let operation = match form {
            Form::Six => READ_6,
            Form::Ten => READ_10,
            Form::Twelve => READ_12,
            Form::Sixteen => READ_16,
            Form::ThirtyTwo => 0x7f,
        };
        let mut cdb = vec![0; form.cdb_bytes()];
        (cdb[0], cdb[1]) = (operation, if form == Form::Six { 0 } else { 0x18 });
        // One block of one byte: the address and length are what is given.
        let length = match form {
            Form::Six => 4..5,
            Form::Ten => 7..9,
            Form::Twelve => 6..10,
            Form::Sixteen => 10..14,
            Form::ThirtyTwo => 28..32,
        };
        let bytes = blocks.to_be_bytes();
        let width = length.len();
        cdb[length].copy_from_slice(&bytes[4 - width..]);
        match form {
            Form::Six => cdb[1..4].copy_from_slice(&(lba as u32).to_be_bytes()[1..]),
            Form::Ten | Form::Twelve => cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes()),
            Form::Sixteen => cdb[2..10].copy_from_slice(&lba.to_be_bytes()),
            Form::ThirtyTwo => cdb[12..20].copy_from_slice(&lba.to_be_bytes()),
        }
        cdb
    }

    proptest! {
        #[test]
        fn pieces_cover_the_command_and_nothing_else(
            form in prop::sample::select(vec![Form::Six, Form::Ten, Form::Twelve, Form::Sixteen]),
            lba in any::<u64>(),
            blocks in 1_u32..=256,
            block_size in prop::sample::select(vec![512_u32, 520, 2048, 4096]),
            limit in 4096_u32..200_000,
        ) {
            let lba = lba & lba_max(form) >> 1;
            let whole = cdb(form, lba, blocks % if form == Form::Six { 256 } else { u32::MAX });
            let data_len = blocks * block_size;
            let piece_len = piece_len(&whole, Direction::In, data_len, limit).expect("a legal command");
            prop_assert!(piece_len <= limit || piece_len == data_len);
            let (mut next, mut at) = (lba, 0);
            while at < data_len {
                let piece = at as usize..data_len.min(at + piece_len) as usize;
                prop_assert!(piece.len() <= limit as usize);
                let mut narrowed = whole.clone();
                if piece_len < data_len {
                    narrow(&mut narrowed, data_len, &piece);
                }
                let range = form.range(&narrowed);
                prop_assert_eq!((range.lba, range.blocks * u64::from(block_size)), (next, piece.len() as u64));
                prop_assert_eq!((narrowed[0], narrowed[1] & 0xe0), (whole[0], whole[1] & 0xe0));
                next += range.blocks;
                at += piece_len;
            }
            prop_assert_eq!(next, lba + u64::from(blocks));
        }

        #[test]
        fn no_cdb_and_no_buffer_make_it_panic(cdb in proptest::collection::vec(any::<u8>(), 16), data_len in any::<u32>(), limit in 4096_u32..1 << 20) {
            if let Ok(len) = piece_len(&cdb, Direction::In, data_len, limit)
                && len < data_len
            {
                prop_assert!(len > 0 && len <= limit);
                let mut narrowed = cdb.clone();
                narrow(&mut narrowed, data_len, &(0..len as usize));
            }
        }
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let refused = |cdb: &[u8], len| piece_len(cdb, Direction::In, len, 65536).expect_err("refused").asc;
        assert_eq!(refused(&cdb(Form::Ten, 0, 0), 65537), 0x24, "no blocks, but data");
        assert_eq!(refused(&cdb(Form::Ten, 0, 129), 131072), 0x24, "no whole blocks");
        assert_eq!(refused(&cdb(Form::Ten, 0, 1), 131072), 0x24, "a block larger than the limit");
        assert_eq!(refused(&cdb(Form::Ten, u64::from(u32::MAX), 256), 131072), 0x21, "past the last address");
        assert_eq!(refused(&cdb(Form::Six, 0x1f_ffff, 2), 131072), 0x21, "past the last of 21 bits");
        let write = [WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        assert!(piece_len(&write, Direction::In, 512, 65536).is_err(), "a WRITE takes no data-in");
        assert_eq!(piece_len(&write, Direction::None, 0, 65536), Ok(0));
        assert_eq!(piece_len(&[0x3c; 10], Direction::In, 1 << 20, 65536), Ok(1 << 20), "READ BUFFER is not split");
    }
}
