//! How many packets per second the packet I/O moves, and what a packet costs: the ceiling for everything above it.
//!
//! ```text
//! packet_rate                          both ends in this process, 127.0.0.1 to 127.0.0.2, taking turns on one thread
//! packet_rate --receive LOCAL          one end: counts what arrives, for ever
//! packet_rate --send LOCAL PEER [LEN]  the other: sends payloads of LEN bytes (4096) as fast as it can, for ever
//! ```
//! With `--xdp` in front, frames pass by AF_XDP; such a sender uses it once the peer has sent something.
//!
//! "In bursts" is many packets for one queue pair, as in a WRITE of many packets; the loopback interface never cuts a
//! burst, which a real one has to. "Alone" is each for another queue pair, as acknowledgements are.
//!
//! Turns on one thread show what sending and receiving cost apart from each other, and nothing is lost. Costs are times of
//! the thread on its processor, so that other load on the machine counts little (at a receiving end they include polls
//! that found nothing). For figures, run it with `--release`.
#![allow(missing_docs, reason = "a program, not an interface")]

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fabric::roce::packet_io::{self, PacketIo, Path};
use fabric::roce::wire::{Headers, Opcode, Psn, UDP_PORT};
use rustix::time::{ClockId, clock_gettime};

/// The reactor's queue of a device.
const REACTOR: usize = 1;

/// Queue pair that the packets are for, one of the reactor's.
const DEST_QP: u32 = 0x101;

/// Packets sent between two looks at the clock, or in one turn.
const TURN: u32 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (xdp, arguments) = match arguments[..] {
        ["--xdp", ref rest @ ..] => (true, rest),
        ref all => (false, all),
    };
    let result = match *arguments {
        [] => take_turns(),
        ["--receive", local] => receive(local, xdp),
        ["--send", local, peer] => send(local, peer, "4096", xdp),
        ["--send", local, peer, len] => send(local, peer, len, xdp),
        _ => Err("packet_rate [--xdp] [--receive LOCAL | --send LOCAL PEER [LEN]]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

/// Sends a turn's packets, then receives them, for some time.
fn take_turns() -> Result {
    let (here, there) = ("127.0.0.1".parse()?, "127.0.0.2".parse()?);
    let (mut ours, mut theirs) = (open(here, false)?, open(there, false)?);
    let (sender, receiver) = (&mut ours[REACTOR], &mut theirs[REACTOR]);
    for (len, alone) in [(64, false), (1024, false), (4096, false), (64, true), (4096, true)] {
        let payload = vec![0x5a; len];
        let (mut packets, mut lost) = (0u64, 0u64);
        let (mut sending, mut receiving) = (Duration::ZERO, Duration::ZERO);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            let start = cpu_time();
            send_turn(sender, &path(here, there), &payload, alone);
            let sent = cpu_time();
            let mut arrived = 0;
            for _ in 0..TURN {
                match receiver.receive(&mut |_| ()) {
                    0 => break,
                    some => arrived += some as u64,
                }
            }
            (sending, receiving) = (sending + (sent - start), receiving + (cpu_time() - sent));
            packets += arrived;
            lost += u64::from(TURN).saturating_sub(arrived);
        }
        let cost = |time: Duration| time.as_nanos() as f64 / packets as f64;
        println!(
            "{len:5} bytes {}: sending {:5.0} ns, receiving {:5.0} ns a packet; {:8.0} packets/s per core for both, {lost} lost",
            if alone { "alone    " } else { "in bursts" },
            cost(sending),
            cost(receiving),
            1e9 / cost(sending + receiving),
        );
    }
    Ok(())
}

fn receive(local: &str, xdp: bool) -> Result {
    let mut device = open(local.parse()?, xdp)?;
    let queue = &mut device[REACTOR];
    let mut report = Report::new();
    loop {
        for _ in 0..TURN {
            queue.receive(&mut |_| ());
        }
        report.every_second(|| queue.counters().received);
    }
}

fn send(local: &str, peer: &str, len: &str, xdp: bool) -> Result {
    let (local, peer) = (local.parse()?, peer.parse()?);
    let payload = vec![0x5a; len.parse()?];
    let mut device = open(local, xdp)?;
    let queue = &mut device[REACTOR];
    let mut report = Report::new();
    loop {
        send_turn(queue, &path(local, peer), &payload, false);
        queue.receive(&mut |_| ());
        report.every_second(|| queue.counters().sent);
    }
}

/// A device with a queue for the connection manager, and one for a reactor.
fn open(address: IpAddr, xdp: bool) -> std::io::Result<Vec<PacketIo>> {
    if !xdp {
        return packet_io::open(address, 0, 2);
    }
    let (queues, how) = packet_io::open_xdp(address, 0, 2)?;
    println!("{how}");
    Ok(queues)
}

fn path(local: IpAddr, peer: IpAddr) -> Path {
    Path { local: SocketAddr::new(local, UDP_PORT), peer: SocketAddr::new(peer, UDP_PORT) }
}

fn send_turn(queue: &mut PacketIo, path: &Path, payload: &[u8], alone: bool) {
    for psn in 0..TURN {
        let dest_qp = if alone { DEST_QP + (psn << 8) } else { DEST_QP };
        let headers = Headers::new(Opcode::WriteMiddle, dest_qp, Psn::new(psn));
        while queue.queue(path, &headers, payload).is_err() {
            queue.flush();
        }
    }
    queue.flush();
}

/// Prints what a counter gained, once a second.
struct Report {
    began: Instant,
    cpu: Duration,
    count: u64,
}

impl Report {
    fn new() -> Report {
        Report { began: Instant::now(), cpu: cpu_time(), count: 0 }
    }

    fn every_second(&mut self, counter: impl Fn() -> u64) {
        let elapsed = self.began.elapsed();
        if elapsed < Duration::from_secs(1) {
            return;
        }
        let (count, cpu) = (counter(), cpu_time());
        let packets = (count - self.count) as f64;
        let cost = (cpu - self.cpu).as_nanos() as f64 / packets;
        println!("{:9.0} packets/s, {cost:5.0} ns of processor time each", packets / elapsed.as_secs_f64());
        *self = Report { began: Instant::now(), cpu, count };
    }
}

/// What this thread spent on its processor.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
