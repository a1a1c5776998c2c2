//! An RDMA device as librdmacm opened it: its context, our protection domain on it, our registered memory, and its
//! asynchronous events. Fenced.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::mem::{ManuallyDrop, zeroed};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdma_core_sys::{
    Library, ibv_async_event, ibv_context, ibv_device_attr, ibv_event_type, ibv_gid, ibv_pd, ibv_port_attr,
    ibv_port_state, ibv_transport_type, inline,
};

use super::region::{Keys, Registration, Wanted};
use crate::{DeviceInfo, FabricError, LinkLayer};

/// The contexts that librdmacm had open when it was asked. They stay open while this lives.
pub(super) struct DeviceList {
    library: &'static Library,
    list: *mut *mut ibv_context,
    len: usize,
}

// SAFETY: librdmacm keeps the contexts under a lock of its own; the list is read, and freed once.
unsafe impl Send for DeviceList {}
// SAFETY: as above.
unsafe impl Sync for DeviceList {}

impl DeviceList {
    /// Opens every device that librdmacm can use; an error (ENODEV) if there is none.
    pub(super) fn open(library: &'static Library) -> io::Result<Arc<DeviceList>> {
        let mut len = 0;
        // SAFETY: `len` can be written.
        let list = unsafe { (library.rdma_get_devices)(&raw mut len) };
        if list.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(Arc::new(DeviceList { library, list, len: usize::try_from(len).unwrap_or(0) }))
    }

    pub(super) fn contexts(&self) -> Vec<Context> {
        // SAFETY: the list has `len` entries.
        (0..self.len).map(|index| Context(unsafe { *self.list.add(index) })).collect()
    }
}

impl Drop for DeviceList {
    fn drop(&mut self) {
        // SAFETY: made by `rdma_get_devices`, freed nowhere else.
        unsafe { (self.library.rdma_free_devices)(self.list) }
    }
}

/// Identity of an open device: to find the [`Device`] that a CM id belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Context(pub(super) *mut ibv_context);

/// Limits of a device (ibv_query_device(3)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Work requests in one queue of a queue pair.
    pub(super) work_requests: u32,
    /// Entries in a completion queue.
    pub(super) completion_entries: u32,
    /// RDMA READs outstanding on a queue pair as their requester.
    pub(super) reads: u8,
    /// RDMA READs that a queue pair serves at once.
    pub(super) reads_served: u8,
}

/// One device, shared by everything made on it; given up with the last of that.
pub(super) struct Device {
    library: &'static Library,
    context: *mut ibv_context,
    pd: *mut ibv_pd,
    name: String,
    uverbs: String,
    link_layer: LinkLayer,
    node_guid: u64,
    limits: Limits,
    keys: Keys,
    /// Control thread only, so never contended.
    registrations: Mutex<Vec<Registration>>,
    lost: AtomicBool,
    gone: AtomicBool,
    removed: AtomicBool,
    broken: AtomicBool,
    _list: Arc<DeviceList>,
}

// SAFETY: libibverbs is thread-safe (ibverbs(7)); the pointers do not change while the device lives.
unsafe impl Send for Device {}
// SAFETY: as above; what changes is atomic or behind a lock.
unsafe impl Sync for Device {}

/// What a device tells of its own accord.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AsyncEvent {
    /// A message arrived before the connection manager's RTU; the number is the queue pair's connection.
    CommunicationEstablished(u64),
    /// A queue pair went into error; the number is its connection.
    QueuePairFailed(u64),
    /// The device is lost.
    DeviceFatal,
    /// A port came up, went down or changed its addresses.
    PortChanged,
    /// A completion queue overran or failed: ours cannot overrun.
    CompletionQueueFailed,
    /// Nothing that matters here.
    Other,
}

impl Device {
    /// Looks at an open device and makes a protection domain on it.
    pub(super) fn open(
        library: &'static Library,
        context: Context,
        list: Arc<DeviceList>,
    ) -> Result<Device, FabricError> {
        let Context(context) = context;
        // SAFETY: `context` is in `list`, so it is open, and its device's names are null-terminated.
        let (name, uverbs, transport) = unsafe {
            let device = (*context).device;
            (text(&(*device).name), text(&(*device).dev_name), (*device).transport_type)
        };
        let call = |call, source| FabricError::Call { call, device: name.clone(), source };
        // SAFETY: plain data, for which zeroes are a value.
        let mut attributes: ibv_device_attr = unsafe { zeroed() };
        // SAFETY: an open context and room for the attributes.
        let errno = unsafe { (library.ibv_query_device)(context, &raw mut attributes) };
        if errno != 0 {
            return Err(call("ibv_query_device", io::Error::from_raw_os_error(errno)));
        }
        // SAFETY: an open context.
        let port = unsafe { query_port(library, context) };
        let link_layer = match (transport, port.link_layer) {
            (ibv_transport_type::IBV_TRANSPORT_IWARP, _) => LinkLayer::Iwarp,
            (_, ETHERNET) => LinkLayer::Ethernet,
            _ => LinkLayer::InfiniBand,
        };
        // SAFETY: an open context.
        set_nonblocking(unsafe { BorrowedFd::borrow_raw((*context).async_fd) })
            .map_err(|source| call("fcntl on the event file", source))?;
        // SAFETY: an open context.
        let pd = unsafe { (library.ibv_alloc_pd)(context) };
        if pd.is_null() {
            return Err(call("ibv_alloc_pd", io::Error::last_os_error()));
        }
        let limits = Limits {
            work_requests: attributes.max_qp_wr.max(0).unsigned_abs(),
            completion_entries: attributes.max_cqe.max(0).unsigned_abs(),
            reads: u8::try_from(attributes.max_qp_init_rd_atom.max(0)).unwrap_or(u8::MAX),
            reads_served: u8::try_from(attributes.max_qp_rd_atom.max(0)).unwrap_or(u8::MAX),
        };
        Ok(Device {
            library,
            context,
            pd,
            name,
            uverbs,
            link_layer,
            node_guid: u64::from_be(attributes.node_guid),
            limits,
            keys: Keys::new(),
            registrations: Mutex::new(Vec::new()),
            lost: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            _list: list,
        })
    }

    pub(super) fn library(&self) -> &'static Library {
        self.library
    }

    pub(super) fn context(&self) -> *mut ibv_context {
        self.context
    }

    pub(super) fn is(&self, context: Context) -> bool {
        self.context == context.0
    }

    pub(super) fn pd(&self) -> *mut ibv_pd {
        self.pd
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The kernel's name of its character device, as `uverbs0`.
    pub(super) fn uverbs(&self) -> &str {
        &self.uverbs
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    #[inline]
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// An error of a call on this device.
    pub(super) fn failed(&self, call: &'static str, source: io::Error) -> FabricError {
        FabricError::Call { call, device: self.name.clone(), source }
    }

    /// Registers a region unless it is registered. Control thread only.
    pub(super) fn register(&self, wanted: &Wanted) -> Result<(), FabricError> {
        let mut registrations = self.registrations.lock().unwrap_or_else(PoisonError::into_inner);
        if registrations.iter().any(|registration| registration.is_of(wanted.region.id())) {
            return Ok(());
        }
        let iwarp = self.link_layer == LinkLayer::Iwarp;
        // SAFETY: the protection domain lives until `Drop`, which drops the registrations first.
        let registration =
            unsafe { Registration::new(self.library, self.pd, &self.name, wanted.clone(), iwarp, &self.keys) }?;
        registrations.push(registration);
        Ok(())
    }

    /// What there is to tell about it now.
    pub(super) fn info(&self) -> DeviceInfo {
        // SAFETY: an open context.
        let port = unsafe { query_port(self.library, self.context) };
        let mut gid = ibv_gid { raw: [0; 16] };
        // SAFETY: an open context and room for a GID; on failure the GID stays zero.
        unsafe { (self.library.ibv_query_gid)(self.context, 1, 0, &raw mut gid) };
        DeviceInfo {
            name: self.name.clone(),
            node_guid: self.node_guid,
            // SAFETY: bytes are a valid view of this union.
            gid: unsafe { gid.raw },
            link_layer: self.link_layer,
            mtu: mtu_bytes(port.active_mtu),
            active: port.state == ibv_port_state::IBV_PORT_ACTIVE,
            reads_max: self.limits.reads,
        }
    }

    /// The next asynchronous event, already acknowledged; `None` if there is none now.
    pub(super) fn next_async_event(&self) -> Option<AsyncEvent> {
        // SAFETY: plain data, for which zeroes are a value.
        let mut event: ibv_async_event = unsafe { zeroed() };
        // SAFETY: an open context, whose event file does not block, and room for an event.
        if unsafe { (self.library.ibv_get_async_event)(self.context, &raw mut event) } != 0 {
            return None;
        }
        use ibv_event_type::*;
        let told = match event.event_type {
            IBV_EVENT_COMM_EST | IBV_EVENT_QP_FATAL | IBV_EVENT_QP_REQ_ERR | IBV_EVENT_QP_ACCESS_ERR => {
                // SAFETY: such an event names a queue pair, which cannot be destroyed before the event is
                // acknowledged (ibv_ack_async_event(3)). Its context pointer is the number that we gave it.
                let connection = unsafe { (*event.element.qp).qp_context }.addr() as u64;
                match event.event_type {
                    IBV_EVENT_COMM_EST => AsyncEvent::CommunicationEstablished(connection),
                    _ => AsyncEvent::QueuePairFailed(connection),
                }
            }
            IBV_EVENT_DEVICE_FATAL => AsyncEvent::DeviceFatal,
            IBV_EVENT_PORT_ACTIVE | IBV_EVENT_PORT_ERR | IBV_EVENT_LID_CHANGE | IBV_EVENT_GID_CHANGE => {
                AsyncEvent::PortChanged
            }
            IBV_EVENT_CQ_ERR => AsyncEvent::CompletionQueueFailed,
            _ => AsyncEvent::Other,
        };
        // SAFETY: an event just taken, acknowledged once.
        unsafe { (self.library.ibv_ack_async_event)(&raw mut event) };
        Some(told)
    }

    /// Notes that a call found the kernel's side of the device taken away (EIO after disassociation, ENODEV).
    pub(super) fn note(&self, error: &io::Error) {
        use rustix::io::Errno;
        if let Some(Errno::IO | Errno::NODEV) = error.raw_os_error().map(Errno::from_raw_os_error) {
            self.lost.store(true, Ordering::Release);
        }
    }

    /// Whether the kernel took the device away from under us.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Declares that a lost device no longer touches memory: its completions are not waited for any more.
    pub(super) fn declare_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Declares that the kernel has no such device any more: its files are let go of with the last user.
    pub(super) fn declare_removed(&self) {
        self.removed.store(true, Ordering::Release);
    }

    /// Logs, once, that the provider failed at something that cannot fail.
    #[cold]
    pub(super) fn broken(&self, call: &'static str) {
        if !self.broken.swap(true, Ordering::Relaxed) {
            tracing::error!("{}: {call} failed: the device or its driver is broken", self.name);
        }
    }
}

impl AsFd for Device {
    /// The file that is readable when there is an asynchronous event.
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open as long as the context.
        unsafe { BorrowedFd::borrow_raw((*self.context).async_fd) }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.registrations.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        // SAFETY: made in `open`; whatever was made in it held an `Arc` of this device or was just dropped.
        let errno = unsafe { (self.library.ibv_dealloc_pd)(self.pd) };
        if errno != 0 {
            tracing::warn!("{}: ibv_dealloc_pd: {}", self.name, io::Error::from_raw_os_error(errno));
        }
        if *self.removed.get_mut() {
            // SAFETY: the context is open until the list goes, and nothing that we made on it is left.
            unsafe { let_go(self.context) };
        }
    }
}

/// Lets the kernel finish the removal of a device. Without this, removing soft-RoCE's only device would wait for this
/// process to end: its driver waits until the device's files are closed, and librdmacm (44 to 64) closes them only when
/// it sees that another device is left (`sync_devices_list`). So the files are replaced by /dev/null under the same
/// numbers, which librdmacm may still close.
///
/// # Safety
/// `context` is open, its device was removed, and no object is left on it but librdmacm's own.
unsafe fn let_go(context: *mut ibv_context) {
    let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") else { return };
    // SAFETY: the numbers stay owned by the context: they are only lent here.
    let files =
        unsafe { [(*context).cmd_fd, (*context).async_fd].map(|fd| ManuallyDrop::new(OwnedFd::from_raw_fd(fd))) };
    for mut file in files {
        if let Err(error) = rustix::io::dup2(&null, &mut file) {
            tracing::warn!("closing a removed device: {error}");
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.name)
    }
}

/// Makes reading from a file give EAGAIN instead of waiting.
pub(super) fn set_nonblocking(file: BorrowedFd<'_>) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    rustix::fs::fcntl_setfl(file, flags | rustix::fs::OFlags::NONBLOCK)?;
    Ok(())
}

/// `IBV_LINK_LAYER_ETHERNET`; the structure has it as a byte, the header as an int.
const ETHERNET: u8 = 2;

/// Port 1, or zeroes (which read as: down) if it does not answer.
///
/// # Safety
/// `context` is open.
unsafe fn query_port(library: &Library, context: *mut ibv_context) -> ibv_port_attr {
    // SAFETY: plain data, for which zeroes are a value.
    let mut port: ibv_port_attr = unsafe { zeroed() };
    // SAFETY: an open context and room for the attributes.
    unsafe { inline::ibv_query_port(library, context, 1, &raw mut port) };
    port
}

/// IBTA vol. 1, 9.2.3 and table 26: MTU codes 1 to 5 stand for 256 to 4096 bytes.
fn mtu_bytes(code: u32) -> u32 {
    match code {
        1..=5 => 128 << code,
        _ => 0,
    }
}

/// A null-terminated C array as text.
fn text(bytes: &[std::ffi::c_char]) -> String {
    // SAFETY: c_char and u8 have the same size and every bit pattern is valid.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<u8>(), bytes.len()) };
    CStr::from_bytes_until_nul(bytes).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mtu_codes_are_those_of_the_standard() {
        assert_eq!([1, 2, 3, 4, 5].map(mtu_bytes), [256, 512, 1024, 2048, 4096]);
        assert_eq!([0, 6].map(mtu_bytes), [0, 0]);
    }

    #[test]
    fn names_end_at_the_first_zero() {
        assert_eq!(text(&b"rxe0\0junk".map(|byte| byte as std::ffi::c_char)), "rxe0");
        assert_eq!(text(&[b'x' as std::ffi::c_char; 4]), "", "a name without an end is no name");
    }
}
