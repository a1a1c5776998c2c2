//! `bdev_set_qos_limit`: rate limits of any bdev, at any time.

use bdev::{Bdev, QosLimits};
use rpc::{Errno, RpcError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::appliance::Appliance;
use crate::rpc::{Methods, registry_error};

pub(super) fn add(methods: &mut Methods) {
    methods.add(
        "bdev_set_qos_limit",
        "Limits the rate of a bdev, all cores together; what is left out stays as it is",
        set_qos_limit,
    );
}

/// SPDK's "megabyte" is a MiB.
const MIB: u64 = 1 << 20;

/// SPDK's parameters, and ours: `r_ios_per_sec` and `w_ios_per_sec`. What is left out stays as it is, 0 lifts a limit.
/// SPDK rounds operations per second up to thousands; here they are taken as they are.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetQosLimit {
    /// Name of the bdev.
    name: String,
    /// Reads and writes per second together; 0 lifts the limit.
    rw_ios_per_sec: Option<u64>,
    /// Reads per second; 0 lifts the limit.
    r_ios_per_sec: Option<u64>,
    /// Writes per second; 0 lifts the limit.
    w_ios_per_sec: Option<u64>,
    /// MiB per second, reads and writes together; 0 lifts the limit.
    rw_mbytes_per_sec: Option<u64>,
    /// MiB read per second; 0 lifts the limit.
    r_mbytes_per_sec: Option<u64>,
    /// MiB written per second; 0 lifts the limit.
    w_mbytes_per_sec: Option<u64>,
}

fn set_qos_limit(appliance: &mut Appliance, params: SetQosLimit) -> Result<bool, RpcError> {
    let missing = || registry_error(bdev::RegistryError::NotFound(params.name.clone()));
    let bdev = appliance.bdevs.get(&params.name).ok_or_else(missing)?;
    let mut limits = bdev.qos_limits();
    let mut given = false;
    for (parameter, value, unit, limit) in [
        ("rw_ios_per_sec", params.rw_ios_per_sec, 1, &mut limits.rw_ios_per_sec),
        ("r_ios_per_sec", params.r_ios_per_sec, 1, &mut limits.r_ios_per_sec),
        ("w_ios_per_sec", params.w_ios_per_sec, 1, &mut limits.w_ios_per_sec),
        ("rw_mbytes_per_sec", params.rw_mbytes_per_sec, MIB, &mut limits.rw_bytes_per_sec),
        ("r_mbytes_per_sec", params.r_mbytes_per_sec, MIB, &mut limits.r_bytes_per_sec),
        ("w_mbytes_per_sec", params.w_mbytes_per_sec, MIB, &mut limits.w_bytes_per_sec),
    ] {
        let Some(value) = value else { continue };
        given = true;
        *limit = value.checked_mul(unit).ok_or_else(|| {
            RpcError::invalid_params(format!("{parameter}: {value} is more than {}; 0 is no limit", u64::MAX / unit))
        })?;
    }
    if !given {
        let text = "rw_ios_per_sec, rw_mbytes_per_sec, r_mbytes_per_sec, w_mbytes_per_sec, r_ios_per_sec, w_ios_per_sec: \
                    No rate limits specified: give at least one";
        return Err(RpcError::errno(Errno::INVAL, text));
    }
    bdev.set_qos_limits(limits);
    Ok(true)
}

/// The member `assigned_rate_limits` of bdev_get_bdevs.
pub(super) fn assigned(bdev: &Bdev) -> Value {
    let limits = bdev.qos_limits();
    json!({"rw_ios_per_sec": limits.rw_ios_per_sec, "rw_mbytes_per_sec": limits.rw_bytes_per_sec / MIB,
        "r_mbytes_per_sec": limits.r_bytes_per_sec / MIB, "w_mbytes_per_sec": limits.w_bytes_per_sec / MIB,
        "r_ios_per_sec": limits.r_ios_per_sec, "w_ios_per_sec": limits.w_ios_per_sec})
}

/// The limits as a request of a configuration, if there are any.
pub(crate) fn save(bdev: &Bdev) -> Option<Value> {
    if bdev.qos_limits() == QosLimits::default() {
        return None;
    }
    let mut params = json!({"name": bdev.info().name});
    for (name, limit) in assigned(bdev).as_object()?.iter().filter(|(_, limit)| **limit != 0) {
        params[name] = limit.clone();
    }
    Some(json!({"method": "bdev_set_qos_limit", "params": params}))
}
