//! The binary serves over RoCE, and an initiator of our own uses it: login, commands, data, end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Parser;
use serde_json::json;
use srpt_perf::random::scramble;
use srpt_perf::report::TargetResults;
use srpt_perf::run::session_options;
use srpt_perf::session::Session;
use srpt_perf::{Options, Results};

use super::{PATIENCE, Target, folder};

/// An address on loopback that nobody else uses, here or in tests that run at the same time: each device is one address with one UDP port. Drawn from four
/// million, as a soak takes hundreds.
pub(super) fn fresh_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let drawn = scramble(u64::from(std::process::id()) << 32 | u64::from(NEXT.fetch_add(1, Ordering::Relaxed)));
    let [first, second, third, ..] = drawn.to_be_bytes();
    Ipv4Addr::new(127, 64 | first & 0x3f, second, third)
}

/// A target with a RAM disk as LUN 0 and a null device as LUN 1, listening over both fabrics, of which only RoCE needs nothing.
pub(super) fn serve(target: &Target) -> SocketAddr {
    target.call("bdev_malloc_create", json!({"name": "ram0", "num_blocks": 2048, "block_size": 512}));
    target.call("bdev_null_create", json!({"name": "null0", "num_blocks": 2048, "block_size": 512}));
    serve_bdevs(target, &["ram0", "null0"])
}

/// Exports bdevs as LUNs 0, 1 and so on.
pub(crate) fn serve_bdevs(target: &Target, bdevs: &[&str]) -> SocketAddr {
    let at = SocketAddr::from((fresh_address(), 5555));
    target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "11", "ioc_guid": "22"}));
    for bdev in bdevs {
        target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": bdev}));
    }
    for fabric in ["verbs", "roce"] {
        let listener = json!({"fabric": fabric, "address": at.ip().to_string(), "port": at.port()});
        target.call("srp_create_listener", listener);
    }
    at
}

pub(super) fn options(at: SocketAddr, arguments: &[&str]) -> Options {
    let (target, local) = (at.to_string(), fresh_address().to_string());
    let always =
        ["srp-perf", "--target", &target, "--local", &local, "--id-ext", "11", "--ioc-guid", "22", "--adaptive"];
    Options::parse_from(always.iter().chain(arguments))
}

pub(crate) fn run(at: SocketAddr, arguments: &[&str]) -> Results {
    srpt_perf::run(&options(at, arguments)).unwrap_or_else(|error| panic!("{arguments:?}: {error:#}"))
}

#[test]
fn what_was_written_over_roce_is_read_back() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let at = serve(&target);
    for arguments in [
        &["-w", "randrw", "-o", "4k", "-q", "8"][..],
        &["-w", "randrw", "-o", "4k", "-q", "8", "--no-immediate"],
        &["-w", "rw", "-o", "64k", "-q", "4"],
        &["-w", "randrw", "-o", "8k", "-q", "4", "--indirect", "12", "--no-immediate"],
        &["-w", "randrw", "-o", "512", "-q", "16", "--channels", "2"],
        &["-w", "randrw", "-o", "16k", "-q", "4", "--form", "partial", "--descriptors", "40"],
        &["-w", "randrw", "-o", "8k", "-q", "4", "--form", "immediate", "--rate", "2000"],
    ] {
        let results = run(at, &[arguments, &["--verify", "-d", "300"]].concat());
        assert!(results.is_good(), "{arguments:?}: {}", results.table());
        assert!(results.tally.compared > 0, "{arguments:?}: nothing was compared: {}", results.table());
    }
}

/// Each channel has its own target and unit, and two units of one target are one nexus, whose channels must not end each other.
#[test]
fn several_targets_and_units_are_used_at_once() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    for name in ["ram0", "ram1", "ram2"] {
        target.call("bdev_malloc_create", json!({"name": name, "num_blocks": 2048, "block_size": 512}));
    }
    let at = serve_bdevs(&target, &["ram0", "ram1"]);
    let other = SocketAddr::from((fresh_address(), 5556));
    target.call("srp_create_target", json!({"name": "tgt1", "id_ext": "33", "ioc_guid": "44"}));
    target.call("srp_target_add_lun", json!({"target": "tgt1", "bdev_name": "ram2", "lun": 5}));
    let listener = json!({"fabric": "roce", "address": other.ip().to_string(), "port": other.port()});
    target.call("srp_create_listener", listener);
    // The first is LUN 0 at the first address.
    for (second, address, lun) in
        [(format!("{at},lun=1"), at, 1), (format!("{other},id_ext=33,ioc_guid=44,lun=5"), other, 5)]
    {
        let results = run(at, &["--target", &second, "-w", "randrw", "-q", "8", "--verify", "-d", "400"]);
        assert!(results.is_good(), "{}", results.table());
        let used = |one: &TargetResults| (one.target.address, one.target.lun, one.tally.both().count());
        let used: Vec<_> = results.targets.iter().map(used).collect();
        assert_eq!(used, [(at, 0, 400), (address, lun, 400)]);
        assert!(results.targets.iter().all(|one| one.tally.compared > 0), "{}", results.table());
    }
}

/// The null device forgets what is written to it: the comparison must see that, or it sees nothing.
#[test]
fn data_that_were_not_kept_are_found_out() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let results = run(serve(&target), &["-w", "randrw", "-q", "8", "--lun", "1", "--verify", "-d", "300"]);
    assert!(!results.is_good(), "{}", results.table());
    assert_eq!(results.tally.miscompared, results.tally.compared);
    assert_eq!((results.tally.failed, results.broken.len()), (0, 0), "{}", results.table());
}

#[test]
fn a_refused_login_names_what_to_change() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let at = serve(&target);
    let refusal = |arguments: &[&str]| {
        let error = srpt_perf::run(&options(at, arguments)).expect_err("it must be refused");
        format!("{error:#}")
    };
    let said = refusal(&["--id-ext", "12"]);
    assert!(said.contains("--id-ext"), "{said}");
    let said = refusal(&["--lun", "7"]);
    assert!(said.contains("--lun"), "{said}");
    let elsewhere = SocketAddr::from((at.ip(), 5556)).to_string();
    let said = refusal(&["--target", &elsewhere]);
    assert!(said.contains("--target"), "{said}");
}

#[test]
fn a_session_is_listed_while_it_lasts_and_gone_afterwards() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let options = options(serve(&target), &["--channels", "2"]);
    let sessions = || target.call("srp_get_sessions", json!({}));
    let mut session = Session::start(session_options(&options).expect("options")).expect("a session");
    session.login().expect("a login");
    session.probe().expect("a unit");
    let listed = sessions();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["channels"].as_array().map(Vec::len), Some(2), "{listed}");
    session.close();
    wait_until("no session is left", || sessions() == json!([]));
}

pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !happened() {
        assert!(std::time::Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
