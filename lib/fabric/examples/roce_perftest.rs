//! The other end of perftest's `ib_read_lat`, `ib_read_bw` and `ib_write_bw` (version 4.5): a kernel's RDMA device READs and
//! WRITEs memory of ours. These tools look at no byte of it: this is about requests of any size and number, not about data.
//!
//! ```text
//! roce_perftest ADDRESS                           one client at a time, until it is killed
//! ib_read_bw -x GID_INDEX [OPTION...] ADDRESS     on another machine; GID_INDEX: its RoCEv2 GID
//! ```
//! The two talk over TCP before and after, a message each in turn, the client first, ours of the same length: versions and
//! other settings, where we agree to the client's; who they are, which is repeated to wait for each other; results, where we
//! have none. A last "done" is not answered.

mod roce_peer;

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fabric::QpIndex;
use fabric::roce::exposed::{Access, RemoteMemory};
use fabric::roce::wire::Gid;
use mem::{IoBuf, Pool};
use roce_peer::{Device, End, Peer};

/// The client's default TCP port.
const PORT: u16 = 18515;

/// Memory that the client may reach: its longest message with the option `-a`.
const MEMORY: usize = 8 << 20;

/// What the memory is filled with.
const FILLING: u8 = 0x5a;

fn main() {
    let address: Option<IpAddr> = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let Some(address) = address else {
        eprintln!("roce_perftest ADDRESS");
        std::process::exit(2);
    };
    if let Err(error) = serve(address) {
        eprintln!("{address}: {error}");
        std::process::exit(1);
    }
}

fn serve(address: IpAddr) -> io::Result<()> {
    let mut device = Device::open(address)?;
    let pool = mem::testing::pool(MEMORY, 1);
    let listener = TcpListener::bind((address, PORT))?;
    eprintln!("listening at {address}");
    for number in 1u64.. {
        let (stream, _) = listener.accept()?;
        match serve_client(stream, &mut device, &pool) {
            Ok(written) => eprintln!("client {number} is done: {written} bytes of memory are not what they were"),
            Err(error) => eprintln!("client {number} is given up: {error}"),
        }
    }
    Ok(())
}

/// Returns how many bytes the client wrote, but for those that it wrote the filling into.
fn serve_client(mut stream: TcpStream, device: &mut Device, pool: &Pool) -> io::Result<usize> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?; // the client opens its device meanwhile
    let mtu = agree(&mut stream)?;
    let mut text = [0; TEXT_LEN];
    stream.read_exact(&mut text)?;
    let (end, reads) = parse(&text).ok_or_else(|| io::Error::other("that is no address"))?;
    eprintln!("a client at {}, with an MTU of {mtu} and {reads} READs at once", end.gid);

    let mut memory = IoBuf::new(pool.get().expect("the last client's is back"), 0..MEMORY);
    memory.bytes_mut().fill(FILLING);
    let exposed = device.exposed.expose(QpIndex(0), memory, Access { read: true, write: true });
    let own = device.new_end();
    let mut peer = Peer::new(&own, &end, mtu, 1, reads);
    let own = to_text(&own, reads, exposed);
    let outcome = stream.write_all(own.as_bytes()).and_then(|()| attend(stream, &own, &mut peer, device));

    let memory = device.exposed.withdraw(exposed.rkey).expect("it was exposed");
    eprintln!("{:?}", peer.endpoint.counters());
    outcome.map(|()| memory.bytes().iter().filter(|&&byte| byte != FILLING).count())
}

/// Says the same as the client, whatever that is, and returns the path MTU in bytes.
fn agree(stream: &mut TcpStream) -> io::Result<u32> {
    let mut echo = |message: &mut [u8]| {
        stream.read_exact(message)?;
        stream.write_all(message)
    };
    let (mut version, mut page, mut cache_line, mut mtu) = ([0; 16], [0; 4], [0; 4], [0; 2]);
    echo(&mut version)?;
    echo(&mut page)?;
    echo(&mut cache_line)?;
    echo(&mut mtu)?;
    match mtu {
        [digit @ b'1'..=b'5', 0] => Ok(128 << (digit - b'0')), // IBTA's numbers, 1: 256 to 5: 4096
        _ => Err(io::Error::other("that is no MTU")),
    }
}

/// Lets the client READ and WRITE, and answers what it says, until it is done.
fn attend(mut stream: TcpStream, own: &str, peer: &mut Peer, device: &mut Device) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let started = Instant::now();
    let mut completions = Vec::new();
    loop {
        let packets = peer.poll(started.elapsed().as_nanos() as u64, device, &mut completions);
        if peer.endpoint.has_failed() {
            return Err(io::Error::other("its request was refused"));
        }
        // It waits for our answer, so that messages come one by one.
        let mut message = [0; TEXT_LEN];
        match stream.read(&mut message) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) if message[..len] == *b"done\0" => return Ok(()),
            Ok(TEXT_LEN) => stream.write_all(own.as_bytes())?,
            Ok(len) => stream.write_all(&vec![0; len])?, // a result
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if packets == 0 => std::thread::sleep(Duration::from_micros(50)),
            Err(_) => (),
        }
    }
}

/// An end as hexadecimal text: local identifier (InfiniBand's, 0 here), READs at once, queue pair number, PSN, key and address
/// of memory, GID, number of a shared receive queue (none); and a zero byte.
fn to_text(end: &End, reads: u8, memory: RemoteMemory) -> String {
    let (End { qpn, psn, gid }, RemoteMemory { addr, rkey, .. }) = (end, memory);
    let gid: String = gid.0.iter().map(|byte| format!("{byte:02x}:")).collect();
    format!("0000:{reads:04x}:{qpn:06x}:{psn:06x}:{rkey:08x}:{addr:016x}:{gid}00000000:\0")
}

const TEXT_LEN: usize = 4 + 1 + 4 + 1 + 6 + 1 + 6 + 1 + 8 + 1 + 16 + 1 + 16 * 3 + 8 + 1 + 1;

/// The end, and how many READs it will have outstanding; what it tells of its memory is of no use here.
fn parse(text: &[u8; TEXT_LEN]) -> Option<(End, u8)> {
    let fields = std::str::from_utf8(text).ok()?.split(':');
    let numbers: Vec<u64> = fields.map_while(|field| u64::from_str_radix(field, 16).ok()).collect();
    let &[_, reads, qpn, psn, _, _, ref gid @ .., _] = &numbers[..] else { return None };
    let bytes: Vec<u8> = gid.iter().map(|&byte| u8::try_from(byte)).collect::<Result<_, _>>().ok()?;
    let end = End { qpn: number24(qpn)?, psn: number24(psn)?, gid: Gid(bytes.try_into().ok()?) };
    Some((end, u8::try_from(reads).ok()?.max(1)))
}

fn number24(number: u64) -> Option<u32> {
    (number < 1 << 24).then_some(number as u32)
}
