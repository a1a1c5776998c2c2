//! A channel against a target that a test plays by hand, over loopback.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use fabric::{
    AcceptParameters, Completion, Connect, ConnectionId, Control, ControlEvent, Deliver, Fetch, GroupId, PollGroup,
    QueuePairSizes, Segment,
};
use mem::Pool;
use transport_srp::wire::{CredReq, DataBuffer, Iu, Residuals, TLogout, TmfStatus, parse};

use super::*;
use crate::initiator::cdb;
use crate::workload::Direction;

const LAYOUT: MemoryLayout = MemoryLayout { channels: 1, depth: 4, io_bytes: 4096, form: Form::Direct };
const TERMS: Terms = Terms { credits: 4, message_bytes: 8260, immediate_offset: None };
const LUN: [u8; 8] = [0, 3, 0, 0, 0, 0, 0, 0];
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_command_is_answered_under_its_tag_and_under_no_other() {
    let mut rig = Rig::new(Form::Direct);
    let (slot, iu) = rig.command(Transfer::None);
    let command = parse_command(&iu);
    assert_eq!((command.lun, command.data_out, command.data_in), (LUN, DataBuffer::None, DataBuffer::None));
    assert_eq!(command.cdb(&iu)[0], 0x00);
    let Event::Answered(answer) = rig.answer(command.tag, 1) else { panic!("answered") };
    assert_eq!((answer.slot, answer.status), (slot, 0));

    assert_eq!(rig.answer(command.tag, 0), Event::Fault(Fault::UnknownTag(command.tag)), "twice");
    rig.channel.give_back(slot);
    let (again, iu) = rig.command(Transfer::None);
    assert_eq!(again, slot);
    assert_ne!(parse_command(&iu).tag, command.tag, "an answer to the first command must not fit the second");
    let tag = Tag([0xff; 8]);
    assert_eq!(rig.answer(tag, 0), Event::Fault(Fault::UnknownTag(tag)));
}

#[test]
fn credits_are_used_up_and_come_back() {
    let mut rig = Rig::new(Form::Direct);
    let commands: Vec<_> = (0..4).map(|_| rig.command(Transfer::None)).collect();
    let tag = |index: usize| parse_command(&commands[index].1).tag;
    assert!(!rig.channel.can_send(), "four commands for four credits");
    assert!(matches!(rig.answer(tag(0), 0), Event::Answered(_)));
    rig.channel.give_back(commands[0].0);
    assert_eq!(rig.channel.take(), None, "the answer gave no credit back");
    assert!(matches!(rig.answer(tag(1), 2), Event::Answered(_)));
    assert_eq!(rig.channel.take(), Some(commands[0].0));
}

#[test]
fn requests_of_the_target_are_answered_and_their_credits_count() {
    let mut rig = Rig::new(Form::Direct);
    let (before, messages) = (rig.channel.credits, rig.channel.messages.len());
    let request = CredReq { tag: Tag(*b"request!"), request_limit_delta: 3, solicited: false };
    assert_eq!(rig.say(|out| request.emit(out)), Event::Nothing);
    assert_eq!(rig.channel.credits, before + 3);
    assert_eq!(parse(&rig.at_target(), None), Ok(Iu::CredRsp { tag: request.tag }));

    rig.wait_for_messages(messages);
    rig.channel.messages.clear();
    assert_eq!(rig.say(|out| request.emit(out)), Event::Nothing);
    assert_eq!(rig.say(|out| request.emit(out)), Event::Fault(Fault::SecondRequest));
}

#[test]
fn what_a_target_must_not_send_ends_the_channel() {
    let mut rig = Rig::new(Form::Direct);
    let nonsense = rig.say(|out| {
        out[..20].fill(0x77);
        20
    });
    assert!(matches!(nonsense, Event::Fault(Fault::Malformed(_))), "{nonsense:?}");
    let logout = TLogout { tag: Tag::default(), reason: Ok(LogoutReason::Inactive), solicited: false };
    assert_eq!(rig.say(|out| logout.emit(out)), Event::Fault(Fault::LoggedOut(logout.reason)));
    let (_, iu) = rig.command(Transfer::None);
    let tag = parse_command(&iu).tag;
    let body = ResponseBody::TaskManagement(TmfStatus::Complete);
    let answer = Response { tag, request_limit_delta: 1, solicited: false, body };
    assert_eq!(rig.say(|out| answer.emit(out)), Event::Fault(Fault::WrongAnswer(tag)));
}

#[test]
fn the_target_reaches_the_data_of_a_command_and_only_while_it_lasts() {
    for form in [Form::Direct, Form::Indirect(3), Form::Partial(6)] {
        let mut rig = Rig::new(form);
        let (slot, iu) = rig.write(&[0xa5; 4096]);
        let pieces = rig.pieces(&iu, &parse_command(&iu).data_out);
        assert_eq!(pieces.len(), form.descriptors());
        let written = rig.fetch(&pieces);
        assert_eq!(written.as_deref(), Ok(&[0xa5; 4096][..]));
        assert!(matches!(rig.answer(parse_command(&iu).tag, 1), Event::Answered(_)));
        rig.channel.give_back(slot);

        let (slot, iu) = rig.command(Transfer::In(4096));
        let command = parse_command(&iu);
        let pieces = rig.pieces(&iu, &command.data_in);
        assert_eq!(rig.deliver(&[0x3c; 4096], &pieces), Ok(()));
        assert!(matches!(rig.answer(command.tag, 1), Event::Answered(_)));
        assert_eq!(rig.channel.data(slot), [0x3c; 4096]);
        let late = rig.deliver(&[0xff; 4096], &pieces);
        assert_eq!(late, Err(WorkError::RemoteAccess), "{form:?}");
        assert_eq!(rig.channel.data(slot), [0x3c; 4096], "the answered command's data stay as they are");
    }
}

#[test]
fn small_writes_bring_their_data_along_where_that_was_agreed() {
    let mut rig = Rig::new(Form::Direct);
    rig.channel.logged_in(&Terms { immediate_offset: Some(68), message_bytes: 68 + 2048, ..TERMS });
    let (_, iu) = rig.write(&[0x5a; 2048]);
    assert_eq!(parse_command(&iu).data_out.immediate(&iu), Some(&[0x5a; 2048][..]));
    let (_, iu) = rig.write(&[0x5a; 2049]);
    assert!(matches!(parse_command(&iu).data_out, DataBuffer::Direct(d) if d.len == 2049), "too long for a message");
}

#[test]
fn everything_comes_back_when_the_channel_ends_with_commands_under_way() {
    let mut rig = Rig::new(Form::Direct);
    rig.command(Transfer::In(4096));
    rig.write(&[1; 4096]);
    rig.initiator.control.disconnect(rig.connection);
    let event = rig.next_event();
    assert_eq!(event, Event::Fault(Fault::Connection(WorkError::Flushed)));
    let Rig { mut initiator, channel, mut target, memory, connection, .. } = rig;
    let mut kept = Vec::new();
    wait_until(|| {
        target.step();
        initiator.step();
        kept.extend(initiator.completions.drain(..));
        initiator.endpoint.outstanding(channel.qp()) == 0
    });
    let QueuePair::Fabric(queue_pair) = channel.close(&mut initiator.endpoint) else { panic!("made over RoCE") };
    initiator.control.destroy(connection, Some(queue_pair));
    drop(kept);
    for pool in [&memory.data, &memory.tables, &memory.messages, &memory.receives] {
        assert_eq!(pool.available(), pool.capacity());
    }
}

// ── The rig ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// One end.
struct End {
    control: Control,
    endpoint: Endpoint,
    start: Instant,
    events: Vec<ControlEvent>,
    completions: VecDeque<Completion>,
}

/// A channel of ours, and the target's end of it.
struct Rig {
    initiator: End,
    channel: Channel,
    connection: ConnectionId,
    memory: Memory,
    target: End,
    target_qp: QpIndex,
    pool: Pool,
    /// Messages that arrived at the target.
    messages: VecDeque<Vec<u8>>,
}

impl End {
    fn new() -> End {
        let mut control = Control::Roce(fabric::roce::Control::default());
        let endpoint = Endpoint::Fabric(control.create_poll_group(GroupId(0)));
        End { control, endpoint, start: Instant::now(), events: Vec::new(), completions: VecDeque::new() }
    }

    fn now_ns(&self) -> u64 {
        1 + self.start.elapsed().as_nanos() as u64
    }

    fn step(&mut self) {
        let now_ns = self.now_ns();
        let End { control, endpoint, events, completions, .. } = self;
        control.poll(now_ns, &mut |event| events.push(event));
        endpoint.poll(now_ns, &mut |completion| completions.push_back(completion));
        endpoint.ring();
    }

    /// What the target's end is used by: a target needs more of the fabric than an initiator.
    fn group(&mut self) -> &mut PollGroup {
        match &mut self.endpoint {
            Endpoint::Fabric(group) => group,
            Endpoint::InProcess(_) => panic!("made over RoCE"),
        }
    }
}

impl Rig {
    /// Logged in on [`TERMS`], with commands of this form.
    fn new(form: Form) -> Rig {
        let layout = MemoryLayout { form, ..LAYOUT };
        let (mut initiator, mut target) = (End::new(), End::new());
        let pool = mem::testing::pool(8260, 64);
        let memory =
            layout.cut(&mem::testing::region(layout.exposed_bytes()), &mem::testing::region(layout.own_bytes()));
        let to = SocketAddr::from((fresh_address(), 5555));
        target.control.listen(to).expect("it can listen");
        let connect = Connect {
            local: fresh_address().into(),
            to,
            group: GroupId(0),
            sizes: QueuePairSizes { receives: LAYOUT.receives() as u32, sends: 65 },
            reads_served: 4,
            private_data: [0; 56].into_iter().collect(),
        };
        let (connection, queue_pair) = initiator.control.connect(initiator.now_ns(), &connect).expect("it can ask");
        let queue_pair = QueuePair::Fabric(queue_pair);
        let mut channel = Channel::open(&mut initiator.endpoint, queue_pair, &memory, &layout, LUN);
        let target_qp = accept(&mut target, &mut initiator, &pool);
        channel.logged_in(&TERMS);
        channel.set_form(form);
        Rig { initiator, channel, connection, memory, target, target_qp, pool, messages: VecDeque::new() }
    }

    fn step(&mut self) {
        self.target.step();
        self.initiator.step();
    }

    /// Sends a command from the next free slot; what arrives at the target.
    fn command(&mut self, transfer: Transfer) -> (Slot, Vec<u8>) {
        let slot = self.channel.take().expect("a slot and a credit");
        self.send(slot, transfer)
    }

    fn write(&mut self, data: &[u8]) -> (Slot, Vec<u8>) {
        let slot = self.channel.take().expect("a slot and a credit");
        self.channel.data_mut(slot)[..data.len()].copy_from_slice(data);
        self.send(slot, Transfer::Out(data.len() as u32))
    }

    fn send(&mut self, slot: Slot, transfer: Transfer) -> (Slot, Vec<u8>) {
        let cdb = match transfer {
            Transfer::None => cdb::test_unit_ready(),
            Transfer::In(_) => cdb::transfer(Direction::Read, 0, 8),
            Transfer::Out(_) => cdb::transfer(Direction::Write, 0, 8),
        };
        self.channel.send(&mut self.initiator.endpoint, slot, &cdb, transfer);
        (slot, self.at_target())
    }

    /// The next message at the target. What comes back to the channel meanwhile must be uneventful.
    fn at_target(&mut self) -> Vec<u8> {
        wait_for(|| {
            self.step();
            while let Some(completion) = self.initiator.completions.pop_front() {
                assert_eq!(self.take(completion), Event::Nothing);
            }
            self.take_at_target();
            self.messages.pop_front()
        })
    }

    /// Until so many message buffers are here: a message's comes back when it is acknowledged, and that may be after its answer.
    fn wait_for_messages(&mut self, count: usize) {
        wait_for(|| {
            self.step();
            while let Some(completion) = self.initiator.completions.pop_front() {
                assert_eq!(self.take(completion), Event::Nothing);
            }
            (self.channel.messages.len() == count).then_some(())
        });
    }

    /// Keeps the messages; returns how an operation of the target ended, with its data.
    fn take_at_target(&mut self) -> Option<(Option<IoBuf>, Result<(), WorkError>)> {
        let mut ended = None;
        while let Some(completion) = self.target.completions.pop_front() {
            match completion {
                Completion::Received { qp, buf, len, .. } => {
                    self.messages.push_back(buf.bytes()[..len as usize].to_vec());
                    self.target.group().post_receive(qp, buf);
                }
                Completion::Fetched { data, result, .. } => ended = Some((Some(data), result)),
                Completion::Delivered { data, result, .. } if data.is_some() => ended = Some((data, result)),
                _ => {}
            }
        }
        ended
    }

    /// Sends what `emit` writes from the target, and what the channel makes of it.
    fn say(&mut self, emit: impl FnOnce(&mut [u8]) -> usize) -> Event {
        let mut buf = self.pool.get().expect("a buffer");
        let len = emit(buf.bytes_mut());
        let message = Some(IoBuf::new(buf, 0..len));
        let deliver = Deliver { cookie: 0, data: None, segments: &[], message, solicited: false };
        self.target.group().deliver(self.target_qp, deliver);
        wait_for(|| {
            self.step();
            while let Some(completion) = self.initiator.completions.pop_front() {
                let is_message = matches!(completion, Completion::Received { .. });
                let event = self.take(completion);
                if is_message {
                    return Some(event);
                }
            }
            None
        })
    }

    /// SRP_RSP with status GOOD.
    fn answer(&mut self, tag: Tag, credits: i32) -> Event {
        let body = ResponseBody::Status { status: 0, residuals: Residuals::default(), sense: &[] };
        let response = Response { tag, request_limit_delta: credits, solicited: false, body };
        self.say(|out| response.emit(out))
    }

    /// What the target reads from the initiator's memory.
    fn fetch(&mut self, pieces: &[Descriptor]) -> Result<Vec<u8>, WorkError> {
        let data = IoBuf::new(self.pool.get().expect("a buffer"), 0..4096);
        let fetch = Fetch { cookie: 1, data, segments: &segments(pieces) };
        self.target.group().fetch(self.target_qp, fetch);
        let (data, result) = self.ended();
        result.map(|()| data.expect("a fetch has data").bytes().to_vec())
    }

    /// The descriptors of a command: those in it, and if there are more, what the table has.
    fn pieces(&mut self, iu: &[u8], buffer: &DataBuffer) -> Vec<Descriptor> {
        let inline = descriptors(iu, buffer);
        let DataBuffer::Indirect(list) = buffer else { return inline };
        if inline.len() == list.table_count as usize {
            return inline;
        }
        let table = self.fetch(&[list.table]).expect("the table is readable");
        let table = &table[..list.table.len as usize];
        let all: Vec<Descriptor> = table.as_chunks::<16>().0.iter().map(Descriptor::parse).collect();
        assert!(all.starts_with(&inline) && inline.len() == all.len() / 2);
        all
    }

    /// Writes to the initiator's memory.
    fn deliver(&mut self, bytes: &[u8], pieces: &[Descriptor]) -> Result<(), WorkError> {
        let mut data = IoBuf::new(self.pool.get().expect("a buffer"), 0..bytes.len());
        data.bytes_mut().copy_from_slice(bytes);
        let segments = segments(pieces);
        let deliver = Deliver { cookie: 2, data: Some(data), segments: &segments, message: None, solicited: false };
        self.target.group().deliver(self.target_qp, deliver);
        self.ended().1
    }

    fn ended(&mut self) -> (Option<IoBuf>, Result<(), WorkError>) {
        wait_for(|| {
            self.step();
            self.take_at_target()
        })
    }

    /// The next thing that is no acknowledgement.
    fn next_event(&mut self) -> Event {
        wait_for(|| {
            self.step();
            while let Some(completion) = self.initiator.completions.pop_front() {
                let event = self.take(completion);
                if event != Event::Nothing {
                    return Some(event);
                }
            }
            None
        })
    }

    fn take(&mut self, completion: Completion) -> Event {
        let endpoint = &mut self.initiator.endpoint;
        match completion {
            Completion::Received { buf, len, .. } => self.channel.on_received(endpoint, buf, len),
            Completion::Delivered { message, result, .. } => self.channel.on_delivered(endpoint, message, result),
            Completion::ReceiveFlushed { .. } => Event::Fault(Fault::Connection(WorkError::Flushed)),
            Completion::Fetched { .. } => panic!("an initiator fetches nothing"),
        }
    }
}

/// Accepts the one connection that is asked for, and waits until both ends know.
fn accept(target: &mut End, initiator: &mut End, pool: &Pool) -> QpIndex {
    let mut accepted = None;
    wait_for(|| {
        target.step();
        initiator.step();
        for event in std::mem::take(&mut target.events) {
            let ControlEvent::ConnectRequest { connection, request } = event else { continue };
            let sizes = QueuePairSizes { receives: 16, sends: 80 };
            let made = target.control.create_queue_pair(connection, GroupId(0), sizes).expect("a queue pair");
            let qp = target.group().adopt(made);
            (0..16).for_each(|_| target.group().post_receive(qp, pool.get().expect("a buffer")));
            let private_data = [0; 52].into_iter().collect();
            let parameters = AcceptParameters { reads_max: request.reads_served, private_data };
            target.control.accept(connection, &parameters).expect("it can be accepted");
            accepted = Some(qp);
        }
        let connected = initiator.events.iter().any(|event| matches!(event, ControlEvent::Connected { .. }));
        accepted.filter(|_| connected)
    })
}

fn parse_command(iu: &[u8]) -> transport_srp::wire::Command {
    match parse(iu, Some(68)) {
        Ok(Iu::Command(command)) => command,
        other => panic!("no command: {other:?}"),
    }
}

fn descriptors(iu: &[u8], buffer: &DataBuffer) -> Vec<Descriptor> {
    match buffer {
        DataBuffer::Direct(only) => vec![*only],
        DataBuffer::Indirect(list) => list.inline(iu).as_chunks::<16>().0.iter().map(Descriptor::parse).collect(),
        other => panic!("no descriptors: {other:?}"),
    }
}

fn segments(pieces: &[Descriptor]) -> Vec<Segment> {
    let mut local_offset = 0;
    let segment = |piece: &Descriptor| {
        let segment = Segment { local_offset, len: piece.len, remote_addr: piece.va, rkey: piece.rkey };
        local_offset += piece.len;
        segment
    };
    pieces.iter().map(segment).collect()
}

/// An address on loopback that no other test uses, of this process or of others.
fn fresh_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | high & 0x7f, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn wait_for<T>(mut done: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(result) = done() {
            return result;
        }
        assert!(Instant::now() < end, "nothing came of it");
    }
}

fn wait_until(mut done: impl FnMut() -> bool) {
    wait_for(|| done().then_some(()));
}
