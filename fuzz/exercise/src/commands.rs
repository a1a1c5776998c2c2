//! What must hold of SCSI commands and their parameter lists, whatever they are.

/// Lets `bytes` decide which units there are and what is asked of them; see [`scsi::script::run`].
pub fn run(bytes: &[u8]) {
    scsi::script::run(bytes);
}
