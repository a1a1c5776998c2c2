//! How answers look to people: for each list the columns that one looks for first. `--json` has everything.

use serde_json::Value;

use super::table::{Cell, Table, left, right};
use super::units;

/// How an answer is shown.
pub(crate) enum View {
    /// As indented text.
    Plain,
    /// As it came.
    Json,
    Text(fn(&Value) -> String),
    Table(fn(&Value) -> Table),
}

pub(crate) const BDEVS: View = View::Table(bdevs);
pub(crate) const IOSTAT: View = View::Table(iostat);
pub(crate) const TARGETS: View = View::Table(targets);
pub(crate) const LUNS: View = View::Table(luns);
pub(crate) const GROUPS: View = View::Table(groups);
pub(crate) const PORT_GROUPS: View = View::Table(port_groups);
pub(crate) const LISTENERS: View = View::Table(listeners);
pub(crate) const SESSIONS: View = View::Table(sessions);
pub(crate) const RESERVATIONS: View = View::Table(reservations);
pub(crate) const DEVICES: View = View::Table(devices);
pub(crate) const REACTORS: View = View::Table(reactors);
pub(crate) const POLLERS: View = View::Table(pollers);
pub(crate) const EVENTS: View = View::Table(events);
pub(crate) const SLOW_COMMANDS: View = View::Table(slow_commands);
pub(crate) const VERSION: View = View::Text(|answer| text(&answer["version"]));

/// A member as text; nothing if it is not there.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The elements of a list, between commas.
fn joined<'a>(values: impl Iterator<Item = &'a Value>) -> String {
    values.map(text).collect::<Vec<_>>().join(",")
}

fn is(value: &Value) -> bool {
    value.as_bool().unwrap_or(false)
}

fn bdevs(answer: &Value) -> Table {
    let mut table = Table::new([
        left("NAME"),
        left("KIND"),
        right("SIZE"),
        right("BLOCK"),
        left("STATE"),
        left("IN USE"),
        left("UUID"),
    ]);
    for bdev in list(answer) {
        let size = number(&bdev["num_blocks"]).saturating_mul(number(&bdev["block_size"]));
        let state = match (bdev["ready"].as_bool(), is(&bdev["read_only"])) {
            (Some(false), _) => Cell::bad("not ready"),
            (_, true) => Cell::doubtful("read-only"),
            (_, false) => Cell::good("ready"),
        };
        table.row([
            text(&bdev["name"]).into(),
            text(&bdev["product_name"]).into(),
            units::size(size).into(),
            text(&bdev["block_size"]).into(),
            state,
            if is(&bdev["claimed"]) { "yes" } else { "no" }.into(),
            text(&bdev["uuid"]).into(),
        ]);
    }
    table
}

fn iostat(answer: &Value) -> Table {
    let columns = [
        left("NAME"),
        right("READS"),
        right("READ"),
        right("MEAN"),
        right("WRITES"),
        right("WRITTEN"),
        right("MEAN"),
        right("UNMAPS"),
        right("FLUSHES"),
        right("FAILED"),
    ];
    let mut table = Table::new(columns);
    let rate = number(&answer["tick_rate"]).max(1);
    let mean = |ticks: &Value, ops: &Value| match ratio(number(ticks), number(ops)) {
        0.0 => String::new(),
        ticks => units::time(ticks * 1e9 / rate as f64),
    };
    let name = |entry: &Value| if entry["name"].is_null() { text(&entry["thread"]) } else { text(&entry["name"]) };
    for bdev in list(&answer["bdevs"]).chain(list(&answer["channels"])) {
        let failed = number(&bdev["num_failed_ops"]);
        table.row([
            name(bdev).into(),
            text(&bdev["num_read_ops"]).into(),
            units::size(number(&bdev["bytes_read"])).into(),
            mean(&bdev["read_latency_ticks"], &bdev["num_read_ops"]).into(),
            text(&bdev["num_write_ops"]).into(),
            units::size(number(&bdev["bytes_written"])).into(),
            mean(&bdev["write_latency_ticks"], &bdev["num_write_ops"]).into(),
            text(&bdev["num_unmap_ops"]).into(),
            text(&bdev["num_flush_ops"]).into(),
            if failed == 0 { "0".into() } else { Cell::bad(failed.to_string()) },
        ]);
    }
    table
}

fn targets(answer: &Value) -> Table {
    let mut table = Table::new([
        left("NAME"),
        left("ID_EXT"),
        left("IOC_GUID"),
        right("PORT"),
        right("LUNS"),
        right("SESSIONS"),
        left("OPEN TO ALL"),
    ]);
    for target in list(answer) {
        table.row([
            text(&target["name"]).into(),
            text(&target["id_ext"]).into(),
            text(&target["ioc_guid"]).into(),
            text(&target["relative_target_port_id"]).into(),
            list(&target["luns"]).count().to_string().into(),
            text(&target["sessions"]).into(),
            if is(&target["open_to_all"]) { Cell::doubtful("yes") } else { "no".into() },
        ]);
    }
    table
}

fn luns(answer: &Value) -> Table {
    let mut table = Table::new([
        left("TARGET"),
        right("LUN"),
        left("BDEV"),
        left("ACCESS"),
        left("PRODUCT"),
        left("SERIAL"),
        left("NAA"),
    ]);
    for target in list(answer) {
        for lun in list(&target["luns"]) {
            let access = if is(&lun["read_only"]) { Cell::doubtful("ro") } else { "rw".into() };
            table.row([
                text(&target["name"]).into(),
                text(&lun["lun"]).into(),
                text(&lun["bdev_name"]).into(),
                access,
                text(&lun["product"]).into(),
                text(&lun["serial"]).into(),
                text(&lun["naa"]).into(),
            ]);
        }
    }
    table
}

fn groups(answer: &Value) -> Table {
    let mut table = Table::new([left("NAME"), left("TARGET"), left("INITIATORS"), left("LUNS")]);
    for group in list(answer) {
        let own = |lun: &Value| match &lun["bdev_name"] {
            Value::Null => format!("{}=LUN {}", lun["lun"], lun["target_lun"]),
            bdev => format!("{}={}", lun["lun"], text(bdev)),
        };
        let luns = match (&group["luns"], &group["map"]) {
            (_, Value::Array(map)) => map.iter().map(own).collect::<Vec<_>>().join(","),
            (Value::Array(luns), _) => joined(luns.iter()),
            _ => "all".into(),
        };
        let target = if group["target"].is_null() { "all".into() } else { text(&group["target"]) };
        table.row([text(&group["name"]).into(), target.into(), joined(list(&group["initiators"])).into(), luns.into()]);
    }
    table
}

fn port_groups(answer: &Value) -> Table {
    let mut table = Table::new([
        left("NAME"),
        right("ID"),
        left("STATE"),
        left("PREFERRED"),
        left("CHANGED BY"),
        left("TARGETS"),
        left("UNITS OF THEIR OWN"),
    ]);
    for group in list(answer) {
        let modes = match (is(&group["implicit"]), is(&group["explicit"])) {
            (true, true) => "both",
            (true, false) => "administrator",
            (false, true) => "initiators",
            (false, false) => "nobody",
        };
        let units = list(&group["units"]).map(|unit| format!("{}={}", text(&unit["bdev_name"]), text(&unit["state"])));
        table.row([
            text(&group["name"]).into(),
            text(&group["id"]).into(),
            access_state(&text(&group["state"])),
            if is(&group["preferred"]) { "yes" } else { "no" }.into(),
            modes.into(),
            joined(list(&group["targets"])).into(),
            units.collect::<Vec<_>>().join(",").into(),
        ]);
    }
    table
}

fn access_state(state: &str) -> Cell {
    match state {
        "optimized" => Cell::good(state),
        "unavailable" | "offline" => Cell::bad(state),
        _ => Cell::doubtful(state),
    }
}

fn listeners(answer: &Value) -> Table {
    let mut table =
        Table::new([left("FABRIC"), left("ADDRESS"), right("PORT"), left("INTERFACE"), left("STATE"), left("REASON")]);
    for listener in list(answer) {
        let state = text(&listener["state"]);
        table.row([
            text(&listener["fabric"]).into(),
            text(&listener["address"]).into(),
            text(&listener["port"]).into(),
            text(&listener["interface"]).into(),
            if state == "listening" { Cell::good(state) } else { Cell::doubtful(state) },
            text(&listener["reason"]).into(),
        ]);
    }
    table
}

/// The sum of a count over a session's channels.
fn sum(session: &Value, count: &str) -> u64 {
    list(&session["channels"]).map(|channel| number(&channel[count])).sum()
}

fn sessions(answer: &Value) -> Table {
    let columns = [
        right("ID"),
        left("INITIATOR"),
        left("PEER"),
        left("TARGET"),
        left("GROUP"),
        right("CHANNELS"),
        right("LUNS"),
        right("COMMANDS"),
        right("DELIVERED"),
        right("FETCHED"),
        right("ABORTS"),
        right("FAILURES"),
    ];
    let mut table = Table::new(columns);
    for session in list(answer) {
        let count = |count: u64| if count == 0 { Cell::from("0") } else { Cell::doubtful(count.to_string()) };
        let luns = session["luns"].as_array().map_or_else(|| text(&session["luns"]), |luns| luns.len().to_string());
        table.row([
            text(&session["id"]).into(),
            text(&session["initiator_port_id"]).into(),
            text(&session["peer"]).into(),
            text(&session["target"]).into(),
            text(&session["initiator_group"]).into(),
            list(&session["channels"]).count().to_string().into(),
            luns.into(),
            sum(session, "commands").to_string().into(),
            units::size(sum(session, "bytes_in")).into(),
            units::size(sum(session, "bytes_out")).into(),
            count(sum(session, "aborts")),
            count(sum(session, "failures")),
        ]);
    }
    table
}

fn reservations(answer: &Value) -> Table {
    let mut table = Table::new([
        left("BDEV"),
        left("RESERVATION"),
        left("HOLDER"),
        left("INITIATOR"),
        left("TARGET"),
        left("KEY"),
        left("LOGGED IN"),
        left("KEPT"),
    ]);
    for unit in list(answer) {
        let (kind, holder) = match (&unit["reservation"], &unit["spc2_holder"]) {
            (Value::Object(reservation), _) => {
                (text(&reservation["type"]), text(&reservation["holder"]["initiator_port_id"]))
            }
            (_, Value::Object(holder)) => ("RESERVE (SPC-2)".into(), text(&holder["initiator_port_id"])),
            _ => (String::new(), String::new()),
        };
        let kept = if is(&unit["aptpl"]) { "yes" } else { "no" };
        let registered: Vec<&Value> = list(&unit["registrations"]).collect();
        let none = Value::Null;
        let rows = if registered.is_empty() { vec![&none] } else { registered };
        for registration in rows {
            let logged_in = match &registration["logged_in"] {
                Value::Bool(true) => Cell::good("yes"),
                Value::Bool(false) => Cell::doubtful("no"),
                _ => "".into(),
            };
            table.row([
                text(&unit["bdev_name"]).into(),
                kind.clone().into(),
                holder.clone().into(),
                text(&registration["initiator_port_id"]).into(),
                text(&registration["target"]).into(),
                text(&registration["key"]).into(),
                logged_in,
                kept.into(),
            ]);
        }
    }
    table
}

fn devices(answer: &Value) -> Table {
    let mut table =
        Table::new([left("NAME"), left("NODE GUID"), left("LINK"), right("MTU"), left("STATE"), right("READS")]);
    for device in list(answer) {
        let state = if is(&device["active"]) { Cell::good("active") } else { Cell::bad("down") };
        table.row([
            text(&device["name"]).into(),
            text(&device["node_guid"]).into(),
            text(&device["link_layer"]).into(),
            text(&device["mtu"]).into(),
            state,
            text(&device["reads_max"]).into(),
        ]);
    }
    table
}

fn reactors(answer: &Value) -> Table {
    let mut table = Table::new([
        right("CORE"),
        left("THREAD"),
        right("BUSY"),
        right("BUSY FOR"),
        right("IDLE FOR"),
        right("STALLS"),
        left("LAST STALLED"),
        right("LONGEST POLL"),
    ]);
    let rate = number(&answer["tick_rate"]).max(1) as f64;
    let time = |ticks: u64| units::time(ticks as f64 * 1e9 / rate);
    for reactor in list(&answer["reactors"]) {
        let (busy, idle) = (number(&reactor["busy"]), number(&reactor["idle"]));
        let stalls = text(&reactor["stalls"]);
        table.row([
            text(&reactor["lcore"]).into(),
            text(&reactor["lw_threads"][0]["name"]).into(),
            units::percent(ratio(busy, busy.saturating_add(idle))).into(),
            time(busy).into(),
            time(idle).into(),
            if stalls == "0" { stalls.into() } else { Cell::doubtful(stalls) },
            text(&reactor["last_stalled_poller"]).into(),
            units::time(number(&reactor["longest_poll"]) as f64).into(),
        ]);
    }
    table
}

fn pollers(answer: &Value) -> Table {
    let mut table =
        Table::new([left("THREAD"), left("POLLER"), right("PERIOD"), right("RUNS"), right("BUSY"), right("STALLS")]);
    let rate = number(&answer["tick_rate"]).max(1) as f64;
    for thread in list(&answer["threads"]) {
        for poller in list(&thread["active_pollers"]).chain(list(&thread["timed_pollers"])) {
            let period = poller["period_ticks"].as_u64().map(|ticks| units::time(ticks as f64 * 1e9 / rate));
            table.row([
                text(&thread["name"]).into(),
                text(&poller["name"]).into(),
                period.unwrap_or_else(|| "always".into()).into(),
                text(&poller["run_count"]).into(),
                units::percent(ratio(number(&poller["busy_count"]), number(&poller["run_count"]))).into(),
                text(&poller["stalls"]).into(),
            ]);
        }
    }
    table
}

/// Members of an event or a command that have columns of their own; everything else stands in the last one.
const EVENT_COLUMNS: [&str; 6] = ["time_ns", "reactor", "session", "channel", "tag", "event"];

fn events(answer: &Value) -> Table {
    let mut table = Table::new([
        right("BEFORE"),
        left("REACTOR"),
        right("SESSION"),
        right("CHANNEL"),
        left("TAG"),
        left("EVENT"),
        left("MORE"),
    ]);
    let now =
        answer["time_ns"].as_u64().or_else(|| list(&answer["events"]).last().map(|last| number(&last["time_ns"])));
    for event in list(&answer["events"]) {
        let before = now.unwrap_or(0).saturating_sub(number(&event["time_ns"]));
        table.row([
            units::time(before as f64).into(),
            text(&event["reactor"]).into(),
            text(&event["session"]).into(),
            text(&event["channel"]).into(),
            text(&event["tag"]).into(),
            text(&event["event"]).into(),
            rest(event, &EVENT_COLUMNS).into(),
        ]);
    }
    table
}

const SLOW_COLUMNS: [&str; 6] = ["session", "lun", "bdev_name", "command", "total_us", "status"];

fn slow_commands(answer: &Value) -> Table {
    let mut table = Table::new([
        right("SESSION"),
        right("LUN"),
        left("BDEV"),
        left("COMMAND"),
        right("TOOK"),
        left("STATUS"),
        left("MORE"),
    ]);
    for command in list(&answer["commands"]) {
        table.row([
            text(&command["session"]).into(),
            text(&command["lun"]).into(),
            text(&command["bdev_name"]).into(),
            text(&command["command"]).into(),
            command["total_us"].as_f64().map(|us| units::time(us * 1e3)).unwrap_or_default().into(),
            text(&command["status"]).into(),
            rest(command, &SLOW_COLUMNS).into(),
        ]);
    }
    table
}

/// The members that have no column, as `name=value`.
fn rest(entry: &Value, columns: &[&str]) -> String {
    let members = entry.as_object().into_iter().flatten();
    let others = members.filter(|(name, value)| !columns.contains(&name.as_str()) && !value.is_null());
    others.map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lines(view: &View, answer: Value) -> Vec<String> {
        let View::Table(tabulate) = view else { panic!("no table") };
        tabulate(&answer)
            .render(false, None)
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn lists_have_their_columns() {
        let bdev = json!({"name": "ram0", "product_name": "Malloc disk", "num_blocks": 2048, "block_size": 512, "ready": true,
            "read_only": false, "claimed": true, "uuid": "u"});
        assert_eq!(lines(&BDEVS, json!([bdev]))[1], "ram0 Malloc disk 1 MiB 512 ready yes u");
        let stat = json!({"name": "ram0", "num_read_ops": 4, "bytes_read": 4096, "read_latency_ticks": 8000, "num_write_ops": 0,
            "bytes_written": 0, "write_latency_ticks": 0, "num_unmap_ops": 0, "num_flush_ops": 1, "num_failed_ops": 2});
        let stats = json!({"tick_rate": 1_000_000_000, "bdevs": [stat]});
        assert_eq!(lines(&IOSTAT, stats)[1], "ram0 4 4 KiB 2 µs 0 0 B - 0 1 2");
        let luns = json!([{"name": "t", "luns": [{"lun": 3, "bdev_name": "b", "read_only": true, "product": "p", "serial": "s", "naa": "n"}]}]);
        assert_eq!(lines(&LUNS, luns)[1], "t 3 b ro p s n");
        let groups = json!([
            {"name": "a", "target": null, "initiators": ["*", "!x"], "luns": null, "map": null},
            {"name": "b", "target": "t", "initiators": [], "luns": [0, 2], "map": null},
            {"name": "c", "target": "t", "initiators": ["y"], "luns": null,
             "map": [{"lun": 0, "bdev_name": "d", "target_lun": null}, {"lun": 1, "bdev_name": null, "target_lun": 7}]}]);
        assert_eq!(lines(&GROUPS, groups)[1..], ["a all *,!x all", "b t - 0,2", "c t y 0=d,1=LUN 7"]);
        let session = json!([{"id": 1, "initiator_port_id": "i", "peer": "p", "target": "t", "initiator_group": null, "luns": [0, 1],
            "channels": [{"commands": 2, "bytes_in": 1024, "bytes_out": 0, "aborts": 0, "failures": 0}, {"commands": 3, "bytes_in": 1024, "bytes_out": 0, "aborts": 1, "failures": 0}]}]);
        assert_eq!(lines(&SESSIONS, session)[1], "1 i p t - 2 2 5 2 KiB 0 B 1 0");
        let event = json!({"time_ns": 1000, "reactor": "r", "session": 1, "channel": 2, "tag": "0x1", "event": "command_received", "lun": 0, "lba": null});
        assert_eq!(
            lines(&EVENTS, json!({"time_ns": 3000, "events": [event]}))[1],
            "2 µs r 1 2 0x1 command_received lun=0"
        );
    }

    #[test]
    fn no_answer_makes_a_view_panic() {
        for view in [
            BDEVS,
            IOSTAT,
            TARGETS,
            LUNS,
            GROUPS,
            PORT_GROUPS,
            LISTENERS,
            SESSIONS,
            RESERVATIONS,
            DEVICES,
            REACTORS,
            POLLERS,
            EVENTS,
            SLOW_COMMANDS,
        ] {
            let View::Table(tabulate) = view else { panic!("no table") };
            for answer in [
                json!(null),
                json!([]),
                json!({}),
                json!([null, 1, "x", {}, []]),
                json!({"bdevs": [{}], "reactors": [1], "threads": [{}], "events": [{}], "commands": [null]}),
            ] {
                tabulate(&answer).render(true, Some(40));
            }
        }
    }
}
