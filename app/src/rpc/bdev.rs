//! `bdev_*`: devices, with SPDK's names and parameters.

use std::path::PathBuf;
use std::sync::Arc;

use bdev::{Bdev, CreateError, malloc, null, uring};
use rpc::{Errno, RpcError};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Methods, refuse, registry_error};
use crate::appliance::Appliance;

pub(super) fn add(methods: &mut Methods) {
    methods.add("bdev_null_create", create_null);
    methods.add("bdev_malloc_create", create_malloc);
    methods.add("bdev_uring_create", create_uring);
    methods.add("bdev_aio_create", create_aio);
    for (name, product) in [
        ("bdev_null_delete", "Null disk"),
        ("bdev_malloc_delete", "Malloc disk"),
        ("bdev_uring_delete", "URING bdev"),
        ("bdev_aio_delete", "AIO disk"),
    ] {
        methods.add_deferred(name, move |appliance, params: Name, pending| {
            delete(appliance, params.name, product, pending)
        });
    }
    methods.add("bdev_get_bdevs", get_bdevs);
    methods.add("bdev_get_iostat", get_iostat);
}

/// Parameters of SPDK's metadata and protection information, which only may ask for none.
struct Metadata {
    md_size: Option<u32>,
    md_interleave: Option<bool>,
    dif_type: Option<u32>,
    dif_is_head_of_md: Option<bool>,
    dif_pi_format: Option<u32>,
}

impl Metadata {
    fn check(&self) -> Result<(), RpcError> {
        refuse("md_size", self.md_size.is_some_and(|size| size != 0))?;
        refuse("md_interleave", self.md_interleave == Some(true))?;
        refuse("dif_type", self.dif_type.is_some_and(|kind| kind != 0))?;
        refuse("dif_is_head_of_md", self.dif_is_head_of_md == Some(true))?;
        refuse("dif_pi_format", self.dif_pi_format.is_some_and(|format| format != 0))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateNull {
    name: String,
    num_blocks: u64,
    block_size: u32,
    physical_block_size: Option<u32>,
    uuid: Option<Uuid>,
    md_size: Option<u32>,
    dif_type: Option<u32>,
    dif_is_head_of_md: Option<bool>,
    dif_pi_format: Option<u32>,
    preferred_write_alignment: Option<u32>,
    preferred_write_granularity: Option<u32>,
    optimal_write_size: Option<u32>,
    preferred_unmap_alignment: Option<u32>,
    preferred_unmap_granularity: Option<u32>,
}

fn create_null(appliance: &mut Appliance, params: CreateNull) -> Result<String, RpcError> {
    let metadata = Metadata {
        md_size: params.md_size,
        md_interleave: None,
        dif_type: params.dif_type,
        dif_is_head_of_md: params.dif_is_head_of_md,
        dif_pi_format: params.dif_pi_format,
    };
    metadata.check()?;
    refuse("preferred_write_alignment", params.preferred_write_alignment.is_some_and(|value| value != 0))?;
    refuse("preferred_write_granularity", params.preferred_write_granularity.is_some_and(|value| value != 0))?;
    refuse("optimal_write_size", params.optimal_write_size.is_some_and(|value| value != 0))?;
    refuse("preferred_unmap_alignment", params.preferred_unmap_alignment.is_some_and(|value| value != 0))?;
    refuse("preferred_unmap_granularity", params.preferred_unmap_granularity.is_some_and(|value| value != 0))?;
    check_new(appliance, &params.name)?;
    let bdev = null::create(null::NullOptions {
        name: params.name,
        num_blocks: params.num_blocks,
        block_size: params.block_size,
        physical_block_size: params.physical_block_size,
        uuid: params.uuid,
    });
    let bdev = bdev.map_err(create_error)?;
    let recipe = json!({"name": bdev.info().name, "num_blocks": bdev.num_blocks(), "block_size": bdev.info().block_size,
        "physical_block_size": bdev.info().physical_block_size, "uuid": bdev.info().uuid});
    enter(appliance, bdev, "bdev_null_create", recipe)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateMalloc {
    name: Option<String>,
    num_blocks: u64,
    block_size: u32,
    physical_block_size: Option<u32>,
    uuid: Option<Uuid>,
    optimal_io_boundary: Option<u32>,
    numa_id: Option<i32>,
    md_size: Option<u32>,
    md_interleave: Option<bool>,
    dif_type: Option<u32>,
    dif_is_head_of_md: Option<bool>,
    dif_pi_format: Option<u32>,
}

fn create_malloc(appliance: &mut Appliance, params: CreateMalloc) -> Result<String, RpcError> {
    let metadata = Metadata {
        md_size: params.md_size,
        md_interleave: params.md_interleave,
        dif_type: params.dif_type,
        dif_is_head_of_md: params.dif_is_head_of_md,
        dif_pi_format: params.dif_pi_format,
    };
    metadata.check()?;
    refuse("optimal_io_boundary", params.optimal_io_boundary.is_some_and(|value| value != 0))?;
    // As in SPDK: without a name the lowest free Malloc<n>.
    let free = |name: &String| appliance.bdevs.get(name).is_none();
    let name = params.name.or_else(|| (0..).map(|n| format!("Malloc{n}")).find(free)).unwrap_or_default();
    check_new(appliance, &name)?;
    let bdev = malloc::create(malloc::MallocOptions {
        name,
        num_blocks: params.num_blocks,
        block_size: params.block_size,
        physical_block_size: params.physical_block_size,
        uuid: params.uuid,
        numa_node: params.numa_id.and_then(|node| u32::try_from(node).ok()),
    });
    let bdev = bdev.map_err(create_error)?;
    let mut recipe = json!({"name": bdev.info().name, "num_blocks": bdev.num_blocks(), "block_size": bdev.info().block_size,
        "physical_block_size": bdev.info().physical_block_size, "uuid": bdev.info().uuid});
    if let Some(node) = params.numa_id {
        recipe["numa_id"] = node.into();
    }
    enter(appliance, bdev, "bdev_malloc_create", recipe)
}

/// SPDK's parameters, and ours: `size` makes the file, `readonly`, `write_through`, `direct`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateUring {
    filename: PathBuf,
    name: String,
    block_size: Option<u32>,
    uuid: Option<Uuid>,
    size: Option<u64>,
    #[serde(default)]
    readonly: bool,
    #[serde(default)]
    write_through: bool,
    direct: Option<bool>,
}

fn create_uring(appliance: &mut Appliance, params: CreateUring) -> Result<String, RpcError> {
    create_file(appliance, params, uring::Product::Uring, "bdev_uring_create")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateAio {
    filename: PathBuf,
    name: String,
    block_size: Option<u32>,
    uuid: Option<Uuid>,
    size: Option<u64>,
    #[serde(default)]
    readonly: bool,
    #[serde(default)]
    write_through: bool,
    direct: Option<bool>,
    /// Unmap and write zeroes by fallocate: we always do.
    #[serde(rename = "fallocate")]
    _fallocate: Option<bool>,
    nowait: Option<bool>,
}

fn create_aio(appliance: &mut Appliance, params: CreateAio) -> Result<String, RpcError> {
    refuse("nowait", params.nowait == Some(true))?;
    let CreateAio { filename, name, block_size, uuid, size, readonly, write_through, direct, .. } = params;
    let params = CreateUring { filename, name, block_size, uuid, size, readonly, write_through, direct };
    create_file(appliance, params, uring::Product::Aio, "bdev_aio_create")
}

fn create_file(
    appliance: &mut Appliance,
    params: CreateUring,
    product: uring::Product,
    method: &'static str,
) -> Result<String, RpcError> {
    check_new(appliance, &params.name)?;
    let bdev = uring::create(uring::UringOptions {
        name: params.name,
        filename: params.filename.clone(),
        block_size: params.block_size,
        uuid: params.uuid,
        size: params.size,
        read_only: params.readonly,
        write_through: params.write_through,
        direct: params.direct,
        product,
    });
    let bdev = bdev.map_err(create_error)?;
    let mut recipe = json!({"name": bdev.info().name, "filename": params.filename, "block_size": bdev.info().block_size,
        "uuid": bdev.info().uuid, "readonly": params.readonly, "write_through": params.write_through});
    if let Some(size) = params.size {
        recipe["size"] = size.into();
    }
    if let Some(direct) = params.direct {
        recipe["direct"] = direct.into();
    }
    enter(appliance, bdev, method, recipe)
}

fn check_new(appliance: &Appliance, name: &str) -> Result<(), RpcError> {
    match appliance.bdevs.get(name) {
        Some(_) => Err(registry_error(bdev::RegistryError::Exists(name.to_owned()))),
        None => Ok(()),
    }
}

fn enter(appliance: &mut Appliance, bdev: Arc<Bdev>, method: &'static str, recipe: Value) -> Result<String, RpcError> {
    let name = bdev.info().name.clone();
    appliance.bdevs.insert(bdev).map_err(registry_error)?;
    appliance.recipes.insert(name.clone(), (method, recipe));
    Ok(name)
}

fn create_error(error: CreateError) -> RpcError {
    match &error {
        CreateError::Parameter { .. } => RpcError::invalid_params(&error),
        CreateError::Memory { .. } => RpcError::errno(Errno::NOMEM, error.to_string()),
        CreateError::InUse { .. } => RpcError::errno(Errno::BUSY, error.to_string()),
        CreateError::File { source, .. } | CreateError::Ring { source } => {
            let number = source.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            RpcError::errno(number, error.to_string())
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    name: String,
}

fn delete(appliance: &mut Appliance, name: String, product: &str, pending: rpc::Pending) {
    match appliance.bdevs.get(&name) {
        None => pending.reply(Err(registry_error(bdev::RegistryError::NotFound(name)))),
        Some(bdev) if bdev.info().product_name != product => {
            let text = format!(
                "name: bdev {name} is a {}, not a {product}: use the delete method of its kind",
                bdev.info().product_name
            );
            pending.reply(Err(RpcError::errno(Errno::NODEV, text)));
        }
        Some(_) => appliance.delete_bdev(name, pending),
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct GetBdevs {
    name: Option<String>,
    /// SPDK waits so many milliseconds for a bdev to appear; ours are there when their creation answers.
    #[serde(rename = "timeout")]
    _timeout: Option<u64>,
}

fn get_bdevs(appliance: &mut Appliance, params: GetBdevs) -> Result<Vec<Value>, RpcError> {
    let found = select(appliance, params.name.as_slice())?;
    Ok(found.iter().map(|bdev| describe(bdev, appliance.controller.bdev_user(&bdev.info().name).is_some())).collect())
}

fn select<'a>(appliance: &'a Appliance, names: &[String]) -> Result<Vec<&'a Arc<Bdev>>, RpcError> {
    if names.is_empty() {
        return Ok(appliance.bdevs.iter().collect());
    }
    let find = |name: &String| {
        appliance.bdevs.get(name).ok_or_else(|| registry_error(bdev::RegistryError::NotFound(name.clone())))
    };
    names.iter().map(find).collect()
}

fn describe(bdev: &Bdev, claimed: bool) -> Value {
    let info = bdev.info();
    let writable = !info.read_only;
    let specific =
        info.filename.as_ref().map_or_else(|| json!({}), |filename| json!({"uring": {"filename": filename}}));
    json!({
        "name": info.name,
        "aliases": [info.uuid],
        "product_name": info.product_name,
        "block_size": info.block_size,
        "physical_block_size": info.physical_block_size,
        "num_blocks": bdev.num_blocks(),
        "uuid": info.uuid,
        "assigned_rate_limits": {"rw_ios_per_sec": 0, "rw_mbytes_per_sec": 0, "r_mbytes_per_sec": 0, "w_mbytes_per_sec": 0},
        "claimed": claimed,
        "zoned": false,
        "supported_io_types": {
            "read": true, "write": writable, "unmap": writable && info.unmap, "flush": true, "reset": false, "nvme_admin": false,
            "nvme_io": false, "nvme_io_md": false, "write_zeroes": writable, "zcopy": false, "get_zone_info": false,
            "zone_management": false, "zone_append": false, "compare": false, "compare_and_write": false, "abort": false,
            "seek_hole": false, "seek_data": false, "copy": false, "nvme_iov_md": false,
        },
        "write_cache": info.write_cache,
        "read_only": info.read_only,
        "driver_specific": specific,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetIostat {
    name: Option<String>,
    names: Option<Vec<String>>,
    per_channel: Option<bool>,
    reset_mode: Option<String>,
}

fn get_iostat(appliance: &mut Appliance, params: GetIostat) -> Result<Value, RpcError> {
    refuse("per_channel", params.per_channel == Some(true))?;
    refuse("reset_mode", params.reset_mode.is_some_and(|mode| mode != "none"))?;
    let names: Vec<String> = params.names.into_iter().flatten().chain(params.name).collect();
    let bdevs: Vec<Value> = select(appliance, &names)?.into_iter().map(|bdev| iostat(bdev)).collect();
    // Latencies are in ticks of tick_rate per second: ours are nanoseconds.
    Ok(json!({"tick_rate": 1_000_000_000u64, "ticks": appliance.now.0, "bdevs": bdevs}))
}

fn iostat(bdev: &Bdev) -> Value {
    let stat = bdev.io_stat();
    json!({
        "name": bdev.info().name,
        "bytes_read": stat.bytes_read,
        "num_read_ops": stat.num_read_ops,
        "bytes_written": stat.bytes_written,
        "num_write_ops": stat.num_write_ops,
        "bytes_unmapped": stat.bytes_unmapped,
        "num_unmap_ops": stat.num_unmap_ops,
        "bytes_copied": 0,
        "num_copy_ops": 0,
        "num_flush_ops": stat.num_flush_ops,
        "bytes_zeroed": stat.bytes_zeroed,
        "num_write_zeroes_ops": stat.num_write_zeroes_ops,
        "read_latency_ticks": stat.read_latency_ns,
        "max_read_latency_ticks": stat.max_read_latency_ns,
        "min_read_latency_ticks": stat.min_read_latency_ns,
        "write_latency_ticks": stat.write_latency_ns,
        "max_write_latency_ticks": stat.max_write_latency_ns,
        "min_write_latency_ticks": stat.min_write_latency_ns,
        "unmap_latency_ticks": stat.unmap_latency_ns,
        "max_unmap_latency_ticks": stat.max_unmap_latency_ns,
        "min_unmap_latency_ticks": stat.min_unmap_latency_ns,
        "flush_latency_ticks": stat.flush_latency_ns,
        "copy_latency_ticks": 0,
        "max_copy_latency_ticks": 0,
        "min_copy_latency_ticks": 0,
        "num_failed_ops": stat.num_failed_ops,
        "io_error": {},
    })
}
