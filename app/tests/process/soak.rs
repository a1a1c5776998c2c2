//! Soak: initiators come and go, targets, LUNs and bdevs come and go under them, devices fail and are slow, the administrator ends sessions, some initiators are
//! hostile; beside all that one reads and writes and compares. After each lap everything is quiet, and what the target holds (gauges, threads, files, memory) must be
//! what it held after the first.
//!
//! Half a minute in the test command; `scripts/soak.sh MINUTES` has it go on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use srpt_perf::hostile;
use srpt_perf::random::Xorshift;

use super::kill::fresh_seed;
use super::metrics::{Samples, get, start};
use super::roce::{fresh_address, options, run, serve_bdevs, wait_until};
use super::{Target, folder};

/// How long all of it lasts, unless the environment's SRPT_SOAK_SECONDS says something else.
const SECONDS: u64 = 32;
/// Time of a lap.
const LAP: Duration = Duration::from_secs(8);
/// What the process may have grown by after the first lap: allocators keep and divide what they got. A RAM disk that leaks is as large.
const GROWTH_MAX: f64 = (8 << 20) as f64;
/// Administrators at once, each with a target of its own.
const ADMINISTRATORS: u64 = 2;

/// What was done, by whom.
#[derive(Default, Debug)]
struct Churn {
    sessions: AtomicU64,
    units: AtomicU64,
    injected: AtomicU64,
    closed: AtomicU64,
    hostile: AtomicU64,
    compared: AtomicU64,
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

#[test]
fn everything_is_as_before_when_all_have_gone() {
    let seconds =
        std::env::var("SRPT_SOAK_SECONDS").map_or(SECONDS, |text| text.parse().expect("SRPT_SOAK_SECONDS: a number"));
    let seed =
        std::env::var("SRPT_SEED").map_or_else(|_| fresh_seed(), |text| text.parse().expect("SRPT_SEED: a number"));
    println!("SRPT_SEED={seed} draws the same again");
    let folder = folder();
    let (target, metrics) = start(folder.path(), &["--channels", "64"]);
    for name in ["victim", "visited", "attacked"] {
        target.call("bdev_malloc_create", json!({"name": name, "num_blocks": 2048, "block_size": 512}));
    }
    let at = serve_bdevs(&target, &["victim", "visited", "attacked"]);
    let churn = Churn::default();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut first: Option<Footprint> = None;
    for lap in 0.. {
        if lap > 1 && Instant::now() >= end {
            break; // two at least: there must be something to compare
        }
        run_lap(&target, at, folder.path(), seed << 16 ^ lap, &churn);
        let footprint = Footprint::when_quiet(&target, metrics, first.as_ref());
        println!("lap {lap}: resident {:.1} MiB, {churn:?}", footprint.resident / 1048576.0);
        match &first {
            None => first = Some(footprint),
            Some(first) => footprint.compare(first, lap),
        }
    }
    for (what, counter) in [
        ("no session came and went", &churn.sessions),
        ("no unit came and went", &churn.units),
        ("no device failed", &churn.injected),
        ("no session was closed", &churn.closed),
        ("nobody was hostile", &churn.hostile),
        ("nothing was compared", &churn.compared),
    ] {
        assert!(counter.load(Ordering::Relaxed) > 0, "{what}: {churn:?}");
    }
}

/// Everybody at once, until the lap's time is over.
fn run_lap(target: &Target, at: SocketAddr, folder: &Path, seed: u64, churn: &Churn) {
    let end = Instant::now() + LAP;
    thread::scope(|scope| {
        scope.spawn(|| compare_all_the_time(at, churn));
        scope.spawn(|| visit(at, end, seed, churn));
        scope.spawn(|| attack(at, end, seed, churn));
        for number in 0..ADMINISTRATORS {
            let random = Xorshift::new(seed << 8 ^ number);
            scope.spawn(move || Administrator { target, at, folder, number, random, churn }.work(end));
        }
    });
}

/// The one to whom nothing may happen.
fn compare_all_the_time(at: SocketAddr, churn: &Churn) {
    let seconds = LAP.as_secs().to_string();
    let results = run(at, &["-w", "randrw", "-q", "4", "--verify", "--rate", "1000", "-t", &seconds]);
    assert!(results.is_good(), "{}", results.table());
    count(&churn.compared, results.tally.compared);
}

/// Sessions of one to four channels that do little and go.
fn visit(at: SocketAddr, end: Instant, seed: u64, churn: &Churn) {
    let mut random = Xorshift::new(seed);
    while Instant::now() < end {
        let channels = (1 + random.below(4)).to_string();
        let form = if random.below(2) == 0 { "immediate" } else { "partial" };
        let results = run(
            at,
            &["-w", "randrw", "-q", "4", "--verify", "-d", "40", "--lun", "1", "--form", form, "--channels", &channels],
        );
        assert!(results.is_good(), "{}", results.table());
        count(&churn.sessions, 1);
    }
}

/// An initiator that does everything wrong, and vanishes.
fn attack(at: SocketAddr, end: Instant, seed: u64, churn: &Churn) {
    let mut seed = seed;
    while Instant::now() < end {
        let (aim, local, number) =
            (format!("{at},id_ext=11,ioc_guid=22,lun=2"), fresh_address().to_string(), seed.to_string());
        let arguments =
            ["srp-hostile", "--target", &aim, "--local", &local, "--rounds", "4", "--logins", "20", "--seed", &number];
        let options = hostile::Options::parse_from(arguments);
        assert!(hostile::run(&options).expect("a run"), "the target did wrong: see above");
        count(&churn.hostile, 1);
        seed = seed.wrapping_add(1 << 32);
    }
}

/// Makes a target with a unit, has an initiator use it, and spoils that in all ways that there are.
struct Administrator<'a> {
    target: &'a Target,
    at: SocketAddr,
    folder: &'a Path,
    number: u64,
    random: Xorshift,
    churn: &'a Churn,
}

impl Administrator<'_> {
    fn work(mut self, end: Instant) {
        while Instant::now() < end {
            self.unit_comes_and_goes();
        }
    }

    fn unit_comes_and_goes(&mut self) {
        let (number, target) = (self.number, self.target);
        let name = |what: &str| format!("{what}{number}");
        let (disk, slow) = (name("disk"), name("slow"));
        let failing = format!("EE_{slow}");
        let delete = match self.random.below(3) {
            0 => {
                target.call("bdev_malloc_create", json!({"name": disk, "num_blocks": 16384, "block_size": 512}));
                "bdev_malloc_delete"
            }
            1 => {
                let file = self.folder.join(&disk);
                target.call("bdev_uring_create", json!({"name": disk, "filename": file, "size": 8 << 20}));
                "bdev_uring_delete"
            }
            _ => {
                let file = self.folder.join(&disk);
                target.call(
                    "bdev_aio_create",
                    json!({"name": disk, "filename": file, "size": 8 << 20, "block_size": 512}),
                );
                "bdev_aio_delete"
            }
        };
        let latency = self.random.below(300);
        target.call(
            "bdev_delay_create",
            json!({"base_bdev_name": disk, "name": slow, "avg_read_latency": latency, "p99_read_latency": 2000,
                "avg_write_latency": latency, "p99_write_latency": 2000}),
        );
        target.call("bdev_error_create", json!({"base_name": slow}));
        let (id_ext, owner) = (format!("a{number}"), name("tgt_"));
        target.call("srp_create_target", json!({"name": owner, "id_ext": id_ext, "ioc_guid": "22"}));
        target.call("srp_target_add_lun", json!({"target": owner, "bdev_name": failing, "lun": number}));

        self.use_and_spoil(&id_ext, &owner, &slow, &failing);

        // Whatever was taken away already is not there: an answer, not an end.
        let _ = target.try_call("srp_target_remove_lun", json!({"target": owner, "lun": number}));
        target.call("srp_delete_target", json!({"name": owner}));
        for (method, name) in [("bdev_error_delete", &failing), ("bdev_delay_delete", &slow), (delete, &disk)] {
            // The target waits some seconds for what is under way there, which is not enough where others have the processors.
            wait_until(method, || target.try_call(method, json!({"name": name})).is_ok());
        }
        count(&self.churn.units, 1);
    }

    /// The load may fail, but what it reads is what it wrote.
    fn use_and_spoil(&mut self, id_ext: &str, owner: &str, slow: &str, failing: &str) {
        let lun = self.number.to_string();
        let arguments =
            ["-w", "randrw", "-q", "8", "--verify", "-t", "1", "--id-ext", id_ext, "--lun", &lun, "--channels", "2"];
        let load = options(self.at, &arguments);
        thread::scope(|scope| {
            let load = scope.spawn(|| srpt_perf::run(&load));
            while !load.is_finished() {
                self.spoil(owner, slow, failing);
                thread::sleep(Duration::from_millis(self.random.below(200)));
            }
            if let Ok(results) = load.join().expect("no panic") {
                assert_eq!(results.tally.miscompared, 0, "{}", results.table());
                count(&self.churn.compared, results.tally.compared);
            }
            // What hangs is let go: a device that never answers holds what it has for ever.
            self.inject(failing, "clear", "failure", 1);
            self.target.call("bdev_error_resume_pending", json!({"name": failing}));
        });
    }

    fn spoil(&mut self, owner: &str, slow: &str, failing: &str) {
        let lun = self.number;
        match self.random.below(8) {
            0 => self.inject(failing, "all", "failure", 3),
            1 => self.inject(failing, "read", "medium", 2),
            2 => {
                self.inject(failing, "write", "pending", 2);
                self.target.call("bdev_error_resume_pending", json!({"name": failing}));
            }
            3 => {
                let latency = self.random.below(3000);
                let change = json!({"delay_bdev_name": slow, "latency_type": "avg_write", "latency_us": latency});
                self.target.call("bdev_delay_update_latency", change);
            }
            4 => self.close_a_session(owner),
            5 => {
                self.target.call("bdev_set_read_only", json!({"name": failing, "read_only": true}));
                self.target.call("bdev_set_read_only", json!({"name": failing, "read_only": false}));
            }
            6 => {
                let unit = json!({"target": owner, "lun": lun});
                self.target.call("srp_target_remove_lun", unit);
                self.target.call("srp_target_add_lun", json!({"target": owner, "bdev_name": failing, "lun": lun}));
            }
            _ => {
                self.target.call("framework_get_config", json!({"name": "bdev"}));
            }
        }
    }

    fn inject(&self, name: &str, io: &str, error: &str, number: u64) {
        let fault = json!({"name": name, "io_type": io, "error_type": error, "num": number});
        self.target.call("bdev_error_inject_error", fault);
        count(&self.churn.injected, u64::from(io != "clear"));
    }

    fn close_a_session(&self, owner: &str) {
        let sessions = self.target.call("srp_get_sessions", json!({}));
        let ours = sessions.as_array().and_then(|all| all.iter().find(|session| session["target"] == owner));
        if let Some(session) = ours {
            // It may end before it is ended.
            let closed = self.target.try_call("srp_close_session", json!({"id": session["id"]}));
            count(&self.churn.closed, u64::from(closed.is_ok()));
        }
    }
}

/// What a target holds when nobody is there.
struct Footprint {
    /// By name and labels.
    gauges: BTreeMap<(String, BTreeMap<String, String>), f64>,
    /// Bytes.
    resident: f64,
}

impl Footprint {
    /// Once no session is left and what is told no longer changes. `like`: waits some time for this one; what still differs then is for
    /// [`Footprint::compare`].
    fn when_quiet(target: &Target, metrics: SocketAddr, like: Option<&Footprint>) -> Footprint {
        wait_until("no session is left", || target.call("srp_get_sessions", json!({})) == json!([]));
        let end = Instant::now() + Duration::from_secs(20);
        let mut before = Footprint::take(metrics);
        loop {
            // Reactors tell several times a second.
            thread::sleep(Duration::from_secs(1));
            let now = Footprint::take(metrics);
            let is_quiet = now.gauges == before.gauges && now.sum("srpt_channels") == 0.0;
            if Instant::now() >= end || is_quiet && like.is_none_or(|like| like.gauges == now.gauges) {
                return now;
            }
            before = now;
        }
    }

    fn take(metrics: SocketAddr) -> Footprint {
        let text = get(metrics, "/metrics", "").body;
        let is_kept = |name: &str| {
            let varies = [
                "srpt_reactor_longest_poll_seconds",
                "srpt_bdev_space",
                "srpt_huge_pages",
                "process_virtual",
                "process_resident",
                "process_start",
            ];
            !varies.iter().any(|prefix| name.starts_with(prefix))
        };
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" gauge"));
        let kept: Vec<&str> = types.filter(|name| is_kept(name)).collect();
        assert!(kept.contains(&"process_open_fds") && kept.contains(&"process_threads"), "{kept:?}");
        let samples = Samples::parse(&text);
        let resident = samples.sum("process_resident_memory_bytes", &[]).expect("it is told");
        let gauges = samples.0.into_iter().filter(|((name, _), _)| kept.contains(&name.as_str())).collect();
        Footprint { gauges, resident }
    }

    fn sum(&self, name: &str) -> f64 {
        let found: Vec<f64> = self.gauges.iter().filter(|((of, _), _)| of == name).map(|(_, &value)| value).collect();
        assert!(!found.is_empty(), "there is no {name}");
        found.iter().sum()
    }

    fn compare(&self, first: &Footprint, lap: u64) {
        let differing = self.gauges.iter().filter(|(series, value)| first.gauges.get(series) != Some(value));
        let differing: Vec<_> = differing.map(|(series, value)| (series, first.gauges.get(series), value)).collect();
        assert!(differing.is_empty(), "lap {lap}: not as it was after the first: {differing:#?}");
        let gone: Vec<_> = first.gauges.keys().filter(|series| !self.gauges.contains_key(series)).collect();
        assert!(gone.is_empty(), "lap {lap}: {gone:?} are gone");
        let growth = self.resident - first.resident;
        assert!(growth < GROWTH_MAX, "lap {lap}: {growth} bytes more than after the first");
    }
}
