//! Listeners at a network interface: what comes and goes with its addresses, over links between two network namespaces, which end with the test.

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};
use serde_json::{Value, json};
use srpt_perf::run::session_options;
use srpt_perf::session::Session;

use super::roce::{options, run, wait_until};
use super::{Target, folder, metrics, write_config};

/// The network namespace of the target, with eth0, and the initiator's, with peer0, to which eth0 leads. The thread that has it is in the former.
pub(super) struct Network {
    target: File,
    initiator: File,
}

/// Runs a test in a thread of its own; or says why it cannot, even where tests that pass say nothing. In CI it must.
pub(super) fn with_network(test: impl FnOnce(&Network) + Send) {
    let run = || match Network::new() {
        Ok(network) => test(&network),
        Err(error) if std::env::var_os("CI").is_none() => {
            let _ = writeln!(std::io::stderr(), "skipped: only root may make network namespaces ({error})");
        }
        Err(error) => panic!("network namespaces: {error}"),
    };
    std::thread::scope(|scope| {
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip, of Debian's iproute2");
    let said = || format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(said()) }
}

fn must(commands: &[&str]) {
    commands.iter().for_each(|command| ip(command).unwrap_or_else(|said| panic!("{said}")));
}

impl Network {
    fn new() -> nix::Result<Network> {
        let this = || File::open("/proc/thread-self/ns/net").expect("our own namespace");
        unshare(CloneFlags::CLONE_NEWNET)?;
        let initiator = this();
        unshare(CloneFlags::CLONE_NEWNET)?;
        let network = Network { target: this(), initiator };
        must(&["link set lo up"]);
        network.make_link();
        must(&["addr add 10.9.0.1/24 dev eth0", "addr add fd09::1/64 dev eth0 nodad"]);
        Ok(network)
    }

    /// The link, which is up, with addresses at the initiator's end only.
    fn make_link(&self) {
        let namespace = format!("/proc/{}/fd/{}", std::process::id(), self.initiator.as_raw_fd());
        must(&[&format!("link add eth0 type veth peer name peer0 netns {namespace}"), "link set eth0 up"]);
        self.initiator(|| {
            let addresses = ["addr add 10.9.0.2/24 dev peer0", "addr add fd09::2/64 dev peer0 nodad"];
            must(&[&["link set peer0 up"], &addresses[..]].concat());
        });
    }

    /// Does something on the initiator's side. Sockets and threads stay where they were made.
    pub(super) fn initiator<T>(&self, act: impl FnOnce() -> T) -> T {
        setns(&self.initiator, CloneFlags::CLONE_NEWNET).expect("the initiator's namespace");
        let result = act();
        setns(&self.target, CloneFlags::CLONE_NEWNET).expect("the target's namespace");
        result
    }

    /// Logs in from the initiator's side, and asks the unit for its size.
    fn login(&self, at: &str, local: &str) -> Result<Session, String> {
        let at: SocketAddr = at.parse().expect("an address");
        let options = session_options(&options(at, &["--local", local])).expect("options");
        let logged_in = self.initiator(|| {
            let mut session = Session::start(options)?;
            session.login()?;
            session.probe()?;
            anyhow::Ok(session)
        });
        logged_in.map_err(|error| format!("{error:#}"))
    }

    fn must_login(&self, at: &str, local: &str) {
        self.login(at, local).unwrap_or_else(|error| panic!("{at}: {error}")).close();
    }
}

/// A target with one disk.
pub(super) fn serve(target: &Target) {
    target.call("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 2048, "block_size": 512}));
    target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "11", "ioc_guid": "22"}));
    target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "ram0"}));
}

pub(super) fn at_interface(interface: &str, port: u16) -> Value {
    json!({"fabric": "roce", "interface": interface, "port": port})
}

/// Where it listens because of an interface.
fn places(target: &Target, interface: &str) -> Vec<String> {
    let listed = target.call("srp_get_listeners", json!({}));
    let its = listed.as_array().expect("a list").iter().filter(|it| it["interface"] == interface);
    let listening = its.filter(|it| it["state"] == "listening");
    let place = |it: &Value| {
        let address: IpAddr = it["address"].as_str().expect("an address").parse().expect("an address");
        SocketAddr::new(address, it["port"].as_u64().expect("a port") as u16).to_string()
    };
    listening.map(place).collect()
}

fn wait_for(target: &Target, interface: &str, expected: &[&str]) {
    wait_until(&format!("{interface} has {expected:?}"), || places(target, interface) == expected);
}

/// What keeps it from listening at an interface.
fn reasons(target: &Target, interface: &str) -> String {
    let listed = target.call("srp_get_listeners", json!({}));
    let its = listed.as_array().expect("a list").iter().filter(|it| it["interface"] == interface);
    its.filter_map(|it| it["reason"].as_str()).collect()
}

#[test]
fn logins_follow_the_addresses_of_an_interface() {
    with_network(|network| {
        let folder = folder();
        let target = Target::start(folder.path(), &["--seccomp", "on"]);
        serve(&target);
        target.call("srp_create_listener", at_interface("eth0", 5555));
        // At once, both kinds; eth0 has a link-local address, too.
        assert_eq!(places(&target, "eth0"), ["10.9.0.1:5555", "[fd09::1]:5555"]);
        for (at, local) in [("10.9.0.1:5555", "10.9.0.2"), ("[fd09::1]:5555", "fd09::2")] {
            let arguments = ["--local", local, "-w", "randrw", "-q", "8", "--verify", "-d", "300"];
            let results = network.initiator(|| run(at.parse().expect("an address"), &arguments));
            assert!(results.is_good() && results.tally.compared > 0, "{at}: {}", results.table());
        }

        // Several addresses and several ports. An IPv6 address can be used when nobody else is found to have it.
        must(&["addr add 10.9.0.3/24 dev eth0", "addr add fd09::3/64 dev eth0"]);
        wait_for(&target, "eth0", &["10.9.0.1:5555", "10.9.0.3:5555", "[fd09::1]:5555", "[fd09::3]:5555"]);
        target.call("srp_create_listener", at_interface("eth0", 5556));
        for at in ["10.9.0.3:5555", "10.9.0.3:5556"] {
            network.must_login(at, "10.9.0.2");
        }
        for at in ["[fd09::3]:5555", "[fd09::3]:5556"] {
            network.must_login(at, "fd09::2");
        }
        target.call("srp_delete_listener", at_interface("eth0", 5556));
        let refused = network.login("10.9.0.3:5556", "10.9.0.2").err().expect("it must be refused");
        assert!(refused.contains("--target"), "{refused}");

        // An address goes, and comes again.
        must(&["addr del 10.9.0.3/24 dev eth0", "addr del fd09::1/64 dev eth0"]);
        wait_for(&target, "eth0", &["10.9.0.1:5555", "[fd09::3]:5555"]);
        assert!(network.login("10.9.0.3:5555", "10.9.0.2").is_err(), "it has no such address");
        network.must_login("10.9.0.1:5555", "10.9.0.2");
        must(&["addr add 10.9.0.3/24 dev eth0"]);
        wait_for(&target, "eth0", &["10.9.0.1:5555", "10.9.0.3:5555", "[fd09::3]:5555"]);
        network.must_login("10.9.0.3:5555", "10.9.0.2");
    });
}

#[test]
fn an_interface_may_go_down_be_renamed_and_be_made_again() {
    with_network(|network| {
        let folder = folder();
        let target = Target::start(folder.path(), &["--seccomp", "on"]);
        serve(&target);
        target.call("srp_create_listener", at_interface("eth0", 5555));
        target.call("srp_create_listener", at_interface("later0", 5555));
        let both = ["10.9.0.1:5555", "[fd09::1]:5555"];
        let add = ["addr add fd09::1/64 dev eth0 nodad"]; // the kernel takes it away with the link
        wait_for(&target, "eth0", &both);
        assert!(reasons(&target, "later0").contains("there is no network interface later0"));

        must(&["link set eth0 down"]);
        wait_until("it waits", || reasons(&target, "eth0").contains("eth0 is down"));
        must(&["link set eth0 name later0", "link set later0 up"]);
        wait_for(&target, "later0", &["10.9.0.1:5555"]);
        wait_until("it waits", || reasons(&target, "eth0").contains("there is no network interface eth0"));
        network.must_login("10.9.0.1:5555", "10.9.0.2");
        must(&["link set later0 down", "link set later0 name eth0", "link set eth0 up"]);
        must(&add);
        wait_for(&target, "eth0", &both);
        network.must_login("[fd09::1]:5555", "fd09::2");

        must(&["link del eth0"]);
        wait_for(&target, "eth0", &[]);
        network.make_link();
        must(&["addr add 10.9.0.1/24 dev eth0"]);
        must(&add);
        wait_for(&target, "eth0", &both);
        network.must_login("10.9.0.1:5555", "10.9.0.2");
        network.must_login("[fd09::1]:5555", "fd09::2");
    });
}

/// The session of an address that goes is left to itself. It goes on if the address is back before the initiator has given up; else both sides find out.
#[test]
fn a_session_outlives_the_listener_but_not_its_address() {
    with_network(|network| {
        let folder = folder();
        let target = Target::start(folder.path(), &["--seccomp", "on"]);
        serve(&target);
        target.call("srp_create_listener", at_interface("eth0", 5555));
        let sessions = || target.call("srp_get_sessions", json!({})).as_array().expect("a list").len();
        let mut session = network.login("10.9.0.1:5555", "10.9.0.2").expect("a login");
        // The listener goes, the address stays.
        target.call("srp_delete_listener", at_interface("eth0", 5555));
        session.probe().expect("it goes on");
        target.call("srp_create_listener", at_interface("eth0", 5555));
        // The address goes, with it the listener, and comes again.
        must(&["addr del 10.9.0.1/24 dev eth0"]);
        wait_for(&target, "eth0", &["[fd09::1]:5555"]);
        must(&["addr add 10.9.0.1/24 dev eth0"]);
        wait_for(&target, "eth0", &["10.9.0.1:5555", "[fd09::1]:5555"]);
        session.probe().expect("it goes on");
        assert_eq!(sessions(), 1);
        // It stays away.
        must(&["addr del 10.9.0.1/24 dev eth0"]);
        wait_for(&target, "eth0", &["[fd09::1]:5555"]);
        session.probe().expect_err("nobody answers");
        wait_until("the target has noticed", || sessions() == 0);
    });
}

/// A VLAN is the kernel's affair: its device has addresses as any other. Where the kernel has no VLANs, another device that stands on eth0 has its name.
#[test]
fn a_vlan_is_an_interface_as_any_other() {
    with_network(|network| {
        let make = |parent: &str, name: &str| {
            if let Err(said) = ip(&format!("link add link {parent} name {name} type vlan id 10")) {
                let _ = writeln!(std::io::stderr(), "this kernel has no VLANs, macvlan it is: {said}");
                must(&[&format!("link add link {parent} name {name} type macvlan mode bridge")]);
            }
            must(&[&format!("link set {name} up")]);
        };
        make("eth0", "eth0.10");
        network.initiator(|| {
            make("peer0", "peer0.10");
            must(&["addr add 10.10.0.2/24 dev peer0.10", "addr add fd10::2/64 dev peer0.10 nodad"]);
        });
        let folder = folder();
        let target = Target::start(folder.path(), &["--seccomp", "on"]);
        serve(&target);
        target.call("srp_create_listener", at_interface("eth0.10", 5555));
        assert!(reasons(&target, "eth0.10").contains("no address"));
        must(&["addr add 10.10.0.1/24 dev eth0.10", "addr add fd10::1/64 dev eth0.10 nodad"]);
        wait_for(&target, "eth0.10", &["10.10.0.1:5555", "[fd10::1]:5555"]);
        network.must_login("10.10.0.1:5555", "10.10.0.2");
        network.must_login("[fd10::1]:5555", "fd10::2");
        must(&["link del eth0.10"]);
        wait_for(&target, "eth0.10", &[]);
    });
}

/// The interface is what is saved, and what an operator sees of its addresses: the log, metrics, readiness, the warning about open targets.
#[test]
fn an_interface_is_saved_and_its_addresses_are_told_of() {
    const OPEN: &str = "everybody who reaches this target's listeners";
    with_network(|_| {
        let folder = folder();
        let saved = {
            let (target, at) = metrics::start(folder.path(), &[]);
            let said = |words: &str| log(folder.path()).contains(words);
            serve(&target);
            let only = json!({"fabric": "roce", "interface": "later0", "port": 5555, "family": "ipv6"});
            target.call("srp_create_listener", only);
            let sample =
                |place: &str, up: u8| format!("srpt_listener_up{{fabric=\"roce\",address=\"{place}\"}} {up}\n");
            let shows = |place: &str, up| metrics::get(at, "/metrics", "").body.contains(&sample(place, up));
            wait_until("its sample has its name", || shows("later0:5555", 0));
            let ready = metrics::get(at, "/readyz", "");
            assert!(ready.status == 503 && ready.body.contains("no network interface later0"), "{}", ready.body);
            assert!(!said(OPEN), "nobody reaches it");
            must(&["link add later0 type veth peer name later1", "link set later0 up", "link set later1 up"]);
            must(&["addr add 10.11.0.1/24 dev later0", "addr add fd11::1/64 dev later0 nodad"]);
            wait_for(&target, "later0", &["[fd11::1]:5555"]);
            wait_until("its sample has the address", || shows("[fd11::1]:5555", 1) && !shows("later0:5555", 0));
            assert_eq!(metrics::get(at, "/readyz", "").status, 200);
            wait_until("it is told of the open target", || said(OPEN));
            must(&["addr del fd11::1/64 dev later0"]);
            wait_until("it is told", || said("an address joined") && said("an address left"));
            must(&["addr add fd11::1/64 dev later0 nodad"]);
            wait_for(&target, "later0", &["[fd11::1]:5555"]);
            // A listener of its own at an address of it, before or after: it is saved as such.
            target.call("srp_create_listener", at_interface("eth0", 5555));
            let own = |address: &str| json!({"fabric": "roce", "address": address, "port": 5555});
            target.call("srp_create_listener", own("10.9.0.1"));
            assert_eq!(places(&target, "eth0"), ["10.9.0.1:5555", "[fd09::1]:5555"]);
            assert!(target.refusal("srp_delete_listener", own("fd09::1")).contains("interface eth0"));
            target.call("save_config", json!({}))
        };
        let config = write_config(folder.path(), &saved.to_string());
        let target = Target::start(folder.path(), &["-c", &config]);
        assert_eq!(target.call("save_config", json!({})), saved);
        let listeners: Vec<&Value> = saved["subsystems"][2]["config"].as_array().expect("a list").iter().collect();
        let listeners = listeners.into_iter().filter(|request| request["method"] == "srp_create_listener");
        let expected = [
            json!({"fabric": "roce", "address": "10.9.0.1", "port": 5555}),
            json!({"fabric": "roce", "interface": "later0", "port": 5555, "family": "ipv6"}),
            at_interface("eth0", 5555),
        ];
        assert_eq!(listeners.map(|request| request["params"].clone()).collect::<Vec<_>>(), expected);
        assert_eq!(places(&target, "eth0"), ["10.9.0.1:5555", "[fd09::1]:5555"]);
        assert_eq!(places(&target, "later0"), ["[fd11::1]:5555"]);
        // What is at the address goes, and the interface's listener takes over.
        target.call("srp_delete_listener", json!({"fabric": "roce", "address": "10.9.0.1", "port": 5555}));
        wait_until("only the interface is left", || {
            target
                .call("srp_get_listeners", json!({}))
                .as_array()
                .expect("a list")
                .iter()
                .all(|it| it["interface"] != json!(null))
        });
        wait_for(&target, "eth0", &["10.9.0.1:5555", "[fd09::1]:5555"]);
    });
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).expect("a log")
}
