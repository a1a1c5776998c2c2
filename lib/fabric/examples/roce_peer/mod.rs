//! One connection, made of an endpoint, packet I/O, and nothing else of ours: the two ends learn of each other elsewhere,
//! without a connection manager.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};

use fabric::roce::exposed::Exposed;
use fabric::roce::packet_io::{self, PacketIo, Path};
use fabric::roce::rc::{Endpoint, EndpointOptions, Transmit};
use fabric::roce::wire::{Gid, Headers, Psn, UDP_PORT};
use fabric::{Completion, QpIndex};

/// A reactor's queue of a device.
const REACTOR: usize = 1;

/// One local address, and what all connections have in common.
pub struct Device {
    address: IpAddr,
    /// Our queue of the device; the other one is a connection manager's.
    io: PacketIo,
    pub exposed: Exposed,
    next_qpn: u32,
}

/// What each end tells the other about itself.
pub struct End {
    /// Number of its queue pair.
    pub qpn: u32,
    /// First PSN that it sends.
    pub psn: u32,
    /// Its address.
    pub gid: Gid,
}

/// Our end of a connection.
pub struct Peer {
    pub endpoint: Endpoint,
    qpn: u32,
    path: Path,
}

impl Device {
    pub fn open(address: IpAddr) -> io::Result<Device> {
        let mut queues = packet_io::open(address, 0, 2)?;
        Ok(Device {
            address,
            io: queues.swap_remove(REACTOR),
            exposed: Exposed::with_capacity(random(), 0),
            next_qpn: (random() as u32 & 0x7fff) << 8 | 0x100 | REACTOR as u32, // the low byte leads packets to the queue
        })
    }

    /// An end for the next connection: another number each time, lest packets of the last one be taken for its own.
    pub fn new_end(&mut self) -> End {
        let end = End { qpn: self.next_qpn, psn: random() as u32 & 0xff_ffff, gid: Gid::from(self.address) };
        self.next_qpn = (self.next_qpn + 0x100) & 0xff_ffff;
        end
    }
}

impl Peer {
    /// `messages`: how many can be under way in each direction. `reads_served`: the same for READs of the peer.
    pub fn new(own: &End, peer: &End, mtu: u32, messages: u32, reads_served: u8) -> Peer {
        let endpoint = Endpoint::new(&EndpointOptions {
            local_qpn: own.qpn,
            remote_qpn: peer.qpn,
            send_psn: Psn::new(own.psn),
            receive_psn: Psn::new(peer.psn),
            mtu,
            reads_max: 1,
            reads_served,
            ack_timeout: 14, // 67 ms
            retry_count: 7,
            rnr_retry: 7,
            receives: messages,
            sends: messages,
        });
        let path =
            Path { local: SocketAddr::new(own.gid.ip(), UDP_PORT), peer: SocketAddr::new(peer.gid.ip(), UDP_PORT) };
        Peer { endpoint, qpn: own.qpn, path }
    }

    /// One round of what a reactor does, but for what the user does with the completions: packets in, completions out, packets
    /// out. What the user posts leaves in the next round. Returns how many packets came in.
    pub fn poll(&mut self, now_ns: u64, device: &mut Device, completions: &mut Vec<Completion>) -> usize {
        let Peer { endpoint, qpn, path } = self;
        let Device { io, exposed, .. } = device;
        let packets = io.receive(&mut |arrived| {
            if let Ok((headers, payload)) = Headers::parse(arrived.packet)
                && headers.dest_qp == *qpn
                && arrived.path == *path
            {
                endpoint.on_packet(now_ns, &headers, payload, arrived.congested, exposed);
            }
        });
        endpoint.complete(QpIndex(0), usize::MAX, &mut |completion| completions.push(completion));
        // True if it wants to go on, which it can in the next round.
        endpoint.transmit(now_ns, 0, exposed, &mut Out { io, path });
        io.flush();
        packets
    }
}

/// Sends to one peer.
struct Out<'a> {
    io: &'a mut PacketIo,
    path: &'a Path,
}

impl Transmit for Out<'_> {
    fn send(&mut self, headers: &Headers, payload: &[u8]) -> bool {
        self.io.queue(self.path, headers, payload).is_ok()
    }
}

/// As good as random: what the standard library seeds its hash tables with.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}
