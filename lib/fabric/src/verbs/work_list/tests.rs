use super::*;

/// Follows the pointers as a provider does.
#[allow(unsafe_code)]
fn walk(mut request: *mut ibv_send_wr) -> Vec<(u64, u32, i32, u64)> {
    let mut seen = Vec::new();
    while !request.is_null() {
        // SAFETY: the test's list is alive and linked.
        let (wr, piece) = unsafe { (&*request, *(*request).sg_list) };
        seen.push((wr.wr_id, wr.opcode, wr.num_sge, piece.addr));
        request = wr.next;
    }
    seen
}

fn local(addr: u64) -> Option<Local> {
    Some(Local { addr, len: 8, lkey: 1 })
}

#[test]
fn a_provider_sees_every_request_once_in_order() {
    let mut list = SendList::new(4);
    assert!(list.link().is_null());
    list.push(1, Opcode::Write { remote_addr: 100, rkey: 7 }, local(10), false);
    list.push(2, Opcode::Read { remote_addr: 200, rkey: 7 }, local(20), false);
    list.push(3, Opcode::Send { solicited: true, inline: false }, local(30), true);
    let seen = walk(list.link());
    use ibv_wr_opcode::*;
    assert_eq!(seen, [(1, IBV_WR_RDMA_WRITE, 1, 10), (2, IBV_WR_RDMA_READ, 1, 20), (3, IBV_WR_SEND, 1, 30)]);
}

#[test]
fn flags_of_an_earlier_use_do_not_stay() {
    let mut list = SendList::new(1);
    list.push(1, Opcode::Send { solicited: true, inline: true }, local(1), true);
    list.clear();
    list.push(2, Opcode::Write { remote_addr: 0, rkey: 0 }, None, false);
    assert_eq!((list.requests[0].send_flags, list.requests[0].num_sge), (0, 0));
    assert_eq!(list.wr_id(0), 2);
}

#[test]
fn a_shorter_list_after_a_longer_one_ends_where_it_should() {
    let mut list = ReceiveList::new(3);
    for id in 0..3 {
        list.push(id, Local { addr: id, len: 1, lkey: 1 });
    }
    list.link();
    list.clear();
    list.push(9, Local { addr: 9, len: 1, lkey: 1 });
    list.link();
    assert!(list.requests[0].next.is_null());
}

#[test]
fn a_refused_request_is_found_and_a_foreign_pointer_is_past_the_end() {
    let mut list = SendList::new(3);
    for id in 0..3 {
        list.push(id, Opcode::Write { remote_addr: 0, rkey: 0 }, local(1), false);
    }
    let head = list.link();
    assert_eq!(list.position(head.wrapping_add(1)), 1);
    assert_eq!(list.position(ptr::null()), 3);
    assert_eq!(list.position(head.wrapping_add(3)), 3);
}
