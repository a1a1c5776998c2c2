//! SPDK's own command-line client against our server.
//!
//! Needs the client: `python3 -m venv VENV && VENV/bin/pip install spdk`, then `SPDK_RPC=VENV/bin/spdk-rpc cargo test
//! -p rpc --test spdk_client`. Without the variable, `spdk-rpc` is looked for in PATH; without that, the tests say that
//! they were skipped. With the variable set and no client there, they fail.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use rpc::{Errno, Methods, NoParams, RpcError, Server, ServerOptions};
use serde_json::{Value, json};

/// What `bdev_null_create` of the client sends.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateNull {
    name: String,
    num_blocks: u64,
    block_size: u32,
    #[serde(rename = "dif_is_head_of_md")]
    _dif_is_head_of_md: bool,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetMethods {
    #[serde(rename = "current")]
    _current: bool,
    #[serde(rename = "include_aliases")]
    _include_aliases: bool,
}

fn methods() -> Methods<Vec<Value>> {
    let mut methods = Methods::new();
    methods.add("bdev_null_create", "", |bdevs: &mut Vec<Value>, params: CreateNull| {
        if bdevs.iter().any(|bdev| bdev["name"] == params.name) {
            return Err(RpcError::errno(Errno::EXIST, "File exists"));
        }
        let CreateNull { name, num_blocks, block_size, .. } = params;
        bdevs.push(json!({"name": name, "num_blocks": num_blocks, "block_size": block_size}));
        Ok(name)
    });
    methods.add("bdev_get_bdevs", "", |bdevs: &mut Vec<Value>, _: NoParams| Ok(bdevs.clone()));
    methods.add("rpc_get_methods", "", |_, _: GetMethods| Ok(["bdev_get_bdevs", "bdev_null_create"]));
    methods.add("spdk_get_version", "", |_, _: NoParams| Ok(json!({"version": "x".repeat(100_000)})));
    methods
}

/// A server and the client's program, or `None` if there is none.
struct Bench {
    client: std::ffi::OsString,
    server: Server,
    _folder: tempfile::TempDir,
}

fn bench() -> Option<Bench> {
    let client = match std::env::var_os("SPDK_RPC") {
        Some(client) => client,
        None if Command::new("spdk-rpc").arg("-h").output().is_ok() => "spdk-rpc".into(),
        None => {
            eprintln!("skipped: spdk-rpc is not here (pip install spdk, then set SPDK_RPC to its path)");
            return None;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let (methods, mut bdevs) = (methods(), Vec::new());
    let answer = move |pending| methods.answer(&mut bdevs, pending);
    let server = Server::bind(&folder.path().join("target.sock"), ServerOptions::default(), answer).unwrap();
    Some(Bench { client, server, _folder: folder })
}

impl Bench {
    fn run(&self, arguments: &str, input: &str) -> Output {
        let mut command = Command::new(&self.client);
        command.arg("-s").arg(self.server.path()).args(arguments.split_whitespace());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spdk-rpc");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// What the client prints, which must end well.
    fn output(&self, arguments: &str, input: &str) -> String {
        let output = self.run(arguments, input);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }
}

#[test]
fn bdevs_are_created_and_listed() {
    let Some(bench) = bench() else { return };
    assert_eq!(bench.output("bdev_null_create Null0 100 512", "").trim(), "Null0");
    let listed: Value = serde_json::from_str(&bench.output("bdev_get_bdevs", "")).unwrap();
    assert_eq!(listed, json!([{"name": "Null0", "num_blocks": 204_800, "block_size": 512}]));
}

#[test]
fn an_error_is_shown_with_code_and_message() {
    let Some(bench) = bench() else { return };
    bench.output("bdev_null_create Null0 100 512", "");
    for (arguments, parts) in [
        ("bdev_null_create Null0 100 512", ["-17", "File exists"]),
        ("bdev_null_create -m 8 Null1 100 512", ["-32602", "unknown field `md_size`"]),
        ("framework_get_reactors", ["-32601", "framework_get_reactors"]),
    ] {
        let output = bench.run(arguments, "");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{arguments}: {text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{arguments}: {text}");
    }
}

#[test]
fn an_answer_longer_than_the_client_s_buffer_arrives() {
    let Some(bench) = bench() else { return };
    assert!(bench.output("spdk_get_version", "").contains(&"x".repeat(100_000)));
}

#[test]
fn a_script_of_calls_runs_on_one_connection() {
    let Some(bench) = bench() else { return };
    let script = "bdev_null_create Null0 1 512\n# a comment\nbdev_null_create Null1 1 512\nrpc_get_methods\n";
    let printed = bench.output("", script);
    assert!(printed.starts_with("Null0\nNull1\n[") && printed.contains("bdev_get_bdevs"), "{printed}");
}

#[test]
fn a_batch_is_done_and_answered() {
    let Some(bench) = bench() else { return };
    let script = "bdev_null_create Null0 1 512\nbdev_null_create Null1 1 512\n";
    let printed = bench.output("--batch-mode", script);
    assert!(printed.contains("\"Null0\"\n\"Null1\"\n"), "{printed}");
    assert_eq!(serde_json::from_str::<Value>(&bench.output("bdev_get_bdevs", "")).unwrap()[1]["name"], json!("Null1"));
}
