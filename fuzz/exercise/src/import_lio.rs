//! What must hold of an import of LIO's configurations, whatever they say.

/// Tries `bytes` as saveconfig.json.
pub fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    srptctl::exercise::lio(text);
}
