use proptest::prelude::*;

use super::super::capture;
use super::*;

/// The packets of the captured frames, without ICRC.
fn captured() -> Vec<Vec<u8>> {
    let packets = capture::all().into_iter();
    packets.map(|frame| frame.datagram[..frame.datagram.len() - ICRC_LEN].to_vec()).collect()
}

fn emitted(headers: &Headers) -> Vec<u8> {
    let mut bytes = vec![0xee; HEADER_MAX];
    let len = headers.emit(&mut bytes);
    assert_eq!(len, headers.len());
    bytes.truncate(len);
    bytes
}

#[test]
fn captured_packets_are_emitted_as_they_came() {
    for packet in captured() {
        let (headers, payload) = Headers::parse(&packet).unwrap();
        let padding = vec![0; headers.pad.into()];
        assert_eq!([&emitted(&headers), payload, &padding].concat(), packet, "{headers}");
    }
}

#[test]
fn captured_packets_in_one_line_each() {
    let lines: Vec<_> = captured().iter().map(|packet| Headers::parse(packet).unwrap().0.to_string()).collect();
    assert_eq!(lines[0], "UdSendOnly qp 0x1 psn 0x000000, ack wanted, from qp 0x1");
    assert_eq!(lines[3], "SendOnly qp 0x11 psn 0x19ae6f, ack wanted");
    assert_eq!(lines[4], "Acknowledge qp 0x11 psn 0x19ae6f, Ack(31) msn 1");
    assert_eq!(lines[5], "ReadRequest qp 0x11 psn 0xf57048, ack wanted, 6000 bytes at 0x55ebae759d70 rkey 0x5c5");
    assert_eq!(lines[6], "ReadResponseFirst qp 0x11 psn 0xf57048, Ack(31) msn 1");
}

#[test]
fn packets_that_are_none_say_why() {
    let with = |byte_0: u8, byte_1: u8, len: usize| {
        let mut packet = vec![0; len];
        (packet[0], packet[1]) = (byte_0, byte_1);
        Headers::parse(&packet).map(|(_, payload)| payload.len())
    };
    assert_eq!(Headers::parse(&[4; 11]), Err(PacketError::Truncated));
    assert_eq!(with(0x04, 0x01, 16), Err(PacketError::Version));
    assert_eq!(with(0x24, 0, 16), Err(PacketError::Opcode(0x24)));
    assert_eq!(with(0x0a, 0, 27), Err(PacketError::Truncated), "RETH");
    assert_eq!(with(0x11, 0, 15), Err(PacketError::Truncated), "AETH");
    assert_eq!(with(0x64, 0, 19), Err(PacketError::Truncated), "DETH");
    assert_eq!(with(0x05, 0, 15), Err(PacketError::Truncated), "immediate data");
    assert_eq!(with(0x17, 0, 15), Err(PacketError::Truncated), "key to invalidate");
    assert_eq!(with(0x13, 0, 39), Err(PacketError::Truncated), "atomic header");
    assert_eq!(with(0x04, 0x30, 14), Err(PacketError::Padding));
    assert_eq!(with(0x04, 0x30, 15), Ok(0));
}

#[test]
fn syndromes_and_their_bytes() {
    let pairs = [
        (0x00, Syndrome::Ack(0)),
        (0x1f, Syndrome::Ack(NO_CREDIT_INFORMATION)),
        (0x2e, Syndrome::ReceiverNotReady(14)),
        (0x60, Syndrome::Nak(NakCode::SequenceError)),
        (0x61, Syndrome::Nak(NakCode::InvalidRequest)),
        (0x62, Syndrome::Nak(NakCode::RemoteAccess)),
        (0x63, Syndrome::Nak(NakCode::RemoteOperational)),
        (0x64, Syndrome::Nak(NakCode::InvalidRdRequest)),
        (0x7f, Syndrome::Nak(NakCode::Reserved(31))),
        (0x40, Syndrome::Reserved(0x40)),
        (0x85, Syndrome::Reserved(0x85)),
    ];
    for (byte, syndrome) in pairs {
        assert_eq!(Syndrome::parse(byte), syndrome);
        assert_eq!(syndrome.emit(), byte);
    }
}

proptest! {
    #[test]
    fn any_packet_is_no_panic_and_its_headers_are_read_back_as_emitted(
        opcode: u8,
        flags: u8,
        rest in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let packet = [&[opcode, flags & 0xf0], &rest[..]].concat();
        let Ok((headers, payload)) = Headers::parse(&packet) else { return Ok(()) };
        prop_assert!(!headers.to_string().contains('\n'));
        if !headers.opcode.has_atomic() {
            let padding = vec![0; headers.pad.into()];
            let again = [&emitted(&headers), payload, &padding].concat();
            prop_assert_eq!(Headers::parse(&again), Ok((headers, payload)));
            prop_assert_eq!(again.len(), packet.len());
        }
    }
}

#[test]
fn a_congestion_notification_has_its_becn_bit_and_nothing_else_has() {
    let byte_4 = |opcode| {
        let mut out = [0; HEADER_MAX];
        Headers::new(opcode, 0xff_ffff, Psn::new(0)).emit(&mut out);
        out[4]
    };
    assert_eq!((byte_4(Opcode::Cnp), byte_4(Opcode::SendOnly)), (0x40, 0));
}
