//! Requests at random: few names, so that they meet.

use proptest::prelude::*;
use rpc::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use super::request;

/// What is to be drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::config) enum Completeness {
    /// Everything that the appliance would choose is given, as in what it saves.
    Complete,
    /// Now and then it is left out, as people do.
    ByHand,
}

/// Requests that make, change and delete; some of them cannot be. They begin with things that others can be about.
pub(in crate::config) fn requests(completeness: Completeness, most: usize) -> impl Strategy<Value = Vec<Request>> {
    let first = prop::collection::vec(prop::bool::weighted(0.8), 18);
    let others = prop::collection::vec(any_request(completeness), 0..most);
    (first, others).prop_map(|(chosen, others)| {
        let first = beginning().into_iter().zip(chosen).filter(|(_, is_chosen)| *is_chosen).map(|(request, _)| request);
        first.chain(others).collect()
    })
}

fn beginning() -> Vec<Request> {
    let target = |number: u16| {
        let params = json!({"name": format!("target{number}"), "id_ext": format!("{number:x}"), "ioc_guid": "ab",
            "relative_target_port_id": number + 1});
        request("srp_create_target", params)
    };
    let null = |name: &str| {
        let params = json!({"name": name, "num_blocks": 2048, "block_size": 512, "uuid": uuid(name, 0)});
        request("bdev_null_create", params)
    };
    let file = |name: &str, file: &str, block_size: u32| {
        let params = json!({"name": name, "filename": format!("FOLDER/{file}"), "block_size": block_size,
            "uuid": uuid(name, 0), "readonly": block_size == 2048});
        request("bdev_uring_create", params)
    };
    let split = json!({"base_bdev": "null0", "split_count": 2, "split_size_blocks": 512});
    let drive = json!({"target": "target0", "bdev_name": "cd0", "lun": 3, "device_type": "cdrom"});
    let ports = json!({"name": "ports0", "id": 1});
    vec![
        null("null0"),
        null("null1"),
        null("null2"),
        file("file0", "0.img", 512),
        file("cd0", "0.iso", 2048),
        request(
            "bdev_null_create",
            json!({"name": "cd1", "num_blocks": 64, "block_size": 2048, "uuid": uuid("cd1", 0)}),
        ),
        request("bdev_split_create", split),
        request("bdev_error_create", json!({"base_name": "null1", "uuid": uuid("EE_null1", 0)})),
        target(0),
        target(1),
        request("srp_create_initiator_group", json!({"name": "group0", "initiators": ["10.0.0.*"], "luns": []})),
        request("srp_create_initiator_group", json!({"name": "group1", "initiators": ["*"]})),
        request("srp_create_target_port_group", ports),
        request("srp_target_port_group_add_target", json!({"group": "ports0", "target": "target0"})),
        request("srp_target_add_lun", json!({"target": "target0", "bdev_name": "null2"})),
        request("srp_target_add_lun", drive),
        request("srp_target_add_lun", json!({"target": "target1", "bdev_name": "cd1", "device_type": "cdrom"})),
        request("srp_initiator_group_add_lun", json!({"group": "group0", "bdev_name": "null2", "read_only": true})),
    ]
}

fn any_request(completeness: Completeness) -> impl Strategy<Value = Request> {
    prop_oneof![
        6 => make_bdev(completeness),
        3 => stand_on(completeness),
        1 => delete_bdev(),
        4 => change_bdev(),
        3 => target(completeness),
        6 => lun(),
        5 => group(),
        4 => port_group(completeness),
        2 => disc(),
        1 => listener(),
        1 => process(),
    ]
}

/// What is about the process as a whole, or changes nothing that is saved.
fn process() -> impl Strategy<Value = Request> {
    prop_oneof![
        (0..3u64).prop_map(|number| request("srpt_set_slow_threshold", json!({"microseconds": number * 1000}))),
        (any::<bool>(), prop::option::of(1..3u64)).prop_map(|(is_static, number)| {
            let name = if is_static { "static" } else { "dynamic" };
            request("framework_set_scheduler", json!({"name": name, "period": number.map(|number| number * 500_000)}))
        }),
        prop::sample::select(vec!["INFO", "debug", "WARN"])
            .prop_map(|level| request("log_set_level", json!({"level": level}))),
        (0..2u8, any::<bool>()).prop_map(|(number, aio)| {
            let method = if aio { "bdev_aio_rescan" } else { "bdev_uring_rescan" };
            request(method, json!({"name": format!("file{number}")}))
        }),
    ]
}

/// A UUID of a name: now and then another one.
fn uuid(name: &str, which: u8) -> Value {
    json!(Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{name} {which}").as_bytes()))
}

/// Leaves parameters out that the appliance chooses.
fn leave_out(completeness: Completeness, mut params: Value, chosen: &[&str], left_out: bool) -> Value {
    if completeness == Completeness::ByHand && left_out {
        let params = params.as_object_mut().expect("parameters");
        chosen.iter().for_each(|parameter| drop(params.remove(*parameter)));
    }
    params
}

fn bdev() -> impl Strategy<Value = String> {
    let names = [
        "null0", "null1", "null2", "ram0", "ram1", "file0", "file1", "delay0", "null0p0", "null0p1", "EE_null1", "cd0",
        "cd1",
    ];
    prop::sample::select(names.to_vec()).prop_map(str::to_owned)
}

fn make_bdev(completeness: Completeness) -> impl Strategy<Value = Request> {
    let null = (0..3u8, prop::sample::select(vec![2048u64, 4096, 6144, 3000]), 0..2u8, any::<bool>()).prop_map(
        move |(number, num_blocks, which, left_out)| {
            let name = format!("null{number}");
            let params = json!({"name": name, "num_blocks": num_blocks, "block_size": 512, "uuid": uuid(&name, which)});
            request("bdev_null_create", leave_out(completeness, params, &["uuid"], left_out))
        },
    );
    let malloc = (0..2u8, prop::sample::select(vec![64u64, 128]), any::<bool>(), any::<bool>()).prop_map(
        move |(number, num_blocks, protected, left_out)| {
            let name = format!("ram{number}");
            let mut params = json!({"name": name, "num_blocks": num_blocks, "block_size": 512,
                "physical_block_size": 512, "uuid": uuid(&name, 0)});
            if protected {
                params["md_size"] = 8.into();
                params["md_interleave"] = true.into();
                params["dif_type"] = 1.into();
            }
            request("bdev_malloc_create", leave_out(completeness, params, &["uuid", "physical_block_size"], left_out))
        },
    );
    let file = (0..2u8, any::<bool>(), 0..3u8, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        move |(number, aio, file, through, removable, left_out)| {
            let name = format!("file{number}");
            let params = json!({"name": name, "filename": format!("FOLDER/{file}.img"), "block_size": 512,
                "uuid": uuid(&name, 0), "write_through": through, "removable": removable});
            let method = if aio { "bdev_aio_create" } else { "bdev_uring_create" };
            request(method, leave_out(completeness, params, &["uuid", "block_size", "removable"], left_out))
        },
    );
    let disc = (0..2u8, 0..2u8, any::<bool>()).prop_map(move |(number, file, waits)| {
        let name = format!("cd{number}");
        if number == 1 {
            let params = json!({"name": name, "num_blocks": 64, "block_size": 2048, "uuid": uuid(&name, 0)});
            return request("bdev_null_create", params);
        }
        let params = json!({"name": name, "filename": format!("FOLDER/{file}.iso"), "block_size": 2048,
            "uuid": uuid(&name, 0), "readonly": true, "wait_for_file": waits});
        request("bdev_uring_create", params)
    });
    prop_oneof![3 => null, 2 => malloc, 2 => file, 1 => disc]
}

fn stand_on(completeness: Completeness) -> impl Strategy<Value = Request> {
    let delay = (bdev(), 0..3u64, 0..3u64, any::<bool>()).prop_map(move |(base, average, slowest, left_out)| {
        let params = json!({"base_bdev_name": base, "name": "delay0", "uuid": uuid("delay0", 0),
            "avg_read_latency": average, "p99_read_latency": average + slowest,
            "avg_write_latency": 1, "p99_write_latency": 1});
        request("bdev_delay_create", leave_out(completeness, params, &["uuid"], left_out))
    });
    let error = any::<bool>().prop_map(move |left_out| {
        let params = json!({"base_name": "null1", "uuid": uuid("EE_null1", 0)});
        request("bdev_error_create", leave_out(completeness, params, &["uuid"], left_out))
    });
    let split = (1..3u64, prop::sample::select(vec![32u64, 512, 1024]), any::<bool>()).prop_map(
        move |(count, blocks, left_out)| {
            let params = json!({"base_bdev": "null0", "split_count": count, "split_size_blocks": blocks});
            request("bdev_split_create", leave_out(completeness, params, &["split_size_blocks"], left_out))
        },
    );
    prop_oneof![2 => delay, 1 => error, 2 => split]
}

fn delete_bdev() -> impl Strategy<Value = Request> {
    prop_oneof![
        (0..3u8, any::<bool>()).prop_map(|(number, force)| {
            request("bdev_null_delete", json!({"name": format!("null{number}"), "force": force}))
        }),
        (0..2u8).prop_map(|number| request("bdev_malloc_delete", json!({"name": format!("ram{number}")}))),
        (0..2u8, any::<bool>()).prop_map(|(number, aio)| {
            let method = if aio { "bdev_aio_delete" } else { "bdev_uring_delete" };
            request(method, json!({"name": format!("file{number}")}))
        }),
        any::<bool>().prop_map(|force| request("bdev_delay_delete", json!({"name": "delay0", "force": force}))),
        Just(request("bdev_error_delete", json!({"name": "EE_null1"}))),
        Just(request("bdev_split_delete", json!({"base_bdev": "null0"}))),
        (0..2u8, any::<bool>()).prop_map(|(number, force)| {
            request("bdev_uring_delete", json!({"name": format!("cd{number}"), "force": force}))
        }),
    ]
}

fn change_bdev() -> impl Strategy<Value = Request> {
    let limits = ["rw_ios_per_sec", "r_ios_per_sec", "w_mbytes_per_sec"];
    let latencies = ["avg_read", "p99_read", "avg_write", "p99_write"];
    prop_oneof![
        (bdev(), prop::sample::select(limits.to_vec()), 0..3u64).prop_map(|(name, limit, value)| {
            request("bdev_set_qos_limit", json!({"name": name, limit: value * 1000}))
        }),
        (bdev(), any::<bool>(), prop::option::of(prop::sample::select(vec!["read", "write"])), 0..2u8).prop_map(
            |(name, enable, opc, more)| {
                let params = json!({"name": name, "enable": enable, "opc": opc, "granularity": 5 + more});
                request("bdev_enable_histogram", params)
            }
        ),
        (bdev(), any::<bool>())
            .prop_map(|(name, read_only)| request("bdev_set_read_only", json!({"name": name, "read_only": read_only}))),
        (prop::sample::select(latencies.to_vec()), 0..4u64).prop_map(|(kind, latency)| {
            let params = json!({"delay_bdev_name": "delay0", "latency_type": kind, "latency_us": latency});
            request("bdev_delay_update_latency", params)
        }),
        (0..3u8, 1..4u64).prop_map(|(number, new_size)| {
            request("bdev_null_resize", json!({"name": format!("null{number}"), "new_size": new_size}))
        }),
        (0..2u8, any::<bool>(), 1..4u64).prop_map(|(number, aio, size)| {
            let method = if aio { "bdev_aio_resize" } else { "bdev_uring_resize" };
            request(method, json!({"name": format!("file{number}"), "size": size << 20}))
        }),
    ]
}

fn target_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![0u8, 0, 0, 1, 1, 2]).prop_map(|number| format!("target{number}"))
}

fn target(completeness: Completeness) -> impl Strategy<Value = Request> {
    let ids = (target_name(), 0..3u64, 1..4u16, any::<bool>(), any::<bool>());
    prop_oneof![
        4 => ids.prop_map(move |(name, id_ext, port, flat, left_out)| {
            let params = json!({"name": name, "id_ext": format!("{id_ext:x}"), "ioc_guid": "0x00000000000000AB",
                "relative_target_port_id": port, "lun_addressing": if flat { "flat" } else { "peripheral" }});
            let chosen = ["relative_target_port_id", "lun_addressing"];
            request("srp_create_target", leave_out(completeness, params, &chosen, left_out))
        }),
        1 => target_name().prop_map(|name| request("srp_delete_target", json!({"name": name}))),
    ]
}

/// What a LUN may say of its unit.
fn identity() -> impl Strategy<Value = Value> {
    prop_oneof![
        12 => Just(json!({})),
        1 => Just(json!({"product": "a disk", "queue_depth": 64})),
        1 => (0..2u64).prop_map(|number| json!({"naa": format!("3{number:015x}"), "serial": "S1"})),
        1 => Just(json!({"vendor": "ACME", "revision": "2", "eui64": "0002C90300001234", "management_url": "http://10.0.0.1/"})),
    ]
}

fn lun() -> impl Strategy<Value = Request> {
    let owner = prop_oneof![
        3 => target_name().prop_map(|name| ("srp_target", "target", name)),
        2 => group_name().prop_map(|name| ("srp_initiator_group", "group", name)),
    ];
    let source = prop_oneof![
        5 => bdev().prop_map(|name| json!({"bdev_name": name})),
        1 => (0..3u16).prop_map(|lun| json!({"target_lun": lun})),
    ];
    let verb = prop::sample::select(vec!["add", "add", "add", "replace", "remove"]);
    let number = prop::option::weighted(0.9, 0..4u16);
    (owner, source, verb, number, any::<bool>(), identity()).prop_map(
        |(owner, source, verb, lun, read_only, identity)| {
            let is_disc = source["bdev_name"].as_str().is_some_and(|name| name.starts_with("cd"));
            let identity = if is_disc { json!({"device_type": "cdrom"}) } else { identity };
            let (prefix, parameter, name) = owner;
            let mut params = json!({parameter: name, "lun": lun});
            if verb != "remove" {
                let of_bdev = source.get("bdev_name").is_some();
                let params = params.as_object_mut().expect("parameters");
                params.extend(source.as_object().cloned().into_iter().flatten());
                params.extend(identity.as_object().cloned().into_iter().flatten().filter(|_| of_bdev));
                params.insert("read_only".into(), read_only.into());
            }
            request(&format!("{prefix}_{verb}_lun"), params)
        },
    )
}

fn group_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![0u8, 0, 0, 1, 1, 2, 3]).prop_map(|number| format!("group{number}"))
}

fn group() -> impl Strategy<Value = Request> {
    let pattern = || prop::sample::select(vec!["10.0.0.*", "!10.0.0.9", "192.168.0.0/16", "0X*AB", "*"]);
    let luns = prop::option::of(prop::collection::vec(0..3u16, 0..3));
    let target = prop::option::weighted(0.3, target_name());
    prop_oneof![
        4 => (group_name(), prop::collection::vec(pattern(), 1..3), luns.clone(), target).prop_map(
            |(name, initiators, luns, target)| {
                let params = json!({"name": name, "initiators": initiators, "luns": luns, "target": target});
                request("srp_create_initiator_group", params)
            }
        ),
        1 => group_name().prop_map(|name| request("srp_delete_initiator_group", json!({"name": name}))),
        2 => (group_name(), pattern(), any::<bool>()).prop_map(|(group, initiator, add)| {
            let verb = if add { "add" } else { "remove" };
            let params = json!({"group": group, "initiator": initiator});
            request(&format!("srp_initiator_group_{verb}_initiator"), params)
        }),
        1 => (group_name(), luns).prop_map(|(group, luns)| {
            request("srp_initiator_group_set_luns", json!({"group": group, "luns": luns}))
        }),
        1 => (group_name(), prop::option::of(group_name())).prop_map(|(group, before)| {
            request("srp_initiator_group_move", json!({"group": group, "before": before}))
        }),
    ]
}

fn port_group(completeness: Completeness) -> impl Strategy<Value = Request> {
    let name = || prop::sample::select(vec!["ports0", "ports0", "ports1"]);
    let state = || prop::sample::select(vec!["optimized", "non_optimized", "standby"]);
    prop_oneof![
        3 => (name(), 1..4u16, state(), any::<bool>(), 0..3u8, any::<bool>()).prop_map(
            move |(name, id, state, preferred, modes, left_out)| {
                let params = json!({"name": name, "id": id, "state": state, "preferred": preferred,
                    "implicit": modes != 1, "explicit": modes != 2});
                request("srp_create_target_port_group", leave_out(completeness, params, &["id", "preferred"], left_out))
            }
        ),
        1 => name().prop_map(|name| request("srp_delete_target_port_group", json!({"name": name}))),
        2 => (name(), target_name()).prop_map(|(group, target)| {
            request("srp_target_port_group_add_target", json!({"group": group, "target": target}))
        }),
        1 => (name(), target_name()).prop_map(|(group, target)| {
            request("srp_target_port_group_remove_target", json!({"group": group, "target": target}))
        }),
        2 => (name(), state(), prop::option::weighted(0.8, bdev()), prop::option::of(any::<bool>())).prop_map(
            |(group, state, bdev, preferred)| {
                let params = json!({"group": group, "state": state, "bdev_name": bdev, "preferred": preferred});
                request("srp_target_port_group_set_state", params)
            }
        ),
        1 => (name(), bdev()).prop_map(|(group, bdev)| {
            request("srp_target_port_group_clear_state", json!({"group": group, "bdev_name": bdev}))
        }),
    ]
}

fn disc() -> impl Strategy<Value = Request> {
    let drive = || prop::sample::select(vec!["cd0", "cd0", "cd1"]);
    prop_oneof![
        drive().prop_map(|bdev| request("srp_cdrom_eject", json!({"bdev_name": bdev}))),
        (drive(), prop::option::of(0..2u8)).prop_map(|(bdev, file)| {
            let filename = file.map(|file| format!("FOLDER/{file}.iso"));
            request("srp_cdrom_insert", json!({"bdev_name": bdev, "filename": filename}))
        }),
    ]
}

fn listener() -> impl Strategy<Value = Request> {
    let place = prop::sample::select(vec![
        ("address", "127.0.0.1"),
        ("address", "127.0.0.2"),
        ("address", "::1"),
        ("interface", "lo"), // which has two of them
        ("interface", "nowhere"),
    ]);
    let family = prop::option::of(prop::sample::select(vec!["ipv4", "ipv6"]));
    (place, 5555..5557u16, any::<bool>(), family).prop_map(|((parameter, place), port, create, family)| {
        let verb = if create { "create" } else { "delete" };
        let mut params = json!({"fabric": "verbs", "port": port});
        params[parameter] = place.into();
        if let (true, "interface", Some(family)) = (create, parameter, family) {
            params["family"] = family.into();
        }
        request(&format!("srp_{verb}_listener"), params)
    })
}

/// Requests with the files that they name in a folder.
pub(in crate::config) fn within(requests: &[Request], folder: &std::path::Path) -> Vec<Request> {
    let folder = folder.display().to_string();
    let moved = |request: &Request| {
        let text = request.params.as_ref().map(|params| params.to_string().replace("FOLDER", &folder));
        let params = text.map(|text| serde_json::from_str(&text).expect("it was JSON"));
        Request { method: request.method.clone(), params }
    };
    requests.iter().map(moved).collect()
}
