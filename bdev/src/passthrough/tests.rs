//! Channels to a SCSI device that the tests play.

use std::sync::Mutex;

use mem::{IoBuf, Pool};

use super::fake::{FakeDevice, Reply};
use std::time::Duration;

use super::*;
use crate::io::{BlockIo, Direction, Done, IoError, Op};
use crate::{Channel, CreateError};

const INQUIRY: [u8; 6] = [0x12, 0, 0, 0, 36, 0];

struct Rig {
    device: FakeDevice,
    bdev: Arc<Bdev>,
    channel: Channel,
    pool: Pool,
}

/// A device of depth `device_depth` on two files per channel, whose data-in is its opcode repeated.
fn rig(device_depth: u32) -> Rig {
    let device = FakeDevice::new(2, |command| {
        if command.direction == Direction::In {
            command.data.fill(command.cdb[0]);
        }
        Reply::GOOD
    });
    with(device, device_depth)
}

fn with(device: FakeDevice, device_depth: u32) -> Rig {
    let bdev = device.bdev("disk", 0, 65536, device_depth);
    let channel = bdev.open_channel(50).expect("a channel");
    Rig { device, bdev, channel, pool: mem::testing::pool(4096, 64) }
}

impl Rig {
    fn io(&self, cdb: &[u8], direction: Direction, data_len: usize, tag: u64) -> BlockIo {
        let mut data = IoBuf::new(self.pool.get().expect("a buffer"), 0..buffer_bytes(data_len));
        data.bytes_mut().fill(0xee);
        Request { cdb, time_limit: Duration::from_secs(60), data: 0..data_len }.emit(data.bytes_mut());
        BlockIo { op: Op::Scsi { direction }, lba: 0, blocks: 0, data: Some(data), tag }
    }

    fn submit(&mut self, tag: u64) {
        let io = self.io(&INQUIRY, Direction::In, 36, tag);
        self.channel.submit(io, 0).expect("room");
    }

    fn poll(&mut self) -> Vec<Done> {
        let mut ended = Vec::new();
        self.channel.poll(7, &mut |done| ended.push(done));
        ended
    }

    /// Polls until nothing is in flight.
    fn finish(&mut self) -> Vec<Done> {
        let mut ended = Vec::new();
        for _ in 0..1_000_000 {
            ended.extend(self.poll());
            if self.channel.in_flight() == 0 {
                return ended;
            }
            std::thread::yield_now();
        }
        panic!("{} commands do not end", self.channel.in_flight());
    }

    /// How many commands the device counts as its own, from all channels.
    fn at_device(&self) -> u32 {
        let Kind::Passthrough(device) = &self.bdev.kind else { panic!("another kind") };
        device.at_device.load(Ordering::Relaxed)
    }

    fn run(&mut self, cdb: &[u8], direction: Direction, data_len: usize) -> Done {
        let io = self.io(cdb, direction, data_len, 1);
        self.channel.submit(io, 0).expect("room");
        self.finish().pop().expect("one ended")
    }
}

fn outcome(done: &Done) -> (u8, u32, Vec<u8>) {
    let outcome = Outcome::parse(done.data.as_ref().expect("a buffer").bytes()).expect("an outcome");
    (outcome.status, outcome.moved, outcome.sense.to_vec())
}

#[test]
fn data_sense_and_residual_come_back_together() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let mut rig = with(
        FakeDevice::new(1, move |command| {
            sees.lock().expect("seen").push((
                command.cdb.to_vec(),
                command.direction,
                command.data.len(),
                command.time_limit_ms,
            ));
            command.data.fill(5);
            Reply { residual: 6, ..Reply::check_condition(&[0x70, 0, 0x20, 1, 2, 3]) }
        }),
        4,
    );
    let done = rig.run(&INQUIRY, Direction::In, 36);
    assert_eq!((done.result, outcome(&done)), (Ok(()), (2, 30, vec![0x70, 0, 0x20, 1, 2, 3])));
    assert!(done.data.as_ref().expect("a buffer").bytes()[..36].iter().all(|&byte| byte == 5));
    let long = [0x7f_u8; 32];
    rig.run(&long, Direction::None, 0);
    let seen = seen.lock().expect("seen");
    assert_eq!(seen[..], [(INQUIRY.to_vec(), Direction::In, 36, 60_000), (long.to_vec(), Direction::None, 0, 60_000)]);
}

#[test]
fn commands_wait_for_room_at_the_device_and_all_end() {
    let mut rig = rig(20);
    rig.device.hold(true);
    (0..50).for_each(|tag| rig.submit(tag));
    let again = rig.io(&INQUIRY, Direction::In, 36, 99);
    assert!(rig.channel.submit(again, 0).is_err(), "the channel is full");
    for _ in 0..10 {
        assert!(rig.poll().is_empty());
    }
    assert_eq!(rig.device.started(), 20, "as many as the device's queue is deep");
    // Another core's channel shares the device's depth.
    let mut other = rig.bdev.open_channel(4).expect("a channel");
    other.submit(rig.io(&INQUIRY, Direction::In, 36, 0), 0).expect("room");
    other.poll(0, &mut |_| panic!("nothing has ended"));
    assert_eq!(rig.device.started(), 20);
    rig.device.hold(false);
    let mut tags: Vec<u64> = rig.finish().iter().map(|done| done.tag).collect();
    tags.sort_unstable();
    assert_eq!(tags, (0..50).collect::<Vec<u64>>());
    let mut ended = 0;
    for _ in 0..1_000_000 {
        other.poll(0, &mut |_| ended += 1);
        if ended > 0 {
            break;
        }
    }
    assert_eq!((ended, rig.device.started()), (1, 51));
    drop(other);
    assert_eq!(rig.pool.available(), rig.pool.capacity());
}

#[test]
fn an_unplugged_device_ends_everything_once_and_for_all() {
    let mut rig = rig(20);
    rig.device.hold(true);
    (0..50).for_each(|tag| rig.submit(tag));
    rig.poll();
    rig.device.vanish();
    let ended = rig.finish();
    assert_eq!(ended.len(), 50);
    assert!(ended.iter().all(|done| done.result == Err(IoError::Gone) && done.data.is_some()));
    drop(ended);
    assert_eq!(rig.at_device(), 0, "other channels have the room back");
    assert_eq!(rig.run(&INQUIRY, Direction::In, 36).result, Err(IoError::Gone));
    let bdev = Arc::downgrade(&rig.bdev);
    let Rig { pool, channel, bdev: last, .. } = rig;
    drop((channel, last));
    assert_eq!((pool.available(), bdev.upgrade().is_none()), (pool.capacity(), true), "nothing is left");
}

#[test]
fn no_memory_makes_the_device_busy_and_other_refusals_fail() {
    let mut rig = rig(20);
    rig.device.refuse(Some(libc::ENOMEM));
    let done = rig.run(&INQUIRY, Direction::In, 36);
    assert_eq!((done.result, outcome(&done)), (Ok(()), (8, 0, vec![])));
    rig.device.refuse(Some(libc::EINVAL));
    assert_eq!(rig.run(&INQUIRY, Direction::In, 36).result, Err(IoError::Failed));
    rig.device.refuse(Some(libc::EPERM));
    assert_eq!(rig.run(&INQUIRY, Direction::In, 36).result, Err(IoError::Unsupported));
    rig.device.refuse(None);
    assert_eq!(outcome(&rig.run(&INQUIRY, Direction::In, 36)), (0, 36, vec![]));
}

#[test]
fn a_record_that_is_none_and_blocks_are_refused() {
    let mut rig = rig(1);
    let mut io = rig.io(&INQUIRY, Direction::In, 36, 1);
    io.data.as_mut().expect("a buffer").bytes_mut()[40 + 32] = 200; // the CDB's length
    rig.channel.submit(io, 0).expect("room");
    assert_eq!(rig.finish()[0].result, Err(IoError::Unsupported));
    for op in [Op::Read, Op::Flush, Op::LbaStatus, Op::Unmap] {
        rig.channel.submit(BlockIo { op, lba: 0, blocks: 0, data: None, tag: 0 }, 0).expect("room");
        assert_eq!(rig.finish()[0].result, Err(IoError::Unsupported), "{op:?}");
    }
    let io = BlockIo { op: Op::Scsi { direction: Direction::None }, lba: 0, blocks: 0, data: None, tag: 0 };
    rig.channel.submit(io, 0).expect("room");
    assert_eq!(rig.finish()[0].result, Err(IoError::Unsupported));
    assert_eq!(rig.device.started(), 0);
}

#[test]
fn bytes_are_counted_as_they_were_moved() {
    let device =
        FakeDevice::new(1, |command| Reply { residual: if command.cdb[0] == 0x2a { 12 } else { 0 }, ..Reply::GOOD });
    let mut rig = with(device, 1);
    rig.run(&INQUIRY, Direction::In, 36);
    rig.run(&[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], Direction::Out, 512);
    rig.run(&[0; 6], Direction::None, 0);
    let stat = rig.bdev.io_stat();
    assert_eq!((stat.num_read_ops, stat.bytes_read, stat.num_write_ops, stat.bytes_written), (1, 36, 1, 500));
}

#[test]
fn a_reset_is_the_devices() {
    let mut rig = rig(1);
    rig.device.hold(true);
    rig.submit(0);
    assert!(rig.poll().is_empty());
    rig.bdev.reset_device().expect("a reset");
    assert_eq!((rig.device.resets(), rig.finish().len()), (1, 1));
}

#[test]
fn parameters_are_named_when_a_device_cannot_be_had() {
    let refused =
        |device: &str| create(ScsiOptions { name: "scsi0".into(), device: device.into(), ..ScsiOptions::default() });
    assert!(matches!(refused("sda"), Err(CreateError::Parameter { parameter: "device", .. })));
    for device in ["9999:0:0:0", "/dev/null", "/dev/no-such"] {
        let message = refused(device).expect_err("refused").to_string();
        assert!(message.starts_with(&format!("device: {device}: ")), "{message}");
    }
    let unnamed = create(ScsiOptions { device: "0:0:0:0".into(), ..ScsiOptions::default() });
    assert!(matches!(unnamed, Err(CreateError::Parameter { parameter: "name", .. })));
}
