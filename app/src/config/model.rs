//! What a configuration says is there, and what each request makes of it. No device, no appliance: pure.
//!
//! A model keeps everything in one form, so that two of them can be compared: what a parameter is when it is left out, is left out here,
//! numbers and addresses are written in one way. What only the appliance chooses (a UUID, a relative port identifier, the block size of a
//! file) is missing until [`Model::settle`] takes it from what is running: what nobody asks to change stays as it is.
//!
//! It refuses what leads nowhere, as the appliance does: names that are taken or missing, things in use. Whether a value is in its range
//! only the appliance knows.

pub(super) mod bdevs;
pub(super) mod groups;
pub(super) mod targets;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
#[cfg(any(test, feature = "test-utils"))]
use serde_json::json;

use self::bdevs::{Bdev, Making};
use self::groups::{Group, PortGroup};
#[cfg(any(test, feature = "test-utils"))]
use self::targets::Lun;
use self::targets::{Listener, Owner, Target, Unit};
use super::entry::Entry;
use super::params::{Misfit, Params};

/// A configuration as things that exist.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Ceph clusters by name.
    pub(super) clusters: BTreeMap<String, Params>,
    /// What made bdevs, by the name of the first.
    pub(super) makings: BTreeMap<String, Making>,
    pub(super) bdevs: BTreeMap<String, Bdev>,
    /// The making that stands on a bdev.
    above: BTreeMap<String, String>,
    /// Logical units by bdev.
    pub(super) units: BTreeMap<String, Unit>,
    /// The bdev of the unit that has it, by designator.
    designators: BTreeMap<String, String>,
    pub(super) targets: BTreeMap<String, Target>,
    /// LUNs that got the lowest free number, as nobody gave one.
    pub(super) unnumbered_luns: BTreeSet<(Owner, u16)>,
    /// Initiator groups; the first that contains an initiator decides.
    pub(super) groups: Vec<Group>,
    pub(super) port_groups: BTreeMap<String, PortGroup>,
    pub(super) listeners: BTreeSet<Listener>,
    /// `None`: whatever it is.
    pub(super) log_level: Option<String>,
    /// In microseconds. `None`: whatever it is.
    pub(super) slow_threshold_us: Option<u64>,
    /// By which policy new channels come to reactors. `None`: whatever it is.
    pub(super) scheduler: Option<String>,
    /// In microseconds. `None`: whatever it is.
    pub(super) scheduler_period_us: Option<u64>,
    /// Makings so far.
    num_made: u64,
}

/// What a request is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Key {
    Cluster(String),
    /// By the first of the bdevs that are made together.
    Making(String),
    Qos(String),
    Histogram(String),
    WriteProtection(String),
    Latencies(String),
    Target(String),
    Lun(Owner, u16),
    /// By bdev. No request is about it alone: the first LUN decides.
    #[cfg(any(test, feature = "test-utils"))]
    Unit(String),
    /// Whether the disc of a CD drive is out.
    Disc(String),
    Group(String),
    PortGroup(String),
    /// To which port group a target belongs.
    Member(String),
    /// The state of a unit alone.
    UnitState {
        group: String,
        bdev: String,
    },
    Listener(Listener),
    LogLevel,
    SlowThreshold,
    Scheduler,
}

/// Where in a configuration each thing was last spoken of.
pub(crate) type Places = BTreeMap<Key, usize>;

impl Model {
    /// What these requests make where there is nothing.
    ///
    /// # Errors
    /// The index of the first that cannot be, and why.
    pub(crate) fn of(entries: &[Entry]) -> Result<(Model, Places), (usize, Misfit)> {
        let (mut model, mut places, nothing) = (Model::default(), Places::new(), Params::new());
        for (index, Entry { request, .. }) in entries.iter().enumerate() {
            let params = request.params.as_ref().and_then(Value::as_object).unwrap_or(&nothing);
            let key = model.apply(&request.method, params).map_err(|misfit| (index, misfit))?;
            places.insert(key, index);
        }
        Ok((model, places))
    }

    /// Does to the model what the appliance does at a request; returns what it is about.
    ///
    /// # Errors
    /// It cannot be, and nothing has changed; or the method is none that a configuration is made of.
    pub(crate) fn apply(&mut self, method: &str, params: &Params) -> Result<Key, Misfit> {
        match method {
            "bdev_rbd_register_cluster" => self.register_cluster(params),
            "bdev_rbd_unregister_cluster" => self.unregister_cluster(params),
            "bdev_null_create" | "bdev_malloc_create" | "bdev_uring_create" | "bdev_aio_create"
            | "bdev_scsi_create" | "bdev_rbd_create" | "bdev_delay_create" | "bdev_error_create"
            | "bdev_split_create" => self.make(method, params),
            "bdev_null_delete" | "bdev_malloc_delete" | "bdev_uring_delete" | "bdev_aio_delete"
            | "bdev_scsi_delete" | "bdev_rbd_delete" | "bdev_delay_delete" | "bdev_error_delete" => {
                self.delete_bdev(method, params)
            }
            "bdev_split_delete" => self.delete_split(params),
            "bdev_null_resize" => self.resize_null(params),
            "bdev_uring_resize" | "bdev_aio_resize" => self.resize_file(method, params),
            "bdev_delay_update_latency" => self.update_latency(params),
            "bdev_set_qos_limit" => self.set_qos(params),
            "bdev_enable_histogram" => self.enable_histogram(params),
            "bdev_set_read_only" => self.set_read_only(params),
            "srp_create_target" => self.create_target(params),
            "srp_delete_target" => self.delete_target(params),
            "srp_target_add_lun" => self.add_target_lun(params),
            "srp_target_remove_lun" => self.remove_target_lun(params),
            "srp_target_replace_lun" => self.replace_target_lun(params),
            "srp_cdrom_eject" => self.eject_disc(params),
            "srp_cdrom_insert" => self.insert_disc(params),
            "srp_create_listener" => self.create_listener(params),
            "srp_delete_listener" => self.delete_listener(params),
            "srp_create_initiator_group" => self.create_group(params),
            "srp_delete_initiator_group" => self.delete_group(params),
            "srp_initiator_group_add_initiator" => self.add_initiator(params),
            "srp_initiator_group_remove_initiator" => self.remove_initiator(params),
            "srp_initiator_group_set_luns" => self.set_group_luns(params),
            "srp_initiator_group_move" => self.move_group(params),
            "srp_initiator_group_add_lun" => self.add_group_lun(params),
            "srp_initiator_group_remove_lun" => self.remove_group_lun(params),
            "srp_initiator_group_replace_lun" => self.replace_group_lun(params),
            "srp_create_target_port_group" => self.create_port_group(params),
            "srp_delete_target_port_group" => self.delete_port_group(params),
            "srp_target_port_group_add_target" => self.add_member(params),
            "srp_target_port_group_remove_target" => self.remove_member(params),
            "srp_target_port_group_set_state" => self.set_state(params),
            "srp_target_port_group_clear_state" => self.clear_state(params),
            "framework_set_scheduler" => self.set_scheduler(params),
            "log_set_level" => self.set_log_level(params),
            "srpt_set_slow_threshold" => self.set_slow_threshold(params),
            _ => Err(Misfit("method: it makes nothing that a configuration consists of: leave it out".into())),
        }
    }

    /// Fills in what is missing with what is running, and then with what follows from that. `keep_sizes`: no file is to grow.
    pub(super) fn settle(&mut self, now: &Model, keep_sizes: bool) {
        self.settle_makings(now, keep_sizes);
        self.settle_units(now);
        // A number that somebody asks for is not kept by another.
        let asked: BTreeSet<u16> = self.targets.values().filter_map(|target| target.relative_port).collect();
        for (name, target) in self.targets.iter_mut().filter(|(_, target)| target.relative_port.is_none()) {
            let port = now.targets.get(name).and_then(|target| target.relative_port);
            target.relative_port = port.filter(|port| !asked.contains(port));
        }
        let asked: BTreeSet<u16> = self.port_groups.values().filter_map(|group| group.id).collect();
        for (name, group) in self.port_groups.iter_mut().filter(|(_, group)| group.id.is_none()) {
            let id = now.port_groups.get(name).and_then(|group| group.id);
            group.id = id.filter(|id| !asked.contains(id));
        }
        self.log_level = self.log_level.take().or_else(|| now.log_level.clone());
        self.slow_threshold_us = self.slow_threshold_us.or(now.slow_threshold_us);
        self.scheduler = self.scheduler.take().or_else(|| now.scheduler.clone());
        self.scheduler_period_us = self.scheduler_period_us.or(now.scheduler_period_us);
    }

    fn set_log_level(&mut self, params: &Params) -> Result<Key, Misfit> {
        let level = super::params::text(params, "level")?.to_ascii_uppercase();
        self.log_level = Some(match level.as_str() {
            "WARN" => "WARNING".into(),
            "NOTICE" => "INFO".into(),
            _ => level,
        });
        Ok(Key::LogLevel)
    }

    fn set_slow_threshold(&mut self, params: &Params) -> Result<Key, Misfit> {
        let microseconds = params.get("microseconds").and_then(Value::as_u64);
        self.slow_threshold_us = Some(microseconds.ok_or_else(|| Misfit("microseconds: a number is needed".into()))?);
        Ok(Key::SlowThreshold)
    }

    fn set_scheduler(&mut self, params: &Params) -> Result<Key, Misfit> {
        self.scheduler = Some(super::params::text(params, "name")?.to_owned());
        self.scheduler_period_us = super::params::optional_number(params, "period").or(self.scheduler_period_us);
        Ok(Key::Scheduler)
    }

    /// Everything by what it is, each in one form. The order of groups is not in it.
    #[cfg(any(test, feature = "test-utils"))]
    pub(super) fn objects(&self) -> BTreeMap<Key, Value> {
        let mut objects = BTreeMap::new();
        let mut put = |key: Key, value: Value| drop(objects.insert(key, value));
        for (name, cluster) in &self.clusters {
            put(Key::Cluster(name.clone()), json!(cluster));
        }
        for (name, making) in &self.makings {
            put(Key::Making(name.clone()), json!([making.method, making.params, making.names]));
        }
        for (name, Bdev { settings, .. }) in &self.bdevs {
            put(Key::Qos(name.clone()), json!(settings.qos));
            put(Key::Histogram(name.clone()), json!(settings.histogram));
            put(Key::WriteProtection(name.clone()), json!(settings.write_protected));
            put(Key::Latencies(name.clone()), json!(settings.latencies));
        }
        for (name, unit) in &self.units {
            put(Key::Unit(name.clone()), json!(unit.identity));
            put(Key::Disc(name.clone()), json!(unit.disc_out));
        }
        for (name, target) in &self.targets {
            let Target { id_ext, ioc_guid, relative_port, addressing, luns } = target;
            put(Key::Target(name.clone()), json!([id_ext, ioc_guid, relative_port, addressing]));
            put_luns(&mut put, &Owner::Target(name.clone()), luns);
            let group = self.port_groups.iter().find(|(_, group)| group.targets.contains(name));
            put(Key::Member(name.clone()), json!(group.map(|(name, _)| name)));
        }
        for group in &self.groups {
            let shown = group.luns.without_map();
            put(Key::Group(group.name.clone()), json!([group.target, group.initiators, shown]));
            put_luns(&mut put, &Owner::Group(group.name.clone()), group.luns.map());
        }
        for (name, group) in &self.port_groups {
            let value = json!([group.id, group.state, group.preferred, group.implicit, group.explicit]);
            put(Key::PortGroup(name.clone()), value);
            for (bdev, state) in &group.unit_states {
                put(Key::UnitState { group: name.clone(), bdev: bdev.clone() }, json!(state));
            }
        }
        for listener in &self.listeners {
            put(Key::Listener(listener.clone()), Value::Bool(true));
        }
        put(Key::LogLevel, json!(self.log_level));
        put(Key::SlowThreshold, json!(self.slow_threshold_us.unwrap_or(0)));
        put(Key::Scheduler, json!([self.scheduler, self.scheduler_period_us]));
        objects
    }
}

#[cfg(any(test, feature = "test-utils"))]
fn put_luns(put: &mut impl FnMut(Key, Value), owner: &Owner, luns: &BTreeMap<u16, Lun>) {
    for (&number, lun) in luns {
        put(Key::Lun(owner.clone(), number), json!([format!("{:?}", lun.source), lun.read_only]));
    }
}
