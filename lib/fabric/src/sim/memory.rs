//! Memory of the initiators' hosts, as their RDMA devices offer it: keys, addresses, bounds and rights.

use std::collections::VecDeque;

use super::random::Random;

/// What the target may do with registered memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// RDMA READ.
    pub read: bool,
    /// RDMA WRITE.
    pub write: bool,
}

impl Access {
    /// READ and WRITE, as `ib_srp` registers everything.
    pub const BOTH: Access = Access { read: true, write: true };
    /// READ only.
    pub const READ: Access = Access { read: true, write: false };
    /// WRITE only.
    pub const WRITE: Access = Access { read: false, write: true };
}

/// Memory of one [`super::Host`] that the target can reach. It is a name: copying it does not copy the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registration {
    /// The key to give to the target.
    pub rkey: u32,
    /// Address of the first byte on the wire: not zero-based, mostly not aligned.
    pub addr: u64,
    /// Length in bytes.
    pub len: u32,
    index: u32,
}

/// All registered memory of all hosts. A key is the place in the table and a generation in its low 8 bits, as with real
/// devices, so a stale key is recognised until its place has been re-used 256 times; the place that was
/// free for longest is taken first.
#[derive(Debug, Default)]
pub(super) struct Memory {
    entries: Vec<Entry>,
    free: VecDeque<u32>,
}

#[derive(Debug)]
struct Entry {
    host: u32,
    generation: u8,
    addr: u64,
    bytes: Vec<u8>,
    access: Access,
    /// The key works.
    valid: bool,
}

impl Memory {
    pub(super) fn register(&mut self, host: u32, len: u32, access: Access, random: &mut Random) -> Registration {
        let addr = draw_address(random);
        let bytes = vec![0; len as usize];
        let index = match self.free.pop_front() {
            Some(index) => {
                let entry = &mut self.entries[index as usize];
                let generation = entry.generation.wrapping_add(1);
                *entry = Entry { host, generation, addr, bytes, access, valid: true };
                index
            }
            None => {
                let index = u32::try_from(self.entries.len()).expect("fewer registrations than keys");
                let generation = random.next() as u8;
                self.entries.push(Entry { host, generation, addr, bytes, access, valid: true });
                index
            }
        };
        self.registration(index)
    }

    /// Makes the key invalid; the memory stays.
    pub(super) fn invalidate(&mut self, host: u32, registration: &Registration) {
        self.own(host, registration).valid = false;
    }

    /// The same memory under a new key and address, as fast registration does it.
    pub(super) fn renew(&mut self, host: u32, registration: &Registration, random: &mut Random) -> Registration {
        let addr = draw_address(random);
        let entry = self.own(host, registration);
        entry.generation = entry.generation.wrapping_add(1);
        entry.addr = addr;
        entry.valid = true;
        self.registration(registration.index)
    }

    /// Gives the memory up.
    pub(super) fn deregister(&mut self, host: u32, registration: &Registration) {
        let entry = self.own(host, registration);
        entry.valid = false;
        entry.bytes = Vec::new();
        entry.host = u32::MAX;
        self.free.push_back(registration.index);
    }

    /// The owner's own view, whatever the key's state.
    pub(super) fn bytes(&mut self, host: u32, registration: &Registration) -> &mut [u8] {
        &mut self.own(host, registration).bytes
    }

    /// The target's view: `len` bytes at `addr` if key, host, rights and bounds allow it; otherwise what is wrong.
    pub(super) fn reach(
        &mut self,
        host: u32,
        rkey: u32,
        addr: u64,
        len: u64,
        write: bool,
    ) -> Result<&mut [u8], &'static str> {
        let place = ((rkey >> 8) as usize).checked_sub(1).ok_or("no such key")?;
        let entry = self.entries.get_mut(place).ok_or("no such key")?;
        if entry.generation != rkey as u8 || entry.host == u32::MAX {
            return Err("the key is stale: its memory was registered anew or given up");
        }
        if entry.host != host {
            return Err("the key belongs to another host");
        }
        if !entry.valid {
            return Err("the key was invalidated: the initiator has done with this memory");
        }
        if !(if write { entry.access.write } else { entry.access.read }) {
            return Err("the key does not give this right");
        }
        let start = addr.checked_sub(entry.addr).ok_or("the address is below the registered memory")?;
        let end = start.checked_add(len).ok_or("address and length overflow")?;
        if end > entry.bytes.len() as u64 {
            return Err("the access ends past the registered memory");
        }
        Ok(&mut entry.bytes[start as usize..end as usize])
    }

    fn registration(&self, index: u32) -> Registration {
        let entry = &self.entries[index as usize];
        let rkey = ((index + 1) << 8) | u32::from(entry.generation);
        Registration { rkey, addr: entry.addr, len: entry.bytes.len() as u32, index }
    }

    fn own(&mut self, host: u32, registration: &Registration) -> &mut Entry {
        let entry = &mut self.entries[registration.index as usize];
        assert_eq!(entry.host, host, "a test used memory of another host, or memory that it gave up: {registration:?}");
        entry
    }
}

/// Somewhere in the half of the address space that kernels use, at any byte: so a target which takes addresses for offsets, rounds
/// them or cuts them to 32 or 48 bits is found out.
fn draw_address(random: &mut Random) -> u64 {
    0xffff_8880_0000_0000 + random.below(1 << 38)
}
