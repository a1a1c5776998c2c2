//! The memory descriptor: 16 bytes that name a piece of the initiator's memory (SRP r16a, 5.4.2; `srp_direct_buf` in Linux).

use super::field::Field;

/// Size of a descriptor in bytes, in an IU and in a table in the initiator's memory.
pub const DESCRIPTOR_LEN: u32 = 16;

mod field {
    use super::Field;
    pub const VA: Field<0, 8> = Field;
    pub const RKEY: Field<8, 4> = Field;
    pub const LEN: Field<12, 4> = Field;
}

/// A piece of the initiator's memory.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Descriptor {
    /// Its address, to be used unchanged as the remote address: neither zero-based nor page-aligned.
    pub va: u64,
    /// Its memory handle: the remote key.
    pub rkey: u32,
    /// Its length in bytes. 0 is legal in a list: skip it.
    pub len: u32,
}

impl Descriptor {
    /// Reads a descriptor; any 16 bytes are one.
    #[inline]
    pub fn parse(bytes: &[u8; DESCRIPTOR_LEN as usize]) -> Descriptor {
        Descriptor { va: field::VA.read(bytes), rkey: field::RKEY.read(bytes), len: field::LEN.read(bytes) }
    }

    /// Writes it.
    #[inline]
    pub fn emit(&self) -> [u8; DESCRIPTOR_LEN as usize] {
        let mut bytes = [0; DESCRIPTOR_LEN as usize];
        field::VA.write(&mut bytes, self.va);
        field::RKEY.write(&mut bytes, self.rkey);
        field::LEN.write(&mut bytes, self.len);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bytes() {
        let bytes = [0xff, 0xff, 0x88, 0x81, 0x02, 0x03, 0x42, 0x80, 0, 0, 0x1a, 0x2b, 0, 0, 0x10, 0];
        let descriptor = Descriptor::parse(&bytes);
        assert_eq!(descriptor, Descriptor { va: 0xffff_8881_0203_4280, rkey: 0x1a2b, len: 4096 });
        assert_eq!(descriptor.emit(), bytes);
    }

    proptest! {
        #[test]
        fn emit_is_the_inverse_of_parse(bytes: [u8; 16]) {
            prop_assert_eq!(Descriptor::parse(&bytes).emit(), bytes);
        }
    }
}
