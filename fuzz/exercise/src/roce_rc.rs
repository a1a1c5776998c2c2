//! What must hold for two ends of a connection whatever the network and a stranger do.

/// Lets `bytes` decide what is posted, what arrives and what is lost; see [`fabric::roce::rc::testing::run_script`].
pub fn run(bytes: &[u8]) {
    fabric::roce::rc::testing::run_script(bytes);
}
