//! The machine that figures come from, and the build that made them.

use procfs::Current;
use serde::{Deserialize, Serialize};

/// What figures cannot be read without.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Environment {
    /// Model of the processor, as the kernel names it; the architecture where it does not.
    pub cpu: String,
    /// Logical processors that the kernel uses.
    pub cpus: u32,
    /// Whether the processor says that a hypervisor is beneath it.
    pub virtual_machine: bool,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// Name and version of the distribution.
    pub distribution: String,
    /// Threads that ran or wanted to, on average over the last minute before the load began.
    pub load_average: f64,
    /// Version of this program.
    pub version: String,
    /// How it was built: `release`, or `debug`, whose figures are worth nothing.
    pub profile: String,
}

impl Environment {
    /// This machine now: to be asked before there is load. What the system does not tell is "unknown" or 0.
    pub fn current() -> Environment {
        let cpu = procfs::CpuInfo::current().ok();
        let flags = cpu.as_ref().and_then(|cpu| cpu.flags(0)).unwrap_or_default();
        Environment {
            cpu: cpu.as_ref().and_then(|cpu| cpu.model_name(0)).unwrap_or(std::env::consts::ARCH).to_owned(),
            cpus: cpu.as_ref().map_or(0, |cpu| cpu.num_cores() as u32),
            virtual_machine: flags.contains(&"hypervisor"),
            memory_mib: procfs::Meminfo::current().map_or(0, |memory| memory.mem_total >> 20),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(unknown, |text| text.trim().to_owned()),
            distribution: distribution(&std::fs::read_to_string("/etc/os-release").unwrap_or_default()),
            load_average: procfs::LoadAverage::current().map_or(0.0, |load| f64::from(load.one)),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        }
    }

    /// Whether both come from machines that nothing tells apart. The load average may differ, and so may the build.
    pub fn same_machine(&self, other: &Environment) -> bool {
        let Environment { cpu, cpus, virtual_machine, memory_mib, kernel, distribution, .. } = self;
        (cpu, cpus, virtual_machine, memory_mib, kernel, distribution)
            == (&other.cpu, &other.cpus, &other.virtual_machine, &other.memory_mib, &other.kernel, &other.distribution)
    }
}

/// The name in a file of the form of os-release(5).
fn distribution(text: &str) -> String {
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| unknown(()), |name| name.trim().trim_matches(['"', '\'']).to_owned())
}

fn unknown<T>(_: T) -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_and_a_size() {
        let here = Environment::current();
        assert!(here.cpus > 0 && here.memory_mib > 0, "{here:?}");
        assert!(!here.cpu.is_empty() && here.kernel.contains('.'), "{here:?}");
        assert!(here.same_machine(&Environment { load_average: 99.0, ..here.clone() }));
        assert!(!here.same_machine(&Environment { kernel: "1.2.3".into(), ..here.clone() }));
    }

    #[test]
    fn the_distribution_is_its_pretty_name() {
        let text = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=x\n";
        assert_eq!(distribution(text), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(distribution("PRETTY_NAME=Alpine\n"), "Alpine");
        assert_eq!(distribution("NAME=x\n"), "unknown");
    }
}
