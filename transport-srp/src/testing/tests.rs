//! The initiator against a target of a few lines that behaves, and against the same target behaving in each way that no
//! target may.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fabric::sim::{Network, SimOptions};
use fabric::{
    AcceptParameters, Completion, Control, ControlEvent, Deliver, Fetch, GroupId, PollGroup, QpIndex, QueuePairSizes,
    Segment,
};
use mem::{IoBuf, Pool, testing};

use super::wire::{Function, LoginForm, Residual};
use super::*;

const CREDITS: u32 = 8;
const TI_IU_BYTES: u32 = 292;
const TO: &str = "192.0.2.1:5555";

/// What the target does about a message, given its number and its bytes.
type Behaviour = fn(&mut Dummy, QpIndex, usize, &[u8]);

/// Accepts every login, posts every receive again, and hands every message to its behaviour.
struct Dummy {
    control: Control,
    group: PollGroup,
    pool: Pool,
    channels: Vec<QpIndex>,
    behaviour: Behaviour,
    messages: Vec<Vec<u8>>,
    /// Answers to requests of its own.
    answers: Vec<Vec<u8>>,
    fetched: Vec<Vec<u8>>,
    /// Sent as soon as the login is accepted.
    greeting: Option<Vec<u8>>,
}

impl Dummy {
    fn new(network: &Network, behaviour: Behaviour) -> Dummy {
        let mut control = Control::Sim(network.control());
        let region = testing::region(64 * 16384);
        control.add_region(region.clone());
        let pool = Pool::new(region, mem::PoolLayout { offset: 0, stride: 16384, size: 16384, count: 64 });
        let group = control.create_poll_group(GroupId(0));
        control.listen(TO.parse().expect("an address")).expect("free");
        let (channels, messages, answers, fetched) = Default::default();
        Dummy { control, group, pool, channels, behaviour, messages, answers, fetched, greeting: None }
    }

    fn step(&mut self) {
        let mut requests = Vec::new();
        self.control.poll(0, &mut |event| {
            if let ControlEvent::ConnectRequest { connection, request } = event {
                requests.push((connection, request.private_data));
            }
        });
        for (connection, login) in requests {
            let sizes = QueuePairSizes { receives: CREDITS + 1, sends: 128 };
            let qp = self.control.create_queue_pair(connection, GroupId(0), sizes).expect("requested");
            let qp = self.group.adopt(qp);
            for _ in 0..=CREDITS {
                self.group.post_receive(qp, self.pool.get().expect("a buffer"));
            }
            self.group.ring();
            // The InfiniBand form is padded to more bytes than the other one can have.
            let tag = if login.len() > 56 { &login[8..16] } else { &login[..8] };
            let mut response = vec![0xc0, 0, 0, 0, 0, 0, 0, CREDITS as u8];
            response.extend(tag);
            response.extend([0, 0, 0x20, 0x44, 0, 0, 1, 36, 0, 6, 0x80]);
            response.resize(52, 0);
            let private_data = response.iter().copied().collect();
            self.control.accept(connection, &AcceptParameters { reads_max: 4, private_data }).expect("requested");
            self.channels.push(qp);
            if let Some(greeting) = self.greeting.take() {
                self.send(qp, &greeting);
            }
        }
        let mut completions = Vec::new();
        self.group.poll(0, &mut |completion| completions.push(completion));
        for completion in completions {
            match completion {
                Completion::Received { qp, buf, len } => {
                    let message = buf.bytes()[..len as usize].to_vec();
                    self.group.post_receive(qp, buf);
                    if message[0] == 0x41 {
                        self.answers.push(message);
                        continue;
                    }
                    self.messages.push(message.clone());
                    (self.behaviour)(self, qp, self.messages.len() - 1, &message);
                }
                Completion::Fetched { data, result: Ok(()), .. } => self.fetched.push(data.bytes().to_vec()),
                _ => {}
            }
        }
        self.group.ring();
    }

    fn send(&mut self, qp: QpIndex, message: &[u8]) {
        let message = Some(self.filled(message));
        self.group.deliver(qp, Deliver { cookie: 0, data: None, segments: &[], message, solicited: false });
    }

    /// RDMA WRITE to the command's direct descriptor.
    fn write(&mut self, qp: QpIndex, command: &[u8], bytes: &[u8]) {
        let (remote_addr, rkey, _) = descriptor(&command[48..]);
        let segment = Segment { local_offset: 0, len: bytes.len() as u32, remote_addr, rkey };
        let data = Some(self.filled(bytes));
        self.group.deliver(qp, Deliver { cookie: 0, data, segments: &[segment], message: None, solicited: false });
    }

    /// RDMA READ of one descriptor.
    fn read(&mut self, qp: QpIndex, (remote_addr, rkey, len): (u64, u32, u32)) {
        let data = IoBuf::new(self.pool.get().expect("a buffer"), 0..len as usize);
        let segments = &[Segment { local_offset: 0, len, remote_addr, rkey }];
        self.group.fetch(qp, Fetch { cookie: 0, data, segments });
    }

    fn filled(&self, bytes: &[u8]) -> IoBuf {
        let mut buf = self.pool.get().expect("a buffer");
        buf.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        IoBuf::new(buf, 0..bytes.len())
    }
}

fn descriptor(bytes: &[u8]) -> (u64, u32, u32) {
    let number = |range| u32::from_be_bytes(<[u8; 4]>::try_from(&bytes[range]).expect("4 bytes"));
    (u64::from(number(0..4)) << 32 | u64::from(number(4..8)), number(8..12), number(12..16))
}

/// SRP_RSP with GOOD, one credit and nothing else.
fn good(request: &[u8]) -> Vec<u8> {
    let mut response = vec![0; 36];
    (response[0], response[7]) = (0xc1, 1);
    response[8..16].copy_from_slice(&request[8..16]);
    response
}

/// SRP_RSP to task management, with one credit.
fn complete(request: &[u8]) -> Vec<u8> {
    let mut response = good(request);
    (response[18], response[35]) = (1, 4);
    response.extend([0; 4]);
    response
}

fn behave(dummy: &mut Dummy, qp: QpIndex, _: usize, message: &[u8]) {
    match message[0] {
        0x01 => dummy.send(qp, &complete(message)),
        0x02 => {
            let mut response = good(message);
            if message[5] == 0x01 {
                dummy.write(qp, message, b"INQUIRY data");
                let (_, _, len) = descriptor(&message[48..]);
                response[18] = 0x20;
                response[24..28].copy_from_slice(&(len - 12).to_be_bytes());
            }
            dummy.send(qp, &response);
        }
        _ => {}
    }
}

fn options() -> InitiatorOptions {
    InitiatorOptions::new(1, TO.parse().expect("an address"), [7; 16])
}

fn network() -> Network {
    Network::new(3, SimOptions::jittery())
}

/// A step of target and time.
fn stepper<'a>(network: &'a Network, dummy: &'a mut Dummy) -> impl FnMut() + 'a {
    move || {
        dummy.step();
        network.advance(network.next_event().unwrap_or_default());
        dummy.step();
    }
}

#[test]
fn every_login_form_gets_in_and_a_command_is_answered() {
    for form in [LoginForm::RdmaCm, LoginForm::InfiniBandCm, LoginForm::EarlyRdmaCm] {
        let network = network();
        let mut dummy = Dummy::new(&network, behave);
        let mut step = stepper(&network, &mut dummy);
        let mut initiator = Initiator::new(&network, InitiatorOptions { form, ..options() });
        let channel = initiator.open(MultiChannel::Single, &mut step).expect("accepted");
        assert!(
            matches!(initiator.login_state(channel), Login::Accepted(response) if response.max_ti_iu_len == TI_IU_BYTES)
        );
        let answer = initiator.execute(channel, &Request::inquiry(lun(0), None, 36), &mut step).good();
        assert_eq!((answer.used(), answer.residual_in), (&b"INQUIRY data"[..], Residual::Under(24)));
        assert_eq!(initiator.credits(channel), (8, 8));
        assert!(network.violations().is_empty());
    }
}

#[test]
fn one_credit_is_kept_for_task_management() {
    let network = network();
    let mut dummy = Dummy::new(&network, |_, _, _, _| {});
    let mut step = stepper(&network, &mut dummy);
    let mut initiator = Initiator::new(&network, options());
    let channel = initiator.open(MultiChannel::Single, &mut step).expect("accepted");
    let request = Request::test_unit_ready(lun(0));
    let handles: Vec<_> = std::iter::from_fn(|| initiator.start(channel, &request).ok()).collect();
    assert_eq!(handles.len(), 7);
    assert_eq!(initiator.start(channel, &request), Err(NotSent::NoCredit));
    assert!(initiator.manage(channel, Function::LunReset, lun(0), None).is_ok());
    assert_eq!(initiator.manage(channel, Function::LunReset, lun(0), None), Err(NotSent::NoCredit));
    initiator.disconnect(channel);
    initiator.poll();
    assert!(handles.into_iter().all(|handle| initiator.take(handle) == Some(Outcome::Lost)));
    assert_eq!(initiator.start(channel, &request), Err(NotSent::NoChannel));
}

/// The target fetches what each form describes, and gets what the test wanted to write.
#[test]
fn every_form_describes_the_same_data() {
    let bytes: Vec<u8> = (0..2000_u32).map(|i| (i % 249) as u8).collect();
    let fetch: Behaviour = |dummy, qp, _, command| match command[5] >> 4 {
        1 => dummy.read(qp, descriptor(&command[48..])),
        2 => dummy.read(qp, descriptor(&command[48..])),
        _ => {}
    };
    let forms = [Form::Direct, Form::inline(2000, 7), Form::table(2000, 50, 3), Form::table(2000, 3, 0)];
    for form in forms {
        let network = network();
        let mut dummy = Dummy::new(&network, fetch);
        let mut initiator = Initiator::new(&network, options());
        let channel = initiator.open(MultiChannel::Single, &mut stepper(&network, &mut dummy)).expect("accepted");
        let request = Request::write(lun(0), 0, 500, bytes.clone()).form(form.clone());
        initiator.start(channel, &request).expect("a credit");
        let run = |dummy: &mut Dummy| (0..1000).for_each(|_| stepper(&network, dummy)());
        run(&mut dummy);
        if let Form::Indirect { pieces, inline } = &form {
            let (command, table) = (dummy.messages[0].clone(), dummy.fetched.remove(0));
            assert_eq!(&command[64..68], 2000_u32.to_be_bytes());
            assert_eq!((command.len(), command[6]), (68 + 16 * usize::from(*inline), *inline));
            assert_eq!(command[68..], table[..16 * usize::from(*inline)]);
            assert_eq!(table.len(), 16 * pieces.len());
            table.chunks(16).for_each(|entry| dummy.read(dummy.channels[0], descriptor(entry)));
            dummy.group.ring();
            run(&mut dummy);
        }
        assert!(dummy.fetched.concat() == bytes, "{form:?}");
        assert!(network.violations().is_empty());
    }
    let network = network();
    let mut dummy = Dummy::new(&network, behave);
    let mut step = stepper(&network, &mut dummy);
    let mut initiator = Initiator::new(&network, options());
    let channel = initiator.open(MultiChannel::Single, &mut step).expect("accepted");
    let request = Request::write(lun(0), 0, 500, bytes.clone()).form(Form::Immediate);
    initiator.execute(channel, &request, &mut step).good();
    drop(step);
    assert!(dummy.messages[0][68..] == bytes);
}

#[test]
fn an_answered_abort_ends_its_command_and_a_reset_all_of_its_unit() {
    let network = network();
    let mut dummy = Dummy::new(&network, |dummy, qp, number, message| {
        if message[0] == 0x01 {
            behave(dummy, qp, number, message);
        }
    });
    let mut step = stepper(&network, &mut dummy);
    let mut initiator = Initiator::new(&network, options());
    let first = initiator.open(MultiChannel::Single, &mut step).expect("accepted");
    let second = initiator.open(MultiChannel::Multi, &mut step).expect("accepted");
    let request = Request::inquiry(lun(3), None, 36);
    let aborted = initiator.start(first, &request).expect("a credit");
    let reset =
        [initiator.start(first, &request).expect("a credit"), initiator.start(second, &request).expect("a credit")];
    let other = initiator.start(first, &Request::inquiry(lun(4), None, 36)).expect("a credit");
    let abort = initiator.manage(first, Function::AbortTask, lun(3), Some(aborted)).expect("a credit");
    assert_eq!(initiator.finish(abort, &mut step).answer().code, Some(0));
    assert_eq!(initiator.take(aborted), Some(Outcome::Aborted));
    assert_eq!(initiator.take(reset[0]), None);
    let answer = initiator.manage(first, Function::LunReset, lun(3), None).expect("a credit");
    assert_eq!(initiator.finish(answer, &mut step).answer().code, Some(0));
    assert!(reset.iter().all(|handle| initiator.take(*handle) == Some(Outcome::Aborted)));
    assert_eq!((initiator.take(other), initiator.outstanding(first), initiator.outstanding(second)), (None, 1, 0));
}

#[test]
fn the_targets_requests_are_answered() {
    let network = network();
    let mut dummy = Dummy::new(&network, |dummy, qp, number, message| {
        behave(dummy, qp, number, message);
        if message[0] == 0x02 {
            dummy.send(qp, &[0x81, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
        }
    });
    let mut step = stepper(&network, &mut dummy);
    let mut initiator = Initiator::new(&network, options());
    let channel = initiator.open(MultiChannel::Single, &mut step).expect("accepted");
    initiator.execute(channel, &Request::test_unit_ready(lun(0)), &mut step).good();
    for _ in 0..10 {
        step();
        initiator.poll();
    }
    drop(step);
    assert_eq!(dummy.answers[0], [0x41, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
}

/// Each misbehaviour, and words of the panic that it must bring about. The initiator opens two channels, sends an
/// INQUIRY with 36 bytes of room, aborts it, and sends another.
#[test]
fn a_target_that_misbehaves_is_found_out() {
    let cases: [(&str, Behaviour); 12] = [
        ("answered twice", |dummy, qp, number, message| {
            behave(dummy, qp, number, message);
            behave(dummy, qp, number, message);
        }),
        ("is not outstanding", |dummy, qp, _, message| {
            let mut response = good(message);
            response[8..16].reverse();
            dummy.send(qp, &response);
        }),
        ("is not outstanding", |dummy, _, _, message| dummy.send(dummy.channels[1], &good(message))),
        ("after the answer to its abort", |dummy, qp, number, message| {
            if message[0] == 0x01 {
                behave(dummy, qp, number, message);
                let command = dummy.messages[0].clone();
                dummy.send(qp, &good(&command));
            }
        }),
        ("as long as its parts say", |dummy, qp, _, message| dummy.send(qp, &[good(message), vec![0; 4]].concat())),
        ("more than the 8 of the login", |dummy, qp, _, message| {
            let mut response = good(message);
            response[7] = 2;
            dummy.send(qp, &response);
        }),
        ("sense goes with CHECK CONDITION", |dummy, qp, _, message| {
            let mut response = good(message);
            response[19] = 2;
            dummy.send(qp, &response);
        }),
        ("solicited notification", |dummy, qp, _, message| {
            let mut response = good(message);
            response[1] = 1;
            dummy.send(qp, &response);
        }),
        ("beyond the 5 that the response reports", |dummy, qp, _, message| {
            if message[0] != 0x02 {
                return;
            }
            dummy.write(qp, message, b"6 byte");
            let mut response = good(message);
            (response[18], response[27]) = (0x20, 31);
            dummy.send(qp, &response);
        }),
        ("bytes of 36 of data-in are unused", |dummy, qp, _, message| {
            let mut response = good(message);
            (response[18], response[27]) = (0x20, 37);
            dummy.send(qp, &response);
        }),
        ("a second request of the target", |dummy, qp, _, _| {
            for _ in 0..2 {
                dummy.send(qp, &[0x81, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
            }
        }),
        ("which no target sends", |dummy, qp, _, _| dummy.send(qp, &[0x99; 16])),
    ];
    for (words, behaviour) in cases {
        let network = Network::new(3, SimOptions::default());
        let mut dummy = Dummy::new(&network, behaviour);
        let mut step = stepper(&network, &mut dummy);
        let mut initiator = Initiator::new(&network, options());
        let channel = initiator.open(MultiChannel::Single, &mut step).expect("accepted");
        let second = initiator.open(MultiChannel::Multi, &mut step).expect("accepted");
        // Something that needs no answer, so that the target may speak there.
        initiator.send_raw(second, &super::wire::encode_credit_response([0; 8])).expect("live");
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let request = Request::inquiry(lun(0), None, 36);
            let handle = initiator.start(channel, &request).expect("a credit");
            let abort = initiator.manage(channel, Function::AbortTask, lun(0), Some(handle)).expect("a credit");
            initiator.finish(abort, &mut step);
        }));
        let panic = caught.expect_err(words);
        let message = panic.downcast_ref::<String>().map_or("", String::as_str);
        assert!(message.contains(words), "expected {words:?}, got {message:?}");
    }
}

#[test]
#[should_panic(expected = "before it was sent anything")]
fn a_target_speaks_when_it_is_spoken_to() {
    let network = network();
    let mut dummy = Dummy::new(&network, behave);
    dummy.greeting = Some(vec![0x81; 16]);
    let mut step = stepper(&network, &mut dummy);
    let mut initiator = Initiator::new(&network, options());
    initiator.open(MultiChannel::Single, &mut step).expect("accepted");
    for _ in 0..10 {
        step();
        initiator.poll();
    }
}

/// The memory of a command is taken back with its response.
#[test]
fn data_after_the_response_is_a_violation() {
    let network = Network::new(3, SimOptions::default());
    let mut dummy = Dummy::new(&network, |dummy, qp, number, message| {
        if number == 0 {
            dummy.send(qp, &good(message));
        } else {
            let command = dummy.messages[0].clone();
            dummy.write(qp, &command, b"late");
        }
    });
    let mut step = stepper(&network, &mut dummy);
    let mut initiator = Initiator::new(&network, options());
    let channel = initiator.open(MultiChannel::Single, &mut step).expect("accepted");
    initiator.execute(channel, &Request::inquiry(lun(0), None, 36), &mut step).good();
    assert!(network.violations().is_empty());
    let second = initiator.start(channel, &Request::test_unit_ready(lun(0))).expect("a credit");
    assert_eq!(initiator.finish(second, &mut step), Outcome::Lost);
    assert_eq!(network.violations().len(), 1, "{:?}", network.violations());
}
