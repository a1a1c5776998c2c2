//! The limit on locked memory (RLIMIT_MEMLOCK, getrlimit(2)): what it is, whether it suffices, how to raise it.
//!
//! The kernel counts two things against it: memory locked by `mlock`, and memory that an RDMA adapter registers. The
//! second counts huge pages too, so a process without the right to exceed the limit (CAP_IPC_LOCK) needs it raised.

use std::fmt;

use crate::page::Size;

/// One bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// That many bytes.
    Bytes(
        /// Bytes.
        u64,
    ),
    /// No bound.
    Unlimited,
}

/// How much memory a process may lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemlockLimit {
    /// The bound in force.
    pub soft: Limit,
    /// How far the process itself may raise it.
    pub hard: Limit,
    /// True if the process has CAP_IPC_LOCK, as root does: the bound does not apply to it.
    pub exempt: bool,
}

impl MemlockLimit {
    /// Whether `needed` bytes may be locked.
    pub fn allows(&self, needed: Limit) -> bool {
        self.exempt
            || match (self.soft, needed) {
                (Limit::Unlimited, _) => true,
                (Limit::Bytes(_), Limit::Unlimited) => false,
                (Limit::Bytes(bound), Limit::Bytes(needed)) => needed <= bound,
            }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => Size(*bytes).fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl fmt::Display for MemlockLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (hard limit {})", self.soft, self.hard)?;
        if self.exempt { f.write_str(", not applied: this process has CAP_IPC_LOCK") } else { Ok(()) }
    }
}

/// Reads /proc/self/limits and /proc/self/status; `None` if the line about locked memory is not there.
pub fn parse(limits: &str, status: &str) -> Option<MemlockLimit> {
    let rest = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    let mut words = rest.split_whitespace();
    let soft = parse_limit(words.next()?)?;
    let hard = parse_limit(words.next()?)?;
    Some(MemlockLimit { soft, hard, exempt: parse_cap_ipc_lock(status) })
}

fn parse_limit(word: &str) -> Option<Limit> {
    if word == "unlimited" { Some(Limit::Unlimited) } else { word.parse().ok().map(Limit::Bytes) }
}

/// Line `CapEff:` of /proc/self/status, bit 14 (capabilities(7)). Absent or odd: no capability.
fn parse_cap_ipc_lock(status: &str) -> bool {
    const CAP_IPC_LOCK: u64 = 1 << 14;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|caps| caps & CAP_IPC_LOCK != 0)
}

/// What to change so that `needed` may be locked: one paragraph per way a service is started. The unit of limits.conf
/// is KiB, that of systemd bytes.
pub fn advice(needed: Limit, user: &str) -> String {
    let (in_kib, in_systemd, in_docker) = match needed {
        Limit::Unlimited => ("unlimited".to_owned(), "infinity".to_owned(), "-1".to_owned()),
        Limit::Bytes(bytes) => (bytes.div_ceil(1024).to_string(), bytes.to_string(), bytes.to_string()),
    };
    format!(
        "To raise it, add to one of these:\n\
         \x20 /etc/security/limits.d/90-memlock.conf (takes effect at the next login):\n\
         \x20   {user} soft memlock {in_kib}\n\
         \x20   {user} hard memlock {in_kib}\n\
         \x20 the [Service] section of a systemd unit (then: systemctl daemon-reload, and restart the service):\n\
         \x20   LimitMEMLOCK={in_systemd}\n\
         \x20 the command line of a container:\n\
         \x20   --ulimit memlock={in_docker}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
                          Max processes             96000                96000                processes \n\
                          Max locked memory         8388608              unlimited            bytes     \n";

    #[test]
    fn limits_of_a_user_are_read() {
        let found = parse(LIMITS, "Name:\tx\nCapEff:\t0000000000000000\n");
        let expected = MemlockLimit { soft: Limit::Bytes(8 << 20), hard: Limit::Unlimited, exempt: false };
        assert_eq!(found, Some(expected));
        assert_eq!(expected.to_string(), "8M (hard limit unlimited)");
    }

    #[test]
    fn only_the_right_capability_exempts() {
        assert!(parse_cap_ipc_lock("CapEff:\t0000000000004000\n"));
        assert!(parse_cap_ipc_lock("CapEff:\t000001ffffffffff\n"));
        assert!(!parse_cap_ipc_lock("CapEff:\t0000000000002000\nCapBnd:\t0000000000004000\n"));
        assert!(!parse_cap_ipc_lock(""));
    }

    #[test]
    fn text_without_the_line_gives_nothing() {
        assert_eq!(parse("", ""), None);
        assert_eq!(parse("Max locked memory   lots  more\n", ""), None);
        assert_eq!(parse("Max locked memory   1\n", ""), None);
    }

    #[test]
    fn a_limit_allows_up_to_itself() {
        let limit = |soft, exempt| MemlockLimit { soft, hard: Limit::Unlimited, exempt };
        assert!(limit(Limit::Bytes(100), false).allows(Limit::Bytes(100)));
        assert!(!limit(Limit::Bytes(100), false).allows(Limit::Bytes(101)));
        assert!(!limit(Limit::Bytes(u64::MAX), false).allows(Limit::Unlimited));
        assert!(limit(Limit::Unlimited, false).allows(Limit::Unlimited));
        assert!(limit(Limit::Bytes(0), true).allows(Limit::Unlimited));
    }

    #[test]
    fn advice_uses_each_files_own_unit() {
        let text = advice(Limit::Bytes(1 << 30), "storage");
        for line in ["storage hard memlock 1048576\n", "LimitMEMLOCK=1073741824\n", "--ulimit memlock=1073741824\n"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(advice(Limit::Unlimited, "storage").contains("LimitMEMLOCK=infinity\n"));
    }
}
