//! The verbs that are inline functions in `infiniband/verbs.h`. Each calls the provider through a table in the device's
//! context, as the C header does; no C compiler is needed.

use core::ffi::c_int;
use core::mem::{offset_of, size_of};
use core::ptr;

use crate::{
    _compat_ibv_port_attr, Functions, ibv_context, ibv_cq, ibv_port_attr, ibv_qp, ibv_recv_wr, ibv_send_wr, ibv_wc,
    verbs_context,
};

/// `EOPNOTSUPP`: what a verb gives that the provider does not have.
const NOT_SUPPORTED: c_int = 95;

/// `man ibv_post_send`: posts a list of work requests to the send queue.
///
/// Returns 0 or an errno; then `bad_wr` points to the first request that was not posted (some providers leave it null when all
/// were queued but could not be rung in).
///
/// # Safety
/// `qp` is a live queue pair; `wr` heads a null-terminated list whose scatter lists name memory that stays valid and unused
/// until the completion; `bad_wr` can be written.
#[inline]
pub unsafe fn ibv_post_send(qp: *mut ibv_qp, wr: *mut ibv_send_wr, bad_wr: *mut *mut ibv_send_wr) -> c_int {
    // SAFETY: a live queue pair points to its live context.
    let post_send = unsafe { (*(*qp).context).ops.post_send };
    match post_send {
        // SAFETY: the provider's function, called with what the caller promised.
        Some(post_send) => unsafe { post_send(qp, wr, bad_wr) },
        None => NOT_SUPPORTED,
    }
}

/// `man ibv_post_recv`: posts a list of work requests to the receive queue. Returns as [`ibv_post_send`] does.
///
/// # Safety
/// As [`ibv_post_send`].
#[inline]
pub unsafe fn ibv_post_recv(qp: *mut ibv_qp, wr: *mut ibv_recv_wr, bad_wr: *mut *mut ibv_recv_wr) -> c_int {
    // SAFETY: a live queue pair points to its live context.
    let post_recv = unsafe { (*(*qp).context).ops.post_recv };
    match post_recv {
        // SAFETY: the provider's function, called with what the caller promised.
        Some(post_recv) => unsafe { post_recv(qp, wr, bad_wr) },
        None => NOT_SUPPORTED,
    }
}

/// `man ibv_poll_cq`: takes up to `entries` completions. Returns how many, or a negative number.
///
/// # Safety
/// `cq` is a live completion queue; `wc` has room for `entries`.
#[inline]
pub unsafe fn ibv_poll_cq(cq: *mut ibv_cq, entries: c_int, wc: *mut ibv_wc) -> c_int {
    // SAFETY: a live completion queue points to its live context.
    let poll_cq = unsafe { (*(*cq).context).ops.poll_cq };
    match poll_cq {
        // SAFETY: the provider's function, called with what the caller promised.
        Some(poll_cq) => unsafe { poll_cq(cq, entries, wc) },
        None => -NOT_SUPPORTED,
    }
}

/// `man ibv_req_notify_cq`: asks for an event at the next completion. Returns 0 or an errno.
///
/// # Safety
/// `cq` is a live completion queue.
#[inline]
pub unsafe fn ibv_req_notify_cq(cq: *mut ibv_cq, solicited_only: c_int) -> c_int {
    // SAFETY: a live completion queue points to its live context.
    let req_notify_cq = unsafe { (*(*cq).context).ops.req_notify_cq };
    match req_notify_cq {
        // SAFETY: the provider's function, called with what the caller promised.
        Some(req_notify_cq) => unsafe { req_notify_cq(cq, solicited_only) },
        None => NOT_SUPPORTED,
    }
}

/// `man ibv_query_port`: fills `attributes` for a port (numbered from 1). Returns 0 or an errno.
///
/// The exported function of this name knows an older, shorter structure; the provider's own function is asked if it has
/// one.
///
/// # Safety
/// `context` is a live device context; `attributes` can be written.
pub unsafe fn ibv_query_port(
    functions: &Functions,
    context: *mut ibv_context,
    port: u8,
    attributes: *mut ibv_port_attr,
) -> c_int {
    // SAFETY: the caller's promise; zeroes are a valid value of this plain structure.
    unsafe { ptr::write_bytes(attributes, 0, 1) };
    // SAFETY: a live context.
    let query_port = unsafe { extended(context, offset_of!(verbs_context, query_port)) }
        // SAFETY: `extended` gave a context that has this field.
        .and_then(|extended| unsafe { (*extended).query_port });
    match query_port {
        // SAFETY: the provider's function, called with what the caller promised and the size that it may write.
        Some(query_port) => unsafe { query_port(context, port, attributes, size_of::<ibv_port_attr>()) },
        // SAFETY: the exported function writes the fields up to its older end of the same structure.
        None => unsafe { (functions.ibv_query_port)(context, port, attributes.cast::<_compat_ibv_port_attr>()) },
    }
}

/// The structure around a context, if the library made one that reaches to the field at `offset`. It grows at its front, so
/// its own size field tells where it begins.
///
/// # Safety
/// `context` is a live device context.
unsafe fn extended(context: *mut ibv_context, offset: usize) -> Option<*mut verbs_context> {
    /// `__VERBS_ABI_IS_EXTENDED`.
    const EXTENDED: usize = usize::MAX;
    // SAFETY: a live context.
    if unsafe { (*context).abi_compat }.addr() != EXTENDED {
        return None;
    }
    // SAFETY: the mark says that the context is the `context` field of a `verbs_context`.
    let outer = unsafe { context.byte_sub(offset_of!(verbs_context, context)) }.cast::<verbs_context>();
    // SAFETY: `sz` stands right before `context` and is there in every version.
    let has = unsafe { (*outer).sz } >= size_of::<verbs_context>() - offset;
    has.then_some(outer)
}

#[cfg(test)]
mod tests;
