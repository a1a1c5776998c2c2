//! The thread that serves HTTP, and what keeps it from being kept busy: clients are hostile.
//!
//! A connection serves one request and ends, within [`CONNECTION_TIME`] whatever the client does. When there are
//! [`CONNECTIONS_MAX`], the oldest makes room: a client that is well is done in milliseconds, so it is one that hangs.

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, LocalSet};

use super::pages;
use super::scrapes::{Scrapes, Sources};

const CONNECTIONS_MAX: usize = 32;

/// From the first byte to the last. Prometheus gives up after 10 s unless told otherwise.
const CONNECTION_TIME: Duration = Duration::from_secs(15);

/// How long a client may take to say what it wants.
const HEADER_TIME: Duration = Duration::from_secs(5);

/// Bytes that may be buffered of what a client says.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Header fields of a request.
const HEADERS_MAX: usize = 64;

/// How long to wait when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A reactor that happens to share a core with this thread comes first.
const NICENESS: i32 = 10;

/// The running server; ends when dropped.
pub(crate) struct Server {
    /// Dropped to stop the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts to serve.
    ///
    /// # Errors
    /// The system has no thread or file descriptor for it.
    pub(crate) fn start(listener: TcpListener, sources: Sources) -> anyhow::Result<Server> {
        listener.set_nonblocking(true).context("metrics")?;
        let address = listener.local_addr().context("metrics")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("metrics")?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            // Without it scrapes are served all the same.
            let _ = rustix::process::nice(NICENESS);
            let served = LocalSet::new().block_on(&runtime, serve(listener, sources, stopped));
            if let Err(error) = served {
                tracing::error!(%error, "metrics are not served any more");
            }
        };
        let thread = std::thread::Builder::new().name("metrics".into()).spawn(run).context("metrics")?;
        tracing::info!("metrics are served at http://{address}/metrics");
        Ok(Server { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ends at once: whatever it does, it awaits.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, sources: Sources, mut stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let shared = Rc::new((sources, Scrapes::default()));
    let mut connections = VecDeque::<AbortHandle>::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut stopped => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // The client went, or there are no file descriptors left; the next one may do better.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        connections.retain(|connection| !connection.is_finished());
        if connections.len() == CONNECTIONS_MAX
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        let shared = Rc::clone(&shared);
        let connection = tokio::task::spawn_local(async move {
            // What becomes of a client is its own business.
            let _ = tokio::time::timeout(CONNECTION_TIME, serve_one(stream, &shared.0, &shared.1)).await;
        });
        connections.push_back(connection.abort_handle());
    }
}

async fn serve_one(stream: TcpStream, sources: &Sources, scrapes: &Scrapes) -> hyper::Result<()> {
    http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(|request| pages::answer(request, sources, scrapes)))
        .await
}
