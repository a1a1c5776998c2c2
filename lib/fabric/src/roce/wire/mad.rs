//! The header of management datagrams (IBTA vol. 1, 13.4.2), as far as the connection manager's class needs it: all its
//! messages are sent (method `Send`), none is a request to be answered with the same transaction as a matter of form.
//!
//! ```text
//! base version 1 │ class 1 │ class version 1 │ method 1 │ status 2 │ – 2 │ TID 8 │ attribute 2 │ – 2 │ modifier 4 ║ data 232
//! ```

/// Length of a management datagram in bytes.
pub const MAD_LEN: usize = 256;
/// Length of its header in bytes.
pub const MAD_HEADER_LEN: usize = 24;
/// Length of what stands behind the header in bytes.
pub const MAD_DATA_LEN: usize = MAD_LEN - MAD_HEADER_LEN;

const BASE_VERSION: u8 = 1;
const CLASS: u8 = 0x07;
const CLASS_VERSION: u8 = 2;
const METHOD_SEND: u8 = 0x03;

/// What differs in the headers of the connection manager's messages. Status and attribute modifier are sent as 0 and
/// not read: some vendors negotiate extensions in the modifier, which 0 declines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MadHeader {
    /// Of the exchange: chosen by who begins it, the same in answers and repetitions.
    pub transaction_id: u64,
    /// Which message it is.
    pub attribute: u16,
}

/// Why a datagram on queue pair 1 is not a message of the connection manager that we know; the order is that of the
/// checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MadError {
    /// Not as long as a management datagram is.
    #[error("management datagram of {0} bytes, not {MAD_LEN}")]
    Length(usize),
    /// Another version of the header.
    #[error("management datagram of base version {0}, not {BASE_VERSION}")]
    BaseVersion(u8),
    /// Not for the connection manager.
    #[error("management class {0:#04x}, not the connection manager's")]
    Class(u8),
    /// Another version of the connection manager.
    #[error("connection manager of version {0}, not {CLASS_VERSION}")]
    ClassVersion(u8),
    /// A method that the connection manager does not have.
    #[error("method {0:#04x} of the connection manager, not Send")]
    Method(u8),
    /// A message of the standard that we have no use for: alternate paths, service ID resolution.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// No message of the standard.
    #[error("unknown message {0:#06x} of the connection manager")]
    Attribute(u16),
}

impl MadHeader {
    /// Reads the header of a message of the connection manager, and gives what stands behind it.
    ///
    /// # Errors
    /// It is something else. Never panics.
    pub fn parse(mad: &[u8]) -> Result<(MadHeader, &[u8; MAD_DATA_LEN]), MadError> {
        let mad: &[u8; MAD_LEN] = mad.try_into().map_err(|_| MadError::Length(mad.len()))?;
        let [base_version, class, class_version, method, ..] = *mad;
        if base_version != BASE_VERSION {
            return Err(MadError::BaseVersion(base_version));
        }
        if class != CLASS {
            return Err(MadError::Class(class));
        }
        if class_version != CLASS_VERSION {
            return Err(MadError::ClassVersion(class_version));
        }
        if method != METHOD_SEND {
            return Err(MadError::Method(method));
        }
        let mut fields = Reader(&mad[8..]);
        let header = MadHeader { transaction_id: fields.u64(), attribute: fields.u16() };
        Ok((header, mad.last_chunk().expect("it is shorter than a MAD")))
    }

    /// Writes it. The data behind it is left alone.
    pub fn emit(&self, out: &mut [u8; MAD_LEN]) {
        out[..4].copy_from_slice(&[BASE_VERSION, CLASS, CLASS_VERSION, METHOD_SEND]);
        out[4..8].fill(0);
        out[8..16].copy_from_slice(&self.transaction_id.to_be_bytes());
        out[16..18].copy_from_slice(&self.attribute.to_be_bytes());
        out[18..MAD_HEADER_LEN].fill(0);
    }
}

/// Takes a message apart, field by field in the standard's order. Reading past the end panics: layouts do not depend on
/// what a peer sent, so that any message at all shows such a bug.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the layout fits the message");
        self.0 = rest;
        *field
    }

    pub fn skip<const N: usize>(&mut self) {
        let _: [u8; N] = self.bytes();
    }

    pub fn u8(&mut self) -> u8 {
        u8::from_be_bytes(self.bytes())
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.bytes())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.bytes())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes())
    }

    /// The standard's favourite: 24 bits with 8 others behind.
    pub fn u24_u8(&mut self) -> (u32, u8) {
        let word = self.u32();
        (word >> 8, word as u8)
    }
}

/// Puts a message together; the counterpart of [`Reader`]. Writing past the end panics.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// Writes to `out`, which it zeroes first.
    pub fn new(out: &'a mut [u8]) -> Writer<'a> {
        out.fill(0);
        Writer { out, at: 0 }
    }

    pub fn bytes(&mut self, field: &[u8]) {
        self.out[self.at..self.at + field.len()].copy_from_slice(field);
        self.at += field.len();
    }

    pub fn skip<const N: usize>(&mut self) {
        self.at += N;
    }

    pub fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// The low 24 bits of one value, and another one.
    pub fn u24_u8(&mut self, high: u32, low: u8) {
        self.u32(high << 8 | u32::from(low));
    }
}
