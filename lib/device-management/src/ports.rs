//! The ports at which the agent answers: found in sysfs as they come, given up as they go.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use rdma_core_sys::UmadLoadError;

use crate::agent::Directory;
use crate::umad;
use crate::wire::{MAD_BYTES, Status};

/// Datagrams of a port that are answered in one round.
const DATAGRAMS_PER_ROUND: usize = 16;

/// The kernel's header in front of each datagram (`struct ib_user_mad`): who is to be answered.
pub(crate) const HEADER_BYTES: usize = 64;

/// A port of a device.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct PortName {
    pub(crate) device: String,
    pub(crate) number: u8,
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.number)
    }
}

/// Why a port is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Load(#[from] UmadLoadError),
    #[error("the port's file /dev/infiniband/umad*, which the kernel's module ib_umad makes, cannot be opened: {0}")]
    Open(io::Error),
    #[error(
        "another agent answers device management on this port, the kernel's ib_srpt or SCST: unload it, or start srpt-app with --device-management off ({0})"
    )]
    Register(io::Error),
    #[error("the kernel's headers of datagrams do not have {HEADER_BYTES} bytes: it is older than 2.6.24")]
    Header,
}

/// A datagram that came, with the header that says who sent it.
pub(crate) struct Datagram {
    pub(crate) header: [u8; HEADER_BYTES],
    pub(crate) mad: Vec<u8>,
}

/// A port at which an agent of ours is registered. Nothing waits.
pub(crate) trait Exchange: fmt::Debug {
    /// A datagram, if one has come. An error: the port is gone.
    fn receive(&mut self) -> io::Result<Option<Datagram>>;
    /// Sends an answer to whom a header names.
    fn answer(&mut self, to: &[u8; HEADER_BYTES], mad: &[u8; MAD_BYTES]) -> io::Result<()>;
}

type Open = fn(&str, u8) -> Result<Box<dyn Exchange>, OpenError>;

/// What became of datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Answered with what was asked for.
    pub answered: u64,
    /// Answered with a status: what was asked for is not there.
    pub refused: u64,
    /// Not answered: malformed, or nothing that wants an answer.
    pub ignored: u64,
    /// Answered, and the answer could not be sent.
    pub unsent: u64,
}

/// Answers at all InfiniBand ports.
#[derive(Debug)]
pub struct Ports {
    sysfs: PathBuf,
    open: Open,
    ports: BTreeMap<PortName, State>,
    counts: BTreeMap<PortName, Counts>,
}

#[derive(Debug)]
enum State {
    Served(Box<dyn Exchange>),
    /// Tried again at each look. Why it is not was said once.
    Waits(String),
}

impl Default for Ports {
    fn default() -> Ports {
        let open = |device: &str, number| Ok(Box::new(umad::Port::open(device, number)?) as Box<dyn Exchange>);
        Ports::new("/sys/class/infiniband".into(), open)
    }
}

impl Ports {
    fn new(sysfs: PathBuf, open: Open) -> Ports {
        Ports { sysfs, open, ports: BTreeMap::new(), counts: BTreeMap::new() }
    }

    /// Opens ports that have come, closes those that have gone, and tries again those that could not be opened. Wants to be called every second.
    pub fn look(&mut self) {
        let there = infiniband_ports(&self.sysfs);
        self.ports.retain(|name, state| {
            let stays = there.contains(name);
            if !stays && matches!(state, State::Served(_)) {
                tracing::info!(port = %name, "the port is gone: device management is answered there no more");
            }
            stays
        });
        for name in there {
            self.try_open(name);
        }
    }

    /// Leaves every port to others.
    pub fn leave(&mut self) {
        if !self.ports.is_empty() {
            tracing::info!("device management is answered no more: there is no listener for native InfiniBand");
            self.ports.clear();
        }
    }

    fn try_open(&mut self, name: PortName) {
        let said = match self.ports.get(&name) {
            Some(State::Served(_)) => return,
            Some(State::Waits(said)) => said.as_str(),
            None => "",
        };
        let state = match (self.open)(&name.device, name.number) {
            Ok(port) => {
                tracing::info!(port = %name, "device management is answered: initiators find the targets there");
                self.counts.entry(name.clone()).or_default();
                State::Served(port)
            }
            Err(error) => {
                let error = error.to_string();
                if error != said {
                    tracing::warn!(port = %name, error, "initiators do not find the targets there by themselves");
                }
                State::Waits(error)
            }
        };
        self.ports.insert(name, state);
    }

    /// Answers what has come. Returns whether anything has.
    pub fn poll(&mut self, directory: &Directory) -> bool {
        let mut worked = false;
        for (name, state) in &mut self.ports {
            let (State::Served(port), Some(counts)) = (&mut *state, self.counts.get_mut(name)) else { continue };
            match serve(port.as_mut(), directory, counts) {
                Ok(any) => worked |= any,
                Err(error) => {
                    tracing::warn!(port = %name, %error, "the port fails: it is opened anew");
                    *state = State::Waits(String::new());
                }
            }
        }
        worked
    }

    /// What was counted since the start, by the port's name.
    pub fn counts(&self) -> impl Iterator<Item = (String, Counts)> {
        self.counts.iter().map(|(name, counts)| (name.to_string(), *counts))
    }
}

fn serve(port: &mut dyn Exchange, directory: &Directory, counts: &mut Counts) -> io::Result<bool> {
    for round in 0..DATAGRAMS_PER_ROUND {
        let Some(datagram) = port.receive()? else { return Ok(round > 0) };
        let count = match directory.answer(&datagram.mad) {
            Err(why) => {
                tracing::debug!(%why, "a datagram is not answered");
                &mut counts.ignored
            }
            Ok(answer) => match port.answer(&datagram.header, &answer.mad) {
                Err(error) => {
                    tracing::debug!(%error, "an answer cannot be sent");
                    &mut counts.unsent
                }
                Ok(()) if answer.status == Status::Good => &mut counts.answered,
                Ok(()) => &mut counts.refused,
            },
        };
        *count += 1;
    }
    Ok(true)
}

/// The ports of which the link is InfiniBand; those of other kinds have no device management.
pub(crate) fn infiniband_ports(sysfs: &Path) -> Vec<PortName> {
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let mut ports = Vec::new();
    for device in names(sysfs) {
        let folder = sysfs.join(&device).join("ports");
        for number in names(&folder).iter().filter_map(|name| name.parse().ok()) {
            // Kernels that do not say know InfiniBand only.
            let link = fs::read_to_string(folder.join(format!("{number}/link_layer")));
            if link.is_ok_and(|link| link.trim() != "InfiniBand") {
                continue;
            }
            ports.push(PortName { device: device.clone(), number });
        }
    }
    ports
}

#[cfg(test)]
#[path = "ports_tests.rs"]
mod tests;
