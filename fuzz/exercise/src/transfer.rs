//! What must hold of the way from data buffer descriptors to the segments of operations, whatever the descriptors say.

use fabric::{Segment, Segments};
use transport_srp::testing::parts::{Cursor, Descriptors, validate};
use transport_srp::wire::{self, DataBuffer, Descriptor, Iu};

use crate::script::Script;

/// Up to here each byte is looked at; beyond, pieces are.
const SMALL: u32 = 4096;

/// Tries `bytes` as a list of descriptors, as one that lies in an IU, and as one that ends within a descriptor.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (flags, total, local_base) = (script.byte(), script.number(), script.number());
    let (total, local_base) = if flags & 1 == 0 { (total % SMALL, local_base % SMALL) } else { (total, local_base) };
    let limits = [script.byte(), script.byte()];
    let mut list = script.take(usize::MAX).to_vec();
    if flags & 2 != 0 {
        // Lengths that small transfers end in the middle of.
        list.chunks_exact_mut(16).for_each(|descriptor| descriptor[12..15].fill(0));
    }
    let descriptors: Vec<Descriptor> =
        list.chunks_exact(16).map(|bytes| Descriptor::parse(bytes.try_into().expect("16 bytes"))).collect();
    check(&Descriptors::List(&list), &descriptors, total, local_base, limits);
    if let [first, ..] = descriptors[..] {
        check(&Descriptors::One(first), &[first], total, local_base, limits);
    }
    in_iu(&list, total, local_base, limits);
}

/// The descriptors that stand in a request.
fn in_iu(iu: &[u8], total: u32, local_base: u32, limits: [u8; 2]) {
    let Ok(Iu::Command(command)) = wire::parse(iu, Some(68)) else { return };
    for buffer in [command.data_out, command.data_in] {
        let source = Descriptors::in_iu(&buffer, iu);
        let (descriptors, total_len) = match buffer {
            DataBuffer::Direct(descriptor) => (vec![descriptor], descriptor.len),
            DataBuffer::Indirect(indirect) => {
                // Some may stand behind the table's end: they describe nothing.
                let count = usize::from(indirect.inline_count).min(indirect.table_count as usize);
                let list = &iu[usize::from(indirect.inline_offset)..][..count * 16];
                let parse = |bytes: &[u8]| Descriptor::parse(bytes.try_into().expect("16 bytes"));
                (list.chunks_exact(16).map(parse).collect(), indirect.total_len)
            }
            DataBuffer::None | DataBuffer::Immediate { .. } => (Vec::new(), 0),
        };
        check(&source, &descriptors, total.min(total_len), local_base, limits);
    }
}

fn check(source: &Descriptors<'_>, descriptors: &[Descriptor], total: u32, local_base: u32, limits: [u8; 2]) {
    let expected = expected(descriptors, total);
    let validated = validate(source, total);
    assert_eq!(validated.is_ok(), expected.is_some(), "{validated:?}");
    let planned = plan(source, total, local_base, limits);
    let fits = total == 0 || local_base.checked_add(total).is_some();
    let Some(segments) = planned else { return assert!(expected.is_none() || !fits) };
    let expected = expected.expect("what cannot be validated cannot be planned");
    assert!(fits);
    if total <= SMALL {
        assert_eq!(bytes_of(&segments, local_base), naive(descriptors, total));
    }
    let mut at = local_base;
    for segment in &segments {
        assert_eq!(segment.local_offset, at, "without a gap");
        assert!(segment.len > 0 && segment.len <= 1 << 20, "{segment:?}");
        at += segment.len;
    }
    let pieces = segments.iter().map(|segment| Piece {
        from: segment.remote_addr.into(),
        len: segment.len.into(),
        rkey: segment.rkey,
    });
    assert_eq!(joined(pieces), joined(expected.into_iter()));
}

/// Memory of the initiator. Wide enough for an end that no address has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Piece {
    from: u128,
    len: u128,
    rkey: u32,
}

/// What is used of each descriptor; `None` if they end too early, or beyond the address space.
fn expected(descriptors: &[Descriptor], total: u32) -> Option<Vec<Piece>> {
    let (mut missing, mut pieces) = (u128::from(total), Vec::new());
    for descriptor in descriptors {
        let len = missing.min(descriptor.len.into());
        if missing == 0 {
            break;
        }
        let piece = Piece { from: descriptor.va.into(), len, rkey: descriptor.rkey };
        if piece.from + len > 1 << 64 {
            return None;
        }
        pieces.push(piece);
        missing -= len;
    }
    (missing == 0).then_some(pieces)
}

/// Pieces that follow each other become one.
fn joined(pieces: impl Iterator<Item = Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces.filter(|piece| piece.len > 0) {
        match joined.last_mut() {
            Some(last) if last.from + last.len == piece.from && last.rkey == piece.rkey => last.len += piece.len,
            _ => joined.push(piece),
        }
    }
    joined
}

/// All segments, cut off in turn by the one limit and the other; `None` if there is an error, which changes nothing.
fn plan(source: &Descriptors<'_>, total: u32, local_base: u32, limits: [u8; 2]) -> Option<Vec<Segment>> {
    let (mut cursor, mut all) = (Cursor::new(total), Vec::new());
    for limit in limits.map(|limit| usize::from(limit).max(1)).into_iter().cycle() {
        if cursor.remaining() == 0 {
            break;
        }
        let (before, mut segments) = (cursor, Segments::new());
        if cursor.next(source, local_base, limit, &mut segments).is_err() {
            assert!(cursor == before && segments.is_empty(), "an error leaves all as it was");
            return None;
        }
        assert!(!segments.is_empty() && segments.len() <= limit, "{} of {limit}", segments.len());
        let moved: u32 = segments.iter().map(|segment| segment.len).sum();
        assert_eq!(before.remaining() - cursor.remaining(), moved);
        all.extend(segments);
    }
    Some(all)
}

/// Address and key of each byte of the local buffer.
fn bytes_of(segments: &[Segment], local_base: u32) -> Vec<(u64, u32)> {
    let mut bytes = Vec::new();
    for segment in segments {
        assert_eq!((segment.local_offset - local_base) as usize, bytes.len());
        bytes.extend((0..segment.len).map(|at| (segment.remote_addr + u64::from(at), segment.rkey)));
    }
    bytes
}

/// The same, found byte by byte.
fn naive(descriptors: &[Descriptor], total: u32) -> Vec<(u64, u32)> {
    let (mut bytes, mut index, mut offset) = (Vec::new(), 0, 0);
    while (bytes.len() as u32) < total {
        let descriptor: &Descriptor = &descriptors[index];
        if offset == descriptor.len {
            (index, offset) = (index + 1, 0);
            continue;
        }
        bytes.push((descriptor.va + u64::from(offset), descriptor.rkey));
        offset += 1;
    }
    bytes
}
