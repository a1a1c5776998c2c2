//! The bookkeeping against a made-up device that behaves as the standard allows, and as badly as soft-RoCE does.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use mem::Pool;
use proptest::prelude::*;

use super::*;
use crate::Segment;

const RECEIVES: u32 = 4;
const SENDS: u32 = 8;

/// A request as the device has it.
#[derive(Clone, Copy, Debug)]
struct Posted {
    wr_id: u64,
    signalled: bool,
    opcode: u32,
}

#[derive(Default)]
struct FakeDevice {
    receives: VecDeque<Posted>,
    sends: VecDeque<Posted>,
    completions: VecDeque<ibv_wc>,
    failed: bool,
    /// The next post refuses the request at this position.
    refuse_at: Option<usize>,
    /// The next post takes all and then says that it failed (a doorbell that could not be rung).
    refuse_doorbell: bool,
    log: Vec<&'static str>,
}

#[derive(Clone, Default)]
struct FakePort(Rc<RefCell<FakeDevice>>);

impl Port for FakePort {
    fn lkey(&self, _: RegionId) -> u32 {
        7
    }

    fn inline_max(&self) -> u32 {
        16
    }

    /// As soft-RoCE: what is posted at this moment is flushed, what is received into later is not looked at.
    fn fail(&self) {
        let mut device = self.0.borrow_mut();
        device.failed = true;
        for posted in device.receives.split_off(0) {
            device.complete(posted, ibv_wc_status::IBV_WC_WR_FLUSH_ERR);
        }
        for posted in device.sends.split_off(0) {
            device.complete(posted, ibv_wc_status::IBV_WC_WR_FLUSH_ERR);
        }
    }

    fn broken(&self, what: &'static str) {
        self.0.borrow_mut().log.push(what);
    }

    unsafe fn post_receives(&self, list: &mut ReceiveList) -> Result<(), Refused> {
        let mut device = self.0.borrow_mut();
        let (mut request, mut index) = (list.link(), 0);
        let refuse_at = device.refuse_at.take();
        while !request.is_null() {
            if refuse_at == Some(index) {
                return Err(Refused { first: list.position(request) });
            }
            // SAFETY: the list is linked.
            let wr_id = unsafe { (*request).wr_id };
            device.receives.push_back(Posted { wr_id, signalled: true, opcode: 0 });
            // SAFETY: as above.
            (request, index) = (unsafe { (*request).next }, index + 1);
        }
        Ok(())
    }

    unsafe fn post_sends(&self, list: &mut SendList) -> Result<(), Refused> {
        let mut device = self.0.borrow_mut();
        let (mut request, mut index) = (list.link(), 0);
        let refuse_at = device.refuse_at.take();
        while !request.is_null() {
            if refuse_at == Some(index) {
                return Err(Refused { first: list.position(request) });
            }
            // SAFETY: the list is linked.
            let wr = unsafe { &*request };
            let signalled = wr.send_flags & rdma_core_sys::ibv_send_flags::IBV_SEND_SIGNALED != 0;
            let posted = Posted { wr_id: wr.wr_id, signalled, opcode: wr.opcode };
            assert!(device.sends.len() <= SENDS as usize, "the send queue overran");
            if device.failed {
                device.complete(posted, ibv_wc_status::IBV_WC_WR_FLUSH_ERR);
            } else {
                device.sends.push_back(posted);
            }
            (request, index) = (wr.next, index + 1);
        }
        match std::mem::take(&mut device.refuse_doorbell) {
            true => Err(Refused { first: list.len() }),
            false => Ok(()),
        }
    }
}

impl FakeDevice {
    /// A request without a signal completes silently unless it fails.
    fn complete(&mut self, posted: Posted, status: ibv_wc_status::Type) {
        if posted.signalled || status != ibv_wc_status::IBV_WC_SUCCESS {
            let wc = ibv_wc { wr_id: posted.wr_id, status, byte_len: 5, ..ibv_wc::default() };
            self.completions.push_back(wc);
        }
    }

    fn finish_receive(&mut self) {
        if let Some(posted) = self.receives.pop_front() {
            self.complete(posted, ibv_wc_status::IBV_WC_SUCCESS);
        }
    }

    fn finish_send(&mut self, status: ibv_wc_status::Type) {
        if let Some(posted) = self.sends.pop_front() {
            self.complete(posted, status);
            if status != ibv_wc_status::IBV_WC_SUCCESS {
                // The device goes into error by itself, flushing what it has.
                self.failed = true;
                for posted in self.sends.split_off(0) {
                    self.complete(posted, ibv_wc_status::IBV_WC_WR_FLUSH_ERR);
                }
            }
        }
    }
}

struct Rig {
    work: Work<FakePort>,
    port: FakePort,
    pool: Pool,
}

impl Rig {
    fn new() -> Rig {
        let port = FakePort::default();
        let mut work = Work::new(port.clone(), QueuePairSizes { receives: RECEIVES, sends: SENDS });
        work.set_slot(3);
        Rig { work, port, pool: mem::testing::pool(64, 64) }
    }

    fn device(&self) -> std::cell::RefMut<'_, FakeDevice> {
        self.port.0.borrow_mut()
    }

    fn buf(&self) -> Buf {
        self.pool.get().expect("enough buffers")
    }

    fn io_buf(&self, len: usize) -> IoBuf {
        IoBuf::new(self.buf(), 0..len)
    }

    fn fetch(&mut self, cookie: u64, segments: usize) {
        let data = self.io_buf(64);
        self.work.fetch(Fetch { cookie, data, segments: &segments_of(segments) });
    }

    fn deliver(&mut self, cookie: u64, segments: usize, message: bool) {
        let data = (segments > 0).then(|| self.io_buf(64));
        let message = message.then(|| self.io_buf(36));
        self.work.deliver(Deliver { cookie, data, segments: &segments_of(segments), message, solicited: false });
    }

    /// Takes every completion there is: what is handed back, what the device completed, and what is handed back because of
    /// that. The first before the second, so that something handed back too early meets its completion.
    fn drain(&mut self) -> Vec<Completion> {
        let mut all = Vec::new();
        self.work.report_handed_back(&mut |completion| all.push(completion));
        loop {
            let next = self.device().completions.pop_front();
            let Some(completion) = next else { break };
            assert_eq!(slot_of(&completion), 3);
            all.extend(self.work.complete(&completion));
        }
        self.work.report_handed_back(&mut |completion| all.push(completion));
        assert!(self.device().log.is_empty(), "{:?}", self.device().log);
        all
    }

    fn finish_all(&mut self) {
        for _ in 0..SENDS {
            self.device().finish_send(ibv_wc_status::IBV_WC_SUCCESS);
        }
    }
}

fn segments_of(count: usize) -> Vec<Segment> {
    (0..count).map(|n| Segment { local_offset: n as u32 * 4, len: 4, remote_addr: 0x1000, rkey: 9 }).collect()
}

fn results(completions: &[Completion]) -> Vec<(u64, Result<(), WorkError>)> {
    let result = |completion: &Completion| match completion {
        Completion::Fetched { cookie, result, .. } | Completion::Delivered { cookie, result, .. } => {
            Some((*cookie, *result))
        }
        _ => None,
    };
    completions.iter().filter_map(result).collect()
}

#[test]
fn only_the_last_request_of_an_operation_asks_for_a_completion() {
    let mut rig = Rig::new();
    rig.fetch(1, 3);
    rig.deliver(2, 2, true);
    rig.deliver(3, 1, false);
    rig.work.ring();
    use rdma_core_sys::ibv_wr_opcode::*;
    let seen: Vec<(u32, bool)> = rig.device().sends.iter().map(|posted| (posted.opcode, posted.signalled)).collect();
    let (read, write, send) = (IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE, IBV_WR_SEND);
    assert_eq!(
        seen,
        [(read, false), (read, false), (read, true), (write, false), (write, false), (send, true), (write, true)]
    );
}

#[test]
fn send_slots_come_back_with_the_completion_and_not_before() {
    let mut rig = Rig::new();
    rig.fetch(1, 3);
    assert_eq!(rig.work.send_slots_free(), 5);
    rig.work.ring();
    rig.device().finish_send(ibv_wc_status::IBV_WC_SUCCESS);
    rig.device().finish_send(ibv_wc_status::IBV_WC_SUCCESS);
    assert!(rig.drain().is_empty());
    assert_eq!(rig.work.send_slots_free(), 5, "the device still has an entry of it");
    rig.device().finish_send(ibv_wc_status::IBV_WC_SUCCESS);
    assert_eq!(results(&rig.drain()), [(1, Ok(()))]);
    assert_eq!(rig.work.send_slots_free(), 8);
}

#[test]
fn an_error_in_the_middle_of_an_operation_is_the_one_reported() {
    let mut rig = Rig::new();
    rig.work.post_receive(rig.pool.get().expect("a buffer"));
    rig.fetch(1, 3);
    rig.deliver(2, 1, true);
    rig.work.ring();
    rig.device().finish_send(ibv_wc_status::IBV_WC_REM_ACCESS_ERR);
    let completions = rig.drain();
    assert_eq!(results(&completions), [(1, Err(WorkError::RemoteAccess)), (2, Err(WorkError::Flushed))]);
    assert!(matches!(completions[2], Completion::ReceiveFlushed { .. }), "{completions:?}");
    assert_eq!(rig.work.outstanding(), 0);
}

#[test]
fn what_is_posted_on_a_failed_queue_pair_comes_back_at_once() {
    let mut rig = Rig::new();
    rig.work.fail();
    rig.work.post_receive(rig.pool.get().expect("a buffer"));
    rig.fetch(1, 1);
    rig.deliver(2, 0, true);
    rig.work.keepalive();
    rig.work.ring();
    assert!(rig.device().receives.is_empty() && rig.device().sends.is_empty());
    let completions = rig.drain();
    assert_eq!(completions.len(), 3);
    assert_eq!(results(&completions), [(1, Err(WorkError::Flushed)), (2, Err(WorkError::Flushed))]);
    assert_eq!((rig.work.outstanding(), rig.work.send_slots_free()), (0, 8));
}

/// Soft-RoCE flushes receives when the queue pair is modified, and never looks at ones that are posted afterwards: the control
/// thread modified it, then a receive was posted by the poll group, which had not seen that yet.
#[test]
fn a_receive_posted_between_the_failure_and_its_discovery_comes_back() {
    let mut rig = Rig::new();
    rig.port.fail(); // the control thread
    rig.work.post_receive(rig.pool.get().expect("a buffer"));
    rig.work.ring();
    assert!(rig.drain().is_empty(), "nobody flushed it");
    rig.work.fail(); // the poll group saw the mark
    assert!(matches!(rig.drain()[..], [Completion::ReceiveFlushed { .. }]));
}

#[test]
fn requests_that_wait_for_the_doorbell_are_handed_back_without_the_device() {
    let mut rig = Rig::new();
    rig.fetch(1, 2);
    rig.work.ring();
    rig.fetch(2, 2);
    rig.work.fail();
    rig.work.ring();
    let mut seen = results(&rig.drain());
    seen.sort_by_key(|(cookie, _)| *cookie);
    assert_eq!(seen, [(1, Err(WorkError::Flushed)), (2, Err(WorkError::Flushed))]);
}

#[test]
fn a_refused_post_gives_back_what_was_refused_and_flushes_the_rest() {
    let mut rig = Rig::new();
    rig.fetch(1, 2);
    rig.deliver(2, 0, true);
    rig.deliver(3, 0, true);
    rig.device().refuse_at = Some(2);
    rig.work.ring();
    assert!(rig.device().failed);
    let mut seen = results(&rig.drain());
    seen.sort_by_key(|(cookie, _)| *cookie);
    assert_eq!(seen, [1, 2, 3].map(|cookie| (cookie, Err(WorkError::Flushed))));
    assert_eq!((rig.work.outstanding(), rig.work.send_slots_free()), (0, 8));
}

/// The first half of a fetch was taken without a signal: only a request behind it tells when the device is done with it.
#[test]
fn an_operation_cut_in_two_ends_by_a_request_of_its_own() {
    let mut rig = Rig::new();
    rig.fetch(1, 3);
    rig.device().refuse_at = Some(1);
    rig.work.ring();
    let mut handed_back = Vec::new();
    rig.work.report_handed_back(&mut |completion| handed_back.push(completion));
    assert!(handed_back.is_empty(), "the device may still write into it");
    let sequence: Vec<u64> = rig.device().completions.iter().map(|wc| wc.wr_id).collect();
    assert_eq!(sequence.len(), 2, "the part that was taken, and the end");
    assert_eq!(results(&rig.drain()), [(1, Err(WorkError::Flushed))]);
    assert_eq!(rig.work.outstanding(), 0);
}

#[test]
fn a_doorbell_that_fails_after_everything_was_taken_hands_nothing_back_twice() {
    let mut rig = Rig::new();
    rig.fetch(1, 2);
    rig.device().refuse_doorbell = true;
    rig.work.ring();
    assert_eq!(results(&rig.drain()), [(1, Err(WorkError::Flushed))]);
    assert_eq!(rig.pool.available(), rig.pool.capacity());
}

#[test]
fn a_refused_receive_comes_back() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        let buf = rig.buf();
        rig.work.post_receive(buf);
    }
    rig.device().refuse_at = Some(1);
    rig.work.ring();
    let completions = rig.drain();
    assert_eq!(completions.len(), 3);
    assert!(completions.iter().all(|completion| matches!(completion, Completion::ReceiveFlushed { .. })));
    assert_eq!(rig.work.outstanding(), 0);
}

#[test]
fn a_device_that_is_gone_owes_nothing() {
    let mut rig = Rig::new();
    let buf = rig.buf();
    rig.work.post_receive(buf);
    rig.fetch(1, 2);
    rig.work.ring();
    rig.deliver(2, 1, true);
    rig.device().receives.clear(); // nothing will ever complete
    rig.device().sends.clear();
    rig.work.hand_back_everything();
    assert_eq!(rig.drain().len(), 3);
    assert_eq!((rig.work.outstanding(), rig.work.send_slots_free()), (0, 8));
}

#[test]
fn a_keepalive_is_one_write_of_nothing_and_reports_nothing() {
    let mut rig = Rig::new();
    rig.work.keepalive();
    rig.work.keepalive(); // one is enough
    assert_eq!(rig.work.send_slots_free(), 8, "it has a slot of its own");
    rig.deliver(1, 7, true);
    rig.work.ring();
    assert_eq!(rig.device().sends.len(), 9);
    rig.finish_all();
    rig.device().finish_send(ibv_wc_status::IBV_WC_SUCCESS);
    assert_eq!(results(&rig.drain()), [(1, Ok(()))]);
    assert_eq!(rig.work.outstanding(), 0);
}

#[test]
fn a_keepalive_that_meets_nobody_shows_in_the_receives() {
    let mut rig = Rig::new();
    let buf = rig.buf();
    rig.work.post_receive(buf);
    rig.work.keepalive();
    rig.work.ring();
    rig.device().finish_send(ibv_wc_status::IBV_WC_RETRY_EXC_ERR);
    assert!(matches!(rig.drain()[..], [Completion::ReceiveFlushed { .. }]));
}

#[test]
fn a_completion_of_nothing_is_noted_and_ignored() {
    let mut rig = Rig::new();
    let wc = ibv_wc { wr_id: WorkId::send(3, 5, true).0, ..ibv_wc::default() };
    assert!(rig.work.complete(&wc).is_none());
    let wc = ibv_wc { wr_id: WorkId::receive(3, 2).0, ..ibv_wc::default() };
    assert!(rig.work.complete(&wc).is_none());
    assert_eq!(rig.device().log.len(), 2);
}

#[test]
#[should_panic(expected = "does not lie in its buffer")]
fn a_segment_past_its_buffer_is_our_bug() {
    let mut rig = Rig::new();
    let segments = [Segment { local_offset: 61, len: 4, remote_addr: 0, rkey: 0 }];
    let data = rig.io_buf(64);
    rig.work.fetch(Fetch { cookie: 1, data, segments: &segments });
}

#[test]
#[should_panic(expected = "more work than send slots")]
fn more_than_the_send_slots_is_our_bug() {
    let mut rig = Rig::new();
    rig.fetch(1, 5);
    rig.fetch(2, 4);
}

#[derive(Clone, Debug)]
enum Step {
    Receive,
    Fetch(usize),
    Deliver(usize, bool),
    Keepalive,
    Ring,
    RingRefused(usize),
    RingWithoutDoorbell,
    FinishReceive,
    FinishSend,
    FailSend,
    ControlFails,
    Notice,
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Receive),
        4 => (1..4usize).prop_map(Step::Fetch),
        4 => (0..4usize, any::<bool>()).prop_map(|(segments, message)| Step::Deliver(segments, message || segments == 0)),
        1 => Just(Step::Keepalive),
        6 => Just(Step::Ring),
        1 => (0..8usize).prop_map(Step::RingRefused),
        1 => Just(Step::RingWithoutDoorbell),
        4 => Just(Step::FinishReceive),
        8 => Just(Step::FinishSend),
        1 => Just(Step::FailSend),
        1 => Just(Step::ControlFails),
        1 => Just(Step::Notice),
        4 => Just(Step::Drain),
    ]
}

proptest! {
    /// Whatever happens in whatever order: after the end, every buffer is back, every operation was reported exactly once, and
    /// the counters are where they began.
    #[test]
    fn every_buffer_comes_back_exactly_once(steps in prop::collection::vec(step(), 1..120)) {
        let mut rig = Rig::new();
        let (mut cookie, mut receives, mut came_back) = (0, 0, Vec::new());
        let mut failed_by_control = false;
        for step in steps {
            match step {
                Step::Receive if rig.work.receives.len() < RECEIVES as usize => {
                    let buf = rig.buf();
                    rig.work.post_receive(buf);
                    receives += 1;
                }
                Step::Fetch(segments) if segments <= rig.work.send_slots_free() => {
                    cookie += 1;
                    rig.fetch(cookie, segments);
                }
                Step::Deliver(segments, message)
                    if segments + usize::from(message) <= rig.work.send_slots_free() =>
                {
                    cookie += 1;
                    rig.deliver(cookie, segments, message);
                }
                Step::Keepalive => rig.work.keepalive(),
                Step::Ring => rig.work.ring(),
                Step::RingRefused(at) => {
                    rig.device().refuse_at = Some(at);
                    rig.work.ring();
                    rig.device().refuse_at = None;
                }
                Step::RingWithoutDoorbell => {
                    rig.device().refuse_doorbell = true;
                    rig.work.ring();
                    rig.device().refuse_doorbell = false;
                }
                Step::FinishReceive => rig.device().finish_receive(),
                Step::FinishSend => rig.device().finish_send(ibv_wc_status::IBV_WC_SUCCESS),
                Step::FailSend => rig.device().finish_send(ibv_wc_status::IBV_WC_RETRY_EXC_ERR),
                Step::ControlFails => {
                    rig.port.fail();
                    failed_by_control = true;
                }
                Step::Notice if failed_by_control => rig.work.fail(),
                Step::Drain => came_back.extend(rig.drain()),
                _ => {}
            }
        }
        rig.port.fail();
        rig.work.fail();
        came_back.extend(rig.drain());
        let mut cookies: Vec<u64> = results(&came_back).into_iter().map(|(cookie, _)| cookie).collect();
        cookies.sort_unstable();
        prop_assert_eq!(cookies, (1..=cookie).collect::<Vec<u64>>());
        prop_assert_eq!(came_back.len() as u64 - cookie, receives);
        prop_assert_eq!((rig.work.outstanding(), rig.work.send_slots_free()), (0, SENDS as usize));
        prop_assert!(rig.device().log.is_empty(), "{:?}", rig.device().log);
        drop(came_back);
        prop_assert_eq!(rig.pool.available(), rig.pool.capacity());
    }
}
