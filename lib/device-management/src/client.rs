//! The client: asks the device management agent of a port which SRP targets there are. It asks the port that it is told to ask, whatever that says of
//! itself: without the capability bit that tools look for first. No device, no clock: datagrams pass through [`Ask`].
//!
//! All that comes is hostile until parsed. The number of questions is bounded by what bytes can count, and their time by who asks them ([`Ask`]).

use std::collections::BTreeSet;
use std::fmt;

use crate::answer::{self, Controller, DEVICE_MANAGEMENT, Form, Path, SUBNET_ADMINISTRATION};
use crate::wire::{self, MAD_BYTES};

/// Where a question goes: to queue pair 1 of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Destination {
    /// The port's local identifier.
    pub lid: u16,
    /// Service level of the path.
    pub service_level: u8,
}

/// Passes questions.
pub trait Ask {
    /// Sends a question of a class and waits for the answer to it, again and again if need be, and not forever.
    ///
    /// # Errors
    /// No answer came in time, or the port fails.
    fn ask(&mut self, to: Destination, question: &[u8; MAD_BYTES]) -> Result<Vec<u8>, AskError>;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody answered.
    #[error("no answer")]
    NoAnswer,
    /// The time for all questions together is up.
    #[error("the time is up")]
    TimeUp,
    /// The port of this host fails.
    #[error("the port fails: {0}")]
    Port(#[from] std::io::Error),
}

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whom {
    /// The port with this local identifier.
    Lid(u16),
    /// The port with this GID.
    Gid(u128),
    /// The port of which both are known: the subnet administrator is not asked.
    Both(u16, u128),
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whom::Lid(lid) | Whom::Both(lid, _) => write!(f, "LID {lid}"),
            Whom::Gid(gid) => write!(f, "GID {}", std::net::Ipv6Addr::from_bits(*gid)),
        }
    }
}

/// What is known of the port of this host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Local {
    /// Its GID.
    pub gid: u128,
    /// Where the subnet administrator is.
    pub manager: Destination,
    /// The partition that is asked in.
    pub pkey: u16,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The port of this host knows no subnet administrator.
    #[error("this host's port knows no subnet manager: start one (opensm), or give --lid and --gid, both")]
    NoManager,
    /// The subnet administrator did not answer.
    #[error(
        "the subnet administrator (LID {lid}) cannot be asked for the path to {whom}: {error}. Is the subnet manager running, and that a port of the fabric? --lid and --gid together need no path"
    )]
    Administrator {
        /// Where it is.
        lid: u16,
        /// Whose path it was asked for.
        whom: Whom,
        /// What happened.
        error: AskError,
    },
    /// It has no path.
    #[error(
        "the subnet administrator tells no path to {whom}: {error}. Is that a port of this fabric, up, and in the partition {pkey:04x}?"
    )]
    NoPath {
        /// Whose path it was asked for.
        whom: Whom,
        /// In which partition.
        pkey: u16,
        /// What it said.
        error: answer::Error,
    },
    /// No agent is there, or it does not answer us.
    #[error(
        "{whom} does not answer device management: {error}. Is the port up, and a target there: srpt-app with a listener of the fabric ib, ib_srpt or SCST?"
    )]
    Agent {
        /// Who was asked.
        whom: Whom,
        /// What happened.
        error: AskError,
    },
    /// It answers what is none.
    #[error("{whom} answers device management, but not {attribute}: {error}")]
    Answer {
        /// Who was asked.
        whom: Whom,
        /// What for.
        attribute: &'static str,
        /// What it said.
        error: answer::Error,
    },
}

/// A service of a controller: a way to log in to a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// `id_ext`, as the service's name has it: 16 hexadecimal digits.
    pub id_ext: String,
    /// `ioc_guid`.
    pub ioc_guid: u64,
    /// `dgid`.
    pub gid: u128,
    /// `pkey`.
    pub pkey: u16,
    /// `service_id`.
    pub service_id: u64,
    /// `io_class`; that of SRP's revision 16a goes without saying.
    pub io_class: u16,
}

/// As `ibsrpdm -c` prints it, and `add_target` takes it.
impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Login { id_ext, ioc_guid, gid, pkey, service_id, io_class } = self;
        write!(
            f,
            "id_ext={id_ext},ioc_guid={ioc_guid:016x},dgid={gid:032x},pkey={pkey:04x},service_id={service_id:016x}"
        )?;
        if *io_class != wire::IO_CLASS_16A { write!(f, ",io_class={io_class:04x}") } else { Ok(()) }
    }
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Found {
    /// Ways to log in.
    pub logins: Vec<Login>,
    /// What the agent did not tell, though it said that it is there.
    pub left_out: Vec<String>,
}

/// Asks for all targets of a port.
///
/// # Errors
/// Nobody answers, or not what was asked for. A controller of which that is so is left out instead.
pub fn discover(asker: &mut dyn Ask, local: Local, whom: Whom) -> Result<Found, DiscoverError> {
    let mut client = Client { asker, local, whom, to: local.manager, transaction: 0 };
    let path = match whom {
        Whom::Both(lid, gid) => Path { gid, lid, service_level: 0 },
        Whom::Lid(_) | Whom::Gid(_) => client.path()?,
    };
    client.to = Destination { lid: path.lid, service_level: path.service_level };
    client.get("ClassPortInfo", wire::CLASS_PORT_INFO, 0, answer::class_port_info)?;
    let slots = client.get("IOUnitInfo", wire::IO_UNIT_INFO, 0, answer::io_unit_info)?;
    let mut found = Found::default();
    for slot in slots {
        match client.controller(slot, path.gid) {
            Ok(logins) => found.logins.extend(logins),
            Err(error @ DiscoverError::Answer { .. }) => found.left_out.push(format!("controller {slot}: {error}")),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

struct Client<'a> {
    asker: &'a mut dyn Ask,
    local: Local,
    whom: Whom,
    to: Destination,
    transaction: u32,
}

impl Client<'_> {
    fn path(&mut self) -> Result<Path, DiscoverError> {
        let Local { gid, manager, pkey } = self.local;
        let whom = self.whom;
        if manager.lid == 0 {
            return Err(DiscoverError::NoManager);
        }
        self.transaction += 1;
        let question = answer::path_query(self.transaction, gid, whom, pkey);
        let answer = self.asker.ask(manager, &question).map_err(|error| DiscoverError::Administrator {
            lid: manager.lid,
            whom,
            error,
        })?;
        let form = Form { class: SUBNET_ADMINISTRATION, transaction: self.transaction, attribute: answer::PATH_RECORD };
        let told = form.data(&answer).and_then(answer::path_record);
        let path = told.and_then(|path| match whom {
            Whom::Lid(lid) | Whom::Both(lid, _) if lid != path.lid => Err(answer::Error::Other),
            Whom::Gid(gid) if gid != path.gid => Err(answer::Error::Other),
            _ => Ok(path),
        });
        path.map_err(|error| DiscoverError::NoPath { whom, pkey, error })
    }

    fn get<T>(
        &mut self,
        name: &'static str,
        attribute: u16,
        modifier: u32,
        parse: impl Fn(&[u8]) -> Result<T, answer::Error>,
    ) -> Result<T, DiscoverError> {
        let whom = self.whom;
        self.transaction += 1;
        let question = answer::get(self.transaction, attribute, modifier);
        let answer = self.asker.ask(self.to, &question).map_err(|error| DiscoverError::Agent { whom, error })?;
        let form = Form { class: DEVICE_MANAGEMENT, transaction: self.transaction, attribute };
        form.data(&answer).and_then(parse).map_err(|error| DiscoverError::Answer { whom, attribute: name, error })
    }

    /// The services of a controller that are an SRP target's, each once.
    fn controller(&mut self, slot: u8, gid: u128) -> Result<Vec<Login>, DiscoverError> {
        let Controller { guid, io_class, services } = self.get(
            "IOControllerProfile",
            wire::IO_CONTROLLER_PROFILE,
            u32::from(slot),
            answer::io_controller_profile,
        )?;
        let mut logins = Vec::new();
        let mut told = BTreeSet::new();
        for first in (0..services).step_by(usize::from(wire::ENTRIES_PER_ANSWER)) {
            let count = (services - first).min(wire::ENTRIES_PER_ANSWER);
            let modifier = u32::from_be_bytes([0, slot, first + count - 1, first]);
            let parse = |data: &[u8]| Ok(answer::service_entries(data, usize::from(count)));
            for entry in self.get("ServiceEntries", wire::SERVICE_ENTRIES, modifier, parse)? {
                if !told.insert(entry.clone()) {
                    continue;
                }
                let answer::Service { id_ext, id: service_id } = entry;
                logins.push(Login { id_ext, ioc_guid: guid, gid, pkey: self.local.pkey, service_id, io_class });
            }
        }
        Ok(logins)
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
