//! The filter of system calls: what the target, and the libraries that it loads (rdma-core, librbd, DPDK), call. What is not listed is refused as if
//! the kernel did not have it, which libraries that try something new know how to take. `FATAL` is what nobody here ever tries.

use std::collections::BTreeMap;

use anyhow::Context;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::{Seccomp, Uses};

/// System calls of every process with threads and memory, but `clone`, which depends on what it makes.
const PROCESS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_get_mempolicy,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_capget,
    libc::SYS_kill,
    libc::SYS_madvise,
    libc::SYS_mbind,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mlockall,
    libc::SYS_mmap,
    libc::SYS_move_pages,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munlock,
    libc::SYS_munlockall,
    libc::SYS_munmap,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getattr,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_yield,
    libc::SYS_set_mempolicy,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setpriority,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    libc::SYS_tgkill,
    libc::SYS_times,
    libc::SYS_tkill,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_wait4,
    libc::SYS_waitid,
];

/// Clocks, timers, and what is waited for.
const TIME: &[i64] = &[
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_getitimer,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_setitimer,
    libc::SYS_signalfd4,
    libc::SYS_timer_create,
    libc::SYS_timer_delete,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_gettime,
    libc::SYS_timer_settime,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
];

/// Files and devices: `ioctl` is how the sg driver, block devices and RDMA devices are spoken to.
const FILES: &[i64] = &[
    libc::SYS_chdir,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchdir,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_flock,
    libc::SYS_fsetxattr,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getxattr,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch,
    libc::SYS_io_cancel,
    libc::SYS_io_destroy,
    libc::SYS_io_getevents,
    libc::SYS_io_setup,
    libc::SYS_io_submit,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_ioctl,
    libc::SYS_ioprio_get,
    libc::SYS_ioprio_set,
    libc::SYS_lgetxattr,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_msync,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pipe2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_syncfs,
    libc::SYS_truncate,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// All of sockets but how they are made, which depends on the family.
const SOCKETS: &[i64] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socketpair,
];

/// Older forms of the above, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[
    libc::SYS_access,
    libc::SYS_alarm,
    libc::SYS_arch_prctl,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_creat,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_getdents,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_inotify_init,
    libc::SYS_lchown,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_setrlimit,
    libc::SYS_signalfd,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_sync_file_range,
    libc::SYS_time,
    libc::SYS_unlink,
    libc::SYS_utimes,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

/// Only code that is not ours would call these: they end the process.
const FATAL: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_chroot,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_setns,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Filters this thread and those that it starts.
pub(super) fn install(mode: Seccomp, uses: Uses) -> anyhow::Result<()> {
    let unlisted = match mode {
        Seccomp::Off => return Ok(()),
        Seccomp::Log => SeccompAction::Log,
        // EPERM would end what could fall back.
        Seccomp::On => SeccompAction::Errno(libc::ENOSYS as u32),
    };
    if mode == Seccomp::On {
        let fatal = FATAL.iter().map(|&call| (call, Vec::new())).collect();
        apply(fatal, SeccompAction::Allow, SeccompAction::KillProcess)?;
    }
    apply(allowed(uses)?, unlisted, SeccompAction::Allow)
}

/// Each process has its filters one on another, and the strictest answer counts.
fn apply(rules: Rules, unlisted: SeccompAction, listed: SeccompAction) -> anyhow::Result<()> {
    let arch = std::env::consts::ARCH.try_into().context("no filter is known for this processor")?;
    let program: BpfProgram = SeccompFilter::new(rules, unlisted, listed, arch)?.try_into()?;
    Ok(seccompiler::apply_filter_all_threads(&program)?)
}

fn allowed(uses: Uses) -> anyhow::Result<Rules> {
    let lists = [PROCESS, TIME, FILES, SOCKETS, OLDER];
    let mut rules: Rules = lists.into_iter().flatten().map(|&call| (call, Vec::new())).collect();
    let mut families = vec![libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    if uses.xdp || uses.dpdk {
        families.push(libc::AF_XDP);
        rules.insert(libc::SYS_bpf, Vec::new());
    }
    if uses.dpdk {
        families.push(libc::AF_PACKET);
        // Ports without interrupts of their own.
        #[cfg(target_arch = "x86_64")]
        rules.extend([libc::SYS_iopl, libc::SYS_ioperm].map(|call| (call, Vec::new())));
    }
    let made = |family: i32| {
        let family = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family as u64)?;
        SeccompRule::new(vec![family])
    };
    // Threads, no processes. What `clone3` makes stands in memory, where no filter looks: the C library does with `clone` if there is none.
    let thread = libc::CLONE_THREAD as u64;
    let thread = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![thread])?]);
    rules.insert(libc::SYS_socket, families.into_iter().map(made).collect::<Result<_, _>>()?);
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_the_process_is_allowed_to_nobody() {
        for uses in [Uses::default(), Uses { xdp: true, dpdk: true }] {
            let allowed = allowed(uses).expect("rules");
            assert!(FATAL.iter().all(|call| !allowed.contains_key(call)));
            assert_eq!(allowed.contains_key(&libc::SYS_bpf), uses.xdp);
        }
    }

    /// Filters of a thread are its own, so that tests beside it go on: `apply_filter`, not the one for all threads.
    fn filtered(rules: Rules, test: fn()) {
        let filtered = std::thread::spawn(move || {
            let arch = std::env::consts::ARCH.try_into().expect("a processor that is known");
            let unlisted = SeccompAction::Errno(libc::ENOSYS as u32);
            let filter = SeccompFilter::new(rules, unlisted, SeccompAction::Allow, arch).expect("rules");
            let program: BpfProgram = filter.try_into().expect("a program");
            seccompiler::apply_filter(&program).expect("a filter");
            test();
        });
        filtered.join().expect("the test in the thread");
    }

    #[test]
    fn what_is_not_listed_is_as_if_the_kernel_did_not_have_it() {
        filtered(allowed(Uses::default()).expect("rules"), || {
            std::fs::read("/proc/self/status").expect("files are read");
            std::net::UdpSocket::bind("127.0.0.1:0").expect("sockets are made");
            std::thread::spawn(|| ()).join().expect("threads are started");
            let packets = rustix::net::socket(rustix::net::AddressFamily::PACKET, rustix::net::SocketType::DGRAM, None);
            assert_eq!(packets.expect_err("of no such family"), rustix::io::Errno::NOSYS);
        });
    }

    /// To execute is allowed here: it is `fork` that stands in the way.
    #[test]
    fn no_process_is_made() {
        let mut rules = allowed(Uses::default()).expect("rules");
        rules.insert(libc::SYS_execve, Vec::new());
        filtered(rules, || {
            let failed = std::process::Command::new("/bin/true").status();
            assert_eq!(failed.expect_err("no process").raw_os_error(), Some(libc::ENOSYS));
        });
    }

    /// The test itself, run again as a process of its own, is the one that ends.
    #[test]
    fn to_execute_a_program_ends_the_process() {
        use std::os::unix::process::{CommandExt, ExitStatusExt};
        use std::process::Command;
        const IS_CHILD: &str = "SRPT_TEST_EXECUTES";
        if std::env::var_os(IS_CHILD).is_some() {
            install(Seccomp::On, Uses::default()).expect("a filter");
            panic!("still here: {}", Command::new("/bin/true").exec());
        }
        let mut again = Command::new(std::env::current_exe().expect("our own name"));
        again.args(["--exact", "privilege::filter::tests::to_execute_a_program_ends_the_process"]);
        let ended = again.env(IS_CHILD, "1").output().expect("it starts");
        assert_eq!(ended.status.signal(), Some(libc::SIGSYS), "{ended:?}");
    }
}
