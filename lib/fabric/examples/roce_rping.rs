//! The other end of rdma-core's `rping -c` over our RoCE: an RDMA peer that is not an SRP initiator, to tell a fault of the
//! fabric from one of the transport.
//!
//! ```text
//! roce_rping ADDRESS          serves any number of clients, one after the other or together, until it is killed
//! rping -c -a ADDRESS -V      on another machine, with a kernel's RDMA device
//! ```
//! A round of rping: the client SENDs where its source buffer is, we READ that and SEND a go-ahead; the client SENDs where
//! its sink is, we WRITE the same bytes there and SEND another. All messages have the same 16 bytes, the content of ours is
//! not looked at.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fabric::{
    AcceptParameters, Completion, ConnectRequest, ConnectionId, Control, ControlEvent, Deliver, Fetch, GroupId,
    ListenerState, PollGroup, PrivateData, QpIndex, QueuePairSizes, Segment, roce,
};
use mem::{IoBuf, Pool, PoolLayout, Region};

/// rping's default.
const PORT: u16 = 7174;

/// rping's largest buffer, and ours.
const BUFFER: usize = 64 * 1024;
const BUFFERS: usize = 256;

const GROUP: GroupId = GroupId(0);

/// rping has one message under way at a time.
const SIZES: QueuePairSizes = QueuePairSizes { receives: 2, sends: 65 };

fn main() {
    let ip: Option<IpAddr> = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let Some(ip) = ip else {
        eprintln!("roce_rping ADDRESS");
        std::process::exit(2);
    };
    Server::new().serve(SocketAddr::new(ip, PORT));
}

struct Server {
    control: Control,
    group: PollGroup,
    pool: Pool,
    clients: HashMap<QpIndex, Client>,
}

struct Client {
    connection: ConnectionId,
    gone: bool,
    /// What was READ, and goes into the client's next sink.
    data: Option<IoBuf>,
    rounds: u64,
}

impl Server {
    fn new() -> Server {
        let mut control = Control::Roce(roce::Control::new(roce::Options::default()));
        let memory = hugepage_setup::AllocationRequest {
            max_page: hugepage_setup::PageKind::Ordinary,
            ..hugepage_setup::AllocationRequest::new(BUFFER * BUFFERS)
        };
        let region = Region::new(hugepage_setup::allocate(&memory).expect("memory"));
        control.add_region(Arc::clone(&region));
        let group = control.create_poll_group(GROUP);
        let pool = Pool::new(region, PoolLayout { offset: 0, stride: BUFFER, size: BUFFER, count: BUFFERS });
        Server { control, group, pool, clients: HashMap::new() }
    }

    fn serve(mut self, address: SocketAddr) -> ! {
        let started = Instant::now();
        let listener = self.control.listen(address).expect("nobody else listens there");
        if let ListenerState::Waiting(reason) = self.control.listener_state(listener) {
            panic!("{address}: {reason}");
        }
        eprintln!("listening at {address}");
        let (mut events, mut completions) = (Vec::new(), Vec::new());
        loop {
            let now_ns = started.elapsed().as_nanos() as u64;
            self.control.poll(now_ns, &mut |event| events.push(event));
            events.drain(..).for_each(|event| self.on_event(event));
            self.group.poll(now_ns, &mut |completion| completions.push(completion));
            let idle = completions.is_empty();
            completions.drain(..).for_each(|completion| self.on_completion(completion));
            self.group.ring();
            self.bury_the_gone();
            if idle {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    fn on_event(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::ConnectRequest { connection, request } => self.on_request(connection, &request),
            ControlEvent::Disconnected { connection, reason } => {
                if let Some(client) = self.clients.values_mut().find(|client| client.connection == connection) {
                    eprintln!("a client is gone after {} rounds: {reason}", client.rounds);
                    client.gone = true;
                }
            }
            other => eprintln!("{other:?}"),
        }
    }

    fn on_request(&mut self, connection: ConnectionId, request: &ConnectRequest) {
        eprintln!("a client at {}", request.peer);
        let queue_pair = self.control.create_queue_pair(connection, GROUP, SIZES).expect("a queue pair");
        let qp = self.group.adopt(queue_pair);
        for _ in 0..SIZES.receives {
            self.group.post_receive(qp, self.pool.get().expect("enough buffers"));
        }
        self.group.ring();
        let reads_max = request.reads_served.min(request.device_reads_max);
        let accepted =
            self.control.accept(connection, &AcceptParameters { reads_max, private_data: PrivateData::new() });
        let client = Client { connection, gone: accepted.is_err(), data: None, rounds: 0 };
        if client.gone {
            self.control.disconnect(connection);
        }
        self.clients.insert(qp, client);
    }

    fn on_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Received { qp, buf, len } => {
                let advert = buf.bytes().get(..len as usize).and_then(Advert::parse);
                self.group.post_receive(qp, buf);
                match advert {
                    Some(advert) => self.on_advert(qp, advert),
                    None => self.give_up(qp, "a message that is not rping's, or of more than we have room for"),
                }
            }
            Completion::Fetched { qp, data, result: Ok(()), .. } => {
                self.client(qp).data = Some(data);
                self.go_ahead(qp, None, &[]);
            }
            Completion::Delivered { data: None, result: Ok(()), .. } => (),
            Completion::Delivered { qp, result: Ok(()), .. } => self.client(qp).rounds += 1,
            Completion::Fetched { qp, result: Err(error), .. }
            | Completion::Delivered { qp, result: Err(error), .. } => {
                self.give_up(qp, &error.to_string());
            }
            Completion::ReceiveFlushed { .. } => (),
        }
    }

    /// The first advert of a round is the client's source, the second its sink.
    fn on_advert(&mut self, qp: QpIndex, advert: Advert) {
        let segment = Segment { local_offset: 0, len: advert.len, remote_addr: advert.addr, rkey: advert.rkey };
        match self.client(qp).data.take() {
            None => {
                let data = IoBuf::new(self.pool.get().expect("enough buffers"), 0..advert.len as usize);
                self.group.fetch(qp, Fetch { cookie: 0, data, segments: &[segment] });
            }
            Some(data) if data.len() == advert.len as usize => self.go_ahead(qp, Some(data), &[segment]),
            Some(_) => self.give_up(qp, "source and sink differ in length"),
        }
    }

    fn go_ahead(&mut self, qp: QpIndex, data: Option<IoBuf>, segments: &[Segment]) {
        let message = IoBuf::new(self.pool.get().expect("enough buffers"), 0..Advert::LEN);
        self.group.deliver(qp, Deliver { cookie: 0, data, segments, message: Some(message), solicited: true });
    }

    fn give_up(&mut self, qp: QpIndex, why: &str) {
        let connection = self.client(qp).connection;
        eprintln!("a client is given up: {why}");
        self.control.disconnect(connection);
    }

    fn client(&mut self, qp: QpIndex) -> &mut Client {
        self.clients.get_mut(&qp).expect("every queue pair has its client")
    }

    /// Lets go of the clients that are gone, when everything is back from their queue pairs.
    fn bury_the_gone(&mut self) {
        let group = &mut self.group;
        let control = &mut self.control;
        self.clients.retain(|&qp, client| {
            let over = client.gone && group.outstanding(qp) == 0;
            if over {
                control.destroy(client.connection, Some(group.release(qp)));
            }
            !over
        });
    }
}

/// What a client says of one of its buffers: address, key and length, big-endian.
struct Advert {
    addr: u64,
    rkey: u32,
    len: u32,
}

impl Advert {
    const LEN: usize = 16;

    /// `None`: not such a message, or a length that we have no buffer for.
    fn parse(bytes: &[u8]) -> Option<Advert> {
        let bytes: &[u8; Advert::LEN] = bytes.try_into().ok()?;
        let (addr, rest) = bytes.split_first_chunk()?;
        let (rkey, len) = rest.split_first_chunk()?;
        let len = u32::from_be_bytes(len.try_into().ok()?);
        let fits = (1..=BUFFER).contains(&(len as usize));
        fits.then_some(Advert { addr: u64::from_be_bytes(*addr), rkey: u32::from_be_bytes(*rkey), len })
    }
}
