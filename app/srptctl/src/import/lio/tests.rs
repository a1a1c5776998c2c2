use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::import::exercise::assert_sound;
use crate::import::notes::Weight;

const SAMPLE: &str = include_str!("../../../tests/samples/saveconfig.json");
const TARGET: &str = "ib.fe800000000000000002c9030005f34b";
const HOST: &str = "ib.fe800000000000000002c9030003cca7";

fn imported(text: &str) -> Imported {
    import(text, &Options::default()).expect("it can be read")
}

fn params(imported: &Imported, method: &str) -> Vec<Value> {
    let of_method = imported.requests.iter().filter(|request| request.method == method);
    of_method.map(|request| request.params.clone().into()).collect()
}

#[test]
fn storage_objects_become_bdevs() {
    let imported = imported(SAMPLE);
    assert_sound(&imported);
    assert_eq!(
        params(&imported, "bdev_uring_create"),
        [
            json!({"filename": "/vdisks/disk1.img", "block_size": 4096, "direct": false, "write_through": true, "name": "disk1",
                "thin_provisioned": true, "rotational": false}),
            json!({"filename": "/dev/vg0/lv1", "direct": true, "readonly": true, "name": "disk1-block"}),
        ]
    );
    assert_eq!(
        params(&imported, "bdev_malloc_create"),
        [json!({"name": "ram", "num_blocks": 131_072, "block_size": 512})]
    );
    assert_eq!(params(&imported, "bdev_scsi_create"), [json!({"name": "tape", "device": "/dev/st0"})]);
    assert_eq!(
        params(&imported, "bdev_rbd_create"),
        [json!({"pool_name": "pool", "rbd_name": "image", "block_size": 512, "name": "image"})]
    );
}

#[test]
fn targets_acls_and_access_states() {
    let imported = imported(SAMPLE);
    assert_eq!(
        params(&imported, "srp_create_target"),
        [json!({"name": TARGET, "id_ext": "0x0002c9030005f34b", "ioc_guid": "0x0002c9030005f34b"})]
    );
    assert_eq!(
        params(&imported, "srp_target_add_lun"),
        [
            json!({"target": TARGET, "bdev_name": "disk1", "lun": 0, "read_only": false, "serial": "4f0bb2c4-1d3c-4b31-b5b4-6f31a3a0d3a1"}),
            json!({"target": TARGET, "bdev_name": "disk1-block", "lun": 1, "read_only": false, "serial": "c3f6c9a5-90cf-4a45-9a2a-3a6f7d7c5a11"}),
        ]
    );
    assert_eq!(
        params(&imported, "srp_create_initiator_group"),
        [json!({"name": HOST, "initiators": ["0x*0002c9030003cca7"], "luns": [], "target": TARGET})]
    );
    assert_eq!(
        params(&imported, "srp_initiator_group_add_lun"),
        [
            json!({"group": HOST, "bdev_name": "disk1", "lun": 0, "read_only": false}),
            json!({"group": HOST, "bdev_name": "disk1-block", "lun": 5, "read_only": true}),
        ]
    );
    assert_eq!(
        params(&imported, "srp_create_target_port_group"),
        [
            json!({"name": "far", "id": 16, "preferred": false, "implicit": true, "explicit": false, "state": "optimized"})
        ]
    );
    assert_eq!(params(&imported, "srp_target_port_group_add_target"), [json!({"group": "far", "target": TARGET})]);
    assert_eq!(
        params(&imported, "srp_target_port_group_set_state"),
        [json!({"group": "far", "bdev_name": "disk1", "state": "standby"})]
    );
}

#[test]
fn what_has_no_equivalent_is_told_with_its_line() {
    let imported = imported(SAMPLE);
    let said: Vec<String> = imported
        .notes
        .sorted()
        .into_iter()
        .filter(|note| note.weight == Weight::Warning)
        .map(ToString::to_string)
        .collect();
    let expected = [
        "22: warning: trans_delay_msecs 500",
        "27: warning: emulate_caw 0: cannot be set here",
        "52: warning: odd of user: there is no such program here (qcow/file.qcow2)",
        "58: warning: target ib.fe800000000000000002c9030005f34b: initiators log in with",
        "64: warning: LUN on /backstores/user/odd: there is no such storage object",
        "83: warning: target iqn.2003-01.org.example:x of iscsi: srpt speaks SRP alone",
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, begin) in said.iter().zip(expected) {
        assert!(said.starts_with(begin), "{said:?} does not begin with {begin:?}");
    }
    for line in 1..=SAMPLE.lines().count() {
        let text = SAMPLE.lines().nth(line - 1).unwrap_or_default();
        let closes = text.trim().chars().all(|c| "[]{},".contains(c));
        assert!(closes || imported.notes.is_accounted(line), "line {line}: {text}");
    }
}

#[test]
fn a_target_without_acls_stays_closed() {
    let text = r#"{"storage_objects": [], "targets": [{"fabric": "srpt", "wwn": "ib.0", "tpgs": [{"tag": 1}]}]}"#;
    let imported = imported(text);
    assert_eq!(params(&imported, "srp_create_initiator_group")[0]["initiators"], json!([]));
}

fn node() -> impl Strategy<Value = Value> {
    let names = [
        "name",
        "plugin",
        "dev",
        "size",
        "wwn",
        "fabric",
        "tpgs",
        "luns",
        "node_acls",
        "mapped_luns",
        "index",
        "tpg_lun",
        "storage_object",
        "attributes",
        "alua_tpgs",
        "block_size",
        "enable",
        "other",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::sample::select(vec![
            "srpt",
            "fileio",
            "block",
            "ramdisk",
            "pscsi",
            "user",
            "/backstores/fileio/a",
            "a",
            "",
            "ib.00000000000000000002c9030003cca7",
            "é"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(names.to_vec()), inner), 0..8).prop_map(|members| {
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(objects in prop::collection::vec(node(), 0..4), targets in prop::collection::vec(node(), 0..4)) {
        let text = format!("{:#}", json!({"storage_objects": objects, "targets": targets}));
        assert_sound(&imported(&text));
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,100}") {
        let _ = import(&text, &Options::default());
    }
}
