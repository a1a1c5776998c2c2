//! AF_XDP, with what the process keeps by default: its capabilities, and the filter of system calls.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::listeners::{at_interface, serve, with_network};
use super::roce::run;
use super::{Target, folder};

/// In /sys, too, where the queues of an interface are listed: from here on for this thread and what it starts.
fn see_own_interfaces() -> nix::Result<()> {
    let nothing = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(nothing, "/sys", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), nothing)
}

#[test]
fn af_xdp_passes_the_filter_of_system_calls() {
    with_network(|network| {
        see_own_interfaces().expect("a /sys of its own");
        let folder = folder();
        let target = Target::start(folder.path(), &["--seccomp", "on", "--roce-io", "xdp"]);
        serve(&target);
        target.call("srp_create_listener", at_interface("eth0", 5555));
        let log = std::fs::read_to_string(folder.path().join("start.log")).expect("a log");
        assert!(log.contains("RoCE through AF_XDP"), "{log}");
        let arguments = ["--local", "10.9.0.2", "-w", "randrw", "-q", "8", "--verify", "-d", "300"];
        let results = network.initiator(|| run("10.9.0.1:5555".parse().expect("an address"), &arguments));
        assert!(results.is_good() && results.tally.compared > 0, "{}", results.table());
    });
}
