//! Tells the service manager how the process is doing, by the protocol of sd_notify(3): lines in a datagram to the socket that `NOTIFY_SOCKET` names. Without
//! it, nothing is told.
//!
//! The watchdog is fed by the control thread, and only while every reactor has gone round since the last time. So a process that answers requests
//! but whose data path hangs is restarted, too.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use reactor::{Instant, ReactorHandle};
use rustix::time::{ClockId, clock_gettime};

/// How often the state is told in words, if it has changed.
const STATUS_PERIOD: Duration = Duration::from_secs(2);

/// The way to the service manager, if there is one.
#[derive(Default)]
pub(crate) struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Watchdog>,
    next_status: Instant,
    status: String,
    is_reloading: bool,
    is_stopping: bool,
}

/// What is to be fed, how often, and what has to have moved in between.
struct Watchdog {
    period: Duration,
    next: Instant,
    /// Rounds of each reactor when it was last fed.
    rounds: Vec<u64>,
}

impl Notifier {
    /// As the environment says.
    pub(crate) fn from_environment() -> Notifier {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let timeout = number("WATCHDOG_USEC").filter(|&us| us > 0 && is_ours).map(Duration::from_micros);
        Notifier::new(std::env::var_os("NOTIFY_SOCKET"), timeout)
    }

    fn new(socket: Option<OsString>, watchdog_timeout: Option<Duration>) -> Notifier {
        let connected = socket.map(connect).and_then(|socket| {
            let problem = |error: &std::io::Error| tracing::warn!(%error, "NOTIFY_SOCKET: the service manager cannot be told anything");
            socket.inspect_err(problem).ok()
        });
        // sd_watchdog_enabled(3): half of the time is recommended; a third leaves room for one that is missed.
        let watchdog =
            |timeout: Duration| Watchdog { period: timeout / 3, next: Instant::default(), rounds: Vec::new() };
        let watchdog = watchdog_timeout.filter(|_| connected.is_some()).map(watchdog);
        Notifier { socket: connected, watchdog, ..Notifier::default() }
    }

    /// The process serves.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// The process is about to end. Told once, however often it is said.
    pub(crate) fn stopping(&mut self) {
        if !std::mem::replace(&mut self.is_stopping, true) {
            self.send("STOPPING=1\nSTATUS=finishing the commands under way");
        }
    }

    /// What is to be told from time to time. `is_reloading`: a configuration is being brought about anew. `status` says in a line what is going on.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        reactors: &[ReactorHandle],
        is_reloading: bool,
        status: impl FnOnce() -> String,
    ) {
        if self.socket.is_none() || self.is_stopping {
            return;
        }
        if std::mem::replace(&mut self.is_reloading, is_reloading) != is_reloading {
            match is_reloading {
                true => self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us())),
                false => self.ready(),
            }
        }
        let mut message = String::new();
        if let Some(watchdog) = &mut self.watchdog
            && watchdog.is_due(now, reactors)
        {
            message.push_str("WATCHDOG=1\n");
        }
        if now >= self.next_status {
            self.next_status = now.plus(STATUS_PERIOD);
            let status = status();
            if status != self.status {
                // A string takes everything.
                let _ = writeln!(message, "STATUS={status}");
                self.status = status;
            }
        }
        if !message.is_empty() {
            self.send(&message);
        }
    }

    /// Never waits: a service manager that does not listen is not worth holding up logins for.
    fn send(&self, message: &str) {
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(message.as_bytes())) {
            tracing::debug!(%error, message, "the service manager was not told");
        }
    }
}

impl Watchdog {
    /// Whether it is time, and all reactors have gone on.
    fn is_due(&mut self, now: Instant, reactors: &[ReactorHandle]) -> bool {
        if now < self.next {
            return false;
        }
        let rounds: Vec<u64> = reactors.iter().map(|reactor| reactor.stats().rounds).collect();
        let stands_still = rounds.iter().zip(&self.rounds).position(|(now, before)| now == before);
        self.next = now.plus(self.period);
        if let Some(index) = stands_still {
            let reactor = &reactors[index].stats().name;
            tracing::error!(reactor, "a reactor stands still: the watchdog is not fed");
            return false;
        }
        self.rounds = rounds;
        true
    }
}

fn connect(name: OsString) -> std::io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn monotonic_us() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

#[cfg(test)]
mod tests {
    use reactor::{IdleMode, ManualClock, Reactor, ReactorConfig};

    use super::*;

    /// A service manager, and what it was told last.
    struct Manager {
        folder: tempfile::TempDir,
        socket: UnixDatagram,
    }

    impl Manager {
        fn new() -> Manager {
            let folder = tempfile::tempdir().expect("a folder");
            let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
            socket.set_nonblocking(true).expect("a socket");
            Manager { folder, socket }
        }

        fn notifier(&self, watchdog: Option<Duration>) -> Notifier {
            Notifier::new(Some(self.folder.path().join("notify").into()), watchdog)
        }

        fn told(&self) -> Option<String> {
            let mut buf = [0; 512];
            let len = self.socket.recv(&mut buf).ok()?;
            Some(String::from_utf8(buf[..len].to_vec()).expect("text"))
        }
    }

    fn reactor() -> Reactor<ManualClock> {
        let config =
            ReactorConfig { core: None, name: "reactor_7".into(), idle: IdleMode::Poll, stall_after: Duration::MAX };
        Reactor::new(config, ManualClock::new())
    }

    fn seconds(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000_000)
    }

    #[test]
    fn the_watchdog_is_fed_while_every_reactor_goes_round() {
        let manager = Manager::new();
        let mut notifier = manager.notifier(Some(Duration::from_secs(30)));
        let (mut one, mut other) = (reactor(), reactor());
        let handles = [one.handle(), other.handle()];
        let mut poll = |now| notifier.poll(now, &handles, false, || "idle".into());
        poll(seconds(100));
        assert_eq!(manager.told().as_deref(), Some("WATCHDOG=1\nSTATUS=idle\n"));
        poll(seconds(109));
        assert_eq!(manager.told(), None, "it is early, and nothing has changed");
        one.run_once();
        poll(seconds(110));
        assert_eq!(manager.told(), None, "the other stands still");
        other.run_once();
        poll(seconds(120));
        assert_eq!(manager.told().as_deref(), Some("WATCHDOG=1\n"));
        one.run_once();
        other.run_once();
        poll(seconds(131));
        assert_eq!(manager.told().as_deref(), Some("WATCHDOG=1\n"));
    }

    #[test]
    fn without_a_watchdog_the_state_alone_is_told_when_it_changes() {
        let manager = Manager::new();
        let mut notifier = manager.notifier(None);
        notifier.ready();
        assert_eq!(manager.told().as_deref(), Some("READY=1"));
        notifier.poll(seconds(1), &[], false, || "1 session".into());
        assert_eq!(manager.told().as_deref(), Some("STATUS=1 session\n"));
        notifier.poll(seconds(2), &[], false, || panic!("too early"));
        notifier.poll(seconds(4), &[], false, || "2 sessions".into());
        assert_eq!(manager.told().as_deref(), Some("STATUS=2 sessions\n"));
        notifier.stopping();
        assert!(manager.told().is_some_and(|told| told.starts_with("STOPPING=1\n")));
        notifier.stopping();
        assert_eq!(manager.told(), None, "once is enough");
    }

    #[test]
    fn a_reload_is_told_with_its_time_and_then_that_it_is_over() {
        let manager = Manager::new();
        let mut notifier = manager.notifier(None);
        let mut poll = |is_reloading| notifier.poll(Instant::default(), &[], is_reloading, String::new);
        let before = monotonic_us();
        poll(true);
        let told = manager.told().expect("RELOADING");
        let time = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|time| time.parse::<i64>().ok());
        assert!(time.is_some_and(|time| (before..=monotonic_us()).contains(&time)), "{told}");
        poll(true);
        assert_eq!(manager.told(), None);
        poll(false);
        assert_eq!(manager.told().as_deref(), Some("READY=1"));
    }

    #[test]
    fn a_manager_that_is_gone_or_does_not_listen_holds_nobody_up() {
        let manager = Manager::new();
        let notifier = manager.notifier(None);
        (0..10_000).for_each(|_| notifier.ready());
        drop(manager);
        notifier.ready();
        Notifier::new(Some("/nonexistent/notify".into()), Some(Duration::from_secs(1))).ready();
        Notifier::new(None, None).ready();
    }

    #[test]
    fn names_of_the_abstract_namespace_begin_with_an_at_sign() {
        let name = format!("srpt-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        Notifier::new(Some(format!("@{name}").into()), None).ready();
        let mut buf = [0; 16];
        assert_eq!(socket.recv(&mut buf).map(|len| buf[..len].to_vec()).ok(), Some(b"READY=1".to_vec()));
    }
}
