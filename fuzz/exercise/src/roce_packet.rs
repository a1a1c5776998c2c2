//! What must hold for any datagram to RoCE's port.

use std::net::SocketAddr;

use fabric::roce::wire::{Flow, Headers};

/// Tries `bytes` as a datagram with an ICRC, over both IP versions, and as a packet without.
pub fn run(bytes: &[u8]) {
    for ends in ["192.0.2.1:4791", "[2001:db8::1]:4791"] {
        let end: SocketAddr = ends.parse().expect("an address and a port");
        let flow = Flow::new(end, end);
        if flow.verify(Some(0), bytes) {
            assert!(flow.verify(None, bytes), "the identification is 0");
        }
    }
    let Ok((headers, payload)) = Headers::parse(bytes) else { return };
    assert!(headers.len() + payload.len() <= bytes.len() || headers.opcode.has_atomic());
    assert!(!headers.to_string().contains('\n'));
    if headers.opcode.has_atomic() {
        return; // never sent
    }
    let mut again = vec![0; headers.len().max(fabric::roce::wire::HEADER_MAX)];
    let len = headers.emit(&mut again);
    again.truncate(len);
    again.extend_from_slice(payload);
    again.resize(again.len() + usize::from(headers.pad), 0);
    assert_eq!(Headers::parse(&again), Ok((headers, payload)));
}
