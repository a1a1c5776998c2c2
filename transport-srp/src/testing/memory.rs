//! Memory of a command: registered for it, described to the target, taken back with the response.

use fabric::sim::{Access, Host, Registration};

use super::request::{Data, Form};
use super::wire::{Buffer, Descriptor};

/// What memory for data from the target holds before.
pub(super) const UNTOUCHED: u8 = 0xa5;

/// Memory of a command.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pieces: Vec<Registration>,
    table: Option<Registration>,
    /// Length of the buffer as the request tells it, for data from the target and to it.
    pub(super) len_in: u32,
    pub(super) len_out: u32,
}

impl Memory {
    /// Registers memory for a data buffer and describes it: for data to the target, and from it.
    pub(super) fn offer(host: &Host, data: &Data) -> (Memory, Buffer, Buffer) {
        match data {
            Data::None => (Memory::default(), Buffer::None, Buffer::None),
            Data::In { len, form } => {
                let (mut memory, buffer) = Memory::describe(host, *len, form, Access::WRITE);
                memory.len_in = *len;
                for piece in &memory.pieces {
                    host.write(piece, 0, &vec![UNTOUCHED; piece.len as usize]);
                }
                (memory, Buffer::None, buffer)
            }
            Data::Out { bytes, form: Form::Immediate } => {
                let memory = Memory { len_out: bytes.len() as u32, ..Memory::default() };
                (memory, Buffer::Immediate(bytes.clone()), Buffer::None)
            }
            Data::Out { bytes, form } => {
                let len = u32::try_from(bytes.len()).expect("a data buffer is shorter than 4 GiB");
                let (mut memory, buffer) = Memory::describe(host, len, form, Access::READ);
                memory.len_out = len;
                let mut rest = bytes.as_slice();
                for piece in &memory.pieces {
                    let (first, behind) = rest.split_at(rest.len().min(piece.len as usize));
                    host.write(piece, 0, first);
                    rest = behind;
                }
                (memory, buffer, Buffer::None)
            }
        }
    }

    fn describe(host: &Host, len: u32, form: &Form, access: Access) -> (Memory, Buffer) {
        let descriptor = |memory: &Registration| Descriptor { addr: memory.addr, rkey: memory.rkey, len: memory.len };
        match form {
            Form::Direct => {
                let piece = host.register(len, access);
                (Memory { pieces: vec![piece], ..Memory::default() }, Buffer::Direct(descriptor(&piece)))
            }
            Form::Indirect { pieces, inline } => {
                let pieces: Vec<_> = pieces.iter().map(|&len| host.register(len, access)).collect();
                let entries: Vec<_> = pieces.iter().map(descriptor).collect();
                let bytes: Vec<u8> = entries.iter().flat_map(Descriptor::encode).collect();
                let table = host.register(bytes.len() as u32, Access::READ);
                host.write(&table, 0, &bytes);
                let inline = entries[..entries.len().min(usize::from(*inline))].to_vec();
                let buffer = Buffer::Indirect { table: descriptor(&table), len, inline };
                (Memory { pieces, table: Some(table), ..Memory::default() }, buffer)
            }
            Form::Immediate => panic!("immediate data go to the target only"),
        }
    }

    /// Takes the memory back, so that any later access of the target is an error. Returns what it holds.
    pub(super) fn take_back(&self, host: &Host) -> Vec<u8> {
        let mut bytes = vec![0; self.pieces.iter().map(|piece| piece.len as usize).sum()];
        let mut rest = bytes.as_mut_slice();
        for piece in &self.pieces {
            let (first, behind) = rest.split_at_mut(piece.len as usize);
            host.read(piece, 0, first);
            host.deregister(*piece);
            rest = behind;
        }
        if let Some(table) = self.table {
            host.deregister(table);
        }
        bytes
    }
}
