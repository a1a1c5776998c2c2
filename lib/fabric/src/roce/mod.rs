//! RoCEv2 in user space: RDMA over UDP, from any machine with an IP address, to any RoCEv2 peer (the kernel's soft-RoCE
//! included). No RDMA device, no kernel module, no privilege is needed.

pub mod cm;
pub mod exposed;
pub mod packet_io;
pub mod rc;
pub mod wire;
