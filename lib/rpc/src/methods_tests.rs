use std::sync::mpsc;

use serde_json::json;

use super::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    #[serde(default)]
    luns: Vec<Lun>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Lun {
    bdev_name: String,
    lun: Option<u16>,
}

/// Context: what was made, and a deferred request.
#[derive(Default)]
struct Control {
    made: Vec<String>,
    waiting: Option<Pending>,
}

fn methods() -> Methods<Control> {
    let mut methods = Methods::new();
    methods.add("make", "", |control: &mut Control, group: Group| {
        if control.made.contains(&group.name) {
            return Err(RpcError::errno(crate::Errno::EXIST, format!("group {} exists", group.name)));
        }
        let luns: Vec<_> = group.luns.iter().map(|lun| format!("{} at {:?}", lun.bdev_name, lun.lun)).collect();
        control.made.push(group.name);
        Ok(luns)
    });
    methods.add("count", "", |control: &mut Control, _: NoParams| Ok(control.made.len()));
    methods.add_deferred("later", "", |control: &mut Control, _: NoParams, pending| control.waiting = Some(pending));
    methods
}

fn run(method: &str, params: Option<Value>) -> Result<Value, RpcError> {
    methods().dispatch(&mut Control::default(), &Request { method: method.into(), params })
}

fn refusal(params: Value) -> String {
    let error = run("make", Some(params)).unwrap_err();
    assert_eq!(error.code, -32602);
    error.message
}

#[test]
fn a_method_gets_its_parameters_and_context() {
    let (methods, mut control) = (methods(), Control::default());
    let params = json!({"name": "g", "luns": [{"bdev_name": "Null0", "lun": 3}]});
    let request = Request { method: "make".into(), params: Some(params) };
    assert_eq!(methods.dispatch(&mut control, &request), Ok(json!(["Null0 at Some(3)"])));
    assert_eq!(methods.dispatch(&mut control, &request).unwrap_err().code, -17);
    let count = Request { method: "count".into(), params: None };
    assert_eq!(methods.dispatch(&mut control, &count), Ok(json!(1)));
}

#[test]
fn a_wrong_parameter_is_named_by_its_path() {
    assert_eq!(refusal(json!({})), "Invalid parameters: missing field `name`");
    assert!(refusal(json!({"name": 3})).starts_with("Invalid parameters: name: invalid type: integer `3`"));
    assert!(refusal(json!({"name": "x", "size": 1})).contains("unknown field `size`, expected `name` or `luns`"));
    let luns = json!([{"bdev_name": "a"}, {"bdev_name": "b", "lun": -1}]);
    let message = refusal(json!({"name": "x", "luns": luns}));
    assert!(message.starts_with("Invalid parameters: luns[1].lun: invalid value: integer `-1`"), "{message}");
    let message = refusal(json!({"name": "x", "luns": [{"lun": 1}]}));
    assert_eq!(message, "Invalid parameters: luns[0]: missing field `bdev_name`");
}

#[test]
fn parameters_by_position_are_refused() {
    assert!(refusal(json!(["x"])).contains("by name"));
}

#[test]
fn no_parameters_is_an_empty_object() {
    assert_eq!(run("count", None), Ok(json!(0)));
    assert_eq!(run("count", Some(json!({}))), Ok(json!(0)));
    assert_eq!(run("count", Some(json!({"x": 1}))).unwrap_err().code, -32602);
    assert_eq!(run("make", None).unwrap_err().code, -32602);
}

#[test]
fn an_unknown_method_is_named() {
    let error = run("mkae", None).unwrap_err();
    assert_eq!(error.code, -32601);
    assert!(error.message.contains("`mkae`"), "{error}");
}

#[test]
fn names_are_sorted() {
    assert_eq!(methods().names().collect::<Vec<_>>(), ["count", "later", "make"]);
}

fn pending(method: &str, params: Option<Value>) -> (Pending, mpsc::Receiver<Result<Value, RpcError>>) {
    let (sender, answers) = mpsc::channel();
    let request = Request { method: method.into(), params };
    (Pending::new(request, move |outcome| drop(sender.send(outcome))), answers)
}

#[test]
fn a_deferred_method_answers_when_its_work_is_done() {
    let mut control = Control::default();
    let (request, answers) = pending("later", None);
    methods().answer(&mut control, request);
    assert!(answers.try_recv().is_err(), "no answer yet");
    control.waiting.take().expect("the handler kept it").reply(Ok(json!("done")));
    assert_eq!(answers.try_recv(), Ok(Ok(json!("done"))));
}

#[test]
fn a_deferred_method_with_wrong_parameters_is_answered_at_once() {
    let mut control = Control::default();
    let (request, answers) = pending("later", Some(json!({"x": 1})));
    methods().answer(&mut control, request);
    assert_eq!(answers.try_recv().unwrap().unwrap_err().code, -32602);
    assert!(control.waiting.is_none());
}

#[test]
fn a_deferred_method_is_not_run_where_it_cannot_answer() {
    let mut control = Control::default();
    let request = Request { method: "later".into(), params: None };
    assert_eq!(methods().dispatch(&mut control, &request).unwrap_err().code, -32603);
    assert!(control.waiting.is_none());
}

#[test]
fn answer_runs_immediate_and_refuses_unknown_methods() {
    let mut control = Control::default();
    for (method, expected) in [("count", Ok(json!(0))), ("nope", Err(RpcError::method_not_found("nope")))] {
        let (request, answers) = pending(method, None);
        methods().answer(&mut control, request);
        assert_eq!(answers.try_recv(), Ok(expected));
    }
}

#[test]
#[should_panic(expected = "make added twice")]
fn a_name_can_be_added_once() {
    methods().add("make", "", |_: &mut Control, _: NoParams| Ok(()));
}
