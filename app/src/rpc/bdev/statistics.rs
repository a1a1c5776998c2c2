//! What bdevs have done: `bdev_get_iostat`, `bdev_reset_iostat`, and latency histograms.

use std::sync::Arc;

use bdev::{Bdev, HistogramOptions, IoStatSnapshot, OpKind, ResetMode};
use rpc::{Errno, RpcError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::select;
use crate::appliance::Appliance;
use crate::rpc::{Methods, base64};

/// Latencies are told in ticks, so many in a second: ours are nanoseconds.
const TICK_RATE: u64 = 1_000_000_000;

/// Most borders of `bdev_get_histogram_borders`, as in SPDK.
const BORDERS_MAX: usize = 256;

pub(super) fn add(methods: &mut Methods) {
    methods.add("bdev_get_iostat", "Answers what bdevs have done: operations, bytes, latencies, errors", get_iostat);
    methods.add("bdev_reset_iostat", "Sets such counts back to zero", reset_iostat);
    methods.add("bdev_enable_histogram", "Begins to count latencies of a bdev by size, or ends it", enable_histogram);
    methods.add("bdev_get_histogram", "Answers the latencies counted, in SPDK's binary form", get_histogram);
    methods.add(
        "bdev_get_histogram_borders",
        "Answers the latencies counted, up to each of the borders",
        get_histogram_borders,
    );
}

#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetIostat {
    /// Only of this bdev.
    name: Option<String>,
    /// Only of these bdevs.
    names: Option<Vec<String>>,
    /// For each core apart; for a single bdev.
    #[serde(default)]
    per_channel: bool,
    /// What is set back to zero afterwards.
    #[serde(default)]
    reset_mode: Reset,
}

/// SPDK's names of what is reset.
#[derive(Deserialize, Clone, Copy, Default, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Reset {
    #[default]
    None,
    MaxMin,
    Error,
    All,
}

impl From<Reset> for ResetMode {
    fn from(reset: Reset) -> ResetMode {
        match reset {
            Reset::None => ResetMode::None,
            Reset::MaxMin => ResetMode::MaxMin,
            Reset::Error => ResetMode::Errors,
            Reset::All => ResetMode::All,
        }
    }
}

fn get_iostat(appliance: &mut Appliance, params: GetIostat) -> Result<Value, RpcError> {
    let names = match (params.name, params.names) {
        (Some(_), Some(_)) => {
            return Err(RpcError::invalid_params("name: not together with names: leave one of them out"));
        }
        (name, names) => names.unwrap_or_default().into_iter().chain(name).collect::<Vec<_>>(),
    };
    let mode = ResetMode::from(params.reset_mode);
    // All are looked up before any is reset.
    let bdevs = select(appliance, &names)?;
    let mut answer = json!({"tick_rate": TICK_RATE, "ticks": appliance.now.0});
    if params.per_channel {
        let ([name], [bdev]) = (&names[..], &bdevs[..]) else {
            return Err(RpcError::invalid_params("per_channel: for a single bdev only: name it"));
        };
        answer["name"] = name.as_str().into();
        answer["channels"] = bdev.take_channel_io_stats(mode).into_iter().map(channel).collect();
    } else {
        answer["bdevs"] =
            bdevs.into_iter().map(|bdev| counts(json!({"name": bdev.info().name}), &bdev.take_io_stat(mode))).collect();
    }
    Ok(answer)
}

fn channel(channel: bdev::ChannelIoStat) -> Value {
    let bdev::ChannelIoStat { place, stat } = channel;
    counts(json!({"thread_id": place.thread_id, "thread": place.thread, "lcore": place.core}), &stat)
}

/// Adds SPDK's members, and some of our own: operations that SPDK does not count.
fn counts(mut value: Value, stat: &IoStatSnapshot) -> Value {
    let counts = json!({
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
        "io_error": stat.errors().collect::<std::collections::BTreeMap<_, _>>(),
    });
    if let (Value::Object(value), Value::Object(counts)) = (&mut value, counts) {
        value.extend(counts);
    }
    value
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResetIostat {
    /// Only of this bdev.
    name: Option<String>,
    /// What is set back to zero.
    #[serde(default = "all")]
    mode: Reset,
}

fn all() -> Reset {
    Reset::All
}

impl Default for ResetIostat {
    fn default() -> ResetIostat {
        ResetIostat { name: None, mode: all() }
    }
}

fn reset_iostat(appliance: &mut Appliance, params: ResetIostat) -> Result<bool, RpcError> {
    for bdev in select(appliance, params.name.as_slice())? {
        bdev.take_io_stat(params.mode.into());
    }
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EnableHistogram {
    /// Name of the bdev.
    name: String,
    /// Begin, or end.
    enable: bool,
    /// Only of read, write, flush, unmap or write_zeroes; left out: of all.
    opc: Option<String>,
    /// Each power of two is cut into 2 to this power parts.
    granularity: Option<u8>,
    /// The shortest latency that counts, in nanoseconds.
    min_nsec: Option<u64>,
    /// The longest latency that counts, in nanoseconds.
    max_nsec: Option<u64>,
}

fn enable_histogram(appliance: &mut Appliance, params: EnableHistogram) -> Result<bool, RpcError> {
    let bdev = find(appliance, &params.name)?;
    if !params.enable {
        bdev.disable_histogram();
        return Ok(true);
    }
    let defaults = HistogramOptions::default();
    let op = params.opc.as_deref().map(|name| OpKind::from_name(name).ok_or_else(|| no_such_op(name))).transpose()?;
    let options = HistogramOptions {
        granularity: params.granularity.unwrap_or(defaults.granularity),
        min_ns: params.min_nsec.unwrap_or(defaults.min_ns),
        max_ns: params.max_nsec.unwrap_or(defaults.max_ns),
        op,
    };
    bdev.enable_histogram(options).map_err(RpcError::invalid_params)?;
    Ok(true)
}

fn no_such_op(name: &str) -> RpcError {
    RpcError::invalid_params(format!("opc: {name:?} is none of read, write, flush, unmap and write_zeroes"))
}

/// The request that enables a bdev's histogram as it is now, for a saved configuration.
pub(crate) fn histogram_recipe(bdev: &Bdev) -> Option<Value> {
    let HistogramOptions { granularity, min_ns, max_ns, op } = bdev.histogram_options()?;
    let mut params = json!({"name": bdev.info().name, "enable": true, "granularity": granularity, "min_nsec": min_ns, "max_nsec": max_ns});
    if let Some(op) = op {
        params["opc"] = op.name().into();
    }
    Some(json!({"method": "bdev_enable_histogram", "params": params}))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetHistogram {
    /// Name of the bdev.
    name: String,
}

/// What SPDK's scripts/histogram.py reads.
fn get_histogram(appliance: &mut Appliance, params: GetHistogram) -> Result<Value, RpcError> {
    let histogram = histogram(find(appliance, &params.name)?)?;
    let bytes: Vec<u8> = histogram.buckets().iter().flat_map(|count| count.to_le_bytes()).collect();
    Ok(json!({
        "histogram": base64::encode(&bytes),
        "granularity": histogram.granularity(),
        "min_range": histogram.min_range(),
        "max_range": histogram.max_range(),
        "tsc_rate": TICK_RATE,
    }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetHistogramBorders {
    /// Name of the bdev.
    name: String,
    /// In microseconds.
    borders: Vec<u64>,
}

fn get_histogram_borders(appliance: &mut Appliance, params: GetHistogramBorders) -> Result<Value, RpcError> {
    let histogram = histogram(find(appliance, &params.name)?)?;
    let GetHistogramBorders { borders, .. } = params;
    let ascending = borders.is_sorted();
    if !ascending || borders.is_empty() || borders.len() > BORDERS_MAX {
        let text = format!("borders: 1 to {BORDERS_MAX} numbers of microseconds are needed, in ascending order");
        return Err(RpcError::invalid_params(text));
    }
    let borders_ns: Vec<u64> = borders.iter().map(|border| border.saturating_mul(1_000)).collect();
    Ok(json!({"borders_count": histogram.counts_up_to(&borders_ns)}))
}

fn histogram(bdev: &Bdev) -> Result<bdev::HistogramSnapshot, RpcError> {
    bdev.histogram().ok_or_else(|| {
        let name = &bdev.info().name;
        RpcError::errno(
            Errno::FAULT,
            format!("name: bdev {name} has no histogram: enable it first (bdev_enable_histogram)"),
        )
    })
}

fn find<'a>(appliance: &'a Appliance, name: &str) -> Result<&'a Arc<Bdev>, RpcError> {
    appliance.bdevs.get(name).ok_or_else(|| crate::rpc::registry_error(bdev::RegistryError::NotFound(name.to_owned())))
}
