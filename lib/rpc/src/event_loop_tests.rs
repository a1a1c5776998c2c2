use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::mpsc;
use std::thread::JoinHandle;

use super::*;

struct Running {
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
    requests: mpsc::Receiver<Pending>,
    path: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

fn start(max_clients: usize) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mailbox = Arc::new(Mailbox::new().unwrap());
    let hour = Duration::from_secs(3600);
    let limits = Limits { request_bytes: 1 << 20, answer_bytes: 32 << 20, request_time: hour, write_time: hour };
    let (sender, requests) = mpsc::channel();
    let deliver = move |pending| drop(sender.send(pending));
    let event_loop = EventLoop {
        listener,
        mailbox: Arc::clone(&mailbox),
        limits,
        max_clients,
        deliver,
        clients: Clients::default(),
    };
    let thread = Some(std::thread::spawn(move || event_loop.run()));
    Running { mailbox, thread, requests, path, _folder: folder }
}

impl Running {
    fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).unwrap()
    }

    /// A client whose request is being worked on.
    fn busy_client(&self) -> (UnixStream, Pending) {
        let mut client = self.connect();
        client.write_all(br#"{"jsonrpc":"2.0","method":"m","id":1}"#).unwrap();
        let pending = self.requests.recv().unwrap();
        (client, pending)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.mailbox.stop();
        let result = self.thread.take().unwrap().join();
        assert!(std::thread::panicking() || result.is_ok());
    }
}

#[test]
fn repeated_warnings_pass_once_in_an_interval_with_their_count() {
    let (mut throttle, start) = (Throttle::default(), Instant::now());
    assert_eq!(throttle.pass(start), Some(1));
    assert_eq!(throttle.pass(start + Throttle::INTERVAL / 2), None);
    assert_eq!(throttle.pass(start + Throttle::INTERVAL), Some(2));
}

/// Clients in every state that could make `poll` return at once again and again, and then a rest in which the thread
/// should sleep. A thread that spins makes many thousand rounds.
#[test]
fn the_thread_sleeps_whatever_state_its_clients_are_in() {
    let server = start(6);
    let idle = server.connect();
    let mut half_request = server.connect();
    half_request.write_all(b"{\"a\"").unwrap();
    let (waiting, _pending) = server.busy_client();
    let (gone_while_waiting, _pending) = server.busy_client();
    drop(gone_while_waiting);
    let (half_closed_while_waiting, _pending) = server.busy_client();
    half_closed_while_waiting.shutdown(Shutdown::Write).unwrap();
    let (not_reading, pending) = server.busy_client();
    pending.reply(Ok("x".repeat(16 << 20).into()));
    let refused = server.connect(); // and does not close
    let mut line = String::new();
    BufReader::new(&refused).read_line(&mut line).unwrap();
    assert!(line.contains("too many connections"), "{line}");

    std::thread::sleep(Duration::from_millis(200));
    let before = server.mailbox.rounds.load(Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(300));
    let rounds = server.mailbox.rounds.load(Ordering::Relaxed) - before;
    assert!(rounds < 20, "{rounds} rounds while nothing happened");
    drop((idle, half_request, waiting, half_closed_while_waiting, not_reading, refused));
}

#[test]
fn an_accept_pause_ends() {
    let now = Instant::now();
    let mut clients = Clients { accept_after: Some(now + ERROR_PAUSE), ..Clients::default() };
    clients.end_pause(now);
    assert!(clients.accept_after.is_some());
    clients.end_pause(now + ERROR_PAUSE);
    assert!(clients.accept_after.is_none());
}

#[test]
fn what_a_client_sent_before_it_left_is_done() {
    let server = start(2);
    let mut client = server.connect();
    let notification = br#"{"jsonrpc":"2.0","method":"m"}"#;
    client.write_all(&notification.repeat(3)).unwrap();
    drop(client);
    for _ in 0..3 {
        server.requests.recv().unwrap().reply(Ok(Value::Null));
    }
}

#[test]
fn a_reply_for_a_client_that_has_gone_reaches_nobody_else() {
    let server = start(2);
    let (client, pending) = server.busy_client();
    drop(client);
    let (next, next_pending) = server.busy_client();
    pending.reply(Ok("first".into()));
    next_pending.reply(Ok("second".into()));
    let mut line = String::new();
    BufReader::new(&next).read_line(&mut line).unwrap();
    assert!(line.contains("second"), "{line}");
}

/// While something is carried out that others wait for, each of 128 clients could leave 4 MiB of text, which are 100 MiB parsed.
#[test]
fn requests_that_wait_are_bounded_together_and_come_when_there_is_room() {
    let running = start(32);
    let text = format!(r#"{{"jsonrpc":"2.0","method":"{}","id":1}}"#, "x".repeat((1 << 20) - 64));
    let most = 1 + WORKING_BYTES_MAX / text.len();
    let more = std::thread::scope(|scope| {
        for _ in 0..most + 4 {
            let mut client = running.connect();
            let text = text.as_bytes();
            scope.spawn(move || {
                client.write_all(text).unwrap();
                BufReader::new(client).read_line(&mut String::new()).unwrap();
            });
        }
        let held: Vec<Pending> = (0..most).map(|_| running.requests.recv().unwrap()).collect();
        let rounds = || running.mailbox.rounds.load(Ordering::Relaxed);
        for _ in 0..50 {
            let before = rounds();
            running.mailbox.wake();
            while rounds() == before {
                std::thread::yield_now();
            }
        }
        let more: Vec<Pending> = running.requests.try_iter().collect();
        let left = 4 - more.len();
        let count = more.len();
        held.into_iter().chain(more).for_each(|pending| pending.reply(Ok(Value::Null)));
        (0..left).for_each(|_| running.requests.recv().unwrap().reply(Ok(Value::Null)));
        count
    });
    assert_eq!(more, 0, "besides {most}");
}
