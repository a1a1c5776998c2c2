//! The way out, in this order:
//!
//! 1. A signal or `spdk_kill_instance` sets the stop flag (`appliance.rs` sees it).
//! 2. The listeners close; every channel answers what it has accepted, takes nothing new, and is disconnected
//!    (`Controller::start_drain`). Initiators keep what was not answered and send it again to the next instance.
//! 3. The control thread ends; the RPC socket goes away.
//! 4. Reactors stop and drop their poll groups, and with them their channels on the devices.
//! 5. Every device with a volatile cache is flushed.
//!
//! Nothing acknowledged depends on any of it: a write is as durable as its status said without this.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bdev::{Bdev, BlockIo, Op};
use reactor::ReactorThread;

/// How long one device may take for its last flush.
const FLUSH_PATIENCE: Duration = Duration::from_secs(60);

/// Steps 3 to 5.
pub(crate) fn finish(
    bdevs: Rc<RefCell<Vec<Arc<Bdev>>>>,
    server: rpc::Server,
    threads: Vec<ReactorThread>,
) -> anyhow::Result<()> {
    server.shutdown();
    for thread in &threads {
        thread.handle().stop();
    }
    threads.into_iter().for_each(ReactorThread::join);
    let mut failed = Vec::new();
    // What stands on another has no cache of its own.
    let has_cache = |bdev: &&Arc<Bdev>| bdev.info().write_cache && !bdev.info().read_only && bdev.base().is_none();
    for bdev in bdevs.borrow().iter().filter(has_cache) {
        if let Err(error) = flush(bdev) {
            failed.push(format!("{}: {error:#}", bdev.info().name));
        }
    }
    if !failed.is_empty() {
        anyhow::bail!("could not flush at the end: {}", failed.join("; "));
    }
    tracing::info!("stopped");
    Ok(())
}

fn flush(bdev: &Arc<Bdev>) -> anyhow::Result<()> {
    let mut channel = bdev.open_channel(1)?;
    let io = BlockIo { op: Op::Flush, lba: 0, blocks: 0, data: None, tag: 0 };
    channel.submit(io, 0).map_err(|_| anyhow::anyhow!("the device takes no operation"))?;
    let end = Instant::now() + FLUSH_PATIENCE;
    let mut outcome = None;
    while outcome.is_none() {
        channel.poll(0, &mut |done| outcome = Some(done.result));
        if Instant::now() > end {
            anyhow::bail!("the device does not answer");
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(outcome.unwrap_or(Ok(()))?)
}
