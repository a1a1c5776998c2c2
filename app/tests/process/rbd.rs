//! Images of a Ceph cluster through the real binary. `scripts/ceph-check.sh` makes a cluster and names an image of 64 MiB; without that
//! these tests say that they skip.

use serde_json::json;

use super::{Target, folder};

fn image() -> Option<(String, String)> {
    let image = std::env::var("SRPT_TEST_RBD_IMAGE").ok();
    if image.is_none() {
        eprintln!("skipped: there is no cluster; scripts/ceph-check.sh makes one");
    }
    image.map(|image| image.split_once('/').map(|(pool, name)| (pool.into(), name.into())).expect("POOL/IMAGE"))
}

#[test]
fn rbd_images_come_and_go_by_rpc_and_are_saved() {
    let Some((pool, image)) = image() else { return };
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    assert_eq!(target.call("bdev_rbd_register_cluster", json!({"name": "c0"})), "c0");
    assert!(target.refusal("bdev_rbd_register_cluster", json!({"name": "c0"})).contains("registered already"));
    let create = json!({"pool_name": pool, "rbd_name": image, "block_size": 4096, "cluster_name": "c0"});
    assert_eq!(target.call("bdev_rbd_create", create.clone()), "Ceph0");
    let bdev = target.call("bdev_get_bdevs", json!({"name": "Ceph0"}));
    assert_eq!((&bdev[0]["num_blocks"], &bdev[0]["product_name"]), (&json!(16384), &json!("Ceph Rbd Disk")));
    assert_eq!(target.call("bdev_rbd_resize", json!({"name": "Ceph0", "new_size": 96})), true);
    assert_eq!(target.call("bdev_get_bdevs", json!({"name": "Ceph0"}))[0]["num_blocks"], 24576);
    assert_eq!(target.call("bdev_rbd_resize", json!({"name": "Ceph0", "new_size": 64})), true);
    assert!(target.refusal("bdev_rbd_unregister_cluster", json!({"name": "c0"})).contains("in use"));
    assert!(target.refusal("bdev_rbd_resize", json!({"name": "Ceph0", "new_size": u64::MAX})).contains("new_size"));
    for (params, words) in [
        (json!({"pool_name": pool, "rbd_name": "none", "block_size": 512}), "rbd_name"),
        (json!({"pool_name": "none", "rbd_name": image, "block_size": 512}), "pool_name"),
        (json!({"pool_name": pool, "rbd_name": image, "block_size": 513}), "block_size"),
        (json!({"pool_name": pool, "rbd_name": image, "block_size": 512, "cluster_name": "c1"}), "cluster_name"),
        (json!({"pool_name": pool, "rbd_name": image, "block_size": 512, "config": {"nothing": "1"}}), "config"),
    ] {
        assert!(target.refusal("bdev_rbd_create", params).contains(words), "{words}");
    }
    let saved = target.call("save_config", json!({}));
    let config = saved["subsystems"][0]["config"].as_array().expect("a list");
    let methods: Vec<&str> = config.iter().filter_map(|entry| entry["method"].as_str()).collect();
    assert_eq!(methods, ["bdev_rbd_register_cluster", "bdev_rbd_create"]);
    drop(target);
    let path = super::write_config(folder.path(), &saved.to_string());
    let target = Target::start(folder.path(), &["-c", &path]);
    assert_eq!(target.call("bdev_get_bdevs", json!({}))[0]["name"], "Ceph0");
    assert_eq!(target.call("bdev_rbd_delete", json!({"name": "Ceph0"})), true);
    assert_eq!(target.call("bdev_rbd_unregister_cluster", json!({"name": "c0"})), true);
}
