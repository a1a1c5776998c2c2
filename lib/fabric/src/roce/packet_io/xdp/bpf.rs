//! The few calls of bpf(2) that bring a program for frames into the kernel.
#![allow(unsafe_code, reason = "bpf takes a union by address")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::program::Instruction;

// Commands, types and flags (linux/bpf.h, linux/if_link.h).
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;
/// The program can do with frames whose later parts it does not see.
const PROG_HAS_FRAGMENTS: u32 = 1 << 5;
/// XDP_FLAGS_DRV_MODE.
const LINK_IN_DRIVER: u32 = 1 << 2;

/// A map of AF_XDP sockets by the number of the receive queue.
pub fn socket_map(queues: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    }
    let attributes = Attributes { map_type: MAP_TYPE_XSKMAP, key_size: 4, value_size: 4, max_entries: queues };
    // SAFETY: the attributes of this command hold no addresses.
    unsafe { bpf_fd(MAP_CREATE, &attributes) }
}

/// Puts a socket into the map; it leaves the map when it is closed.
pub fn put_socket(map: BorrowedFd<'_>, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        map_fd: u32,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let socket = socket.as_raw_fd();
    let attributes = Attributes {
        map_fd: map.as_raw_fd() as u32,
        padding: 0,
        key: address(&queue),
        value: address(&socket),
        flags: 0,
    };
    // SAFETY: key and value are of the 4 bytes each that the map was made for, and live until the call is over.
    unsafe { bpf(MAP_UPDATE_ELEM, &attributes) }.map(drop)
}

/// Has the kernel verify a program and take it.
pub fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        program_type: u32,
        instruction_count: u32,
        instructions: u64,
        license: u64,
        log: [u32; 2],
        log_buffer: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; 16],
        interface: u32,
        attach_type: u32,
    }
    let license = c"Apache-2.0 OR MIT";
    let attributes = Attributes {
        program_type: PROG_TYPE_XDP,
        instruction_count: program.len() as u32,
        instructions: program.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        log: [0; 2],
        log_buffer: 0,
        kernel_version: 0,
        flags: PROG_HAS_FRAGMENTS,
        name: *b"srpt_roce\0\0\0\0\0\0\0",
        interface: 0,
        attach_type: ATTACH_TYPE_XDP,
    };
    // SAFETY: the instructions are as many as the attributes say, the license ends with a zero, and both live until the
    // call is over, which copies them.
    unsafe { bpf_fd(PROG_LOAD, &attributes) }
}

/// Has the driver of an interface run a program, until what is returned is closed. `EBUSY`: it has one already.
pub fn attach(program: BorrowedFd<'_>, interface: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        program: u32,
        interface: u32,
        attach_type: u32,
        flags: u32,
    }
    let attributes = Attributes {
        program: program.as_raw_fd() as u32,
        interface,
        attach_type: ATTACH_TYPE_XDP,
        flags: LINK_IN_DRIVER,
    };
    // SAFETY: the attributes of this command hold no addresses.
    unsafe { bpf_fd(LINK_CREATE, &attributes) }
}

fn address<T>(value: &T) -> u64 {
    std::ptr::from_ref(value).expose_provenance() as u64
}

/// # Safety
/// As for [`bpf`], and the command returns a file descriptor.
unsafe fn bpf_fd<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: what the caller promises.
    let fd = unsafe { bpf(command, attributes) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// # Safety
/// `attributes` is laid out as the command wants it, without padding that is not initialized, and the addresses in it
/// may be read as the command does.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    let len = size_of::<T>();
    // SAFETY: `attributes` is `len` readable bytes; the rest is what the caller promises.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}
