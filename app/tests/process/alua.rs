//! Target port groups by RPC: made, changed under load, saved, and what initiators set found again.

use serde_json::{Value, json};

use super::roce::{run, serve, wait_until};
use super::{Target, folder, write_config};

/// Two targets in two groups with the same disk.
fn two_paths(target: &Target) {
    target.call("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 2048, "block_size": 512}));
    for (name, group, id) in [("tgt0", "left", 7), ("tgt1", "right", 8)] {
        target.call("srp_create_target", json!({"name": name, "id_ext": id.to_string(), "ioc_guid": "1"}));
        target.call("srp_target_add_lun", json!({"target": name, "bdev_name": "ram0"}));
        target.call("srp_create_target_port_group", json!({"name": group, "id": id}));
        target.call("srp_target_port_group_add_target", json!({"group": group, "target": name}));
    }
}

fn groups(target: &Target) -> Value {
    target.call("srp_get_target_port_groups", json!({}))
}

fn set_state(target: &Target, params: Value) {
    assert_eq!(target.call("srp_target_port_group_set_state", params), true);
}

#[test]
fn groups_are_listed_as_they_are_and_saved() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    two_paths(&target);
    let plain = |name: &str, id: u16, member: &str| {
        json!({"name": name, "id": id, "state": "optimized", "next_state": null, "preferred": false, "implicit": true,
            "explicit": true, "targets": [member], "units": []})
    };
    assert_eq!(groups(&target), json!([plain("left", 7, "tgt0"), plain("right", 8, "tgt1")]));
    target.call(
        "srp_create_target_port_group",
        json!({"name": "third", "state": "offline", "preferred": true, "explicit": false}),
    );
    set_state(&target, json!({"group": "left", "state": "non_optimized", "preferred": true}));
    set_state(&target, json!({"group": "left", "bdev_name": "ram0", "state": "standby"}));
    set_state(&target, json!({"group": "right", "state": "unavailable", "transition_ms": 200_000}));
    let listed = groups(&target);
    let states: Vec<_> = (0..3).map(|group| (&listed[group]["state"], &listed[group]["next_state"])).collect();
    let (nothing, transitioning) = (json!(null), json!("transitioning"));
    assert_eq!(
        states,
        [(&json!("non_optimized"), &nothing), (&transitioning, &json!("unavailable")), (&json!("offline"), &nothing)]
    );
    assert_eq!((&listed[0]["preferred"], &listed[2]["id"]), (&json!(true), &json!(1)));
    let unit = json!([{"bdev_name": "ram0", "state": "standby", "next_state": null, "by_initiator": false}]);
    assert_eq!(listed[0]["units"], unit);
    let saved = target.call("save_config", json!({}));
    drop(target);

    let target = Target::start(folder.path(), &["-c", &write_config(folder.path(), &saved.to_string())]);
    assert_eq!(target.call("save_config", json!({})), saved);
    let again = groups(&target);
    assert_eq!((&again[0], &again[2]), (&listed[0], &listed[2]));
    assert_eq!((&again[1]["state"], &again[1]["next_state"]), (&json!("unavailable"), &nothing), "it has ended");
    drop(target);

    let target = Target::start(folder.path(), &[]);
    assert_eq!(groups(&target), json!([]));
    target.call("load_config", saved.clone());
    assert_eq!((target.call("save_config", json!({})), groups(&target)), (saved, again));
    target.call("srp_target_port_group_remove_target", json!({"group": "left", "target": "tgt0"}));
    target.call("srp_delete_target", json!({"name": "tgt1"}));
    target.call("srp_delete_target_port_group", json!({"name": "third"}));
    let listed = groups(&target);
    assert_eq!((&listed[0]["targets"], &listed[1]["targets"], &listed[2]), (&json!([]), &json!([]), &nothing));
}

/// The state directory is as another process left it, in which an initiator sent SET TARGET PORT GROUPS.
#[test]
fn what_initiators_set_is_found_in_the_state_directory_until_the_administrator_has_another_word() {
    let folder = folder();
    let (state, naa) = (folder.path().join("state"), "0x3123456789abcdef");
    std::fs::create_dir(&state).expect("a folder");
    let file = state.join("unit-3123456789abcdef.json");
    std::fs::write(&file, r#"{"access_states": {"7": "standby"}}"#).expect("a file");
    let target = Target::start(folder.path(), &[]);
    target.call("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 2048, "block_size": 512}));
    target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "1", "ioc_guid": "1"}));
    target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "ram0", "naa": naa}));
    target.call("srp_create_target_port_group", json!({"name": "g", "id": 7}));
    let unit = json!([{"bdev_name": "ram0", "state": "standby", "next_state": null, "by_initiator": true}]);
    assert_eq!(groups(&target)[0]["units"], unit);
    let saved = target.call("save_config", json!({})).to_string();
    assert!(!saved.contains("standby"), "it is not the administrator's: {saved}");
    set_state(&target, json!({"group": "g", "state": "non_optimized"}));
    assert_eq!(groups(&target)[0]["units"], json!([]));
    let left = std::fs::read_to_string(&file).expect("a file");
    assert!(!left.contains("standby"), "{left}");
}

#[test]
fn a_state_that_changes_under_load_is_told_and_one_that_lets_nothing_through_ends_commands() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let at = serve(&target);
    target.call("srp_create_target_port_group", json!({"name": "g"}));
    target.call("srp_target_port_group_add_target", json!({"group": "g", "target": "tgt0"}));
    let sessions = || target.call("srp_get_sessions", json!({}));
    let under_load = |params: Value| {
        wait_until("the session before has ended", || sessions() == json!([]));
        std::thread::scope(|scope| {
            let load = scope.spawn(|| run(at, &["-w", "randrw", "-q", "8", "-t", "2"]));
            let commands = || sessions()[0]["channels"][0]["commands"].as_u64();
            wait_until("there is load", || load.is_finished() || commands() > Some(20));
            set_state(&target, params);
            load.join().expect("a run")
        })
    };
    let results = under_load(json!({"group": "g", "state": "non_optimized"}));
    assert!(results.is_good() && results.tally.retried > 0, "told, and all is well: {}", results.table());
    let results = under_load(json!({"group": "g", "state": "unavailable"}));
    let why = results.tally.first_failure.clone().unwrap_or_default();
    assert!(results.tally.failed > 0 && why.contains("04h/0Ch"), "TARGET PORT IN UNAVAILABLE STATE: {why}");
    set_state(&target, json!({"group": "g", "state": "optimized"}));
    assert!(run(at, &["-d", "200"]).is_good());
}

#[test]
fn mistakes_are_named() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    two_paths(&target);
    target.call("srp_create_target_port_group", json!({"name": "theirs", "implicit": false}));
    for (method, params, words) in [
        ("srp_create_target_port_group", json!({"name": "left"}), "name: "),
        ("srp_create_target_port_group", json!({"name": "x", "id": 7}), "id: "),
        ("srp_create_target_port_group", json!({"name": "x", "id": 0}), "id: "),
        ("srp_create_target_port_group", json!({"name": "x", "id": 65536}), "id: "),
        ("srp_create_target_port_group", json!({"name": "x", "state": "great"}), "state: "),
        (
            "srp_create_target_port_group",
            json!({"name": "x", "implicit": false, "explicit": false}),
            "implicit, explicit: ",
        ),
        ("srp_delete_target_port_group", json!({"name": "x"}), "name: "),
        ("srp_target_port_group_add_target", json!({"group": "x", "target": "tgt0"}), "group: "),
        ("srp_target_port_group_add_target", json!({"group": "left", "target": "tgt9"}), "target: "),
        ("srp_target_port_group_add_target", json!({"group": "left", "target": "tgt0"}), "target: "),
        ("srp_target_port_group_remove_target", json!({"group": "left", "target": "tgt1"}), "target: "),
        ("srp_target_port_group_set_state", json!({"group": "left"}), "state, preferred: "),
        ("srp_target_port_group_set_state", json!({"group": "left", "preferred": true, "transition_ms": 5}), "state: "),
        ("srp_target_port_group_set_state", json!({"group": "x", "state": "standby"}), "group: "),
        ("srp_target_port_group_set_state", json!({"group": "theirs", "state": "standby"}), "`implicit` false"),
        (
            "srp_target_port_group_set_state",
            json!({"group": "left", "state": "standby", "bdev_name": "x"}),
            "bdev_name: ",
        ),
        (
            "srp_target_port_group_set_state",
            json!({"group": "left", "state": "standby", "transition_ms": 255_001}),
            "transition_ms: ",
        ),
    ] {
        let said = target.refusal(method, params.clone());
        assert!(said.contains(words), "{method} {params} was refused without a word of {words}: {said}");
    }
    let names: Vec<_> = groups(&target).as_array().into_iter().flatten().map(|group| group["name"].clone()).collect();
    assert_eq!(names, ["left", "right", "theirs"], "nothing half-made");
}
