//! DPDK's environment (EAL): memory, buses and drivers, started once per process.
#![allow(unsafe_code, reason = "calls DPDK, a C library")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dpdk_sys as sys;
use hugepage_setup::{status, system::System};

use super::Options;

/// What DPDK needs itself, in MiB.
const FIXED_MIB: u64 = 64;

/// Packet buffers in MiB: of a port's receive ring, and of each queue's transmit ring and hands (see `port.rs`).
const PORT_MIB: u64 = 16;
const QUEUE_MIB: u64 = 4;

static STARTED: AtomicBool = AtomicBool::new(false);

/// Starts it, with the ports that the options name.
///
/// # Errors
/// It was started before, or DPDK refuses, in which case it prints why to standard error.
pub fn start(options: &Options) -> io::Result<()> {
    if STARTED.swap(true, Ordering::Relaxed) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "DPDK was started before: once per process"));
    }
    let arguments: Result<Vec<CString>, _> =
        arguments(options, free_huge_pages_mib()).into_iter().map(CString::new).collect();
    let arguments = arguments.map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a zero byte in an argument"))?;
    // DPDK pins the thread that starts it, so that is one that does nothing else, and ends: DPDK runs nothing on it.
    let starter = thread::Builder::new().name("dpdk-start".into()).spawn(move || initialise(arguments))?;
    starter.join().unwrap_or_else(|_| Err(io::Error::other("DPDK's start panicked")))
}

/// What DPDK is to be told, the program's name first.
fn arguments(options: &Options, free_huge_pages_mib: u64) -> Vec<String> {
    // The reactors' CPUs are DPDK's too, which makes it keep its own threads away from them: those that it starts there
    // sleep for ever.
    let cpus = if options.cpus.is_empty() { vec![any_cpu()] } else { options.cpus.clone() };
    let cpus = cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut arguments: Vec<String> = ["srpt", "--no-telemetry", "-l", &cpus].map(String::from).into();
    for port in &options.ports {
        let kind = if port.is_pci() { "--allow" } else { "--vdev" };
        arguments.extend([kind.to_owned(), port.device.clone()]);
    }
    if !options.ports.iter().any(|port| port.is_pci()) {
        arguments.push("--no-pci".to_owned());
    }
    let queues = options.cpus.len() as u64 + 1;
    let memory = FIXED_MIB + options.ports.len() as u64 * (PORT_MIB + queues * QUEUE_MIB);
    if !options.eal_arguments.trim().is_empty() {
        arguments.extend(options.eal_arguments.split_whitespace().map(String::from));
    } else if free_huge_pages_mib >= memory {
        arguments.push("--in-memory".to_owned()); // no files: nothing to be shared, nothing left behind
    } else {
        tracing::warn!("DPDK gets ordinary pages, which most NICs cannot use: {memory} MiB of huge pages are not free");
        arguments.extend(["--no-huge", "--no-shconf", "-m", &memory.to_string()].map(String::from));
    }
    arguments
}

/// A CPU that this thread may use.
fn any_cpu() -> u32 {
    rustix::thread::sched_getcpu() as u32
}

fn free_huge_pages_mib() -> u64 {
    let pools = status::pools(&System::real()).unwrap_or_default();
    pools.iter().map(|pool| pool.free * pool.id.page_bytes).sum::<u64>() >> 20
}

fn initialise(arguments: Vec<CString>) -> io::Result<()> {
    let count = arguments.len() as c_int;
    // DPDK may keep pointers to its arguments, as those of `main` live as long as the process: these do, too.
    let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    pointers.push(std::ptr::null_mut());
    // SAFETY: `count` strings that end with a zero and a null pointer behind them, all writable and never freed.
    let result = unsafe { sys::rte_eal_init(count, Vec::leak(pointers).as_mut_ptr()) };
    if result < 0 { Err(last_error("DPDK does not start (it said why on standard error)")) } else { Ok(()) }
}

/// An error from the number that a call of DPDK's left for this thread.
pub fn last_error(what: &str) -> io::Error {
    // SAFETY: it only reads a variable of this thread.
    error(what, unsafe { sys::shim_errno() })
}

/// An error from a number that a call of DPDK's returned, negative or not.
pub fn error(what: &str, number: c_int) -> io::Error {
    // SAFETY: the result is a string that ends with a zero, and lives until this thread calls it again.
    let why = unsafe { CStr::from_ptr(sys::rte_strerror(number.saturating_abs())) };
    io::Error::other(format!("{what}: {}", why.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::super::PortOptions;
    use super::*;

    fn port(device: &str) -> PortOptions {
        format!("{device} 192.0.2.1/24").parse().unwrap()
    }

    fn told(ports: Vec<PortOptions>, eal_arguments: &str, free_huge_pages_mib: u64) -> String {
        let options = Options { eal_arguments: eal_arguments.into(), cpus: vec![1, 3], ports };
        arguments(&options, free_huge_pages_mib).join(" ")
    }

    #[test]
    fn virtual_ports_need_no_pci_bus_and_memory_is_what_there_is() {
        let ports = || vec![port("net_tap0,iface=x"), port("net_tap1")];
        let common = "srpt --no-telemetry -l 1,3 --vdev net_tap0,iface=x --vdev net_tap1 --no-pci";
        assert_eq!(told(ports(), "", 120), format!("{common} --in-memory"));
        assert_eq!(told(ports(), " ", 119), format!("{common} --no-huge --no-shconf -m 120"));
        assert_eq!(told(ports(), "--in-memory  --iova-mode va", 0), format!("{common} --in-memory --iova-mode va"));
    }

    #[test]
    fn only_the_named_pci_devices_are_taken() {
        let told = told(vec![port("0000:01:00.0,promiscuous=1"), port("net_tap0,mac=00:11:22:33:44:55")], "", 1024);
        let devices = "--allow 0000:01:00.0,promiscuous=1 --vdev net_tap0,mac=00:11:22:33:44:55";
        assert_eq!(told, format!("srpt --no-telemetry -l 1,3 {devices} --in-memory"));
    }
}
