//! libibumad, made safe: ports that are opened, agents that are registered with them, datagrams that come and go. Nothing here waits. Fenced.
#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_long};
use std::io;

use rdma_core_sys::Umad;

use crate::ports::{Datagram, Exchange, HEADER_BYTES, OpenError};
use crate::wire::{CLASS, CLASS_VERSION, MAD_BYTES};

/// Where it has the queue key to send with.
const QUEUE_KEY: std::ops::Range<usize> = 24..28;
/// That of queue pair 1 everywhere.
const QUEUE_KEY_1: u32 = 0x8001_0000;
/// Get and Set.
const METHODS: c_long = 1 << 1 | 1 << 2;

/// A port at which an agent of ours is registered.
#[derive(Debug)]
pub(crate) struct Port {
    library: &'static Umad,
    port: c_int,
    agent: c_int,
}

impl Port {
    /// Opens a port of a device, and registers the agent.
    pub(crate) fn open(device: &str, number: u8) -> Result<Port, OpenError> {
        let library = Umad::load()?;
        let device = CString::new(device).map_err(|error| OpenError::Open(error.into()))?;
        // SAFETY: takes nothing.
        if unsafe { (library.umad_init)() } < 0 {
            return Err(OpenError::Open(io::Error::last_os_error()));
        }
        // SAFETY: the name ends with a zero and outlives the call.
        let port = unsafe { (library.umad_open_port)(device.as_ptr(), c_int::from(number)) };
        if port < 0 {
            return Err(OpenError::Open(reason(port)));
        }
        // From here on it is closed when it is dropped.
        let mut opened = Port { library, port, agent: -1 };
        // SAFETY: takes nothing.
        let header = unsafe { (library.umad_size)() };
        if header != HEADER_BYTES {
            return Err(OpenError::Header);
        }
        let mut methods = [METHODS, 0];
        // SAFETY: the port is open; the mask has the 128 bits that are read.
        opened.agent = unsafe {
            (library.umad_register)(port, c_int::from(CLASS), c_int::from(CLASS_VERSION), 0, &raw mut methods)
        };
        if opened.agent < 0 {
            return Err(OpenError::Register(io::Error::last_os_error()));
        }
        Ok(opened)
    }
}

impl Exchange for Port {
    fn receive(&mut self) -> io::Result<Option<Datagram>> {
        // SAFETY: the port is open.
        let polled = unsafe { (self.library.umad_poll)(self.port, 0) };
        if polled < 0 {
            return nothing_came(reason(polled));
        }
        let mut datagram = Datagram { header: [0; _], mad: Vec::new() };
        let mut bytes = [0; HEADER_BYTES + MAD_BYTES];
        let mut length = MAD_BYTES as c_int;
        // SAFETY: the port is open, and the buffer has room for the header, whose size was checked, and for as much as `length` says.
        let agent = unsafe { (self.library.umad_recv)(self.port, bytes.as_mut_ptr().cast(), &raw mut length, 0) };
        if agent < 0 {
            return nothing_came(reason(agent));
        }
        let (header, mad) = bytes.split_at(HEADER_BYTES);
        datagram.header.copy_from_slice(header);
        datagram.mad.extend_from_slice(&mad[..usize::try_from(length).unwrap_or(0).min(MAD_BYTES)]);
        Ok(Some(datagram))
    }

    fn answer(&mut self, to: &[u8; HEADER_BYTES], mad: &[u8; MAD_BYTES]) -> io::Result<()> {
        let mut bytes = [0; HEADER_BYTES + MAD_BYTES];
        bytes[..HEADER_BYTES].copy_from_slice(to);
        bytes[QUEUE_KEY].copy_from_slice(&QUEUE_KEY_1.to_be_bytes());
        bytes[HEADER_BYTES..].copy_from_slice(mad);
        // SAFETY: the port is open, the agent its own, and the buffer has the header and as much as the length says.
        let sent = unsafe {
            (self.library.umad_send)(self.port, self.agent, bytes.as_mut_ptr().cast(), MAD_BYTES as c_int, 0, 0)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// A failure of the library's: its own number, or, if it is the one that stands for all of a system call's, that of the call.
fn reason(result: c_int) -> io::Error {
    const EIO: c_int = -5;
    if result == EIO { io::Error::last_os_error() } else { io::Error::from_raw_os_error(-result) }
}

fn nothing_came(error: io::Error) -> io::Result<Option<Datagram>> {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
        _ => Err(error),
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // SAFETY: the port is open, and not used after this; its agent goes with it.
        unsafe { (self.library.umad_close_port)(self.port) };
    }
}
