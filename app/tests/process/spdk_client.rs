//! SPDK's own client from PyPI against the real binary. `scripts/spdk-client.sh` installs it and names it in $SPDK_RPC, as test.sh
//! does; without the variable, `spdk-rpc` is looked for in PATH, and where there is none these tests say that they skip.

use std::ffi::OsString;
use std::process::Command;

use serde_json::json;

use super::{Target, folder};

/// The client, if it is here.
pub(super) fn client() -> Option<OsString> {
    let named = std::env::var_os("SPDK_RPC");
    let client = named.clone().unwrap_or_else(|| "spdk-rpc".into());
    let there = named.is_some() || Command::new(&client).arg("-h").output().is_ok();
    if !there {
        eprintln!("skipped: spdk-rpc is not here (pip install spdk, then set SPDK_RPC to its path)");
    }
    there.then_some(client)
}

/// Runs one of its commands: whether it succeeded, and all that it printed.
pub(super) fn run(client: &OsString, target: &Target, arguments: &str) -> (bool, String) {
    let output = Command::new(client).arg("-s").arg(target.socket()).args(arguments.split_whitespace()).output();
    let output = output.expect("spdk-rpc");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn spdk_s_own_client_makes_lists_and_deletes_bdevs_and_ends_the_target() {
    let Some(client) = client() else { return };
    let folder = folder();
    let mut target = Target::start(folder.path(), &[]);
    let file = folder.path().join("disk.img");
    std::fs::File::create(&file).and_then(|file| file.set_len(1 << 20)).expect("a file");
    target.call("bdev_null_create", json!({"name": "other", "num_blocks": 8, "block_size": 512}));
    let create_file = format!("bdev_aio_create {} aiox 512", file.display());
    for (arguments, printed) in [
        ("bdev_null_create nullx 16 512", "nullx"),
        ("bdev_malloc_create -b ramx 8 4096", "ramx"),
        (create_file.as_str(), "aiox"),
        ("bdev_get_bdevs", "\"name\": \"nullx\""),
        ("bdev_get_bdevs -b ramx", "\"num_blocks\": 2048"),
        ("bdev_null_resize nullx 32", "true"),
        ("bdev_aio_rescan aiox", "true"),
        ("bdev_get_iostat --names ramx", "\"num_read_ops\""),
        ("bdev_enable_histogram --histogram ramx", ""),
        ("bdev_get_histogram ramx", "\"histogram\""),
        ("spdk_get_version", "\"version\""),
        ("rpc_get_methods", "\"srp_create_target\""),
        ("framework_get_reactors", "\"lcore\": 0"),
        ("save_config", "\"bdev_malloc_create\""),
        ("bdev_null_delete nullx", ""),
        ("bdev_malloc_delete ramx", ""),
        ("bdev_aio_delete aiox", ""),
        ("bdev_get_bdevs", "\"name\": \"other\""),
    ] {
        let (good, text) = run(&client, &target, arguments);
        assert!(good && text.contains(printed), "{arguments}: {text}");
    }
    let (good, text) = run(&client, &target, "bdev_null_delete nobody");
    assert!(!good && text.contains("nobody"), "an unknown bdev is an error that names it: {text}");
    let left = target.call("bdev_get_bdevs", json!({}));
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
    let (good, text) = run(&client, &target, "spdk_kill_instance SIGTERM");
    assert!(good, "{text}");
    assert!(target.wait().success());
}
