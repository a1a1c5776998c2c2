//! What must hold of a configuration file, whatever it says.

/// Tries `bytes` as a configuration file.
pub fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    srpt_app::exercise::configuration(text);
}
