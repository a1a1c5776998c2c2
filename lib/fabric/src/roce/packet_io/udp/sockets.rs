//! The sockets of a device: bound to one address and port, with a steering program that brings each packet to the socket
//! of its queue.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;

use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use super::options;
use crate::roce::packet_io::{QUEUES_MAX, TRAFFIC_CLASS};
use crate::roce::wire::{GSI_QP, UDP_PORT};

/// Receive buffer that is asked for, in bytes. It has to take what arrives while its reactor does something else: at 25
/// Gbit/s, 8 MiB is about one millisecond, as the kernel counts twice the bytes of a packet of 4 KiB.
const RECEIVE_BUFFER_WANTED: usize = 8 << 20;

/// Send buffer that is asked for, in bytes: what may wait in the kernel and the NIC. Longer queues only add latency.
const SEND_BUFFER_WANTED: usize = 2 << 20;

/// Binds a socket per queue.
pub fn bind(address: SocketAddr, queues: usize) -> io::Result<Vec<Socket>> {
    if !(1..=QUEUES_MAX).contains(&queues) {
        return Err(invalid(format!("{queues} queues, where 1 to {QUEUES_MAX} are possible")));
    }
    bind_all(address, queues).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            let who = "in use, by another process or by the kernel's soft-RoCE (rdma_rxe)";
            io::Error::new(error.kind(), format!("UDP port {address} is {who}"))
        }
        kind => io::Error::new(kind, format!("UDP port {address}: {error}")),
    })
}

/// The address with RoCE's port.
pub fn local_address(address: IpAddr, scope: u32) -> io::Result<SocketAddr> {
    let address = address.to_canonical();
    if address.is_unspecified() || address.is_multicast() {
        return Err(invalid(format!("{address} is no address of one host, which the ICRC of packets needs")));
    }
    Ok(match address {
        IpAddr::V4(_) => SocketAddr::new(address, UDP_PORT),
        IpAddr::V6(ipv6) => {
            let scope = if ipv6.is_unicast_link_local() { scope } else { 0 };
            SocketAddrV6::new(ipv6, UDP_PORT, 0, scope).into()
        }
    })
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The first socket binds alone, which fails if anyone else has the port, and opens it to the others only then.
fn bind_all(address: SocketAddr, queues: usize) -> io::Result<Vec<Socket>> {
    let first = new_socket(address)?;
    first.bind(&address.into())?;
    let mut sockets = vec![first];
    if queues > 1 {
        sockets[0].set_reuse_port(true)?;
        for _ in 1..queues {
            let socket = new_socket(address)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            sockets.push(socket);
        }
        options::steer(&sockets[0], &steering(queues as u32))?;
    }
    Ok(sockets)
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // Only a privileged process may ask for more than net.core.rmem_max and wmem_max; others get as much as these allow.
    if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_WANTED).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER_WANTED)?;
    }
    if sockopt::set_socket_send_buffer_size_force(&socket, SEND_BUFFER_WANTED).is_err() {
        socket.set_send_buffer_size(SEND_BUFFER_WANTED)?;
    }
    if address.is_ipv4() {
        sockopt::set_ip_tos(socket.as_fd(), TRAFFIC_CLASS)?;
    } else {
        socket.set_only_v6(true)?;
        sockopt::set_ipv6_tclass(socket.as_fd(), TRAFFIC_CLASS.into())?;
        options::allow_zero_checksums_over_ipv6(&socket)?;
    }
    Ok(socket)
}

/// [`crate::roce::packet_io::queue_of`] as a program of classic BPF: the low byte of the destination queue pair is the
/// index of the socket. The first socket gets what is for the connection manager, for no queue, or too short to tell
/// (a load beyond the end makes the kernel return 0).
fn steering(queues: u32) -> [libc::sock_filter; 7] {
    const DEST_QP_AT: u32 = 4; // in the base transport header, the low 24 bits of a word
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let jump = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, DEST_QP_AT),
        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0xff_ffff),
        jump(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, GSI_QP, 3, 0),
        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0xff),
        jump(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, queues, 1, 0),
        statement(libc::BPF_RET | libc::BPF_A, 0),
        statement(libc::BPF_RET | libc::BPF_K, 0),
    ]
}
