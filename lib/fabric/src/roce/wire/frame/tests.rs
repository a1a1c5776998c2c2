use proptest::prelude::*;

use super::super::{UDP_PORT, capture};
use super::*;

fn headers(source: &str, destination: &str) -> FrameHeaders {
    FrameHeaders {
        source_mac: Mac([2, 0, 0, 0, 0, 1]),
        destination_mac: Mac([2, 0, 0, 0, 0, 2]),
        tag: None,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        traffic_class: 0x6a,
        ip_id: 0,
        hop_limit: 64,
    }
}

fn framed(headers: &FrameHeaders, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xee; FRAME_HEADERS_MAX];
    let len = headers.emit(payload.len(), &mut frame);
    frame.truncate(len);
    frame.extend_from_slice(payload);
    frame
}

fn ipv4_frame() -> Vec<u8> {
    framed(&headers("192.0.2.1:49152", "198.51.100.2:4791"), &[7; 30])
}

fn ipv6_frame() -> Vec<u8> {
    framed(&headers("[2001:db8::1]:49152", "[2001:db8::2]:4791"), &[7; 30])
}

fn refused(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> FrameError {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    FrameHeaders::parse(&frame).unwrap_err()
}

#[test]
fn captured_frames_are_emitted_as_they_came() {
    for frame in capture::frames() {
        let (headers, payload) = FrameHeaders::parse(&frame).unwrap();
        assert_eq!(headers.destination.port(), UDP_PORT);
        assert_eq!(framed(&headers, payload), frame, "{headers:?}");
    }
}

#[test]
fn a_captured_frame_field_by_field() {
    let (headers, payload) = FrameHeaders::parse(&capture::frames()[0]).map(|(h, p)| (h, p.len())).unwrap();
    let expected = FrameHeaders {
        source_mac: Mac([0x52, 0x54, 0, 0, 0, 0x0b]),
        destination_mac: Mac([0x52, 0x54, 0, 0, 0, 0x0a]),
        tag: None,
        source: (Ipv4Addr::new(10, 78, 0, 2), headers.source.port()).into(),
        destination: (Ipv4Addr::new(10, 78, 0, 1), UDP_PORT).into(),
        traffic_class: 0,
        ip_id: 0xf112,
        hop_limit: 64,
    };
    assert_eq!((headers, payload), (expected, 280));
    assert_eq!(headers.source_mac.to_string(), "52:54:00:00:00:0b");
}

#[test]
fn padding_of_short_frames_is_no_payload() {
    for mut frame in [ipv4_frame(), ipv6_frame()] {
        frame.extend_from_slice(&[0; 18]);
        assert_eq!(FrameHeaders::parse(&frame).unwrap().1, [7; 30]);
    }
}

#[test]
fn frames_that_are_not_ours_say_why() {
    assert_eq!(refused(ipv4_frame(), 12, &[0x08, 0x06]), FrameError::EtherType(0x0806));
    assert_eq!(refused(ipv4_frame(), 12, &[0x86, 0xdd]), FrameError::Version(4));
    assert_eq!(refused(ipv4_frame(), 14, &[0x65]), FrameError::Version(6));
    assert_eq!(refused(ipv4_frame(), 14, &[0x46]), FrameError::Options(6));
    assert_eq!(refused(ipv4_frame(), 14, &[0x44]), FrameError::Options(4));
    assert_eq!(refused(ipv4_frame(), 16, &[0, 19]), FrameError::Length);
    assert_eq!(refused(ipv4_frame(), 16, &[0, 59]), FrameError::Length, "the frame has 58");
    assert_eq!(refused(ipv4_frame(), 16, &[0, 27]), FrameError::Truncated, "UDP's header");
    assert_eq!(refused(ipv4_frame(), 20, &[0x20, 0]), FrameError::Fragment, "the first");
    assert_eq!(refused(ipv4_frame(), 20, &[0, 1]), FrameError::Fragment, "a later one");
    assert_eq!(refused(ipv4_frame(), 23, &[6]), FrameError::Protocol(6));
    assert_eq!(refused(ipv4_frame(), 38, &[0, 7]), FrameError::Length);
    assert_eq!(refused(ipv4_frame(), 38, &[0, 39]), FrameError::Length, "the datagram has 38");
    assert_eq!(refused(ipv6_frame(), 14, &[0x40]), FrameError::Version(4));
    assert_eq!(refused(ipv6_frame(), 18, &[0, 39]), FrameError::Length, "the packet has 38");
    assert_eq!(refused(ipv6_frame(), 20, &[44]), FrameError::Protocol(44), "a fragment's extension header");
}

#[test]
fn a_frame_cut_anywhere_is_refused() {
    let tagged = framed(&FrameHeaders { tag: Some(5), ..headers("192.0.2.1:1", "192.0.2.2:4791") }, &[7; 30]);
    for frame in [ipv4_frame(), ipv6_frame(), tagged] {
        for len in 0..frame.len() {
            assert!(FrameHeaders::parse(&frame[..len]).is_err(), "{len}");
        }
        assert!(FrameHeaders::parse(&frame).is_ok());
    }
}

#[test]
fn the_checksum_of_rfc_1071_as_in_its_example() {
    assert_eq!(internet_checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    assert_eq!(internet_checksum(&[&[0x12]]), !0x1200);
}

proptest! {
    #[test]
    fn headers_are_read_back_as_they_were_emitted(
        macs: [[u8; 6]; 2],
        tag: Option<u16>,
        ends in prop_oneof![
            any::<[([u8; 4], u16); 2]>().prop_map(|ends| ends.map(SocketAddr::from)),
            any::<[([u8; 16], u16); 2]>().prop_map(|ends| ends.map(SocketAddr::from)),
        ],
        traffic_class: u8,
        ip_id: u16,
        hop_limit: u8,
        payload in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let [source_mac, destination_mac] = macs.map(Mac);
        let [source, destination] = ends;
        let ip_id = if source.is_ipv4() { ip_id } else { 0 };
        let headers = FrameHeaders {
            source_mac, destination_mac, tag, source, destination, traffic_class, ip_id, hop_limit,
        };
        let frame = framed(&headers, &payload);
        prop_assert_eq!(frame.len(), headers.len() + payload.len());
        prop_assert_eq!(FrameHeaders::parse(&frame), Ok((headers, &payload[..])));
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), ether_type in 0..4_usize) {
        let mut frame = bytes;
        if let Some(place) = frame.get_mut(12..14) {
            place.copy_from_slice(&[[8, 0], [0x86, 0xdd], [0x81, 0], [1, 2]][ether_type]);
        }
        let _ = FrameHeaders::parse(&frame);
    }
}
