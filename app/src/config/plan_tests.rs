//! Plans: pairs of configurations at random, and examples of what is changed in place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use rpc::Request;
use serde_json::{Value, json};

use super::model::targets::{Lun, Owner, Source};
use super::model::{Key, Model};
use super::plan::{Impossible, Rules, Step, plan};
use super::testing::draw::{Completeness, requests};
use super::testing::{apply, model_of, request};

fn plan_of(now: &Model, wanted: &Model) -> Result<Vec<Step>, Impossible> {
    plan(now, wanted, &Rules { keep_sizes: false, others: BTreeSet::new(), resolve: &|path: &Path| path.to_owned() })
}

/// Carries out a plan; each request must find what it needs.
fn carried_out(now: &Model, steps: &[Step]) -> Model {
    let mut model = now.clone();
    for Step { request, .. } in steps {
        apply(&mut model, request).unwrap_or_else(|error| panic!("{request:?}: {error}; of {steps:#?}"));
    }
    model
}

fn order(model: &Model) -> Vec<&String> {
    model.groups.iter().map(|group| &group.name).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_leads_from_any_configuration_to_any_other_and_touches_nothing_that_is_equal(
        now in requests(Completeness::Complete, 40),
        more in requests(Completeness::ByHand, 40),
        anew in any::<bool>(),
    ) {
        // Another configuration, or what was made of the first.
        let wanted = if anew { model_of(&more) } else { model_of(&[now.clone(), more].concat()) };
        let now = model_of(&now);
        let steps = match plan_of(&now, &wanted) {
            Err(Impossible { text, .. }) if text.starts_with("size: ") || text.starts_with("lun: ") => return Ok(()),
            steps => steps.map_err(|impossible| TestCaseError::fail(format!("{impossible:?}")))?,
        };
        let mut settled = wanted.clone();
        settled.settle(&now, false);
        let after = carried_out(&now, &steps);
        prop_assert_eq!(after.objects(), settled.objects(), "{:#?}", steps);
        prop_assert_eq!(order(&after), order(&settled));
        for (name, making) in &after.makings {
            if let (Some(bytes), Some(wanted)) = (making.bytes, settled.makings[name].bytes) {
                prop_assert_eq!(bytes, wanted, "the size of {}", name);
            }
        }
        let again = plan_of(&after, &wanted).map_err(|impossible| TestCaseError::fail(format!("{impossible:?}")))?;
        prop_assert!(again.is_empty(), "{again:#?}");
        let untouched = Untouched::new(&now, &settled);
        for Step { request, key } in &steps {
            // The order of groups and the sizes of files are compared above.
            if request.method != "srp_initiator_group_move" && !request.method.ends_with("_resize") {
                prop_assert!(!untouched.contains(key), "{request:?}, and it is equal in both; of {steps:#?}");
            }
        }
    }
}

/// What is equal in both configurations, together with all that it hangs on.
struct Untouched<'a> {
    models: [&'a Model; 2],
    objects: [BTreeMap<Key, Value>; 2],
}

impl Untouched<'_> {
    fn new<'a>(now: &'a Model, wanted: &'a Model) -> Untouched<'a> {
        Untouched { models: [now, wanted], objects: [now.objects(), wanted.objects()] }
    }

    fn contains(&self, key: &Key) -> bool {
        let [now, wanted] = &self.objects;
        let is_equal = now.contains_key(key) && now.get(key) == wanted.get(key);
        is_equal && self.needs(key).iter().all(|needed| self.contains(needed))
    }

    fn needs(&self, key: &Key) -> BTreeSet<Key> {
        let mut needs = BTreeSet::new();
        for model in self.models {
            match key {
                Key::Making(name) => {
                    let making = &model.makings[name];
                    needs.extend(making.base.iter().map(|base| Key::Making(model.bdevs[base].making.clone())));
                    needs.extend(making.cluster().map(|cluster| Key::Cluster(cluster.to_owned())));
                }
                Key::Qos(bdev) | Key::Histogram(bdev) | Key::WriteProtection(bdev) | Key::Latencies(bdev) => {
                    needs.insert(Key::Making(model.bdevs[bdev].making.clone()));
                }
                Key::Unit(bdev) => drop(needs.insert(Key::Making(model.bdevs[bdev].making.clone()))),
                // They end with the unit, which may lose its last LUN for a moment.
                Key::Disc(bdev) => {
                    needs.insert(Key::Unit(bdev.clone()));
                    needs.extend(luns_of(model, bdev));
                }
                Key::UnitState { group, bdev } => {
                    needs.extend([Key::Unit(bdev.clone()), Key::PortGroup(group.clone())]);
                    needs.extend(luns_of(model, bdev));
                }
                Key::Lun(owner, number) => {
                    let (owner_key, luns) = match owner {
                        Owner::Target(name) => (Key::Target(name.clone()), &model.targets[name].luns),
                        Owner::Group(name) => {
                            let group = model.groups.iter().find(|group| group.name == *name).expect("it is there");
                            (Key::Group(name.clone()), group.luns.map())
                        }
                    };
                    needs.insert(owner_key);
                    if let Source::Bdev(bdev) = &luns[number].source {
                        needs.insert(Key::Unit(bdev.clone()));
                    }
                }
                Key::Group(name) => {
                    let group = model.groups.iter().find(|group| group.name == *name).expect("it is there");
                    needs.extend(group.target.clone().map(Key::Target));
                }
                Key::Member(target) => {
                    needs.insert(Key::Target(target.clone()));
                    let group = model.port_groups.iter().find(|(_, group)| group.targets.contains(target));
                    needs.extend(group.map(|(name, _)| Key::PortGroup(name.clone())));
                }
                Key::Cluster(_)
                | Key::Target(_)
                | Key::PortGroup(_)
                | Key::Listener(_)
                | Key::LogLevel
                | Key::SlowThreshold
                | Key::Scheduler => {}
            }
        }
        needs
    }
}

fn luns_of(model: &Model, bdev: &str) -> Vec<Key> {
    let shows = |lun: &Lun| lun.source == Source::Bdev(bdev.to_owned());
    let targets = model.targets.iter().map(|(name, target)| (Owner::Target(name.clone()), &target.luns));
    let groups = model.groups.iter().map(|group| (Owner::Group(group.name.clone()), group.luns.map()));
    let of_owner = |(owner, luns): (Owner, &BTreeMap<u16, Lun>)| {
        let keys = luns.iter().filter(|(_, lun)| shows(lun)).map(|(&number, _)| Key::Lun(owner.clone(), number));
        keys.collect::<Vec<_>>()
    };
    targets.chain(groups).flat_map(of_owner).collect()
}

/// A target with a null device and a RAM disk, as the appliance saves it.
fn running() -> Vec<Request> {
    vec![
        request(
            "bdev_null_create",
            json!({"name": "null0", "num_blocks": 2048, "block_size": 512, "physical_block_size": 512,
            "uuid": "6b29fc40-ca47-1067-b31d-00dd010662da"}),
        ),
        request(
            "bdev_malloc_create",
            json!({"name": "ram0", "num_blocks": 64, "block_size": 512, "physical_block_size": 512,
            "uuid": "0c9a9ea4-2d6b-4d3e-8f57-6d1a5a1e7e10"}),
        ),
        request(
            "srp_create_target",
            json!({"name": "tgt0", "id_ext": "0x0000000000000001", "ioc_guid": "0x0000000000000002",
            "relative_target_port_id": 1, "lun_addressing": "peripheral"}),
        ),
        request(
            "srp_target_add_lun",
            json!({"target": "tgt0", "bdev_name": "null0", "lun": 0, "read_only": false,
            "product": "null0", "vendor": "SRPT", "revision": "0.1", "serial": "6b29fc40ca471067b31d00dd010662da"}),
        ),
        request(
            "srp_target_add_lun",
            json!({"target": "tgt0", "bdev_name": "ram0", "lun": 1, "read_only": false,
            "product": "ram0", "vendor": "SRPT", "revision": "0.1", "serial": "0c9a9ea42d6b4d3e8f576d1a5a1e7e10"}),
        ),
        request("srp_create_listener", json!({"fabric": "verbs", "address": "127.0.0.1", "port": 5555})),
    ]
}

/// The same as somebody would write it.
fn by_hand() -> Vec<Request> {
    vec![
        request("bdev_null_create", json!({"name": "null0", "num_blocks": 2048, "block_size": 512})),
        request("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 64, "block_size": 512, "numa_id": -1})),
        request("srp_create_target", json!({"name": "tgt0", "id_ext": 1, "ioc_guid": "2"})),
        request("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0"})),
        request("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "ram0", "device_type": "disk"})),
        request("srp_create_listener", json!({"address": "127.0.0.1", "port": 5555})),
    ]
}

/// The plan's requests as text.
fn planned(now: &[Request], wanted: &[Request]) -> Vec<String> {
    let strict = |requests: &[Request]| {
        let mut model = Model::default();
        requests.iter().for_each(|request| apply(&mut model, request).expect("it can be"));
        model
    };
    let steps = plan_of(&strict(now), &strict(wanted)).expect("a plan");
    steps
        .iter()
        .map(|Step { request, .. }| format!("{} {}", request.method, request.params.as_ref().expect("some")))
        .collect()
}

fn changed(mut requests: Vec<Request>, index: usize, change: impl FnOnce(&mut Value)) -> Vec<Request> {
    change(requests[index].params.as_mut().expect("parameters"));
    requests
}

#[test]
fn a_file_that_leaves_out_what_the_appliance_chooses_is_what_runs() {
    assert_eq!(planned(&running(), &by_hand()), [""; 0]);
}

#[test]
fn what_can_be_changed_in_place_is_and_nothing_else_is_touched() {
    let with = |method: &str, params: Value| [by_hand(), vec![request(method, params)]].concat();
    for (wanted, steps) in [
        (
            changed(by_hand(), 0, |params| params["num_blocks"] = 4096.into()),
            vec![r#"bdev_null_resize {"name":"null0","new_size":2}"#],
        ),
        (
            changed(by_hand(), 4, |params| params["read_only"] = true.into()),
            vec![r#"srp_target_replace_lun {"target":"tgt0","lun":1,"bdev_name":"ram0","read_only":true}"#],
        ),
        (
            with("bdev_set_qos_limit", json!({"name": "ram0", "rw_ios_per_sec": 100, "r_ios_per_sec": 0})),
            vec![r#"bdev_set_qos_limit {"name":"ram0","rw_ios_per_sec":100}"#],
        ),
        (
            with("bdev_set_read_only", json!({"name": "ram0", "read_only": true})),
            vec![r#"bdev_set_read_only {"name":"ram0","read_only":true}"#],
        ),
        (
            with("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "ram0", "lun": 7})),
            vec![r#"srp_target_add_lun {"target":"tgt0","lun":7,"bdev_name":"ram0"}"#],
        ),
        (
            changed(by_hand(), 5, |params| params["port"] = 5556.into()),
            vec![
                r#"srp_delete_listener {"fabric":"verbs","address":"127.0.0.1","port":5555}"#,
                r#"srp_create_listener {"fabric":"verbs","address":"127.0.0.1","port":5556}"#,
            ],
        ),
    ] {
        assert_eq!(planned(&running(), &wanted), steps);
    }
}

#[test]
fn another_kind_of_addresses_is_another_listener_at_the_interface() {
    let with = |family: Option<&str>| {
        let mut params = json!({"interface": "eth0", "port": 5555});
        if let Some(family) = family {
            params["family"] = family.into();
        }
        [by_hand(), vec![request("srp_create_listener", params)]].concat()
    };
    let delete = r#"srp_delete_listener {"fabric":"verbs","interface":"eth0","port":5555}"#;
    let create = r#"srp_create_listener {"fabric":"verbs","interface":"eth0","port":5555}"#;
    let only_ipv6 = r#"srp_create_listener {"fabric":"verbs","interface":"eth0","port":5555,"family":"ipv6"}"#;
    assert_eq!(planned(&by_hand(), &with(Some("ipv6"))), [only_ipv6]);
    assert_eq!(planned(&with(None), &with(Some("ipv6"))), [delete, only_ipv6]);
    assert_eq!(planned(&with(Some("ipv6")), &with(None)), [delete, create]);
    assert_eq!(planned(&with(None), &by_hand()), [delete]);
    assert_eq!(planned(&with(None), &with(None)), [""; 0]);
}

/// The LUN shows the new bdev before the old one goes.
#[test]
fn a_bdev_that_takes_the_place_of_another_is_made_first_and_its_lun_is_never_away() {
    let wanted = changed(by_hand(), 1, |params| params["name"] = "ram1".into());
    let wanted = changed(wanted, 4, |params| params["bdev_name"] = "ram1".into());
    assert_eq!(
        planned(&running(), &wanted),
        [
            r#"bdev_malloc_create {"name":"ram1","num_blocks":64,"block_size":512}"#,
            r#"srp_target_replace_lun {"target":"tgt0","lun":1,"bdev_name":"ram1"}"#,
            r#"bdev_malloc_delete {"name":"ram0"}"#,
        ]
    );
}

/// A file without numbers from which the first LUN was taken: what was LUN 1 became LUN 0, with the initiators of both at work.
#[test]
fn a_unit_gets_no_other_number_because_none_was_given() {
    let of = |names: &[&str], owner: &str, parameter: &str| {
        let null = |name: &&str| request("bdev_null_create", json!({"name": name, "num_blocks": 8, "block_size": 512}));
        let lun = |name: &&str| request(&format!("srp_{owner}_add_lun"), json!({parameter: "t", "bdev_name": name}));
        let mut requests: Vec<Request> = ["a", "b", "c"].iter().map(null).collect();
        requests.push(request("srp_create_target", json!({"name": "t", "id_ext": "1", "ioc_guid": "2"})));
        requests.push(request("srp_create_initiator_group", json!({"name": "t", "initiators": ["*"], "luns": []})));
        requests.extend(names.iter().map(lun));
        requests
    };
    for (owner, parameter) in [("target", "target"), ("initiator_group", "group")] {
        let plan = |now: &[&str], wanted: &[&str]| {
            let [now, wanted] = [now, wanted].map(|names| model_of(&of(names, owner, parameter)));
            plan_of(&now, &wanted).map(|steps| steps.len()).map_err(|impossible| impossible.text)
        };
        for (now, wanted) in
            [(&["a", "b"][..], &["b"][..]), (&["a", "b"], &["c", "a", "b"]), (&["a", "b"], &["b", "a"])]
        {
            let text = plan(now, wanted).expect_err("b would be LUN 0, or a LUN 1");
            assert!(text.starts_with("lun: ") && text.contains("shows bdev "), "{text}");
        }
        // More at the end, fewer at the end, and another in the same place, are what they look like.
        for (wanted, steps) in [(&["a", "b", "c"][..], 1), (&["a"], 1), (&["a", "c"], 1), (&["a", "b"], 0)] {
            assert_eq!(plan(&["a", "b"], wanted), Ok(steps), "{wanted:?}");
        }
    }
}

#[test]
fn what_cannot_be_changed_is_made_again_with_its_identity_and_what_stands_on_it() {
    let delay = request(
        "bdev_delay_create",
        json!({"base_bdev_name": "ram0", "name": "slow", "uuid": "00000000-0000-4000-8000-000000000001",
            "avg_read_latency": 5, "p99_read_latency": 9, "avg_write_latency": 5, "p99_write_latency": 9}),
    );
    let on_delay = |requests: Vec<Request>| {
        let mut requests = changed(requests, 4, |params| {
            params["bdev_name"] = "slow".into();
            let params = params.as_object_mut().expect("parameters");
            ["product", "serial"].iter().for_each(|parameter| drop(params.remove(*parameter)));
        });
        requests.insert(2, delay.clone());
        requests
    };
    let wanted = changed(on_delay(by_hand()), 1, |params| params["num_blocks"] = 128.into());
    let wanted = changed(wanted, 2, |params| params["p99_read_latency"] = 7.into());
    assert_eq!(
        planned(&on_delay(running()), &wanted),
        [
            r#"srp_target_remove_lun {"target":"tgt0","lun":1}"#,
            r#"bdev_delay_delete {"name":"slow"}"#,
            r#"bdev_malloc_delete {"name":"ram0"}"#,
            r#"bdev_malloc_create {"name":"ram0","num_blocks":128,"block_size":512,"uuid":"0c9a9ea4-2d6b-4d3e-8f57-6d1a5a1e7e10"}"#,
            r#"bdev_delay_create {"base_bdev_name":"ram0","name":"slow","uuid":"00000000-0000-4000-8000-000000000001","avg_read_latency":5,"p99_read_latency":7,"avg_write_latency":5,"p99_write_latency":9}"#,
            r#"srp_target_add_lun {"target":"tgt0","lun":1,"bdev_name":"slow"}"#,
        ]
    );
}

fn disc_and_file() -> Vec<Request> {
    let uuid = "6b29fc40-ca47-1067-b31d-00dd010662da";
    vec![
        request(
            "bdev_uring_create",
            json!({"name": "cd", "filename": "/srv/a.iso", "block_size": 2048, "readonly": true, "uuid": uuid}),
        ),
        request("bdev_uring_create", json!({"name": "disk", "filename": "/srv/disk.img", "size": 1 << 20})),
        request("srp_create_target", json!({"name": "tgt0", "id_ext": 1, "ioc_guid": "2"})),
        request("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "cd", "device_type": "cdrom"})),
        request("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "disk"})),
    ]
}

#[test]
fn another_disc_is_put_into_its_drive_and_a_file_grows() {
    let other = changed(disc_and_file(), 0, |params| params["filename"] = "/srv/./b.iso".into());
    let without_uuid = changed(other.clone(), 0, |params| drop(params.as_object_mut().expect("some").remove("uuid")));
    let exchange = [
        r#"srp_cdrom_eject {"bdev_name":"cd"}"#.to_owned(),
        r#"srp_cdrom_insert {"bdev_name":"cd","filename":"/srv/b.iso"}"#.to_owned(),
    ];
    assert_eq!(planned(&disc_and_file(), &other), exchange);
    assert_eq!(planned(&disc_and_file(), &without_uuid), exchange);
    let eject = request("srp_cdrom_eject", json!({"bdev_name": "cd"}));
    let out = [disc_and_file(), vec![eject]].concat();
    assert_eq!(planned(&disc_and_file(), &out), exchange[..1]);
    assert_eq!(planned(&out, &disc_and_file()), [r#"srp_cdrom_insert {"bdev_name":"cd"}"#]);
    let larger = changed(disc_and_file(), 1, |params| params["size"] = (3 << 20).into());
    assert_eq!(planned(&disc_and_file(), &larger), [r#"bdev_uring_resize {"name":"disk","size":3145728}"#]);
    let any = changed(disc_and_file(), 1, |params| drop(params.as_object_mut().expect("some").remove("size")));
    assert_eq!(planned(&larger, &any), [""; 0]);
    let impossible = plan_of(&model_of(&larger), &model_of(&disc_and_file())).expect_err("data would be lost");
    assert!(impossible.text.contains("size: ") && impossible.key == Key::Making("disk".into()), "{impossible:?}");
}

/// Another file under a bdev is another disk: it does not keep the identity that nobody asked for.
#[test]
fn another_file_is_another_disk() {
    let now = changed(disc_and_file(), 1, |params| params["uuid"] = "0c9a9ea4-2d6b-4d3e-8f57-6d1a5a1e7e10".into());
    let wanted = changed(disc_and_file(), 1, |params| params["filename"] = "/srv/other.img".into());
    let plan = planned(&now, &wanted);
    assert_eq!(plan[2], r#"bdev_uring_create {"name":"disk","filename":"/srv/other.img","size":1048576}"#, "{plan:#?}");
}

#[test]
fn groups_are_moved_and_what_their_members_see_changes_in_place() {
    let group = |name: &str, luns: Value| {
        request("srp_create_initiator_group", json!({"name": name, "initiators": ["*"], "luns": luns}))
    };
    let now = [by_hand(), vec![group("a", json!([0])), group("b", Value::Null), group("c", json!([1, 0]))]].concat();
    let wanted =
        [by_hand(), vec![group("c", json!([0, 1])), group("a", Value::Null), group("b", Value::Null)]].concat();
    assert_eq!(
        planned(&now, &wanted),
        [r#"srp_initiator_group_set_luns {"group":"a"}"#, r#"srp_initiator_group_move {"group":"c","before":"a"}"#]
    );
}

/// Whoever becomes a member sees all of the map at once, and leaves a group only when the next is there.
#[test]
fn a_group_with_a_map_takes_members_in_when_the_map_is_complete() {
    let old = request("srp_create_initiator_group", json!({"name": "old", "initiators": ["10.*"]}));
    let new = request("srp_create_initiator_group", json!({"name": "new", "initiators": ["10.*"], "luns": []}));
    let lun = request("srp_initiator_group_add_lun", json!({"group": "new", "bdev_name": "ram0"}));
    let now = [by_hand(), vec![old]].concat();
    let wanted = [by_hand(), vec![new, lun]].concat();
    assert_eq!(
        planned(&now, &wanted),
        [
            r#"srp_create_initiator_group {"name":"new","initiators":["!*"],"luns":[]}"#,
            r#"srp_initiator_group_add_lun {"group":"new","lun":0,"bdev_name":"ram0"}"#,
            r#"srp_initiator_group_add_initiator {"group":"new","initiator":"10.*"}"#,
            r#"srp_initiator_group_remove_initiator {"group":"new","initiator":"!*"}"#,
            r#"srp_delete_initiator_group {"name":"old"}"#,
        ]
    );
}

/// A parameter that is new to a method must not make a file by hand look different from what is saved.
#[test]
fn what_a_parameter_is_by_default_is_the_same_as_its_absence() {
    let file = json!({"name": "f", "filename": "/srv/f.img"});
    let first = vec![
        request("bdev_null_create", json!({"name": "n", "num_blocks": 8, "block_size": 512})),
        request("bdev_null_create", json!({"name": "m", "num_blocks": 8, "block_size": 512})),
        request("srp_create_target", json!({"name": "t", "id_ext": "1", "ioc_guid": "2"})),
        request("srp_create_initiator_group", json!({"name": "g", "initiators": ["*"]})),
        request("srp_target_add_lun", json!({"target": "t", "bdev_name": "n"})),
        request("srp_create_target_port_group", json!({"name": "p"})),
    ];
    let delay = json!({"base_bdev_name": "m", "name": "d", "avg_read_latency": 1, "p99_read_latency": 1,
        "avg_write_latency": 1, "p99_write_latency": 1});
    let samples = vec![
        request("bdev_malloc_create", json!({"name": "x", "num_blocks": 8, "block_size": 512})),
        request("bdev_uring_create", file.clone()),
        request("bdev_aio_create", file),
        request("bdev_scsi_create", json!({"name": "s", "device": "/dev/sg0"})),
        request("bdev_delay_create", delay),
        request("bdev_error_create", json!({"base_name": "m"})),
        request("bdev_split_create", json!({"base_bdev": "m", "split_count": 2})),
        request("srp_initiator_group_add_lun", json!({"group": "g", "bdev_name": "n"})),
        request("srp_target_port_group_set_state", json!({"group": "p", "state": "standby"})),
        request("srp_create_listener", json!({"address": "::1", "port": 5})),
    ];
    let methods = crate::rpc::methods().describe();
    for sample in first.iter().chain(&samples) {
        let schema = &methods.iter().find(|method| method.name == sample.method).expect("a method").params;
        let mut given = sample.clone();
        let params = given.params.as_mut().expect("parameters");
        for (parameter, schema) in schema["properties"].as_object().expect("parameters") {
            if let (true, Some(default)) = (params.get(parameter).is_none(), schema.get("default")) {
                params[parameter] = default.clone();
            }
        }
        let before = model_of(if samples.contains(sample) { &first } else { &[] });
        let with = |request: &Request| {
            let mut model = before.clone();
            // Some of the first stand on others; both fail then.
            let outcome = apply(&mut model, request);
            (outcome, model.objects())
        };
        assert_eq!(with(&given), with(sample), "{given:?}");
    }
}
