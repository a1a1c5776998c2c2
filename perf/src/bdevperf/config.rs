//! Devices to put load on: the `bdev_*_create` requests of a configuration in the target's form. Other subsystems of the file are left alone,
//! so that a target's own configuration can be used. Only what tells devices apart can be set here; the rest has its default.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use bdev::{Bdev, Registry, malloc, null, uring};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

#[derive(Deserialize)]
struct File {
    subsystems: Vec<Subsystem>,
}

#[derive(Deserialize)]
struct Subsystem {
    subsystem: String,
    config: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    #[serde(default)]
    params: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateNull {
    name: String,
    num_blocks: u64,
    block_size: u32,
    physical_block_size: Option<u32>,
    uuid: Option<Uuid>,
    #[serde(default)]
    pattern: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateMalloc {
    name: String,
    num_blocks: u64,
    block_size: u32,
    physical_block_size: Option<u32>,
    uuid: Option<Uuid>,
    numa_id: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateFile {
    name: String,
    filename: PathBuf,
    block_size: Option<u32>,
    uuid: Option<Uuid>,
    size: Option<u64>,
    #[serde(default)]
    readonly: bool,
    #[serde(default)]
    write_through: bool,
    #[serde(default)]
    nv_cache: bool,
    direct: Option<bool>,
    #[serde(default)]
    engine: Engine,
    #[serde(default)]
    iopoll: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Engine {
    #[default]
    Auto,
    Uring,
    Aio,
}

/// Makes the bdevs of a file, in its order.
///
/// # Errors
/// Names the request that is not understood or cannot be done.
pub(super) fn create_bdevs(path: &Path) -> anyhow::Result<Vec<Arc<Bdev>>> {
    let at = || format!("-c {}", path.display());
    let text = std::fs::read_to_string(path).with_context(at)?;
    parse_and_create(&text).with_context(at)
}

fn parse_and_create(text: &str) -> anyhow::Result<Vec<Arc<Bdev>>> {
    let file: File = serde_json::from_str(text)?;
    let mut bdevs = Registry::new();
    let ours = file.subsystems.into_iter().filter(|subsystem| subsystem.subsystem == "bdev");
    for request in ours.filter_map(|subsystem| subsystem.config).flatten() {
        let Request { method, params } = serde_json::from_value(request)?;
        let bdev = create(&method, params).with_context(|| method)?;
        bdevs.insert(bdev)?;
    }
    Ok(bdevs.iter().map(Arc::clone).collect())
}

fn create(method: &str, params: Value) -> anyhow::Result<Arc<Bdev>> {
    Ok(match method {
        "bdev_null_create" => create_null(parse(params)?)?,
        "bdev_malloc_create" => create_malloc(parse(params)?)?,
        "bdev_uring_create" => create_file(parse(params)?, uring::Product::Uring)?,
        "bdev_aio_create" => create_file(parse(params)?, uring::Product::Aio)?,
        _ => bail!(
            "bdevperf does not know this method: it knows bdev_null_create, bdev_malloc_create, bdev_uring_create and bdev_aio_create"
        ),
    })
}

fn parse<T: DeserializeOwned>(params: Value) -> anyhow::Result<T> {
    serde_json::from_value(params).context("params")
}

fn create_null(params: CreateNull) -> anyhow::Result<Arc<Bdev>> {
    let CreateNull { name, num_blocks, block_size, physical_block_size, uuid, pattern } = params;
    let metadata = None;
    let options = null::NullOptions { name, num_blocks, block_size, metadata, physical_block_size, uuid, pattern };
    Ok(null::create(options)?)
}

fn create_malloc(params: CreateMalloc) -> anyhow::Result<Arc<Bdev>> {
    let CreateMalloc { name, num_blocks, block_size, physical_block_size, uuid, numa_id } = params;
    let numa_node = numa_id;
    let options = malloc::MallocOptions {
        name,
        num_blocks,
        block_size,
        physical_block_size,
        uuid,
        numa_node,
        ..Default::default()
    };
    Ok(malloc::create(options)?)
}

fn create_file(params: CreateFile, product: uring::Product) -> anyhow::Result<Arc<Bdev>> {
    let engine = match params.engine {
        Engine::Auto => uring::Engine::Auto,
        Engine::Uring => uring::Engine::Uring,
        Engine::Aio => uring::Engine::Aio,
    };
    Ok(uring::create(uring::UringOptions {
        name: params.name,
        filename: params.filename,
        block_size: params.block_size,
        uuid: params.uuid,
        size: params.size,
        read_only: params.readonly,
        write_through: params.write_through,
        nv_cache: params.nv_cache,
        direct: params.direct,
        engine,
        iopoll: params.iopoll,
        product,
        ..uring::UringOptions::default()
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(requests: &str) -> String {
        let text = format!(r#"{{"subsystems": [{{"subsystem": "bdev", "config": {requests}}}]}}"#);
        format!("{:#}", parse_and_create(&text).expect_err("it must be refused"))
    }

    #[test]
    fn a_targets_configuration_gives_its_bdevs() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("disk");
        let text = format!(
            r#"{{"subsystems": [
                {{"subsystem": "bdev", "config": [
                    {{"method": "bdev_null_create", "params": {{"name": "n", "num_blocks": 8, "block_size": 512}}}},
                    {{"method": "bdev_malloc_create", "params": {{"name": "m", "num_blocks": 16, "block_size": 4096}}}}]}},
                {{"subsystem": "srp", "config": [{{"method": "srp_create_target", "params": {{"name": "t"}}}}]}},
                {{"subsystem": "bdev", "config": [
                    {{"method": "bdev_uring_create", "params": {{"name": "u", "filename": {:?}, "size": 8192}}}}]}},
                {{"subsystem": "bdev"}}]}}"#,
            file.display().to_string()
        );
        let bdevs = parse_and_create(&text).expect("three bdevs");
        let found: Vec<_> = bdevs.iter().map(|bdev| (bdev.info().name.as_str(), bdev.num_blocks())).collect();
        assert_eq!(found, [("n", 8), ("m", 16), ("u", 16)]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(refusal(r#"[{"method": "bdev_rbd_create"}]"#).starts_with("bdev_rbd_create: bdevperf does not know"));
        let twice = r#"{"method": "bdev_null_create", "params": {"name": "n", "num_blocks": 8, "block_size": 512}}"#;
        assert!(refusal(&format!("[{twice}, {twice}]")).contains("n"), "{}", refusal(&format!("[{twice}, {twice}]")));
        let unknown = twice.replace("\"name\"", "\"speed\": 9, \"name\"");
        assert!(refusal(&format!("[{unknown}]")).contains("speed"));
        let odd = twice.replace("512", "513");
        assert!(refusal(&format!("[{odd}]")).contains("block_size"));
        assert!(refusal(r#"[{"params": {}}]"#).contains("method"));
    }
}
