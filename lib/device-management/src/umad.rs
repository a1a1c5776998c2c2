//! libibumad, made safe: ports that are opened, agents that are registered with them, datagrams that come and go. Nothing here waits. Fenced.
#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_long};
use std::time::{Duration, Instant};
use std::{io, ptr};

use rdma_core_sys::Umad;

use crate::answer::{self, Class, DEVICE_MANAGEMENT, SUBNET_ADMINISTRATION};
use crate::client::{Ask, AskError, Destination};
use crate::ports::{Datagram, Exchange, HEADER_BYTES, OpenError};
use crate::wire::MAD_BYTES;

/// Where the header in front of a datagram (`struct ib_user_mad`) has whether it could be sent: an error's number.
const STATUS: std::ops::Range<usize> = 4..8;
/// The queue pair that it is sent to.
const QUEUE_PAIR: std::ops::Range<usize> = 20..24;
/// The port that it is sent to.
const LID: std::ops::Range<usize> = 28..30;
const SERVICE_LEVEL: usize = 30;
/// Which of this port's partitions it is sent in.
const PKEY_INDEX: std::ops::Range<usize> = 56..58;
/// Where it has the queue key to send with.
const QUEUE_KEY: std::ops::Range<usize> = 24..28;
/// That of queue pair 1 everywhere.
const QUEUE_KEY_1: u32 = 0x8001_0000;
/// Get and Set.
const METHODS: c_long = 1 << 1 | 1 << 2;

/// A port that is open.
#[derive(Debug)]
struct Opened {
    library: &'static Umad,
    port: c_int,
}

impl Opened {
    fn open(device: &str, number: u8) -> Result<Opened, OpenError> {
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
        let opened = Opened { library, port };
        // SAFETY: takes nothing.
        let header = unsafe { (library.umad_size)() };
        if header != HEADER_BYTES {
            return Err(OpenError::Header);
        }
        Ok(opened)
    }

    /// Registers an agent, for requests of these methods, if any, and for answers to its own.
    fn register(&self, class: Class, methods: Option<c_long>) -> io::Result<c_int> {
        let (number, version) = (c_int::from(class.number), c_int::from(class.version));
        let mut mask = [methods.unwrap_or(0), 0];
        let mask = methods.map_or(ptr::null_mut(), |_| &raw mut mask);
        // SAFETY: the port is open; the mask is none, or has the 128 bits that are read.
        let agent = unsafe { (self.library.umad_register)(self.port, number, version, 0, mask) };
        if agent < 0 { Err(io::Error::last_os_error()) } else { Ok(agent) }
    }

    /// A datagram, if one comes in time.
    fn receive(&self, timeout_ms: c_int) -> io::Result<Option<Datagram>> {
        // SAFETY: the port is open.
        let polled = unsafe { (self.library.umad_poll)(self.port, timeout_ms) };
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

    /// Sends a datagram of an agent's. With a timeout an answer is awaited, and after the last one the kernel gives the datagram back.
    fn send(
        &self,
        agent: c_int,
        header: &[u8; HEADER_BYTES],
        mad: &[u8; MAD_BYTES],
        timeout_ms: c_int,
        retries: c_int,
    ) -> io::Result<()> {
        let mut bytes = [0; HEADER_BYTES + MAD_BYTES];
        bytes[..HEADER_BYTES].copy_from_slice(header);
        bytes[QUEUE_KEY].copy_from_slice(&QUEUE_KEY_1.to_be_bytes());
        bytes[HEADER_BYTES..].copy_from_slice(mad);
        let (datagram, length) = (bytes.as_mut_ptr().cast(), MAD_BYTES as c_int);
        // SAFETY: the port is open, the agent its own, and the buffer has the header and as much as the length says.
        let sent = unsafe { (self.library.umad_send)(self.port, agent, datagram, length, timeout_ms, retries) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// A port at which an agent of ours is registered.
#[derive(Debug)]
pub(crate) struct Port {
    opened: Opened,
    agent: c_int,
}

impl Port {
    /// Opens a port of a device, and registers the agent.
    pub(crate) fn open(device: &str, number: u8) -> Result<Port, OpenError> {
        let opened = Opened::open(device, number)?;
        let agent = opened.register(DEVICE_MANAGEMENT, Some(METHODS)).map_err(OpenError::Register)?;
        Ok(Port { opened, agent })
    }
}

impl Exchange for Port {
    fn receive(&mut self) -> io::Result<Option<Datagram>> {
        self.opened.receive(0)
    }

    fn answer(&mut self, to: &[u8; HEADER_BYTES], mad: &[u8; MAD_BYTES]) -> io::Result<()> {
        self.opened.send(self.agent, to, mad, 0, 0)
    }
}

/// A port from which questions are asked.
#[derive(Debug)]
pub(crate) struct Asker {
    opened: Opened,
    administration: c_int,
    management: c_int,
    pkey_index: u16,
    until: Instant,
}

impl Asker {
    /// How long an answer is awaited before the question is sent again, and how often that is.
    const PATIENCE: Duration = Duration::from_secs(1);
    const RETRIES: u8 = 3;
    /// What the kernel is given to say that there is no answer.
    const GRACE: Duration = Duration::from_secs(1);

    /// Opens a port of a device, for so long.
    pub(crate) fn open(device: &str, number: u8, pkey_index: u16, limit: Duration) -> Result<Asker, OpenError> {
        let opened = Opened::open(device, number)?;
        let administration = opened.register(SUBNET_ADMINISTRATION, None).map_err(OpenError::Register)?;
        let management = opened.register(DEVICE_MANAGEMENT, None).map_err(OpenError::Register)?;
        Ok(Asker { opened, administration, management, pkey_index, until: Instant::now() + limit })
    }
}

impl Ask for Asker {
    fn ask(&mut self, to: Destination, question: &[u8; MAD_BYTES]) -> Result<Vec<u8>, AskError> {
        let agent = match question[1] == SUBNET_ADMINISTRATION.number {
            true => self.administration,
            false => self.management,
        };
        let mut header = [0; HEADER_BYTES];
        header[QUEUE_PAIR].copy_from_slice(&1_u32.to_be_bytes());
        header[LID].copy_from_slice(&to.lid.to_be_bytes());
        header[SERVICE_LEVEL] = to.service_level;
        header[PKEY_INDEX].copy_from_slice(&self.pkey_index.to_ne_bytes());
        let patience = Asker::PATIENCE.as_millis() as c_int;
        self.opened.send(agent, &header, question, patience, c_int::from(Asker::RETRIES))?;
        let no_answer = Instant::now() + Asker::PATIENCE * (u32::from(Asker::RETRIES) + 1) + Asker::GRACE;
        loop {
            let now = Instant::now();
            if now >= self.until {
                return Err(AskError::TimeUp);
            }
            let left = no_answer.min(self.until).saturating_duration_since(now).as_millis();
            if left == 0 {
                return Err(AskError::NoAnswer);
            }
            let Some(Datagram { header, mad }) = self.opened.receive(c_int::try_from(left).unwrap_or(c_int::MAX))?
            else {
                continue;
            };
            // What is given back is the question itself.
            if header[STATUS] != [0; 4] && mad.get(12..16) == question.get(12..16) {
                return Err(AskError::NoAnswer);
            }
            if answer::belongs(&mad, question) {
                return Ok(mad);
            }
        }
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

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: the port is open, and not used after this; its agent goes with it.
        unsafe { (self.library.umad_close_port)(self.port) };
    }
}
