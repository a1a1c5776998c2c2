//! One owner per file: two targets that write the same file would destroy each other's data.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fd::AsFd;
use rustix::fs::{FlockOperation, Stat};
use rustix::io::Errno;

use crate::create::CreateError;

/// How long to wait for a holder that may be about to end.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(3);

/// How long to go on waiting for one that has ended: the kernel finishes its writes first, which takes a busy disk a while. Whoever gave up
/// sooner would not come back after a kill.
const WAIT_ENDED: Duration = Duration::from_secs(20);

/// How long to wait for a device of this process, which goes by command only: as long as a child that is being started
/// may hold on to a file that was closed meanwhile.
const WAIT_OWN: Duration = Duration::from_millis(200);

const RETRY: Duration = Duration::from_millis(10);

/// Locks a file, shared for a read-only device, else exclusively. The lock is flock(2)'s: it belongs to the open file
/// and ends with the last reference to it, also that of an io_uring of a killed process. So nobody gets the file while a
/// write of its last owner may still land in it.
pub(crate) fn lock(fd: impl AsFd, stat: &Stat, path: &Path, read_only: bool) -> Result<(), CreateError> {
    let operation = match read_only {
        true => FlockOperation::NonBlockingLockShared,
        false => FlockOperation::NonBlockingLockExclusive,
    };
    let lock = || rustix::fs::flock(&fd, operation);
    let outcome = lock().or_else(|first| {
        let ours = holder(stat).is_some_and(|pid| pid == std::process::id());
        if first == Errno::WOULDBLOCK { retry(if ours { WAIT_OWN } else { WAIT_MAX }, first, lock) } else { Err(first) }
    });
    let outcome = outcome.or_else(|errno| match holder(stat) {
        Some(pid) if errno == Errno::WOULDBLOCK && has_ended(pid) => retry(WAIT_ENDED, errno, lock),
        _ => Err(errno),
    });
    outcome.map_err(|errno| match errno {
        Errno::WOULDBLOCK => CreateError::InUse { path: path.to_owned(), holder: describe(holder(stat)) },
        errno => CreateError::File {
            path: path.to_owned(),
            problem: "cannot be locked against other users; keep it on a file system with flock(2)".to_owned(),
            source: errno.into(),
        },
    })
}

/// Repeats `attempt` while it fails with `errno`, for `wait_max`.
pub(crate) fn retry<T>(
    wait_max: Duration,
    errno: Errno,
    mut attempt: impl FnMut() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    let deadline = Instant::now() + wait_max;
    loop {
        match attempt() {
            Err(error) if error == errno && Instant::now() < deadline => thread::sleep(RETRY),
            outcome => return outcome,
        }
    }
}

/// The process that holds a flock on the file, as far as /proc/locks says.
fn holder(stat: &Stat) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    holder_of(&locks, rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev), stat.st_ino)
}

/// A line reads `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF` (proc_locks(5)); waiters have `->` after the number.
fn holder_of(locks: &str, major: u32, minor: u32, inode: u64) -> Option<u32> {
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, pid, of) = (words.next()?, words.nth(2)?, words.next()?);
        (kind == "FLOCK" && of == file).then(|| pid.parse().ok())?
    })
}

/// Whether there is no such process; 0 stands for one that cannot be seen from here.
fn has_ended(pid: u32) -> bool {
    pid != 0 && !Path::new(&format!("/proc/{pid}")).exists()
}

fn describe(holder: Option<u32>) -> String {
    match holder {
        None | Some(0) => "another process (another instance of this target?)".to_owned(),
        Some(pid) if pid == std::process::id() => "another bdev of this process".to_owned(),
        Some(pid) => match fs::read_to_string(format!("/proc/{pid}/comm")) {
            Ok(name) => format!("process {pid} ({})", name.trim()),
            Err(_) => format!("process {pid}, which has ended but whose last I/O the kernel is still finishing"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_flock_is_found_by_device_and_inode() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 fe:00:5678 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 8 fe:00:567 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 9 fe:00:5678 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 10 fe:00:5678 0 EOF\n\
                     garbage\n\n";
        assert_eq!(holder_of(locks, 0xfe, 0, 5678), Some(9));
        assert_eq!(holder_of(locks, 0xfe, 0, 567), Some(8));
        assert_eq!(holder_of(locks, 0xfe, 1, 5678), None);
    }
}
