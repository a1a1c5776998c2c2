//! What must hold for any datagram to queue pair 1.

use fabric::roce::wire::cm::{CmMad, Message};
use fabric::roce::wire::{MAD_LEN, RdmaCmHeader};

/// Tries `bytes` as a message of the connection manager, and its private data as RDMA/CM's.
pub fn run(bytes: &[u8]) {
    let mad = match CmMad::parse(bytes) {
        Ok(mad) => mad,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(!mad.to_string().contains('\n'));
    let mut again = [0; MAD_LEN];
    mad.emit(&mut again);
    assert_eq!(CmMad::parse(&again), Ok(mad.clone()));
    let Message::Req(req) = mad.message else { return };
    if let Ok((header, consumers)) = RdmaCmHeader::parse(&req.private_data) {
        let mut again = [0; RdmaCmHeader::LEN];
        header.emit(&mut again);
        assert_eq!(RdmaCmHeader::parse(&again), Ok((header, &[][..])));
        assert_eq!(consumers.len(), 56);
    }
}
