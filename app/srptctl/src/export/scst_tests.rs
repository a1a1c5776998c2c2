use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::import::options::Options;

fn reimported(text: &str) -> Vec<Request> {
    let imported = crate::import::scst::import(text, &Options::default()).expect("what we wrote can be read");
    imported.requests
}

/// In an order that does not depend on handlers.
fn sorted(mut requests: Vec<Request>) -> Vec<Request> {
    let is_bdev = |request: &Request| request.method.starts_with("bdev_");
    requests.sort_by_key(|request| {
        (!is_bdev(request), if is_bdev(request) { text(&request.params, "name") } else { String::new() })
    });
    requests
}

#[test]
fn the_file_is_as_an_administrator_writes_it() {
    let requests = [
        Request::new("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 8, "block_size": 512})),
        Request::new(
            "bdev_uring_create",
            json!({"name": "disk01", "filename": "/d 1.img", "direct": true, "nv_cache": true, "iopoll": true}),
        ),
        Request::new("bdev_set_qos_limit", json!({"name": "disk01", "rw_mbytes_per_sec": 5})),
        Request::new(
            "srp_create_target",
            json!({"name": "tgt0", "id_ext": "0x0000000000000001", "ioc_guid": "0x0002c90300000002"}),
        ),
        Request::new(
            "srp_target_add_lun",
            json!({"target": "tgt0", "bdev_name": "ram0", "lun": 0, "read_only": false}),
        ),
        Request::new(
            "srp_target_add_lun",
            json!({"target": "tgt0", "bdev_name": "disk01", "lun": 1, "read_only": true, "serial": "7"}),
        ),
        Request::new(
            "srp_create_initiator_group",
            json!({"name": "hosts", "initiators": ["10.0.0.0/8"], "luns": [1], "target": null}),
        ),
        Request::new("srp_create_listener", json!({"fabric": "verbs", "address": "0.0.0.0", "port": 5555})),
    ];
    let expected = "\
# Written by srptctl export scst. What SCST does not have stands in comments.
# no such device: bdev_malloc_create {\"name\":\"ram0\",\"num_blocks\":8,\"block_size\":512}

HANDLER vdisk_fileio {
\tDEVICE disk01 {
\t\tfilename \"/d 1.img\"
\t\to_direct 1
\t\tnv_cache 1
\t\tusn 7
\t\t# iopoll: true
\t}
}

TARGET_DRIVER ib_srpt {
\tenabled 1

\t# Target tgt0. SCST calls a target by the GID of its port: put the right one.
\t# Initiators log in with id_ext=0x0000000000000001,ioc_guid=0x0002c90300000002 here.
\tTARGET fe80:0000:0000:0000:0002:c903:0000:0002 {
\t\tenabled 1
\t\t# Only members of groups are let in; the target's own LUNs would be everybody's:
\t\t# LUN 0 ram0
\t\t# LUN 1 disk01

\t\tGROUP hosts {
\t\t\tLUN 1 disk01 {
\t\t\t\tread_only 1
\t\t\t}
\t\t\t# no such names of initiators: 10.0.0.0/8
\t\t}
\t}
}

# Without an equivalent:
# bdev_set_qos_limit {\"name\":\"disk01\",\"rw_mbytes_per_sec\":5}
# srp_create_listener {\"fabric\":\"verbs\",\"address\":\"0.0.0.0\",\"port\":5555}
";
    let text = export(&requests);
    assert_eq!(text.lines().map(str::trim_end).collect::<Vec<_>>(), expected.lines().collect::<Vec<_>>(), "{text}");
}

#[test]
fn the_sample_comes_back() {
    let first = reimported(include_str!("../../tests/samples/scst.conf"));
    let text = export(&first);
    assert_eq!(sorted(reimported(&text)), sorted(first), "{text}");
}

#[test]
fn odd_words_come_back() {
    for name in ["a b", "a#b", "a\\b", "a\"b", "{x}", "#", "", "é ü", "a\nb"] {
        let requests =
            [Request::new("bdev_uring_create", json!({"name": "d", "filename": format!("/{name}"), "direct": false}))];
        let text = export(&requests);
        let back = reimported(&text);
        assert_eq!(back[0].params["filename"], format!("/{}", name.replace('\n', " ")), "{text}");
    }
}

/// A set-up of what both have.
fn set_up() -> impl Strategy<Value = String> {
    let flag = |name: &'static str| {
        prop::option::of(any::<bool>()).prop_map(move |set| set.map(|set| format!("{name} {}", u8::from(set))))
    };
    let attributes = (
        (flag("read_only"), flag("thin_provisioned"), flag("rotational"), flag("removable"), flag("o_direct")),
        prop::option::of(prop::sample::select(vec!["write_through 1", "nv_cache 1", "write_through 0"])),
        prop::option::of(prop::sample::select(vec![512_u32, 4096])),
        prop::option::of(1_u32..64),
        prop::option::of("[A-Z0-9]{1,8}"),
        prop::option::of(1_u16..=65535),
    );
    let file = attributes.prop_map(|((ro, thin, rotational, removable, direct), cache, block, optimal, usn, depth)| {
        let mut lines: Vec<String> = [ro, thin, rotational, removable, direct].into_iter().flatten().collect();
        lines.extend(cache.map(str::to_owned));
        lines.extend(block.map(|block| format!("blocksize {block}")));
        lines.extend(optimal.map(|optimal| format!("opt_trans_len {}", u64::from(optimal) * 4096)));
        lines.extend(usn.map(|usn| format!("usn {usn}\nnaa_id 5{:015x}", usn.len())));
        lines.extend(depth.map(|depth| format!("max_tgt_dev_commands {depth}")));
        lines.join("\n")
    });
    let devices = prop::collection::vec(
        (prop::sample::select(vec!["vdisk_fileio", "vdisk_blockio", "vdisk_nullio", "vcdrom", "dev_disk"]), file),
        1..6,
    );
    let luns = prop::collection::btree_map(0_u16..300, (0_usize..6, any::<bool>()), 0..5);
    let group = (
        luns.clone(),
        prop::collection::vec(
            prop::sample::select(vec!["10.0.0.1", "10.0.*", "fe80:0000:0000:0000:0002:c903:0003:cca7"]),
            0..3,
        ),
    );
    let target = (luns, prop::collection::vec(group, 0..3), prop::option::of(1_u16..9), any::<bool>());
    let states = prop::collection::vec(
        prop::sample::select(vec!["active", "nonoptimized", "standby", "unavailable", "offline"]),
        6,
    );
    (devices, prop::collection::vec(target, 1..4), prop::option::of((states, any::<bool>()))).prop_map(
        |(devices, targets, alua)| {
            let mut text = String::new();
            let mut names = Vec::new();
            for (index, (handler, attributes)) in devices.iter().enumerate() {
                let (name, body) = match *handler {
                    "dev_disk" => (format!("1:0:0:{index}"), String::new()),
                    "vdisk_nullio" => (format!("d{index}"), format!("size_mb {}", index + 1)),
                    "vcdrom" => (format!("d{index}"), format!("filename /d{index}.iso")),
                    "vdisk_blockio" => (
                        format!("d{index}"),
                        format!(
                            "filename /dev/d{index}\n{}",
                            attributes.replace("o_direct 0", "").replace("o_direct 1", "")
                        ),
                    ),
                    _ => (format!("d{index}"), format!("filename /d{index}\n{attributes}")),
                };
                let explicit = if alua.as_ref().is_some_and(|(_, explicit)| *explicit) && *handler != "dev_disk" {
                    "expl_alua 1\n"
                } else {
                    ""
                };
                text += &format!("HANDLER {handler} {{\nDEVICE {name} {{\n{explicit}{body}\n}}\n}}\n");
                names.push(name);
            }
            let device = |place: usize| &names[place % names.len()];
            let lun = |(number, (place, read_only)): (&u16, &(usize, bool))| {
                let block = if *read_only { " {\nread_only 1\n}" } else { "" };
                format!("LUN {number} {}{block}\n", device(*place))
            };
            let gid = |index: usize| format!("fe80:0000:0000:0000:0002:c903:0005:f3{index:02}");
            text += "TARGET_DRIVER ib_srpt {\n";
            for (index, (luns, groups, port, flat)) in targets.iter().enumerate() {
                text += &format!("TARGET {} {{\n", gid(index));
                text += &port.map(|port| format!("rel_tgt_id {port}\n")).unwrap_or_default();
                text += if *flat { "addr_method FLAT\n" } else { "" };
                text.extend(luns.iter().map(lun));
                for (number, (luns, initiators)) in groups.iter().enumerate() {
                    text += &format!("GROUP g{number} {{\n");
                    text.extend(luns.iter().map(lun));
                    text.extend(initiators.iter().map(|initiator| format!("INITIATOR {initiator}\n")));
                    text += "}\n";
                }
                text += "}\n";
            }
            text += "}\n";
            for (index, name) in names.iter().enumerate().filter(|_| alua.is_some()) {
                let state =
                    |group: usize| alua.as_ref().map_or("active", |(states, _)| states[(index + group) % states.len()]);
                text += &format!("DEVICE_GROUP dg{index} {{\nDEVICE {name}\n");
                for group in 0..targets.len().min(2) {
                    text += &format!(
                        "TARGET_GROUP tg{group} {{\ngroup_id {}\nstate {}\nTARGET {}\n}}\n",
                        group + 1,
                        state(group),
                        gid(group)
                    );
                }
                text += "}\n";
            }
            text
        },
    )
}

proptest! {
    #[test]
    fn what_both_have_is_kept(text in set_up()) {
        let first = reimported(&text);
        let exported = export(&first);
        prop_assert_eq!(sorted(reimported(&exported)), sorted(first), "\n{}\nbecame\n{}", text, exported);
    }
}
