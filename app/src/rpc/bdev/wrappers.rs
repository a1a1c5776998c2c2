//! `bdev_delay_*`, `bdev_error_*`, `bdev_split_*`: devices that stand on others. A device is either exported or stood on,
//! and stood on by one other, or by the parts of one split: two writers that know nothing of each other would destroy each
//! other's data. SPDK makes the device later if the one beneath is not there yet; here that is an error.

use std::sync::Arc;

use bdev::delay::{self, DelayOptions, Latencies, LatencyType};
use bdev::error::{self, ErrorType, Injection, IoType};
use bdev::split::{self, SplitOptions};
use bdev::{Bdev, RegistryError};
use rpc::{Errno, RpcError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{add_delete, check_new, create_error, enter};
use crate::appliance::Appliance;
use crate::rpc::{Methods, refuse, registry_error};

pub(super) fn add(methods: &mut Methods) {
    methods.add("bdev_delay_create", "Makes a bdev that passes on what another does, later", create_delay);
    methods.add("bdev_delay_update_latency", "Changes one latency of a delaying bdev", update_latency);
    add_delete(methods, "bdev_delay_delete", "Deletes a delaying bdev; the one beneath stays", delay::PRODUCT);
    methods.add(
        "bdev_error_create",
        "Makes a bdev that passes on what another does, and fails on demand; it is named EE_ and the other's name",
        create_error_bdev,
    );
    methods.add(
        "bdev_error_inject_error",
        "Has the next operations of such a bdev fail, hang or damage data",
        inject_error,
    );
    methods.add("bdev_error_resume_pending", "Lets operations go on that hang", resume_pending);
    add_delete(methods, "bdev_error_delete", "Deletes a failing bdev; the one beneath stays", error::PRODUCT);
    methods.add("bdev_split_create", "Cuts a bdev into parts of the same size; answers their names", create_split);
    methods.add_deferred("bdev_split_delete", "Deletes all parts of a bdev", delete_split);
}

/// The device to stand on, which must be nobody else's.
fn base(appliance: &Appliance, parameter: &str, name: &str) -> Result<Arc<Bdev>, RpcError> {
    let found = find(appliance, parameter, name)?;
    match appliance.bdev_user(name) {
        None => Ok(Arc::clone(found)),
        Some(user) => {
            let text = format!("{parameter}: bdev {name} is in use by {user}: remove that first, or take another bdev");
            Err(RpcError::errno(Errno::BUSY, text))
        }
    }
}

fn find<'a>(appliance: &'a Appliance, parameter: &str, name: &str) -> Result<&'a Arc<Bdev>, RpcError> {
    let missing = || RpcError::errno(Errno::NODEV, format!("{parameter}: there is no bdev {name}"));
    appliance.bdevs.get(name).ok_or_else(missing)
}

fn other_kind(parameter: &str, bdev: &Bdev, product: &str) -> RpcError {
    let info = bdev.info();
    let text = format!("{parameter}: bdev {} is a {}, not a {product}", info.name, info.product_name);
    RpcError::errno(Errno::NODEV, text)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateDelay {
    /// The bdev beneath.
    base_bdev_name: String,
    /// Name of the bdev.
    name: String,
    /// Identity; left out: one that follows from the name, the same at each start.
    uuid: Option<Uuid>,
    /// Microseconds that a read takes longer.
    avg_read_latency: u64,
    /// Microseconds that one read in a hundred takes longer.
    p99_read_latency: u64,
    /// Microseconds that a write takes longer.
    avg_write_latency: u64,
    /// Microseconds that one write in a hundred takes longer.
    p99_write_latency: u64,
}

fn create_delay(appliance: &mut Appliance, params: CreateDelay) -> Result<String, RpcError> {
    check_new(appliance, &params.name)?;
    let base = base(appliance, "base_bdev_name", &params.base_bdev_name)?;
    let latencies = Latencies {
        avg_read: params.avg_read_latency,
        p99_read: params.p99_read_latency,
        avg_write: params.avg_write_latency,
        p99_write: params.p99_write_latency,
    };
    let options = DelayOptions { name: params.name, uuid: params.uuid, latencies };
    let bdev = delay::create(&base, options).map_err(create_error)?;
    let recipe = json!({"base_bdev_name": params.base_bdev_name, "name": bdev.info().name, "uuid": bdev.info().uuid,
        "avg_read_latency": latencies.avg_read, "p99_read_latency": latencies.p99_read,
        "avg_write_latency": latencies.avg_write, "p99_write_latency": latencies.p99_write});
    enter(appliance, bdev, "bdev_delay_create", recipe)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UpdateLatency {
    /// Name of the delaying bdev.
    delay_bdev_name: String,
    /// Which latency.
    latency_type: LatencyName,
    /// The latency, in microseconds.
    latency_us: u64,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum LatencyName {
    AvgRead,
    P99Read,
    AvgWrite,
    P99Write,
}

fn update_latency(appliance: &mut Appliance, params: UpdateLatency) -> Result<bool, RpcError> {
    let bdev = find(appliance, "delay_bdev_name", &params.delay_bdev_name)?;
    let kind = match params.latency_type {
        LatencyName::AvgRead => LatencyType::AvgRead,
        LatencyName::P99Read => LatencyType::P99Read,
        LatencyName::AvgWrite => LatencyType::AvgWrite,
        LatencyName::P99Write => LatencyType::P99Write,
    };
    match delay::set_latency(bdev, kind, params.latency_us).map_err(create_error)? {
        true => Ok(true),
        false => Err(other_kind("delay_bdev_name", bdev, delay::PRODUCT)),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateError {
    /// The bdev beneath.
    base_name: String,
    /// Identity; left out: one that follows from the name, the same at each start.
    uuid: Option<Uuid>,
}

fn create_error_bdev(appliance: &mut Appliance, params: CreateError) -> Result<bool, RpcError> {
    let base = base(appliance, "base_name", &params.base_name)?;
    let bdev = error::create(&base, params.uuid).map_err(create_error)?;
    let recipe = json!({"base_name": params.base_name, "uuid": bdev.info().uuid});
    enter(appliance, bdev, "bdev_error_create", recipe).map(|_| true)
}

/// SPDK's parameters; `medium` as an `error_type` is ours.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InjectError {
    /// Name of the bdev.
    name: String,
    /// Which operations; clear: nothing happens any more.
    io_type: IoName,
    /// What becomes of them.
    error_type: Option<ErrorName>,
    /// How many operations; left out: one.
    num: Option<u32>,
    /// Only while so many are in flight.
    #[serde(default)]
    queue_depth: u64,
    /// Which byte of the data is damaged.
    corrupt_offset: Option<u64>,
    /// What it becomes; left out: it is inverted.
    corrupt_value: Option<u8>,
    /// Not supported but as 0.
    nvme_sct: Option<u32>,
    /// Not supported but as 0.
    nvme_sc: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum IoName {
    Clear,
    Read,
    Write,
    Unmap,
    Flush,
    All,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ErrorName {
    Failure,
    Medium,
    Pending,
    CorruptData,
    #[serde(rename = "nomem")]
    NoMem,
    NvmeFailure,
}

fn inject_error(appliance: &mut Appliance, params: InjectError) -> Result<bool, RpcError> {
    refuse("nvme_sct", params.nvme_sct.is_some_and(|code| code != 0))?;
    refuse("nvme_sc", params.nvme_sc.is_some_and(|code| code != 0))?;
    let bdev = find(appliance, "name", &params.name)?;
    if bdev.info().product_name != error::PRODUCT {
        return Err(other_kind("name", bdev, error::PRODUCT));
    }
    if params.io_type == IoName::Clear {
        return Ok(error::clear(bdev));
    }
    let (error, moves_data) = error_of(&params)?;
    let io_types = match params.io_type {
        IoName::Read => &[IoType::Read][..],
        IoName::Write => &[IoType::Write],
        IoName::Unmap => &[IoType::Unmap],
        IoName::Flush => &[IoType::Flush],
        IoName::All if moves_data => &[IoType::Read, IoType::Write],
        IoName::Clear | IoName::All => &IoType::ALL,
    };
    let injection = Injection { error, num: params.num.unwrap_or(1), queue_depth: params.queue_depth };
    Ok(io_types.iter().all(|&io_type| error::inject(bdev, io_type, injection)))
}

/// What is asked for, and whether it needs data to be moved.
fn error_of(params: &InjectError) -> Result<(ErrorType, bool), RpcError> {
    let invalid = |text: &str| Err(RpcError::errno(Errno::INVAL, text));
    let error_type = match params.error_type {
        Some(error_type) => error_type,
        None => return invalid("error_type: failure, medium, pending, corrupt_data or nomem is needed"),
    };
    if error_type != ErrorName::CorruptData && (params.corrupt_offset.is_some() || params.corrupt_value.is_some()) {
        return invalid("corrupt_offset, corrupt_value: only for error_type corrupt_data, leave them out");
    }
    match error_type {
        ErrorName::Failure => Ok((ErrorType::Failure, false)),
        ErrorName::Medium => Ok((ErrorType::Medium, false)),
        ErrorName::Pending => Ok((ErrorType::Pending, false)),
        ErrorName::NoMem => Ok((ErrorType::NoMem, false)),
        ErrorName::NvmeFailure => invalid("error_type: nvme_failure is not supported: take failure or medium"),
        ErrorName::CorruptData if matches!(params.io_type, IoName::Unmap | IoName::Flush) => {
            invalid("error_type: corrupt_data needs data: the io_type read, write or all")
        }
        ErrorName::CorruptData => match params.corrupt_value {
            Some(value @ 1..) => {
                Ok((ErrorType::CorruptData { offset: params.corrupt_offset.unwrap_or(0), value }, true))
            }
            _ => invalid("corrupt_value: 1 to 255 is needed: exclusive or with 0 changes nothing"),
        },
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResumePending {
    /// Name of the bdev.
    name: String,
}

fn resume_pending(appliance: &mut Appliance, params: ResumePending) -> Result<bool, RpcError> {
    let bdev = find(appliance, "name", &params.name)?;
    match error::resume_pending(bdev) {
        true => Ok(true),
        false => Err(other_kind("name", bdev, error::PRODUCT)),
    }
}

/// SPDK's parameters; `split_size_blocks` is ours.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateSplit {
    /// The bdev that is cut.
    base_bdev: String,
    /// How many parts.
    split_count: u32,
    /// MiB of a part; left out: all parts together are all of the bdev.
    split_size_mb: Option<u64>,
    /// Blocks of a part, instead of MiB.
    split_size_blocks: Option<u64>,
}

fn create_split(appliance: &mut Appliance, params: CreateSplit) -> Result<Vec<String>, RpcError> {
    if let Some(part) = parts(appliance, &params.base_bdev).first() {
        let text = format!(
            "base_bdev: bdev {} is split already, {part} is one of its parts: bdev_split_delete first",
            params.base_bdev
        );
        return Err(RpcError::errno(Errno::EXIST, text));
    }
    let base = base(appliance, "base_bdev", &params.base_bdev)?;
    let options = SplitOptions {
        split_count: params.split_count,
        split_size_mb: params.split_size_mb,
        split_size_blocks: params.split_size_blocks,
    };
    let made = split::create(&base, options).map_err(create_error)?;
    // With their size, also where none was given: when the device beneath has grown, the parts must be where they were.
    let blocks = made.first().map(|part| part.num_blocks());
    let recipe = json!({"base_bdev": params.base_bdev, "split_count": params.split_count, "split_size_blocks": blocks});
    let names: Vec<String> = made.iter().map(|part| part.info().name.clone()).collect();
    // All or none.
    for name in &names {
        if appliance.bdevs.get(name).is_some() {
            return Err(registry_error(RegistryError::Exists(name.clone())));
        }
    }
    for (index, part) in made.into_iter().enumerate() {
        if let Err(error) = appliance.bdevs.insert(part) {
            for name in &names[..index] {
                // It was put in just now, and nobody could use it.
                let _ = appliance.bdevs.remove(name);
            }
            return Err(registry_error(error));
        }
    }
    // One request makes all parts.
    if let Some(first) = names.first() {
        appliance.recipes.insert(first.clone(), ("bdev_split_create", recipe));
    }
    Ok(names)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeleteSplit {
    /// The bdev that was cut.
    base_bdev: String,
}

fn delete_split(appliance: &mut Appliance, params: DeleteSplit, pending: rpc::Pending) {
    let parts = parts(appliance, &params.base_bdev);
    if parts.is_empty() {
        let text = format!("base_bdev: there are no parts of a bdev {}", params.base_bdev);
        return pending.reply(Err(RpcError::errno(Errno::NODEV, text)));
    }
    appliance.delete_bdevs("base_bdev", parts, pending);
}

/// The names of a device's parts.
fn parts(appliance: &Appliance, base: &str) -> Vec<String> {
    let is_part = |bdev: &&Arc<Bdev>| {
        split::offset_blocks(bdev).is_some() && bdev.base().is_some_and(|beneath| beneath.info().name == base)
    };
    appliance.bdevs.iter().filter(is_part).map(|bdev| bdev.info().name.clone()).collect()
}

/// What bdev_get_bdevs says of a device that stands on another, in SPDK's form.
pub(super) fn driver_specific(bdev: &Bdev) -> Option<Value> {
    let base = &bdev.base()?.info().name;
    if let Some(latencies) = delay::latencies(bdev) {
        return Some(json!({"delay": {"name": bdev.info().name, "base_bdev_name": base, "uuid": bdev.info().uuid,
            "avg_read_latency": latencies.avg_read, "p99_read_latency": latencies.p99_read,
            "avg_write_latency": latencies.avg_write, "p99_write_latency": latencies.p99_write}}));
    }
    match split::offset_blocks(bdev) {
        Some(offset) => Some(json!({"split": {"base_bdev": base, "offset_blocks": offset}})),
        None => Some(json!({"error_disk": {"base_bdev": base}})),
    }
}

/// What was changed since a device was made, as requests of a configuration. An update may make the slowest faster than
/// the average, which creation refuses, so it is saved as what it was.
pub(crate) fn save_changes(bdev: &Bdev, recipe: &Value) -> Vec<Value> {
    let Some(Latencies { avg_read, p99_read, avg_write, p99_write }) = delay::latencies(bdev) else {
        return Vec::new();
    };
    let now = [("avg_read", avg_read), ("p99_read", p99_read), ("avg_write", avg_write), ("p99_write", p99_write)];
    let changed = now.iter().filter(|(kind, latency)| recipe[format!("{kind}_latency")] != json!(latency));
    let request = |(kind, latency): &(&str, u64)| {
        let params = json!({"delay_bdev_name": bdev.info().name, "latency_type": kind, "latency_us": latency});
        json!({"method": "bdev_delay_update_latency", "params": params})
    };
    changed.map(request).collect()
}
