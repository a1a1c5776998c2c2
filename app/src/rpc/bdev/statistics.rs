//! What bdevs have done: `bdev_get_iostat`.

use bdev::Bdev;
use rpc::RpcError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::select;
use crate::appliance::Appliance;
use crate::rpc::{Methods, refuse};

pub(super) fn add(methods: &mut Methods) {
    methods.add("bdev_get_iostat", get_iostat);
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
