//! The server's thread: one `poll` over the listener, all clients and the wake-up of [`Mailbox`].

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use serde_json::Value;

use crate::connection::{Connection, Limits};
use crate::error::RpcError;
use crate::message::Request;
use crate::pending::Pending;

/// Clients beyond the allowed number that are being told so at the same time. More wait unaccepted.
const MAX_REFUSED: usize = 32;
/// Bytes read from one client before the next has its turn.
const READ_BYTES: usize = 64 << 10;
/// Bytes of requests that are worked on at the same time; with more, no others are read. A control thread that is busy, or
/// carries out something that others wait for, would fill the memory with them: parsed, each takes thirty times as much.
const WORKING_BYTES_MAX: usize = 16 << 20;
/// Pause after an error that would come again at once, such as no file descriptors.
const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// How long a stopping server waits for clients to take their last answers.
const STOP_TIME: Duration = Duration::from_secs(1);

/// Where other threads leave replies for the server's thread.
#[derive(Debug)]
pub struct Mailbox {
    replies: Mutex<Vec<(ClientId, Result<Value, RpcError>)>>,
    stopping: AtomicBool,
    wake: OwnedFd,
    /// How often the thread has woken up.
    #[cfg(test)]
    rounds: std::sync::atomic::AtomicUsize,
}

/// Never used twice, so a reply cannot reach a later client.
type ClientId = u64;

impl Mailbox {
    pub fn new() -> Result<Self, Errno> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Mailbox {
            replies: Mutex::default(),
            stopping: AtomicBool::new(false),
            wake,
            #[cfg(test)]
            rounds: Default::default(),
        })
    }

    /// Tells the server's thread to end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake();
    }

    fn reply(&self, client: ClientId, outcome: Result<Value, RpcError>) {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).push((client, outcome));
        self.wake();
    }

    fn take(&self) -> Vec<(ClientId, Result<Value, RpcError>)> {
        std::mem::take(&mut *self.replies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wake(&self) {
        // It can only fail when the counter is full, and then the thread is being woken anyway.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn woken(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
    }
}

/// Everything that the server's thread owns.
pub struct EventLoop<F> {
    pub listener: UnixListener,
    pub mailbox: Arc<Mailbox>,
    pub limits: Limits,
    pub max_clients: usize,
    pub deliver: F,
    pub clients: Clients,
}

/// The clients that are there.
#[derive(Default)]
pub struct Clients {
    by_id: BTreeMap<ClientId, Client>,
    last_id: ClientId,
    /// Accepting is paused until then.
    accept_after: Option<Instant>,
    refusals: Throttle,
    accept_errors: Throttle,
}

impl Clients {
    fn working_bytes(&self) -> usize {
        self.by_id.values().map(|client| client.connection.working_bytes()).sum()
    }

    /// Whether requests are read: not while there are too many, since each client's would wait in our memory.
    fn may_send(&self) -> bool {
        self.working_bytes() <= WORKING_BYTES_MAX
    }

    fn end_pause(&mut self, now: Instant) {
        if self.accept_after.is_some_and(|time| time <= now) {
            self.accept_after = None;
        }
    }
}

struct Client {
    stream: UnixStream,
    connection: Connection,
    /// Accepted beyond the limit, to be told so.
    refused: bool,
    /// The client has gone while its request is worked on: polling it would return at once, again and again.
    gone: bool,
    /// The client has been told that no more answers come.
    shut: bool,
}

/// What `poll` reported.
struct Ready {
    woken: bool,
    accept: bool,
    clients: Vec<(ClientId, PollFlags)>,
}

impl<F: FnMut(Pending)> EventLoop<F> {
    /// Serves until [`Mailbox::stop`].
    pub fn run(mut self) {
        let mut buffer = vec![0; READ_BYTES];
        while !self.mailbox.stopping.load(Ordering::Acquire) {
            #[cfg(test)]
            self.mailbox.rounds.fetch_add(1, Ordering::Relaxed);
            let now = Instant::now();
            self.pass_on_replies(now);
            self.pass_on_requests(now);
            self.drop_finished(now);
            self.clients.end_pause(now);
            let Some(ready) = self.wait(self.next_deadline()) else { continue };
            let now = Instant::now();
            self.transfer(&ready.clients, &mut buffer, now);
            if ready.accept {
                self.accept(now);
            }
        }
        self.finish();
    }

    /// Replies to their connections.
    fn pass_on_replies(&mut self, now: Instant) {
        for (id, outcome) in self.mailbox.take() {
            // A client that was dropped meanwhile is not there any more.
            let Some(client) = self.clients.by_id.get_mut(&id) else { continue };
            if let Some(request) = client.connection.answered(outcome, now) {
                deliver(&mut self.deliver, &self.mailbox, id, request);
            }
        }
    }

    /// The next request of each client that has one and waits for none, as long as there is room.
    fn pass_on_requests(&mut self, now: Instant) {
        let mut working_bytes = self.clients.working_bytes();
        for (&id, client) in &mut self.clients.by_id {
            if working_bytes > WORKING_BYTES_MAX {
                return;
            }
            if let Some(request) = client.connection.advance(now) {
                working_bytes += client.connection.working_bytes();
                deliver(&mut self.deliver, &self.mailbox, id, request);
            }
        }
    }

    fn drop_finished(&mut self, now: Instant) {
        self.clients.by_id.retain(|_, client| {
            let expired = client.connection.deadline().is_some_and(|deadline| deadline <= now);
            if expired && client.connection.expire(now) {
                tracing::debug!("RPC client dropped: it did not read or did not close in time");
                return false;
            }
            if client.connection.output_ended() && !client.shut {
                client.shut = true;
                let _ = client.stream.shutdown(Shutdown::Write); // fails if the client has gone
            }
            !client.connection.is_finished()
        });
    }

    fn next_deadline(&self) -> Option<Instant> {
        let connections = self.clients.by_id.values().filter_map(|client| client.connection.deadline());
        connections.chain(self.clients.accept_after).min()
    }

    /// Sleeps until something can be done, or the deadline; `None` after an error of `poll` itself.
    fn wait(&self, deadline: Option<Instant>) -> Option<Ready> {
        let accepting = self.clients.accept_after.is_none() && self.has_room();
        let may_send = self.clients.may_send();
        let mut ids = Vec::with_capacity(self.clients.by_id.len());
        let mut fds = vec![PollFd::new(&self.mailbox.wake, PollFlags::IN)];
        if accepting {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        let fixed = fds.len();
        for (&id, client) in &self.clients.by_id {
            let interest = client.connection.interest();
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, interest.read && may_send);
            flags.set(PollFlags::OUT, interest.write);
            if flags.is_empty() && client.gone {
                continue;
            }
            ids.push(id);
            fds.push(PollFd::new(&client.stream, flags));
        }
        match poll(&mut fds, timeout(deadline).as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return None,
            Err(errno) => {
                tracing::error!("RPC server: poll: {errno}");
                std::thread::sleep(ERROR_PAUSE);
                return None;
            }
        }
        let ready = |index: usize| fds.get(index).map_or(PollFlags::empty(), |fd| fd.revents());
        let clients = ids.iter().enumerate().map(|(index, &id)| (id, ready(fixed + index)));
        let ready = Ready {
            woken: !ready(0).is_empty(),
            accept: accepting && !ready(1).is_empty(),
            clients: clients.filter(|(_, events)| !events.is_empty()).collect(),
        };
        if ready.woken {
            self.mailbox.woken();
        }
        Some(ready)
    }

    /// Reads and writes what can be.
    fn transfer(&mut self, ready: &[(ClientId, PollFlags)], buffer: &mut [u8], now: Instant) {
        let may_send = self.clients.may_send();
        for (id, events) in ready {
            let Some(client) = self.clients.by_id.get_mut(id) else { continue };
            let interest = client.connection.interest();
            if interest.write {
                client.write(now);
            }
            if interest.read && may_send && events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                client.read(buffer, now);
            }
            client.gone |= events.intersects(PollFlags::HUP | PollFlags::ERR);
        }
    }

    fn has_room(&self) -> bool {
        self.clients.by_id.len() < self.max_clients + MAX_REFUSED
            && self.clients.by_id.values().filter(|client| client.refused).count() < MAX_REFUSED
    }

    fn accept(&mut self, now: Instant) {
        while self.has_room() {
            match self.listener.accept().and_then(|(stream, _)| stream.set_nonblocking(true).map(|()| stream)) {
                Ok(stream) => self.welcome(stream, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    self.clients.accept_after = now.checked_add(ERROR_PAUSE);
                    if let Some(times) = self.clients.accept_errors.pass(now) {
                        tracing::warn!(times, "RPC client cannot be accepted: {error}");
                    }
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, stream: UnixStream, now: Instant) {
        let served = self.clients.by_id.values().filter(|client| !client.refused).count();
        let refused = served >= self.max_clients;
        let connection = if refused {
            let text = format!("too many connections: {} are open; close one, or try again", self.max_clients);
            if let Some(times) = self.clients.refusals.pass(now) {
                tracing::warn!(times, "RPC client refused: {text}");
            }
            Connection::refused(self.limits, RpcError::internal(text), now)
        } else {
            Connection::new(self.limits, now)
        };
        self.clients.last_id += 1;
        let client = Client { stream, connection, refused, gone: false, shut: false };
        self.clients.by_id.insert(self.clients.last_id, client);
    }

    /// Sends the last answers: those that are there, and an error for each request that is still worked on.
    fn finish(mut self) {
        let now = Instant::now();
        self.pass_on_replies(now);
        let error = RpcError::internal("the server is stopping");
        for client in self.clients.by_id.values_mut() {
            client.connection.stop(&error, now);
        }
        let deadline = now.checked_add(STOP_TIME);
        loop {
            self.clients.by_id.retain(|_, client| !client.connection.output().is_empty());
            let now = Instant::now();
            if self.clients.by_id.is_empty() || deadline.is_none_or(|deadline| deadline <= now) {
                return;
            }
            let mut fds: Vec<_> =
                self.clients.by_id.values().map(|client| PollFd::new(&client.stream, PollFlags::OUT)).collect();
            if poll(&mut fds, timeout(deadline).as_ref()).is_err_and(|errno| errno != Errno::INTR) {
                return;
            }
            for client in self.clients.by_id.values_mut() {
                client.write(now);
            }
        }
    }
}

fn deliver(deliver: &mut impl FnMut(Pending), mailbox: &Arc<Mailbox>, client: ClientId, request: Request) {
    tracing::debug!(client, method = crate::error::shortened(&request.method), "RPC request");
    let mailbox = Arc::clone(mailbox);
    deliver(Pending::new(request, move |outcome| mailbox.reply(client, outcome)));
}

/// Time left for `poll`; at least a millisecond, so that it does not return just before the deadline.
fn timeout(deadline: Option<Instant>) -> Option<Timespec> {
    let left = deadline?.saturating_duration_since(Instant::now()).saturating_add(Duration::from_millis(1));
    left.try_into().ok()
}

impl Client {
    fn read(&mut self, buffer: &mut [u8], now: Instant) {
        match self.stream.read(buffer) {
            Ok(0) => self.connection.input_ended(),
            Ok(count) => self.connection.received(buffer.get(..count).unwrap_or_default(), now),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.connection.input_ended(), // the client has gone
        }
    }

    fn write(&mut self, now: Instant) {
        match send(&self.stream, self.connection.output(), SendFlags::NOSIGNAL) {
            Ok(count) => self.connection.wrote(count, now),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.connection.output_failed(), // the client has gone
        }
    }
}

/// Lets one warning pass in ten seconds, with the number of those it stands for.
#[derive(Debug, Default)]
struct Throttle {
    last: Option<Instant>,
    count: u64,
}

impl Throttle {
    const INTERVAL: Duration = Duration::from_secs(10);

    fn pass(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < Self::INTERVAL) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
#[path = "event_loop_tests.rs"]
mod tests;
