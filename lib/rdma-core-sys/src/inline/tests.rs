//! A made-up provider, to see that each wrapper calls the right entry of the right table.

use core::mem::zeroed;

use super::*;

unsafe extern "C" fn refuse_send(_: *mut ibv_qp, wr: *mut ibv_send_wr, bad_wr: *mut *mut ibv_send_wr) -> c_int {
    // SAFETY: the test gives a list of two and a place to write.
    unsafe { *bad_wr = (*wr).next };
    12
}

unsafe extern "C" fn accept_recv(_: *mut ibv_qp, _: *mut ibv_recv_wr, _: *mut *mut ibv_recv_wr) -> c_int {
    0
}

unsafe extern "C" fn one_completion(_: *mut ibv_cq, entries: c_int, wc: *mut ibv_wc) -> c_int {
    assert_eq!(entries, 4);
    // SAFETY: the test gives room for four.
    unsafe { (*wc).wr_id = 77 };
    1
}

unsafe extern "C" fn port_of(_: *mut ibv_context, port: u8, out: *mut ibv_port_attr, len: usize) -> c_int {
    assert_eq!(len, size_of::<ibv_port_attr>());
    // SAFETY: the test gives room for one.
    unsafe { (*out).lid = u16::from(port) };
    0
}

/// A context as libibverbs makes it, inside the larger structure.
fn context() -> Box<verbs_context> {
    // SAFETY: plain data and nullable function pointers: all zeroes is a value of it.
    let mut outer: Box<verbs_context> = Box::new(unsafe { zeroed() });
    outer.sz = size_of::<verbs_context>();
    outer.context.abi_compat = core::ptr::without_provenance_mut(usize::MAX);
    outer
}

#[test]
fn post_send_calls_the_provider_and_hands_back_the_refused_request() {
    let mut outer = context();
    outer.context.ops.post_send = Some(refuse_send);
    // SAFETY: plain data, for which zeroes are a value.
    let (mut qp, mut first, mut second): (ibv_qp, ibv_send_wr, ibv_send_wr) = unsafe { zeroed() };
    qp.context = &raw mut outer.context;
    first.next = &raw mut second;
    let mut bad = ptr::null_mut();
    // SAFETY: everything lives to the end of the test.
    assert_eq!(unsafe { ibv_post_send(&raw mut qp, &raw mut first, &raw mut bad) }, 12);
    assert_eq!(bad, &raw mut second);
}

#[test]
fn post_recv_calls_the_provider_or_says_unsupported() {
    let mut outer = context();
    // SAFETY: plain data, for which zeroes are a value.
    let (mut qp, mut wr): (ibv_qp, ibv_recv_wr) = unsafe { zeroed() };
    qp.context = &raw mut outer.context;
    let mut bad = ptr::null_mut();
    // SAFETY: everything lives to the end of the test.
    assert_eq!(unsafe { ibv_post_recv(&raw mut qp, &raw mut wr, &raw mut bad) }, NOT_SUPPORTED);
    outer.context.ops.post_recv = Some(accept_recv);
    // SAFETY: as above.
    assert_eq!(unsafe { ibv_post_recv(&raw mut qp, &raw mut wr, &raw mut bad) }, 0);
}

#[test]
fn poll_cq_fills_the_callers_array() {
    let mut outer = context();
    outer.context.ops.poll_cq = Some(one_completion);
    // SAFETY: plain data, for which zeroes are a value.
    let (mut cq, mut wc): (ibv_cq, [ibv_wc; 4]) = unsafe { zeroed() };
    cq.context = &raw mut outer.context;
    // SAFETY: everything lives to the end of the test.
    assert_eq!(unsafe { ibv_poll_cq(&raw mut cq, 4, wc.as_mut_ptr()) }, 1);
    assert_eq!(wc[0].wr_id, 77);
}

#[test]
fn query_port_uses_the_providers_function_of_an_extended_context() {
    let Ok(library) = crate::Library::load() else { return }; // needed only for the fallback
    let mut outer = context();
    outer.query_port = Some(port_of);
    // SAFETY: plain data, for which zeroes are a value.
    let mut attributes: ibv_port_attr = unsafe { zeroed() };
    // SAFETY: everything lives to the end of the test.
    assert_eq!(unsafe { ibv_query_port(library, &raw mut outer.context, 3, &raw mut attributes) }, 0);
    assert_eq!(attributes.lid, 3);
}

#[test]
fn a_context_that_is_older_than_the_field_or_not_extended_is_not_read_past_its_front() {
    let offset = offset_of!(verbs_context, query_port);
    let mut outer = context();
    let inner = &raw mut outer.context;
    // SAFETY: it lives to the end of the test.
    assert!(unsafe { extended(inner, offset) }.is_some());
    outer.sz = size_of::<verbs_context>() - offset - 8;
    // SAFETY: as above.
    assert!(unsafe { extended(inner, offset) }.is_none());
    outer.sz = size_of::<verbs_context>();
    outer.context.abi_compat = ptr::null_mut();
    // SAFETY: as above.
    assert!(unsafe { extended(inner, offset) }.is_none());
}
