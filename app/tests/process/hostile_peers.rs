//! An initiator that does what none should, beside one that reads and writes: that one's data are right, nothing is left of the other, and the target
//! serves on. (Over rdma-core, with the kernel's initiator: the lab's scenario `hostile`.)

use clap::Parser;
use serde_json::json;
use srpt_perf::hostile;

use super::roce::{self, wait_until};
use super::{Target, folder};

#[test]
fn nothing_that_an_initiator_sends_touches_another_session() {
    let folder = folder();
    let target = Target::start(folder.path(), &["--channels", "64"]);
    let at = roce::serve(&target);
    let aim = format!("{at},id_ext=11,ioc_guid=22,lun=1");
    let local = roce::fresh_address().to_string();
    let arguments = ["srp-hostile", "--target", &aim, "--local", &local, "--rounds", "100", "--logins", "100"];
    let options = hostile::Options::parse_from(arguments);

    std::thread::scope(|scope| {
        let victim = scope.spawn(|| roce::run(at, &["-w", "randrw", "-q", "4", "--verify", "-t", "15"]));
        assert!(hostile::run(&options).expect("a run"), "the target did wrong: see above");
        let results = victim.join().expect("no panic");
        assert!(results.is_good() && results.tally.compared > 0, "{}", results.table());
    });
    wait_until("no session is left", || target.call("srp_get_sessions", json!({})) == json!([]));
    // Nor is a channel: as many as there are can log in.
    let results = roce::run(at, &["-w", "randrw", "-q", "4", "--verify", "-d", "200", "--channels", "16"]);
    assert!(results.is_good(), "{}", results.table());
    target.call("srp_delete_target", json!({"name": "tgt0"}));
}
