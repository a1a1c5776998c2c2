//! What must hold for any frame of Ethernet.

use fabric::roce::wire::{FRAME_HEADERS_MAX, FrameHeaders, NEIGHBOUR_FRAME_MAX, Neighbour};

/// Tries `bytes` as a frame with a UDP datagram, and as a message about neighbours.
pub fn run(bytes: &[u8]) {
    if let Ok((headers, payload)) = FrameHeaders::parse(bytes) {
        let mut again = vec![0; FRAME_HEADERS_MAX];
        let len = headers.emit(payload.len(), &mut again);
        assert_eq!(len, headers.len());
        again.truncate(len);
        again.extend_from_slice(payload);
        assert_eq!(FrameHeaders::parse(&again), Ok((headers, payload)));
    }
    if let Ok(message) = Neighbour::parse(bytes) {
        let mut again = [0; NEIGHBOUR_FRAME_MAX];
        let len = message.emit(&mut again);
        let second = Neighbour::parse(&again[..len]).expect("it is one");
        assert_eq!(second.answer(Default::default()).is_some(), message.answer(Default::default()).is_some());
    }
}
