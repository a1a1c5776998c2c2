//! Bdevs of a model: what makes them, what stands on what, and what is set for each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bdev::HistogramOptions;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Key, Model};
use crate::config::params::{Misfit, Params, flag, number, optional_number, optional_text, text};

/// A request that made one bdev, or the parts of a split.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Making {
    pub(crate) method: String,
    /// The parameters that count as long as it exists, in one form. Latencies are with the settings.
    pub(crate) params: Params,
    /// A file's size in bytes as it was asked for, which counts when it is made.
    pub(crate) size: Option<u64>,
    /// A file that is missing when it is made will come.
    pub(crate) waits: bool,
    /// A file's size in bytes as it is, or is to be, where that is known.
    pub(crate) bytes: Option<u64>,
    pub(crate) names: Vec<String>,
    /// The bdev beneath.
    pub(crate) base: Option<String>,
    /// Makings stand in this order.
    pub(crate) order: u64,
}

/// A bdev.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Bdev {
    pub(crate) making: String,
    pub(crate) settings: Settings,
}

/// What is set for a bdev at any time.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Settings {
    /// Limits that there are, by parameter.
    pub(crate) qos: BTreeMap<String, u64>,
    pub(crate) histogram: Option<Params>,
    pub(crate) write_protected: bool,
    /// Of a delaying bdev, in microseconds by `avg_read` and so on.
    pub(crate) latencies: BTreeMap<String, u64>,
}

const LATENCIES: [&str; 4] = ["avg_read", "p99_read", "avg_write", "p99_write"];
const LIMITS: [&str; 6] =
    ["rw_ios_per_sec", "r_ios_per_sec", "w_ios_per_sec", "rw_mbytes_per_sec", "r_mbytes_per_sec", "w_mbytes_per_sec"];

impl Model {
    pub(super) fn register_cluster(&mut self, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "name")?.to_owned();
        if self.clusters.contains_key(&name) {
            return Err(Misfit(format!("name: a cluster {name} is registered already")));
        }
        self.clusters.insert(name.clone(), canonical(params)?);
        Ok(Key::Cluster(name))
    }

    pub(super) fn unregister_cluster(&mut self, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "name")?;
        let uses = |making: &Making| making.cluster() == Some(name);
        if self.makings.values().any(uses) {
            return Err(Misfit(format!("name: cluster {name} is in use by bdevs")));
        }
        let missing = || Misfit(format!("name: no cluster {name} is registered"));
        self.clusters.remove(name).ok_or_else(missing)?;
        Ok(Key::Cluster(name.to_owned()))
    }

    pub(super) fn make(&mut self, method: &str, params: &Params) -> Result<Key, Misfit> {
        let mut making = Making {
            method: method.to_owned(),
            params: canonical(params)?,
            size: None,
            waits: false,
            bytes: None,
            names: Vec::new(),
            base: None,
            order: self.num_made,
        };
        let mut settings = Settings::default();
        match method {
            "bdev_null_create" | "bdev_malloc_create" => {
                if making.params.get("physical_block_size") == making.params.get("block_size") {
                    making.params.remove("physical_block_size");
                }
                making.names = vec![self.name_or(&mut making.params, "Malloc")?];
            }
            "bdev_rbd_create" => {
                making.names = vec![self.name_or(&mut making.params, "Ceph")?];
                if let Some(cluster) = making.cluster().filter(|cluster| !self.clusters.contains_key(*cluster)) {
                    return Err(Misfit(format!("cluster_name: no cluster {cluster} is registered")));
                }
            }
            "bdev_uring_create" | "bdev_aio_create" => {
                making.size = making.params.remove("size").and_then(|size| size.as_u64());
                making.bytes = making.size;
                making.waits = making.params.remove("wait_for_file").is_some();
                making.params.insert("filename".into(), tidy(text(params, "filename")?).into());
                making.names = vec![text(params, "name")?.to_owned()];
            }
            "bdev_delay_create" => {
                making.base = Some(text(params, "base_bdev_name")?.to_owned());
                making.names = vec![text(params, "name")?.to_owned()];
                for kind in LATENCIES {
                    let parameter = format!("{kind}_latency");
                    settings.latencies.insert(kind.into(), number(params, &parameter)?);
                    making.params.remove(&parameter);
                }
            }
            "bdev_error_create" => {
                let base = text(params, "base_name")?;
                making.names = vec![format!("EE_{base}")];
                making.base = Some(base.to_owned());
            }
            "bdev_split_create" => {
                let base = text(params, "base_bdev")?;
                let parts = number(params, "split_count")?.min(bdev::split::SPLIT_COUNT_MAX.into());
                making.names = (0..parts).map(|part| format!("{base}p{part}")).collect();
                making.base = Some(base.to_owned());
            }
            _ => making.names = vec![text(params, "name")?.to_owned()],
        }
        self.enter(making, settings)
    }

    /// A name that is given, or else the lowest free one with a number.
    fn name_or(&self, params: &mut Params, prefix: &str) -> Result<String, Misfit> {
        if let Some(name) = optional_text(params, "name") {
            return Ok(name.to_owned());
        }
        let free = |name: &String| !self.bdevs.contains_key(name);
        let name = (0u64..).map(|number| format!("{prefix}{number}")).find(free).unwrap_or_default();
        params.insert("name".into(), name.clone().into());
        Ok(name)
    }

    fn enter(&mut self, mut making: Making, settings: Settings) -> Result<Key, Misfit> {
        let Some(key) = making.names.first().cloned() else {
            return Err(Misfit("split_count: at least one part is needed".into()));
        };
        if let Some(taken) = making.names.iter().find(|name| self.bdevs.contains_key(*name)) {
            return Err(Misfit(format!("name: a bdev {taken} exists already")));
        }
        if let Some(base) = &making.base {
            self.check_free(base)?;
            self.above.insert(base.clone(), key.clone());
        }
        let write_protected = settings.write_protected;
        for name in &making.names {
            let settings = Settings { write_protected, ..settings.clone() };
            self.bdevs.insert(name.clone(), Bdev { making: key.clone(), settings });
        }
        making.order = self.num_made;
        self.num_made += 1;
        self.makings.insert(key.clone(), making);
        Ok(Key::Making(key))
    }

    /// A bdev that nobody uses.
    fn check_free(&self, name: &str) -> Result<(), Misfit> {
        self.find(name)?;
        if let Some(above) = self.above.get(name) {
            return Err(Misfit(format!("name: bdev {name} is in use by bdev {above}")));
        }
        if self.units.contains_key(name) {
            return Err(Misfit(format!("name: bdev {name} is in use by a LUN")));
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<&Bdev, Misfit> {
        self.bdevs.get(name).ok_or_else(|| Misfit(format!("name: there is no bdev {name}")))
    }

    fn settings(&mut self, params: &Params, parameter: &str) -> Result<(String, &mut Settings), Misfit> {
        let name = text(params, parameter)?.to_owned();
        let missing = || Misfit(format!("{parameter}: there is no bdev {name}"));
        let bdev = self.bdevs.get_mut(&name).ok_or_else(missing)?;
        Ok((name, &mut bdev.settings))
    }

    pub(super) fn delete_bdev(&mut self, method: &str, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "name")?.to_owned();
        self.making(&method.replace("_delete", "_create"), &name)?;
        if flag(params, "force", false) && !self.above.contains_key(&name) {
            self.remove_luns_of(&name);
        }
        self.check_free(&name)?;
        self.unmake(&name)
    }

    pub(super) fn delete_split(&mut self, params: &Params) -> Result<Key, Misfit> {
        let base = text(params, "base_bdev")?;
        let missing = || Misfit(format!("base_bdev: there are no parts of a bdev {base}"));
        let key = self.above.get(base).ok_or_else(missing)?.clone();
        for name in self.makings.get(&key).ok_or_else(missing)?.names.clone() {
            self.check_free(&name)?;
        }
        self.unmake(&key)
    }

    fn unmake(&mut self, key: &str) -> Result<Key, Misfit> {
        let making = self.makings.remove(key).ok_or_else(|| Misfit(format!("name: there is no bdev {key}")))?;
        making.names.iter().for_each(|name| drop(self.bdevs.remove(name)));
        making.base.iter().for_each(|base| drop(self.above.remove(base)));
        Ok(Key::Making(key.to_owned()))
    }

    pub(super) fn resize_null(&mut self, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "name")?;
        let bytes = number(params, "new_size")?.saturating_mul(1 << 20);
        let making = self.making("bdev_null_create", name)?;
        let num_blocks = bytes.checked_div(making.stored_block_size()).unwrap_or(0);
        if num_blocks < optional_number(&making.params, "num_blocks").unwrap_or(0) {
            return Err(Misfit("new_size: it does not become smaller".into()));
        }
        making.params.insert("num_blocks".into(), num_blocks.into());
        Ok(Key::Making(name.to_owned()))
    }

    pub(super) fn resize_file(&mut self, method: &str, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "name")?;
        let bytes = number(params, "size")?;
        let making = self.making(&method.replace("_resize", "_create"), name)?;
        making.bytes = Some(bytes);
        // A file that is missing at the next start must not be made anew, and empty.
        making.size = None;
        Ok(Key::Making(name.to_owned()))
    }

    /// What made a bdev, which must be of this kind.
    fn making(&mut self, method: &str, name: &str) -> Result<&mut Making, Misfit> {
        let found = self.makings.get_mut(name).filter(|making| making.method == method);
        found.ok_or_else(|| Misfit(format!("name: there is no bdev {name} of this kind")))
    }

    pub(super) fn update_latency(&mut self, params: &Params) -> Result<Key, Misfit> {
        let (kind, latency) = (text(params, "latency_type")?.to_owned(), number(params, "latency_us")?);
        let (name, settings) = self.settings(params, "delay_bdev_name")?;
        let other = || Misfit(format!("delay_bdev_name: bdev {name} delays nothing"));
        *settings.latencies.get_mut(&kind).ok_or_else(other)? = latency;
        Ok(Key::Latencies(name))
    }

    pub(super) fn set_qos(&mut self, params: &Params) -> Result<Key, Misfit> {
        let (name, settings) = self.settings(params, "name")?;
        for limit in LIMITS {
            match optional_number(params, limit) {
                None => {}
                Some(0) => drop(settings.qos.remove(limit)),
                Some(value) => drop(settings.qos.insert(limit.into(), value)),
            }
        }
        Ok(Key::Qos(name))
    }

    pub(super) fn enable_histogram(&mut self, params: &Params) -> Result<Key, Misfit> {
        let (name, settings) = self.settings(params, "name")?;
        let defaults = HistogramOptions::default();
        settings.histogram = flag(params, "enable", false).then(|| {
            let mut histogram = Params::new();
            let number = |parameter, default| optional_number(params, parameter).unwrap_or(default);
            histogram.insert("granularity".into(), number("granularity", defaults.granularity.into()).into());
            histogram.insert("min_nsec".into(), number("min_nsec", defaults.min_ns).into());
            histogram.insert("max_nsec".into(), number("max_nsec", defaults.max_ns).into());
            if let Some(op) = optional_text(params, "opc") {
                histogram.insert("opc".into(), op.into());
            }
            histogram
        });
        Ok(Key::Histogram(name))
    }

    pub(super) fn set_read_only(&mut self, params: &Params) -> Result<Key, Misfit> {
        let read_only = flag(params, "read_only", false);
        let name = text(params, "name")?;
        if self.is_passed_through(name) {
            return Err(Misfit(format!("name: bdev {name} is a SCSI device, whose write protection is its own")));
        }
        // One that was made read-only stays it, whatever is set.
        let made_read_only = self.makings.get(name).is_some_and(|making| flag(&making.params, "readonly", false));
        if made_read_only && !read_only {
            return Err(Misfit(format!("read_only: bdev {name} was made read-only")));
        }
        let (name, settings) = self.settings(params, "name")?;
        settings.write_protected = read_only && !made_read_only;
        Ok(Key::WriteProtection(name))
    }

    /// Whether the bdev is a SCSI device, or stands on one.
    pub(super) fn is_passed_through(&self, name: &str) -> bool {
        let Some(making) = self.bdevs.get(name).and_then(|bdev| self.makings.get(&bdev.making)) else { return false };
        making.method == "bdev_scsi_create" || making.base.as_ref().is_some_and(|base| self.is_passed_through(base))
    }

    /// The UUID of a bdev, where it is known.
    pub(super) fn uuid(&self, name: &str) -> Option<Uuid> {
        let making = self.makings.get(name).filter(|making| making.method != "bdev_split_create")?;
        optional_text(&making.params, "uuid")?.parse().ok()
    }

    /// The bdev that stands on this one, by its making.
    pub(crate) fn bdev_above(&self, name: &str) -> Option<&String> {
        self.above.get(name)
    }

    /// Makings in their order.
    pub(crate) fn makings_in_order(&self) -> Vec<String> {
        let mut names: Vec<(u64, &String)> = self.makings.iter().map(|(name, making)| (making.order, name)).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name.clone()).collect()
    }

    /// What the appliance chose, or is as it is: identities, and sizes that nobody asked for.
    pub(super) fn settle_makings(&mut self, now: &Model, keep_sizes: bool) {
        // One that somebody asks for is not kept by another.
        let uuids = self.makings.values().filter_map(|making| optional_text(&making.params, "uuid"));
        let asked: BTreeSet<String> = uuids.map(str::to_owned).collect();
        for name in self.makings_in_order() {
            let Some(before) = now.makings.get(&name) else { continue };
            let exchanges_disc = self.exchanges_disc(now, &name);
            let block_size = self.data_block_size(before.base.as_deref());
            let Some(making) = self.makings.get_mut(&name).filter(|making| making.method == before.method) else {
                continue;
            };
            let mut chosen = vec!["block_size"];
            // Another file or image is another disk.
            let beneath = ["filename", "device", "pool_name", "namespace_name", "rbd_name"];
            let is_same = beneath.iter().all(|&source| making.params.get(source) == before.params.get(source));
            let is_free = optional_text(&before.params, "uuid").is_none_or(|uuid| !asked.contains(uuid));
            if (exchanges_disc || is_same) && is_free {
                chosen.push("uuid");
            }
            let megabytes = making.params.get("split_size_mb").and_then(Value::as_u64);
            if let (Some(megabytes), Some(block_size)) = (megabytes, block_size) {
                making.params.remove("split_size_mb");
                let blocks = megabytes.saturating_mul((1 << 20) / block_size);
                making.params.insert("split_size_blocks".into(), blocks.into());
            } else if megabytes.is_none() {
                chosen.push("split_size_blocks");
            }
            for parameter in chosen {
                if let (None, Some(value)) = (making.params.get(parameter), before.params.get(parameter)) {
                    making.params.insert(parameter.into(), value.clone());
                }
            }
            making.bytes = match (keep_sizes, before.bytes) {
                (false, Some(_)) => making.bytes.or(before.bytes),
                (true, bytes) | (false, bytes) => bytes,
            };
        }
    }

    /// Whether a bdev that both have is to have another disc in its drive, and nothing else is different.
    pub(crate) fn exchanges_disc(&self, now: &Model, name: &str) -> bool {
        let (Some(making), Some(before)) = (self.makings.get(name), now.makings.get(name)) else { return false };
        let (Some(unit), Some(unit_before)) = (self.units.get(name), now.units.get(name)) else { return false };
        let (disc, disc_before) = (making.params.get("filename"), before.params.get("filename"));
        let other_disc = disc.is_some() && disc_before.is_some() && disc != disc_before;
        other_disc && making.method == before.method && !unit.disc_out && unit.is_drive() && unit_before.is_drive()
    }

    /// Bytes of data of a block of a bdev, or of the one that it stands on.
    fn data_block_size(&self, name: Option<&str>) -> Option<u64> {
        let making = self.makings.get(&self.bdevs.get(name?)?.making)?;
        let own = optional_number(&making.params, "block_size").filter(|&size| size != 0);
        own.or_else(|| self.data_block_size(making.base.as_deref()))
    }
}

impl Making {
    /// The Ceph cluster that it needs.
    pub(crate) fn cluster(&self) -> Option<&str> {
        optional_text(&self.params, "cluster_name")
    }

    /// Bytes per block, with metadata.
    pub(crate) fn stored_block_size(&self) -> u64 {
        let size = |parameter| optional_number(&self.params, parameter).unwrap_or(0);
        size("block_size").saturating_add(size("md_size"))
    }

    /// What nobody else can have at the same time. `resolve` gives the one path of a file that has several.
    pub(crate) fn claims(&self, resolve: impl Fn(&Path) -> PathBuf) -> BTreeSet<String> {
        let mut claims: BTreeSet<String> = self.names.iter().map(|name| format!("name {name}")).collect();
        for parameter in ["uuid", "device"] {
            claims.extend(optional_text(&self.params, parameter).map(|value| format!("{parameter} {value}")));
        }
        if let Some(filename) = optional_text(&self.params, "filename") {
            claims.insert(format!("file {}", resolve(Path::new(filename)).display()));
        }
        if self.method == "bdev_rbd_create" {
            let image = ["pool_name", "namespace_name", "rbd_name"].map(|part| optional_text(&self.params, part));
            claims.insert(format!("image {image:?}"));
        }
        claims
    }

    /// The parameters that make it again. The slowest are made no faster than the average, which is refused, and changed afterwards.
    pub(crate) fn creation(&self, settings: &Settings) -> Params {
        let mut params = self.params.clone();
        if let Some(size) = self.size {
            params.insert("size".into(), size.into());
        }
        if self.waits {
            params.insert("wait_for_file".into(), true.into());
        }
        for (average, slowest) in [("avg_read", "p99_read"), ("avg_write", "p99_write")] {
            if let (Some(&average_us), Some(&slowest_us)) =
                (settings.latencies.get(average), settings.latencies.get(slowest))
            {
                params.insert(format!("{average}_latency"), average_us.into());
                params.insert(format!("{slowest}_latency"), slowest_us.max(average_us).into());
            }
        }
        params
    }
}

/// A path without what makes no difference.
pub(super) fn tidy(path: &str) -> String {
    Path::new(path).components().collect::<PathBuf>().to_string_lossy().into_owned()
}

/// The parameters of a creation in one form. What says no more than its absence is left out.
fn canonical(params: &Params) -> Result<Params, Misfit> {
    let mut canonical = Params::new();
    for (name, value) in params {
        let says_nothing = match (name.as_str(), value) {
            (_, Value::Null) | ("fallocate" | "nowait" | "dif_is_head_of_md", _) => true,
            ("thin_provisioned" | "direct" | "rotational", _) => false,
            (_, Value::Bool(false)) => true,
            ("allocate", value) => *value == "sparse",
            ("engine", value) => *value == "auto",
            ("numa_id", value) => *value == json!(-1),
            (
                "md_size"
                | "dif_type"
                | "dif_pi_format"
                | "optimal_io_boundary"
                | "optimal_write_size"
                | "preferred_write_alignment"
                | "preferred_write_granularity"
                | "preferred_unmap_alignment"
                | "preferred_unmap_granularity"
                | "split_size_mb",
                value,
            ) => *value == 0,
            ("config" | "config_param", Value::Object(options)) => options.is_empty(),
            _ => false,
        };
        if says_nothing {
            continue;
        }
        let value = match (name.as_str(), value) {
            ("uuid", Value::String(text)) => {
                let uuid: Uuid = text.parse().map_err(|error| Misfit(format!("uuid: {error}")))?;
                uuid.to_string().into()
            }
            _ => value.clone(),
        };
        canonical.insert(name.clone(), value);
    }
    Ok(canonical)
}
