//! `discover`: which SRP targets are behind a port of an InfiniBand fabric, asked of the port itself.

use std::net::Ipv6Addr;
use std::time::Duration;

use clap::{Arg, ArgGroup, ArgMatches, Command, value_parser};
use device_management::local::{self, Selection};
use device_management::{Login, Whom};
use serde_json::{Value, json};

use super::Own;
use crate::cli::{Session, timeout};
use crate::failure::Failure;
use crate::output::harmless;

pub(crate) const DISCOVER: Own = Own { build, run, methods: &[] };

fn build(command: Command) -> Command {
    let option = |name, value, help| Arg::new(name).long(name).value_name(value).help(help);
    command
        .about("Asks a port of an InfiniBand fabric for its SRP targets, and prints what initiators write to add_target")
        .after_help(
            "Runs on an initiator and needs no srpt-app there. The port may be any target's: srpt's, ib_srpt's, SCST's. Unlike ibsrpdm, this does not \
             look first whether the port says of itself that it answers. The subnet administrator tells the path, unless both --lid and --gid are given.",
        )
        .arg(option("lid", "LID", "The port's local identifier, as 7 or 0x7").value_parser(lid))
        .arg(option("gid", "GID", "The port's GID, as fe80::2:c903:a0b:c0d or in 32 digits").value_parser(gid))
        .group(ArgGroup::new("whom").args(["lid", "gid"]).multiple(true).required(true))
        .arg(option("device", "DEVICE", "The device to ask from, as mlx5_0 [default: the first with an active port]"))
        .arg(option("port", "PORT", "The port of it to ask from").value_parser(value_parser!(u8).range(1..)))
        .arg(option("pkey", "PKEY", "The partition to ask in, in hexadecimal").default_value("ffff").value_parser(pkey))
}

fn lid(text: &str) -> Result<u16, String> {
    let number = text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u16::from_str_radix(digits, 16));
    number.ok().filter(|lid| (1..0xc000).contains(lid)).ok_or_else(|| "a port's LID is from 1 to 49151".into())
}

fn gid(text: &str) -> Result<u128, String> {
    let is_plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let plain = is_plain.then(|| u128::from_str_radix(text, 16).ok()).flatten();
    let gid = plain.or_else(|| text.parse().ok().map(Ipv6Addr::to_bits));
    gid.filter(|gid| *gid != 0).ok_or_else(|| "a GID is written as an IPv6 address, or in 32 hexadecimal digits".into())
}

fn pkey(text: &str) -> Result<u16, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u16::from_str_radix(digits, 16).map_err(|_| "a partition key has up to four hexadecimal digits".into())
}

fn run(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let (lid, gid) = (matches.get_one::<u16>("lid").copied(), matches.get_one::<u128>("gid").copied());
    let whom = match (lid, gid) {
        (Some(lid), Some(gid)) => Whom::Both(lid, gid),
        (Some(lid), None) => Whom::Lid(lid),
        (None, Some(gid)) => Whom::Gid(gid),
        (None, None) => return Err(Failure::Usage("--lid or --gid is to say which port".into())),
    };
    let selection = Selection {
        device: matches.get_one::<String>("device").cloned(),
        port: matches.get_one::<u8>("port").copied(),
        pkey: matches.get_one::<u16>("pkey").copied().unwrap_or(0xffff),
    };
    let limit = Duration::from_secs(timeout(matches));
    let found = local::discover(&selection, whom, limit).map_err(|error| Failure::Fabric(Box::new(error)))?;
    for left_out in &found.left_out {
        eprintln!("srptctl: left out: {}", harmless(left_out));
    }
    if session.output.is_json() {
        return session.output.json(&found.logins.iter().map(as_json).collect::<Vec<_>>().into());
    }
    if found.logins.is_empty() {
        eprintln!("srptctl: {whom} answers device management, and has no SRP target");
    }
    found.logins.iter().try_for_each(|login| session.output.line(&login.to_string()))
}

fn as_json(login: &Login) -> Value {
    json!({"id_ext": login.id_ext, "ioc_guid": format!("{:016x}", login.ioc_guid), "dgid": format!("{:032x}", login.gid),
        "pkey": format!("{:04x}", login.pkey), "service_id": format!("{:016x}", login.service_id), "login": login.to_string()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_named_as_the_tools_of_the_fabric_print_them() {
        assert_eq!((lid("7"), lid("0x1F")), (Ok(7), Ok(31)));
        for text in ["", "0", "49152", "0xc000", "seven", "-1", "65536"] {
            assert!(lid(text).is_err(), "{text}");
        }
        let port = 0xfe80_0000_0000_0000_0002_c903_0a0b_0c0d;
        for text in
            ["fe80::2:c903:a0b:c0d", "fe80:0000:0000:0000:0002:c903:0a0b:0c0d", "fe800000000000000002c9030a0b0c0d"]
        {
            assert_eq!(gid(text), Ok(port), "{text}");
        }
        for text in ["", "::", "10.0.0.1", "fe80", "+e800000000000000002c9030a0b0c0d0"] {
            assert!(gid(text).is_err(), "{text}");
        }
        assert_eq!((pkey("ffff"), pkey("0x8001")), (Ok(0xffff), Ok(0x8001)));
        assert!(pkey("10000").is_err());
    }
}
