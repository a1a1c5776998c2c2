//! Methods about the process: reactors, configuration, log, version, end.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use reactor::ReactorStats;
use rpc::{NoParams, RpcError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::Level;

use super::Methods;
use crate::appliance::Appliance;
use crate::config;

/// Ticks of every figure below are nanoseconds.
const TICK_RATE: u64 = 1_000_000_000;

pub(super) fn add(methods: &mut Methods) {
    methods.add("rpc_get_methods", "Lists the names of all methods", get_methods);
    methods.add("rpc.discover", "Describes all methods, as OpenRPC has it", discover);
    methods.add("spdk_get_version", "Tells the version", |_, _: NoParams| Ok(version()));
    methods.add(
        "spdk_kill_instance",
        "Ends the process: SIGTERM and SIGINT in good order, SIGKILL at once",
        kill_instance,
    );
    methods.add("framework_get_reactors", "Tells how busy each reactor is, and which poller held it up", get_reactors);
    methods.add(
        "framework_get_subsystems",
        "Lists the parts of a configuration, with what they depend on",
        |_, _: NoParams| Ok(subsystems()),
    );
    methods.add("framework_get_config", "Answers one part of the configuration", get_config);
    methods.add("framework_wait_init", "Answers when the target serves, which is at once", |_, _: NoParams| Ok(true));
    methods.add(
        "thread_get_pollers",
        "Lists the pollers of each reactor, with how often they ran and had work",
        get_pollers,
    );
    methods.add("log_set_level", "Sets what is logged from now on", |appliance: &mut Appliance, params: LogLevel| {
        appliance.log.set(params.parse()?);
        Ok(true)
    });
    methods.add("log_get_level", "Tells what is logged", |appliance: &mut Appliance, _: NoParams| {
        Ok(level_name(appliance.log.get()))
    });
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetMethods {
    /// SPDK: only those allowed in the present state. Here all are, always.
    #[serde(rename = "current")]
    _current: Option<bool>,
    /// SPDK: old names too. There are none.
    #[serde(rename = "include_aliases")]
    _include_aliases: Option<bool>,
}

fn get_methods(appliance: &mut Appliance, _params: GetMethods) -> Result<Vec<&'static str>, RpcError> {
    Ok(appliance.methods().map(|methods| methods.names().collect()).unwrap_or_default())
}

/// Made once: it takes milliseconds, which logins would wait for as often as somebody asks.
fn discover(appliance: &mut Appliance, _: NoParams) -> Result<Value, RpcError> {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    let methods = appliance.methods();
    let document = methods.map(|methods| DOCUMENT.get_or_init(|| super::describe(&methods)).clone());
    Ok(document.unwrap_or_default())
}

fn version() -> Value {
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    json!({
        "version": concat!("srpt-app v", env!("CARGO_PKG_VERSION")),
        "fields": {
            "major": number(env!("CARGO_PKG_VERSION_MAJOR")),
            "minor": number(env!("CARGO_PKG_VERSION_MINOR")),
            "patch": number(env!("CARGO_PKG_VERSION_PATCH")),
            "suffix": env!("CARGO_PKG_VERSION_PRE"),
        },
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KillInstance {
    /// SIGTERM, SIGINT or SIGKILL.
    sig_name: String,
}

fn kill_instance(appliance: &mut Appliance, params: KillInstance) -> Result<bool, RpcError> {
    match params.sig_name.trim_start_matches("SIG") {
        "TERM" | "INT" => appliance.stop.store(true, Ordering::Relaxed),
        "KILL" => std::process::abort(),
        _ => return Err(RpcError::invalid_params("sig_name: SIGTERM, SIGINT or SIGKILL")),
    }
    Ok(true)
}

fn get_reactors(appliance: &mut Appliance, _: NoParams) -> Result<Value, RpcError> {
    let describe = |stats: ReactorStats| {
        let core = stats.core.unwrap_or_default();
        json!({
            "lcore": core,
            "tid": 0,
            "busy": stats.busy_ns,
            "idle": stats.idle_ns,
            "in_interrupt": false,
            "irq": 0,
            "sys": 0,
            "stalls": stats.stalls,
            "last_stalled_poller": stats.last_stalled_poller,
            "longest_poll": stats.longest_poll_ns,
            "lw_threads": [{"name": stats.name, "id": core + 1, "cpumask": format!("{:x}", 1u128 << (core % 128)), "elapsed": stats.busy_ns}],
        })
    };
    let reactors: Vec<Value> = appliance.reactors.iter().map(|reactor| describe(reactor.stats())).collect();
    Ok(json!({"tick_rate": TICK_RATE, "pid": std::process::id(), "reactors": reactors}))
}

fn get_pollers(appliance: &mut Appliance, _: NoParams) -> Result<Value, RpcError> {
    let describe = |stats: ReactorStats| {
        let (mut active, mut timed) = (Vec::new(), Vec::new());
        for poller in &stats.pollers {
            let mut entry = json!({"name": poller.name, "state": "waiting", "run_count": poller.runs, "busy_count": poller.busy_runs, "stalls": poller.stalls});
            match poller.period {
                Some(period) => {
                    entry["period_ticks"] = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).into();
                    timed.push(entry);
                }
                None => active.push(entry),
            }
        }
        json!({"name": stats.name, "id": stats.core.unwrap_or_default() + 1, "active_pollers": active, "timed_pollers": timed, "paused_pollers": []})
    };
    let threads: Vec<Value> = appliance.reactors.iter().map(|reactor| describe(reactor.stats())).collect();
    Ok(json!({"tick_rate": TICK_RATE, "threads": threads}))
}

fn subsystems() -> Value {
    config::SUBSYSTEMS.iter().map(|(name, depends_on)| json!({"subsystem": name, "depends_on": depends_on})).collect()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetConfig {
    /// Name of the subsystem: bdev, scheduler or srp.
    name: String,
    /// SPDK: requests grouped in batches. Ours stand one by one.
    #[serde(rename = "with_batches")]
    _with_batches: Option<bool>,
}

fn get_config(appliance: &mut Appliance, params: GetConfig) -> Result<Vec<Value>, RpcError> {
    if !config::SUBSYSTEMS.iter().any(|(name, _)| *name == params.name) {
        return Err(RpcError::invalid_params(format!("name: there is no subsystem {}", params.name)));
    }
    Ok(config::save_subsystem(appliance, &params.name))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogLevel {
    /// ERROR, WARNING, NOTICE, INFO, DEBUG or TRACE.
    level: String,
}

impl LogLevel {
    fn parse(&self) -> Result<Level, RpcError> {
        match self.level.to_ascii_uppercase().as_str() {
            "ERROR" => Ok(Level::ERROR),
            "WARNING" | "WARN" => Ok(Level::WARN),
            "NOTICE" | "INFO" => Ok(Level::INFO),
            "DEBUG" => Ok(Level::DEBUG),
            "TRACE" => Ok(Level::TRACE),
            _ => Err(RpcError::invalid_params("level: ERROR, WARNING, NOTICE, INFO, DEBUG or TRACE")),
        }
    }
}

/// As SPDK names it.
pub(crate) fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}
