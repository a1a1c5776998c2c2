//! Parameters of a request, as they are looked at by name.

use std::fmt;

use serde_json::{Map, Value};

/// Parameters by name.
pub(crate) type Params = Map<String, Value>;

/// Why a request fits nothing that there is; the text names the parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Misfit(pub(crate) String);

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that has to be there.
pub(super) fn text<'a>(params: &'a Params, name: &str) -> Result<&'a str, Misfit> {
    optional_text(params, name).ok_or_else(|| Misfit(format!("{name}: a text is needed")))
}

/// A text that may be left out.
pub(super) fn optional_text<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.get(name).and_then(Value::as_str)
}

/// A number that has to be there.
pub(super) fn number(params: &Params, name: &str) -> Result<u64, Misfit> {
    optional_number(params, name).ok_or_else(|| Misfit(format!("{name}: a number is needed")))
}

/// A number that may be left out.
pub(super) fn optional_number(params: &Params, name: &str) -> Option<u64> {
    params.get(name).and_then(Value::as_u64)
}

/// A number of 16 bits that may be left out.
pub(super) fn optional_u16(params: &Params, name: &str) -> Result<Option<u16>, Misfit> {
    let narrow = |number| u16::try_from(number).map_err(|_| Misfit(format!("{name}: {number} is more than 65535")));
    optional_number(params, name).map(narrow).transpose()
}

/// Yes or no, with what holds if it is left out.
pub(super) fn flag(params: &Params, name: &str, default: bool) -> bool {
    params.get(name).and_then(Value::as_bool).unwrap_or(default)
}

/// 64 bits in the form of login strings, or as a number.
pub(super) fn hex64(params: &Params, name: &str) -> Result<Option<u64>, Misfit> {
    let wrong = || Misfit(format!("{name}: 1 to 16 hex digits are needed, like \"0x0002c90300001234\""));
    match params.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => number.as_u64().map(Some).ok_or_else(wrong),
        Some(Value::String(text)) => {
            let digits = text.strip_prefix("0x").unwrap_or(text).replace(':', "");
            u64::from_str_radix(&digits, 16).map(Some).map_err(|_| wrong())
        }
        Some(_) => Err(wrong()),
    }
}
