//! The command `hugepage-setup` itself, on a made-up /sys, /proc and /etc.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const POOL: &str = "sys/kernel/mm/hugepages/hugepages-2048kB";
const POOL_1G: &str = "sys/kernel/mm/hugepages/hugepages-1048576kB";
const NODE_1: &str = "sys/devices/system/node/node1/hugepages/hugepages-2048kB";

/// A made-up system: two nodes, 16 pages of 2 MiB (4 of them free) on node 0, pages of 1 GiB on no node.
struct Fake {
    root: tempfile::TempDir,
}

/// What a run came to.
#[derive(Debug)]
struct Run {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Fake {
    fn new() -> Self {
        let fake = Fake { root: tempfile::tempdir().unwrap() };
        fake.pool(POOL, "16", "4");
        fake.pool(POOL_1G, "0", "0");
        fake.pool("sys/devices/system/node/node0/hugepages/hugepages-2048kB", "16", "4");
        fake.pool(NODE_1, "0", "0");
        fake.write("sys/devices/system/node/possible", "0-1\n");
        fake.write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
        fake.write("proc/meminfo", "MemTotal:  1 kB\nHugepagesize:       2048 kB\n");
        fake.write("proc/mounts", "none /dev/hugepages hugetlbfs rw,pagesize=2M 0 0\n");
        fake.write(
            "proc/self/limits",
            "Max locked memory         8388608              16777216             bytes     \n",
        );
        fake.write("proc/self/status", "Name:\tx\nCapEff:\t0000000000000000\n");
        fake
    }

    fn pool(&self, folder: &str, total: &str, free: &str) {
        for (file, count) in [("nr", total), ("free", free), ("resv", "2"), ("surplus", "0")] {
            self.write(&format!("{folder}/{file}_hugepages"), &format!("{count}\n"));
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    fn run(&self, arguments: &str) -> Run {
        run(Command::new(env!("CARGO_BIN_EXE_hugepage-setup")), self.root.path(), arguments)
    }
}

fn run(mut command: Command, root: &Path, arguments: &str) -> Run {
    command.arg("--root").arg(root).args(arguments.split_whitespace()).env("USER", "storage");
    let output = loop {
        match command.output() {
            // A program that this test has copied is still open for writing in a child that another test forked just
            // then, until that child runs its own program.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            output => break output.unwrap(),
        }
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn status_shows_pools_mounts_and_limits() {
    let run = Fake::new().run("status");
    let expected = "\
page size node         total      free  reserved   surplus  memory
2M        all             16         4         2         0  32M
1G        all              0         0         2         0  0
2M        0               16         4         -         0  32M
2M        1                0         0         -         0  0
Default huge page size: 2M
hugetlbfs: /dev/hugepages (page size 2M)
Transparent huge pages: madvise
Locked memory limit: 8M (hard limit 16M)
";
    assert_eq!((run.stdout.as_str(), run.status), (expected, Some(0)), "{}", run.stderr);
}

#[test]
fn status_works_without_huge_pages_in_the_kernel() {
    let fake = Fake::new();
    fs::remove_dir_all(fake.path("sys")).unwrap();
    fake.write("proc/meminfo", "MemTotal:  1 kB\n");
    let run = fake.run("status");
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(run.stdout.contains("Huge pages: none in this kernel"), "{run:?}");
}

#[test]
fn a_file_that_holds_something_else_is_named() {
    let fake = Fake::new();
    fake.write(&format!("{POOL}/free_hugepages"), "many\n");
    let run = fake.run("status");
    assert_eq!(run.status, Some(1));
    assert!(run.stderr.contains("hugepages-2048kB/free_hugepages holds `many`"), "{run:?}");
}

#[test]
fn reserve_writes_whole_pages_of_the_pool_named() {
    let fake = Fake::new();
    let run = fake.run("reserve --size 511M");
    assert_eq!((run.status, fake.read(&format!("{POOL}/nr_hugepages")).as_str()), (Some(0), "256"), "{run:?}");
    assert!(run.stdout.starts_with("256 pages of 2M reserved (512M)"), "{run:?}");
    let run = fake.run("reserve --pages 3 --node 1");
    assert_eq!((run.status, fake.read(&format!("{NODE_1}/nr_hugepages")).as_str()), (Some(0), "3"), "{run:?}");
    let run = fake.run("reserve --size 2G --page-size 1G");
    assert_eq!((run.status, fake.read(&format!("{POOL_1G}/nr_hugepages")).as_str()), (Some(0), "2"), "{run:?}");
    assert_eq!(fake.read(&format!("{POOL}/nr_hugepages")), "256", "the other pools are left alone");
}

#[test]
fn reserve_leaves_a_larger_pool_alone() {
    let fake = Fake::new();
    let run = fake.run("reserve --size 2M");
    assert_eq!((run.status, fake.read(&format!("{POOL}/nr_hugepages")).as_str()), (Some(0), "16\n"), "{run:?}");
}

/// The pool's file is a file of the kernel that takes a number and keeps another, as a real pool does when memory is
/// short: it keeps nine bits and shows them in hexadecimal, so that 256 is read back as 100.
#[test]
fn reserve_says_how_many_pages_it_really_got() {
    let fake = Fake::new();
    let file = fake.path(&format!("{POOL}/nr_hugepages"));
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/proc/self/coredump_filter", &file).unwrap();
    let run = fake.run("reserve --pages 256");
    assert_eq!(run.status, Some(1), "{run:?}");
    assert!(run.stdout.contains("100 pages of 2M reserved (200M)"), "{run:?}");
    assert!(run.stderr.contains("got 100 of 256 pages of 2M"), "{run:?}");
}

#[test]
fn release_empties_the_pool_named() {
    let fake = Fake::new();
    let run = fake.run("release");
    assert_eq!((run.status, fake.read(&format!("{POOL}/nr_hugepages")).as_str()), (Some(0), "0"), "{run:?}");
    assert!(run.stdout.starts_with("16 pages of 2M released"), "{run:?}");
    assert_eq!(fake.read("sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"), "16\n");
}

#[test]
fn a_pool_that_does_not_exist_is_refused_with_those_that_do() {
    let fake = Fake::new();
    for (arguments, message) in [
        ("reserve --pages 1 --page-size 4M", "there are no pages of 4M on this system; page sizes there: 2M, 1G"),
        ("reserve --pages 1 --page-size 0", "there are no pages of 0"),
        ("release --page-size 1G --node 1", "there are no pages of 1G on node 1; page sizes there: 2M"),
        ("persist --pages 1 --node 7", "there is no NUMA node 7; nodes here: [0, 1]"),
    ] {
        let run = fake.run(arguments);
        assert_eq!(run.status, Some(1), "{arguments}");
        assert!(run.stderr.contains(message), "{arguments}: {run:?}");
    }
}

#[test]
fn without_the_right_to_write_it_says_what_to_do() {
    let fake = Fake::new();
    let file = fake.path(&format!("{POOL}/nr_hugepages"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    // Root may write everything, so the test steps down, and for that needs a program in a place that anybody may read.
    let program = fake.path("hugepage-setup");
    fs::copy(env!("CARGO_BIN_EXE_hugepage-setup"), &program).unwrap();
    fs::set_permissions(fake.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&program);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let run = run(command, fake.root.path(), "reserve --pages 64");
    assert_eq!(run.status, Some(1), "{run:?}");
    assert!(run.stderr.contains("nr_hugepages: Permission denied") && run.stderr.contains("needs root"), "{run:?}");
}

#[test]
fn persist_writes_the_file_or_only_prints_it() {
    let fake = Fake::new();
    let file = "etc/sysctl.d/90-hugepage-setup-2M.conf";
    let run = fake.run("persist --size 512M --dry-run");
    assert!(run.stdout.contains("# /etc/sysctl.d/90-hugepage-setup-2M.conf\n"), "{run:?}");
    assert!(run.stdout.contains("vm.nr_hugepages = 256\n"), "{run:?}");
    assert!(!fake.path(file).exists());
    assert!(!fake.run("release").stdout.contains("next boot"));
    let run = fake.run("persist --size 512M");
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(fake.read(file).ends_with("\nvm.nr_hugepages = 256\n"));
    fake.run("persist --pages 8");
    assert!(fake.read(file).ends_with("\nvm.nr_hugepages = 8\n"));
    assert_eq!(fs::read_dir(fake.path("etc/sysctl.d")).unwrap().count(), 1, "no draft is left");
    assert!(fake.run("release").stdout.contains("/etc/sysctl.d/90-hugepage-setup-2M.conf reserves them again"));
    let run = fake.run("persist --pages 4 --node 1");
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(fake.read("etc/tmpfiles.d/hugepage-setup-2M-node1.conf").contains("/node1/hugepages/"));
}

#[test]
fn persist_of_gibibyte_pages_names_the_kernel_parameters() {
    let fake = Fake::new();
    let run = fake.run("persist --size 4G --page-size 1G");
    assert!(run.stdout.contains("\n  hugepagesz=1G hugepages=4\n"), "{run:?}");
    assert!(!fake.path("etc").exists());
}

#[test]
fn check_tells_whether_the_limit_suffices_and_what_to_write() {
    let fake = Fake::new();
    let run = fake.run("check --memlock 8M");
    assert_eq!(run.status, Some(0), "{run:?}");
    let run = fake.run("check"); // all huge pages: 16 of 2 MiB
    assert_eq!(run.status, Some(1), "{run:?}");
    for line in ["Needed: 32M (all huge pages)", "storage hard memlock 32768", "LimitMEMLOCK=33554432"] {
        assert!(run.stdout.contains(line), "{line}: {run:?}");
    }
    let run = fake.run("check --memlock unlimited");
    assert_eq!(run.status, Some(1), "{run:?}");
    assert!(run.stdout.contains("LimitMEMLOCK=infinity"), "{run:?}");
    fake.write("proc/self/status", "CapEff:\t0000000000004000\n");
    assert_eq!(fake.run("check --memlock unlimited").status, Some(0));
}

#[test]
fn wrong_usage_is_told_apart() {
    let fake = Fake::new();
    for arguments in [
        "",
        "reserve",
        "reserve --size 1G --pages 3",
        "reserve --size 1X",
        "reserve --pages -1",
        "check --memlock much",
        "grow",
    ] {
        let run = fake.run(arguments);
        assert_eq!(run.status, Some(2), "{arguments}: {run:?}");
    }
    assert!(fake.run("reserve --size 1X").stderr.contains("such as 512M"));
    assert_eq!(fake.read(&format!("{POOL}/nr_hugepages")), "16\n");
}
