//! JSON whose parts know their lines.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::import::notes::Notes;

/// A text, and where its lines begin.
pub(super) struct Document<'a> {
    text: &'a str,
    /// Offsets of the ends of all lines.
    ends: Vec<usize>,
}

/// A value in it.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    document: &'a Document<'a>,
    raw: &'a RawValue,
}

impl<'a> Document<'a> {
    pub(super) fn new(text: &'a str) -> Document<'a> {
        Document { text, ends: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    /// The whole value.
    ///
    /// # Errors
    /// Line and message.
    pub(super) fn root(&'a self) -> Result<Node<'a>, (usize, String)> {
        let raw = serde_json::from_str(self.text).map_err(|error| {
            let text = error.to_string();
            let message = text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned());
            (error.line(), message)
        })?;
        Ok(Node { document: self, raw })
    }

    fn line(&self, address: usize) -> usize {
        let offset = address.saturating_sub(self.text.as_ptr() as usize);
        1 + self.ends.partition_point(|end| *end < offset)
    }
}

impl<'a> Node<'a> {
    /// The line where it begins, from 1.
    pub(super) fn line(&self) -> usize {
        self.document.line(self.raw.get().as_ptr() as usize)
    }

    /// Its members, if it is an object.
    pub(super) fn members(&self) -> Vec<(String, Node<'a>)> {
        let members: Members = serde_json::from_str(self.raw.get()).unwrap_or_default();
        members.0.into_iter().map(|(name, raw)| (name, Node { document: self.document, raw })).collect()
    }

    pub(super) fn member(&self, name: &str) -> Option<Node<'a>> {
        self.members().into_iter().find(|(member, _)| member == name).map(|(_, node)| node)
    }

    /// Its elements, if it is a list.
    pub(super) fn elements(&self) -> Vec<Node<'a>> {
        let elements: Vec<&RawValue> = serde_json::from_str(self.raw.get()).unwrap_or_default();
        elements.into_iter().map(|raw| Node { document: self.document, raw }).collect()
    }

    pub(super) fn value(&self) -> Value {
        serde_json::from_str(self.raw.get()).unwrap_or(Value::Null)
    }

    /// The text of a member; nothing if it has none.
    pub(super) fn text(&self, name: &str) -> String {
        self.member(name).and_then(|node| node.value().as_str().map(str::to_owned)).unwrap_or_default()
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.member(name).and_then(|node| node.value().as_u64())
    }

    /// Whether a member is true, or a number but 0.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let value = self.member(name)?.value();
        value.as_bool().or_else(|| value.as_u64().map(|number| number != 0))
    }

    /// All of its lines are accounted for.
    pub(super) fn account(&self, notes: &mut Notes) {
        let last = self.document.line(self.raw.get().as_ptr() as usize + self.raw.get().len());
        (self.line()..=last).for_each(|line| notes.used(line));
    }
}

/// An object's members in their order.
#[derive(Default)]
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'de>, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_know_their_lines() {
        let document = Document::new("{\n \"a\": [1,\n  {\"b\": \"x\"}],\n \"c\": 1}\n");
        let root = document.root().expect("JSON");
        assert_eq!(root.line(), 1);
        let list = root.member("a").expect("a");
        assert_eq!(list.elements().iter().map(Node::line).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(list.elements()[1].text("b"), "x");
        assert_eq!(root.member("c").map(|node| node.line()), Some(4));
        assert_eq!((root.flag("c"), root.number("a")), (Some(true), None));
        assert!(list.members().is_empty() && root.elements().is_empty());
        assert_eq!(Document::new("{\n\n x").root().err().map(|(line, _)| line), Some(3));
    }
}
