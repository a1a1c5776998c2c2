//! `scripts/irq-affinity` and `scripts/tune` on made-up machines: what they change, and that all is as before when it is undone. The scripts lie where the
//! Debian package has them.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const NMI_WATCHDOG: &str = "proc/sys/kernel/nmi_watchdog";
const DEFAULT_AFFINITY: &str = "proc/irq/default_smp_affinity";
const TRANSPARENT: &str = "sys/kernel/mm/transparent_hugepage/enabled";
const NODE_PAGES: [&str; 2] = [
    "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages",
    "sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
];

/// A folder with /proc and /sys of a machine that is not there, and the scripts.
struct Machine(tempfile::TempDir);

/// What a script said, and its exit status.
struct Said {
    status: i32,
    output: String,
    errors: String,
}

impl Machine {
    /// One that has nothing but cores.
    fn bare(online: &str) -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        let scripts = scripts();
        for (from, to) in [
            ("irq-affinity", "usr/sbin/srpt-irq-affinity"),
            ("tune", "usr/sbin/srpt-tune"),
            ("tuning.sh", "usr/lib/srpt/tuning.sh"),
        ] {
            let to = machine.path(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(scripts.join(from), to).unwrap();
        }
        fs::create_dir(machine.path("run")).unwrap();
        machine.put("sys/devices/system/cpu/online", online);
        machine
    }

    /// Four cores on two nodes, with all that `tune` sets.
    fn tunable() -> Machine {
        let machine = Machine::bare("0-3");
        for core in 0..4 {
            let cpu = format!("sys/devices/system/cpu/cpu{core}");
            machine.put(&format!("{cpu}/node{}/cpulist", core / 2), "-");
            machine.put(&format!("{cpu}/cpufreq/scaling_governor"), "powersave");
            machine.put(&format!("{cpu}/cpufreq/energy_performance_preference"), "balance_performance");
            machine.put(&format!("{cpu}/power/energy_perf_bias"), "6");
            for (state, latency) in ["0", "2", "10", "133"].iter().enumerate() {
                machine.put(&format!("{cpu}/cpuidle/state{state}/latency"), latency);
                machine.put(&format!("{cpu}/cpuidle/state{state}/disable"), "0");
            }
        }
        machine.put(NODE_PAGES[0], "16");
        machine.put(NODE_PAGES[1], "4096");
        machine.put(NMI_WATCHDOG, "1");
        machine.put("proc/sys/kernel/numa_balancing", "1");
        machine.put("proc/sys/kernel/timer_migration", "1");
        machine.put("proc/sys/net/core/rmem_max", "212992");
        machine.put("proc/sys/net/core/wmem_max", "4194304");
        machine.put("sys/devices/virtual/workqueue/cpumask", "f");
        machine.put(TRANSPARENT, "[always] madvise never");
        machine
    }

    /// Four cores on two nodes, with interrupts of a network interface on virtio (24, 25) and an NVMe controller (26, 27).
    fn with_interrupts() -> Machine {
        let machine = Machine::bare("0-3");
        machine.put(DEFAULT_AFFINITY, "0000000f");
        for (irq, handler, cores) in [
            (9, "acpi", "0-3"),
            (24, "eth1-rx", "2"),
            (25, "eth1-tx", "1"),
            (26, "nvme0q0", "0-3"),
            (27, "nvme0q1", "3"),
        ] {
            machine.put(&format!("proc/irq/{irq}/{handler}/x"), "");
            machine.put(&affinity(irq), cores);
            machine.put(&format!("proc/irq/{irq}/node"), "1");
        }
        machine.put("sys/devices/system/node/node0/cpulist", "0-1");
        machine.put("sys/devices/system/node/node1/cpulist", "2-3");
        let devices = machine.path("sys/devices/pci0000:00");
        for (irq, place) in [(24, "0000:00:01.0"), (25, "0000:00:01.0"), (26, "0000:00:02.0"), (27, "0000:00:02.0")] {
            machine.put(&format!("sys/devices/pci0000:00/{place}/msi_irqs/{irq}"), "msix");
        }
        for (class, name, device) in [("net", "eth1", "0000:00:01.0/virtio0"), ("nvme", "nvme0", "0000:00:02.0")] {
            let folder = machine.path(&format!("sys/class/{class}/{name}"));
            fs::create_dir_all(&folder).unwrap();
            fs::create_dir_all(devices.join(device)).unwrap();
            symlink(format!("../../../devices/pci0000:00/{device}"), folder.join("device")).unwrap();
        }
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    /// Makes a file one that can be read, but that nobody can write.
    fn refuse(&self, path: &str) {
        let path = self.path(path);
        let _ = fs::remove_file(&path);
        symlink("/proc/version", path).unwrap();
    }

    fn get(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}")).trim_end().to_owned()
    }

    fn cpu(&self, path: &str) -> Vec<String> {
        (0..4).map(|core| self.get(&format!("sys/devices/system/cpu/cpu{core}/{path}"))).collect()
    }

    /// All files with what they hold, and folders.
    fn tree(&self) -> BTreeMap<PathBuf, String> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![self.0.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path.clone());
                    tree.insert(path, String::new());
                } else {
                    let text = fs::read_to_string(&path).unwrap_or_default();
                    tree.insert(path, text);
                }
            }
        }
        tree
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Said {
        let mut command = Command::new(self.path("usr/sbin").join(script));
        // None of this machine's own commands that are for administrators.
        command.env("PATH", "/usr/bin:/bin").arg("--root").arg(self.0.path()).args(arguments);
        said(&mut command)
    }

    fn tune(&self, arguments: &[&str]) -> Said {
        self.run("srpt-tune", arguments)
    }

    fn irq_affinity(&self, arguments: &[&str]) -> Said {
        self.run("srpt-irq-affinity", arguments)
    }
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { status: output.status.code().unwrap_or(-1), output: text(&output.stdout), errors: text(&output.stderr) }
}

impl Said {
    #[track_caller]
    fn is(self, status: i32) -> Said {
        assert_eq!(self.status, status, "{}{}", self.output, self.errors);
        self
    }

    #[track_caller]
    fn done(self) -> Said {
        assert_eq!(self.errors, "");
        self.is(0)
    }

    #[track_caller]
    fn has(self, text: &str) -> Said {
        assert!(self.output.contains(text) || self.errors.contains(text), "{text}: {}{}", self.output, self.errors);
        self
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn affinity(irq: u32) -> String {
    format!("proc/irq/{irq}/smp_affinity_list")
}

#[test]
fn tune_sets_what_the_guide_says_and_undo_puts_it_back() {
    let machine = Machine::tunable();
    let mut before = machine.tree();
    machine.tune(&["apply", "0xc", "--hugepages", "1G"]).done().has("cpu3/cpuidle/state3/disable: was 0, is 1");

    assert_eq!(machine.cpu("cpufreq/scaling_governor"), ["performance"; 4]);
    assert_eq!(machine.cpu("cpufreq/energy_performance_preference"), ["performance"; 4]);
    assert_eq!(machine.cpu("power/energy_perf_bias"), ["0"; 4]);
    assert_eq!(machine.cpu("cpuidle/state3/disable"), ["0", "0", "1", "1"], "only cores of reactors stay awake");
    assert_eq!(machine.cpu("cpuidle/state2/disable"), ["0"; 4], "light sleep stays");
    assert_eq!(machine.get(NODE_PAGES[0]), "16", "no reactor there");
    assert_eq!(machine.get(NODE_PAGES[1]), "4096", "a larger pool stays");
    for name in ["nmi_watchdog", "numa_balancing", "timer_migration"] {
        assert_eq!(machine.get(&format!("proc/sys/kernel/{name}")), "0", "{name}");
    }
    assert_eq!(machine.get("proc/sys/net/core/rmem_max"), "8388608");
    assert_eq!(machine.get("proc/sys/net/core/wmem_max"), "4194304", "a larger limit stays");
    assert_eq!(machine.get("sys/devices/virtual/workqueue/cpumask"), "3");
    assert_eq!(machine.get(TRANSPARENT), "madvise");

    machine.tune(&["status"]).done().has("rmem_max: is 8388608, was 212992");
    machine.tune(&["undo"]).done();
    // The kernel would bracket the choice again; a file holds what was written.
    before.insert(machine.path(TRANSPARENT), "always\n".into());
    assert_eq!(machine.tree(), before);
    machine.tune(&["status"]).done().has("nothing is changed");
}

#[test]
fn applying_twice_does_not_forget_what_was_first() {
    let machine = Machine::tunable();
    machine.put(TRANSPARENT, "never");
    let before = machine.tree();
    machine.tune(&["apply", "0xc"]).done();
    let applied = machine.tree();
    machine.tune(&["apply", "[2-3]"]).done().has("scaling_governor: is performance already; it was powersave");
    assert_eq!(machine.tree(), applied);
    machine.tune(&["undo"]).done();
    assert_eq!(machine.tree(), before);
}

#[test]
fn another_mask_takes_the_place_of_the_one_before() {
    let machine = Machine::tunable();
    machine.put(TRANSPARENT, "never");
    let before = machine.tree();
    machine.tune(&["apply", "0xc"]).done();
    machine.tune(&["apply", "0x3"]).done().has("cpu2/cpuidle/state3/disable: was 1, is 0");
    assert_eq!(machine.cpu("cpuidle/state3/disable"), ["1", "1", "0", "0"]);
    assert_eq!(machine.get(NODE_PAGES[0]), "128", "two reactors of 128 MiB");
    assert_eq!(machine.get("sys/devices/virtual/workqueue/cpumask"), "c");
    machine.tune(&["undo"]).done();
    assert_eq!(machine.tree(), before);
}

#[test]
fn huge_pages_come_through_hugepage_setup_where_it_is() {
    let machine = Machine::tunable();
    let command = machine.path("usr/sbin/hugepage-setup");
    let arguments = machine.path("arguments");
    let pool = machine.path(NODE_PAGES[0]);
    fs::write(&command, format!("#!/bin/sh\necho \"$@\" >{}\necho 128 >{}\n", arguments.display(), pool.display()))
        .unwrap();
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
    machine.tune(&["apply", "0x3"]).done().has("node0/hugepages/hugepages-2048kB/nr_hugepages: was 16, is 128");
    assert_eq!(machine.get("arguments"), format!("--root {} reserve --pages 128 --node 0", machine.0.path().display()));

    fs::write(&command, "#!/bin/sh\necho 'got 3 of 128' >&2\nexit 1\n").unwrap();
    machine.tune(&["undo"]).done();
    assert_eq!(machine.get(NODE_PAGES[0]), "16");
    machine.tune(&["apply", "0x3"]).is(1).has("nr_hugepages: stays 16: got 3 of 128");
}

#[test]
fn a_machine_without_the_files_is_left_as_it_is() {
    let machine = Machine::bare("0-1");
    let before = machine.tree();
    machine.tune(&["apply", "0x2"]).done().has("nmi_watchdog: not on this machine").has("nothing is to be changed");
    machine.irq_affinity(&["0x2"]).done().has("no interrupt comes to the cores 1");
    machine.tune(&["undo"]).done().has("nothing is to be put back");
    machine.irq_affinity(&["--undo"]).done().has("nothing is to be put back");
    assert_eq!(machine.tree(), before);
}

#[test]
fn what_refuses_is_told_and_the_rest_is_done() {
    let machine = Machine::tunable();
    machine.put(TRANSPARENT, "never");
    machine.refuse(NMI_WATCHDOG);
    let before = machine.tree();
    machine.tune(&["apply", "0xc"]).is(1).has("nmi_watchdog: stays Linux version");
    assert_eq!(machine.get("proc/sys/kernel/numa_balancing"), "0");
    assert!(!machine.get("run/srpt-tuning/tune").contains("nmi_watchdog"), "what did not change is not to be put back");
    machine.tune(&["undo"]).done();
    assert_eq!(machine.tree(), before);

    machine.tune(&["apply", "0xc"]).is(1);
    machine.refuse("proc/sys/kernel/timer_migration");
    fs::remove_file(machine.path("proc/sys/kernel/numa_balancing")).unwrap();
    machine.tune(&["undo"]).is(1).has("timer_migration: stays").has("numa_balancing: is not there any more");
    machine.tune(&["status"]).done().has("timer_migration: is Linux version");
    machine.put("proc/sys/kernel/numa_balancing", "1");
    fs::remove_file(machine.path("proc/sys/kernel/timer_migration")).unwrap();
    machine.put("proc/sys/kernel/timer_migration", "0");
    machine.tune(&["undo"]).done();
    assert_eq!(machine.tree(), before, "what could not be put back was not forgotten");
}

#[test]
fn interrupts_leave_the_cores_of_reactors_and_come_back() {
    let machine = Machine::with_interrupts();
    machine.refuse(&affinity(26));
    let before = machine.tree();
    machine
        .irq_affinity(&["0x4"])
        .is(0)
        .has("interrupt 26 (nvme0q0): stays on")
        .has("interrupt 24 (eth1-rx): was 2, is 3");
    assert_eq!(machine.get(&affinity(9)), "0-1,3");
    assert_eq!(machine.get(&affinity(24)), "3", "another core of its node");
    assert_eq!(machine.get(&affinity(25)), "1", "not on such a core");
    assert_eq!(machine.get(DEFAULT_AFFINITY), "0000000b");
    let applied = machine.tree();
    machine.irq_affinity(&["[2]"]).is(0);
    assert_eq!(machine.tree(), applied);

    machine.irq_affinity(&["[2-3]"]).is(0);
    assert_eq!(machine.get(&affinity(24)), "0-1", "its node has no other core");
    machine.irq_affinity(&["--status"]).done().has("interrupt 24 (eth1-rx): is 0-1, was 2");
    machine.irq_affinity(&["--undo"]).done().has("interrupt 24 (eth1-rx): was 0-1, is 2");
    assert_eq!(machine.tree(), before);
}

#[test]
fn an_interrupt_that_does_not_come_back_is_a_failure_and_not_forgotten() {
    let machine = Machine::with_interrupts();
    machine.irq_affinity(&["0xc"]).done();
    machine.refuse(&affinity(24));
    fs::remove_dir_all(machine.path("proc/irq/27")).unwrap();
    machine
        .irq_affinity(&["--undo"])
        .is(1)
        .has("interrupt 24 (eth1-rx): stays")
        .has("interrupt 27: is not there any more");
    fs::remove_file(machine.path(&affinity(24))).unwrap();
    machine.put(&affinity(24), "0-1");
    machine.irq_affinity(&["--undo"]).done();
    assert_eq!(machine.get(&affinity(24)), "2");
}

#[test]
fn only_the_interrupts_of_named_devices_move() {
    for (device, moved, left) in [("eth1", 24, 27), ("nvme0", 27, 24), ("0000:00:02.0", 27, 24)] {
        let machine = Machine::with_interrupts();
        fs::create_dir_all(machine.path("sys/bus/pci/devices")).unwrap();
        symlink("../../../devices/pci0000:00/0000:00:02.0", machine.path("sys/bus/pci/devices/0000:00:02.0")).unwrap();
        let before = machine.tree();
        machine.irq_affinity(&["0xc", "--device", device]).done();
        assert_eq!(machine.get(&affinity(moved)), "0-1", "{device}");
        assert_ne!(machine.get(&affinity(left)), "0-1", "{device}");
        assert_eq!(machine.get(&affinity(9)), "0-3", "{device}");
        machine.irq_affinity(&["--undo"]).done();
        assert_eq!(machine.tree(), before);
    }
    let machine = Machine::with_interrupts();
    let before = machine.tree();
    machine
        .irq_affinity(&["0xc", "--device", "eth9", "--device", "eth1"])
        .is(2)
        .has("--device eth9: no network interface");
    machine.irq_affinity(&["0xc", "--device", "../net/eth1"]).is(2);
    assert_eq!(machine.tree(), before);
}

#[test]
fn irqbalance_is_told_of_while_it_runs() {
    let machine = Machine::with_interrupts();
    machine.put("proc/1234/comm", "irqbalance2");
    machine.irq_affinity(&["0xc"]).done();
    machine.put("proc/1234/comm", "irqbalance");
    machine.irq_affinity(&["0xc"]).is(0).has("IRQBALANCE_BANNED_CPULIST=2-3");
}

#[test]
fn masks_are_read_as_by_the_target() {
    // Mask, and what is left to new interrupts.
    let cases = [
        ("0x1", "ffffffff,fffffffe"),
        ("1", "ffffffff,fffffffe"),
        ("0XfF", "ffffffff,ffffff00"),
        ("[0,2-4]", "ffffffff,ffffffe2"),
        (" [ 63 , 4 - 4,4] ", "7fffffff,ffffffef"),
        ("0x8000000000000001", "7fffffff,fffffffe"),
        ("0000000000000000000000002", "ffffffff,fffffffd"),
    ];
    for (mask, left) in cases {
        let machine = Machine::bare("0-63");
        machine.put(DEFAULT_AFFINITY, "ffffffff,ffffffff");
        machine.irq_affinity(&[mask]).done();
        assert_eq!(machine.get(DEFAULT_AFFINITY), left, "{mask}");
    }
}

#[test]
fn wrong_arguments_change_nothing() {
    let machine = Machine::tunable();
    machine.put(DEFAULT_AFFINITY, "f");
    let before = machine.tree();
    let masks = [
        ("0x1g", "not hexadecimal"),
        ("0x0", "names no core"),
        ("", "give the cores"),
        ("[]", "neither a core nor a range"),
        ("[1,]", "neither a core nor a range"),
        ("[0-1-2]", "neither a core nor a range"),
        ("[$(id)]", "neither a core nor a range"),
        ("[3-1]", "backwards"),
        ("[99999999999999999999]", "above 1023"),
        ("[1", "closing bracket"),
        ("0x10", "core 4 of the mask is not online"),
        ("0xf", "leave one for interrupts"),
    ];
    for (mask, message) in masks {
        machine.irq_affinity(&[mask]).is(2).has(message);
        if !["", "0xf"].contains(&mask) {
            machine.tune(&["apply", mask]).is(2).has(message);
        }
    }
    let others: [&[&str]; 8] = [
        &[],
        &["--undo", "--status"],
        &["--undo", "0x1"],
        &["--status", "--device", "eth0"],
        &["0x1", "0x2"],
        &["--device"],
        &["0x1", "--device", ""],
        &["--redo"],
    ];
    others.iter().for_each(|arguments| drop(machine.irq_affinity(arguments).is(2).has("--help says more")));
    let others: [&[&str]; 9] = [
        &[],
        &["apply"],
        &["reset"],
        &["undo", "0x1"],
        &["status", "--hugepages", "1G"],
        &["apply", "0x1", "0x2"],
        &["apply", "0x1", "--hugepages", "1T"],
        &["apply", "0x1", "--hugepages"],
        &["apply", "0x1", "--force"],
    ];
    others.iter().for_each(|arguments| drop(machine.tune(arguments).is(2).has("--help says more")));
    assert_eq!(machine.tree(), before);
}

#[test]
fn a_state_that_names_other_files_is_refused() {
    for path in ["/etc/passwd", "/proc/../etc/passwd", "proc/x"] {
        let machine = Machine::bare("0-1");
        machine.put("etc/passwd", "root");
        machine.put("run/srpt-tuning/tune", &format!("{path}\tevil"));
        let before = machine.tree();
        machine.tune(&["undo"]).is(1).has("is no file of /proc or /sys");
        assert_eq!(machine.tree(), before);
    }
}

#[test]
fn the_scripts_of_a_checkout_find_what_they_source() {
    for script in ["irq-affinity", "tune"] {
        said(Command::new(scripts().join(script)).arg("--help")).done().has("MASK as srpt-app -m takes it");
    }
}
