//! Clients of the socket who mean no good, while an initiator reads and writes: its data are right, memory stays bounded, and who comes after
//! them is answered. (What each of them is told: the tests of the crate rpc.)

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{Target, folder, roce};

/// Half a request, nesting without end, rubbish, and calls that ask for too much at once.
fn nuisances() -> Vec<Vec<u8>> {
    let call = |method: &str, params: &str| {
        format!(r#"{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {params}}}"#).into_bytes()
    };
    vec![
        br#"{"jsonrpc": "2.0", "id": 1, "method": "bdev_"#.to_vec(),
        b"[".repeat(1 << 20),
        br#"{"a":"#.repeat(1 << 18),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0xff; 1 << 16],
        call("bdev_malloc_create", r#"{"name": "ram0", "num_blocks": 1, "block_size": 512}"#),
        call("bdev_malloc_create", r#"{"name": "huge", "num_blocks": 18446744073709551615, "block_size": 4096}"#),
        call("bdev_malloc_create", r#"{"name": ["ram1"], "num_blocks": "many", "block_size": null, "colour": 1}"#),
        call("bdev_malloc_delete", r#"{"name": "ram0"}"#),
        call("srp_create_target", r#"{"name": "tgt0", "id_ext": "11", "ioc_guid": "22"}"#),
        call("rpc.discover", "{}"),
    ]
}

/// Sends it and goes, or waits for an answer that it never reads, or reads it.
fn annoy(socket: &Path, number: usize, nuisance: &[u8]) {
    let Ok(mut stream) = UnixStream::connect(socket) else { return };
    let patience = Some(Duration::from_millis(200));
    stream.set_read_timeout(patience).and_then(|()| stream.set_write_timeout(patience)).expect("a socket");
    let sent = stream.write_all(nuisance);
    match number % 3 {
        0 => drop(stream),
        1 => std::thread::sleep(Duration::from_millis(100)),
        _ if sent.is_ok() => drop(stream.read(&mut [0; 4096])),
        _ => {}
    }
}

fn resident_kib(target: &Target) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", target.child.id())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn nothing_that_comes_by_rpc_touches_data_under_way() {
    const CLIENTS: usize = 200;
    const REQUEST_BYTES: usize = 100 << 20;
    /// 128 connections with requests of up to 4 MiB, and as much again for all else.
    const BOUND_KIB: u64 = 2 * 128 * (4 << 10);
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let at = roce::serve(&target);
    let socket = target.socket();
    let load = ["-w", "randrw", "-o", "4k", "-q", "8", "--verify", "-d", "3000"];
    assert!(roce::run(at, &["-w", "randrw", "-q", "8", "-d", "200"]).is_good(), "warm");
    let before = resident_kib(&target);
    let endless = [&b"[\""[..], &vec![b'x'; REQUEST_BYTES]].concat();
    let results = std::thread::scope(|scope| {
        let initiator = scope.spawn(|| roce::run(at, &load));
        for number in 0..CLIENTS {
            let socket = &socket;
            let nuisances = nuisances();
            scope.spawn(move || nuisances.iter().for_each(|nuisance| annoy(socket, number, nuisance)));
        }
        for number in 0..24 {
            let (socket, request) = (&socket, &endless);
            scope.spawn(move || annoy(socket, number, request));
        }
        initiator.join().expect("the load ends")
    });
    assert!(results.is_good() && results.tally.compared > 0, "{}", results.table());
    roce::wait_until("the target has done with them", || {
        let Ok(mut client) = rpc::Client::connect(&socket) else { return false };
        client.call("bdev_get_bdevs", json!({"name": "ram0"})).is_ok()
    });
    let grown = resident_kib(&target).saturating_sub(before);
    assert!(grown < BOUND_KIB, "{grown} KiB more than before");
    assert_eq!(target.call("srp_get_targets", json!({})).as_array().map(Vec::len), Some(1));
}
