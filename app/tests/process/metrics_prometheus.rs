//! A real Prometheus (Debian's package) scrapes the binary under load, and promtool reads what it is given.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::folder;
use super::metrics::{get, start};
use super::roce::{run, serve, wait_until};

/// Whether a program is there; says so if not.
fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        println!("skipped: there is no {program} here; `apt install prometheus` brings it");
    }
    there
}

/// A Prometheus in a folder of its own, killed when the test ends.
struct Prometheus {
    child: Child,
    at: SocketAddr,
}

impl Prometheus {
    /// Scrapes `metrics` five times a second.
    fn start(folder: &Path, metrics: SocketAddr) -> Prometheus {
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs: [{{job_name: srpt, static_configs: [{{targets: ['{metrics}']}}]}}]\n"
        );
        std::fs::write(&config, text).expect("a file");
        // It has no port 0 to choose one itself.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()));
        command.arg(format!("--web.listen-address={free}"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let prometheus = Prometheus { child: child.expect("it is there"), at: free };
        wait_until("Prometheus is ready", || {
            std::net::TcpStream::connect(free).is_ok() && get(free, "/-/ready", "").status == 200
        });
        prometheus
    }

    fn api(&self, path: &str) -> Value {
        let reply = get(self.at, path, "");
        let answer: Value = serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.body));
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// The value of a query that has one; `None`: it has none.
    fn query(&self, query: &str) -> Option<f64> {
        let escape = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        let query: String = query.bytes().map(escape).collect();
        let data = self.api(&format!("/api/v1/query?query={query}"));
        let result = data["result"].as_array().expect("a vector");
        assert!(result.len() < 2, "{data}");
        result.first().and_then(|sample| sample["value"][1].as_str()?.parse().ok())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_prometheus_saw_is_what_the_load_generator_did() {
    if !is_there("prometheus") {
        return;
    }
    let folder = folder();
    let (target, metrics) = start(folder.path());
    let at = serve(&target);
    let prometheus = Prometheus::start(folder.path(), metrics);
    // A counter's increase is known from the first sample on.
    wait_until("the target was scraped", || {
        prometheus.query("srpt_lun_bytes_total{lun=\"0\",operation=\"read\"}") == Some(0.0)
    });
    let results = run(at, &["-w", "randrw", "-o", "4k", "-q", "8", "-d", "5000"]);
    assert!(results.is_good(), "{}", results.table());
    for (operation, done) in [("read", &results.tally.reads), ("write", &results.tally.writes)] {
        let count = done.count() as f64;
        assert!(count > 0.0, "{}", results.table());
        let of = |name: &str| format!("{name}{{lun=\"0\",operation=\"{operation}\"}}");
        wait_until("all was scraped", || prometheus.query(&of("srpt_lun_operations_total")) == Some(count));
        assert_eq!(prometheus.query(&of("srpt_lun_bytes_total")), Some(4096.0 * count), "{operation}");
        assert_eq!(prometheus.query(&of("srpt_lun_latency_seconds_count")), Some(count), "{operation}");
        // From the first sample to the last, as a rate sees it.
        let ops = of("srpt_lun_operations_total");
        assert_eq!(prometheus.query(&format!("max_over_time({ops}[1m]) - min_over_time({ops}[1m])")), Some(count));
        let quantile = format!("histogram_quantile(0.99, {})", of("srpt_lun_latency_seconds_bucket"));
        assert!(prometheus.query(&quantile) > Some(0.0), "{operation}");
    }
    let targets = prometheus.api("/api/v1/targets");
    let scraped = &targets["activeTargets"][0];
    assert_eq!((&scraped["health"], &scraped["lastError"]), (&Value::from("up"), &Value::from("")), "{targets}");
    // Units are told in OpenMetrics' form only: so it was that one which Prometheus took.
    let metadata = prometheus.api("/api/v1/metadata?metric=srpt_lun_bytes");
    assert_eq!(metadata["srpt_lun_bytes"][0]["unit"], "bytes", "{metadata}");
}

#[test]
fn promtool_has_nothing_to_say() {
    if !is_there("promtool") {
        return;
    }
    let folder = folder();
    let (target, metrics) = start(folder.path());
    let at = serve(&target);
    assert!(run(at, &["-w", "randrw", "-d", "50"]).is_good());
    let text = get(metrics, "/metrics", "").body;
    assert!(text.contains("srpt_lun_latency_seconds_bucket"), "{text}");
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("it is there");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let mut said = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert!(child.wait().expect("a child").success() && said.is_empty(), "{said}");
}
