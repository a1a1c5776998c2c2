use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::import::exercise::{assert_sound, unaccounted};
use crate::import::notes::Weight;

fn imported(text: &str) -> Imported {
    import(text, &Options::default()).expect("it can be read")
}

/// The requests of a method, as their parameters.
fn params(imported: &Imported, method: &str) -> Vec<Value> {
    let of_method = imported.requests.iter().filter(|request| request.method == method);
    of_method.map(|request| request.params.clone().into()).collect()
}

fn warnings(imported: &Imported) -> Vec<String> {
    let sorted = imported.notes.sorted().into_iter();
    sorted.filter(|note| note.weight == Weight::Warning).map(ToString::to_string).collect()
}

/// Each begins as it should.
fn assert_begin(said: &[String], expected: &[&str]) {
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, begin) in said.iter().zip(expected) {
        assert!(said.starts_with(begin), "{said:?} does not begin with {begin:?}");
    }
}

const SAMPLE: &str = include_str!("../../../tests/samples/scst.conf");

const F34B: &str = "fe80:0000:0000:0000:0002:c903:0005:f34b";
const F34C: &str = "fe80:0000:0000:0000:0002:c903:0005:f34c";

#[test]
fn devices_of_all_handlers() {
    let imported = imported(SAMPLE);
    assert_sound(&imported);
    assert_eq!(params(&imported, "bdev_scsi_create"), [json!({"name": "4:0:0:0", "device": "4:0:0:0"})]);
    assert_eq!(
        params(&imported, "bdev_uring_create"),
        [
            json!({"name": "disk01", "filename": "/vdisks/disk01.dsk", "direct": false, "nv_cache": true}),
            json!({"name": "disk02", "filename": "/vdisks/disk 02.dsk", "block_size": 4096, "direct": false, "write_through": true,
                "thin_provisioned": true, "rotational": false, "optimal_blocks": 128}),
            json!({"name": "blockio1", "filename": "/dev/vg0/lv1", "direct": true, "readonly": true}),
            json!({"name": "cd0", "filename": "/iso/debian.iso", "block_size": 2048, "readonly": true}),
        ]
    );
    assert_eq!(
        params(&imported, "bdev_null_create"),
        [json!({"name": "null0", "num_blocks": 262_144, "block_size": 4096})]
    );
}

#[test]
fn targets_luns_and_groups() {
    let imported = imported(SAMPLE);
    assert_eq!(
        params(&imported, "srp_create_target"),
        [
            json!({"name": F34B, "id_ext": "0x0002c9030005f34b", "ioc_guid": "0x0002c9030005f34b", "relative_target_port_id": 3,
                "lun_addressing": "flat"}),
            json!({"name": F34C, "id_ext": "0x0002c9030005f34c", "ioc_guid": "0x0002c9030005f34c", "relative_target_port_id": 4}),
        ]
    );
    assert_eq!(
        params(&imported, "srp_target_add_lun"),
        [
            json!({"target": F34B, "bdev_name": "disk01", "lun": 0, "read_only": false, "serial": "0123456789",
                "naa": "0x5001405000000001", "queue_depth": 64}),
            json!({"target": F34B, "bdev_name": "disk02", "lun": 1, "read_only": false}),
            json!({"target": F34B, "bdev_name": "4:0:0:0", "lun": 2, "read_only": false}),
            json!({"target": F34B, "bdev_name": "cd0", "lun": 3, "read_only": false, "device_type": "cdrom"}),
            json!({"target": F34C, "bdev_name": "disk01", "lun": 0, "read_only": false}),
            json!({"target": F34C, "bdev_name": "null0", "lun": 1, "read_only": false}),
        ],
        "what a unit is stands with its first LUN"
    );
    let (first, second) = (format!("hosts@{F34B}"), format!("hosts@{F34C}"));
    assert_eq!(
        params(&imported, "srp_create_initiator_group"),
        [
            json!({"name": first, "initiators": ["0x*0002c9030003cca7", "192.168.7.*"], "luns": [], "target": F34B}),
            json!({"name": format!("{F34B}+others"), "initiators": ["*"], "target": F34B}),
            json!({"name": second, "initiators": ["192.168.8.1"], "luns": [], "target": F34C}),
            json!({"name": format!("{F34C}+others"), "initiators": ["*"], "target": F34C}),
        ]
    );
    assert_eq!(
        params(&imported, "srp_initiator_group_add_lun"),
        [
            json!({"group": first, "bdev_name": "blockio1", "lun": 0, "read_only": true, "vendor": "ACME", "product": "big disk",
                "revision": "1.2"}),
            json!({"group": first, "bdev_name": "disk01", "lun": 1, "read_only": false}),
            json!({"group": second, "bdev_name": "disk02", "lun": 0, "read_only": false}),
        ]
    );
    assert_eq!(
        params(&imported, "srp_create_listener"),
        [json!({"fabric": "verbs", "address": "0.0.0.0", "port": 5555})]
    );
}

#[test]
fn access_states_are_of_units_where_not_all_have_them() {
    let imported = imported(SAMPLE);
    assert_eq!(
        params(&imported, "srp_create_target_port_group"),
        [
            json!({"name": "near", "id": 1, "preferred": true, "implicit": true, "explicit": false, "state": "optimized"}),
            json!({"name": "far", "id": 2, "preferred": false, "implicit": true, "explicit": false, "state": "optimized"}),
        ]
    );
    let state = |device| json!({"group": "far", "bdev_name": device, "state": "non_optimized"});
    assert_eq!(params(&imported, "srp_target_port_group_set_state"), [state("disk01"), state("disk02")]);
    let text = "HANDLER vdisk_nullio {\nDEVICE a {\nexpl_alua 1\n}\n}\nTARGET_DRIVER ib_srpt {\nTARGET t {\nLUN 0 a\n}\n}\n\
                DEVICE_GROUP d {\nDEVICE a\nTARGET_GROUP g {\nstate standby\nTARGET t\n}\n}";
    let imported = super::tests::imported(text);
    assert_eq!(
        params(&imported, "srp_create_target_port_group"),
        [json!({"name": "g", "preferred": false, "implicit": true, "explicit": true, "state": "standby"})]
    );
    assert_eq!(params(&imported, "srp_target_port_group_add_target"), [json!({"group": "g", "target": "t"})]);
    assert_eq!(params(&imported, "srp_target_port_group_set_state"), [json!(null); 0]);
}

#[test]
fn what_has_no_equivalent_is_told_with_its_line() {
    let imported = imported(SAMPLE);
    assert_begin(
        &warnings(&imported),
        &[
            "26: warning: t10_dev_id: ",
            "53: warning: iscsi: its targets are left out",
            "65: warning: target fe80:0000:0000:0000:0002:c903:0005:f34b: initiators log in with id_ext=0002c9030005f34b",
            "86: warning: target fe80:0000:0000:0000:0002:c903:0005:f34c: initiators log in with",
            "99: warning: target fe80:0000:0000:0000:0002:c903:0005:f34d: it is not enabled",
            "125: warning: TARGET other-host: no target of this configuration",
        ],
    );
}

#[test]
fn options_fill_in_what_is_not_said() {
    let options = Options {
        listen: vec!["192.168.7.1:5555".parse().expect("an address")],
        fabric: "roce".into(),
        service_guid: Some(0x0002_c903_0005_f34a),
        drivers: vec!["ib_srpt".into(), "iscsi".into()],
    };
    let imported = import(SAMPLE, &options).expect("it can be read");
    let targets = params(&imported, "srp_create_target");
    assert_eq!(targets[0]["name"], "iqn.2006-10.net.example:tgt");
    assert_eq!(targets[0]["ioc_guid"], "0x0002c9030005f34a", "the first one has it");
    assert_eq!(targets[1]["ioc_guid"], "0x0002c9030005f34b");
    assert_eq!(
        params(&imported, "srp_create_listener"),
        [json!({"fabric": "roce", "address": "192.168.7.1", "port": 5555})]
    );
    assert_sound(&imported);
}

#[test]
fn the_older_forms_say_the_same() {
    let (sections, commands) = (
        imported(include_str!("../../../tests/samples/scst-1.conf")),
        imported(include_str!("../../../tests/samples/scstadmin-commands.sh")),
    );
    for imported in [&sections, &commands] {
        assert_sound(imported);
        let luns: Vec<Value> = params(imported, "srp_target_add_lun")
            .into_iter()
            .map(|lun| json!([lun["target"], lun["lun"], lun["bdev_name"]]))
            .collect();
        assert_eq!(luns, [json!(["tgt0", 0, "disk01"]), json!(["tgt0", 1, "disk02"]), json!(["tgt0", 2, "4:0:0:0"])]);
        assert_eq!(params(imported, "bdev_scsi_create"), [json!({"name": "4:0:0:0", "device": "4:0:0:0"})]);
        let disk01 = &params(imported, "bdev_uring_create")[0];
        assert_eq!(
            (&disk01["filename"], &disk01["nv_cache"], &disk01["direct"]),
            (&json!("/dev/ram0"), &json!(true), &json!(false))
        );
    }
    let disk02 = &params(&sections, "bdev_uring_create")[1];
    assert_eq!((&disk02["direct"], &disk02["block_size"]), (&json!(true), &json!(4096)), "BLOCKIO");
    let group = &params(&sections, "srp_initiator_group_add_lun")[0];
    assert_eq!(
        (&group["group"], &group["bdev_name"], &group["read_only"]),
        (&json!("HOST01"), &json!("disk02"), &json!(true))
    );
    assert_begin(
        &warnings(&sections),
        &["7: warning: t10_dev_id: ", "17: warning: target tgt0: initiators log in with"],
    );
    assert_begin(&warnings(&commands), &["8: warning: target tgt0: initiators log in with"]);
}

#[test]
fn commands_of_today() {
    let text = "scstadmin -open_dev d -handler vdisk_fileio -attributes filename=/d,read_only\n\
        scstadmin -set_dev_attr d -attributes usn=77\n\
        scstadmin -add_target t -driver ib_srpt\n\
        scstadmin -noprompt -add_lun 0 -driver ib_srpt -target t -device d -attributes read_only=1\n\
        scstadmin -add_group g -driver ib_srpt -target t\n\
        scstadmin -add_init '10.0.0.*' -driver ib_srpt -target t -group g\n\
        scstadmin -add_lun 5 -driver ib_srpt -target t -group g -device d\n\
        scstadmin -enable_target t -driver ib_srpt\n\
        scstadmin -rem_lun 5 -driver ib_srpt -target t";
    let imported = imported(text);
    assert_sound(&imported);
    assert_eq!(
        params(&imported, "bdev_uring_create"),
        [json!({"name": "d", "filename": "/d", "readonly": true, "direct": false})]
    );
    assert_eq!(
        params(&imported, "srp_target_add_lun"),
        [json!({"target": "t", "bdev_name": "d", "lun": 0, "read_only": true, "serial": "77"})]
    );
    assert_eq!(
        params(&imported, "srp_initiator_group_add_lun"),
        [json!({"group": "g", "bdev_name": "d", "lun": 5, "read_only": false})]
    );
    assert_begin(
        &warnings(&imported),
        &["3: warning: target t: ", "9: warning: -rem_lun: only commands that add and set"],
    );
}

#[test]
fn what_cannot_be_is_left_out_with_a_word() {
    for (device, luns, words) in [
        ("HANDLER vdisk_fileio {\nDEVICE d\n}", "LUN 0 d", "no filename"),
        (
            "HANDLER vdisk_fileio {\nDEVICE d {\nfilename /d\nblocksize 8192\n}\n}",
            "",
            "there are 512, 1024, 2048 and 4096",
        ),
        ("HANDLER dev_disk_perf {\nDEVICE 1:0:0:0\n}", "", "never reach the device"),
        ("HANDLER vcdrom {\nDEVICE c\n}", "", "an empty drive"),
        (
            "HANDLER vdisk_fileio {\nDEVICE d {\nfilename /d\nwrite_through 1\nnv_cache 1\n}\n}",
            "LUN 0 d",
            "not together with write_through",
        ),
        (
            "HANDLER vdisk_fileio {\nDEVICE d {\nfilename /d\nnaa_id 60014050000000010000000000000000\n}\n}",
            "",
            "8 bytes that begin with",
        ),
        ("HANDLER vdisk_fileio {\nDEVICE d {\nfilename /d\nfrobnicate 1\n}\n}", "", "frobnicate: an attribute without"),
        ("HANDLER vdisk_nullio {\nDEVICE d\nDEVICE d\n}", "LUN 0 d", "device d is there already"),
        ("HANDLER vdisk_nullio {\nDEVICE d\n}", "LUN 0 d\nLUN 0 d", "LUN 0 is there already"),
        ("HANDLER vdisk_nullio {\nDEVICE d\n}", "LUN 16384 d", "there are 0 to 16383"),
        ("HANDLER vdisk_nullio {\nDEVICE d\n}", "LUN x d", "no number"),
        ("", "LUN 0 nobody", "there is no device nobody"),
        ("", "GROUP g {\nINITIATOR iqn.1993-08.org.debian:01:a\n}", "neither a port's GID"),
        ("", "black_hole 2", "black_hole: an attribute without"),
    ] {
        let text = format!("{device}\nTARGET_DRIVER ib_srpt {{\nTARGET t {{\n{luns}\n}}\n}}");
        let imported = imported(&text);
        let said = warnings(&imported);
        assert!(said.iter().any(|warning| warning.contains(words)), "{text}: {said:#?}");
        assert_sound(&imported);
    }
}

/// Lines that scst.conf may have, and some that it may not.
fn line() -> impl Strategy<Value = String> {
    let known = prop::sample::select(SAMPLE.lines().map(str::to_owned).collect::<Vec<_>>());
    let heads = prop::sample::select(vec![
        "HANDLER vdisk_fileio {",
        "HANDLER dev_disk {",
        "DEVICE d {",
        "DEVICE 1:0:0:0",
        "TARGET_DRIVER ib_srpt {",
        "TARGET t {",
        "GROUP g {",
        "LUN 0 d",
        "LUN 1 1:0:0:0 {",
        "INITIATOR *",
        "DEVICE_GROUP dg {",
        "TARGET_GROUP tg {",
        "}",
        "filename /x",
        "size 99999999999999999999",
        "opt_trans_len 0",
        "blocksize 0",
        "size_mb 18446744073709551615",
        "group_id 0",
        "rel_tgt_id 70000",
        "state transitioning",
        "[HANDLER vdisk]",
        "DEVICE a,b,c,d,e",
        "[ASSIGNMENT Default]",
        "[TARGETS enable]",
        "HOST 0x1",
        "scstadmin -add_lun",
        "scstadmin -adddev d -handler vdisk \\",
        "scstadmin -add_tgrp_tgt",
        "scstadmin",
        "eui64_id 0x",
        "naa_id ö",
        "usn \"\"",
        "{",
        "# x",
        "a\\",
        "\"",
    ]);
    prop_oneof![2 => known, 3 => heads.prop_map(str::to_owned), 1 => "[ -~]{0,12}", 1 => "\\PC{0,8}"]
}

/// Lines at random, or the sample with some lines gone and some that are new.
fn text() -> impl Strategy<Value = String> {
    let random = prop::collection::vec(line(), 0..40);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(line())), 0..8);
    let changed = changes.prop_map(|changes| {
        let mut lines: Vec<String> = SAMPLE.lines().map(str::to_owned).collect();
        for (place, new) in changes {
            let place = place.index(lines.len());
            match new {
                Some(line) => lines.insert(place, line),
                None => drop(lines.remove(place)),
            }
        }
        lines
    });
    prop_oneof![random, changed].prop_map(|lines| lines.join("\n"))
}

#[test]
fn every_line_of_the_samples_is_accounted_for() {
    let samples = [
        SAMPLE,
        include_str!("../../../tests/samples/scst-1.conf"),
        include_str!("../../../tests/samples/scstadmin-commands.sh"),
    ];
    for text in samples {
        assert_eq!(unaccounted(text, &imported(text)), None);
    }
}

/// An attribute with braces, which none has, took a whole target along, and not a word was said. The fuzzer found it.
#[test]
fn what_stands_in_braces_that_do_not_belong_there_is_left_out_with_a_warning() {
    for attribute in ["enabled 1", "rel_tgt_id 3", "addr_method flat"] {
        let text =
            format!("TARGET_DRIVER ib_srpt {{\n\tTARGET t {{\n\t\t{attribute} {{\n\t\t\tLUN 0 d\n\t\t}}\n\t}}\n}}\n");
        let imported = imported(&text);
        let said = warnings(&imported);
        assert!(
            said.iter().any(|said| said.starts_with("4: warning: LUN: it stands where nothing is looked for")),
            "{said:#?}"
        );
        assert_eq!(unaccounted(&text, &imported), None);
    }
}

proptest! {
    /// Nothing makes it panic, and what it makes can be asked for.
    #[test]
    fn every_line_is_accounted_for(text in text()) {
        if let Ok(imported) = import(&text, &Options::default()) {
            assert_sound(&imported);
            prop_assert_eq!(unaccounted(&text, &imported), None);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = import(&text, &Options::default());
    }
}
