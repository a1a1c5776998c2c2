//! Ports that DPDK drives, against the kernel's sockets at the other end of a virtual link. Each test runs as a process of
//! its own, because DPDK starts once per process, and in a network namespace of its own, which only root may make:
//! without root the tests say so and pass.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Options;
use crate::roce::packet_io::{self, PacketIo, Path, Way};
use crate::roce::tests::exchange_messages_and_data;
use crate::roce::wire::{GSI_QP, Headers, Opcode, Psn, UDP_PORT};

/// Queues of each end: the connection manager's, and two reactors'.
const QUEUES: usize = 3;

/// One queue pair per queue.
const QUEUE_PAIRS: [u32; QUEUES] = [GSI_QP, 0x00ab_cd01, 0x0012_3402];

/// The kernel's addresses and the ports', of both IP versions.
const LINKS: [(&str, &str, u8); 2] = [("192.0.2.1", "192.0.2.2", 24), ("2001:db8::1", "2001:db8::2", 64)];

#[test]
fn af_packet_and_the_kernel_understand_each_other() {
    if !in_a_namespace_of_its_own("af_packet_and_the_kernel_understand_each_other") {
        return;
    }
    cables(9000);
    for link in LINKS {
        understand_each_other(End::open(link), &[0, 1, 3, 256, 1024, 4093, 4096]);
    }
}

/// As either side of a connection.
#[test]
fn connections_work_over_a_port() {
    if !in_a_namespace_of_its_own("connections_work_over_a_port") {
        return;
    }
    cables(9000);
    let [(kernel, port, _), (kernel_v6, port_v6, _)] = LINKS;
    exchange_messages_and_data(port, kernel);
    exchange_messages_and_data(kernel_v6, port_v6);
}

#[test]
fn tap_and_the_kernel_understand_each_other() {
    if !in_a_namespace_of_its_own("tap_and_the_kernel_understand_each_other") {
        return;
    }
    let devices = ["net_tap0,iface=dpdk0", "net_tap1,iface=dpdk1"];
    start(devices, 1500);
    ["dpdk0", "dpdk1"].into_iter().zip(LINKS).for_each(|(interface, link)| give_address(interface, link));
    for link in LINKS {
        understand_each_other(End::open(link), &[0, 1, 256, 1024]);
    }
}

#[test]
fn threads_share_a_port_and_every_queue_gets_its_packets_in_order() {
    if !in_a_namespace_of_its_own("threads_share_a_port_and_every_queue_gets_its_packets_in_order") {
        return;
    }
    const ROUNDS: u32 = 100;
    const BATCH: u32 = 20;
    cables(9000);
    let mut end = End::open(LINKS[0]);
    let path = end.to_port();
    // Packets that the kernel keeps until it found the port's Ethernet address may be overtaken by later ones.
    end.kernel[0].queue(&path, &headers(GSI_QP, 0), &[]).unwrap();
    end.kernel[0].flush();
    assert_eq!(receive(&mut end.port, 1)[0].len(), 1);
    let is_over = AtomicBool::new(false);
    let got = std::thread::scope(|scope| {
        let poll = |mut queue: PacketIo| {
            let is_over = &is_over;
            scope.spawn(move || {
                let mut got = Vec::new();
                let give_up = Instant::now() + PATIENCE;
                while got.len() < (ROUNDS * BATCH) as usize
                    && Instant::now() < give_up
                    && !is_over.load(Ordering::Relaxed)
                {
                    let mut answers = 0;
                    let packets = queue.receive(&mut |arrived| {
                        let (headers, _) = Headers::parse(arrived.packet).unwrap();
                        got.push((headers.dest_qp, headers.psn.get()));
                        answers += u32::from(headers.psn.get() % BATCH == BATCH - 1);
                    });
                    for _ in 0..answers {
                        queue.queue(&reverse(path), &headers(GSI_QP, 0), &[]).unwrap();
                    }
                    queue.flush();
                    if packets == 0 {
                        std::thread::yield_now();
                    }
                }
                got
            })
        };
        let threads: Vec<_> = end.port.drain(1..).map(poll).collect();
        stay_on_one_cpu();
        for round in 0..ROUNDS {
            for at in 0..BATCH {
                for qp in &QUEUE_PAIRS[1..] {
                    end.kernel[0].queue(&path, &headers(*qp, round * BATCH + at), &[7; 64]).unwrap();
                }
            }
            end.kernel[0].flush();
            // Both threads saw the last packet of this round: so the packets of one round only are on their way.
            if receive(&mut end.kernel[..1], 2)[0].len() != 2 {
                is_over.store(true, Ordering::Relaxed);
                break;
            }
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for (got, qp) in got.into_iter().zip(&QUEUE_PAIRS[1..]) {
        let wrong = (0..).zip(&got).find(|&(psn, packet)| *packet != (*qp, psn));
        assert_eq!((wrong, got.len()), (None, (ROUNDS * BATCH) as usize));
    }
}

/// Both ends of one link, with their queues.
struct End {
    kernel_address: IpAddr,
    port_address: IpAddr,
    kernel: Vec<PacketIo>,
    port: Vec<PacketIo>,
}

impl End {
    fn open((kernel, port, _): (&str, &str, u8)) -> End {
        let [kernel_address, port_address] = [kernel, port].map(|address| address.parse().unwrap());
        let [kernel, port] = [kernel_address, port_address].map(|address| Way::Udp.open(address, 0, QUEUES).unwrap().0);
        End { kernel_address, port_address, kernel, port }
    }

    fn to_port(&self) -> Path {
        let [local, peer] = [self.kernel_address, self.port_address].map(|ip| SocketAddr::new(ip, UDP_PORT));
        Path { local, peer }
    }
}

/// Packets with payloads of these sizes to each queue, both ways, and what is no packet.
fn understand_each_other(mut end: End, sizes: &[usize]) {
    stay_on_one_cpu();
    let to_port = end.to_port();
    // The port speaks first, so it has to find the kernel's Ethernet address; its packets wait for that.
    exchange(&mut end.port, &mut end.kernel, reverse(to_port), sizes);
    // Now the kernel has to find the port's.
    ip(&["neigh", "flush", "all"]);
    exchange(&mut end.kernel, &mut end.port, to_port, sizes);
    let before = end.port[0].counters();
    assert_eq!((before.icrc_errors, before.malformed, before.send_errors), (0, 0, 0), "{before:?}");

    let stranger = UdpSocket::bind((end.kernel_address, 0)).unwrap();
    stranger.send_to(&[0; 64], to_port.peer).unwrap();
    stranger.send_to(&[0; 3], to_port.peer).unwrap();
    stranger.send_to(&[0; 64], SocketAddr::new(end.port_address, UDP_PORT + 1)).unwrap();
    let nowhere = Path { peer: SocketAddr::new(elsewhere(end.port_address), UDP_PORT), ..reverse(to_port) };
    end.port[2].queue(&nowhere, &headers(7, 0), &[]).unwrap();
    // What comes behind shows that these came in.
    end.kernel[1].queue(&to_port, &headers(GSI_QP, 99), &[]).unwrap();
    end.kernel[1].flush();
    assert_eq!(receive(&mut end.port, 1), [vec![(GSI_QP, 99, 0)], vec![], vec![]]);
    let sum =
        |count: fn(packet_io::PacketCounters) -> u64| end.port.iter().map(|queue| count(queue.counters())).sum::<u64>();
    assert_eq!(sum(|counters| counters.icrc_errors), 1);
    assert_eq!(sum(|counters| counters.malformed), 1);
    assert_eq!(sum(|counters| counters.send_errors), 1, "no way to {}", nowhere.peer);
}

/// Every queue sends a packet of each size to each queue of the other end.
fn exchange(from: &mut [PacketIo], to: &mut [PacketIo], path: Path, sizes: &[usize]) {
    for sender in from {
        let expected = |qp: u32| (0..).zip(sizes).map(|(psn, &len)| (qp, psn, len)).collect::<Vec<Packet>>();
        for qp in QUEUE_PAIRS {
            for (qp, psn, len) in expected(qp) {
                // Few enough that all of them can wait for an address.
                sender.queue(&path, &headers(qp, psn), &vec![psn as u8; len]).unwrap();
            }
            sender.flush();
            let mut got = vec![Vec::new(); to.len()];
            let give_up = Instant::now() + PATIENCE;
            while got.iter().map(Vec::len).sum::<usize>() < sizes.len() && Instant::now() < give_up {
                poll(to, &mut got);
                sender.receive(&mut |arrived| panic!("unexpected: {:?}", Headers::parse(arrived.packet)));
                sender.flush();
            }
            let queue = packet_io::queue_of(qp);
            assert_eq!(got[queue], expected(qp), "{path:?}");
            assert_eq!(got.iter().map(Vec::len).sum::<usize>(), sizes.len(), "nothing came in elsewhere");
        }
    }
}

/// Queue pair, PSN, length of the payload; each byte of that is the PSN.
type Packet = (u32, u32, usize);

/// How long a test waits for packets before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came in at each queue, when it is `count` packets.
fn receive(queues: &mut [PacketIo], count: usize) -> Vec<Vec<Packet>> {
    let mut got = vec![Vec::new(); queues.len()];
    let give_up = Instant::now() + PATIENCE;
    while got.iter().map(Vec::len).sum::<usize>() < count && Instant::now() < give_up {
        poll(queues, &mut got);
    }
    got
}

fn poll(queues: &mut [PacketIo], got: &mut [Vec<Packet>]) {
    for (queue, got) in queues.iter_mut().zip(got) {
        queue.receive(&mut |arrived| {
            assert_eq!(arrived.path.peer.port(), UDP_PORT);
            let (headers, payload) = Headers::parse(arrived.packet).unwrap();
            assert!(payload.iter().all(|&byte| byte == headers.psn.get() as u8), "{headers:?}");
            got.push((headers.dest_qp, headers.psn.get(), payload.len()));
        });
        queue.flush();
    }
}

fn headers(dest_qp: u32, psn: u32) -> Headers {
    Headers::new(Opcode::SendOnly, dest_qp, Psn::new(psn))
}

fn reverse(path: Path) -> Path {
    Path { local: path.peer, peer: path.local }
}

/// An address of the same IP version in another network.
fn elsewhere(address: IpAddr) -> IpAddr {
    if address.is_ipv4() { "203.0.113.1".parse().unwrap() } else { "2001:db8:9::1".parse().unwrap() }
}

/// Both ends of two virtual Ethernet cables: the kernel at one, a port of the driver `net_af_packet` at the other. (Two
/// ports at one end would share what comes in.)
fn cables(mtu: u32) {
    let mtu_text = mtu.to_string();
    for (number, link) in LINKS.into_iter().enumerate() {
        let [kernel, port] = [format!("kernel{number}"), format!("dpdk{number}")];
        ip(&["link", "add", &kernel, "mtu", &mtu_text, "type", "veth", "peer", "name", &port, "mtu", &mtu_text]);
        // What a NIC would cut into datagrams has to be cut before it gets to the cable's end.
        ip(&["link", "set", &kernel, "gso_max_segs", "1"]);
        ip(&["link", "set", &port, "addrgenmode", "none"]);
        ip(&["link", "set", &port, "up"]);
        give_address(&kernel, link);
    }
    // Frames of 5 KiB, four to a block: the driver wants each to fit one packet buffer.
    let device = |number| format!("net_af_packet{number},iface=dpdk{number},framesz=5120,blocksz=20480,framecnt=512");
    start([&device(0), &device(1)], mtu);
}

fn give_address(interface: &str, (kernel, _, prefix_len): (&str, &str, u8)) {
    let flags: &[&str] = if kernel.contains(':') { &["nodad"] } else { &[] };
    ip(&[&["addr", "add", &format!("{kernel}/{prefix_len}"), "dev", interface], flags].concat());
    ip(&["link", "set", interface, "up"]);
}

/// One port for each IP version.
fn start(devices: [&str; 2], mtu: u32) {
    let port = |(device, (_, address, prefix_len)): (&str, (&str, &str, u8))| {
        format!("{device} {address}/{prefix_len} mtu {mtu}").parse().unwrap()
    };
    let ports = devices.into_iter().zip(LINKS).map(port).collect();
    super::start(&Options { ports, ..Options::default() }).unwrap();
    let again = super::start(&Options::default()).unwrap_err();
    assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
    let listed = packet_io::interfaces().unwrap();
    for (device, (_, address, _)) in devices.into_iter().zip(LINKS) {
        let listed = listed.iter().find(|interface| interface.address == address.parse::<IpAddr>().unwrap());
        let listed = listed.expect("a port is listed like the kernel's interfaces");
        assert_eq!((device.split(',').next(), mtu), (Some(&*listed.name), listed.mtu));
    }
}

/// The kernel keeps packets in order only if they are sent from one CPU.
fn stay_on_one_cpu() {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(rustix::thread::sched_getcpu());
    rustix::thread::sched_setaffinity(None, &cpus).unwrap();
}

/// Runs ip(8).
fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip, of Debian's iproute2");
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Whether this process is the one that is to do the test; if not, that one is run here, if root runs this.
fn in_a_namespace_of_its_own(test: &str) -> bool {
    const MARK: &str = "SRPT_TEST_NAMESPACE";
    let (_crate, module) = module_path!().split_once("::").unwrap();
    if std::env::var_os(MARK).is_some() {
        ip(&["link", "set", "lo", "up"]);
        return true;
    }
    let is_root = fs::metadata("/proc/self").is_ok_and(|this| std::os::unix::fs::MetadataExt::uid(&this) == 0);
    if !is_root {
        eprintln!("skipped: only root may make network namespaces");
        return false;
    }
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    let command =
        command.arg("--net").arg(this).args(["--exact", &format!("{module}::{test}"), "--nocapture"]).env(MARK, "1");
    assert!(command.status().expect("unshare, of Debian's util-linux").success(), "{test} failed in its namespace");
    false
}
