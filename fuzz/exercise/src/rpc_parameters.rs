//! What must hold of the parameters of RPC methods, whatever they are.

/// Tries `bytes` as the parameters of the method that the first byte chooses.
pub fn run(bytes: &[u8]) {
    let Some((&method, bytes)) = bytes.split_first() else { return };
    srpt_app::exercise::parameters(method.into(), bytes);
}
