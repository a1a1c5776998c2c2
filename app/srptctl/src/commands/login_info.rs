//! `login-info`: what an initiator writes to `add_target`, for each target and listener.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::Own;
use crate::cli::Session;
use crate::failure::Failure;

pub(crate) const LOGIN_INFO: Own =
    Own { build, run, methods: &["srp_get_targets", "srp_get_listeners", "framework_get_reactors"] };

/// The option that has initiators send large commands whole.
const TUNED: &[(&str, &str)] = &[
    (
        "cmd_sg_entries=255",
        "descriptors within a request; the usual 12 split scattered buffers into commands of 48 KiB",
    ),
    ("allow_ext_sg=1", "longer lists of descriptors are fetched by the target"),
    ("sg_tablesize=2048", "how long these may be: enough for any buffer of a command"),
    ("max_sect=2048", "commands of up to 1 MiB, the target's largest; usual are 512 KiB"),
    (
        "queue_size=128",
        "commands under way on each channel; no more than the target's --credits, which are 128 if it is not told otherwise",
    ),
    ("max_cmd_per_lun=128", "as many of them for one LUN"),
];

/// Shown where the target listens at every address.
const ANY_ADDRESS: &str = "ADDRESS";
/// Shown where it listens at every InfiniBand port.
const ANY_GID: &str = "DGID";

fn build(command: Command) -> Command {
    let address = Arg::new("address").long("address").value_name("ADDRESS").value_parser(value_parser!(IpAddr));
    command
        .about("Prints what initiators write to add_target, plain and tuned")
        .arg(Arg::new("target").value_name("TARGET").help("Only for this target"))
        .arg(
            address
                .action(ArgAction::Append)
                .help("The target's address as initiators see it, for listeners that take every one"),
        )
}

fn run(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let addresses: Vec<IpAddr> = matches.get_many::<IpAddr>("address").unwrap_or_default().copied().collect();
    let call = |method| session.target.call(method, json!({}));
    let (targets, listeners) = (call("srp_get_targets")?, call("srp_get_listeners")?);
    let mut logins = logins(&targets, &listeners, &addresses);
    let without_address = without_address(&listeners);
    if let Some(name) = matches.get_one::<String>("target") {
        if !targets.as_array().into_iter().flatten().any(|target| target["name"] == name.as_str()) {
            return Err(Failure::Usage(format!("there is no target {name}; `srptctl target list` lists them")));
        }
        logins.retain(|login| login.target == *name);
    }
    let reactors = call("framework_get_reactors")?["reactors"].as_array().map_or(1, Vec::len);
    if session.output.is_json() {
        let all: Vec<Value> = logins.iter().map(|login| login.json(reactors)).collect();
        return session.output.json(&all.into());
    }
    session.output.line(&text(&logins, &without_address, reactors))
}

/// One way to one target.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Login {
    target: String,
    id_ext: String,
    ioc_guid: String,
    fabric: String,
    /// Address and port; of native InfiniBand `dgid=` and what goes with it.
    destination: String,
    /// What keeps the listener from taking logins.
    waits: Option<String>,
}

/// All ways to all targets: any listener takes logins to any target.
fn logins(targets: &Value, listeners: &Value, addresses: &[IpAddr]) -> Vec<Login> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let digits = |value: &Value| text(value).trim_start_matches("0x").to_string();
    let mut logins = Vec::new();
    for target in targets.as_array().into_iter().flatten() {
        for listener in listeners.as_array().into_iter().flatten() {
            for destination in destinations(listener, addresses) {
                let login = Login {
                    target: text(&target["name"]),
                    id_ext: digits(&target["id_ext"]),
                    ioc_guid: digits(&target["ioc_guid"]),
                    fabric: text(&listener["fabric"]),
                    destination,
                    waits: listener["reason"].as_str().map(str::to_owned),
                };
                // An address may be a listener's of its own and an interface's.
                if !logins.contains(&login) {
                    logins.push(login);
                }
            }
        }
    }
    logins
}

/// Listeners at network interfaces that have no address now, in words.
fn without_address(listeners: &Value) -> Vec<String> {
    let waiting = listeners.as_array().into_iter().flatten().filter(|listener| waits_for_address(listener));
    let say = |listener: &Value| {
        let [fabric, interface, reason] =
            ["fabric", "interface", "reason"].map(|member| listener[member].as_str().unwrap_or_default());
        format!("listener {fabric} at interface {interface}, port {}, has no address: {reason}", listener["port"])
    };
    waiting.map(say).collect()
}

fn waits_for_address(listener: &Value) -> bool {
    listener["interface"].is_string() && listener["address"].is_null()
}

/// `dest=` of a listener: the kernel wants IPv6 addresses in brackets.
fn destinations(listener: &Value, addresses: &[IpAddr]) -> Vec<String> {
    if waits_for_address(listener) {
        return Vec::new();
    }
    if listener["fabric"] == "ib" {
        return infiniband_destinations(listener, addresses);
    }
    let port = &listener["port"];
    let with_port = |address: &IpAddr| match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{address}]:{port}"),
    };
    let listening: Option<IpAddr> = listener["address"].as_str().and_then(|text| text.parse().ok());
    match listening {
        Some(address) if !address.is_unspecified() => vec![with_port(&address)],
        Some(IpAddr::V4(_)) if addresses.iter().any(IpAddr::is_ipv4) => {
            addresses.iter().filter(|address| address.is_ipv4()).map(with_port).collect()
        }
        Some(IpAddr::V6(_)) if !addresses.is_empty() => addresses.iter().map(with_port).collect(),
        Some(IpAddr::V6(_)) => vec![format!("[{ANY_ADDRESS}]:{port}")],
        _ => vec![format!("{ANY_ADDRESS}:{port}")],
    }
}

/// `dgid=`, `pkey=` and `service_id=` of a listener by GID: the GID in 32 digits, the default partition, and the service id that the kernel
/// has for a port of its port space RDMA_PS_IB.
fn infiniband_destinations(listener: &Value, addresses: &[IpAddr]) -> Vec<String> {
    const SERVICE_ID: u64 = 0x0000_0000_013f_0000;
    let service_id = SERVICE_ID | listener["port"].as_u64().unwrap_or_default();
    let at = |gid: &str| format!("dgid={gid},pkey=ffff,service_id={service_id:016x}");
    let digits = |gid: Ipv6Addr| format!("{:032x}", gid.to_bits());
    let listening: Option<Ipv6Addr> = listener["address"].as_str().and_then(|text| text.parse().ok());
    let given = addresses.iter().filter_map(|address| match address {
        IpAddr::V6(gid) => Some(*gid),
        IpAddr::V4(_) => None,
    });
    match listening {
        Some(gid) if !gid.is_unspecified() => vec![at(&digits(gid))],
        _ if addresses.iter().any(IpAddr::is_ipv6) => given.map(|gid| at(&digits(gid))).collect(),
        _ => vec![at(ANY_GID)],
    }
}

impl Login {
    fn plain(&self) -> String {
        let by = if self.fabric == "ib" { "" } else { "dest=" };
        format!("id_ext={},ioc_guid={},{by}{}", self.id_ext, self.ioc_guid, self.destination)
    }

    fn tuned(&self, reactors: usize) -> String {
        let options: Vec<&str> = TUNED.iter().map(|(option, _)| *option).collect();
        format!("{},{},ch_count={reactors}", self.plain(), options.join(","))
    }

    fn json(&self, reactors: usize) -> Value {
        json!({"target": self.target, "fabric": self.fabric, "destination": self.destination, "waits_for": self.waits,
            "login": self.plain(), "tuned": self.tuned(reactors)})
    }
}

fn text(logins: &[Login], without_address: &[String], reactors: usize) -> String {
    let mut text = String::new();
    without_address.iter().for_each(|listener| put(&mut text, &format!("# {listener}")));
    if logins.is_empty() {
        return match without_address.is_empty() {
            true => "There is no target, or no listener: `srptctl target create`, `srptctl listener create`.".into(),
            false => text.trim_end().into(),
        };
    }
    for login in logins {
        put(&mut text, &format!("# target {}, listener {} {}", login.target, login.fabric, login.destination));
        if let Some(reason) = &login.waits {
            put(&mut text, &format!("# it does not listen yet: {reason}"));
        }
        put(&mut text, &add_target(&login.plain()));
        put(&mut text, "# tuned:");
        put(&mut text, &add_target(&login.tuned(reactors)));
        put(&mut text, "");
    }
    put(&mut text, "DEVICE-PORT is one of `ls /sys/class/infiniband_srp` on the initiator, after `modprobe ib_srp`.");
    if logins.iter().any(|login| login.destination.contains(ANY_GID)) {
        put(
            &mut text,
            &format!(
                "{ANY_GID} is the GID of a port of this host, in 32 digits (/sys/class/infiniband/*/ports/*/gids/0 without colons); --address GID fills it in."
            ),
        );
    }
    if logins.iter().any(|login| login.destination.contains(ANY_ADDRESS)) {
        put(
            &mut text,
            &format!("{ANY_ADDRESS} is any address of this host that the initiator reaches; --address fills it in."),
        );
    }
    put(&mut text, "\nWhat the tuned form says:");
    for (option, why) in TUNED {
        put(&mut text, &format!("  {option:20}  {why}"));
    }
    let channels = format!("ch_count={reactors}");
    put(
        &mut text,
        &format!("  {channels:20}  channels: one for each reactor here, and no more than the initiator has CPUs"),
    );
    text
}

fn put(text: &mut String, line: &str) {
    // A string takes everything.
    let _ = writeln!(text, "{line}");
}

fn add_target(login: &str) -> String {
    format!("echo \"{login}\" > /sys/class/infiniband_srp/srp-DEVICE-PORT/add_target")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(listener: Value, addresses: &[&str]) -> Vec<String> {
        let targets = json!([{"name": "t", "id_ext": "0x0000000000000001", "ioc_guid": "0x0002c90300001234"}]);
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        logins(&targets, &json!([listener]), &addresses).iter().map(Login::plain).collect()
    }

    #[test]
    fn logins_are_what_the_kernel_reads() {
        let ids = "id_ext=0000000000000001,ioc_guid=0002c90300001234";
        let listener = |address| json!({"fabric": "verbs", "address": address, "port": 5555});
        assert_eq!(made(listener("192.168.7.1"), &["10.0.0.1"]), [format!("{ids},dest=192.168.7.1:5555")]);
        assert_eq!(made(listener("fd00::1"), &[]), [format!("{ids},dest=[fd00::1]:5555")]);
        assert_eq!(made(listener("0.0.0.0"), &[]), [format!("{ids},dest=ADDRESS:5555")]);
        assert_eq!(made(listener("0.0.0.0"), &["10.0.0.1", "::1"]), [format!("{ids},dest=10.0.0.1:5555")]);
        let both = [format!("{ids},dest=10.0.0.1:5555"), format!("{ids},dest=[::1]:5555")];
        assert_eq!(made(listener("::"), &["10.0.0.1", "::1"]), both);
    }

    #[test]
    fn logins_by_gid_are_what_the_kernel_reads() {
        let ids = "id_ext=0000000000000001,ioc_guid=0002c90300001234";
        let listener = |gid| json!({"fabric": "ib", "address": gid, "port": 5555});
        let way = |gid| format!("{ids},dgid={gid},pkey=ffff,service_id=00000000013f15b3");
        let gid = "fe800000000000000002c9030a0b0c0d";
        assert_eq!(made(listener("fe80::2:c903:a0b:c0d"), &["10.0.0.1", "::1"]), [way(gid)]);
        assert_eq!(made(listener("::"), &["10.0.0.1", "fe80::2:c903:a0b:c0d"]), [way(gid)]);
        assert_eq!(made(listener("::"), &["10.0.0.1"]), [way("DGID")]);
    }

    #[test]
    fn an_interface_has_a_login_for_each_address_and_none_twice() {
        let targets = json!([{"name": "t", "id_ext": "0x1", "ioc_guid": "0x2"}]);
        let at = |interface: Option<&str>, address: Option<&str>, reason: Option<&str>| json!({"fabric": "roce", "interface": interface, "address": address, "port": 5555, "reason": reason});
        let listeners = json!([
            at(None, Some("10.0.0.1"), None),
            at(Some("eth0"), Some("10.0.0.1"), None),
            at(Some("eth0"), Some("fd00::1"), None),
            at(Some("eth1"), None, Some("it is down")),
        ]);
        let logins = logins(&targets, &listeners, &[]);
        let destinations: Vec<&str> = logins.iter().map(|login| login.destination.as_str()).collect();
        assert_eq!(destinations, ["10.0.0.1:5555", "[fd00::1]:5555"]);
        let said = "listener roce at interface eth1, port 5555, has no address: it is down";
        assert_eq!(without_address(&listeners), [said]);
        for logins in [&logins[..], &[]] {
            assert!(text(logins, &without_address(&listeners), 1).contains(said));
        }
    }

    #[test]
    fn the_tuned_form_is_explained_option_by_option() {
        let login = Login {
            target: "t".into(),
            id_ext: "1".into(),
            ioc_guid: "2".into(),
            fabric: "roce".into(),
            destination: "10.0.0.1:5555".into(),
            waits: None,
        };
        let tuned = login.tuned(4);
        assert!(tuned.ends_with(",ch_count=4"), "{tuned}");
        let text = text(&[login], &[], 4);
        for option in tuned.split(',').skip(3) {
            assert!(text.contains(&format!("  {option} ")), "{option}: {text}");
        }
    }
}
