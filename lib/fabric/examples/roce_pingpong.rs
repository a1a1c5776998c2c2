//! The other end of libibverbs' `ibv_rc_pingpong`: an endpoint and packet I/O of ours, and nothing else. A small example of
//! how these two fit together, and, since the peer is a kernel's RDMA device, a test of them without a connection manager.
//!
//! ```text
//! roce_pingpong ADDRESS [MTU [ITERS]]                          one client at a time, until it is killed
//! ibv_rc_pingpong -g GID_INDEX [-m MTU] [-n ITERS] ADDRESS     on another machine; GID_INDEX: its RoCEv2 GID
//! ```
//! The two tell each other their queue pair, first PSN and address over TCP. Then the client SENDs a message, we answer with
//! one of the same length, and so on, ITERS times. The client sends from the buffer that it receives into: we answer with
//! bytes that differ from round to round, and see whether they come back.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fabric::roce::exposed::Exposed;
use fabric::roce::packet_io::{self, Arrived, PacketIo, Path};
use fabric::roce::rc::{Endpoint, EndpointOptions, Transmit};
use fabric::roce::wire::{Gid, Headers, Psn, UDP_PORT};
use fabric::{Completion, Deliver, QpIndex, WorkError};
use mem::{Buf, IoBuf, Pool};

/// Longest message that we have room for.
const MESSAGE_MAX: usize = 1 << 20;

/// Messages that may be under way at once, in both directions together. The client has one; its next one can overtake the
/// acknowledgement of ours.
const MESSAGES: u32 = 2;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = arguments.first().and_then(|text| text.parse().ok());
    let mtu = arguments.get(1).map_or(Some(1024), |text| text.parse().ok()); // the client's defaults
    let iterations = arguments.get(2).map_or(Some(1000), |text| text.parse().ok());
    let (Some(address), Some(mtu @ (256 | 512 | 1024 | 2048 | 4096)), Some(iterations)) = (address, mtu, iterations)
    else {
        eprintln!("roce_pingpong ADDRESS [MTU [ITERS]]");
        std::process::exit(2);
    };
    let error = match Server::new(address, mtu, iterations) {
        Ok(server) => server.serve(),
        Err(error) => error,
    };
    eprintln!("{address}: {error}");
    std::process::exit(1);
}

struct Server {
    listener: TcpListener,
    /// Our queue of the device; the other one is a connection manager's.
    io: PacketIo,
    /// No memory is: a client that asks for some is refused.
    exposed: Exposed,
    pool: Pool,
    address: IpAddr,
    mtu: u32,
    iterations: u64,
    /// Number of the next queue pair: another one for each client, lest packets of the last one be taken for its own.
    next_qpn: u32,
    client: Option<Client>,
}

impl Server {
    fn new(address: IpAddr, mtu: u32, iterations: u64) -> io::Result<Server> {
        let mut queues = packet_io::open(address, 0, 2)?;
        let listener = TcpListener::bind((address, PORT))?;
        listener.set_nonblocking(true)?;
        eprintln!("listening at {address}");
        Ok(Server {
            listener,
            io: queues.remove(REACTOR),
            exposed: Exposed::with_capacity(random(), 0),
            pool: mem::testing::pool(MESSAGE_MAX, MESSAGES as usize),
            address,
            mtu,
            iterations,
            next_qpn: (random() as u32 & 0x7fff) << 8 | 0x100 | REACTOR as u32,
            client: None,
        })
    }

    fn serve(mut self) -> io::Error {
        let started = Instant::now();
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.meet(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                Err(error) => return error,
            }
            let now_ns = started.elapsed().as_nanos() as u64;
            if self.client.is_none() || !self.poll(now_ns) {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    /// A new client takes the place of the last one, whose end nothing tells us.
    fn meet(&mut self, stream: TcpStream) {
        self.client = None; // its buffers are needed
        match Client::meet(stream, self) {
            Ok(client) => self.client = Some(client),
            Err(error) => eprintln!("a client is not understood: {error}"),
        }
    }

    /// One round of what a reactor does: packets in, completions out, work in, packets out. Returns whether anything came.
    fn poll(&mut self, now_ns: u64) -> bool {
        let Server { io, exposed, client: Some(client), .. } = self else { return false };
        let packets = io.receive(&mut |arrived| client.take(now_ns, arrived, exposed));
        let mut completions = Vec::new();
        client.endpoint.complete(QpIndex(0), usize::MAX, &mut |completion| completions.push(completion));
        let outcome = completions.into_iter().try_for_each(|completion| client.on_completion(completion));
        // True if it wants to go on, which it can in the next round.
        client.endpoint.transmit(now_ns, 0, exposed, &mut Out { io, path: &client.path });
        io.flush();
        if let Err(why) = outcome {
            eprintln!("a client is given up after {} rounds: {why}", client.rounds);
            self.client = None;
        }
        packets > 0
    }
}

struct Client {
    endpoint: Endpoint,
    qpn: u32,
    path: Path,
    rounds: u64,
    iterations: u64,
}

impl Client {
    /// Exchanges addresses. Everything is ready when the client has ours.
    fn meet(mut stream: TcpStream, server: &mut Server) -> io::Result<Client> {
        stream.set_read_timeout(Some(Duration::from_secs(1)))?; // nothing else happens meanwhile
        let mut text = [0; End::TEXT_LEN];
        stream.read_exact(&mut text)?;
        let peer = End::parse(&text).ok_or_else(|| io::Error::other("that is no address"))?;
        let own = End { qpn: server.next_qpn, psn: random() as u32 & 0xff_ffff, gid: Gid::from(server.address) };
        server.next_qpn = (server.next_qpn + 0x100) & 0xff_ffff;
        let mut endpoint = Endpoint::new(&EndpointOptions {
            local_qpn: own.qpn,
            remote_qpn: peer.qpn,
            send_psn: Psn::new(own.psn),
            receive_psn: Psn::new(peer.psn),
            mtu: server.mtu,
            reads_max: 1,
            reads_served: 1,
            ack_timeout: 14, // 67 ms, as the client has it
            retry_count: 7,
            rnr_retry: 7,
            receives: MESSAGES,
            sends: MESSAGES,
        });
        while let Some(buf) = server.pool.get() {
            endpoint.post_receive(buf);
        }
        stream.write_all(&own.to_text())?;
        stream.read_exact(&mut [0; "done\0".len()])?;
        let path =
            Path { local: SocketAddr::new(server.address, UDP_PORT), peer: SocketAddr::new(peer.gid.ip(), UDP_PORT) };
        eprintln!("a client at {}", peer.gid);
        Ok(Client { endpoint, qpn: own.qpn, path, rounds: 0, iterations: server.iterations })
    }

    fn take(&mut self, now_ns: u64, arrived: Arrived<'_>, exposed: &mut Exposed) {
        if let Ok((headers, payload)) = Headers::parse(arrived.packet)
            && headers.dest_qp == self.qpn
            && arrived.path == self.path
        {
            self.endpoint.on_packet(now_ns, &headers, payload, arrived.congested, exposed);
        }
    }

    /// Two buffers go round: a message arrives in one, we answer from it, and receive into it again.
    fn on_completion(&mut self, completion: Completion) -> Result<(), String> {
        match completion {
            Completion::Received { buf, len, .. } => self.on_message(buf, len as usize),
            Completion::Delivered { message: Some(message), result: Ok(()), .. } => {
                self.endpoint.post_receive(message.into_buf());
                Ok(())
            }
            Completion::Delivered { result: Err(error), .. } => Err(error.to_string()),
            _ => Err(WorkError::Flushed.to_string()), // a receive
        }
    }

    fn on_message(&mut self, buf: Buf, len: usize) -> Result<(), String> {
        let mut message = IoBuf::new(buf, 0..len);
        let expected = |(at, byte): (usize, u8)| match self.rounds {
            0 => byte == 0x7b || byte == 0 && at % 4096 == 0, // the client's filling; with -c each page begins with 0
            rounds => byte == answer_byte(rounds - 1, at),
        };
        if let Some((at, byte)) = message.bytes().iter().copied().enumerate().find(|&found| !expected(found)) {
            return Err(format!("byte {at} of {len} is {byte:#04x}, and not what the client had to send"));
        }
        let bytes = message.bytes_mut().iter_mut().enumerate();
        bytes.for_each(|(at, byte)| *byte = answer_byte(self.rounds, at));
        let answer = Deliver { cookie: 0, data: None, segments: &[], message: Some(message), solicited: true };
        self.endpoint.deliver(answer);
        self.rounds += 1;
        if self.rounds == self.iterations {
            eprintln!("{} rounds of {len} bytes, every byte as it has to be", self.rounds);
        }
        Ok(())
    }
}

/// What is told about one end of the connection, as hexadecimal text: local identifier (InfiniBand's, here 0), queue pair
/// number, first PSN that it sends, GID; and a zero byte.
struct End {
    qpn: u32,
    psn: u32,
    gid: Gid,
}

impl End {
    const TEXT_LEN: usize = "0000:000000:000000:\0".len() + 32;

    fn parse(text: &[u8; End::TEXT_LEN]) -> Option<End> {
        let mut fields = std::str::from_utf8(text).ok()?.trim_end_matches('\0').split(':').skip(1);
        let mut number = || u128::from_str_radix(fields.next()?, 16).ok();
        let (qpn, psn, gid) = (number()?, number()?, number()?);
        let number24 = |number: u128| u32::try_from(number).ok().filter(|&number| number < 1 << 24);
        Some(End { qpn: number24(qpn)?, psn: number24(psn)?, gid: Gid(gid.to_be_bytes()) })
    }

    fn to_text(&self) -> Vec<u8> {
        format!("0000:{:06x}:{:06x}:{:032x}\0", self.qpn, self.psn, u128::from_be_bytes(self.gid.0)).into_bytes()
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

/// Differs from round to round, and from packet to packet.
fn answer_byte(round: u64, at: usize) -> u8 {
    ((at as u64 + round * 0x9e37).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// As good as random: what the standard library seeds its hash tables with.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// The client's default TCP port.
const PORT: u16 = 18515;

/// A reactor's queue of a device.
const REACTOR: usize = 1;
