//! Initiator groups and their LUN maps by RPC: made, changed under load, saved.

use serde_json::{Value, json};
use srpt_perf::run::session_options;
use srpt_perf::session::Session;

use super::roce::{options, run, serve, wait_until};
use super::{Target, folder, write_config};

fn groups(target: &Target) -> Value {
    target.call("srp_get_initiator_groups", json!({}))
}

#[test]
fn a_group_with_a_map_of_its_own_is_listed_and_saved() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    target.call("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 2048, "block_size": 512}));
    target.call("bdev_null_create", json!({"name": "null0", "num_blocks": 2048, "block_size": 512}));
    let create =
        json!({"name": "tgt0", "id_ext": "1", "ioc_guid": "2", "relative_target_port_id": 9, "lun_addressing": "flat"});
    target.call("srp_create_target", create);
    target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "ram0"}));
    let group = json!({"name": "hosts", "initiators": ["10.0.0.*"], "luns": [], "target": "tgt0"});
    target.call("srp_create_initiator_group", group);
    let add = |params| target.call("srp_initiator_group_add_lun", params);
    // The only LUN of this bdev: its identity is decided here.
    let identity = json!({"group": "hosts", "bdev_name": "null0", "lun": 16383, "read_only": true, "product": "nothing",
        "serial": "S1", "naa": "0x3000000000000abc", "eui64": "0002c90300001234"});
    assert_eq!(add(identity), 16383);
    assert_eq!(add(json!({"group": "hosts", "target_lun": 0})), 0);
    assert_eq!(add(json!({"group": "hosts", "target_lun": 5})), 1, "it may come later");
    target.call("srp_initiator_group_add_initiator", json!({"group": "hosts", "initiator": "!10.0.0.9"}));
    let listed = groups(&target);
    let entry = |lun: u16, bdev_name: Value, target_lun: Value, read_only: bool| json!({"lun": lun, "bdev_name": bdev_name, "target_lun": target_lun, "read_only": read_only});
    let map = [
        entry(0, json!(null), json!(0), false),
        entry(1, json!(null), json!(5), false),
        entry(16383, json!("null0"), json!(null), true),
    ];
    assert_eq!(
        listed,
        json!([{"name": "hosts", "target": "tgt0", "initiators": ["10.0.0.*", "!10.0.0.9"], "luns": null, "map": map}])
    );
    let saved = target.call("save_config", json!({}));
    drop(target);

    let target = Target::start(folder.path(), &["-c", &write_config(folder.path(), &saved.to_string())]);
    assert_eq!((target.call("save_config", json!({})), groups(&target)), (saved.clone(), listed.clone()));
    let described = &target.call("srp_get_targets", json!({}))[0];
    let port = (&described["relative_target_port_id"], &described["lun_addressing"]);
    assert_eq!(port, (&json!(9), &json!("flat")));
    drop(target);

    let target = Target::start(folder.path(), &[]);
    target.call("load_config", saved.clone());
    assert_eq!((target.call("save_config", json!({})), groups(&target)), (saved, listed));
    let said = target.refusal("bdev_null_delete", json!({"name": "null0"}));
    assert!(said.contains("LUN 16383 of initiator group hosts"), "{said}");
    let replace = json!({"group": "hosts", "lun": 16383, "bdev_name": "ram0"});
    assert_eq!(target.call("srp_initiator_group_replace_lun", replace), true);
    target.call("bdev_null_delete", json!({"name": "null0"}));
    target.call("srp_initiator_group_remove_lun", json!({"group": "hosts", "lun": 1}));
    target.call("srp_initiator_group_remove_initiator", json!({"group": "hosts", "initiator": "!10.0.0.9"}));
    let listed = groups(&target);
    assert_eq!(listed[0]["initiators"], json!(["10.0.0.*"]));
    assert_eq!(listed[0]["map"][1], entry(16383, json!("ram0"), json!(null), false));
}

#[test]
fn a_group_decides_what_an_initiator_sees_and_changes_reach_it_while_it_is_logged_in() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let options = options(serve(&target), &[]);
    let mut session = Session::start(session_options(&options).expect("options")).expect("a session");
    session.login().expect("a login");
    let seen = || {
        let session = &target.call("srp_get_sessions", json!({}))[0];
        (session["initiator_group"].clone(), session["luns"].clone())
    };
    assert_eq!(seen(), (json!(null), json!([0, 1])));
    target.call("srp_create_initiator_group", json!({"name": "all", "initiators": ["*"], "luns": [1]}));
    assert_eq!(seen(), (json!("all"), json!([1])), "it contains the session");
    wait_until("its LUN 0 is gone", || {
        // Its core hears of it a moment later than the request is answered. 25h/00h: LOGICAL UNIT NOT SUPPORTED.
        session.probe().is_err_and(|error| error.to_string().contains("25h/00h"))
    });
    let map = json!({"name": "mapped", "initiators": ["127.0.0.0/8"], "luns": []});
    target.call("srp_create_initiator_group", map);
    target.call("srp_initiator_group_add_lun", json!({"group": "mapped", "bdev_name": "ram0", "lun": 300}));
    assert_eq!(seen(), (json!("all"), json!([1])), "the first group that contains it");
    target.call("srp_delete_initiator_group", json!({"name": "all"}));
    assert_eq!(seen(), (json!("mapped"), json!([300])));
    target.call("srp_initiator_group_add_lun", json!({"group": "mapped", "target_lun": 1, "lun": 0}));
    assert_eq!(seen().1, json!([0, 300]));
    wait_until("it has a LUN 0 again", || session.probe().is_ok());
    session.close();
}

#[test]
fn a_lun_is_replaced_under_load_and_no_command_is_lost() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let at = serve(&target);
    let results = std::thread::scope(|scope| {
        let load = scope.spawn(|| run(at, &["-w", "randrw", "-q", "8", "-t", "3"]));
        let commands = || target.call("srp_get_sessions", json!({}))[0]["channels"][0]["commands"].as_u64();
        wait_until("there is load", || load.is_finished() || commands() > Some(20));
        for bdev in ["null0", "ram0", "null0"] {
            target.call("srp_target_replace_lun", json!({"target": "tgt0", "lun": 0, "bdev_name": bdev}));
        }
        load.join().expect("a run")
    });
    assert!(results.is_good() && results.tally.retried > 0, "{}", results.table());
    target.call("srp_target_replace_lun", json!({"target": "tgt0", "lun": 0, "bdev_name": "ram0", "read_only": true}));
    let results = run(at, &["-w", "randwrite", "-d", "200"]);
    let why = results.tally.first_failure.clone().unwrap_or_default();
    assert!(why.contains("27h/00h"), "WRITE PROTECTED: {why}");
}

#[test]
fn mistakes_are_named() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    serve(&target);
    target.call("srp_create_initiator_group", json!({"name": "list", "initiators": ["10.0.0.1"], "luns": [0]}));
    target.call("srp_create_initiator_group", json!({"name": "own", "initiators": ["10.0.0.2"], "luns": []}));
    for (method, params, words) in [
        (
            "srp_create_target",
            json!({"name": "t", "id_ext": "5", "ioc_guid": "5", "lun_addressing": "bus"}),
            "lun_addressing: ",
        ),
        (
            "srp_create_target",
            json!({"name": "t", "id_ext": "5", "ioc_guid": "5", "relative_target_port_id": 0}),
            "relative_target_port_id: ",
        ),
        (
            "srp_create_target",
            json!({"name": "t", "id_ext": "5", "ioc_guid": "5", "relative_target_port_id": 1}),
            "relative_target_port_id: ",
        ),
        ("srp_initiator_group_add_lun", json!({"group": "own"}), "bdev_name, target_lun: "),
        (
            "srp_initiator_group_add_lun",
            json!({"group": "own", "bdev_name": "ram0", "target_lun": 0}),
            "bdev_name, target_lun: ",
        ),
        ("srp_initiator_group_add_lun", json!({"group": "own", "bdev_name": "nobody"}), "bdev_name: "),
        ("srp_initiator_group_add_lun", json!({"group": "list", "bdev_name": "ram0"}), "group: "),
        ("srp_initiator_group_add_lun", json!({"group": "no", "bdev_name": "ram0"}), "group: "),
        ("srp_initiator_group_add_lun", json!({"group": "own", "target_lun": 0, "serial": "S"}), "serial"),
        ("srp_initiator_group_add_lun", json!({"group": "own", "target_lun": 0, "lun": 16384}), "lun: "),
        ("srp_initiator_group_add_lun", json!({"group": "own", "bdev_name": "ram0", "naa": "what"}), "naa: "),
        ("srp_initiator_group_add_lun", json!({"group": "own", "bdev_name": "ram0", "luns": 1}), "luns"),
        ("srp_initiator_group_remove_lun", json!({"group": "own", "lun": 3}), "lun: "),
        ("srp_initiator_group_replace_lun", json!({"group": "own", "bdev_name": "ram0"}), "lun: "),
        ("srp_initiator_group_replace_lun", json!({"group": "own", "bdev_name": "ram0", "lun": 3}), "lun: "),
        ("srp_initiator_group_add_initiator", json!({"group": "own", "initiator": "host.example"}), "initiator: "),
        ("srp_initiator_group_add_initiator", json!({"group": "own", "initiator": "10.0.0.2"}), "initiator: "),
        ("srp_initiator_group_remove_initiator", json!({"group": "own", "initiator": "10.0.0.2"}), "delete the group"),
        ("srp_target_replace_lun", json!({"target": "tgt0", "bdev_name": "ram0"}), "lun: "),
        ("srp_target_replace_lun", json!({"target": "tgt0", "bdev_name": "ram0", "lun": 7}), "LUN 7"),
        ("srp_target_replace_lun", json!({"target": "tgt0", "bdev_name": "nobody", "lun": 0}), "bdev_name: "),
    ] {
        let said = target.refusal(method, params.clone());
        assert!(said.contains(words), "{method} {params} was refused without a word of {words}: {said}");
    }
    assert_eq!(groups(&target)[1]["map"], json!([]), "nothing half-made");
}
