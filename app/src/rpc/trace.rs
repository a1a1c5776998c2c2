//! `srpt_trace_*`, `srpt_*_slow_*`: what happened lately, and which commands took long.

use std::time::{Duration, SystemTime};

use rpc::{NoParams, RpcError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use transport_srp::{ChannelDeath, EventKind, SlowCommand, TraceEvent, Wait};

use super::Methods;
use crate::appliance::Appliance;

/// Events of a dump, unless asked for more or fewer.
const EVENTS_DEFAULT: u32 = 1000;

/// Most events of a dump: about 20 MB, which an answer may have.
const EVENTS_MAX: u32 = 65_536;

/// Longest threshold: a day.
const THRESHOLD_MAX_US: u64 = 86_400_000_000;

pub(super) fn add(methods: &mut Methods) {
    methods.add(
        "srpt_trace_dump",
        "Answers the newest events of all reactors, in order of time: commands, task management, channels, logins",
        dump,
    );
    methods.add("srpt_trace_clear", "Forgets all events so far", |appliance: &mut Appliance, _: NoParams| {
        appliance.controller.clear_trace();
        Ok(true)
    });
    methods.add(
        "srpt_set_slow_threshold",
        "Keeps and logs commands that take longer than this from now on",
        set_slow_threshold,
    );
    methods.add(
        "srpt_get_slow_commands",
        "Answers the threshold, and the newest 256 commands that took longer, each with what it waited for",
        get_slow_commands,
    );
}

/// The request of a configuration that has the threshold; none if commands are never slow.
pub(crate) fn save(appliance: &Appliance) -> Option<Value> {
    let microseconds = threshold_us(appliance);
    let params = json!({"microseconds": microseconds});
    (microseconds > 0).then(|| json!({"method": "srpt_set_slow_threshold", "params": params}))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Dump {
    /// Most events to answer, 1 to 65536.
    #[serde(default = "events_default")]
    max: u32,
    /// Only those of the session with this number.
    session: Option<u64>,
}

fn events_default() -> u32 {
    EVENTS_DEFAULT
}

fn dump(appliance: &mut Appliance, params: Dump) -> Result<Value, RpcError> {
    if !(1..=EVENTS_MAX).contains(&params.max) {
        return Err(RpcError::invalid_params(format!("max: 1 to {EVENTS_MAX}")));
    }
    let names = reactor_names(appliance);
    let events = appliance.controller.trace_events(params.max as usize, params.session);
    let events: Vec<Value> = events.iter().map(|event| describe_event(event, &names)).collect();
    let mut answer = clock(appliance);
    answer["events"] = events.into();
    Ok(answer)
}

/// What the clock of the reactors says now, and what time that is.
fn clock(appliance: &Appliance) -> Value {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    json!({"time_ns": appliance.now.0, "unix_time_ns": u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX)})
}

fn reactor_names(appliance: &Appliance) -> Vec<String> {
    appliance.reactors.iter().map(|reactor| reactor.stats().name).collect()
}

pub(crate) fn describe_event(event: &TraceEvent, reactors: &[String]) -> Value {
    let reactor = event.reactor.map_or("control", |index| reactors.get(index).map_or("", String::as_str));
    let mut fields = json!({"time_ns": event.time_ns, "reactor": reactor, "session": event.session, "channel": event.channel,
        "tag": null, "event": ""});
    let mut put = |tag: Option<String>, event: &str, more: Value| {
        fields["tag"] = tag.into();
        fields["event"] = event.into();
        for (name, value) in more.as_object().into_iter().flatten() {
            fields[name] = value.clone();
        }
    };
    match &event.kind {
        EventKind::Received { tag, lun, cdb, data_bytes } => {
            let mut more = describe_cdb(cdb);
            (more["lun"], more["data_bytes"]) = ((*lun).into(), (*data_bytes).into());
            put(Some(tag.to_string()), "command_received", more);
        }
        EventKind::Submitted { tag, operation, lba, blocks } => {
            let more = json!({"operation": operation, "lba": lba, "blocks": blocks});
            put(Some(tag.to_string()), "device_submitted", more);
        }
        EventKind::Done { tag, result } => {
            let error = result.err().map(|error| error.to_string());
            put(Some(tag.to_string()), "device_done", json!({"error": error}));
        }
        EventKind::Answered { tag, status, sense, data_bytes, duration_ns } => {
            let more = json!({"status": status_name(*status), "sense": sense.map(describe_sense),
                "data_bytes": data_bytes, "duration_ns": duration_ns});
            put(Some(tag.to_string()), "command_answered", more);
        }
        EventKind::UnitAttention { tag, lun, code } => {
            let more = json!({"lun": lun, "asc": hex(code.0), "ascq": hex(code.1)});
            put(Some(tag.to_string()), "unit_attention", more);
        }
        EventKind::TaskManagement { tag, lun, function, task_tag } => {
            let function_name = function_name(*function);
            let more = json!({"lun": lun, "function": function_name, "task_tag": task_tag.to_string()});
            put(Some(tag.to_string()), "task_management", more);
        }
        EventKind::TaskManagementAnswered { tag, response, duration_ns } => {
            let more = json!({"response": response, "duration_ns": duration_ns});
            put(Some(tag.to_string()), "task_management_answered", more);
        }
        EventKind::Aborted { tag, answered } => {
            put(Some(tag.to_string()), "command_aborted", json!({"answered": answered}));
        }
        EventKind::ChannelStarted => put(None, "channel_started", Value::Null),
        EventKind::Logout => put(None, "logout", Value::Null),
        EventKind::ChannelFailed { reason } => put(None, "channel_failed", json!({"reason": death_name(*reason)})),
        EventKind::ChannelStopped => put(None, "channel_stopped", Value::Null),
        EventKind::Login { initiator } => put(None, "login", json!({"initiator_port_id": initiator.to_string()})),
        EventKind::LoginRefused { initiator, reason } => {
            let more = json!({"initiator_port_id": initiator.to_string(), "reason": format!("{reason:#010x}")});
            put(None, "login_refused", more);
        }
        EventKind::SessionEnded { initiator } => {
            put(None, "session_ended", json!({"initiator_port_id": initiator.to_string()}));
        }
    }
    fields
}

fn describe_cdb(cdb: &[u8; 16]) -> Value {
    let described = scsi::describe_cdb(cdb);
    let (lba, blocks) = described.range.unzip();
    json!({"opcode": hex(cdb[0]), "command": described.name, "lba": lba, "blocks": blocks})
}

fn describe_sense((key, asc, ascq): (u8, u8, u8)) -> Value {
    json!({"key": hex(key), "asc": hex(asc), "ascq": hex(ascq)})
}

fn hex(byte: u8) -> String {
    format!("{byte:#04x}")
}

/// Names of SAM-5.
fn status_name(status: u8) -> String {
    let name = match status {
        0x00 => "GOOD",
        0x02 => "CHECK CONDITION",
        0x04 => "CONDITION MET",
        0x08 => "BUSY",
        0x18 => "RESERVATION CONFLICT",
        0x28 => "TASK SET FULL",
        0x30 => "ACA ACTIVE",
        0x40 => "TASK ABORTED",
        other => return hex(other),
    };
    name.into()
}

/// Names of SAM-5.
fn function_name(function: u8) -> String {
    let name = match function {
        0x01 => "ABORT TASK",
        0x02 => "ABORT TASK SET",
        0x04 => "CLEAR TASK SET",
        0x08 => "LOGICAL UNIT RESET",
        0x40 => "CLEAR ACA",
        other => return hex(other),
    };
    name.into()
}

fn death_name(reason: ChannelDeath) -> &'static str {
    match reason {
        ChannelDeath::Rdma => "rdma_error",
        ChannelDeath::Disconnected => "disconnected",
        ChannelDeath::Malformed => "malformed",
        ChannelDeath::CreditOverrun => "credit_overrun",
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetSlowThreshold {
    /// Time from the arrival of a command to its response, in microseconds, up to a day; 0: no command is slow.
    microseconds: u64,
}

fn set_slow_threshold(appliance: &mut Appliance, params: SetSlowThreshold) -> Result<bool, RpcError> {
    if params.microseconds > THRESHOLD_MAX_US {
        return Err(RpcError::invalid_params(format!("microseconds: at most {THRESHOLD_MAX_US}, a day; 0 for none")));
    }
    let threshold = Some(params.microseconds).filter(|&us| us > 0).map(Duration::from_micros);
    appliance.controller.set_slow_threshold(threshold);
    Ok(true)
}

fn threshold_us(appliance: &Appliance) -> u64 {
    let threshold = appliance.controller.slow_threshold().unwrap_or_default();
    u64::try_from(threshold.as_micros()).unwrap_or(u64::MAX)
}

fn get_slow_commands(appliance: &mut Appliance, _: NoParams) -> Result<Value, RpcError> {
    let names = reactor_names(appliance);
    let commands: Vec<Value> =
        appliance.controller.slow_commands().map(|command| describe_slow(command, &names)).collect();
    let mut answer = clock(appliance);
    answer["threshold_us"] = threshold_us(appliance).into();
    answer["commands"] = commands.into();
    Ok(answer)
}

fn describe_slow(command: &SlowCommand, reactors: &[String]) -> Value {
    let mut fields = describe_cdb(&command.cdb);
    let waited: serde_json::Map<String, Value> =
        Wait::ALL.iter().zip(command.spent_us).map(|(wait, us)| (wait.name().into(), us.into())).collect();
    let more = json!({"time_ns": command.time_ns, "reactor": reactors.get(command.reactor), "session": command.session,
        "channel": command.channel, "tag": command.tag.to_string(), "lun": command.lun, "bdev_name": command.bdev_name,
        "data_bytes": command.data_bytes, "status": command.status.map(status_name),
        "sense": command.sense.map(describe_sense), "total_us": command.total_us, "waited_us": waited});
    for (name, value) in more.as_object().into_iter().flatten() {
        fields[name] = value.clone();
    }
    fields
}
