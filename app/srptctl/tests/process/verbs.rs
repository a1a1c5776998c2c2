//! Verbs against a target that carries them out.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Target, srptctl, write};

#[test]
fn everything_can_be_looked_at() {
    let target = Target::start();
    for line in [
        "bdev create malloc ram0 --size 8M",
        "target create tgt0 1 0x0002c90300001234",
        "lun add tgt0 ram0",
        "listener create 127.0.0.1 5599",
        "listener create-interface nowhere 5598",
    ] {
        target.tell(line);
    }
    for (line, words) in [
        ("bdev list", "ram0  Malloc disk  8 MiB    512  ready  yes"),
        ("bdev show ram0", "product_name: Malloc disk"),
        ("bdev stats", "ram0"),
        ("target list", "tgt0  0x0000000000000001  0x0002c90300001234     1     1         0  no"),
        ("target show tgt0", "bdev_name: ram0"),
        ("lun list", "tgt0      0  ram0  rw"),
        ("group list", "INITIATORS"),
        ("port-group list", "PREFERRED"),
        ("listener list", "verbs   127.0.0.1  5599"),
        ("listener list", "5598  nowhere    waiting"),
        ("login-info", "listener verbs at interface nowhere, port 5598, has no address"),
        ("session list", "INITIATOR"),
        ("reservation list", "ram0"),
        ("device list", "NODE GUID"),
        ("reactor list", "reactor_0"),
        ("poller list", "srp_poll_group"),
        ("log get", "INFO"),
        ("stats", "accepted: 0"),
        ("version", "srpt-app v"),
        ("methods", "srp_create_target\n"),
        ("describe", "openrpc: "),
        ("config show", "\"bdev_malloc_create\""),
        ("config show srp", "\"srp_target_add_lun\""),
        ("config parts", "subsystem: bdev"),
        ("call bdev_get_bdevs name=ram0", "\"name\": \"ram0\""),
        ("login-info tgt0", "echo \"id_ext=0000000000000001,ioc_guid=0002c90300001234,dest=127.0.0.1:5599\" > "),
        ("export scst", "TARGET fe80:0000:0000:0000:0002:c903:0000:1234 {"),
        ("top --batch -n 2 -d 0.1", "BDEV  LUNS"),
    ] {
        // Of what a reactor does the target learns some times a second, or later on a busy machine.
        let end = Instant::now() + Duration::from_secs(60);
        let mut text = target.tell(line);
        while !text.contains(words) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
            text = target.tell(line);
        }
        assert!(text.contains(words), "{line}: no {words:?} in\n{text}");
        assert!(!text.contains('\u{1b}'), "{line}: colours, although this is no terminal");
    }
    assert_eq!(target.json("target list")[0]["luns"][0]["bdev_name"], "ram0");
    assert_eq!(target.json("target show tgt0")["name"], "tgt0");
    assert_eq!(
        target.json("login-info")[0]["login"],
        "id_ext=0000000000000001,ioc_guid=0002c90300001234,dest=127.0.0.1:5599"
    );
    assert!(target.tell("--color always bdev list").contains('\u{1b}'));
}

#[test]
fn things_are_made_changed_and_taken_away() {
    let target = Target::start();
    let file = target.path("disk.img");
    assert_eq!(target.tell(&format!("bdev create uring disk01 {file} --size 1M --nv-cache")), "disk01\n");
    assert_eq!(target.tell("bdev create null n0 --size 1G --block-size 4k"), "n0\n");
    target.tell("bdev resize disk01 2M");
    target.tell("bdev resize n0 2G");
    let blocks: Vec<_> =
        target.json("bdev list").as_array().expect("a list").iter().map(|bdev| bdev["num_blocks"].clone()).collect();
    assert_eq!(blocks, [json!(4096), json!(524_288)]);
    target.tell("bdev rescan disk01");
    target.tell("bdev set-read-only n0");
    target.tell("bdev qos n0 --rw-mbytes-per-sec 5");
    target.tell("bdev set-histogram n0");
    target.tell("bdev create delay d0 disk01 --avg-read-latency 5 --p99-read-latency 9");
    target.tell("bdev set-delay d0 avg_read 7");
    target.tell("target create tgt0 1 2 --lun-addressing flat");
    assert_eq!(target.tell("lun add tgt0 d0 --serial 77 --queue-depth 9"), "0\n");
    target.tell("lun replace tgt0 0 n0 --read-only");
    target.tell("group create hosts 10.0.0.* !10.0.0.9 --target tgt0 --luns");
    target.tell("group add-lun hosts d0 --lun 3");
    target.tell("group add-initiator hosts 10.1.0.1");
    target.tell("port-group create far --state standby --implicit=false");
    target.tell("port-group add-target far tgt0");
    let group = &target.json("group list")[0];
    assert_eq!(group["initiators"], json!(["10.0.0.*", "!10.0.0.9", "10.1.0.1"]));
    assert_eq!(group["map"][0]["lun"], 3);
    assert_eq!(target.json("port-group show far")["targets"], json!(["tgt0"]));
    assert!(target.tell("bdev list").contains("read-only"));
    target.tell("log set debug");
    assert_eq!(target.tell("log get"), "DEBUG\n");
    for line in [
        "port-group delete far",
        "group delete hosts",
        "target delete tgt0",
        "bdev delete d0",
        "bdev delete n0",
        "bdev delete disk01",
    ] {
        target.tell(line);
    }
    assert_eq!(target.json("bdev list"), json!([]));
    target.tell("bdev create malloc ram0 --num-blocks 2048");
    target.tell("bdev create split ram0 2");
    let said = target.say("bdev delete ram0p0");
    assert!(said.code == Some(2) && said.err.contains("bdev unsplit"), "{said:?}");
    target.tell("bdev unsplit ram0");
    target.tell("stop");
}

#[test]
fn failures_have_exit_codes_and_name_the_argument() {
    let target = Target::start();
    target.tell("bdev create null n0 --size 1M");
    let wrong = target.path("wrong.json");
    write(&wrong, "{\"subsystems\": [{\"subsystem\": \"bdev\", \"config\": [\n{\"method\": \"bdev_null_create\"}]}]}");
    for (line, code, words) in [
        ("bdev create null n0 --size 1M", 1, "  name is the argument <NAME>"),
        ("bdev create null n1 --size 1M --md-size 3", 1, "  md_size is the option --md-size"),
        ("lun add tgt0 n0", 1, "srp_target_add_lun: "),
        ("call no_such_method", 1, "no_such_method"),
        ("target show tgt0", 2, "there is no target tgt0; `srptctl target list` lists them"),
        ("login-info tgt0", 2, "there is no target tgt0"),
        ("bdev resize n0", 2, "<SIZE>"),
        ("bdev rescan n0", 2, "bdev rescan: not for a Null disk"),
        ("bdev resize n0 1G --allow-shrink", 2, "--allow-shrink: not for a Null disk"),
        ("frobnicate", 2, "frobnicate"),
        ("call bdev_get_bdevs name", 2, "NAME=VALUE"),
        ("config load /nonexistent", 4, "/nonexistent: No such file"),
        ("top", 2, "--batch"),
        (&format!("config check {wrong}"), 4, "wrong.json:2: bdev_null_create: num_blocks is missing"),
        (&format!("config save {}/nowhere/x", target.path("")), 4, "nowhere"),
    ] {
        let said = target.say(line);
        assert_eq!(said.code, Some(code), "{line}: {said:?}");
        assert!(said.err.contains(words) && said.out.is_empty(), "{line}: {said:?}");
    }
    let nobody = srptctl(Some(&target.folder.path().join("nobody")), &["bdev", "list"]);
    assert!(nobody.code == Some(3) && nobody.err.contains("is the target running"), "{nobody:?}");
    assert_eq!(
        srptctl(None, &["bdev", "list", "-s", &target.path("srpt.sock")]).code,
        Some(0),
        "-s names the socket, too"
    );
}

#[test]
fn a_saved_configuration_makes_the_same_target() {
    let target = Target::start();
    for line in
        ["bdev create malloc ram0 --size 1M", "target create tgt0 1 2", "lun add tgt0 ram0", "listener create 0.0.0.0"]
    {
        target.tell(line);
    }
    let (saved, file) = (target.configuration(), target.path("config.json"));
    target.tell(&format!("config save {file}"));
    assert_eq!(target.tell(&format!("config check {file}")), "");
    let other = Target::start();
    other.tell(&format!("config load {file}"));
    assert_eq!(other.configuration(), saved);
}
