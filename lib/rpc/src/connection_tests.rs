use serde_json::json;

use super::*;

const LIMITS: Limits = Limits {
    request_bytes: 1000,
    answer_bytes: 200,
    request_time: Duration::from_secs(60),
    write_time: Duration::from_secs(30),
};

/// A connection with a clock that the test moves.
struct Bench {
    connection: Connection,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Bench { connection: Connection::new(LIMITS, now), now }
    }

    fn send(&mut self, text: &str) {
        self.connection.received(text.as_bytes(), self.now);
    }

    /// The method of the request that is given out now.
    fn request(&mut self) -> Option<String> {
        self.connection.advance(self.now).map(|request| request.method)
    }

    fn answer(&mut self, result: Value) -> Option<String> {
        self.connection.answered(Ok(result), self.now).map(|request| request.method)
    }

    /// Takes all output, as JSON.
    fn output(&mut self) -> Option<Value> {
        let text = String::from_utf8(self.connection.output().to_vec()).unwrap();
        self.connection.wrote(text.len(), self.now);
        (!text.is_empty()).then(|| serde_json::from_str(&text).expect("JSON"))
    }

    fn error_code(&mut self) -> Option<i64> {
        let output = self.output()?;
        assert_eq!(output["id"], Value::Null);
        output["error"]["code"].as_i64()
    }
}

fn call(method: &str, id: u64) -> String {
    json!({"jsonrpc": "2.0", "method": method, "id": id}).to_string()
}

fn ok(id: u64, result: Value) -> Option<Value> {
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

const NOTIFICATION: &str = r#"{"jsonrpc":"2.0","method":"note"}"#;

#[test]
fn requests_are_given_out_one_by_one_and_answered_in_order() {
    let mut bench = Bench::new();
    bench.send(&(call("a", 1) + &call("b", 2)));
    assert_eq!(bench.request().as_deref(), Some("a"));
    assert_eq!(bench.request(), None, "a is not answered yet");
    assert_eq!(bench.answer(json!(true)), None);
    assert_eq!(bench.request(), None, "the answer has not been sent yet");
    assert_eq!(bench.output(), ok(1, json!(true)));
    assert_eq!(bench.request().as_deref(), Some("b"));
    bench.answer(json!([]));
    assert_eq!(bench.output(), ok(2, json!([])));
}

#[test]
fn nothing_is_read_while_a_request_or_an_answer_is_on_its_way() {
    let mut bench = Bench::new();
    let interest = |bench: &Bench| (bench.connection.interest().read, bench.connection.interest().write);
    assert_eq!(interest(&bench), (true, false));
    bench.send(&call("a", 1));
    bench.request();
    assert_eq!(interest(&bench), (false, false));
    bench.answer(json!(1));
    assert_eq!(interest(&bench), (false, true));
    bench.output();
    assert_eq!(interest(&bench), (true, false));
}

#[test]
fn a_notification_gets_no_answer() {
    let mut bench = Bench::new();
    bench.send(&(NOTIFICATION.to_owned() + &call("b", 2)));
    assert_eq!(bench.request().as_deref(), Some("note"));
    bench.answer(json!(1));
    assert_eq!(bench.output(), None);
    assert_eq!(bench.request().as_deref(), Some("b"));
}

#[test]
fn an_invalid_request_is_answered_and_the_next_one_served() {
    let mut bench = Bench::new();
    bench.send(&(r#"{"id":5}"#.to_owned() + &call("b", 2)));
    assert_eq!(bench.request(), None);
    let output = bench.output().unwrap();
    assert_eq!((&output["id"], &output["error"]["code"]), (&json!(5), &json!(-32600)));
    assert_eq!(bench.request().as_deref(), Some("b"));
}

#[test]
fn text_that_is_no_json_is_answered_and_ends_the_connection() {
    for (text, code) in [("{]", -32700), ("x", -32600), ("7", -32600)] {
        let mut bench = Bench::new();
        bench.send(&(text.to_owned() + &call("b", 2)));
        assert_eq!(bench.request(), None);
        assert_eq!(bench.error_code(), Some(code), "{text}");
        assert!(bench.connection.output_ended() && !bench.connection.is_finished());
        bench.send(&call("c", 3));
        assert_eq!(bench.request(), None, "what comes now is thrown away");
        bench.connection.input_ended();
        assert!(bench.connection.is_finished());
    }
}

#[test]
fn a_request_that_is_too_long_is_answered_while_the_rest_is_thrown_away() {
    let mut bench = Bench::new();
    bench.send("{");
    let mut sent = 0;
    while bench.connection.output().is_empty() {
        bench.send(&" ".repeat(100));
        assert_eq!(bench.request(), None);
        sent += 1;
        assert!(sent <= 10);
    }
    bench.send(&" ".repeat(100_000));
    assert!(bench.connection.interest().read, "else the client would block and never read the answer");
    assert_eq!(bench.error_code(), Some(-32600));
}

#[test]
fn an_answer_that_is_too_long_becomes_an_error() {
    let mut bench = Bench::new();
    bench.send(&call("a", 1));
    bench.request();
    bench.answer("x".repeat(1000).into());
    let output = bench.output().unwrap();
    assert_eq!((&output["id"], &output["error"]["code"]), (&json!(1), &json!(-32603)));
}

#[test]
fn a_batch_is_worked_on_in_order_and_answered_in_one_array() {
    let mut bench = Bench::new();
    bench.send(&format!("[{},{NOTIFICATION},7,{}]{}", call("a", 1), call("b", 2), call("c", 3)));
    assert_eq!(bench.request().as_deref(), Some("a"));
    assert_eq!(bench.answer(json!("A")).as_deref(), Some("note"));
    assert_eq!(bench.answer(json!("N")).as_deref(), Some("b"));
    assert_eq!(bench.output(), None);
    assert_eq!(bench.answer(json!("B")), None);
    let answers = bench.output().unwrap();
    assert_eq!(answers.as_array().map(Vec::len), Some(3));
    assert_eq!(Some(answers[0].clone()), ok(1, json!("A")));
    assert_eq!(answers[1]["error"]["code"], json!(-32600));
    assert_eq!(Some(answers[2].clone()), ok(2, json!("B")));
    assert_eq!(bench.request().as_deref(), Some("c"));
}

#[test]
fn a_batch_of_nothing_to_answer_gets_no_answer() {
    let mut bench = Bench::new();
    bench.send(&format!("[{NOTIFICATION}]"));
    bench.request();
    assert_eq!(bench.answer(json!(1)), None);
    assert_eq!(bench.output(), None);
    assert!(bench.connection.interest().read);
}

#[test]
fn a_batch_of_invalid_requests_is_answered_at_once() {
    let mut bench = Bench::new();
    bench.send("[1,2]");
    assert_eq!(bench.request(), None);
    assert_eq!(bench.output().unwrap().as_array().map(Vec::len), Some(2));
}

#[test]
fn the_answers_of_a_batch_are_bounded_together() {
    let mut bench = Bench::new();
    bench.send(&format!("[{},{}]", call("a", 1), call("b", 2)));
    bench.request();
    bench.answer("x".repeat(120).into());
    bench.answer("x".repeat(120).into());
    let answers = bench.output().unwrap();
    assert!(answers[0].get("result").is_some());
    assert_eq!(answers[1]["error"]["code"], json!(-32603));
}

#[test]
fn requests_before_the_end_of_input_are_answered() {
    let mut bench = Bench::new();
    bench.send(&(call("a", 1) + &call("b", 2)));
    bench.connection.input_ended();
    for (method, id) in [("a", 1), ("b", 2)] {
        assert_eq!(bench.request().as_deref(), Some(method));
        bench.answer(json!(0));
        assert_eq!(bench.output(), ok(id, json!(0)));
        assert!(!bench.connection.is_finished());
    }
    assert_eq!(bench.request(), None);
    assert!(bench.connection.is_finished());
}

#[test]
fn half_a_request_before_the_end_of_input_is_an_error() {
    let mut bench = Bench::new();
    bench.send("{");
    bench.connection.input_ended();
    assert_eq!(bench.request(), None);
    assert_eq!(bench.error_code(), Some(-32700));
    assert!(bench.connection.is_finished());
}

#[test]
fn a_client_that_does_not_read_is_still_served_without_answers() {
    let mut bench = Bench::new();
    bench.send(&(call("a", 1) + &call("b", 2)));
    bench.request();
    bench.answer(json!(0));
    bench.connection.output_failed();
    assert_eq!(bench.request().as_deref(), Some("b"));
    bench.answer(json!(0));
    assert_eq!(bench.output(), None);
}

#[test]
fn half_a_request_has_a_deadline_from_its_first_byte() {
    let mut bench = Bench::new();
    assert_eq!(bench.connection.deadline(), None);
    let first_byte = bench.now;
    for _ in 0..3 {
        bench.send("{");
        assert_eq!(bench.request(), None);
        assert_eq!(bench.connection.deadline(), Some(first_byte + LIMITS.request_time));
        bench.now += Duration::from_secs(1);
    }
    bench.now = first_byte + LIMITS.request_time;
    assert!(!bench.connection.expire(bench.now), "the error is sent first");
    assert_eq!(bench.error_code(), Some(-32700));
    assert_eq!(bench.connection.deadline(), Some(bench.now + LINGER));
    assert!(bench.connection.expire(bench.now + LINGER));
}

#[test]
fn an_answer_must_move_within_the_write_time() {
    let mut bench = Bench::new();
    bench.send(&call("a", 1));
    bench.request();
    assert_eq!(bench.connection.deadline(), None, "a method may take as long as it needs");
    bench.now += Duration::from_secs(1000);
    bench.answer(json!("xyz"));
    assert_eq!(bench.connection.deadline(), Some(bench.now + LIMITS.write_time));
    bench.now += Duration::from_secs(1);
    bench.connection.wrote(1, bench.now);
    assert_eq!(bench.connection.deadline(), Some(bench.now + LIMITS.write_time));
    assert!(bench.connection.expire(bench.now + LIMITS.write_time));
}

#[test]
fn stopping_answers_what_is_worked_on_and_the_rest_of_its_batch() {
    let mut bench = Bench::new();
    bench.send(&format!("[{},{}]{}", call("a", 1), call("b", 2), call("c", 3)));
    bench.request();
    bench.connection.stop(&RpcError::internal("stopping"), bench.now);
    let answers = bench.output().unwrap();
    assert_eq!(answers.as_array().map(Vec::len), Some(2));
    assert!(bench.connection.output_ended());
    assert_eq!(bench.answer(json!("late")), None);
    assert_eq!(bench.output(), None);
}
