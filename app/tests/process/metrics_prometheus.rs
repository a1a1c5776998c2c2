//! A real Prometheus (Debian's package) scrapes the binary under load, and promtool reads what it is given.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use srpt_perf::run::session_options;
use srpt_perf::session::Session;

use super::folder;
use super::metrics::{get, start};
use super::roce::{options, run, serve, wait_until};

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/prometheus")
}

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
    /// Scrapes `metrics` five times a second, with the rules and consoles of scripts/prometheus.
    fn start(folder: &Path, metrics: SocketAddr) -> Prometheus {
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\n\
             rule_files: ['{}']\n\
             scrape_configs: [{{job_name: srpt, static_configs: [{{targets: ['{metrics}']}}]}}]\n",
            scripts().join("srpt.rules.yml").display()
        );
        std::fs::write(&config, text).expect("a file");
        // It has no port 0 to choose one itself.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()));
        command.arg(format!("--web.listen-address={free}"));
        command.arg(format!("--web.console.templates={}", scripts().join("consoles").display()));
        command.arg(format!("--web.console.libraries={}", scripts().join("console_libraries").display()));
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
        let result = self.series(query);
        assert!(result.len() < 2, "{result:?}");
        result.first().and_then(|sample| sample["value"][1].as_str()?.parse().ok())
    }

    /// What a query finds.
    fn series(&self, query: &str) -> Vec<Value> {
        let escape = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        let query: String = query.bytes().map(escape).collect();
        let data = self.api(&format!("/api/v1/query?query={query}"));
        data["result"].as_array().expect("a vector").clone()
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
    let (target, metrics) = start(folder.path(), &[]);
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

/// Panels that have nothing to show as long as nothing is wrong, or nothing thin.
const EMPTY_WHEN_WELL: [&str; 11] = [
    "Commands that fail",
    "Aborts and task management",
    "Failures, aborts and task management",
    "Waits",
    "Commands that had to wait",
    "Device errors",
    "Commands that fail or are aborted",
    "Errors of the devices behind",
    "Space in use beneath bdevs with a threshold",
    "What connections meet",
    "Free huge pages of the host",
];

#[test]
fn rules_dashboards_and_consoles_work_in_prometheus() {
    if !is_there("prometheus") {
        return;
    }
    let folder = folder();
    let (target, metrics) = start(folder.path(), &[]);
    let at = serve(&target);
    let prometheus = Prometheus::start(folder.path(), metrics);
    let options = session_options(&options(at, &[])).expect("options");
    let mut session = Session::start(options).expect("a session");
    session.login().expect("a login");
    session.probe().expect("a unit");
    wait_until("the target was scraped", || prometheus.query("sum(srpt_session_channels)").is_some());
    assert!(run(at, &["-w", "randrw", "-t", "3"]).is_good());
    wait_until("rates are known", || {
        prometheus.query("sum(rate(srpt_lun_operations_total{operation=\"write\"}[1m]))") > Some(0.0)
    });

    let rules = || {
        let groups = prometheus.api("/api/v1/rules")["groups"].clone();
        groups
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|group| group["rules"].as_array().cloned())
            .flatten()
            .collect::<Vec<Value>>()
    };
    wait_until("all rules were evaluated", || !rules().is_empty() && rules().iter().all(|rule| rule["health"] == "ok"));

    for entry in std::fs::read_dir(scripts().join("../grafana")).expect("dashboards") {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("a file");
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        for panel in dashboard["panels"].as_array().expect("a list") {
            let title = panel["title"].as_str().expect("a title");
            let queries = panel["targets"].as_array().expect("a list").iter();
            let finds = |query: &Value| {
                let expression = query["expr"].as_str().expect("an expression").replace("$__rate_interval", "1m");
                let variables = ["instance", "target", "lun", "initiator", "reactor"];
                let expression =
                    variables.iter().fold(expression, |text, name| text.replace(&format!("${name}"), ".*"));
                !prometheus.series(&expression).is_empty()
            };
            // A scrape that came too late on a busy machine leaves a gap.
            wait_until(&format!("{} shows {title}", path.display()), || {
                EMPTY_WHEN_WELL.contains(&title) || queries.clone().any(finds)
            });
        }
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let console = get(prometheus.at, &format!("/consoles/{name}.html"), "");
        assert_eq!(console.status, 200, "{name}: {}", console.body);
        assert!(console.body.contains("api/v1/") && console.body.contains("</html>"), "{name}: {}", console.body);
    }
    session.close();
}

#[test]
fn promtool_has_nothing_to_say() {
    if !is_there("promtool") {
        return;
    }
    let folder = folder();
    let (target, metrics) = start(folder.path(), &[]);
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

#[test]
fn rules_are_as_promtool_wants_them_and_pass_their_tests() {
    if !is_there("promtool") {
        return;
    }
    for arguments in [
        &["check", "rules", "srpt.rules.yml"][..],
        &["check", "config", "prometheus.yml"],
        &["test", "rules", "srpt.rules.test.yml"],
    ] {
        let output = Command::new("promtool").args(arguments).current_dir(scripts()).output().expect("it is there");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}
