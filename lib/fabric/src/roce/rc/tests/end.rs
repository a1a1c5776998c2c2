//! One endpoint, and what a test needs to play its peer.

use crate::roce::rc::testing::Memory;

pub(super) use mem::{IoBuf, Pool};

pub(super) use crate::roce::exposed::{Access, Exposed, RemoteMemory};
pub(super) use crate::roce::rc::{Endpoint, EndpointCounters, EndpointOptions, Transmit};
pub(super) use crate::roce::wire::{Aeth, Headers, NakCode, Opcode, Psn, Reth, Syndrome};
pub(super) use crate::{Completion, Deliver, Fetch, QpIndex, Segment, WorkError};

pub(super) const QP: QpIndex = QpIndex(5);
pub(super) const LOCAL_QPN: u32 = 0x11;
pub(super) const REMOTE_QPN: u32 = 0x22;
pub(super) const MTU: u32 = 256;
/// Both directions wrap around within the first packets.
pub(super) const SEND_PSN: u32 = 0xff_fffe;
pub(super) const RECEIVE_PSN: u32 = 0xff_ffff;
pub(super) const MICROSECOND: u64 = 1000;
pub(super) const MILLISECOND: u64 = 1_000_000;

pub(super) fn options() -> EndpointOptions {
    EndpointOptions {
        local_qpn: LOCAL_QPN,
        remote_qpn: REMOTE_QPN,
        send_psn: Psn::new(SEND_PSN),
        receive_psn: Psn::new(RECEIVE_PSN),
        mtu: MTU,
        reads_max: 4,
        reads_served: 4,
        ack_timeout: 14, // 67 ms
        retry_count: 7,
        rnr_retry: 7,
        receives: 4,
        sends: 64,
    }
}

/// A packet that was sent.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) headers: Headers,
    pub(super) payload: Vec<u8>,
}

/// Collects what is sent, as long as there is room.
pub(super) struct Sent {
    pub(super) packets: Vec<Packet>,
    pub(super) room: usize,
}

impl Transmit for Sent {
    fn send(&mut self, headers: &Headers, payload: &[u8]) -> bool {
        if self.packets.len() == self.room {
            return false;
        }
        let mut bytes = [0; 64];
        let len = headers.emit(&mut bytes);
        let (parsed, _) = Headers::parse(&bytes[..len]).expect("what is sent can be parsed");
        assert_eq!(parsed, *headers);
        assert_eq!(headers.dest_qp, REMOTE_QPN);
        self.packets.push(Packet { headers: *headers, payload: payload.to_vec() });
        true
    }
}

/// One endpoint, and a test in the place of its peer.
pub(super) struct End {
    pub(super) endpoint: Endpoint,
    pub(super) exposed: Exposed,
    pub(super) pool: Pool,
    pub(super) now: u64,
    _memory: Memory,
}

impl End {
    pub(super) fn new(options: &EndpointOptions) -> End {
        let mut endpoint = Endpoint::new(options);
        endpoint.set_index(QP);
        let mut memory = Memory::new();
        let pool = memory.pool(65536, 32);
        End { endpoint, exposed: Exposed::with_capacity(1, 8), pool, now: 1_000_000, _memory: memory }
    }

    /// A buffer of `len` bytes whose content depends on `seed`.
    pub(super) fn data(&self, len: usize, seed: u8) -> IoBuf {
        let mut data = IoBuf::new(self.pool.get().expect("a free buffer"), 0..len);
        data.bytes_mut().copy_from_slice(&pattern(len, seed));
        data
    }

    pub(super) fn send(&mut self, cookie: u64, len: usize) {
        let message = Some(self.data(len, cookie as u8));
        self.endpoint.deliver(Deliver { cookie, data: None, segments: &[], message, solicited: true });
    }

    pub(super) fn write(&mut self, cookie: u64, len: u32) {
        let data = Some(self.data(len as usize, cookie as u8));
        let segments = [segment(0, len)];
        self.endpoint.deliver(Deliver { cookie, data, segments: &segments, message: None, solicited: false });
    }

    pub(super) fn fetch(&mut self, cookie: u64, len: u32) {
        let data = self.data(len as usize, 0);
        self.endpoint.fetch(Fetch { cookie, data, segments: &[segment(0, len)] });
    }

    pub(super) fn post_receive(&mut self) {
        self.endpoint.post_receive(self.pool.get().expect("a free buffer"));
    }

    /// All that it wants to send now, with all the room that it may want.
    pub(super) fn sent(&mut self) -> Vec<Packet> {
        self.sent_with(usize::MAX, u32::MAX).0
    }

    /// What one call sends, and whether it wants another one.
    pub(super) fn sent_with(&mut self, room: usize, read_room: u32) -> (Vec<Packet>, bool) {
        let mut out = Sent { packets: Vec::new(), room };
        let again = self.endpoint.transmit(self.now, read_room, &self.exposed, &mut out);
        (out.packets, again)
    }

    /// What it sends when its next deadline has come.
    pub(super) fn sent_at_deadline(&mut self) -> Vec<Packet> {
        let deadline = self.endpoint.next_deadline().expect("a deadline");
        self.now = self.now.max(deadline);
        self.sent()
    }

    pub(super) fn take(&mut self, packet: &Packet) {
        self.endpoint.on_packet(self.now, &packet.headers, &packet.payload, false, &mut self.exposed);
    }

    pub(super) fn acknowledge(&mut self, number: u32) {
        self.answer(number, Syndrome::Ack(31));
    }

    /// The peer answers our packet `number`, counted from 0.
    pub(super) fn answer(&mut self, number: u32, syndrome: Syndrome) {
        let aeth = Some(Aeth { syndrome, msn: 0 });
        let headers = Headers { aeth, ..Headers::new(Opcode::Acknowledge, LOCAL_QPN, Psn::new(SEND_PSN).plus(number)) };
        self.take(&Packet { headers, payload: Vec::new() });
    }

    pub(super) fn refuse(&mut self, number: u32, code: NakCode) {
        self.answer(number, Syndrome::Nak(code));
    }

    pub(super) fn read_response(&mut self, number: u32, opcode: Opcode, payload: Vec<u8>) {
        let aeth = opcode.has_aeth().then_some(Aeth { syndrome: Syndrome::Ack(31), msn: 0 });
        let headers = Headers { aeth, ..Headers::new(opcode, LOCAL_QPN, Psn::new(SEND_PSN).plus(number)) };
        self.take(&Packet { headers, payload });
    }

    /// The peer sends its packet `number`, counted from 0.
    pub(super) fn request(&mut self, number: u32, opcode: Opcode, payload: &[u8]) {
        self.take(&request(number, opcode, payload));
    }

    pub(super) fn completions(&mut self) -> Vec<Completion> {
        let mut completions = Vec::new();
        while self.endpoint.complete(QP, 3, &mut |completion| completions.push(completion)) == 3 {}
        completions
    }

    /// Cookies and results of the operations that completed.
    pub(super) fn finished(&mut self) -> Vec<(u64, Result<(), WorkError>)> {
        self.completions()
            .into_iter()
            .filter_map(|completion| match completion {
                Completion::Fetched { cookie, result, .. } | Completion::Delivered { cookie, result, .. } => {
                    Some((cookie, result))
                }
                _ => None,
            })
            .collect()
    }

    /// Messages that arrived.
    pub(super) fn received(&mut self) -> Vec<Vec<u8>> {
        self.completions()
            .into_iter()
            .filter_map(|completion| match completion {
                Completion::Received { buf, len, .. } => Some(buf.bytes()[..len as usize].to_vec()),
                _ => None,
            })
            .collect()
    }
}

pub(super) fn request(number: u32, opcode: Opcode, payload: &[u8]) -> Packet {
    let headers = Headers { ack_request: true, ..Headers::new(opcode, LOCAL_QPN, Psn::new(RECEIVE_PSN).plus(number)) };
    Packet { headers, payload: payload.to_vec() }
}

pub(super) fn segment(local_offset: u32, len: u32) -> Segment {
    Segment { local_offset, len, remote_addr: 0x10_0000, rkey: 77 }
}

pub(super) fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add((at >> 8) as u8) ^ seed).collect()
}

/// Opcodes and packet numbers (from our first PSN on), for comparison.
pub(super) fn numbered(packets: &[Packet], first: u32) -> Vec<(Opcode, i32)> {
    packets.iter().map(|packet| (packet.headers.opcode, packet.headers.psn.since(Psn::new(first)))).collect()
}

/// Says which seed it was that failed.
pub(super) struct Seed(pub(super) u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}
