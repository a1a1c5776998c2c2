//! The socket options that no crate offers.
#![allow(unsafe_code, reason = "setsockopt takes its value by address")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Steers datagrams among the sockets of a reuse-port group: the program reads a datagram from its first byte behind the
/// UDP header, and returns the index of a socket in the order of their binding.
pub fn steer(socket: &impl AsFd, program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The kernel copies the program and never writes to it, whatever the type of the pointer says.
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &program)
}

/// Lets datagrams over IPv6 in although their UDP checksum is zero, as tunnels' and soft-RoCE's is.
pub fn allow_zero_checksums_over_ipv6(socket: &impl AsFd) -> io::Result<()> {
    const UDP_NO_CHECK6_RX: libc::c_int = 102; // linux/udp.h
    let on: libc::c_int = 1;
    set(socket, libc::SOL_UDP, UDP_NO_CHECK6_RX, &on)
}

/// No time stamp with each datagram: nobody reads it, it costs a clock read, and with it quinn-udp's buffer for control
/// messages is too short for the ECN field of merged datagrams.
pub fn no_timestamps(socket: &impl AsFd) -> io::Result<()> {
    let off: libc::c_int = 0;
    set(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &off)
}

fn set<T: Copy>(socket: &impl AsFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is `len` readable bytes for the length of the call, after which the kernel does not use its address.
    // The one option above whose value holds a pointer is called with one to as many instructions as it says, borrowed
    // by its caller until after the call.
    let result = unsafe { libc::setsockopt(fd, level, option, std::ptr::from_ref(value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
