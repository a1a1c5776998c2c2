//! What must hold of a conversation over the RPC socket, whatever the client sends.

/// Tries `bytes` as all that a client sends, in pieces whose length the first byte says.
pub fn run(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    rpc::exercise::conversation(bytes, piece.into());
}
