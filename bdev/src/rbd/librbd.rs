//! librados and librbd, loaded at run time: clusters, images, and the C types of both.
//!
//! Safety rests on three facts of the C interfaces: handles may be used by several threads at once (librados.h, librbd.h), a
//! handle is valid until it is closed, which is done by the `Drop` of the one value that owns it, and strings are
//! copied by the callee.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::{ClusterOptions, PATIENCE_S};
use crate::create::CreateError;

/// `rados_t`, `rados_ioctx_t`, `rbd_image_t` and `rbd_completion_t`.
pub(super) type Handle = *mut c_void;

/// `rbd_callback_t`
pub(super) type Callback = unsafe extern "C" fn(completion: Handle, argument: *mut c_void);

/// The beginning of `rbd_image_info_t`; the library fills as much as it is told that there is.
#[repr(C)]
struct ImageInfo {
    size: u64,
    obj_size: u64,
    num_objs: u64,
    order: c_int,
    block_name_prefix: [c_char; 24],
    parent_pool: i64,
    parent_name: [c_char; 96],
}

const _: () = assert!(size_of::<ImageInfo>() == 160);

macro_rules! functions {
    ($($library:ident { $($name:ident: fn($($argument:ty),*) $(-> $result:ty)?,)* })*) => {
        /// The functions that are used, by their names in C.
        pub(super) struct Functions { $($(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*)* }

        impl Functions {
            fn find($($library: &Library),*) -> Result<Functions, libloading::Error> {
                Ok(Functions { $($($name: {
                    // SAFETY: the type is that of the function's declaration in librados.h or librbd.h.
                    let symbol = unsafe { $library.get(concat!(stringify!($name), "\0").as_bytes()) }?;
                    *symbol
                },)*)* })
            }
        }
    };
}

functions! {
    rados {
        rados_create: fn(*mut Handle, *const c_char) -> c_int,
        rados_conf_read_file: fn(Handle, *const c_char) -> c_int,
        rados_conf_set: fn(Handle, *const c_char, *const c_char) -> c_int,
        rados_conf_get: fn(Handle, *const c_char, *mut c_char, usize) -> c_int,
        rados_connect: fn(Handle) -> c_int,
        rados_shutdown: fn(Handle),
        rados_ioctx_create: fn(Handle, *const c_char, *mut Handle) -> c_int,
        rados_ioctx_set_namespace: fn(Handle, *const c_char),
        rados_ioctx_destroy: fn(Handle),
    }
    rbd {
        rbd_open: fn(Handle, *const c_char, *mut Handle, *const c_char) -> c_int,
        rbd_close: fn(Handle) -> c_int,
        rbd_stat: fn(Handle, *mut c_void, usize) -> c_int,
        rbd_get_size: fn(Handle, *mut u64) -> c_int,
        rbd_resize: fn(Handle, u64) -> c_int,
        rbd_aio_create_completion: fn(*mut c_void, Callback, *mut Handle) -> c_int,
        rbd_aio_get_return_value: fn(Handle) -> isize,
        rbd_aio_release: fn(Handle),
        rbd_aio_read: fn(Handle, u64, usize, *mut c_char, Handle) -> c_int,
        rbd_aio_write: fn(Handle, u64, usize, *const c_char, Handle) -> c_int,
        rbd_aio_flush: fn(Handle, Handle) -> c_int,
        rbd_aio_discard: fn(Handle, u64, u64, Handle) -> c_int,
        rbd_aio_write_zeroes: fn(Handle, u64, usize, Handle, c_int, c_int) -> c_int,
    }
}

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

/// The functions; there are some as soon as there is a cluster.
pub(super) fn functions() -> &'static Functions {
    FUNCTIONS.get().expect("a cluster is made after the libraries were loaded")
}

fn load() -> Result<&'static Functions, CreateError> {
    if let Some(functions) = FUNCTIONS.get() {
        return Ok(functions);
    }
    let missing = |error: libloading::Error| {
        let problem = format!("Ceph's libraries cannot be loaded: install librbd1 (Debian, Ubuntu): {error}");
        CreateError::parameter("pool_name", problem)
    };
    let open = |name: &str| {
        // SAFETY: loading runs the libraries' initialisers, which do nothing beyond setting themselves up.
        unsafe { Library::open(Some(name), RTLD_NOW | RTLD_LOCAL) }.map_err(missing)
    };
    let (rados, rbd) = (open("librados.so.2")?, open("librbd.so.1")?);
    let functions = Functions::find(&rados, &rbd).map_err(missing)?;
    // The functions are used for ever, so their libraries stay.
    std::mem::forget((rados, rbd));
    Ok(FUNCTIONS.get_or_init(|| functions))
}

/// A connection to a cluster, which images share.
#[derive(Debug)]
pub struct Cluster {
    handle: Handle,
    options: ClusterOptions,
}

// SAFETY: a rados_t may be used by any thread, by several at once.
unsafe impl Send for Cluster {}
// SAFETY: as above.
unsafe impl Sync for Cluster {}

impl Cluster {
    /// Connects. Blocks until the monitors answer or the time is up.
    ///
    /// # Errors
    /// [`CreateError::Parameter`] names the parameter at fault, or `config_file` when the cluster cannot be reached.
    pub fn connect(options: ClusterOptions) -> Result<Arc<Cluster>, CreateError> {
        let functions = load()?;
        let user = text("user_id", options.user_id.as_deref().unwrap_or("admin"))?;
        let mut handle = null_mut();
        // SAFETY: both point to what the function expects, for the time of the call.
        let created = unsafe { (functions.rados_create)(&raw mut handle, user.as_ptr()) };
        check(created).map_err(|error| CreateError::parameter("user_id", format!("librados refuses it: {error}")))?;
        let cluster = Cluster { handle, options };
        cluster.configure(functions)?;
        // SAFETY: the handle is valid.
        check(unsafe { (functions.rados_connect)(handle) }).map_err(|error| {
            let problem = format!(
                "the cluster cannot be reached: {error}; check the monitors' addresses (mon_host), user and keyring"
            );
            CreateError::parameter("config_file", problem)
        })?;
        Ok(Arc::new(cluster))
    }

    fn configure(&self, functions: &Functions) -> Result<(), CreateError> {
        let file = self.options.config_file.as_deref().map(|file| text("config_file", file)).transpose()?;
        let path = file.as_deref().map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: the handle is valid; the path is null or a string.
        let read = check(unsafe { (functions.rados_conf_read_file)(self.handle, path) });
        // Without a file of its own name a cluster may be described by `config` alone.
        if let (Err(error), Some(file)) = (read, &self.options.config_file) {
            return Err(CreateError::parameter("config_file", format!("{file} cannot be read: {error}")));
        }
        if !self.options.config.contains_key("client_mount_timeout") {
            self.set(functions, "config", "client_mount_timeout", &PATIENCE_S.to_string())?;
        }
        if let Some(keyring) = &self.options.key_file {
            self.set(functions, "key_file", "keyring", keyring)?;
        }
        self.options.config.iter().try_for_each(|(name, value)| self.set(functions, "config", name, value))
    }

    fn set(&self, functions: &Functions, parameter: &'static str, name: &str, value: &str) -> Result<(), CreateError> {
        let (c_name, c_value) = (text(parameter, name)?, text(parameter, value)?);
        // SAFETY: the handle is valid, and both are strings.
        let outcome = check(unsafe { (functions.rados_conf_set)(self.handle, c_name.as_ptr(), c_value.as_ptr()) });
        outcome
            .map_err(|error| CreateError::parameter(parameter, format!("Ceph does not take {name} = {value}: {error}")))
    }

    /// How it was reached.
    pub fn options(&self) -> &ClusterOptions {
        &self.options
    }

    /// Whether librbd keeps written data to itself until a flush; so it is unless `rbd_cache` is off.
    pub(super) fn caches_writes(&self) -> bool {
        let mut value = [0u8; 16];
        // SAFETY: the handle is valid, the name is a string, and the answer has the room that is told.
        let outcome = unsafe {
            (functions().rados_conf_get)(self.handle, c"rbd_cache".as_ptr(), value.as_mut_ptr().cast(), value.len())
        };
        outcome < 0 || !value.starts_with(b"false\0")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SAFETY: the handle is valid, and all images that use it are closed: each holds an Arc of this value.
        unsafe { (functions().rados_shutdown)(self.handle) };
    }
}

/// An open image.
#[derive(Debug)]
pub(crate) struct Image {
    pub(super) handle: Handle,
    io_context: IoContext,
    object_bytes: u64,
}

// SAFETY: an rbd_image_t may be used by any thread, by several at once.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

/// A pool, or a namespace of it.
#[derive(Debug)]
struct IoContext {
    handle: Handle,
    _cluster: Arc<Cluster>,
}

impl Image {
    pub(super) fn open(cluster: &Arc<Cluster>, pool: &str, namespace: &str, name: &str) -> Result<Image, CreateError> {
        let functions = functions();
        let io_context = IoContext::open(cluster, pool, namespace)?;
        let c_name = text("rbd_name", name)?;
        let mut handle = null_mut();
        // SAFETY: the io context is valid, the name is a string, no snapshot is named, and the handle is written once.
        let opened =
            unsafe { (functions.rbd_open)(io_context.handle, c_name.as_ptr(), &raw mut handle, std::ptr::null()) };
        check(opened).map_err(|error| {
            let problem =
                format!("{name} in pool {pool} cannot be opened: {error}; `rbd ls {pool}` lists what is there");
            CreateError::parameter("rbd_name", problem)
        })?;
        let mut image = Image { handle, io_context, object_bytes: 0 };
        let mut info = MaybeUninit::<ImageInfo>::zeroed();
        // SAFETY: the image is open, and the function writes at most as many bytes as it is told.
        let told = unsafe { (functions.rbd_stat)(handle, info.as_mut_ptr().cast(), size_of::<ImageInfo>()) };
        check(told).map_err(super::image_refuses)?;
        // SAFETY: all bytes were zero or written by the function; every pattern is a valid ImageInfo.
        image.object_bytes = unsafe { info.assume_init() }.obj_size;
        Ok(image)
    }

    pub(super) fn object_bytes(&self) -> u64 {
        self.object_bytes
    }

    pub(super) fn size(&self) -> io::Result<u64> {
        let mut size = 0;
        // SAFETY: the image is open, and the size is written once.
        check(unsafe { (functions().rbd_get_size)(self.handle, &raw mut size) })?;
        Ok(size)
    }

    pub(super) fn resize(&self, bytes: u64) -> io::Result<()> {
        // SAFETY: the image is open.
        check(unsafe { (functions().rbd_resize)(self.handle, bytes) })?;
        // Where another client holds the image's lock, that one did it, and this one hears of it a little later.
        let deadline = Instant::now() + Duration::from_secs(PATIENCE_S.into());
        while self.size()? != bytes {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: the image is open, nothing is under way on it (channels hold an Arc of this value until theirs is
        // done), and the io context goes after it.
        let closed = check(unsafe { (functions().rbd_close)(self.handle) });
        if let Err(error) = closed {
            tracing::warn!("an image of a Ceph cluster could not be closed: {error}");
        }
        let _ = &self.io_context;
    }
}

impl IoContext {
    fn open(cluster: &Arc<Cluster>, pool: &str, namespace: &str) -> Result<IoContext, CreateError> {
        let (c_pool, c_namespace) = (text("pool_name", pool)?, text("namespace_name", namespace)?);
        let mut handle = null_mut();
        // SAFETY: the cluster is connected, the pool is a string, and the handle is written once.
        let created = unsafe { (functions().rados_ioctx_create)(cluster.handle, c_pool.as_ptr(), &raw mut handle) };
        check(created).map_err(|error| {
            let problem = format!("{pool} cannot be opened: {error}; `ceph osd pool ls` lists what is there");
            CreateError::parameter("pool_name", problem)
        })?;
        // SAFETY: the context is valid, and the namespace is a string.
        unsafe { (functions().rados_ioctx_set_namespace)(handle, c_namespace.as_ptr()) };
        Ok(IoContext { handle, _cluster: Arc::clone(cluster) })
    }
}

impl Drop for IoContext {
    fn drop(&mut self) {
        // SAFETY: the context is valid, and its image is closed.
        unsafe { (functions().rados_ioctx_destroy)(self.handle) };
    }
}

fn text(parameter: &'static str, text: &str) -> Result<CString, CreateError> {
    CString::new(text).map_err(|_| CreateError::parameter(parameter, "contains a NUL character: leave it out"))
}

/// A result of C: below zero it is an errno.
pub(super) fn check(result: c_int) -> io::Result<()> {
    match result {
        0.. => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno.wrapping_neg())),
    }
}
