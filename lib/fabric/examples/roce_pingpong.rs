//! The other end of libibverbs' `ibv_rc_pingpong`. A small example of how endpoint and packet I/O fit together
//! (`roce_peer/`), and, since the peer is a kernel's RDMA device, a test of them without a connection manager.
//!
//! ```text
//! roce_pingpong ADDRESS [MTU [ITERS]]                          one client at a time, until it is killed
//! ibv_rc_pingpong -g GID_INDEX [-m MTU] [-n ITERS] ADDRESS     on another machine; GID_INDEX: its RoCEv2 GID
//! ```
//! The two tell each other over TCP who they are. Then the client SENDs a message, we answer with one of the same length,
//! and so on, ITERS times. The client sends from the buffer that it receives into: we answer with bytes that differ from
//! round to round, and see whether they come back.

mod roce_peer;

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fabric::roce::wire::Gid;
use fabric::{Completion, Deliver};
use mem::{Buf, IoBuf, Pool};
use roce_peer::{Device, End, Peer};

/// The client's default TCP port.
const PORT: u16 = 18515;

/// Longest message that we have room for.
const MESSAGE_MAX: usize = 1 << 20;

/// A client from which nothing has come for so long is told of, with what its connection counted.
const SILENCE: Duration = Duration::from_secs(3);

/// Messages that may be under way at once: the client has one, but its next one can overtake the acknowledgement of ours.
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
    device: Device,
    pool: Pool,
    mtu: u32,
    iterations: u64,
}

impl Server {
    fn new(address: IpAddr, mtu: u32, iterations: u64) -> io::Result<Server> {
        let device = Device::open(address)?;
        let pool = mem::testing::pool(MESSAGE_MAX, MESSAGES as usize);
        let listener = TcpListener::bind((address, PORT))?;
        listener.set_nonblocking(true)?;
        eprintln!("listening at {address}");
        Ok(Server { listener, device, pool, mtu, iterations })
    }

    fn serve(mut self) -> io::Error {
        let started = Instant::now();
        let mut client: Option<Client> = None;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    // A new client takes the place of the last one, whose end nothing tells us.
                    drop(client.take());
                    client =
                        self.meet(stream).inspect_err(|error| eprintln!("a client is not understood: {error}")).ok();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                Err(error) => return error,
            }
            let now_ns = started.elapsed().as_nanos() as u64;
            match client.as_mut().map(|client| client.poll(now_ns, &mut self.device)) {
                Some(Ok(packets)) if packets > 0 => (),
                Some(Err(why)) => {
                    eprintln!("a client is given up: {why}");
                    client = None;
                }
                _ => std::thread::sleep(Duration::from_micros(50)),
            }
        }
    }

    /// Exchanges addresses. Everything is ready when the client has ours.
    fn meet(&mut self, mut stream: TcpStream) -> io::Result<Client> {
        stream.set_read_timeout(Some(Duration::from_secs(1)))?; // nothing else happens meanwhile
        let mut text = [0; TEXT_LEN];
        stream.read_exact(&mut text)?;
        let end = parse(&text).ok_or_else(|| io::Error::other("that is no address"))?;
        let own = self.device.new_end();
        let mut peer = Peer::new(&own, &end, self.mtu, MESSAGES, 1);
        while let Some(buf) = self.pool.get() {
            peer.endpoint.post_receive(buf);
        }
        stream.write_all(to_text(&own).as_bytes())?;
        stream.read_exact(&mut [0; "done\0".len()])?;
        eprintln!("a client at {}", end.gid);
        Ok(Client { peer, rounds: 0, iterations: self.iterations, heard: Instant::now(), is_told: false })
    }
}

struct Client {
    peer: Peer,
    rounds: u64,
    iterations: u64,
    heard: Instant,
    is_told: bool,
}

impl Client {
    /// Returns how many packets came in, or why this client has to be given up.
    fn poll(&mut self, now_ns: u64, device: &mut Device) -> Result<usize, String> {
        let mut completions = Vec::new();
        let packets = self.peer.poll(now_ns, device, &mut completions);
        completions.into_iter().try_for_each(|completion| self.on_completion(completion))?;
        if packets > 0 {
            self.heard = Instant::now();
        } else if !self.is_told && self.rounds < self.iterations && self.heard.elapsed() > SILENCE {
            self.is_told = true;
            eprintln!("silence after {} rounds; {:?}", self.rounds, self.peer.endpoint.counters());
        }
        Ok(packets)
    }

    /// Two buffers go round: a message arrives in one, we answer from it, and receive into it again.
    fn on_completion(&mut self, completion: Completion) -> Result<(), String> {
        match completion {
            Completion::Received { buf, len, .. } => self.on_message(buf, len as usize),
            Completion::Delivered { message: Some(message), result: Ok(()), .. } => {
                self.peer.endpoint.post_receive(message.into_buf());
                Ok(())
            }
            Completion::Delivered { result: Err(error), .. } => Err(format!("after {} rounds: {error}", self.rounds)),
            _ => Err(format!("after {} rounds: its request was refused", self.rounds)), // a receive came back
        }
    }

    fn on_message(&mut self, buf: Buf, len: usize) -> Result<(), String> {
        let mut message = IoBuf::new(buf, 0..len);
        let is_expected = |at: usize, byte: u8| match self.rounds.checked_sub(1) {
            None => byte == 0x7b || byte == 0 && at.is_multiple_of(4096), // the client's filling; with -c each page begins with 0
            Some(last) => byte == answer_byte(last, at),
        };
        if let Some((at, byte)) = message.bytes().iter().enumerate().find(|&(at, &byte)| !is_expected(at, byte)) {
            return Err(format!("round {}: byte {at} of {len} is {byte:#04x}, which is wrong", self.rounds));
        }
        for (at, byte) in message.bytes_mut().iter_mut().enumerate() {
            *byte = answer_byte(self.rounds, at);
        }
        let answer = Deliver { cookie: 0, data: None, segments: &[], message: Some(message), solicited: true };
        self.peer.endpoint.deliver(answer);
        self.rounds += 1;
        if self.rounds == self.iterations {
            let counters = self.peer.endpoint.counters();
            eprintln!("{} rounds of {len} bytes, every byte as it has to be; {counters:?}", self.rounds);
        }
        Ok(())
    }
}

/// Differs from round to round, and from packet to packet.
fn answer_byte(round: u64, at: usize) -> u8 {
    ((at as u64 + round * 0x9e37).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// An end as hexadecimal text: local identifier (InfiniBand's, 0 here), queue pair number, PSN, GID; and a zero byte.
fn to_text(end: &End) -> String {
    format!("0000:{:06x}:{:06x}:{:032x}\0", end.qpn, end.psn, u128::from_be_bytes(end.gid.0))
}

const TEXT_LEN: usize = 4 + 1 + 6 + 1 + 6 + 1 + 32 + 1;

fn parse(text: &[u8; TEXT_LEN]) -> Option<End> {
    let mut fields = std::str::from_utf8(text).ok()?.trim_end_matches('\0').split(':').skip(1);
    let mut number = |bits: u32| {
        let number = u128::from_str_radix(fields.next()?, 16).ok()?;
        (bits == 128 || number >> bits == 0).then_some(number)
    };
    Some(End { qpn: number(24)? as u32, psn: number(24)? as u32, gid: Gid(number(128)?.to_be_bytes()) })
}
