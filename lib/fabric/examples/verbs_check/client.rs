//! An initiator's end, straight on rdma-core, with no more care than a test needs.

use std::mem::zeroed;
use std::net::SocketAddr;
use std::ptr;

use rdma_core_sys::*;

pub const MEMORY: usize = 1 << 20;
const RECEIVE: usize = 8192;
const RECEIVES: usize = 16;

#[derive(Debug, PartialEq, Eq)]
pub enum ClientEvent {
    Established { private_data: Vec<u8> },
    Rejected { reason: i32, private_data: Vec<u8> },
    Disconnected,
    Other { kind: u32, status: i32 },
}

/// One connection attempt and what comes of it. Blocks while it resolves; later everything is polled.
pub struct Client {
    library: &'static Library,
    channel: *mut rdma_event_channel,
    id: *mut rdma_cm_id,
    cq: *mut ibv_cq,
    mr: *mut ibv_mr,
    receive_mr: *mut ibv_mr,
    /// What the target may read and write.
    pub memory: Box<[u8]>,
    receives: Box<[u8]>,
}

impl Client {
    /// Sends a connection request with `private_data`.
    pub fn connect(address: SocketAddr, private_data: &[u8]) -> Client {
        let library = Library::load().expect("rdma-core");
        // SAFETY: each call gets what the calls before it made, as the man pages say.
        unsafe {
            let channel = (library.rdma_create_event_channel)();
            assert!(!channel.is_null());
            let mut id = ptr::null_mut();
            assert_eq!((library.rdma_create_id)(channel, &mut id, ptr::null_mut(), rdma_port_space::RDMA_PS_TCP), 0);
            let mut storage = sockaddr(address);
            let target = (&raw mut storage).cast();
            assert_eq!((library.rdma_resolve_addr)(id, ptr::null_mut(), target, 2000), 0);
            wait_for(library, channel, rdma_cm_event_type::RDMA_CM_EVENT_ADDR_RESOLVED);
            assert_eq!((library.rdma_resolve_route)(id, 2000), 0);
            wait_for(library, channel, rdma_cm_event_type::RDMA_CM_EVENT_ROUTE_RESOLVED);
            let cq = (library.ibv_create_cq)((*id).verbs, 256, ptr::null_mut(), ptr::null_mut(), 0);
            assert!(!cq.is_null());
            let mut attributes: ibv_qp_init_attr = zeroed();
            attributes.send_cq = cq;
            attributes.recv_cq = cq;
            attributes.qp_type = ibv_qp_type::IBV_QPT_RC;
            attributes.sq_sig_all = 1;
            attributes.cap = ibv_qp_cap {
                max_send_wr: 32,
                max_recv_wr: RECEIVES as u32,
                max_send_sge: 1,
                max_recv_sge: 1,
                max_inline_data: 0,
            };
            assert_eq!((library.rdma_create_qp)(id, ptr::null_mut(), &mut attributes), 0);
            let mut memory = vec![0; MEMORY].into_boxed_slice();
            let mut receives = vec![0; RECEIVE * RECEIVES].into_boxed_slice();
            let access = ibv_access_flags::IBV_ACCESS_LOCAL_WRITE
                | ibv_access_flags::IBV_ACCESS_REMOTE_READ
                | ibv_access_flags::IBV_ACCESS_REMOTE_WRITE;
            let pd = (*(*id).qp).pd;
            let mr = (library.ibv_reg_mr)(pd, memory.as_mut_ptr().cast(), memory.len(), access as i32);
            let receive_mr = (library.ibv_reg_mr)(pd, receives.as_mut_ptr().cast(), receives.len(), access as i32);
            assert!(!mr.is_null() && !receive_mr.is_null());
            let client = Client { library, channel, id, cq, mr, receive_mr, memory, receives };
            for index in 0..RECEIVES {
                client.post_receive(index);
            }
            let mut parameters: rdma_conn_param = zeroed();
            parameters.private_data = private_data.as_ptr().cast();
            parameters.private_data_len = private_data.len() as u8;
            parameters.responder_resources = 4;
            parameters.retry_count = 7;
            parameters.rnr_retry_count = 7;
            assert_eq!((library.rdma_connect)(id, &mut parameters), 0, "{}", std::io::Error::last_os_error());
            let flags = rustix::fs::fcntl_getfl(std::os::fd::BorrowedFd::borrow_raw((*channel).fd)).expect("flags");
            let file = std::os::fd::BorrowedFd::borrow_raw((*channel).fd);
            rustix::fs::fcntl_setfl(file, flags | rustix::fs::OFlags::NONBLOCK).expect("flags");
            client
        }
    }

    pub fn rkey(&self) -> u32 {
        // SAFETY: a live memory region.
        unsafe { (*self.mr).rkey }
    }

    pub fn addr(&self) -> u64 {
        self.memory.as_ptr() as u64
    }

    fn post_receive(&self, index: usize) {
        // SAFETY: a live queue pair and registered memory that lives as long.
        unsafe {
            let addr = self.receives.as_ptr().add(index * RECEIVE) as u64;
            let mut piece = ibv_sge { addr, length: RECEIVE as u32, lkey: (*self.receive_mr).lkey };
            let mut request: ibv_recv_wr = zeroed();
            request.wr_id = 1 << 32 | index as u64;
            request.sg_list = &mut piece;
            request.num_sge = 1;
            assert_eq!(inline::ibv_post_recv((*self.id).qp, &mut request, &mut ptr::null_mut()), 0);
        }
    }

    /// Sends `len` bytes from the start of its memory.
    pub fn send(&self, len: usize) {
        // SAFETY: as above.
        unsafe {
            let mut piece = ibv_sge { addr: self.addr(), length: len as u32, lkey: (*self.mr).lkey };
            let mut request: ibv_send_wr = zeroed();
            request.sg_list = &mut piece;
            request.num_sge = 1;
            request.opcode = ibv_wr_opcode::IBV_WR_SEND;
            assert_eq!(inline::ibv_post_send((*self.id).qp, &mut request, &mut ptr::null_mut()), 0);
        }
    }

    /// The next message, copied; its receive is posted again.
    pub fn next_message(&mut self) -> Option<Vec<u8>> {
        loop {
            // SAFETY: plain data, and a live completion queue with room for one.
            let mut wc: ibv_wc = unsafe { zeroed() };
            // SAFETY: as above.
            let count = unsafe { inline::ibv_poll_cq(self.cq, 1, &mut wc) };
            if count != 1 {
                return None;
            }
            if wc.status != 0 || wc.wr_id >> 32 == 0 {
                continue;
            }
            let index = (wc.wr_id & 0xffff) as usize;
            let message = self.receives[index * RECEIVE..][..wc.byte_len as usize].to_vec();
            self.post_receive(index);
            return Some(message);
        }
    }

    pub fn next_event(&mut self) -> Option<ClientEvent> {
        let mut event = ptr::null_mut();
        // SAFETY: a live channel; the event is copied before it is acknowledged.
        unsafe {
            if (self.library.rdma_get_cm_event)(self.channel, &mut event) != 0 {
                return None;
            }
            let conn = (*event).param.conn;
            let data = match conn.private_data.is_null() {
                true => Vec::new(),
                false => {
                    let len = usize::from(conn.private_data_len);
                    std::slice::from_raw_parts(conn.private_data.cast::<u8>(), len).to_vec()
                }
            };
            let (kind, status) = ((*event).event, (*event).status);
            (self.library.rdma_ack_cm_event)(event);
            use rdma_cm_event_type::*;
            Some(match kind {
                RDMA_CM_EVENT_ESTABLISHED => ClientEvent::Established { private_data: data },
                RDMA_CM_EVENT_REJECTED => ClientEvent::Rejected { reason: status, private_data: data },
                RDMA_CM_EVENT_DISCONNECTED => ClientEvent::Disconnected,
                _ => ClientEvent::Other { kind, status },
            })
        }
    }

    pub fn disconnect(&mut self) {
        // SAFETY: a live id.
        unsafe { (self.library.rdma_disconnect)(self.id) };
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: in reverse order of making; nothing is used afterwards.
        unsafe {
            (self.library.rdma_destroy_qp)(self.id);
            (self.library.ibv_dereg_mr)(self.mr);
            (self.library.ibv_dereg_mr)(self.receive_mr);
            (self.library.ibv_destroy_cq)(self.cq);
            (self.library.rdma_destroy_id)(self.id);
            (self.library.rdma_destroy_event_channel)(self.channel);
        }
    }
}

unsafe fn wait_for(library: &Library, channel: *mut rdma_event_channel, wanted: u32) {
    let mut event = ptr::null_mut();
    // SAFETY: a live channel, and the event is acknowledged once.
    unsafe {
        assert_eq!((library.rdma_get_cm_event)(channel, &mut event), 0);
        let (kind, status) = ((*event).event, (*event).status);
        (library.rdma_ack_cm_event)(event);
        assert_eq!((kind, status), (wanted, 0), "resolving");
    }
}

fn sockaddr(address: SocketAddr) -> sockaddr_in {
    let SocketAddr::V4(v4) = address else { panic!("the client speaks IPv4") };
    let sin_addr = in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) };
    sockaddr_in { sin_family: 2, sin_port: v4.port().to_be(), sin_addr, sin_zero: [0; 8] }
}
