use proptest::prelude::*;
use serde_json::json;

use super::*;

fn single(text: &str) -> Result<Call, Box<Invalid>> {
    match parse(text.as_bytes()) {
        Ok(Message::Single(call)) => call,
        other => panic!("{other:?}"),
    }
}

fn refusal(text: &str) -> (i64, String, Value) {
    let invalid = single(text).expect_err(text);
    (invalid.error.code, invalid.error.message, invalid.id)
}

#[test]
fn the_request_that_spdk_s_client_sends_is_read() {
    // As json.dumps(…, indent=2) of SPDK's client writes it.
    let text = "{\n  \"jsonrpc\": \"2.0\",\n  \"method\": \"bdev_null_create\",\n  \"id\": 1,\n  \"params\": {\n    \
                \"name\": \"Null0\",\n    \"num_blocks\": 204800,\n    \"block_size\": 512\n  }\n}";
    let params = json!({"name": "Null0", "num_blocks": 204800, "block_size": 512});
    let request = Request { method: "bdev_null_create".into(), params: Some(params) };
    assert_eq!(single(text), Ok(Call { request, id: Some(json!(1)) }));
}

#[test]
fn an_id_of_any_type_is_kept() {
    for id in [json!(1), json!(-1), json!(0.5), json!("x"), json!(null), json!(true), json!([1, {"a": 2}]), json!({})] {
        let text = json!({"jsonrpc": "2.0", "method": "m", "id": id}).to_string();
        assert_eq!(single(&text).unwrap().id, Some(id));
    }
}

#[test]
fn a_request_without_id_is_a_notification() {
    assert_eq!(single(r#"{"jsonrpc":"2.0","method":"m"}"#).unwrap().id, None);
}

#[test]
fn parameters_may_be_missing_or_null() {
    for text in [r#"{"jsonrpc":"2.0","method":"m"}"#, r#"{"jsonrpc":"2.0","method":"m","params":null}"#] {
        assert_eq!(single(text).unwrap().request.params, None);
    }
}

#[test]
fn a_wrong_member_is_named_and_the_id_kept() {
    for (text, what) in [
        (r#"{"id":7,"method":"m"}"#, "jsonrpc: missing"),
        (r#"{"id":7,"jsonrpc":"1.0","method":"m"}"#, "jsonrpc: must be"),
        (r#"{"id":7,"jsonrpc":2.0,"method":"m"}"#, "jsonrpc: must be"),
        (r#"{"id":7,"jsonrpc":"2.0"}"#, "method: missing"),
        (r#"{"id":7,"jsonrpc":"2.0","method":1}"#, "method: must be a string"),
        (r#"{"id":7,"jsonrpc":"2.0","method":"m","params":"x"}"#, "params: must be an object"),
        (r#"{"id":7,"jsonrpc":"2.0","method":"m","parms":{}}"#, "unknown member `parms`"),
    ] {
        let (code, message, id) = refusal(text);
        assert!(code == -32600 && message.contains(what) && id == json!(7), "{text}: {code} {message} {id}");
    }
}

#[test]
fn a_repeated_key_is_refused() {
    let (code, message, _) = refusal(r#"{"jsonrpc":"2.0","method":"m","id":1,"params":{"lun":0,"lun":1}}"#);
    assert!(code == -32600 && message.contains("key `lun` stands twice"), "{message}");
}

#[test]
fn a_batch_is_read_element_by_element() {
    let Ok(Message::Batch(calls)) = parse(br#"[{"jsonrpc":"2.0","method":"a","id":1},1,{}]"#) else { panic!() };
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[0].as_ref().unwrap().request.method, "a");
    assert!(calls[1].as_ref().unwrap_err().error.message.contains("must be an object"));
    assert!(calls[2].as_ref().unwrap_err().error.message.contains("jsonrpc: missing"));
    assert!(refusal("[]").1.contains("empty batch"));
}

#[test]
fn what_is_no_json_ends_the_connection() {
    for text in [r#"{"jsonrpc" "2.0"}"#, "{]", "{\"a\":\"\u{0}\"}", &format!("{}{}", "[".repeat(200), "]".repeat(200))]
    {
        assert_eq!(parse(text.as_bytes()).expect_err(text).code, -32700);
    }
}

#[test]
fn answers_are_as_the_standard_has_them() {
    assert_eq!(answer(json!(1), Ok(json!(true))), br#"{"jsonrpc":"2.0","id":1,"result":true}"#);
    let mut error = RpcError::errno(crate::Errno::EXIST, "File exists");
    let expected = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-17,"message":"File exists"}}"#;
    assert_eq!(answer(Value::Null, Err(error.clone())), expected.as_bytes());
    error.data = Some(json!([1]));
    assert!(answer(Value::Null, Err(error)).ends_with(br#""message":"File exists","data":[1]}}"#));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = parse(&bytes);
    }

    #[test]
    fn a_request_written_is_read_back(id: u64, method: String, name: String) {
        let params = json!({ "name": name });
        let text = String::from_utf8(request(id, &method, Some(params.clone()))).unwrap();
        let expected = Call { request: Request { method, params: Some(params) }, id: Some(json!(id)) };
        prop_assert_eq!(single(&text), Ok(expected));
    }
}

/// Four MiB of zeros and commas took a third of a GiB for as long as their client did not read.
#[test]
fn a_batch_has_a_bounded_number_of_requests() {
    let batch = |count: usize| format!("[{}]", vec!["0"; count].join(","));
    assert!(matches!(parse(batch(BATCH_MAX).as_bytes()), Ok(Message::Batch(calls)) if calls.len() == BATCH_MAX));
    let (code, message, _) = refusal(&batch(BATCH_MAX + 1));
    assert!(code == -32600 && message.contains("a batch of 257: 256 are allowed"), "{message}");
}
