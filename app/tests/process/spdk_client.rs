//! SPDK's own clients from PyPI against the real binary. `scripts/spdk-client.sh` installs them and names them in $SPDK_RPC and $SPDK_CLI,
//! as test.sh does; without the variables, `spdk-rpc` and `spdk-cli` are looked for in PATH, and where there is none these tests say that
//! they skip.

use std::ffi::OsString;
use std::process::Command;

use serde_json::json;

use super::{Target, folder};

/// The client, if it is here.
pub(super) fn client() -> Option<OsString> {
    find("SPDK_RPC", "spdk-rpc", "spdk")
}

fn find(variable: &str, program: &str, packages: &str) -> Option<OsString> {
    let named = std::env::var_os(variable);
    let client = named.clone().unwrap_or_else(|| program.into());
    let there = named.is_some() || Command::new(&client).arg("-h").output().is_ok();
    if !there {
        eprintln!("skipped: {program} is not here (pip install {packages}, then set {variable} to its path)");
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
        ("framework_set_scheduler dynamic -p 2000000", ""),
        ("framework_get_scheduler", "\"scheduler_period\": 2000000"),
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

/// Its tree is drawn from what it asks of the target at each start; branches that no method of ours fills stay empty.
#[test]
fn spdk_s_own_command_line_walks_its_tree_makes_bdevs_and_takes_no_for_an_answer() {
    let Some(client) = find("SPDK_CLI", "spdk-cli", "spdk configshell-fb pyparsing") else { return };
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let (file, saved) = (folder.path().join("disk.img"), folder.path().join("saved.json"));
    std::fs::File::create(&file).and_then(|file| file.set_len(1 << 20)).expect("a file");
    let run = |command: &str| {
        let mut client = Command::new(&client);
        // It keeps its history there.
        client.env("HOME", folder.path()).arg("-s").arg(target.socket()).arg(command);
        let output = client.output().expect("spdk-cli");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    };
    let (create_aio, save) = (format!("/bdevs/aio create aio0 {} 512", file.display()), saved.display());
    for (command, printed) in [
        ("ls", "lvol_stores"),
        ("/bdevs/malloc create 8 512 ram0", "ram0"),
        ("/bdevs/null create null0 16 512", "null0"),
        (&create_aio, "aio0"),
        ("/bdevs/error create ram0", ""),
        ("ls /bdevs/error", "EE_ram0"),
        ("ls /bdevs/malloc", "Size=8.0M, Claimed"),
        ("/bdevs/null get_bdev_iostat null0", "\"num_read_ops\""),
        ("/bdevs/null/null0 show_details", "\"num_blocks\": 32768"),
        ("/bdevs/split_disk bdev_split_create null0 2 4", "null0p0 null0p1"),
        ("ls /bdevs/split_disk", "null0p1"),
        ("/bdevs/split_disk bdev_split_delete null0", ""),
        (&format!("save_config {save}"), ""),
        ("/bdevs/error delete EE_ram0", ""),
        ("/bdevs/malloc delete ram0", ""),
        ("/bdevs/null delete null0", ""),
        ("/bdevs/aio delete aio0", ""),
        (&format!("load_config {save}"), ""),
        ("ls /bdevs/error", "EE_ram0"),
    ] {
        let (good, text) = run(command);
        assert!(good && text.contains(printed) && !text.contains("error response"), "{command}: {text}");
    }
    for (command, method) in [
        ("/bdevs/nvme create nvme0 pcie 0000:00:00.0", "bdev_nvme_attach_controller"),
        ("/bdevs/logical_volume create lvol0 5 store0", "bdev_lvol_create"),
    ] {
        let (_, text) = run(command);
        assert!(
            text.contains("-32601") && text.contains(&format!("Method not found: `{method}`")),
            "{command}: {text}"
        );
    }
    let names = target.call("bdev_get_bdevs", json!({}));
    let names: Vec<&str> = names.as_array().into_iter().flatten().filter_map(|bdev| bdev["name"].as_str()).collect();
    assert_eq!(names, ["ram0", "null0", "aio0", "EE_ram0"]);
}
