//! Datagrams of the device management class (IBTA vol. 1, 13.4.2 and 16.3; SRP annex A): requests taken apart, answers put together.
//!
//! ```text
//! base version 1 │ class 6 │ class version 1 │ method 1 │ status 2 │ – 2 │ TID 8 │ attribute 2 │ – 2 │ modifier 4 ║ – 40 ║ data 192
//! ```
//!
//! Nothing here panics, whatever the bytes.

/// Length of a management datagram in bytes.
pub const MAD_BYTES: usize = 256;
/// The management class of device management.
pub const CLASS: u8 = 0x06;
/// Its version.
pub const CLASS_VERSION: u8 = 1;
/// Most I/O controllers of a unit: they are numbered from 1 in a byte.
pub const SLOTS_MAX: usize = 255;
/// Most services of a controller, which are counted in a byte.
pub const SERVICES_MAX: usize = 255;

pub(crate) const BASE_VERSION: u8 = 1;
const HEADER_BYTES: usize = 24;
pub(crate) const DATA_AT: usize = 64;
const METHOD_AT: usize = 3;
const STATUS_AT: usize = 4;
const CLASS_SPECIFIC_AT: usize = 6;

pub(crate) const GET: u8 = 0x01;
const SET: u8 = 0x02;
const SEND: u8 = 0x03;
const TRAP: u8 = 0x05;
const TRAP_REPRESS: u8 = 0x07;
const RESPONSE: u8 = 0x80;
pub(crate) const GET_RESPONSE: u8 = 0x81;

// Attributes (16.3.3).
pub(crate) const CLASS_PORT_INFO: u16 = 0x0001;
pub(crate) const IO_UNIT_INFO: u16 = 0x0010;
pub(crate) const IO_CONTROLLER_PROFILE: u16 = 0x0011;
pub(crate) const SERVICE_ENTRIES: u16 = 0x0012;

/// What a slot holds, by the half byte: a controller.
pub(crate) const CONTROLLER: u8 = 0x1;
/// The I/O class of SRP by its revision 16a.
pub(crate) const IO_CLASS_16A: u16 = 0x0100;
/// Services that fit into an answer, and the bytes of each.
pub(crate) const ENTRIES_PER_ANSWER: u8 = 4;
pub(crate) const ENTRY_BYTES: usize = 48;
/// Where a service has its id, behind its name.
pub(crate) const ENTRY_ID_AT: usize = 40;
/// What the names of SRP targets' services begin with; `id_ext` follows in 16 digits.
pub(crate) const SERVICE_NAME: &str = "SRP.T10:";

/// The data of an answer.
pub type Data = [u8; MAD_BYTES - DATA_AT];

/// A request to which there is an answer, if only that it cannot be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    header: [u8; HEADER_BYTES],
    /// What it asks for, or why that cannot be served.
    pub query: Result<Query, Status>,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Query {
    /// What the agent can do.
    ClassPortInfo,
    /// Which I/O controllers there are.
    IoUnitInfo,
    /// One of them, by its slot: from 1.
    IoControllerProfile {
        /// Its number.
        slot: u8,
    },
    /// A range of its services, from 0: four at most.
    ServiceEntries {
        /// The number of the controller.
        slot: u8,
        /// The first service.
        first: u8,
        /// The last.
        last: u8,
    },
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unanswerable {
    /// Not as long as a management datagram is.
    #[error("management datagram of {0} bytes, not {MAD_BYTES}")]
    Length(usize),
    /// Not for device management, or of another version of it.
    #[error("not of the device management class")]
    Class,
    /// An answer, or a notice that wants none.
    #[error("method {0:#04x} has no answer")]
    Method(u8),
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It was served.
    Good = 0,
    /// No such method.
    UnsupportedMethod = 0x0008,
    /// No such attribute, or not with this method.
    UnsupportedAttribute = 0x000c,
    /// The attribute modifier is out of range.
    InvalidField = 0x001c,
    /// The slot has no I/O controller.
    NoController = 0x0100,
}

impl Request {
    /// Takes a datagram apart.
    ///
    /// # Errors
    /// It is none that is answered.
    pub fn parse(mad: &[u8]) -> Result<Request, Unanswerable> {
        let mad: &[u8; MAD_BYTES] = mad.try_into().map_err(|_| Unanswerable::Length(mad.len()))?;
        let header: [u8; HEADER_BYTES] = *mad.first_chunk().ok_or(Unanswerable::Length(mad.len()))?;
        let [BASE_VERSION, CLASS, CLASS_VERSION, method, ..] = header else { return Err(Unanswerable::Class) };
        if method & RESPONSE != 0 || matches!(method, SEND | TRAP | TRAP_REPRESS) {
            return Err(Unanswerable::Method(method));
        }
        let [.., a, b, _, _, slot_high, slot_low, last, first] = header;
        let (attribute, modifier) = (u16::from_be_bytes([a, b]), [slot_high, slot_low, last, first]);
        let query = match method {
            GET => Query::parse(attribute, modifier),
            SET => Err(Status::UnsupportedAttribute), // nothing can be set
            _ => Err(Status::UnsupportedMethod),
        };
        Ok(Request { header, query })
    }

    /// The answer: the request's header with status and method of the answer, and data.
    pub fn answer(&self, status: Status, data: &Data) -> [u8; MAD_BYTES] {
        let mut mad = [0; MAD_BYTES];
        put(&mut mad, 0, &self.header);
        put(&mut mad, METHOD_AT, &[GET_RESPONSE]);
        put(&mut mad, STATUS_AT, &(status as u16).to_be_bytes());
        put(&mut mad, CLASS_SPECIFIC_AT, &[0; 2]);
        put(&mut mad, DATA_AT, data);
        mad
    }
}

impl Query {
    fn parse(attribute: u16, modifier: [u8; 4]) -> Result<Query, Status> {
        match (attribute, modifier) {
            (CLASS_PORT_INFO, _) => Ok(Query::ClassPortInfo),
            (IO_UNIT_INFO, _) => Ok(Query::IoUnitInfo),
            (IO_CONTROLLER_PROFILE, [0, 0, 0, slot @ 1..=255]) => Ok(Query::IoControllerProfile { slot }),
            (SERVICE_ENTRIES, [0, slot @ 1..=255, last, first])
                if first <= last && last - first < ENTRIES_PER_ANSWER =>
            {
                Ok(Query::ServiceEntries { slot, first, last })
            }
            (IO_CONTROLLER_PROFILE | SERVICE_ENTRIES, _) => Err(Status::InvalidField),
            _ => Err(Status::UnsupportedAttribute),
        }
    }
}

/// What the agent can do: nothing beyond the attributes.
pub fn class_port_info() -> Data {
    /// 4.096 µs × 2^20: 4 s, as the kernel's target says.
    const RESPONSE_TIME: u32 = 20;
    let mut data = [0; MAD_BYTES - DATA_AT];
    put(&mut data, 0, &[BASE_VERSION, CLASS_VERSION]);
    put(&mut data, 4, &RESPONSE_TIME.to_be_bytes());
    data
}

/// Which slots there are, and which of them have a controller.
pub fn io_unit_info(change_id: u16, slots: &[bool]) -> Data {
    const NO_SLOT: u8 = 0xf;
    const LIST_AT: usize = 4;
    let mut data = [0; MAD_BYTES - DATA_AT];
    put(&mut data, 0, &change_id.to_be_bytes());
    let count = u8::try_from(slots.len()).unwrap_or(u8::MAX);
    put(&mut data, 2, &[count]);
    let state = |slot: usize| match slots.get(slot) {
        None => NO_SLOT,
        Some(true) => CONTROLLER,
        Some(false) => 0,
    };
    let list: [u8; 128] = std::array::from_fn(|pair| state(2 * pair) << 4 | state(2 * pair + 1));
    put(&mut data, LIST_AT, &list);
    data
}

/// An I/O controller: what initiators see of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoControllerProfile<'a> {
    /// The `ioc_guid` of logins.
    pub guid: u64,
    /// Messages that it can have under way.
    pub send_queue_depth: u16,
    /// RDMA READs that it can have under way.
    pub rdma_read_depth: u8,
    /// Longest message that it takes, in bytes: the `max_it_iu_size` of logins.
    pub send_bytes: u32,
    /// Longest RDMA transfer in bytes.
    pub rdma_bytes: u32,
    /// How many services it has.
    pub services: u8,
    /// What people read; what is beyond 63 bytes is left out.
    pub name: &'a str,
}

impl IoControllerProfile<'_> {
    /// Writes it. There is no vendor and no device to tell of: the fields are 0.
    pub fn emit(&self) -> Data {
        /// SRP, with its protocol's number and version.
        const SRP: [u16; 4] = [IO_CLASS_16A, 0x609e, 0x0108, 1];
        /// SENDs in both directions, RDMA READs and WRITEs by the controller.
        const CAPABILITIES: u8 = 0x01 | 0x02 | 0x08 | 0x20;
        let mut data = [0; MAD_BYTES - DATA_AT];
        put(&mut data, 0, &self.guid.to_be_bytes());
        SRP.iter().zip([28, 30, 32, 34]).for_each(|(field, at)| put(&mut data, at, &field.to_be_bytes()));
        put(&mut data, 40, &self.send_queue_depth.to_be_bytes());
        put(&mut data, 43, &[self.rdma_read_depth]);
        put(&mut data, 44, &self.send_bytes.to_be_bytes());
        put(&mut data, 48, &self.rdma_bytes.to_be_bytes());
        put(&mut data, 52, &[CAPABILITIES]);
        put(&mut data, 54, &[self.services]);
        let ends = self.name.char_indices().map(|(at, char)| at + char.len_utf8());
        let length = ends.take_while(|end| *end <= 63).last().unwrap_or(0);
        put(&mut data, 64, &self.name.as_bytes()[..length]);
        data
    }
}

/// Up to four services of an SRP target: all of the same name, by which it is known that they are SRP's.
pub fn service_entries(id_ext: u64, ids: &[u64]) -> Data {
    let mut data = [0; MAD_BYTES - DATA_AT];
    let name = format!("{SERVICE_NAME}{id_ext:016X}");
    for (entry, id) in data.chunks_exact_mut(ENTRY_BYTES).zip(ids) {
        put(entry, 0, name.as_bytes());
        put(entry, ENTRY_ID_AT, &id.to_be_bytes());
    }
    data
}

/// What does not fit is left out, which no caller relies on.
pub(crate) fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out.iter_mut().skip(at).zip(bytes).for_each(|(out, byte)| *out = *byte);
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
