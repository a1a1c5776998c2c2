//! The server as its clients see it: real sockets, good and hostile.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rpc::{CallError, Client, Methods, NoParams, Pending, RpcError, Server, ServerOptions};
use serde_json::{Value, json};

/// A server whose requests are answered by a control thread.
struct Target {
    server: Option<Server>,
    control: Option<std::thread::JoinHandle<()>>,
    /// Requests of method `later`, not answered yet.
    later: Arc<Mutex<Vec<Pending>>>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

struct Context {
    seen: Vec<Value>,
    later: Arc<Mutex<Vec<Pending>>>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Echo {
    text: Value,
}

fn methods() -> Methods<Context> {
    let mut methods = Methods::new();
    methods.add("echo", "", |_: &mut Context, params: Echo| Ok(params.text));
    methods.add("note", "", |context: &mut Context, params: Echo| {
        context.seen.push(params.text);
        Ok(())
    });
    methods.add("seen", "", |context: &mut Context, _: NoParams| Ok(context.seen.clone()));
    methods.add("fill", "", |_: &mut Context, _: NoParams| Ok("x".repeat(8 << 20)));
    methods.add_deferred("later", "", |context: &mut Context, _: NoParams, pending| {
        context.later.lock().unwrap().push(pending);
    });
    methods.add_deferred("forget", "", |_: &mut Context, _: NoParams, pending| drop(pending));
    methods
}

impl Target {
    fn start(options: ServerOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("target.sock");
        let (sender, requests) = mpsc::channel();
        let server = Server::bind(&path, options, move |pending| drop(sender.send(pending))).unwrap();
        let later = Arc::new(Mutex::new(Vec::new()));
        let mut context = Context { seen: Vec::new(), later: Arc::clone(&later) };
        let control = std::thread::spawn(move || {
            let methods = methods();
            requests.iter().for_each(|pending| methods.answer(&mut context, pending));
        });
        Target { server: Some(server), control: Some(control), later, path, _folder: folder }
    }

    fn client(&self) -> Client {
        Client::connect(&self.path).unwrap()
    }

    fn raw(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends bytes, ends the input, and returns all answers.
    fn exchange(&self, bytes: &[u8]) -> Vec<Value> {
        let mut stream = self.raw();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        answers(&mut stream)
    }

    /// Waits until a request of method `later` has come.
    fn take_later(&self) -> Pending {
        loop {
            if let Some(pending) = self.later.lock().unwrap().pop() {
                return pending;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.server.take());
        let result = self.control.take().unwrap().join();
        assert!(std::thread::panicking() || result.is_ok());
    }
}

/// All answers up to the end of the stream.
fn answers(stream: &mut UnixStream) -> Vec<Value> {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    serde_json::Deserializer::from_slice(&text).into_iter().map(|answer| answer.expect("JSON")).collect()
}

fn call(method: &str, params: Value, id: u64) -> String {
    json!({"jsonrpc": "2.0", "method": method, "params": params, "id": id}).to_string()
}

fn error_code(answers: &[Value]) -> Option<i64> {
    answers.first()?["error"]["code"].as_i64()
}

#[test]
fn a_call_returns_the_result_or_the_error() {
    let target = Target::start(ServerOptions::default());
    let mut client = target.client();
    assert_eq!(client.call("echo", json!({"text": "hä"})).unwrap(), json!("hä"));
    assert_eq!(client.call("echo", json!({"text": null})).unwrap(), json!(null));
    assert_eq!(client.call("seen", None).unwrap(), json!([]));
    let refused = |result: Result<Value, CallError>| match result {
        Err(CallError::Refused(RpcError { code, .. })) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(client.call("nope", None)), -32601);
    assert_eq!(refused(client.call("echo", None)), -32602);
    assert_eq!(refused(client.call("forget", None)), -32603);
    assert_eq!(client.call("echo", json!({"text": 1})).unwrap(), json!(1), "the connection goes on");
}

#[test]
fn requests_in_pieces_without_delimiters_are_answered_in_order() {
    let target = Target::start(ServerOptions::default());
    let mut stream = target.raw();
    let requests: String = (0..20).map(|id| call("echo", json!({"text": format!("{{\"[{id}")}), id)).collect();
    for piece in requests.as_bytes().chunks(7) {
        stream.write_all(piece).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let answers = answers(&mut stream);
    assert_eq!(answers.len(), 20);
    for (id, answer) in answers.iter().enumerate() {
        assert_eq!(*answer, json!({"jsonrpc": "2.0", "id": id, "result": format!("{{\"[{id}")}));
    }
}

#[test]
fn a_deferred_answer_holds_up_its_own_connection_only() {
    let target = Target::start(ServerOptions::default());
    let mut waiting = target.raw();
    waiting.write_all((call("later", json!({}), 1) + &call("echo", json!({"text": 2}), 2)).as_bytes()).unwrap();
    waiting.shutdown(Shutdown::Write).unwrap();
    let pending = target.take_later();
    assert_eq!(target.client().call("echo", json!({"text": "other"})).unwrap(), json!("other"));
    pending.reply(Ok(json!("done")));
    let results: Vec<Value> = answers(&mut waiting).iter().map(|answer| answer["result"].clone()).collect();
    assert_eq!(results, [json!("done"), json!(2)]);
}

#[test]
fn notifications_are_done_in_order_and_not_answered() {
    let target = Target::start(ServerOptions::default());
    let note = |text| json!({"jsonrpc": "2.0", "method": "note", "params": {"text": text}}).to_string();
    let answers = target.exchange((note(1) + &note(2) + &call("seen", json!({}), 9)).as_bytes());
    assert_eq!(answers, [json!({"jsonrpc": "2.0", "id": 9, "result": [1, 2]})]);
}

#[test]
fn an_id_of_any_type_comes_back() {
    let target = Target::start(ServerOptions::default());
    for id in [json!("x"), json!(null), json!([1]), json!({"a": 1}), json!(-1.5), json!(false), json!(u64::MAX)] {
        let answers = target.exchange(json!({"jsonrpc": "2.0", "method": "seen", "id": id}).to_string().as_bytes());
        assert_eq!(answers, [json!({"jsonrpc": "2.0", "id": id, "result": []})]);
    }
}

#[test]
fn a_batch_is_answered_by_an_array() {
    let target = Target::start(ServerOptions::default());
    let batch = format!("[{},{}]", call("echo", json!({"text": 1}), 1), call("nope", json!({}), 2));
    let answers = target.exchange(batch.as_bytes());
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0][0], json!({"jsonrpc": "2.0", "id": 1, "result": 1}));
    assert_eq!((&answers[0][1]["id"], &answers[0][1]["error"]["code"]), (&json!(2), &json!(-32601)));
}

#[test]
fn bytes_that_are_no_request_are_answered_and_the_connection_ends() {
    let target = Target::start(ServerOptions::default());
    let nested = "[".repeat(100_000);
    let deep = format!("{nested}{}", "]".repeat(100_000));
    for (bytes, code) in [
        (&b"{\"jsonrpc\" \"2.0\"}"[..], -32700),
        (b"{\"jsonrpc\": \"2.0\", \"method\": \"\xff\"}", -32700),
        (b"{\"jsonrpc\": \"2.0\", \"meth", -32700),
        (deep.as_bytes(), -32700),
        (nested.as_bytes(), -32700),
        (b"GET / HTTP/1.1\r\n\r\n", -32600),
        (b"\0\0\0\0", -32600),
        (b"12", -32600),
    ] {
        let answers = target.exchange(bytes);
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(30)]);
        assert_eq!((answers.len(), error_code(&answers)), (1, Some(code)), "{start}");
    }
    assert_eq!(target.client().call("seen", None).unwrap(), json!([]));
}

#[test]
fn a_hundred_megabytes_in_one_request_are_refused() {
    let target = Target::start(ServerOptions::default());
    let mut stream = target.raw();
    stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"").unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        stream.write_all(&piece).expect("what is too much is thrown away, so that the client gets to reading");
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let answers = answers(&mut stream);
    assert_eq!(error_code(&answers), Some(-32600));
    assert!(answers[0]["error"]["message"].as_str().unwrap().contains("4194304 bytes"), "{answers:?}");
}

#[test]
fn half_a_request_is_given_up_after_its_time() {
    let options = ServerOptions { request_timeout: Duration::from_millis(50), ..ServerOptions::default() };
    let target = Target::start(options);
    let mut stream = target.raw();
    stream.write_all(b"{\"jsonrpc\":").unwrap();
    assert_eq!(error_code(&answers(&mut stream)), Some(-32700));
    stream.write_all(b"\"2.0\"}").expect("the server has ended its side only, so that nothing of the answer is lost");
}

#[test]
fn a_client_that_does_not_read_is_dropped() {
    let options = ServerOptions { write_timeout: Duration::from_millis(50), ..ServerOptions::default() };
    let target = Target::start(options);
    let mut stream = target.raw();
    stream.write_all(call("fill", json!({}), 1).as_bytes()).unwrap();
    // The server is done with the connection when writing to it fails.
    while stream.write_all(b" ").is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut received = Vec::new();
    let _ = stream.read_to_end(&mut received); // what was in the socket, then possibly "connection reset"
    assert!(received.len() < 8 << 20, "{} bytes", received.len());
}

#[test]
fn a_large_answer_arrives_whole() {
    let target = Target::start(ServerOptions::default());
    assert_eq!(target.client().call("fill", None).unwrap().as_str().map(str::len), Some(8 << 20));
}

#[test]
fn more_clients_than_allowed_are_told_so() {
    let target = Target::start(ServerOptions { max_connections: 2, ..ServerOptions::default() });
    let mut served: Vec<Client> = (0..2).map(|_| target.client()).collect();
    for client in &mut served {
        client.call("seen", None).unwrap();
    }
    for _ in 0..50 {
        match target.client().call("seen", None) {
            Err(CallError::Refused(error)) => assert!(error.message.contains("too many connections: 2"), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    served[0].call("seen", None).expect("those that are served notice nothing");
    drop(served.pop());
    // The server sees the end of that connection at some time after we have closed it.
    while target.client().call("seen", None).is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn two_hundred_clients_at_once_are_each_answered() {
    let target = Target::start(ServerOptions { max_connections: 64, ..ServerOptions::default() });
    let outcomes: Vec<bool> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..200)
            .map(|number| {
                let target = &target;
                scope.spawn(move || match target.client().call("echo", json!({"text": number})) {
                    Ok(result) => {
                        assert_eq!(result, json!(number));
                        true
                    }
                    Err(CallError::Refused(error)) => {
                        assert!(error.message.contains("too many connections"), "{error}");
                        false
                    }
                    Err(error) => panic!("{error}"),
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("answered or refused")).collect()
    });
    assert!(outcomes.iter().filter(|&&served| served).count() >= 64);
}

#[test]
fn a_stopping_server_answers_what_it_can_and_leaves_no_file() {
    let mut target = Target::start(ServerOptions::default());
    let mut stream = target.raw();
    stream.write_all(call("later", json!({}), 1).as_bytes()).unwrap();
    let pending = target.take_later();
    let idle = target.client();
    target.server.take().unwrap().shutdown();
    let answers = answers(&mut stream);
    assert_eq!(error_code(&answers), Some(-32603));
    pending.reply(Ok(json!("too late")));
    assert!(!target.path.exists());
    drop(idle);
}

#[test]
fn an_answer_given_just_before_the_end_is_sent() {
    let mut target = Target::start(ServerOptions::default());
    let mut stream = target.raw();
    stream.write_all(call("later", json!({}), 1).as_bytes()).unwrap();
    target.take_later().reply(Ok(json!("bye")));
    target.server.take().unwrap().shutdown();
    assert_eq!(answers(&mut stream), [json!({"jsonrpc": "2.0", "id": 1, "result": "bye"})]);
}

#[test]
fn a_client_says_what_is_wrong_when_nobody_is_there() {
    let error = Client::connect("/no/such/socket".as_ref()).unwrap_err().to_string();
    assert!(error.contains("/no/such/socket") && error.contains("is the target running"), "{error}");
}
