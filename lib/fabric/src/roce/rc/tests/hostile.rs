//! Whatever a peer, or somebody else, sends: nothing panics, no memory is touched that was not exposed, every buffer comes
//! back.

use proptest::prelude::*;

use super::end::*;
use crate::roce::rc::testing::{Dice, Setup, World, run_script};

#[test]
fn a_stranger_between_two_ends_breaks_no_rule_of_buffers() {
    for seed in 0..60 {
        let _seed = Seed(seed);
        let mut dice = Dice::Seed(seed);
        let setup = Setup { hostile: true, ..Setup::roll(&mut dice) };
        World::new(setup, dice).run();
    }
}

#[test]
fn a_script_without_a_seed_decides_everything() {
    for seed in 0..60 {
        let _seed = Seed(seed);
        let mut dice = Dice::Seed(seed);
        let script: Vec<u8> = (0..dice.below(2000)).map(|_| dice.below(256) as u8).collect();
        run_script(&script);
    }
}

fn any_opcode() -> impl Strategy<Value = Opcode> {
    prop::sample::select((0..=u8::MAX).filter_map(Opcode::parse).collect::<Vec<_>>())
}

fn any_syndrome() -> impl Strategy<Value = Syndrome> {
    prop_oneof![
        3 => Just(Syndrome::Ack(31)),
        1 => (0..32_u8).prop_map(Syndrome::ReceiverNotReady),
        2 => Just(Syndrome::Nak(NakCode::SequenceError)),
        1 => Just(Syndrome::Nak(NakCode::RemoteAccess)),
        1 => any::<u8>().prop_map(Syndrome::Reserved),
    ]
}

/// Headers whose optional parts need not fit the opcode.
fn any_packet() -> impl Strategy<Value = Packet> {
    let near = prop_oneof![8 => 0..40_u32, 1 => any::<u32>(), 1 => 0xff_ff00..0x100_0000_u32];
    let reth = (0..0x3000_u64, any::<bool>(), prop_oneof![0..2000_u32, any::<u32>()]);
    let payload = prop_oneof![Just(0), Just(256), 0..300_usize, Just(5000)];
    let flags = any::<[bool; 4]>();
    (
        any_opcode(),
        near,
        proptest::option::weighted(0.9, reth),
        proptest::option::weighted(0.9, any_syndrome()),
        payload,
        flags,
    )
        .prop_map(|(opcode, number, reth, syndrome, payload, [solicited, ack_request, migrated, invalidate])| {
            let first = if opcode.is_response() { SEND_PSN } else { RECEIVE_PSN };
            let mut headers = Headers::new(opcode, LOCAL_QPN, Psn::new(first).plus(number % 0x100_0000));
            (headers.solicited, headers.ack_request, headers.migrated) = (solicited, ack_request, migrated);
            headers.aeth = syndrome.map(|syndrome| Aeth { syndrome, msn: number });
            // The address is relative to the exposed memory, and the key right if it is 1.
            headers.reth = reth.map(|(addr, right, len)| Reth { addr, rkey: u32::from(right), len });
            headers.invalidate = invalidate.then_some(number);
            Packet { headers, payload: vec![0xa5; payload] }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_packet_panics_or_touches_what_is_not_exposed(
        packets in prop::collection::vec((any_packet(), any::<bool>()), 1..60),
        reads_served in 0..4_u8,
    ) {
        let mut end = End::new(&EndpointOptions { reads_served, ..options() });
        // The exposed part lies in the middle of its buffer, between bytes that nobody may reach.
        let mut buf = end.pool.get().expect("a free buffer");
        buf.bytes_mut().fill(7);
        let memory = end.exposed.expose(QP, IoBuf::new(buf, 0x1000..0x2000), Access { read: true, write: true });
        (0..4).for_each(|_| end.post_receive());
        end.write(1, 1000);
        end.fetch(2, 1000);
        end.send(3, 1000);
        for (mut packet, sends) in packets {
            if let Some(reth) = &mut packet.headers.reth {
                reth.addr = (memory.addr - 0x1000).wrapping_add(reth.addr);
                reth.rkey = if reth.rkey == 1 { memory.rkey } else { 77 };
            }
            end.take(&packet);
            if sends {
                for packet in end.sent() {
                    prop_assert!(packet.payload.len() <= MTU as usize);
                }
            }
            end.now += 20 * MICROSECOND;
        }
        end.endpoint.fail();
        let operations = end.finished();
        prop_assert_eq!(operations.iter().map(|(cookie, _)| *cookie).collect::<Vec<_>>(), [1, 2, 3]);
        prop_assert_eq!(end.endpoint.outstanding(), 0);
        let buf = end.exposed.withdraw(memory.rkey).expect("still exposed").into_buf();
        prop_assert!(buf.bytes()[..0x1000].iter().all(|&byte| byte == 7), "before the exposed part");
        prop_assert!(buf.bytes()[0x2000..].iter().all(|&byte| byte == 7), "behind the exposed part");
        drop(buf);
        prop_assert_eq!(end.pool.available(), 32);
    }
}
