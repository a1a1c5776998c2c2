//! An iSCSI front for the simulated target, so that programs that speak iSCSI can be let loose on it: RFC 7143, as far as one
//! connection a session, without digests, authentication and error recovery.
//!
//! Each session logs in to the target as an SRP initiator of its own, and each PDU is dealt with to its end before the next is read.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use super::super::{MultiChannel, Rig};
use crate::testing::wire::{Function, Residual};
use crate::testing::{Answer, Initiator, Outcome, Request};

const HEADER_BYTES: usize = 48;
const FINAL: u8 = 0x80;
/// Also FirstBurstLength and MaxBurstLength: what libiscsi offers.
const SEGMENT_BYTES: usize = 262_144;
/// Commands that may be outstanding.
const WINDOW: u32 = 32;
const NO_TAG: [u8; 4] = [0xff; 4];

/// What a target answers in the operational stage.
const KEYS: [&str; 12] = [
    "HeaderDigest=None",
    "DataDigest=None",
    "MaxConnections=1",
    "InitialR2T=No",
    "ImmediateData=Yes",
    "MaxRecvDataSegmentLength=262144",
    "MaxBurstLength=262144",
    "FirstBurstLength=262144",
    "DefaultTime2Wait=2",
    "DefaultTime2Retain=0",
    "MaxOutstandingR2T=1",
    "ErrorRecoveryLevel=0",
];

/// A PDU: its basic header segment, what is left of its additional ones, and its data.
struct Pdu {
    header: [u8; HEADER_BYTES],
    additional: Vec<u8>,
    data: Vec<u8>,
}

/// The front: listens, and serves what connects.
pub(super) struct Front {
    listener: TcpListener,
    sessions: Vec<Session>,
    /// The number of each initiator port, by name and ISID: who comes back is the same SRP initiator.
    numbers: HashMap<String, u8>,
}

struct Session {
    stream: TcpStream,
    /// From the end of the login on.
    nexus: Option<(Initiator, usize)>,
    status_number: u32,
    expected_command: u32,
}

impl Front {
    pub(super) fn listen() -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        Front { listener, sessions: Vec::new(), numbers: HashMap::new() }
    }

    /// For unit `lun`.
    pub(super) fn url(&self, lun: u16) -> String {
        format!("iscsi://{}/iqn.2000-01.test:target/{lun}", self.listener.local_addr().expect("it is bound"))
    }

    /// One round: new connections, and a PDU of each session. Returns whether anything happened.
    pub(super) fn poll(&mut self, rig: &mut Rig) -> bool {
        let mut busy = false;
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(false).expect("a stream");
            stream.set_nodelay(true).expect("a stream");
            stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a stream");
            self.sessions.push(Session { stream, nexus: None, status_number: 1, expected_command: 0 });
            busy = true;
        }
        let mut at = 0;
        while at < self.sessions.len() {
            match self.sessions[at].poll(rig, &mut self.numbers) {
                Ok(progress) => {
                    busy |= progress;
                    at += 1;
                }
                Err(_) => {
                    self.sessions.swap_remove(at).end(rig);
                    busy = true;
                }
            }
        }
        busy
    }

    /// Whoever is still there is sent away.
    pub(super) fn close(&mut self, rig: &mut Rig) {
        self.sessions.drain(..).for_each(|session| session.end(rig));
    }
}

impl Session {
    fn poll(&mut self, rig: &mut Rig, numbers: &mut HashMap<String, u8>) -> io::Result<bool> {
        let mut first = [0];
        match self.stream.peek(&mut first) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => (),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(false),
            Err(error) => return Err(error),
        }
        let pdu = self.read()?;
        match pdu.header[0] & 0x3f {
            0x00 => self.nop(&pdu)?,
            0x01 => self.command(&pdu, rig)?,
            0x02 => self.manage(&pdu, rig)?,
            0x03 => self.login(&pdu, rig, numbers)?,
            0x06 => {
                let mut header = self.header(0x26, FINAL, &pdu);
                header[2] = 0;
                self.write(header, &[])?;
                return Err(ErrorKind::ConnectionReset.into());
            }
            _ => return Err(ErrorKind::Unsupported.into()),
        }
        Ok(true)
    }

    fn end(self, rig: &mut Rig) {
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some((mut initiator, channel)) = self.nexus {
            initiator.disconnect(channel);
            rig.run(100);
        }
    }

    /// Both stages are answered at once with all there is to say.
    fn login(&mut self, pdu: &Pdu, rig: &mut Rig, numbers: &mut HashMap<String, u8>) -> io::Result<()> {
        let text = String::from_utf8_lossy(&pdu.data).into_owned();
        let (current, next) = (pdu.header[1] >> 2 & 3, pdu.header[1] & 3);
        self.expected_command = number(&pdu.header, 24);
        if let Some(name) = text.split('\0').find_map(|pair| pair.strip_prefix("InitiatorName=")) {
            let count = (numbers.len() % 200) as u8; // far more than are there at a time
            let port = *numbers.entry(format!("{name} {:02x?}", &pdu.header[8..14])).or_insert(count + 1);
            let mut initiator = rig.initiator(port);
            let channel = rig.login(&mut initiator, MultiChannel::Single);
            self.nexus = Some((initiator, channel));
        }
        let keys = match current {
            0 => "AuthMethod=None\0TargetPortalGroupTag=1\0".to_owned(),
            _ => KEYS.iter().map(|key| format!("{key}\0")).collect(),
        };
        let mut header = self.header(0x23, FINAL | current << 2 | next, pdu);
        header[8..14].copy_from_slice(&pdu.header[8..14]);
        header[15] = 1; // TSIH
        header[16..20].copy_from_slice(&pdu.header[16..20]);
        self.write(header, keys.as_bytes())
    }

    fn nop(&mut self, pdu: &Pdu) -> io::Result<()> {
        if pdu.header[16..20] == NO_TAG {
            return Ok(());
        }
        let mut header = self.header(0x20, FINAL, pdu);
        header[20..24].copy_from_slice(&NO_TAG);
        self.write(header, &pdu.data)
    }

    fn command(&mut self, pdu: &Pdu, rig: &mut Rig) -> io::Result<()> {
        const READ: u8 = 0x40;
        const WRITE: u8 = 0x20;
        if pdu.header[0] & 0x40 == 0 {
            self.expected_command = number(&pdu.header, 24).wrapping_add(1);
        }
        let expected = number(&pdu.header, 20);
        let mut cdb = pdu.header[32..48].to_vec();
        // An extended CDB: AHSLength, AHSType, a reserved byte, then the rest.
        if let [_, _, 1, _, rest @ ..] = &pdu.additional[..] {
            cdb.extend_from_slice(rest);
        }
        let mut request = Request::new(pdu.header[8..16].try_into().expect("8 bytes"), cdb);
        request.task_attribute = match pdu.header[1] & 7 {
            2 => 2,
            3 => 1,
            4 => 4,
            _ => 0,
        };
        match pdu.header[1] & (READ | WRITE) {
            WRITE => request = request.data_out(self.data_out(pdu, expected as usize)?),
            READ if expected > 0 => request = request.data_in(expected),
            _ => (),
        }
        let Some((initiator, channel)) = &mut self.nexus else { return Err(ErrorKind::NotConnected.into()) };
        let outcome = rig.execute(initiator, *channel, &request);
        rig.run(3);
        match outcome {
            Outcome::Answered(answer) => self.answer(pdu, &answer),
            Outcome::Aborted | Outcome::Lost => Err(ErrorKind::ConnectionAborted.into()),
        }
    }

    /// What came with the command, and what has to be asked for.
    fn data_out(&mut self, pdu: &Pdu, expected: usize) -> io::Result<Vec<u8>> {
        let mut data = pdu.data.clone();
        if pdu.header[1] & FINAL == 0 {
            self.receive_burst(&mut data)?;
        }
        let mut r2t_number = 0_u32;
        while data.len() < expected {
            let mut header = self.header(0x31, FINAL, pdu);
            header[8..16].copy_from_slice(&pdu.header[8..16]);
            header[20..24].copy_from_slice(&1_u32.to_be_bytes());
            header[24..28].copy_from_slice(&self.status_number.to_be_bytes());
            header[36..40].copy_from_slice(&r2t_number.to_be_bytes());
            header[40..44].copy_from_slice(&(data.len() as u32).to_be_bytes());
            header[44..48].copy_from_slice(&((expected - data.len()).min(SEGMENT_BYTES) as u32).to_be_bytes());
            self.write_as_it_is(header, &[])?;
            self.receive_burst(&mut data)?;
            r2t_number += 1;
        }
        Ok(data)
    }

    fn receive_burst(&mut self, data: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let pdu = self.read()?;
            if pdu.header[0] & 0x3f != 0x05 || number(&pdu.header, 40) as usize != data.len() {
                return Err(ErrorKind::InvalidData.into());
            }
            data.extend_from_slice(&pdu.data);
            if pdu.header[1] & FINAL != 0 {
                return Ok(());
            }
        }
    }

    fn answer(&mut self, pdu: &Pdu, answer: &Answer) -> io::Result<()> {
        let data = if answer.data.is_empty() { &[][..] } else { answer.used() };
        for (index, piece) in data.chunks(SEGMENT_BYTES).enumerate() {
            let offset = index * SEGMENT_BYTES;
            let last = offset + piece.len() == data.len();
            let mut header = self.header(0x25, if last { FINAL } else { 0 }, pdu);
            header[20..24].copy_from_slice(&NO_TAG);
            header[36..40].copy_from_slice(&(index as u32).to_be_bytes());
            header[40..44].copy_from_slice(&(offset as u32).to_be_bytes());
            self.write_as_it_is(header, piece)?;
        }
        let (flag, residual) = match (&answer.residual_in, &answer.residual_out) {
            (Residual::Over(count), _) | (_, Residual::Over(count)) => (0x04, *count),
            (Residual::Under(count), _) | (_, Residual::Under(count)) => (0x02, *count),
            _ => (0, 0),
        };
        let mut header = self.header(0x21, FINAL | flag, pdu);
        header[3] = answer.status;
        header[36..40].copy_from_slice(&(data.len().div_ceil(SEGMENT_BYTES) as u32).to_be_bytes());
        header[44..48].copy_from_slice(&residual.to_be_bytes());
        let mut sense = Vec::new();
        if !answer.sense.is_empty() {
            sense.extend_from_slice(&(answer.sense.len() as u16).to_be_bytes());
            sense.extend_from_slice(&answer.sense);
        }
        self.write(header, &sense)
    }

    /// Nothing is ever outstanding here, so only resets do something.
    fn manage(&mut self, pdu: &Pdu, rig: &mut Rig) -> io::Result<()> {
        const COMPLETE: u8 = 0;
        const NO_TASK: u8 = 1;
        const NOT_SUPPORTED: u8 = 5;
        let Some((initiator, channel)) = &mut self.nexus else { return Err(ErrorKind::NotConnected.into()) };
        let function = match pdu.header[1] & 0x7f {
            2 => Some(Function::AbortTaskSet),
            4 => Some(Function::ClearTaskSet),
            5 => Some(Function::LunReset),
            _ => None,
        };
        let response = match function {
            None if pdu.header[1] & 0x7f == 1 => NO_TASK,
            None => NOT_SUPPORTED,
            Some(function) => {
                let lun = pdu.header[8..16].try_into().expect("8 bytes");
                let handle = initiator.manage(*channel, function, lun, None).expect("a credit");
                let code = initiator.finish(handle, &mut || rig.step()).answer().code;
                if code == Some(0) { COMPLETE } else { NOT_SUPPORTED }
            }
        };
        let mut header = self.header(0x22, FINAL, pdu);
        header[2] = response;
        self.write(header, &[])
    }

    /// A header with the tag of what it answers.
    fn header(&self, opcode: u8, flags: u8, pdu: &Pdu) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        (header[0], header[1]) = (opcode, flags);
        header[16..20].copy_from_slice(&pdu.header[16..20]);
        header[28..32].copy_from_slice(&self.expected_command.to_be_bytes());
        header[32..36].copy_from_slice(&self.expected_command.wrapping_add(WINDOW).to_be_bytes());
        header
    }

    /// With the next status number.
    fn write(&mut self, mut header: [u8; HEADER_BYTES], data: &[u8]) -> io::Result<()> {
        header[24..28].copy_from_slice(&self.status_number.to_be_bytes());
        self.status_number = self.status_number.wrapping_add(1);
        self.write_as_it_is(header, data)
    }

    fn write_as_it_is(&mut self, mut header: [u8; HEADER_BYTES], data: &[u8]) -> io::Result<()> {
        header[5..8].copy_from_slice(&(data.len() as u32).to_be_bytes()[1..]);
        let mut bytes = [&header[..], data].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        self.stream.write_all(&bytes)
    }

    fn read(&mut self) -> io::Result<Pdu> {
        let mut header = [0; HEADER_BYTES];
        self.read_all(&mut header)?;
        let mut additional = vec![0; usize::from(header[4]) * 4];
        self.read_all(&mut additional)?;
        let len = number(&header, 4) as usize & 0xff_ffff;
        let mut data = vec![0; len.next_multiple_of(4)];
        self.read_all(&mut data)?;
        data.truncate(len);
        Ok(Pdu { header, additional, data })
    }

    /// The stream's time limit is for the beginning of a PDU, not for its middle.
    fn read_all(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            match self.stream.read(&mut bytes[at..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => at += count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}
