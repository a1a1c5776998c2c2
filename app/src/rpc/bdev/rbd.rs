//! `bdev_rbd_*`: images of Ceph clusters, with SPDK's parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use bdev::rbd::{self, Cluster, ClusterOptions, RbdOptions};
use rpc::{Errno, RpcError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{add_delete, check_new, create_error, enter};
use crate::appliance::Appliance;
use crate::rpc::{Methods, refuse, registry_error};
use scsi::UnitAttention;

pub(super) fn add(methods: &mut Methods) {
    methods.add("bdev_rbd_register_cluster", "Connects with a Ceph cluster, for images in it", register_cluster);
    methods.add(
        "bdev_rbd_unregister_cluster",
        "Ends the connection with a Ceph cluster that no bdev needs",
        unregister_cluster,
    );
    methods.add("bdev_rbd_get_clusters_info", "Lists the connections with Ceph clusters", get_clusters_info);
    methods.add("bdev_rbd_create", "Makes a bdev of an image in a Ceph cluster", create);
    add_delete(methods, "bdev_rbd_delete", "Deletes such a bdev; the image stays", "Ceph Rbd Disk");
    methods.add("bdev_rbd_resize", "Changes the size of an image; initiators are told", resize);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RegisterCluster {
    /// Name of the connection.
    name: String,
    /// User at the cluster, without "client.".
    user_id: Option<String>,
    /// Options of Ceph, by name.
    #[serde(default)]
    config_param: BTreeMap<String, String>,
    /// Configuration of Ceph to read.
    config_file: Option<String>,
    /// Keyring to read.
    key_file: Option<String>,
    /// Not supported.
    core_mask: Option<String>,
}

fn register_cluster(appliance: &mut Appliance, params: RegisterCluster) -> Result<String, RpcError> {
    refuse("core_mask", params.core_mask.is_some())?;
    if appliance.rbd_clusters.contains_key(&params.name) {
        return Err(RpcError::errno(Errno::EXIST, format!("name: a cluster {} is registered already", params.name)));
    }
    let options = ClusterOptions {
        user_id: params.user_id,
        config_file: params.config_file,
        key_file: params.key_file,
        config: params.config_param,
    };
    let cluster = Cluster::connect(options).map_err(create_error)?;
    appliance.rbd_clusters.insert(params.name.clone(), cluster);
    Ok(params.name)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Name {
    /// Name of the connection.
    name: String,
}

fn unregister_cluster(appliance: &mut Appliance, params: Name) -> Result<bool, RpcError> {
    let cluster = appliance.rbd_clusters.get(&params.name).ok_or_else(|| no_cluster("name", &params.name))?;
    if Arc::strong_count(cluster) > 1 {
        let text = format!("name: cluster {} is in use by bdevs: delete them first (bdev_rbd_delete)", params.name);
        return Err(RpcError::errno(Errno::BUSY, text));
    }
    appliance.rbd_clusters.remove(&params.name);
    Ok(true)
}

fn no_cluster(parameter: &str, name: &str) -> RpcError {
    let text = format!("{parameter}: no cluster {name} is registered (bdev_rbd_register_cluster)");
    RpcError::errno(Errno::NODEV, text)
}

#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetClusters {
    /// Only this connection.
    name: Option<String>,
}

fn get_clusters_info(appliance: &mut Appliance, params: GetClusters) -> Result<Vec<Value>, RpcError> {
    if let Some(name) = &params.name
        && !appliance.rbd_clusters.contains_key(name)
    {
        return Err(no_cluster("name", name));
    }
    let wanted = |name: &String| params.name.as_ref().is_none_or(|wanted| wanted == name);
    let clusters = appliance.rbd_clusters.iter().filter(|(name, _)| wanted(name));
    let describe = |(name, cluster): (&String, &Arc<Cluster>)| {
        let options = cluster.options();
        json!({"cluster_name": name, "user_id": options.user_id, "config_file": options.config_file, "key_file": options.key_file,
            "config_param": options.config})
    };
    Ok(clusters.map(describe).collect())
}

/// The requests that register the clusters again, for save_config.
pub(crate) fn save_clusters(appliance: &Appliance) -> Vec<Value> {
    let request = |(name, cluster): (&String, &Arc<Cluster>)| {
        let options = cluster.options();
        let mut params = json!({"name": name, "config_param": options.config});
        for (parameter, value) in
            [("user_id", &options.user_id), ("config_file", &options.config_file), ("key_file", &options.key_file)]
        {
            if let Some(value) = value {
                params[parameter] = value.clone().into();
            }
        }
        json!({"method": "bdev_rbd_register_cluster", "params": params})
    };
    appliance.rbd_clusters.iter().map(request).collect()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateRbd {
    /// Name of the bdev; left out: the lowest free CephN.
    name: Option<String>,
    /// Pool of the image.
    pool_name: String,
    /// Namespace in the pool.
    namespace_name: Option<String>,
    /// Name of the image.
    rbd_name: String,
    /// Bytes of data of a block: 512, 1024, 2048 or 4096.
    block_size: u32,
    /// User at the cluster, without "client.".
    user_id: Option<String>,
    /// Options of Ceph, by name, for a connection of its own.
    config: Option<BTreeMap<String, String>>,
    /// Connection that is registered; left out: one of its own.
    cluster_name: Option<String>,
    /// Identity; left out: one that follows from the name, the same at each start.
    uuid: Option<Uuid>,
}

fn create(appliance: &mut Appliance, params: CreateRbd) -> Result<String, RpcError> {
    // As in SPDK: without a name the lowest free Ceph<n>.
    let free = |name: &String| appliance.bdevs.get(name).is_none();
    let name = params.name.or_else(|| (0..).map(|n| format!("Ceph{n}")).find(free)).unwrap_or_default();
    check_new(appliance, &name)?;
    let mut recipe = json!({"name": name, "pool_name": params.pool_name, "rbd_name": params.rbd_name, "block_size": params.block_size});
    let cluster = match &params.cluster_name {
        Some(cluster) => {
            refuse("user_id (with cluster_name)", params.user_id.is_some())?;
            refuse("config (with cluster_name)", params.config.is_some())?;
            recipe["cluster_name"] = cluster.clone().into();
            let found = appliance.rbd_clusters.get(cluster).ok_or_else(|| no_cluster("cluster_name", cluster))?;
            Arc::clone(found)
        }
        None => {
            if let Some(user) = &params.user_id {
                recipe["user_id"] = user.clone().into();
            }
            if let Some(config) = &params.config {
                recipe["config"] = json!(config);
            }
            let config = params.config.unwrap_or_default();
            let options = ClusterOptions { user_id: params.user_id, config, ..ClusterOptions::default() };
            Cluster::connect(options).map_err(create_error)?
        }
    };
    if let Some(namespace) = &params.namespace_name {
        recipe["namespace_name"] = namespace.clone().into();
    }
    let options = RbdOptions {
        name,
        pool_name: params.pool_name,
        namespace_name: params.namespace_name,
        rbd_name: params.rbd_name,
        block_size: params.block_size,
        uuid: params.uuid,
    };
    let bdev = rbd::create(options, &cluster).map_err(create_error)?;
    recipe["uuid"] = json!(bdev.info().uuid);
    enter(appliance, bdev, "bdev_rbd_create", recipe)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resize {
    /// Name of the bdev.
    name: String,
    /// In MiB.
    new_size: u64,
}

fn resize(appliance: &mut Appliance, params: Resize) -> Result<bool, RpcError> {
    let missing = || registry_error(bdev::RegistryError::NotFound(params.name.clone()));
    let bdev = Arc::clone(appliance.bdevs.get(&params.name).ok_or_else(missing)?);
    let bytes = params.new_size.checked_mul(1 << 20).ok_or_else(|| {
        RpcError::invalid_params(format!("new_size: {} MiB are more than any image can have", params.new_size))
    })?;
    rbd::resize(&bdev, bytes).map_err(create_error)?;
    appliance.controller.bdev_changed(&params.name, UnitAttention::CapacityChanged);
    Ok(true)
}
