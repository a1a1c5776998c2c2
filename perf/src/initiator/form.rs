//! How commands say where their data are: one descriptor, or a list of them (SRP r16a, 5.4).

use fabric::RemoteMemory;
use transport_srp::wire::cmd::COMMAND_LEN;
use transport_srp::wire::descriptor::DESCRIPTOR_LEN;
use transport_srp::wire::{BufferRepr, Descriptor};

/// How commands say where their data are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// One descriptor.
    Direct,
    /// A list of this many, all of it in the message, so that the target has no table to fetch.
    Indirect(u8),
    /// A list of this many, of which the first half is in the message: the target has to fetch the table from our memory.
    Partial(u8),
}

impl Form {
    /// Descriptors of each command.
    pub fn descriptors(self) -> usize {
        match self {
            Form::Direct => 1,
            Form::Indirect(count) | Form::Partial(count) => count.max(1).into(),
        }
    }

    /// Whether there is a table in memory.
    pub fn has_table(self) -> bool {
        matches!(self, Form::Partial(_))
    }

    /// Descriptors in the message.
    fn inline(self) -> usize {
        if self.has_table() { self.descriptors() / 2 } else { self.descriptors() }
    }

    /// Bytes of a command without data in it.
    pub fn message_bytes(self) -> usize {
        let list = if self == Form::Direct { 0 } else { INDIRECT_HEADER };
        COMMAND_LEN + list + self.inline() * DESCRIPTOR_LEN as usize
    }
}

/// An indirect list begins with the table's descriptor and the length of all data, in bytes.
const INDIRECT_HEADER: usize = DESCRIPTOR_LEN as usize + 4;

/// How the pieces of a command's memory are described. `table` is where they stand in our memory, if the form has that; without, the
/// table's own descriptor says its length and nothing else.
#[inline]
pub(super) fn describe(
    form: Form,
    total_len: u32,
    pieces: &[Descriptor],
    table: Option<RemoteMemory>,
) -> BufferRepr<'_> {
    if let (Form::Direct, [only]) = (form, pieces) {
        return BufferRepr::Direct(*only);
    }
    let (va, rkey) = table.map_or((0, 0), |table| (table.addr, table.rkey));
    let table = Descriptor { va, rkey, len: pieces.len() as u32 * DESCRIPTOR_LEN };
    BufferRepr::Indirect { table, total_len, inline: &pieces[..form.inline()] }
}

/// Cuts memory into pieces that differ by 1 byte at most.
#[inline]
pub(super) fn cut(memory: RemoteMemory, pieces: &mut [Descriptor]) {
    let (count, mut va) = (pieces.len() as u32, memory.addr);
    for (index, piece) in (0..).zip(pieces) {
        let len = memory.len / count + u32::from(index < memory.len % count);
        *piece = Descriptor { va, rkey: memory.rkey, len };
        va += u64::from(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: RemoteMemory = RemoteMemory { addr: 0x7f00_0000_1000, rkey: 9, len: 4096 };

    #[test]
    fn pieces_follow_each_other_and_add_up() {
        for count in [1, 2, 3, 12, 255] {
            let mut pieces = vec![Descriptor::default(); count];
            cut(MEMORY, &mut pieces);
            let mut va = MEMORY.addr;
            for piece in &pieces {
                assert_eq!((piece.va, piece.rkey), (va, 9));
                va += u64::from(piece.len);
            }
            assert_eq!(va, MEMORY.addr + u64::from(MEMORY.len), "{count} pieces");
        }
    }

    #[test]
    fn each_form_is_what_it_is_called() {
        let mut pieces = [Descriptor::default(); 5];
        cut(MEMORY, &mut pieces);
        let direct = describe(Form::Direct, 4096, &pieces[..1], None);
        assert!(matches!(direct, BufferRepr::Direct(d) if d == pieces[0]));
        let indirect = describe(Form::Indirect(5), 4096, &pieces, None);
        let table = Descriptor { va: 0, rkey: 0, len: 80 };
        assert!(
            matches!(indirect, BufferRepr::Indirect { table: t, total_len: 4096, inline } if t == table && inline == pieces)
        );
        let at = RemoteMemory { addr: 77, rkey: 8, len: 80 };
        let partial = describe(Form::Partial(5), 4096, &pieces, Some(at));
        let table = Descriptor { va: 77, rkey: 8, len: 80 };
        assert!(
            matches!(partial, BufferRepr::Indirect { table: t, inline, .. } if t == table && inline == &pieces[..2])
        );
    }

    #[test]
    fn a_message_is_as_long_as_it_says() {
        for form in [Form::Direct, Form::Indirect(2), Form::Indirect(255), Form::Partial(2), Form::Partial(9)] {
            let mut pieces = vec![Descriptor::default(); form.descriptors()];
            cut(MEMORY, &mut pieces);
            let command = transport_srp::wire::CommandRepr {
                tag: Default::default(),
                lun: [0; 8],
                task_attribute: transport_srp::wire::TaskAttribute::Simple,
                solicited: Default::default(),
                cdb: &[0; 16],
                data_out: BufferRepr::None,
                data_in: describe(form, 4096, &pieces, form.has_table().then_some(MEMORY)),
            };
            assert_eq!(command.emit(&mut [0; 8260]), form.message_bytes(), "{form:?}");
        }
    }
}
