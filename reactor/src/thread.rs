//! A reactor on a thread of its own.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::{io, panic};

use crate::affinity::{AffinityError, pin_current_thread};
use crate::clock::Clock;
use crate::handle::ReactorHandle;
use crate::idle::IdleMode;
use crate::reactor::{Reactor, ReactorConfig};

/// Starts a thread, pins it to `config.core`, makes a reactor there, lets `setup` add the first pollers, and runs it.
/// Returns once `setup` is done.
///
/// # Errors
/// If the thread cannot be started or pinned; then nothing runs.
///
/// # Panics
/// If `setup` does.
pub fn spawn<C, S>(config: ReactorConfig, clock: C, setup: S) -> Result<ReactorThread, ReactorError>
where
    C: Clock + Send + 'static,
    S: FnOnce(&mut Reactor<C>) + Send + 'static,
{
    let name = config.name.clone();
    let (report, outcome) = mpsc::sync_channel(1);
    let body = move || {
        if let Err(error) = prepare_thread(&config) {
            let _ = report.send(Err(error)); // the other end waits for it
            return;
        }
        let mut reactor = Reactor::new(config, clock);
        setup(&mut reactor);
        let _ = report.send(Ok(reactor.handle()));
        reactor.run();
    };
    let thread = thread::Builder::new()
        .name(name.clone())
        .spawn(body)
        .map_err(|source| ReactorError::Thread { name: name.clone(), source })?;
    match outcome.recv() {
        Ok(Ok(handle)) => Ok(ReactorThread { handle, thread: Some(thread) }),
        Ok(Err(source)) => Err(ReactorError::Pin { name, source }),
        Err(mpsc::RecvError) => match thread.join() {
            Err(panic) => panic::resume_unwind(panic),
            Ok(()) => unreachable!("the thread reports before it ends"),
        },
    }
}

fn prepare_thread(config: &ReactorConfig) -> Result<(), AffinityError> {
    if config.idle != IdleMode::Poll {
        // The kernel lets a thread oversleep by 50 µs unless asked not to, more than the shortest sleeps of the adaptive
        // mode. Where it refuses, the sleeps are longer and all else is the same.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1_000));
    }
    config.core.map_or(Ok(()), pin_current_thread)
}

/// A running reactor. Dropping this asks it to stop and does not wait.
#[derive(Debug)]
pub struct ReactorThread {
    handle: ReactorHandle,
    thread: Option<JoinHandle<()>>,
}

impl ReactorThread {
    /// What may be asked of the reactor.
    pub fn handle(&self) -> ReactorHandle {
        self.handle.clone()
    }

    /// Waits until the reactor, which someone has told to stop, has ended and dropped its pollers.
    ///
    /// # Panics
    /// With the panic of the poller that ended the thread.
    pub fn join(mut self) {
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            panic::resume_unwind(panic);
        }
    }
}

impl Drop for ReactorThread {
    fn drop(&mut self) {
        self.handle.stop();
    }
}

/// Why a reactor could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ReactorError {
    /// The system gave no thread.
    #[error("cannot start the thread of reactor {name}: {source}")]
    Thread {
        /// The reactor.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The thread cannot run on its core.
    #[error("cannot start reactor {name}: {source}")]
    Pin {
        /// The reactor.
        name: String,
        /// What is wrong with the core.
        source: AffinityError,
    },
}
