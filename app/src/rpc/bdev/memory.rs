//! `bdev_null_*`, `bdev_malloc_*`: devices without a medium, and in RAM.

use bdev::{malloc, null};
use rpc::RpcError;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{add_delete, check_new, create_error, enter};
use crate::appliance::Appliance;
use crate::rpc::{Methods, refuse};

pub(super) fn add(methods: &mut Methods) {
    methods.add("bdev_null_create", create_null);
    methods.add("bdev_malloc_create", create_malloc);
    add_delete(methods, "bdev_null_delete", "Null disk");
    add_delete(methods, "bdev_malloc_delete", "Malloc disk");
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
