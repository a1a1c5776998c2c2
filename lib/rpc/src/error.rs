//! The error of an answer.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Error numbers of the system, for [`RpcError::errno`].
pub use rustix::io::Errno;

/// Member `error` of an answer (JSON-RPC 2.0 section 5.1).
///
/// Codes below -32000 are those of JSON-RPC. As in SPDK, an operation that failed for the reason of an errno has its
/// negative number as code, such as -17 for EEXIST.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// What kind of error, for programs.
    pub code: i64,
    /// What is wrong and what to do about it, for people.
    pub message: String,
    /// More, if the method says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// The text is not JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// The JSON is not a request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// There is no such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The method does not take these parameters.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The server failed, not the request.
    pub const INTERNAL_ERROR: i64 = -32603;

    /// An error with this code and message.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        RpcError { code, message: message.into(), data: None }
    }

    /// The parameters are wrong; `message` names the parameter and what it should be.
    pub fn invalid_params(message: impl Display) -> Self {
        Self::new(Self::INVALID_PARAMS, format!("Invalid parameters: {message}"))
    }

    /// There is no method of this name.
    pub fn method_not_found(method: &str) -> Self {
        let message = format!("Method not found: `{}`; rpc_get_methods lists all", shortened(method));
        Self::new(Self::METHOD_NOT_FOUND, message)
    }

    /// A failure on our side.
    pub fn internal(message: impl Display) -> Self {
        Self::new(Self::INTERNAL_ERROR, format!("Internal error: {message}"))
    }

    /// An operation that failed for the reason `errno`, such as `Errno::EXIST`; the code is its negative number.
    pub fn errno(errno: Errno, message: impl Into<String>) -> Self {
        Self::new(-i64::from(errno.raw_os_error()), message)
    }

    /// An input or output error: the code is its negative errno, or that of EIO if it has none.
    pub fn io(error: &std::io::Error, what: impl Display) -> Self {
        let number = error.raw_os_error().unwrap_or(Errno::IO.raw_os_error());
        Self::new(-i64::from(number), format!("{what}: {error}"))
    }

    pub(crate) fn parse_error(message: impl Display) -> Self {
        Self::new(Self::PARSE_ERROR, format!("Parse error: {message}"))
    }

    pub(crate) fn invalid_request(message: impl Display) -> Self {
        Self::new(Self::INVALID_REQUEST, format!("Invalid request: {message}"))
    }
}

/// A client's text in our message: at most 64 characters of it.
pub(crate) fn shortened(text: &str) -> String {
    const LIMIT: usize = 64;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_errno_becomes_its_negative_number() {
        let error = RpcError::errno(Errno::EXIST, "bdev Null0 exists");
        assert_eq!(serde_json::to_value(&error).unwrap(), json!({"code": -17, "message": "bdev Null0 exists"}));
        assert_eq!(RpcError::io(&std::io::ErrorKind::Other.into(), "x").code, -5);
        assert_eq!(RpcError::io(&Errno::NODEV.into(), "x").code, -19);
    }

    #[test]
    fn long_names_are_cut_at_a_character() {
        let error = RpcError::method_not_found(&"ä".repeat(10_000));
        assert!(error.message.contains(&format!("`{}…`", "ä".repeat(64))), "{error}");
    }
}
