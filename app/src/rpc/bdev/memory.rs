//! `bdev_null_*`, `bdev_malloc_*`: devices without a medium, and in RAM.

use bdev::{Bdev, malloc, null};
use rpc::RpcError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::metadata::MetadataParams;
use super::{add_delete, check_new, create_error, enter};
use crate::appliance::Appliance;
use crate::rpc::{Methods, refuse};

pub(super) fn add(methods: &mut Methods) {
    methods.add("bdev_null_create", "Makes a bdev without a medium: reads give zeroes or a pattern", create_null);
    methods.add("bdev_malloc_create", "Makes a bdev in RAM", create_malloc);
    add_delete(methods, "bdev_null_delete", "Deletes a null device", "Null disk");
    add_delete(methods, "bdev_malloc_delete", "Deletes a bdev in RAM, with its data", "Malloc disk");
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateNull {
    /// Name of the bdev.
    name: String,
    /// How many blocks.
    num_blocks: u64,
    /// Bytes of data of a block: 512, 1024, 2048 or 4096.
    block_size: u32,
    /// Bytes that the medium writes at once; a multiple of the block size.
    physical_block_size: Option<u32>,
    /// Identity; left out: one that follows from the name, the same at each start.
    uuid: Option<Uuid>,
    /// Bytes of metadata behind each block: 0 or 8.
    md_size: Option<u32>,
    /// Type of protection information (T10): 0, 1 or 3.
    dif_type: Option<u32>,
    /// Where in the metadata protection information stands, which fills them.
    dif_is_head_of_md: Option<bool>,
    /// 0: a guard of 16 bits, the one format there is.
    dif_pi_format: Option<u32>,
    /// Not supported but as 0.
    preferred_write_alignment: Option<u32>,
    /// Not supported but as 0.
    preferred_write_granularity: Option<u32>,
    /// Not supported but as 0.
    optimal_write_size: Option<u32>,
    /// Not supported but as 0.
    preferred_unmap_alignment: Option<u32>,
    /// Not supported but as 0.
    preferred_unmap_granularity: Option<u32>,
    /// Ours: blocks hold a pattern that reads give and writes are compared with.
    #[serde(default)]
    pattern: bool,
}

fn create_null(appliance: &mut Appliance, params: CreateNull) -> Result<String, RpcError> {
    // SPDK's has no metadata apart from the data, and no parameter for it.
    let metadata = MetadataParams {
        md_size: params.md_size,
        md_interleave: None,
        dif_type: params.dif_type,
        dif_is_head_of_md: params.dif_is_head_of_md,
        dif_pi_format: params.dif_pi_format,
    };
    let interleaved = MetadataParams { md_interleave: metadata.md_size.map(|bytes| bytes != 0), ..metadata };
    let interleaved = interleaved.parse()?;
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
        metadata: interleaved,
        physical_block_size: params.physical_block_size,
        uuid: params.uuid,
        pattern: params.pattern,
    });
    let bdev = bdev.map_err(create_error)?;
    let mut recipe = recipe(&bdev, &metadata);
    if params.pattern {
        recipe["pattern"] = true.into();
    }
    enter(appliance, bdev, "bdev_null_create", recipe)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateMalloc {
    /// Name of the bdev; left out: the lowest free MallocN.
    name: Option<String>,
    /// How many blocks.
    num_blocks: u64,
    /// Bytes of data of a block: 512, 1024, 2048 or 4096.
    block_size: u32,
    /// Bytes that the medium writes at once; a multiple of the block size.
    physical_block_size: Option<u32>,
    /// Identity; left out: one that follows from the name, the same at each start.
    uuid: Option<Uuid>,
    /// Transfers of a multiple of so many blocks are fastest; 0: nothing is told.
    optimal_io_boundary: Option<u32>,
    /// NUMA node for the memory; -1: any.
    numa_id: Option<i32>,
    /// Bytes of metadata behind each block: 0 or 8.
    md_size: Option<u32>,
    /// True: metadata stand behind the data of their block, which is the one way there is.
    md_interleave: Option<bool>,
    /// Type of protection information (T10): 0, 1 or 3.
    dif_type: Option<u32>,
    /// Where in the metadata protection information stands, which fills them.
    dif_is_head_of_md: Option<bool>,
    /// 0: a guard of 16 bits, the one format there is.
    dif_pi_format: Option<u32>,
}

fn create_malloc(appliance: &mut Appliance, params: CreateMalloc) -> Result<String, RpcError> {
    let metadata = MetadataParams {
        md_size: params.md_size,
        md_interleave: params.md_interleave,
        dif_type: params.dif_type,
        dif_is_head_of_md: params.dif_is_head_of_md,
        dif_pi_format: params.dif_pi_format,
    };
    let interleaved = metadata.parse()?;
    let numa_node = match params.numa_id {
        None | Some(-1) => None,
        Some(node) => Some(u32::try_from(node).map_err(|_| {
            RpcError::invalid_params(format!("numa_id: {node} is no node: give its number, or -1 for any"))
        })?),
    };
    // As in SPDK: without a name the lowest free Malloc<n>.
    let free = |name: &String| appliance.bdevs.get(name).is_none();
    let name = params.name.or_else(|| (0..).map(|n| format!("Malloc{n}")).find(free)).unwrap_or_default();
    check_new(appliance, &name)?;
    let bdev = malloc::create(malloc::MallocOptions {
        name,
        num_blocks: params.num_blocks,
        block_size: params.block_size,
        metadata: interleaved,
        physical_block_size: params.physical_block_size,
        uuid: params.uuid,
        numa_node,
        optimal_io_boundary: params.optimal_io_boundary.unwrap_or(0),
    });
    let bdev = bdev.map_err(create_error)?;
    let mut recipe = recipe(&bdev, &metadata);
    if let Some(node) = params.numa_id {
        recipe["numa_id"] = node.into();
    }
    if bdev.info().optimal_blocks != 0 {
        recipe["optimal_io_boundary"] = bdev.info().optimal_blocks.into();
    }
    enter(appliance, bdev, "bdev_malloc_create", recipe)
}

/// What both have in a saved configuration.
fn recipe(bdev: &Bdev, metadata: &MetadataParams) -> Value {
    let info = bdev.info();
    let mut recipe = json!({"name": info.name, "num_blocks": bdev.num_blocks(), "block_size": info.data_block_size(),
        "physical_block_size": info.data_physical_block_size(), "uuid": info.uuid});
    metadata.save(&mut recipe);
    recipe
}

/// What bdev_get_bdevs says in `driver_specific`; `None` for devices of other kinds.
pub(super) fn specific(bdev: &Bdev) -> Option<Value> {
    if let Some(malloc::Placement { page_kind, locked, numa_node }) = bdev.memory() {
        let node = numa_node.map_or(-1, i64::from);
        let memory = json!({"pages": page_kind.to_string(), "page_size": page_kind.granule(), "locked": locked, "numa_id": node});
        return Some(json!({"malloc": memory}));
    }
    let pattern = bdev.pattern()?;
    Some(json!({"null": {"pattern": true, "fio_verify_pattern": pattern.for_fio()}}))
}
