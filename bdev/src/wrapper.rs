//! What the devices that stand on another have in common: their facts, and the channel to the device beneath.

use std::sync::Arc;

use reactor::WakeSources;
use uuid::Uuid;

use crate::bdev::{Bdev, Info};
use crate::channel::{Channel, ChannelError, ChannelOptions, Finished};
use crate::create::{self, CreateError};
use crate::io::{BlockIo, Op};

/// Most devices that stand on each other: each costs every operation on the topmost one, and some stack.
const HEIGHT_MAX: usize = 8;

/// The facts of a device on `base`: those of the base, under a name and an identity of its own. `parameter` is the name
/// that the base has in the options.
///
/// # Errors
/// The name is none, or too many devices stand on each other.
pub(crate) fn info(
    base: &Bdev,
    parameter: &'static str,
    name: String,
    product_name: &'static str,
    uuid: Option<Uuid>,
) -> Result<Info, CreateError> {
    create::check_name(&name)?;
    if height(base) >= HEIGHT_MAX {
        let problem = format!("{} is the top of {HEIGHT_MAX} devices: take one further down", base.info().name);
        return Err(CreateError::parameter(parameter, problem));
    }
    // As stable as the identity of the base, and another one for every name.
    let uuid = uuid.unwrap_or_else(|| Uuid::new_v5(&base.info().uuid, format!("{product_name} {name}").as_bytes()));
    // Whether writes are refused is asked of the base each time (`Bdev::is_read_only`).
    Ok(Info { name, uuid, product_name, read_only: false, filename: None, ..base.info().clone() })
}

/// How many devices there are from this one down to the lowest.
fn height(bdev: &Bdev) -> usize {
    1 + bdev.base().map_or(0, |base| height(base))
}

/// A core's channel to the device beneath. It is as deep as the channel above it, whose operations are the only ones that
/// enter it, so there is always room.
#[derive(Debug)]
pub(crate) struct BaseChannel<M> {
    channel: Channel,
    /// What the operations are to those above, by the tag that they have beneath.
    carried: Box<[Option<Carried<M>>]>,
    free: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Carried<M> {
    op: Op,
    lba: u64,
    blocks: u64,
    tag: u64,
    submitted_ns: u64,
    /// What the device wants to know of it when it comes back.
    note: M,
}

impl<M: Copy> BaseChannel<M> {
    pub(crate) fn open(base: &Arc<Bdev>, options: ChannelOptions<'_>) -> Result<BaseChannel<M>, ChannelError> {
        let channel = base.open_channel_with(options)?;
        let depth = options.depth as u32;
        Ok(BaseChannel { channel, carried: vec![None; options.depth].into(), free: (0..depth).rev().collect() })
    }

    /// Operations that are at the device beneath.
    #[inline]
    pub(crate) fn in_flight(&self) -> usize {
        self.channel.in_flight()
    }

    /// Hands an operation down, `offset` blocks further up; it comes back from `poll` as it was.
    ///
    /// # Panics
    /// If there is no room: the channel above counts, so that would be our bug.
    #[inline]
    pub(crate) fn start(&mut self, io: BlockIo, offset: u64, submitted_ns: u64, now_ns: u64, note: M) {
        let BlockIo { op, lba, blocks, data, tag } = io;
        let slot = self.free.pop().expect("the channel above lets in no more operations than there are slots");
        self.carried[slot as usize] = Some(Carried { op, lba, blocks, tag, submitted_ns, note });
        // The channel above checked the range; a flush may be of any place beneath.
        let beneath = BlockIo { op, lba: lba.saturating_add(offset), blocks, data, tag: u64::from(slot) };
        let refused = self.channel.submit(beneath, now_ns);
        assert!(refused.is_ok(), "the channel beneath is as deep as the one above");
    }

    /// See [`Channel::wake_sources`].
    pub(crate) fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        self.channel.wake_sources(sources);
    }

    /// Takes what has ended beneath.
    #[inline]
    pub(crate) fn poll(&mut self, now_ns: u64, mut ended: impl FnMut(Finished, M)) {
        let BaseChannel { channel, carried, free } = self;
        channel.poll(now_ns, &mut |done| {
            let Some(Carried { op, lba, blocks, tag, submitted_ns, note }) = carried[done.tag as usize].take() else {
                debug_assert!(false, "an answer for slot {}, which is empty", done.tag);
                return;
            };
            free.push(done.tag as u32);
            let io = BlockIo { op, lba, blocks, data: done.data, tag };
            ended(Finished { io, submitted_ns, result: done.result }, note);
        });
    }
}
