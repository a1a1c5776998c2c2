//! Bytes of RoCEv2 (IBTA vol. 1, annex A17) and of its connection manager (chapter 12, annex A11).
//!
//! Parsing never panics, whatever the bytes; what is wrong is an error value of its own. Emitting panics only on our
//! own bugs, which each function names.
//!
//! | bytes, outermost first | file |
//! |---|---|
//! | Ethernet, IP, UDP (raw frames only); ARP and neighbour discovery beside them | `frame.rs`, `neighbour.rs` |
//! | base and extended transport headers | `packet.rs`, `opcode.rs`, `psn.rs` |
//! | ICRC, the last 4 bytes | `icrc.rs` |
//! | datagrams of queue pair 1: MAD header, messages of the connection manager | `mad.rs`, `cm/` |
//! | private data of a REQ: RDMA/CM header | `rdma_cm.rs` |

#[cfg(test)]
mod capture;
pub mod cm;
mod frame;
mod icrc;
mod mad;
mod neighbour;
mod opcode;
mod packet;
mod psn;
mod rdma_cm;

pub use frame::{FRAME_HEADERS_MAX, FrameError, FrameHeaders, Mac};
pub use icrc::Flow;
pub use mad::{MAD_LEN, MadError, MadHeader};
pub use neighbour::{NEIGHBOUR_FRAME_MAX, Neighbour, NeighbourError, Station};
pub use opcode::Opcode;
pub use packet::*;
pub use psn::Psn;
pub use rdma_cm::*;

/// UDP port of RoCEv2 (IBTA annex A17.4.3).
pub const UDP_PORT: u16 = 4791;

/// Queue pair of the connection manager.
pub const GSI_QP: u32 = 1;

/// Key of that queue pair (IBTA vol. 1, 3.5.3).
pub const GSI_QKEY: u32 = 0x8001_0000;
