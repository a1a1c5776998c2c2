//! Set-ups of other targets, taken over by a real target.

use std::fs::File;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{Target, srptctl, write};

/// The sample of scst.conf, with files that are there; devices of the host that are passed through are left out.
fn scst_conf(target: &Target) -> String {
    for name in ["disk01.dsk", "disk 02.dsk", "lv1", "debian.iso"] {
        File::create(target.path(name)).and_then(|file| file.set_len(8 << 20)).expect("a file");
    }
    let folder = target.folder.path().display();
    let text = include_str!("../samples/scst.conf");
    let text = text.replace("/vdisks/", &format!("{folder}/")).replace("/iso/", &format!("{folder}/"));
    // O_DIRECT is for block devices here, and this is none.
    let text =
        text.replace("/dev/vg0/", &format!("{folder}/")).replace("HANDLER vdisk_blockio", "HANDLER vdisk_fileio");
    text.replace("\tDEVICE 4:0:0:0\n", "").replace("\t\tLUN 2 4:0:0:0\n", "")
}

#[test]
fn a_target_is_what_scst_conf_said_and_exports_the_same_again() {
    let target = Target::start();
    let file = target.path("scst.conf");
    write(&file, &scst_conf(&target));
    let said = target.say(&format!("import scst {file} --load --listen 127.0.0.1:5598"));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("scst.conf:25: warning: t10_dev_id: "), "{}", said.err);
    let luns = target.tell("lun list");
    let first: Vec<&str> =
        luns.lines().skip(1).map(|line| line.split_whitespace().nth(2).unwrap_or_default()).collect();
    assert_eq!(first, ["disk01", "disk02", "cd0", "disk01", "null0"], "{luns}");

    let again = target.path("again.conf");
    write(&again, &target.tell("export scst"));
    let configuration = target.configuration();
    let other = Target::start();
    // The first target's files are locked.
    drop(target.say("stop"));
    let mut target = target;
    target.child.wait().expect("it ends");
    let said = other.say(&format!("import scst {again} --load --listen 127.0.0.1:5598"));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(sorted(&other.configuration()), sorted(&configuration));
}

/// Bdevs by name: their order depends on SCST's handlers.
fn sorted(configuration: &Value) -> Value {
    let mut sorted = configuration.clone();
    if let Some(bdevs) = sorted["subsystems"][0]["config"].as_array_mut() {
        bdevs.sort_by_key(|request| request["params"]["name"].as_str().map(str::to_owned));
    }
    sorted
}

/// An address on loopback that no other test process uses: RoCE has the same UDP port at each.
fn own_address() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high & 0x3f, low, 1)
}

#[test]
fn a_target_is_what_saveconfig_json_said() {
    let target = Target::start();
    File::create(target.path("disk1.img")).and_then(|file| file.set_len(8 << 20)).expect("a file");
    let mut config: Value = serde_json::from_str(include_str!("../samples/saveconfig.json")).expect("JSON");
    config["storage_objects"][0]["dev"] = target.path("disk1.img").into();
    // A block device, a tape and a Ceph cluster, which are not here.
    let objects = config["storage_objects"].as_array_mut().expect("a list");
    objects.retain(|object| ["fileio", "ramdisk"].iter().any(|plugin| object["plugin"] == *plugin));
    let file = target.path("saveconfig.json");
    write(&file, &format!("{config:#}"));
    let said = target.say(&format!("import targetcli {file} --load --fabric roce --listen {}", own_address()));
    assert_eq!(said.code, Some(0), "{said:?}");
    let group = &target.json("group list")[0];
    assert_eq!(group["initiators"], json!(["0x*0002c9030003cca7"]));
    assert_eq!(group["map"], json!([{"lun": 0, "bdev_name": "disk1", "target_lun": null, "read_only": false}]));
    assert_eq!(target.json("port-group list")[0]["state"], "standby");
    assert_eq!(target.json("target list")[0]["luns"][0]["serial"], "4f0bb2c4-1d3c-4b31-b5b4-6f31a3a0d3a1");
}

#[test]
fn strict_prints_nothing_where_something_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("scst.conf").display().to_string();
    write(&file, "TARGET_DRIVER ib_srpt {\n\tTARGET t {\n\t\tblack_hole 1\n\t}\n}\n");
    let said = srptctl(None, &["import", "scst", "--strict", &file]);
    assert!(said.code == Some(4) && said.out.is_empty() && said.err.contains(":3: warning: black_hole: "), "{said:?}");
    let said = srptctl(None, &["import", "scst", &file]);
    assert!(said.code == Some(0) && said.out.contains("srp_create_target"), "{said:?}");
    write(&file, &"x {\n".repeat(50));
    let said = srptctl(None, &["import", "scst", &file]);
    assert!(said.code == Some(4) && said.err.contains("scst.conf:17: "), "{said:?}");
}
