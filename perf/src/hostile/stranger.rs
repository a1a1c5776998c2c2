//! Somebody with a UDP socket: asks for connections over RoCE, and does not care what is said to that.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use fabric::roce::cm::{Cm, CmId, CmOptions, CmRequest};
use fabric::roce::packet_io::Path;
use fabric::roce::wire::{Deth, Flow, GSI_QKEY, GSI_QP, Headers, Opcode, Psn, UDP_PORT};

/// One address of it.
pub struct Stranger {
    socket: UdpSocket,
    path: Path,
    port: u16,
    cm: Cm,
    asked: Vec<CmId>,
}

impl Stranger {
    /// At an address of its own.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn new(local: IpAddr, to: SocketAddr) -> std::io::Result<Stranger> {
        let path = Path { local: SocketAddr::new(local, UDP_PORT), peer: SocketAddr::new(to.ip(), UDP_PORT) };
        let socket = UdpSocket::bind(path.local)?;
        let cm = Cm::new(CmOptions { node_guid: 0xbad, seed: 0xbad, half_open_max: 1 });
        Ok(Stranger { socket, path, port: to.port(), cm, asked: Vec::new() })
    }

    /// Asks for a connection with this private data, once.
    pub fn ask(&mut self, private_data: &[u8]) {
        let number = self.asked.len() as u32;
        let request = CmRequest {
            port: self.port,
            source_port: UDP_PORT,
            remote_qpn: 0x1000 + number,
            passive_sends_from: Psn::new(number),
            responder_resources: 4,
            initiator_depth: 0,
            mtu: 1024,
            ack_timeout: 17,
            retry_count: 7,
            rnr_retry: 7,
            flow_control: true,
            private_data: private_data.iter().copied().collect(),
        };
        self.asked.push(self.cm.connect(0, &self.path, request));
        self.say();
    }

    /// Wants none of them any more.
    pub fn withdraw(&mut self) {
        for id in std::mem::take(&mut self.asked) {
            self.cm.destroy(0, id);
            self.say();
        }
    }

    fn say(&mut self) {
        while let Some((_, mad)) = self.cm.next_mad(0) {
            let deth = Some(Deth { qkey: GSI_QKEY, source_qp: GSI_QP });
            let headers = Headers { deth, ..Headers::new(Opcode::UdSendOnly, GSI_QP, Psn::default()) };
            let mut packet = [0; 512];
            let at = headers.emit(&mut packet);
            let end = at + mad.len();
            packet[at..end].copy_from_slice(&mad);
            let icrc = Flow::new(self.path.local, self.path.peer).icrc(0, &packet[..end]);
            packet[end..end + 4].copy_from_slice(&icrc.to_le_bytes());
            // What the network does not take is lost, as it may be.
            let _ = self.socket.send_to(&packet[..end + 4], self.path.peer);
        }
    }
}
