//! Work requests that wait for the doorbell: fixed arrays that become one linked list when they are posted. Making the list is
//! safe code; posting it is in `queue_pair.rs`.

use std::ptr;

use rdma_core_sys::{
    ibv_recv_wr, ibv_send_flags, ibv_send_wr, ibv_send_wr__bindgen_ty_2, ibv_send_wr__bindgen_ty_2__bindgen_ty_1,
    ibv_sge, ibv_wr_opcode,
};

/// A piece of registered memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    pub(super) addr: u64,
    pub(super) len: u32,
    pub(super) lkey: u32,
}

/// What a work request of the send queue does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opcode {
    Read { remote_addr: u64, rkey: u32 },
    Write { remote_addr: u64, rkey: u32 },
    Send { solicited: bool, inline: bool },
}

/// Requests for the send queue, each with at most one piece of memory.
pub(super) struct SendList {
    requests: Box<[ibv_send_wr]>,
    pieces: Box<[ibv_sge]>,
    len: usize,
}

impl SendList {
    pub(super) fn new(capacity: u32) -> SendList {
        let capacity = capacity as usize;
        SendList {
            requests: std::iter::repeat_with(empty_send).take(capacity).collect(),
            pieces: vec![ibv_sge { addr: 0, length: 0, lkey: 0 }; capacity].into(),
            len: 0,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// The identity of a request in the list.
    pub(super) fn wr_id(&self, index: usize) -> u64 {
        self.requests[..self.len][index].wr_id
    }

    /// Adds a request; without `local` it moves no bytes.
    ///
    /// # Panics
    /// If the list is full: callers count.
    #[inline]
    pub(super) fn push(&mut self, wr_id: u64, opcode: Opcode, local: Option<Local>, signalled: bool) {
        let request = &mut self.requests[self.len];
        let mut flags = if signalled { ibv_send_flags::IBV_SEND_SIGNALED } else { 0 };
        request.wr_id = wr_id;
        match opcode {
            Opcode::Read { remote_addr, rkey } => {
                request.opcode = ibv_wr_opcode::IBV_WR_RDMA_READ;
                request.wr = remote(remote_addr, rkey);
            }
            Opcode::Write { remote_addr, rkey } => {
                request.opcode = ibv_wr_opcode::IBV_WR_RDMA_WRITE;
                request.wr = remote(remote_addr, rkey);
            }
            Opcode::Send { solicited, inline } => {
                request.opcode = ibv_wr_opcode::IBV_WR_SEND;
                flags |= if solicited { ibv_send_flags::IBV_SEND_SOLICITED } else { 0 };
                flags |= if inline { ibv_send_flags::IBV_SEND_INLINE } else { 0 };
            }
        }
        request.send_flags = flags;
        request.num_sge = i32::from(local.is_some());
        if let Some(Local { addr, len, lkey }) = local {
            self.pieces[self.len] = ibv_sge { addr, length: len, lkey };
        }
        self.len += 1;
    }

    /// Links what was pushed and gives the head of the list, valid until the next change; null if there is nothing.
    #[inline]
    pub(super) fn link(&mut self) -> *mut ibv_send_wr {
        let (requests, pieces) = (self.requests.as_mut_ptr(), self.pieces.as_mut_ptr());
        for (index, request) in self.requests[..self.len].iter_mut().enumerate() {
            request.sg_list = pieces.wrapping_add(index);
            request.next = if index + 1 < self.len { requests.wrapping_add(index + 1) } else { ptr::null_mut() };
        }
        if self.len > 0 { self.requests.as_mut_ptr() } else { ptr::null_mut() }
    }

    /// Where in the list a request stands that the provider pointed to; the length if it is not in the list.
    pub(super) fn position(&self, request: *const ibv_send_wr) -> usize {
        position(self.requests.as_ptr(), request, self.len)
    }
}

/// Requests for the receive queue, each with one piece of memory.
pub(super) struct ReceiveList {
    requests: Box<[ibv_recv_wr]>,
    pieces: Box<[ibv_sge]>,
    len: usize,
}

impl ReceiveList {
    pub(super) fn new(capacity: u32) -> ReceiveList {
        let capacity = capacity as usize;
        let empty = ibv_recv_wr { wr_id: 0, next: ptr::null_mut(), sg_list: ptr::null_mut(), num_sge: 1 };
        ReceiveList {
            requests: vec![empty; capacity].into(),
            pieces: vec![ibv_sge { addr: 0, length: 0, lkey: 0 }; capacity].into(),
            len: 0,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn wr_id(&self, index: usize) -> u64 {
        self.requests[..self.len][index].wr_id
    }

    /// Adds a request.
    ///
    /// # Panics
    /// If the list is full: callers count.
    #[inline]
    pub(super) fn push(&mut self, wr_id: u64, local: Local) {
        self.requests[self.len].wr_id = wr_id;
        self.pieces[self.len] = ibv_sge { addr: local.addr, length: local.len, lkey: local.lkey };
        self.len += 1;
    }

    /// As [`SendList::link`].
    #[inline]
    pub(super) fn link(&mut self) -> *mut ibv_recv_wr {
        let (requests, pieces) = (self.requests.as_mut_ptr(), self.pieces.as_mut_ptr());
        for (index, request) in self.requests[..self.len].iter_mut().enumerate() {
            request.sg_list = pieces.wrapping_add(index);
            request.next = if index + 1 < self.len { requests.wrapping_add(index + 1) } else { ptr::null_mut() };
        }
        if self.len > 0 { self.requests.as_mut_ptr() } else { ptr::null_mut() }
    }

    /// As [`SendList::position`].
    pub(super) fn position(&self, request: *const ibv_recv_wr) -> usize {
        position(self.requests.as_ptr(), request, self.len)
    }
}

fn position<T>(base: *const T, item: *const T, len: usize) -> usize {
    let bytes = item.addr().checked_sub(base.addr());
    bytes.map(|bytes| bytes / size_of::<T>()).filter(|&index| index < len).unwrap_or(len)
}

fn remote(remote_addr: u64, rkey: u32) -> ibv_send_wr__bindgen_ty_2 {
    ibv_send_wr__bindgen_ty_2 { rdma: ibv_send_wr__bindgen_ty_2__bindgen_ty_1 { remote_addr, rkey } }
}

fn empty_send() -> ibv_send_wr {
    ibv_send_wr::default()
}

#[cfg(test)]
mod tests;
