//! Files where the system refuses io_uring, as the seccomp profiles of most containers do.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;

use super::*;

/// Starts what its arguments say under a filter of system calls (seccomp(2)) that refuses io_uring: EPERM to 425, 426 and
/// 427, which are io_uring_setup, io_uring_enter and io_uring_register on every machine.
const WITHOUT_IO_URING: &str = r#"
import ctypes, os, struct, sys
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, EPERM = 0x7fff0000, 0x00050001
program = [(LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 3, 0, 425), (JUMP_IF_EQUAL, 2, 0, 426), (JUMP_IF_EQUAL, 1, 0, 427),
           (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, EPERM)]
code = ctypes.create_string_buffer(b''.join(struct.pack('=HBBI', *step) for step in program))
header = struct.pack('@HP', len(program), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
NO_NEW_PRIVS, SET_SECCOMP, FILTER, ONE, ZERO = 38, 22, *map(ctypes.c_ulong, (2, 1, 0))
if libc.prctl(NO_NEW_PRIVS, ONE, ZERO, ZERO, ZERO) or libc.prctl(SET_SECCOMP, FILTER, header):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"#;

/// Runs the binary where io_uring is refused; `None` where no such place can be made.
fn start(folder: &Path) -> Option<(Target, BufReader<std::process::ChildStderr>)> {
    let python = |program: &str| {
        let mut command = Command::new("python3");
        command.arg("-c").arg(program);
        command
    };
    let possible = python(WITHOUT_IO_URING).arg("/bin/true").status().is_ok_and(|status| status.success());
    if !possible {
        eprintln!("skipped: no python3, or it cannot set a seccomp filter");
        return None;
    }
    let plain = command(folder, &[]);
    let mut child = python(WITHOUT_IO_URING)
        .arg(plain.get_program())
        .args(plain.get_args())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let log = BufReader::new(child.stderr.take().expect("piped"));
    Some((Target { child, folder: folder.into() }, log))
}

fn wait_until_it_listens(target: &Target) {
    let end = Instant::now() + PATIENCE;
    while Client::connect(&target.socket()).is_err() {
        assert!(Instant::now() < end, "the target does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn engine(target: &Target, name: &str) -> Value {
    target.call("bdev_get_bdevs", json!({"name": name}))[0]["driver_specific"]["uring"]["engine"].clone()
}

#[test]
fn where_io_uring_is_refused_files_are_used_all_the_same_and_the_log_says_so() {
    let folder = folder();
    let Some((mut target, log)) = start(folder.path()) else { return };
    wait_until_it_listens(&target);
    let file = |name: &str| folder.path().join(name);
    for (name, method, direct) in [("a", "bdev_uring_create", None), ("b", "bdev_aio_create", Some(false))] {
        target.call(method, json!({"name": name, "filename": file(name), "size": 1 << 20, "direct": direct}));
        assert_eq!(engine(&target, name), "aio");
    }
    let said = target
        .refusal("bdev_uring_create", json!({"name": "c", "filename": file("c"), "size": 1 << 20, "engine": "uring"}));
    assert!(said.contains("io_uring is refused"), "{said}");
    assert!(!file("c").exists());
    let at = SocketAddr::from((roce::fresh_address(), 5555));
    target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "11", "ioc_guid": "22"}));
    target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "a"}));
    target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "b"}));
    target.call("srp_create_listener", json!({"fabric": "roce", "address": at.ip().to_string(), "port": at.port()}));
    for lun in ["0", "1"] {
        let results = roce::run(at, &["-w", "randrw", "-o", "4k", "-q", "8", "--lun", lun, "--verify", "-d", "300"]);
        assert!(results.is_good() && results.tally.compared > 0, "{}", results.table());
    }
    target.call("spdk_kill_instance", json!({"sig_name": "SIGTERM"}));
    assert!(target.wait().success());
    let lines: Vec<String> = log.lines().map_while(Result::ok).collect();
    for name in ["a", "b"] {
        let told = lines.iter().filter(|line| {
            line.contains(&format!("bdev {name}: io_uring is refused")) && line.contains("Linux AIO is used")
        });
        assert_eq!(told.count(), 1, "once for each device: {lines:#?}");
    }
}

#[test]
fn an_engine_can_be_asked_for_and_is_remembered() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let file = |name: &str| folder.path().join(name);
    for (name, method, wanted) in [("a", "bdev_uring_create", "aio"), ("b", "bdev_aio_create", "uring")] {
        target.call(method, json!({"name": name, "filename": file(name), "size": 1 << 20, "engine": wanted}));
        assert_eq!(engine(&target, name), wanted);
    }
    target.call("bdev_uring_create", json!({"name": "c", "filename": file("c"), "size": 1 << 20}));
    assert_eq!(engine(&target, "c"), "uring");
    let config = target.call("framework_get_config", json!({"name": "bdev"}));
    let engines: Vec<&Value> = (0..3).map(|at| &config[at]["params"]["engine"]).collect();
    assert_eq!(engines, ["aio", "uring"].map(Value::from).iter().chain([&Value::Null]).collect::<Vec<_>>());
    let said = target
        .refusal("bdev_uring_create", json!({"name": "d", "filename": file("d"), "size": 512, "engine": "libaio"}));
    assert!(said.contains("engine") && said.contains("libaio"), "{said}");
}
