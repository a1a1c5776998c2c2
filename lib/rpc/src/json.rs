//! JSON text to a value, strictly: a key that stands twice in one object is an error.
//!
//! `serde_json` by itself keeps the last of the two. A configuration that says `"lun": 0` and `"lun": 1` should be
//! refused, not guessed at.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses one JSON text. Nesting is bounded (128 levels) by `serde_json`.
///
/// # Errors
/// `Error::is_data` for a repeated key, else the text is not JSON.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = StrictValue.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

struct StrictValue;

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("key `{}` stands twice", crate::error::shortened(&key))));
            }
            map.insert(key, entries.next_value_seed(StrictValue)?);
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(StrictValue)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number)) // JSON has no NaN or infinity to map to null
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Value, E> {
        Ok(Value::Bool(bool))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_repeated_key_is_named() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
            let error = parse(text.as_bytes()).expect_err(text);
            assert!(error.is_data() && error.to_string().starts_with("key `a` stands twice"), "{error}");
        }
    }

    #[test]
    fn what_is_no_json_is_an_error_of_another_kind() {
        for text in ["", "{", "{}}", "{} {}", "{'a':1}", "[1,]", "\"\u{1}\"", "NaN", "1e999", &"[".repeat(100_000)] {
            assert!(parse(text.as_bytes()).is_err_and(|error| !error.is_data()), "{}", crate::error::shortened(text));
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    proptest! {
        #[test]
        fn text_means_what_serde_json_says(bytes in prop::collection::vec(
            prop_oneof![8 => prop::sample::select(&b"{}[]\"\\:,0123456789.eE+-truefalsnu \n"[..]), 1 => any::<u8>()], 0..40,
        )) {
            match (parse(&bytes), serde_json::from_slice::<Value>(&bytes)) {
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
                (Err(error), Ok(_)) => prop_assert!(error.is_data()), // a key that stands twice
                (ours, theirs) => prop_assert!(ours.is_err() && theirs.is_err()),
            }
        }
    }
}
