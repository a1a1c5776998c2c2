//! Bdevs of a plan.

use serde_json::{Value, json};

use super::{Impossible, Planner, Rules};
use crate::config::model::Key;
use crate::config::model::bdevs::{Bdev, Making, Settings};
use crate::config::params::{flag, optional_number};

const MIB: u64 = 1 << 20;

impl Planner {
    /// Which makings and clusters cannot stay as they are.
    pub(super) fn look_at_bdevs(&mut self, rules: &Rules<'_>) -> Result<(), Impossible> {
        for (name, cluster) in &self.work.clusters {
            if self.wanted.clusters.get(name) != Some(cluster) {
                self.gone_clusters.insert(name.clone());
            }
        }
        // Those beneath stand before those above.
        for name in self.work.makings_in_order() {
            let making = &self.work.makings[&name];
            let stands_on_gone = making.base.as_ref().and_then(|base| self.work.bdevs.get(base));
            let stands_on_gone = stands_on_gone.is_some_and(|bdev| self.gone.contains(&bdev.making));
            let in_gone_cluster = making.cluster().is_some_and(|cluster| self.gone_clusters.contains(cluster));
            let wanted = self.wanted.makings.get(&name).filter(|_| !rules.others.contains(&name));
            let stays = wanted.is_some_and(|wanted| self.can_become(&name, making, wanted));
            if stands_on_gone || in_gone_cluster || !stays {
                self.claimed.extend(making.claims(rules.resolve));
                self.gone.insert(name);
                continue;
            }
            let wanted = self.wanted.makings.get(&name).and_then(|wanted| wanted.bytes);
            if let (Some(wanted), Some(bytes)) = (wanted, making.bytes)
                && wanted < bytes
            {
                let text = format!(
                    "size: the file of {name} has {bytes} bytes, and what lies behind {wanted} would be lost: \
                     give that size, none, or cut it off with bdev_uring_resize or bdev_aio_resize and allow_shrink"
                );
                return Err(Impossible { key: Key::Making(name), text });
            }
        }
        Ok(())
    }

    /// Whether a bdev becomes what is wanted without being made again.
    fn can_become(&self, name: &str, making: &Making, wanted: &Making) -> bool {
        if (&making.method, &making.base, &making.names) != (&wanted.method, &wanted.base, &wanted.names) {
            return false;
        }
        let in_place =
            [("num_blocks", grows_as_null(making, wanted)), ("filename", self.wanted.exchanges_disc(&self.work, name))];
        let mut as_wanted = making.params.clone();
        for (parameter, can) in in_place {
            if let Some(value) = wanted.params.get(parameter).filter(|_| can) {
                as_wanted.insert(parameter.into(), value.clone());
            }
        }
        as_wanted == wanted.params
    }

    /// New bdevs, as far as they need nothing that is to go.
    pub(super) fn make_what_needs_nothing(&mut self, rules: &Rules<'_>) -> Result<(), Impossible> {
        for name in self.new_clusters() {
            self.register(&name)?;
        }
        for name in self.wanted.makings_in_order() {
            let making = &self.wanted.makings[&name];
            let is_new = making.names.iter().all(|name| !self.work.bdevs.contains_key(name));
            let base_stays = making.base.as_ref().is_none_or(|base| {
                let beneath = self.work.bdevs.get(base);
                let stays = beneath.is_some_and(|bdev| !self.gone.contains(&bdev.making));
                stays && self.work.bdev_above(base).is_none() && !self.work.units.contains_key(base)
            });
            let cluster_stays = making.cluster().is_none_or(|cluster| {
                self.work.clusters.contains_key(cluster) && !self.gone_clusters.contains(cluster)
            });
            if is_new && base_stays && cluster_stays && making.claims(rules.resolve).is_disjoint(&self.claimed) {
                self.make(&name)?;
            }
        }
        Ok(())
    }

    /// Settings of the bdevs that stay.
    pub(super) fn change_settings(&mut self) -> Result<(), Impossible> {
        let stays = |(_, bdev): &(&String, &Bdev)| !self.gone.contains(&bdev.making);
        let names: Vec<String> = self.work.bdevs.iter().filter(stays).map(|(name, _)| name.clone()).collect();
        names.iter().try_for_each(|name| self.set(name))
    }

    /// Takes away what is to go, uppermost first.
    pub(super) fn delete_bdevs(&mut self) -> Result<(), Impossible> {
        for name in self.work.makings_in_order().into_iter().rev() {
            let Some(making) = self.work.makings.get(&name).filter(|_| self.gone.contains(&name)) else { continue };
            let method = making.method.replace("_create", "_delete");
            let params = match &making.base {
                Some(base) if method == "bdev_split_delete" => json!({"base_bdev": base}),
                _ => json!({"name": name}),
            };
            self.emit(Key::Making(name), &method, params)?;
        }
        for name in std::mem::take(&mut self.gone_clusters) {
            self.emit(Key::Cluster(name.clone()), "bdev_rbd_unregister_cluster", json!({"name": name}))?;
        }
        // From now on it is there if it is in `work`.
        self.gone.clear();
        Ok(())
    }

    /// What is missing still.
    pub(super) fn make_the_rest(&mut self) -> Result<(), Impossible> {
        for name in self.new_clusters() {
            self.register(&name)?;
        }
        for name in self.wanted.makings_in_order() {
            if !self.work.makings.contains_key(&name) {
                self.make(&name)?;
            }
        }
        Ok(())
    }

    /// Files and null devices that are larger in what is wanted, and that nothing new stands on.
    pub(super) fn grow_the_rest(&mut self) -> Result<(), Impossible> {
        self.wanted.makings_in_order().iter().try_for_each(|name| self.grow(name))
    }

    fn new_clusters(&self) -> Vec<String> {
        let is_new = |name: &&String| !self.work.clusters.contains_key(*name);
        self.wanted.clusters.keys().filter(is_new).cloned().collect()
    }

    fn register(&mut self, name: &str) -> Result<(), Impossible> {
        let params = Value::Object(self.wanted.clusters[name].clone());
        self.emit(Key::Cluster(name.to_owned()), "bdev_rbd_register_cluster", params)
    }

    fn make(&mut self, name: &str) -> Result<(), Impossible> {
        let making = self.wanted.makings[name].clone();
        if let Some(base) = &making.base {
            self.grow(base)?;
        }
        let settings = self.wanted.bdevs.get(name).map(|bdev| bdev.settings.clone()).unwrap_or_default();
        let params = Value::Object(making.creation(&settings));
        self.emit(Key::Making(name.to_owned()), &making.method, params)?;
        making.names.iter().try_for_each(|name| self.set(name))
    }

    /// Grows it, if it is of a kind that can and is to be larger.
    fn grow(&mut self, name: &str) -> Result<(), Impossible> {
        let (Some(making), Some(wanted)) = (self.work.makings.get(name), self.wanted.makings.get(name)) else {
            return Ok(());
        };
        if self.gone.contains(name) {
            return Ok(());
        }
        let (key, method) = (Key::Making(name.to_owned()), making.method.replace("_create", "_resize"));
        if grows_as_null(making, wanted) {
            let blocks = optional_number(&wanted.params, "num_blocks").unwrap_or(0);
            let new_size = blocks.saturating_mul(wanted.stored_block_size()) / MIB;
            return self.emit(key, &method, json!({"name": name, "new_size": new_size}));
        }
        match (making.bytes, wanted.bytes) {
            (Some(bytes), Some(size)) if size > bytes => self.emit(key, &method, json!({"name": name, "size": size})),
            _ => Ok(()),
        }
    }

    /// Gives a bdev the settings that it is to have.
    fn set(&mut self, name: &str) -> Result<(), Impossible> {
        let (Some(now), Some(wanted)) = (self.work.bdevs.get(name), self.wanted.bdevs.get(name)) else {
            return Ok(());
        };
        let (now, wanted) = (now.settings.clone(), wanted.settings.clone());
        if now.qos != wanted.qos {
            self.emit(Key::Qos(name.to_owned()), "bdev_set_qos_limit", limits(name, &now, &wanted))?;
        }
        if now.histogram != wanted.histogram {
            let mut params = json!({"name": name, "enable": wanted.histogram.is_some()});
            if let Some(params) = params.as_object_mut() {
                params.extend(wanted.histogram.into_iter().flatten());
            }
            self.emit(Key::Histogram(name.to_owned()), "bdev_enable_histogram", params)?;
        }
        if now.write_protected != wanted.write_protected {
            let params = json!({"name": name, "read_only": wanted.write_protected});
            self.emit(Key::WriteProtection(name.to_owned()), "bdev_set_read_only", params)?;
        }
        for (kind, latency) in &wanted.latencies {
            if now.latencies.get(kind) != Some(latency) {
                let params = json!({"delay_bdev_name": name, "latency_type": kind, "latency_us": latency});
                self.emit(Key::Latencies(name.to_owned()), "bdev_delay_update_latency", params)?;
            }
        }
        Ok(())
    }
}

/// The limits that differ; 0 where there is to be none.
fn limits(name: &str, now: &Settings, wanted: &Settings) -> Value {
    let mut params = json!({"name": name});
    for limit in now.qos.keys().chain(wanted.qos.keys()) {
        let value = wanted.qos.get(limit);
        if now.qos.get(limit) != value {
            params[limit] = value.copied().unwrap_or(0).into();
        }
    }
    params
}

/// Whether it is a null device that is to have more MiB.
fn grows_as_null(making: &Making, wanted: &Making) -> bool {
    let blocks = |making: &Making| optional_number(&making.params, "num_blocks").unwrap_or(0);
    let is_whole = blocks(wanted).saturating_mul(wanted.stored_block_size()).is_multiple_of(MIB);
    let same_blocks = making.stored_block_size() == wanted.stored_block_size();
    let is_plain = making.method == "bdev_null_create" && !flag(&making.params, "pattern", false);
    is_plain && same_blocks && is_whole && blocks(wanted) > blocks(making)
}
