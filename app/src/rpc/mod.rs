//! The methods, by what they are about. Names and parameters are SPDK's where SPDK has the method.

mod base64;
pub(crate) mod bdev;
mod cdrom;
mod config;
#[cfg(test)]
mod documentation;
pub(crate) mod framework;
mod reservations;
pub(crate) mod scheduler;
pub(crate) mod srp;
pub(crate) mod trace;

use rpc::{Errno, RpcError};
use serde_json::Value;
use transport_srp::AdminError;

use crate::appliance::Appliance;

/// All methods.
pub(crate) type Methods = rpc::Methods<Appliance>;

/// The table of all methods.
pub(crate) fn methods() -> Methods {
    let mut methods = Methods::new();
    framework::add(&mut methods);
    scheduler::add(&mut methods);
    config::add(&mut methods);
    bdev::add(&mut methods);
    srp::add(&mut methods);
    cdrom::add(&mut methods);
    reservations::add(&mut methods);
    trace::add(&mut methods);
    methods
}

/// What `rpc.discover` answers, which is what stands in docs/openrpc.json.
pub(crate) fn describe(methods: &Methods) -> Value {
    rpc::openrpc("srpt-app", env!("CARGO_PKG_VERSION"), &methods.describe())
}

pub(crate) fn registry_error(error: ::bdev::RegistryError) -> RpcError {
    let errno = match &error {
        ::bdev::RegistryError::Exists(_) | ::bdev::RegistryError::UuidExists { .. } => Errno::EXIST,
        ::bdev::RegistryError::NotFound(_) => Errno::NODEV,
    };
    RpcError::errno(errno, error.to_string())
}

fn admin_error(error: AdminError) -> RpcError {
    let errno = match &error {
        AdminError::Exists(_) => Errno::EXIST,
        AdminError::NotFound(_) => Errno::NODEV,
        AdminError::Busy(_) => Errno::BUSY,
        AdminError::Invalid(_) => return RpcError::invalid_params(error),
        AdminError::Fabric(fabric::FabricError::AddressInUse { .. }) => Errno::ADDRINUSE,
        AdminError::Fabric(_) => Errno::IO,
    };
    RpcError::errno(errno, error.to_string())
}

/// A parameter of SPDK's that asks for something we do not have is refused, unless it asks for its absence.
fn refuse(parameter: &str, asked: bool) -> Result<(), RpcError> {
    if asked { Err(RpcError::invalid_params(format!("{parameter}: not supported, leave it out"))) } else { Ok(()) }
}
