//! Starting and stopping the server.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::connection::Limits;
use crate::event_loop::{Clients, EventLoop, Mailbox};
use crate::pending::Pending;
use crate::socket::{self, Access, BindError, BoundSocket};

/// Bounds on what clients may do, and who may connect.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Clients at the same time; more are told so and closed.
    pub max_connections: usize,
    /// Longest request in bytes; a longer one ends its connection.
    pub max_request_bytes: usize,
    /// Longest answer in bytes; a longer one becomes an error.
    pub max_response_bytes: usize,
    /// From the first byte of a request to its last; a slower one ends its connection.
    pub request_timeout: Duration,
    /// A client that takes nothing of its answer for so long is dropped.
    pub write_timeout: Duration,
    /// Permission bits of the socket. Who may write to it controls the target.
    pub mode: u32,
    /// The group that the socket is given to; `None`: that of the process.
    pub group: Option<u32>,
}

impl Default for ServerOptions {
    /// 128 clients, requests to 4 MiB, answers to 32 MiB (as in SPDK), 60 s for a request, 30 s for a write, and the
    /// owner alone may connect.
    fn default() -> Self {
        ServerOptions {
            max_connections: 128,
            max_request_bytes: 4 << 20,
            max_response_bytes: 32 << 20,
            request_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            mode: 0o600,
            group: None,
        }
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    socket: BoundSocket,
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds the socket `path` and serves it on a thread of its own, which inherits the CPU affinity of the caller.
    ///
    /// `deliver` gets every request on that thread. It must not wait: it passes the [`Pending`] on (or answers it, if
    /// that takes no time).
    ///
    /// A socket that a dead process left at `path` is replaced; a lock on `path` with `.lock` appended keeps a second
    /// instance away.
    ///
    /// # Errors
    /// [`BindError`], with what to do about it.
    pub fn bind(
        path: &Path,
        options: ServerOptions,
        deliver: impl FnMut(Pending) + Send + 'static,
    ) -> Result<Server, BindError> {
        let mailbox = Mailbox::new().map_err(|errno| BindError::Thread(errno.into()))?;
        let mailbox = Arc::new(mailbox);
        let (socket, listener) = socket::bind(path, Access { mode: options.mode, group: options.group })?;
        let event_loop = EventLoop {
            listener,
            mailbox: Arc::clone(&mailbox),
            limits: Limits {
                request_bytes: options.max_request_bytes,
                answer_bytes: options.max_response_bytes,
                request_time: options.request_timeout,
                write_time: options.write_timeout,
            },
            max_clients: options.max_connections,
            deliver,
            clients: Clients::default(),
        };
        let thread = std::thread::Builder::new().name("rpc".to_owned()).spawn(move || event_loop.run());
        let thread = thread.map_err(BindError::Thread)?;
        Ok(Server { socket, mailbox, thread: Some(thread) })
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        self.socket.path()
    }

    /// Stops the thread and removes the socket. Answers given before are still sent (for a second at most); a request
    /// without an answer gets an error that says that the server is stopping.
    pub fn shutdown(self) {}
}

impl Drop for Server {
    fn drop(&mut self) {
        self.mailbox.stop();
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, in `deliver`; the panic has been reported.
            let _ = thread.join();
        }
        // `socket` goes next, and removes its file.
    }
}
