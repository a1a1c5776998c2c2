//! What must hold of an import of SCST's configurations, whatever they say.

/// Tries `bytes` as scst.conf, or as one of the older forms.
pub fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    srptctl::exercise::scst(text);
}
