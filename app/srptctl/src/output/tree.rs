//! Any answer as text: `name: value`, a line each, what belongs to something indented below it.

use serde_json::Value;

use super::harmless;

/// Says nothing for `true` and nothing at all, which is how methods say that they are done.
pub(crate) fn render(answer: &Value) -> String {
    match answer {
        Value::Bool(true) | Value::Null => String::new(),
        Value::Array(list) if list.iter().all(is_leaf) => list.iter().map(|one| format!("{}\n", leaf(one))).collect(),
        Value::Array(list) => {
            let entries: Vec<String> = list.iter().map(|entry| block(entry, 0)).collect();
            entries.join("\n")
        }
        Value::Object(_) => block(answer, 0),
        other => leaf(other),
    }
}

fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => true,
    }
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => harmless(text),
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        other => other.to_string(),
    }
}

/// An object's members, or a list's elements.
fn block(value: &Value, indent: usize) -> String {
    let space = "  ".repeat(indent);
    let mut text = String::new();
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    _ if is_leaf(value) => text += &format!("{space}{name}: {}\n", leaf(value)),
                    Value::Array(list) if list.iter().all(is_leaf) => {
                        let leaves: Vec<String> = list.iter().map(leaf).collect();
                        text += &format!("{space}{name}: {}\n", leaves.join(", "));
                    }
                    _ => text += &format!("{space}{name}:\n{}", block(value, indent + 1)),
                }
            }
        }
        Value::Array(list) => {
            for value in list {
                let inner = block(value, indent + 1);
                text += &format!("{space}- {}", inner.get(space.len() + 2..).unwrap_or(&inner));
            }
        }
        other => text += &format!("{space}{}\n", leaf(other)),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_readable() {
        for (answer, text) in [
            (json!(true), ""),
            (json!(false), "no"),
            (json!("ram0"), "ram0"),
            (json!("a\u{1b}[2Jb"), "a\u{fffd}[2Jb"),
            (json!(3), "3"),
            (json!(["a", "b"]), "a\nb\n"),
            (
                json!({"name": "t", "luns": [{"lun": 0, "cdrom": null}, {"lun": 1, "tags": [1, 2]}], "none": []}),
                "name: t\nluns:\n  - lun: 0\n    cdrom: -\n  - lun: 1\n    tags: 1, 2\nnone: []\n",
            ),
            (json!([{"a": {"b": true}}, {"a": {}}]), "a:\n  b: yes\n\na: {}\n"),
        ] {
            assert_eq!(render(&answer), text, "{answer}");
        }
    }
}
