//! The port of this host from which a client asks: chosen in sysfs, opened with libibumad.

use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use rdma_core_sys::UmadLoadError;

use crate::client::{self, Destination, DiscoverError, Found, Local, Whom};
use crate::ports::{self, OpenError, PortName};
use crate::umad::Asker;

/// Which port to ask from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    /// Its device; any if there is none.
    pub device: Option<String>,
    /// Its number; any if there is none.
    pub port: Option<u8>,
    /// The partition that is asked in.
    pub pkey: u16,
}

/// Why nothing can be asked, or was found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such port.
    #[error(
        "no InfiniBand port of this host is active{0}; `ls /sys/class/infiniband` lists devices, `ibstat` says how their ports are"
    )]
    NoPort(String),
    /// The port is not in the partition.
    #[error(
        "the port {port} is not in the partition {pkey:04x}; /sys/class/infiniband/*/ports/*/pkeys lists those that it is in"
    )]
    Partition {
        /// The port.
        port: String,
        /// The partition.
        pkey: u16,
    },
    /// sysfs does not say what it should.
    #[error("{0} cannot be read, or is not what it should be")]
    Sysfs(String),
    /// There is no library.
    #[error(transparent)]
    Load(UmadLoadError),
    /// We may not.
    #[error(
        "/dev/infiniband/umad* of the port {0} may not be opened: run this as root, or as a user of the group that a udev rule gives it to"
    )]
    Permission(String),
    /// There is no such file, most likely.
    #[error("the port {0} has no /dev/infiniband/umad* that can be opened: `modprobe ib_umad` makes it ({1})")]
    Device(String, String),
    /// The kernel takes no client.
    #[error("the kernel lets nobody ask through the port {0}: {1}")]
    Register(String, io::Error),
    /// What the fabric says.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
}

/// Asks for all targets of a port, for at most so long.
///
/// # Errors
/// This host has no port to ask from, or see [`client::discover`].
pub fn discover(selection: &Selection, whom: Whom, limit: Duration) -> Result<Found, Error> {
    let port = Port::find(Path::new("/sys/class/infiniband"), selection)?;
    let PortName { device, number } = &port.name;
    let mut asker =
        Asker::open(device, *number, port.pkey_index, limit).map_err(|error| explained(&port.name, error))?;
    Ok(client::discover(&mut asker, port.local, whom)?)
}

fn explained(name: &PortName, error: OpenError) -> Error {
    match error {
        OpenError::Load(error) => Error::Load(error),
        OpenError::Open(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Error::Permission(name.to_string())
        }
        OpenError::Open(error) => Error::Device(name.to_string(), error.to_string()),
        OpenError::Register(error) => Error::Register(name.to_string(), error),
        other @ OpenError::Header => Error::Device(name.to_string(), other.to_string()),
    }
}

#[derive(PartialEq, Eq, Debug)]
struct Port {
    name: PortName,
    local: Local,
    pkey_index: u16,
}

impl Port {
    /// The first that is active and is as it was selected.
    fn find(sysfs: &Path, selection: &Selection) -> Result<Port, Error> {
        let Selection { device, port, pkey } = selection;
        let mut names = ports::infiniband_ports(sysfs);
        names.sort();
        names.retain(|name| device.as_ref().is_none_or(|device| *device == name.device));
        names.retain(|name| port.is_none_or(|port| port == name.number));
        let folder = |name: &PortName| sysfs.join(&name.device).join("ports").join(name.number.to_string());
        let is_active = |name: &PortName| {
            fs::read_to_string(folder(name).join("state")).is_ok_and(|state| state.contains("ACTIVE"))
        };
        let Some(name) = names.into_iter().find(is_active) else {
            let device = device.as_ref().map(|device| format!(" of the device {device}"));
            let port = port.map(|port| format!(" with the number {port}"));
            return Err(Error::NoPort(device.unwrap_or_default() + &port.unwrap_or_default()));
        };
        let folder = folder(&name);
        let gid = text(&folder.join("gids/0"), |text| text.parse::<Ipv6Addr>().ok())?.to_bits();
        let lid = text(&folder.join("sm_lid"), number)?;
        let service_level = text(&folder.join("sm_sl"), number).unwrap_or(0) as u8 & 0xf;
        let pkey_index = pkey_index(&folder.join("pkeys"), *pkey)
            .ok_or_else(|| Error::Partition { port: name.to_string(), pkey: *pkey })?;
        Ok(Port { name, local: Local { gid, manager: Destination { lid, service_level }, pkey: *pkey }, pkey_index })
    }
}

/// What a file of one line says.
fn text<T>(file: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    let told = fs::read_to_string(file).ok().and_then(|text| parse(text.trim()));
    told.ok_or_else(|| Error::Sysfs(file.display().to_string()))
}

/// A number as sysfs writes it: 12, or 0x0c.
fn number(text: &str) -> Option<u16> {
    match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Where a partition is in a port's table; whether the port is a full member of it is the highest bit, and not asked.
fn pkey_index(folder: &Path, pkey: u16) -> Option<u16> {
    const PARTITION: u16 = 0x7fff;
    let indexes = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_it = |index: &u16| {
        text(&folder.join(index.to_string()), number).is_ok_and(|entry| entry & PARTITION == pkey & PARTITION)
    };
    indexes.filter(is_it).min()
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
