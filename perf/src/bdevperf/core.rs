//! A core: a pinned thread that runs its jobs in turn until the time is over.

use std::sync::Barrier;
use std::time::Duration;

use anyhow::Context;
use hugepage_setup::AllocationRequest;
use mem::Region;
use reactor::{Clock, SystemClock};

use super::job::{Job, JobPlan, JobResult, Memory};
use crate::seconds::{Sample, Seconds};

/// What one core is to do.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) number: u32,
    pub(super) plans: Vec<JobPlan>,
    time: Duration,
}

/// What one core did.
#[derive(Debug)]
pub(super) struct CoreResult {
    pub(super) jobs: Vec<JobResult>,
    /// Time that the thread ran, by the kernel's account.
    pub(super) cpu: Duration,
    /// The share of that in rounds in which something was submitted or ended.
    pub(super) busy: Duration,
    /// The rate of each second.
    pub(super) seconds: Vec<Sample>,
}

impl Core {
    pub(super) fn new(number: u32, time: Duration) -> Core {
        Core { number, plans: Vec::new(), time }
    }

    /// Runs on a thread of its own. Cores start together: each waits at the barrier, even one that cannot run.
    pub(super) fn run(self, barrier: &Barrier) -> anyhow::Result<CoreResult> {
        let jobs = self.prepare().with_context(|| format!("core {}", self.number));
        barrier.wait();
        Ok(measure(jobs?, self.time))
    }

    /// Everything that takes memory or asks the kernel for something.
    fn prepare(&self) -> anyhow::Result<Vec<Job>> {
        reactor::pin_current_thread(self.number)?;
        // The thread is pinned, so memory comes from the node of its core.
        let bytes = self.plans.iter().map(JobPlan::buffer_bytes).sum::<usize>();
        let mapping = hugepage_setup::allocate(&AllocationRequest::new(bytes.max(1)))
            .context("no memory for the buffers of -q times -o")?;
        let mut memory = Memory { region: Region::new(mapping), used: 0 };
        self.plans.iter().map(|plan| Job::new(plan, self.number, &mut memory)).collect()
    }
}

fn measure(mut jobs: Vec<Job>, time: Duration) -> CoreResult {
    let clock = SystemClock::new();
    let cpu = cpu_time();
    let start = clock.now();
    let until = start.plus(time).0;
    let mut now = start.0;
    let mut busy_ns = 0;
    let mut seconds = Seconds::new();
    for job in &mut jobs {
        job.start(now, until);
    }
    loop {
        let mut worked = false;
        for job in &mut jobs {
            worked |= job.round(now);
        }
        let next = clock.now().0;
        if seconds.is_due(next - start.0) {
            note_second(&mut seconds, next - start.0, &jobs);
        }
        if worked {
            busy_ns += next - now;
        } else if jobs.iter().all(Job::is_over) {
            break;
        }
        now = next;
    }
    let cpu = cpu_time().saturating_sub(cpu);
    // By the clock, rounds also last while another thread has the core; that is no more likely in one than in another.
    let busy = cpu.mul_f64(busy_ns as f64 / (now - start.0).max(1) as f64);
    CoreResult { jobs: jobs.into_iter().map(Job::finish).collect(), cpu, busy, seconds: seconds.samples() }
}

#[cold] // keeps it out of the way of the rounds
fn note_second(seconds: &mut Seconds, elapsed_ns: u64, jobs: &[Job]) {
    seconds.note(elapsed_ns, jobs.iter().map(Job::ios).sum());
}

/// Time that this thread ran so far, exact to a tick of the kernel's. From a file and not from a clock, since that way the program also runs
/// under valgrind, which counts instructions.
fn cpu_time() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = schedstat.split_whitespace().next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}
