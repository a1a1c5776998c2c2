//! Memory that peers may read and write by RDMA: what an initiator registers for its commands. A target exposes none.

use mem::IoBuf;

use crate::QpIndex;

/// What a peer may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// RDMA READ.
    pub read: bool,
    /// RDMA WRITE.
    pub write: bool,
}

/// How a peer names exposed memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RemoteMemory {
    /// Address of the first byte.
    pub addr: u64,
    /// Key.
    pub rkey: u32,
    /// Length in bytes.
    pub len: u32,
}

/// The access is refused: unknown key, another queue pair's, out of bounds, or without the right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessRefused;

/// The exposed memory of one poll group. Each key is good for one queue pair.
#[derive(Debug, Default)]
pub struct Exposed {}

#[allow(unused_variables, clippy::todo, missing_docs)]
impl Exposed {
    pub fn new(seed: u64) -> Exposed {
        todo!()
    }
    /// Exposes the part that `data` stands for, to the peer of one queue pair, until it is withdrawn.
    pub fn expose(&mut self, qp: QpIndex, data: IoBuf, access: Access) -> RemoteMemory {
        todo!()
    }
    /// Takes memory back; `None` if the key is not known.
    pub fn withdraw(&mut self, rkey: u32) -> Option<IoBuf> {
        todo!()
    }
    /// The bytes that a READ asks for.
    pub fn readable(&self, qp: QpIndex, rkey: u32, addr: u64, len: u32) -> Result<&[u8], AccessRefused> {
        todo!()
    }
    /// The bytes that a WRITE is for.
    pub fn writable(&mut self, qp: QpIndex, rkey: u32, addr: u64, len: u32) -> Result<&mut [u8], AccessRefused> {
        todo!()
    }
}
