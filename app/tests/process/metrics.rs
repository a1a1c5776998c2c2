//! Metrics and health over HTTP: what is told agrees with what was done, and no client disturbs another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::json;

use super::roce::{options, run, serve, wait_until};
use super::{PATIENCE, Target, command, failure, folder};

/// A target that serves metrics at a port of its own, and where.
pub(super) fn start(folder: &std::path::Path, arguments: &[&str]) -> (Target, SocketAddr) {
    let log = folder.join("log");
    let mut command = command(folder, &[&["--metrics-listen", "127.0.0.1:0"], arguments].concat());
    command.stderr(File::create(&log).expect("a file"));
    let target = Target { child: command.spawn().expect("the binary starts"), folder: folder.into() };
    let mut at = None;
    wait_until("metrics are served", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let found = text.split("http://").nth(1).and_then(|rest| rest.split("/metrics").next());
        at = found.and_then(|address| address.parse().ok());
        at.is_some() && rpc::Client::connect(&target.socket()).is_ok()
    });
    (target, at.expect("it was found"))
}

/// An answer to a request.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

/// Sends bytes and reads to the end of the connection.
fn talk(at: SocketAddr, request: &str) -> Reply {
    let mut stream = TcpStream::connect(at).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(request.as_bytes()).expect("it listens");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request:?}: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Reply { status, head: head.to_lowercase(), body: body.into() }
}

pub(super) fn get(at: SocketAddr, path: &str, headers: &str) -> Reply {
    talk(at, &format!("GET {path} HTTP/1.0\r\nHost: srpt\r\n{headers}\r\n"))
}

/// The samples of Prometheus' text form, by name and labels.
#[derive(Debug)]
pub(super) struct Samples(pub(super) BTreeMap<(String, BTreeMap<String, String>), f64>);

impl Samples {
    fn of(at: SocketAddr) -> Samples {
        let reply = get(at, "/metrics", "");
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert!(reply.head.contains("content-type: text/plain; version=0.0.4"), "{}", reply.head);
        Samples::parse(&reply.body)
    }

    pub(super) fn parse(text: &str) -> Samples {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut samples = BTreeMap::new();
        for line in lines {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("no labels: {line}"));
            let labels = labels.split("\",").filter(|label| !label.is_empty()).map(|label| {
                let (key, value) = label.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
                (key.to_string(), value.trim_end_matches('"').to_string())
            });
            let value = value.parse::<f64>().unwrap_or_else(|_| panic!("no number: {line}"));
            let before = samples.insert((name.to_string(), labels.collect()), value);
            assert!(before.is_none(), "a series is there twice: {line}");
        }
        Samples(samples)
    }

    /// The sum of the samples of a name that have these labels; `None`: there is none.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |(of, with): &&(String, BTreeMap<String, String>)| {
            of == name && labels.iter().all(|(key, value)| with.get(*key).is_some_and(|it| it == value))
        };
        let found: Vec<f64> = self.0.keys().filter(fits).map(|key| self.0[key]).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }
}

#[test]
fn what_is_told_agrees_with_what_was_done() {
    let folder = folder();
    let (target, metrics) = start(folder.path(), &[]);
    let at = serve(&target);
    let results = run(at, &["-w", "randrw", "-o", "4k", "-q", "8", "-d", "400"]);
    assert!(results.is_good(), "{}", results.table());
    let (reads, writes) = (results.tally.reads.count() as f64, results.tally.writes.count() as f64);
    let mut samples = Samples::of(metrics);
    // What was answered last is counted when its round has ended, and told again until it is old.
    wait_until("all is counted", || {
        samples = Samples::of(metrics);
        samples.sum("srpt_lun_operations_total", &[("lun", "0"), ("operation", "write")]) == Some(writes)
    });
    for (operation, count) in [("read", reads), ("write", writes)] {
        let lun = [("target", "tgt0"), ("lun", "0"), ("operation", operation)];
        assert_eq!(samples.sum("srpt_lun_operations_total", &lun), Some(count), "{operation}");
        assert_eq!(samples.sum("srpt_lun_bytes_total", &lun), Some(4096.0 * count), "{operation}");
        assert_eq!(samples.sum("srpt_lun_latency_seconds_count", &lun), Some(count), "{operation}");
        let all = [("target", "tgt0"), ("lun", "0"), ("operation", operation), ("le", "+Inf")];
        assert_eq!(samples.sum("srpt_lun_latency_seconds_bucket", &all), Some(count), "{operation}");
        assert!(samples.sum("srpt_lun_latency_seconds_sum", &lun) > Some(0.0), "time passes: {operation}");
        let bdev = [("bdev", "ram0"), ("operation", operation)];
        assert_eq!(samples.sum("srpt_bdev_operations_total", &bdev), Some(count), "{operation}");
        assert_eq!(samples.sum("srpt_bdev_bytes_total", &bdev), Some(4096.0 * count), "{operation}");
    }
    assert_eq!(samples.sum("srpt_lun_operations_total", &[("lun", "1")]), Some(0.0), "nobody uses it");
    assert_eq!(samples.sum("srpt_logins_accepted_total", &[]), Some(1.0));
    assert_eq!(samples.sum("srpt_reactor_stalls_total", &[("reactor", "reactor_0")]).map(|it| it >= 0.0), Some(true));
    assert!(samples.sum("srpt_poller_busy_runs_total", &[("poller", "srp_poll_group")]) > Some(0.0));
    assert!(samples.sum("srpt_roce_packets_total", &[("event", "received")]) > Some(0.0));
    assert!(samples.sum("process_start_time_seconds", &[]) > Some(1e9));
    assert_eq!(samples.sum("srpt_control_responding", &[]), Some(1.0));
}

/// Names of the metrics that docs/metrics.md has, by their kind.
fn documented() -> BTreeMap<String, String> {
    let reference = include_str!("../../../docs/metrics.md");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.strip_suffix('`')?.to_string(), cells.next()?.to_string()))
    };
    reference.lines().filter_map(row).filter(|(name, _)| !name.starts_with('/')).collect()
}

#[test]
fn the_reference_has_what_is_told_and_all_of_that_is_told() {
    let folder = folder();
    let (target, metrics) = start(folder.path(), &[]);
    let file = folder.path().join("thin.img");
    target.call("bdev_aio_create", json!({"name": "thin", "filename": file, "size": 1 << 20, "threshold_percent": 99}));
    let at = serve(&target);
    let mut session =
        srpt_perf::session::Session::start(srpt_perf::run::session_options(&options(at, &[])).expect("options"))
            .expect("a session");
    session.login().expect("a login");
    session.probe().expect("a unit");
    assert!(run(at, &["-w", "randread", "-d", "10"]).is_good());
    let told = |text: &str| -> BTreeMap<String, String> {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        types.map(|(name, kind)| (name.to_string(), kind.to_string())).collect()
    };
    let mut families = BTreeMap::new();
    wait_until("the space beneath was looked at", || {
        families = told(&get(metrics, "/metrics", "").body);
        families.contains_key("srpt_bdev_space_bytes") && families.contains_key("srpt_bdev_latency_seconds")
    });
    session.close();
    let documented: BTreeMap<String, String> = documented()
        .into_iter()
        .map(|(name, kind)| (name, if kind == "info" { "gauge".into() } else { kind }))
        .collect();
    for (name, kind) in &families {
        assert_eq!(documented.get(name), Some(kind), "docs/metrics.md about {name}");
    }
    let told: BTreeSet<&String> = families.keys().collect();
    // A kernel may have no huge pages, and a host no InfiniBand ports: scripts/discovery-check.sh has one.
    let may_miss = |name: &str| ["srpt_huge_pages", "srpt_device_management"].iter().any(|it| name.starts_with(it));
    let missing: Vec<&String> = documented.keys().filter(|name| !told.contains(name) && !may_miss(name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not told");
}

#[test]
fn series_go_with_what_they_are_about() {
    let folder = folder();
    let (target, metrics) = start(folder.path(), &[]);
    let at = serve(&target);
    let mut session =
        srpt_perf::session::Session::start(srpt_perf::run::session_options(&options(at, &[])).expect("options"))
            .expect("a session");
    session.login().expect("a login");
    session.probe().expect("a unit");
    let of_session = || Samples::of(metrics).sum("srpt_session_channels", &[("target", "tgt0")]);
    wait_until("the session is told", || of_session() == Some(1.0));
    session.close();
    wait_until("the session is gone", || of_session().is_none());
    target.call("srp_target_remove_lun", json!({"target": "tgt0", "lun": 1}));
    target.call("bdev_null_delete", json!({"name": "null0"}));
    wait_until("LUN and bdev are gone", || {
        let samples = Samples::of(metrics);
        let lun = samples.sum("srpt_lun_operations_total", &[("lun", "1")]);
        lun.is_none() && samples.sum("srpt_bdev_operations_total", &[("bdev", "null0")]).is_none()
    });
}

#[test]
fn pages_forms_and_methods() {
    let folder = folder();
    let (target, metrics) = start(folder.path(), &[]);
    let open_metrics = get(metrics, "/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n");
    assert_eq!(open_metrics.status, 200);
    assert!(open_metrics.head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(open_metrics.body.ends_with("\n# EOF\n"), "{}", open_metrics.body);
    assert!(open_metrics.body.contains("# TYPE srpt_build info\n"), "{}", open_metrics.body);
    let head = talk(metrics, "HEAD /metrics HTTP/1.0\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(get(metrics, "/", "").body.contains("/metrics"));
    assert_eq!(get(metrics, "/nothing", "").status, 404);
    let post = talk(metrics, "POST /metrics HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(post.status, 405);
    assert!(post.head.contains("allow: get, head"), "{}", post.head);

    assert_eq!(get(metrics, "/healthz", "").status, 200);
    let not_ready = get(metrics, "/readyz", "");
    assert_eq!(not_ready.status, 503);
    assert!(not_ready.body.contains("srp_create_listener"), "{}", not_ready.body);
    serve(&target);
    assert_eq!(get(metrics, "/readyz", "").status, 200);
}

#[test]
fn a_place_that_is_taken_is_an_error_if_it_was_asked_for() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let said = failure(folder.path(), &["--metrics-listen", &address]);
    assert!(said.contains("--metrics-listen") && said.contains(&address), "{said}");
    let said = failure(folder.path(), &["--metrics-listen", "somewhere"]);
    assert!(said.contains("somewhere") && said.contains("off"), "{said}");
    let target = Target::start(folder.path(), &["--metrics-listen", "off"]);
    target.call("spdk_get_version", json!({}));
}

/// Clients that say nothing, say too much, or do not read; all the time an honest one is answered, and initiators are served.
#[test]
fn hostile_clients_hold_up_nobody() {
    let folder = folder();
    let (target, metrics) = start(folder.path(), &[]);
    let at = serve(&target);
    let descriptors = || Samples::of(metrics).sum("process_open_fds", &[]).expect("it is told");
    let before = descriptors();
    let mut hostile = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(metrics).expect("it listens");
        let said = match number % 4 {
            0 => String::new(),
            1 => "GET /metrics HTTP/1.1\r\nHost: slow".into(),
            2 => "GET /metrics HTTP/1.1\r\nHost: never reads\r\n\r\n".repeat(20),
            _ => format!("GET /{} HTTP/1.1\r\n", "x".repeat(60_000)),
        };
        // It may have ended the connection already.
        let _ = stream.write_all(said.as_bytes());
        hostile.push(stream);
        if number % 20 == 0 {
            assert_eq!(get(metrics, "/metrics", "").status, 200, "after {number} clients");
        }
    }
    let results = run(at, &["-w", "randrw", "-q", "8", "-d", "200", "--verify"]);
    assert!(results.is_good(), "{}", results.table());
    assert_eq!(get(metrics, "/healthz", "").status, 200);
    let too_much = "X: y\r\n".repeat(100);
    assert!([400, 431].contains(&get(metrics, "/metrics", &too_much).status), "too many header fields");
    // Half of them hang, and what served the load may not be closed yet.
    assert!(descriptors() < before + 60.0, "connections are bounded: {} descriptors, {before} before", descriptors());
    drop(hostile);
    assert_eq!(get(metrics, "/metrics", "").status, 200);
}
