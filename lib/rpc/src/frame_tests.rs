use proptest::prelude::*;

use super::*;

/// All frames of a stream that comes in these pieces.
fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut framer = Framer::new(limit);
    let mut found = Vec::new();
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => found.push(frame.to_vec()),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fn texts(stream: &str) -> Vec<String> {
    let (found, error) = frames([stream.as_bytes()], 1000);
    assert_eq!(error, None);
    found.into_iter().map(|frame| String::from_utf8(frame).expect("text")).collect()
}

#[test]
fn requests_back_to_back_are_separated() {
    assert_eq!(texts(r#"{"a":1}{"b":[2]} [3]"#), [r#"{"a":1}"#, r#"{"b":[2]}"#, "[3]"]);
}

#[test]
fn white_space_between_requests_is_skipped() {
    assert_eq!(texts("\n\t {}\r\n{}\n"), ["{}", "{}"]);
}

#[test]
fn brackets_and_quotes_within_strings_do_not_count() {
    for text in [r#"{"a":"}"}"#, r#"{"a":"\"}"}"#, r#"{"a":"\\"}"#, r#"{"a\\\"}":"{["}"#] {
        assert_eq!(texts(&format!("{text}{{}}")), [text, "{}"]);
    }
}

#[test]
fn half_a_request_is_waited_for() {
    let mut framer = Framer::new(1000);
    framer.push(b" ");
    assert_eq!(framer.next_frame(), Ok(None));
    assert!(!framer.is_within_frame());
    framer.push(br#"{"a":"#);
    assert_eq!(framer.next_frame(), Ok(None));
    assert!(framer.is_within_frame());
    framer.push(b"1}");
    assert_eq!(framer.next_frame(), Ok(Some(&br#"{"a":1}"#[..])));
    assert!(!framer.is_within_frame());
}

#[test]
fn what_is_no_request_is_an_error() {
    for stream in ["1", "\"x\"", "true", "null", "-1"] {
        assert_eq!(frames([stream.as_bytes()], 10), (vec![], Some(FrameError::NeitherObjectNorArray)), "{stream}");
    }
    for stream in ["x", "}", "]", ",", "\0", "\u{feff}{}", "\u{a0}"] {
        let byte = stream.as_bytes()[0];
        assert_eq!(frames([stream.as_bytes()], 10), (vec![], Some(FrameError::NotJson { byte })), "{stream:?}");
    }
}

#[test]
fn a_frame_may_be_as_long_as_the_limit_and_no_longer() {
    assert_eq!(frames([&b"[12345678][1234567890]"[..]], 10).0, [b"[12345678]"]);
    assert_eq!(frames([&b"[123456789]"[..]], 10), (vec![], Some(FrameError::TooLong { limit: 10 })));
    assert_eq!(frames([&b"[1234567"[..], b"890"], 10), (vec![], Some(FrameError::TooLong { limit: 10 })));
}

#[test]
fn white_space_does_not_pile_up() {
    let mut framer = Framer::new(10);
    for _ in 0..10_000 {
        framer.push(b"          ");
        assert_eq!(framer.next_frame(), Ok(None));
    }
    assert!(framer.buffer.capacity() < 1000, "{}", framer.buffer.capacity());
}

/// JSON objects and arrays with strings full of quotes, brackets and backslashes.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(serde_json::Value::from),
        r#"["\\\{\}\[\]a ü]{0,6}"#.prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    let nested = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map(r#"["\\\}a]{0,3}"#, inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    nested.prop_map(|value| match value {
        value @ (serde_json::Value::Object(_) | serde_json::Value::Array(_)) => value.to_string(),
        leaf => serde_json::json!({ "leaf": leaf }).to_string(),
    })
}

/// Cuts `stream` at these places (taken modulo its length).
fn cut<'a>(stream: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_split_gives_the_same_requests(
        requests in prop::collection::vec((json_text(), "[ \n\t\r]{0,2}"), 0..6),
        places in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let stream: String = requests.iter().flat_map(|(text, blank)| [text.as_str(), blank.as_str()]).collect();
        let expected: Vec<Vec<u8>> = requests.iter().map(|(text, _)| text.clone().into_bytes()).collect();
        let whole = frames(cut(stream.as_bytes(), &places), 1 << 20);
        prop_assert_eq!(whole, (expected.clone(), None));
        let byte_by_byte = frames(stream.as_bytes().chunks(1), 1 << 20);
        prop_assert_eq!(byte_by_byte, (expected, None));
    }

    #[test]
    fn any_bytes_in_any_split_end_the_same_way(
        stream in prop::collection::vec(prop_oneof![4 => prop::sample::select(&b"{}[]\"\\ a1,"[..]), 1 => any::<u8>()], 0..200),
        places in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let limit = 40;
        let whole = frames([&stream[..]], limit);
        prop_assert!(whole.0.iter().all(|frame| frame.len() <= limit));
        prop_assert_eq!(frames(cut(&stream, &places), limit), whole);
    }
}
