//! What a client sends, and what it is answered: questions of the device management class and, for the path to a port, of the subnet administrator's
//! (IBTA vol. 1, 15.2). The agent's side is [`crate::wire`].
//!
//! ```text
//! header 24 ║ – 40                                           ║ data 192     device management
//! header 24 ║ – 20 │ attribute offset 2 │ – 2 │ component mask 8 ║ data 200     subnet administration
//! ```

use crate::client::Whom;
use crate::wire::{
    BASE_VERSION, CLASS, CLASS_VERSION, CONTROLLER, DATA_AT, ENTRIES_PER_ANSWER, ENTRY_BYTES, ENTRY_ID_AT, GET,
    GET_RESPONSE, MAD_BYTES, SERVICE_NAME, put,
};

/// A class of management, with its version and where its data are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Class {
    pub(crate) number: u8,
    pub(crate) version: u8,
    data_at: usize,
}

pub(crate) const DEVICE_MANAGEMENT: Class = Class { number: CLASS, version: CLASS_VERSION, data_at: DATA_AT };
pub(crate) const SUBNET_ADMINISTRATION: Class = Class { number: 0x03, version: 2, data_at: 56 };

pub(crate) const PATH_RECORD: u16 = 0x0035;

const COMPONENT_MASK_AT: usize = 48;
/// LIDs of single ports.
const UNICAST: std::ops::Range<u16> = 1..0xc000;

/// Why an answer is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// It is not of the form of an answer to this question.
    #[error("the answer is malformed")]
    Malformed,
    /// It is about something else than what was asked for.
    #[error("the answer is about another port")]
    Other,
    /// It says no.
    #[error("status {0:#06x}, {meaning}", meaning = meaning(*.0))]
    Status(u16),
}

/// What a status says (13.4.7, 15.2.1.4, 16.3.3).
fn meaning(status: u16) -> &'static str {
    match status {
        0x0100 => "nothing there can answer it",
        0x0300 => "no record",
        0x0200 => "the question is invalid",
        0x0500 => "a GID is invalid",
        _ => match status & 0x1f {
            0x01 => "busy: try again",
            0x02 | 0x03 => "asked to ask elsewhere, which is not done",
            0x04 => "the version of the class is not supported",
            0x08 | 0x0c => "not supported",
            0x1c => "a field is invalid",
            _ => "not served",
        },
    }
}

/// What an answer has to be of.
pub(crate) struct Form {
    pub(crate) class: Class,
    pub(crate) transaction: u32,
    pub(crate) attribute: u16,
}

impl Form {
    /// The data of an answer.
    pub(crate) fn data<'a>(&self, mad: &'a [u8]) -> Result<&'a [u8], Error> {
        let (class, version) = (self.class.number, self.class.version);
        // Shorter ones come, too: subnet administrators leave out what is behind a record.
        if mad.len() > MAD_BYTES || mad.get(..4) != Some(&[BASE_VERSION, class, version, GET_RESPONSE]) {
            return Err(Error::Malformed);
        }
        // The upper half of the transaction's number is the kernel's.
        if u32::from_be_bytes(bytes(mad, 12)?) != self.transaction
            || u16::from_be_bytes(bytes(mad, 16)?) != self.attribute
        {
            return Err(Error::Malformed);
        }
        match u16::from_be_bytes(bytes(mad, 4)?) {
            0 => mad.get(self.class.data_at..).ok_or(Error::Malformed),
            status => Err(Error::Status(status)),
        }
    }
}

/// Whether an answer may be to a question: of its class, with its transaction's number.
pub(crate) fn belongs(answer: &[u8], question: &[u8; MAD_BYTES]) -> bool {
    answer.get(1) == question.get(1)
        && answer.get(12..16) == question.get(12..16)
        && answer.get(3) == Some(&GET_RESPONSE)
}

fn question(class: Class, transaction: u32, attribute: u16, modifier: u32) -> [u8; MAD_BYTES] {
    let mut mad = [0; MAD_BYTES];
    put(&mut mad, 0, &[BASE_VERSION, class.number, class.version, GET]);
    put(&mut mad, 12, &transaction.to_be_bytes());
    put(&mut mad, 16, &attribute.to_be_bytes());
    put(&mut mad, 20, &modifier.to_be_bytes());
    mad
}

/// A question to a device management agent.
pub(crate) fn get(transaction: u32, attribute: u16, modifier: u32) -> [u8; MAD_BYTES] {
    question(DEVICE_MANAGEMENT, transaction, attribute, modifier)
}

/// A question to the subnet administrator: one path from us, there and back, in a partition.
pub(crate) fn path_query(transaction: u32, source: u128, to: Whom, pkey: u16) -> [u8; MAD_BYTES] {
    const TO_GID: u64 = 1 << 2;
    const FROM_GID: u64 = 1 << 3;
    const TO_LID: u64 = 1 << 4;
    const REVERSIBLE: u64 = 1 << 11;
    const NUMBER_OF_PATHS: u64 = 1 << 12;
    const PKEY: u64 = 1 << 13;
    let mut mad = question(SUBNET_ADMINISTRATION, transaction, PATH_RECORD, 0);
    let data = SUBNET_ADMINISTRATION.data_at;
    let mut mask = FROM_GID | REVERSIBLE | NUMBER_OF_PATHS | PKEY;
    match to {
        Whom::Gid(gid) => {
            mask |= TO_GID;
            put(&mut mad, data + 8, &gid.to_be_bytes());
        }
        Whom::Lid(lid) | Whom::Both(lid, _) => {
            mask |= TO_LID;
            put(&mut mad, data + 40, &lid.to_be_bytes());
        }
    }
    put(&mut mad, COMPONENT_MASK_AT, &mask.to_be_bytes());
    put(&mut mad, data + 24, &source.to_be_bytes());
    put(&mut mad, data + 49, &[0x80 | 1]); // reversible, one
    put(&mut mad, data + 50, &pkey.to_be_bytes());
    mad
}

/// The way to a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Path {
    pub(crate) gid: u128,
    pub(crate) lid: u16,
    pub(crate) service_level: u8,
}

pub(crate) fn path_record(data: &[u8]) -> Result<Path, Error> {
    let gid = u128::from_be_bytes(bytes(data, 8)?);
    let lid = u16::from_be_bytes(bytes(data, 40)?);
    let [_, service_level] = bytes(data, 52)?;
    if gid == 0 || !UNICAST.contains(&lid) {
        return Err(Error::Malformed);
    }
    Ok(Path { gid, lid, service_level: service_level & 0xf })
}

/// It is asked for to see that an agent of this version is there.
pub(crate) fn class_port_info(data: &[u8]) -> Result<(), Error> {
    let [base, version] = bytes(data, 0)?;
    if base == BASE_VERSION && version == CLASS_VERSION { Ok(()) } else { Err(Error::Malformed) }
}

/// The slots that have a controller.
pub(crate) fn io_unit_info(data: &[u8]) -> Result<Vec<u8>, Error> {
    let [slots] = bytes(data, 2)?;
    let list: [u8; 128] = bytes(data, 4)?;
    let state = |slot: u8| {
        let index = usize::from(slot - 1);
        let pair = list[index / 2];
        if index % 2 == 0 { pair >> 4 } else { pair & 0xf }
    };
    Ok((1..=slots).filter(|slot| state(*slot) == CONTROLLER).collect())
}

/// A controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Controller {
    pub(crate) guid: u64,
    pub(crate) io_class: u16,
    pub(crate) services: u8,
}

pub(crate) fn io_controller_profile(data: &[u8]) -> Result<Controller, Error> {
    let [services] = bytes(data, 54)?;
    Ok(Controller {
        guid: u64::from_be_bytes(bytes(data, 0)?),
        io_class: u16::from_be_bytes(bytes(data, 28)?),
        services,
    })
}

/// A service of an SRP target.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Service {
    pub(crate) id_ext: String,
    pub(crate) id: u64,
}

/// Those of the first `count` services that are an SRP target's, by their names: nothing else gets from here to who prints it.
pub(crate) fn service_entries(data: &[u8], count: usize) -> Vec<Service> {
    data.chunks_exact(ENTRY_BYTES).take(count.min(usize::from(ENTRIES_PER_ANSWER))).filter_map(service).collect()
}

fn service(entry: &[u8]) -> Option<Service> {
    let (name, id) = (entry.get(..ENTRY_ID_AT)?, u64::from_be_bytes(bytes(entry, ENTRY_ID_AT).ok()?));
    let (digits, rest) = name.strip_prefix(SERVICE_NAME.as_bytes())?.split_at_checked(16)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) || rest.first().is_none_or(|byte| *byte != 0) {
        return None;
    }
    Some(Service { id_ext: digits.iter().copied().map(char::from).collect(), id })
}

/// The bytes of a field.
fn bytes<const N: usize>(data: &[u8], at: usize) -> Result<[u8; N], Error> {
    data.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Error::Malformed)
}
