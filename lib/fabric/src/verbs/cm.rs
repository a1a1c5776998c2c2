//! The connection manager: its event channel and its ids. Fenced. Everything here is called on the control thread.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;
use std::sync::Arc;

use rdma_core_sys::{
    Library, ibv_event_type, ibv_qp_init_attr, ibv_qp_type, in_addr, in6_addr, in6_addr__bindgen_ty_1, rdma_cm_event,
    rdma_cm_event_type, rdma_cm_id, rdma_conn_param, rdma_event_channel, rdma_port_space, sockaddr, sockaddr_in,
    sockaddr_in6, sockaddr_storage,
};

use super::completion_queue::CompletionQueue;
use super::device::{Context, set_nonblocking};
use super::poll_group::Mail;
use super::queue_pair::Handle;
use super::work::KEEPALIVES;
use crate::{PrivateData, QueuePairSizes, Service, ib_service_id};

/// A REP carries at most this many bytes of private data (IBTA vol. 1, 12.6.8).
pub(super) const REP_DATA_MAX: usize = 196;

/// A REJ carries at most this many bytes of private data (IBTA vol. 1, 12.6.7).
pub(super) const REJ_DATA_MAX: usize = 148;

/// A REQ of RDMA/CM carries at most this many bytes of the user's private data (IBTA vol. 1, annex A11).
pub(super) const REQ_DATA_MAX: usize = 56;

/// How long finding the peer's address, and then the route, may take, in milliseconds: the kernel asks several times meanwhile.
const RESOLVE_MS: i32 = 4_000;

/// Times that a packet of ours is sent again, and that a peer without a receive is asked again (7: without end), as `ib_srp` asks for.
const RETRIES: u8 = 7;
const RECEIVER_NOT_READY_RETRIES: u8 = 7;

/// Connection requests that may wait for an answer on one listener; the kernel's own upper limit.
const BACKLOG: i32 = 1024;

/// Messages up to this size are copied into their work request if the device can do it: an SRP_RSP without sense data
/// is 36 bytes.
const INLINE_WANTED: u32 = 64;

/// Where librdmacm reports events.
pub(super) struct EventChannel {
    library: &'static Library,
    channel: *mut rdma_event_channel,
}

// SAFETY: librdmacm's calls are thread-safe (rdma_cm(7)), and all are made on the control thread.
unsafe impl Send for EventChannel {}
// SAFETY: as above.
unsafe impl Sync for EventChannel {}

/// An event, copied; the original is acknowledged already.
#[derive(Debug)]
pub(super) enum CmEvent {
    /// A connection request came to the listener of this number.
    Request { listener: u64, request: Box<Request> },
    /// Something happened to the id of this number: a listener or a connection.
    Other { id: u64, kind: rdma_cm_event_type::Type, status: i32, private_data: Box<PrivateData> },
}

/// A connection request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: CmId,
    pub(super) private_data: PrivateData,
    /// RDMA READs that the initiator serves at once.
    pub(super) reads_served: u8,
}

impl EventChannel {
    /// Fails (ENODEV, ENOENT) while there is no device or no rdma_cm in the kernel.
    pub(super) fn open(library: &'static Library) -> io::Result<Arc<EventChannel>> {
        // SAFETY: no arguments.
        let channel = unsafe { (library.rdma_create_event_channel)() };
        if channel.is_null() {
            return Err(io::Error::last_os_error());
        }
        let channel = Arc::new(EventChannel { library, channel });
        set_nonblocking(channel.as_fd())?;
        Ok(channel)
    }

    /// The next event, or `None` if there is none now.
    pub(super) fn next_event(self: &Arc<EventChannel>) -> io::Result<Option<CmEvent>> {
        let mut event = ptr::null_mut();
        // SAFETY: a live channel, whose file does not block, and room for a pointer.
        if unsafe { (self.library.rdma_get_cm_event)(self.channel, &raw mut event) } != 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        }
        // SAFETY: an event just taken.
        let copy = unsafe { self.copy(&*event) };
        // SAFETY: acknowledged once, and nothing of the event is used afterwards. Doing it at once keeps
        // rdma_destroy_id, which waits for it, from blocking.
        unsafe { (self.library.rdma_ack_cm_event)(event) };
        Ok(Some(copy))
    }

    /// # Safety
    /// An event that is not acknowledged yet.
    unsafe fn copy(self: &Arc<EventChannel>, event: &rdma_cm_event) -> CmEvent {
        if event.event == rdma_cm_event_type::RDMA_CM_EVENT_CONNECT_REQUEST {
            // SAFETY: a request has a connection's parameters, its listener's id and a new id that is ours from now on.
            unsafe {
                let parameters = &event.param.conn;
                return CmEvent::Request {
                    listener: (*event.listen_id).context.addr() as u64,
                    request: Box::new(Request {
                        id: CmId { channel: Arc::clone(self), id: event.id },
                        private_data: private_data(parameters),
                        // Already seen from our side: what we may initiate.
                        reads_served: parameters.initiator_depth,
                    }),
                };
            }
        }
        // SAFETY: the id of an event is alive: rdma_destroy_id waits for acknowledgements and purges later events.
        let id = unsafe { (*event.id).context }.addr() as u64;
        let private_data = match event.event {
            rdma_cm_event_type::RDMA_CM_EVENT_ESTABLISHED | rdma_cm_event_type::RDMA_CM_EVENT_REJECTED => {
                // SAFETY: these have a connection's parameters.
                unsafe { private_data(&event.param.conn) }
            }
            _ => PrivateData::new(),
        };
        CmEvent::Other { id, kind: event.event, status: event.status, private_data: Box::new(private_data) }
    }

    /// The library's words for an event.
    pub(super) fn describe(&self, kind: rdma_cm_event_type::Type) -> String {
        // SAFETY: returns a constant string for every number.
        let text = unsafe { std::ffi::CStr::from_ptr((self.library.rdma_event_str)(kind)) };
        text.to_string_lossy().into_owned()
    }
}

impl AsFd for EventChannel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open as long as the channel.
        unsafe { BorrowedFd::borrow_raw((*self.channel).fd) }
    }
}

impl Drop for EventChannel {
    fn drop(&mut self) {
        // SAFETY: ids hold an `Arc` of the channel, so none is left, and every event was acknowledged.
        unsafe { (self.library.rdma_destroy_event_channel)(self.channel) }
    }
}

impl fmt::Debug for EventChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventChannel")
    }
}

/// One id of the connection manager: a listener or a connection. Destroyed on drop.
pub(super) struct CmId {
    channel: Arc<EventChannel>,
    id: *mut rdma_cm_id,
}

// SAFETY: librdmacm's calls are thread-safe (rdma_cm(7)); ids are owned, and used on the control thread.
unsafe impl Send for CmId {}

impl CmId {
    /// A listener at `address`, whose events carry `number`.
    pub(super) fn listen(
        channel: &Arc<EventChannel>,
        number: u64,
        address: SocketAddr,
        service: Service,
    ) -> io::Result<CmId> {
        let this = CmId::bind(channel, number, address, service)?;
        // SAFETY: a live, bound id.
        check(unsafe { (this.library().rdma_listen)(this.id, BACKLOG) })?;
        Ok(this)
    }

    /// An id at `address`, whose events carry `number`. At the address of one device, it belongs to that device from then on.
    pub(super) fn bind(
        channel: &Arc<EventChannel>,
        number: u64,
        address: SocketAddr,
        service: Service,
    ) -> io::Result<CmId> {
        let library = channel.library;
        let mut id = ptr::null_mut();
        let (space, mut storage) = match (service, address) {
            (Service::Ip, address) => (rdma_port_space::RDMA_PS_TCP, to_sockaddr(address)),
            (Service::Ib, SocketAddr::V6(gid)) => (rdma_port_space::RDMA_PS_IB, to_sockaddr_ib(*gid.ip(), gid.port())),
            (Service::Ib, SocketAddr::V4(_)) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        // SAFETY: a live channel and room for a pointer.
        let failed = unsafe { (library.rdma_create_id)(channel.channel, &raw mut id, context(number), space) } != 0;
        if failed {
            return Err(io::Error::last_os_error());
        }
        let this = CmId { channel: Arc::clone(channel), id };
        // SAFETY: a live id and an address of the family that it names.
        check(unsafe { (library.rdma_bind_addr)(this.id, (&raw mut storage).cast::<sockaddr>()) })?;
        Ok(this)
    }

    /// Asks for the peer's link address; an event tells how it went.
    pub(super) fn resolve_address(&mut self, peer: SocketAddr) -> io::Result<()> {
        let mut storage = to_sockaddr(peer);
        let to = (&raw mut storage).cast::<sockaddr>();
        // SAFETY: a live, bound id, which needs no other address of ours, and the peer's of the family that it names.
        check(unsafe { (self.library().rdma_resolve_addr)(self.id, ptr::null_mut(), to, RESOLVE_MS) })
    }

    /// Then for the route there.
    pub(super) fn resolve_route(&mut self) -> io::Result<()> {
        // SAFETY: a live id.
        check(unsafe { (self.library().rdma_resolve_route)(self.id, RESOLVE_MS) })
    }

    /// Then sends a REQ. The queue pair goes to RTS when the REP is there.
    pub(super) fn connect(&mut self, reads_served: u8, private_data: &[u8]) -> io::Result<()> {
        let mut parameters = rdma_conn_param {
            private_data: private_data.as_ptr().cast(),
            private_data_len: u8::try_from(private_data.len()).expect("checked against REQ_DATA_MAX"),
            responder_resources: reads_served,
            initiator_depth: 0, // an SRP initiator never reads from its target
            flow_control: 1,
            retry_count: RETRIES,
            rnr_retry_count: RECEIVER_NOT_READY_RETRIES,
            srq: 0,
            qp_num: 0, // the id's own queue pair
        };
        // SAFETY: a live id with a queue pair; the parameters point to data that lives until the call returns.
        check(unsafe { (self.library().rdma_connect)(self.id, &raw mut parameters) })
    }

    fn library(&self) -> &'static Library {
        self.channel.library
    }

    /// Gives the id of a request the number that its events will carry.
    pub(super) fn set_number(&mut self, number: u64) {
        // SAFETY: a live id; the field is the user's.
        unsafe { (*self.id).context = context(number) }
    }

    /// The device that a connection runs over.
    pub(super) fn device(&self) -> Context {
        // SAFETY: a live id.
        Context(unsafe { (*self.id).verbs })
    }

    /// The other end of a connection.
    pub(super) fn peer_address(&self) -> Option<SocketAddr> {
        // SAFETY: a live id; any address is at least the storage's family field.
        from_sockaddr(unsafe { &(*self.id).route.addr.__bindgen_anon_2.dst_storage })
    }

    /// This end of a connection.
    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        // SAFETY: as above.
        from_sockaddr(unsafe { &(*self.id).route.addr.__bindgen_anon_1.src_storage })
    }

    /// Makes the queue pair, in the INIT state: reliable connection, one piece of memory per request, completions only for
    /// requests that ask for one. Asynchronous events about it carry `number`. `share` entries of `queue` were taken
    /// for it.
    pub(super) fn create_queue_pair(
        &mut self,
        number: u64,
        queue: &Arc<CompletionQueue>,
        share: u32,
        sizes: QueuePairSizes,
        mail: Arc<Mail>,
    ) -> io::Result<Handle> {
        let with = |inline| {
            // SAFETY: plain data, for which zeroes are a value.
            let mut attributes: ibv_qp_init_attr = unsafe { zeroed() };
            attributes.qp_context = context(number);
            attributes.send_cq = queue.as_ptr();
            attributes.recv_cq = queue.as_ptr();
            attributes.qp_type = ibv_qp_type::IBV_QPT_RC;
            attributes.cap.max_send_wr = sizes.sends + KEEPALIVES;
            attributes.cap.max_recv_wr = sizes.receives;
            attributes.cap.max_send_sge = 1;
            attributes.cap.max_recv_sge = 1;
            attributes.cap.max_inline_data = inline;
            attributes
        };
        let pd = queue.device().pd();
        let mut attributes = with(INLINE_WANTED);
        // SAFETY: a live id without a queue pair, and a protection domain and a completion queue of its device.
        let mut result = check(unsafe { (self.library().rdma_create_qp)(self.id, pd, &raw mut attributes) });
        if result.is_err() {
            attributes = with(0); // not every device has inline data
            // SAFETY: as above.
            result = check(unsafe { (self.library().rdma_create_qp)(self.id, pd, &raw mut attributes) });
        }
        result?;
        let inline_max = attributes.cap.max_inline_data.min(INLINE_WANTED);
        // SAFETY: a queue pair just made on `queue`; only `destroy_queue_pair` destroys it, and takes the handle.
        Ok(unsafe { Handle::new((*self.id).qp, inline_max, Arc::clone(queue), share, mail) })
    }

    /// Destroys the queue pair whose handle nobody else has any more.
    pub(super) fn destroy_queue_pair(&mut self, handle: Handle) {
        // SAFETY: the id's queue pair, and its one handle, which ends here.
        unsafe { (self.library().rdma_destroy_qp)(self.id) };
        handle.destroyed();
    }

    /// Answers a request with a REP. The queue pair goes to RTS.
    pub(super) fn accept(&mut self, reads_max: u8, private_data: &[u8]) -> io::Result<()> {
        let mut parameters = rdma_conn_param {
            private_data: private_data.as_ptr().cast(),
            private_data_len: u8::try_from(private_data.len()).expect("checked against REP_DATA_MAX"),
            // An SRP initiator never reads from its target, so we serve no RDMA READ.
            responder_resources: 0,
            // How many RDMA READs we will have outstanding: the initiator's device serves no more than that.
            initiator_depth: reads_max,
            flow_control: 1,
            retry_count: 0, // ours came with the request
            // The initiator's, towards us: 7 is without end. It never meets an empty receive queue, but see srp.
            rnr_retry_count: 7,
            srq: 0,
            qp_num: 0, // the id's own queue pair
        };
        // SAFETY: a live id with a queue pair; the parameters point to data that lives until the call returns.
        check(unsafe { (self.library().rdma_accept)(self.id, &raw mut parameters) })
    }

    /// Answers a request with a REJ of reason 28, "consumer defined" (IBTA vol. 1, 12.6.7.2).
    pub(super) fn reject(&mut self, private_data: &[u8]) -> io::Result<()> {
        let len = u8::try_from(private_data.len()).expect("cut to REJ_DATA_MAX");
        // SAFETY: a live id, and data that lives until the call returns.
        check(unsafe { (self.library().rdma_reject)(self.id, private_data.as_ptr().cast(), len) })
    }

    /// Sends a DREQ, or the DREP that answers the peer's; puts the queue pair into error.
    pub(super) fn disconnect(&mut self) -> io::Result<()> {
        // SAFETY: a live id.
        check(unsafe { (self.library().rdma_disconnect)(self.id) })
    }

    /// Tells the connection manager that the peer is there although its RTU did not arrive (yet).
    pub(super) fn notify_established(&mut self) -> io::Result<()> {
        // SAFETY: a live id.
        check(unsafe { (self.library().rdma_notify)(self.id, ibv_event_type::IBV_EVENT_COMM_EST) })
    }
}

impl Drop for CmId {
    fn drop(&mut self) {
        // SAFETY: a live id.
        if !unsafe { (*self.id).qp }.is_null() {
            // Its owner keeps a connection until its queue pair is destroyed, except when the process ends in the middle.
            tracing::debug!("a connection is left to the kernel to clean up: its queue pair is in use");
            return;
        }
        // SAFETY: a live id without a queue pair, and all its events are acknowledged.
        if let Err(error) = check(unsafe { (self.library().rdma_destroy_id)(self.id) }) {
            tracing::warn!("rdma_destroy_id: {error}");
        }
    }
}

impl fmt::Debug for CmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CmId")
    }
}

/// The user's pointer of an id or a queue pair, which for us is a number.
fn context(number: u64) -> *mut std::ffi::c_void {
    ptr::without_provenance_mut(usize::try_from(number).expect("64-bit numbers fit: rdma-core needs a 64-bit system"))
}

/// librdmacm's calls return -1 and set errno.
fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// # Safety
/// Parameters of an event that is not acknowledged yet.
unsafe fn private_data(parameters: &rdma_conn_param) -> PrivateData {
    let mut copy = PrivateData::new();
    if !parameters.private_data.is_null() {
        let len = usize::from(parameters.private_data_len);
        // SAFETY: the event holds that many bytes until it is acknowledged.
        let bytes = unsafe { std::slice::from_raw_parts(parameters.private_data.cast::<u8>(), len) };
        copy.try_extend_from_slice(bytes).expect("a length of one byte fits");
    }
    copy
}

/// `AF_INET`, `AF_INET6` and `AF_IB` of Linux.
const INET: u16 = 2;
const INET6: u16 = 10;
const IB: u16 = 27;

/// An address of InfiniBand (`struct sockaddr_ib` of `include/rdma/ib.h`); all numbers are in network order but the last.
#[repr(C)]
#[derive(Clone, Copy)]
struct SockaddrIb {
    family: u16,
    pkey: u16,
    flowinfo: u32,
    gid: [u8; 16],
    service_id: u64,
    service_id_mask: u64,
    scope_id: u64,
}

const _: () = assert!(size_of::<SockaddrIb>() == 48 && size_of::<SockaddrIb>() <= size_of::<sockaddr_storage>());

/// The default partition, as its full member.
const PKEY_DEFAULT: u16 = 0xffff;

fn to_sockaddr_ib(gid: Ipv6Addr, port: u16) -> sockaddr_storage {
    // SAFETY: plain data, for which zeroes are a value.
    let mut storage: sockaddr_storage = unsafe { zeroed() };
    let inner = SockaddrIb {
        family: IB,
        pkey: PKEY_DEFAULT.to_be(),
        flowinfo: 0,
        gid: gid.octets(),
        service_id: ib_service_id(port).to_be(),
        service_id_mask: u64::MAX,
        scope_id: 0,
    };
    // SAFETY: the storage is larger than, and aligned for, the address.
    unsafe { (&raw mut storage).cast::<SockaddrIb>().write(inner) };
    storage
}

fn to_sockaddr(address: SocketAddr) -> sockaddr_storage {
    // SAFETY: plain data, for which zeroes are a value.
    let mut storage: sockaddr_storage = unsafe { zeroed() };
    match address {
        SocketAddr::V4(v4) => {
            let sin_addr = in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) };
            let inner = sockaddr_in { sin_family: INET, sin_port: v4.port().to_be(), sin_addr, sin_zero: [0; 8] };
            // SAFETY: the storage is larger than, and aligned for, every address.
            unsafe { (&raw mut storage).cast::<sockaddr_in>().write(inner) };
        }
        SocketAddr::V6(v6) => {
            let inner = sockaddr_in6 {
                sin6_family: INET6,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo().to_be(),
                sin6_addr: in6_addr { __in6_u: in6_addr__bindgen_ty_1 { __u6_addr8: v6.ip().octets() } },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { (&raw mut storage).cast::<sockaddr_in6>().write(inner) };
        }
    }
    storage
}

/// `None` for other families. An IPv4 address mapped into IPv6 becomes what it is; a GID is an IPv6 address, with the end of the service id
/// as its port.
fn from_sockaddr(storage: &sockaddr_storage) -> Option<SocketAddr> {
    let storage: *const sockaddr_storage = storage;
    // SAFETY: the family says which structure the storage holds, which is larger than, and aligned for, each.
    unsafe {
        match (*storage).ss_family {
            INET => {
                let v4 = storage.cast::<sockaddr_in>().read();
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            INET6 => {
                let v6 = storage.cast::<sockaddr_in6>().read();
                let ip = Ipv6Addr::from(v6.sin6_addr.__in6_u.__u6_addr8);
                let port = u16::from_be(v6.sin6_port);
                Some(match ip.to_canonical() {
                    IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
                    IpAddr::V6(ip) => {
                        SocketAddrV6::new(ip, port, u32::from_be(v6.sin6_flowinfo), v6.sin6_scope_id).into()
                    }
                })
            }
            IB => {
                let ib = storage.cast::<SockaddrIb>().read();
                let port = (u64::from_be(ib.service_id) & 0xffff) as u16;
                Some(SocketAddrV6::new(Ipv6Addr::from(ib.gid), port, 0, 0).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(address: &str) -> Option<SocketAddr> {
        from_sockaddr(&to_sockaddr(address.parse().expect("an address")))
    }

    #[test]
    fn addresses_survive_the_way_through_c() {
        for address in ["10.77.0.1:5555", "0.0.0.0:1", "[fe80::1%3]:65535", "[::]:5555"] {
            assert_eq!(there_and_back(address), Some(address.parse().expect("an address")));
        }
    }

    #[test]
    fn bytes_are_in_network_order() {
        let storage = to_sockaddr("1.2.3.4:258".parse().expect("an address"));
        // SAFETY: reading plain bytes of plain data.
        let bytes = unsafe { (&raw const storage).cast::<[u8; 8]>().read() };
        assert_eq!(bytes[2..], [1, 2, 1, 2, 3, 4], "port, then address, most significant byte first");
    }

    #[test]
    fn a_mapped_ipv4_address_is_an_ipv4_address() {
        assert_eq!(there_and_back("[::ffff:10.0.0.1]:7"), Some("10.0.0.1:7".parse().expect("an address")));
    }

    /// Offsets by `include/rdma/ib.h` of Linux.
    #[test]
    fn addresses_of_infiniband_are_laid_out_as_the_kernel_has_them() {
        let gid: Ipv6Addr = "fe80::2:c903:a0b:c0d".parse().expect("a GID");
        let storage = to_sockaddr_ib(gid, 0x15b3);
        // SAFETY: reading plain bytes of plain data.
        let bytes = unsafe { (&raw const storage).cast::<[u8; 48]>().read() };
        assert_eq!(u16::from_ne_bytes([bytes[0], bytes[1]]), 27);
        assert_eq!((&bytes[2..8], &bytes[8..24]), (&[0xff, 0xff, 0, 0, 0, 0][..], &gid.octets()[..]));
        assert_eq!(bytes[24..40], [0, 0, 0, 0, 1, 0x3f, 0x15, 0xb3, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(from_sockaddr(&storage), Some(SocketAddr::from((gid, 0x15b3))));
    }

    #[test]
    fn other_families_are_no_address() {
        // SAFETY: plain data, for which zeroes are a value.
        assert_eq!(from_sockaddr(&unsafe { zeroed() }), None);
    }
}
