//! The process, under the names that every exporter gives (<https://prometheus.io/docs/instrumenting/writing_clientlibs/>), and what it is.

use metrics::{Family, Scrape};
use procfs::ProcResult;
use procfs::process::{LimitValue, Process};

use super::number;

static BUILD: Family =
    Family::info("srpt_build_info", &["version", "arch", "features"], "What this program is and was built with.");
static CPU: Family =
    Family::counter("process_cpu_seconds_total", &[], "CPU time of all threads, in user space and in the kernel.");
static OPEN_FDS: Family = Family::gauge("process_open_fds", &[], "Open file descriptors.");
static MAX_FDS: Family = Family::gauge("process_max_fds", &[], "Most file descriptors that may be open.");
static VIRTUAL: Family = Family::gauge("process_virtual_memory_bytes", &[], "Virtual memory.");
static RESIDENT: Family =
    Family::gauge("process_resident_memory_bytes", &[], "Resident memory; huge pages are not in it.");
static START: Family =
    Family::gauge("process_start_time_seconds", &[], "When the process started, in seconds since 1970.");
static THREADS: Family = Family::gauge("process_threads", &[], "Threads.");

#[cfg(test)]
pub(super) const FAMILIES: &[&Family] = &[&BUILD, &CPU, &OPEN_FDS, &MAX_FDS, &VIRTUAL, &RESIDENT, &START, &THREADS];

const FEATURES: &[&str] = &[
    #[cfg(feature = "dpdk")]
    "dpdk",
    #[cfg(feature = "rbd")]
    "rbd",
];

pub(in crate::metrics) fn add(scrape: &mut Scrape) {
    scrape.info(&BUILD, &[env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, &FEATURES.join(",")]);
    // Without /proc there is nothing to tell.
    let _ = add_process(scrape);
}

fn add_process(scrape: &mut Scrape) -> ProcResult<()> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let seconds = |ticks: u64| ticks * 1_000_000_000 / procfs::ticks_per_second();
    scrape.seconds_counter(&CPU, &[], seconds(stat.utime + stat.stime));
    scrape.gauge(&OPEN_FDS, &[], process.fd_count()? as f64);
    if let LimitValue::Value(most) = process.limits()?.max_open_files.soft_limit {
        scrape.gauge(&MAX_FDS, &[], number(most));
    }
    scrape.gauge(&VIRTUAL, &[], number(stat.vsize));
    scrape.gauge(&RESIDENT, &[], number(stat.rss * procfs::page_size()));
    let started = seconds(stat.starttime);
    scrape.gauge(&START, &[], number(procfs::boot_time_secs()?) + started as f64 / 1e9);
    scrape.gauge(&THREADS, &[], stat.num_threads as f64);
    Ok(())
}
