//! What the process may do beyond what it has to.

/// Nothing that the process may ever start gains rights that it does not have itself (PR_SET_NO_NEW_PRIVS). To be called before there are other threads,
/// which inherit it. A service manager may have done it already.
pub(crate) fn gain_none() {
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        tracing::warn!(%error, "the process may gain privileges by programs that it starts, of which there are none");
    }
}
