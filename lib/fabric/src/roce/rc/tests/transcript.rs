//! What two soft-RoCE ends of Linux said to each other, with ours in the place of each of them.

use std::collections::VecDeque;

use super::end::*;
use Opcode::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Client,
    Server,
}
use Role::*;

/// One round of `rping -S 6000` at an MTU of 4096, captured on the wire: who sent it, its headers, and the bytes of payload.
const ROUND: [(Role, &str, usize); 14] = [
    (Client, "0400ffff000000118019ae6f", 16),
    (Server, "1100ffff000000110019ae6f1f000001", 0),
    (Server, "0c00ffff0000001180f57048000055ebae759d70000005c500001770", 0),
    (Client, "0d00ffff0000001100f570481f000001", 4096),
    (Client, "0f00ffff0000001100f570491f000001", 1904),
    (Server, "0400ffff0000001180f5704a", 16),
    (Client, "1100ffff0000001100f5704a1f000002", 0),
    (Client, "0400ffff000000118019ae70", 16),
    (Server, "1100ffff000000110019ae701f000002", 0),
    (Server, "0600ffff0000001100f5704b000055ebae7585b00000043500001770", 4096),
    (Server, "0800ffff0000001180f5704c", 1904),
    (Client, "1100ffff0000001100f5704c1f000003", 0),
    (Server, "0400ffff0000001180f5704d", 16),
    (Client, "1100ffff0000001100f5704d1f000004", 0),
];

const SERVER_PSN: u32 = 0xf5_7048;
const CLIENT_PSN: u32 = 0x19_ae6f;

fn round() -> Vec<(Role, Packet)> {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")).collect()
    };
    let packet = |&(from, hex, len): &(Role, &str, usize)| {
        let header = bytes(hex);
        let (headers, rest) = Headers::parse(&header).expect("as captured");
        assert!(rest.is_empty());
        (from, Packet { headers, payload: pattern(len, 1) })
    };
    ROUND.iter().map(packet).collect()
}

/// Plays one end, and compares what it sends with what soft-RoCE sent.
fn play(role: Role) -> End {
    let (send_psn, receive_psn) = if role == Server { (SERVER_PSN, CLIENT_PSN) } else { (CLIENT_PSN, SERVER_PSN) };
    let (send_psn, receive_psn) = (Psn::new(send_psn), Psn::new(receive_psn));
    let mut end = End::new(&EndpointOptions { send_psn, receive_psn, mtu: 4096, ..options() });
    let data = IoBuf::new(end.pool.get().expect("a free buffer"), 0..6000);
    let memory = end.exposed.expose(QP, data, Access { read: true, write: true });
    let written = [pattern(4096, 1), pattern(1904, 1)].concat();
    end.exposed.writable(QP, memory.rkey, memory.addr, 6000).expect("exposed").copy_from_slice(&written);
    (0..4).for_each(|_| end.post_receive());
    let mut sent = VecDeque::new();
    for (number, (from, mut expected)) in round().into_iter().enumerate() {
        if from != role {
            if let (Client, Some(reth)) = (role, &mut expected.headers.reth) {
                (reth.addr, reth.rkey) = (memory.addr, memory.rkey);
            }
            end.take(&expected);
            continue;
        }
        post(&mut end, &expected, &written);
        if expected.headers.opcode == Acknowledge {
            end.now += 100 * MICROSECOND;
        }
        sent.extend(end.sent());
        let packet: Packet = sent.pop_front().unwrap_or_else(|| panic!("packet {number} is missing"));
        // Numbers of queue pairs are any; the migration bit, which soft-RoCE leaves 0, says nothing.
        let headers = Headers { dest_qp: REMOTE_QPN, migrated: true, ..expected.headers };
        assert_eq!((packet.headers, packet.payload), (headers, expected.payload), "packet {number}");
    }
    assert!(sent.is_empty(), "{sent:?}");
    assert_eq!(end.endpoint.counters(), EndpointCounters::default());
    end
}

/// Posts the operation that begins with this packet.
fn post(end: &mut End, packet: &Packet, written: &[u8]) {
    let mut data = IoBuf::new(end.pool.get().expect("a free buffer"), 0..6000);
    match (packet.headers.opcode, packet.headers.reth) {
        (ReadRequest, Some(Reth { addr, rkey, len })) => {
            let segments = [Segment { local_offset: 0, len, remote_addr: addr, rkey }];
            end.endpoint.fetch(Fetch { cookie: 1, data, segments: &segments });
        }
        (WriteFirst, Some(Reth { addr, rkey, len })) => {
            data.bytes_mut().copy_from_slice(written);
            let segments = [Segment { local_offset: 0, len, remote_addr: addr, rkey }];
            let data = Some(data);
            end.endpoint.deliver(Deliver { cookie: 2, data, segments: &segments, message: None, solicited: false });
        }
        (SendOnly, _) => {
            let message = Some(end.data(packet.payload.len(), 1));
            end.endpoint.deliver(Deliver { cookie: 3, data: None, segments: &[], message, solicited: false });
        }
        _ => {}
    }
}

#[test]
fn as_the_server_it_asks_what_soft_roce_asked() {
    let mut end = play(Server);
    let completions = end.completions();
    let fetched = completions.iter().find_map(|completion| match completion {
        Completion::Fetched { data, result: Ok(()), .. } => Some(data.bytes()),
        _ => None,
    });
    assert_eq!(fetched, Some(&[pattern(4096, 1), pattern(1904, 1)].concat()[..]));
    let delivered = |completion: &&Completion| matches!(completion, Completion::Delivered { result: Ok(()), .. });
    assert_eq!(completions.iter().filter(delivered).count(), 3);
    assert_eq!(completions.len(), 6, "and two messages");
}

#[test]
fn as_the_client_it_answers_what_soft_roce_answered() {
    let mut end = play(Client);
    assert_eq!(end.received(), [pattern(16, 1), pattern(16, 1)]);
}
