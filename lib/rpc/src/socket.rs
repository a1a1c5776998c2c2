//! The socket file and its lock.
//!
//! The lock tells a living instance from a dead one's remains: it is held as long as the process lives, however it
//! dies. SPDK locks a file of the same name, so the two keep out of each other's way.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Gid, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 128;

/// Why the server cannot be had at a path.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody serves this path.
    #[error(
        "another instance{} serves {}; stop it, or choose another socket with -r PATH",
        holder.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        path.display()
    )]
    AlreadyServed {
        /// The socket.
        path: PathBuf,
        /// Its process id, if the lock file tells.
        holder: Option<String>,
    },
    /// Something else stands at this path.
    #[error("{} is there and is no socket; remove it, or choose another socket with -r PATH", path.display())]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// The path does not fit a socket address.
    #[error("{} is too long for a socket (107 bytes at most); choose another with -r PATH", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The lock file cannot be made or locked.
    #[error("cannot lock {}: {source}; choose a socket in a folder you may write to, with -r PATH", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot make the socket {}: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket cannot be given to a group.
    #[error(
        "cannot give the socket {} to group {group}: {source}; the process must be a member of it, or root",
        path.display()
    )]
    Group {
        /// The socket.
        path: PathBuf,
        /// The group's number.
        group: u32,
        /// Why.
        source: io::Error,
    },
    /// The server's thread cannot be started.
    #[error("cannot start the RPC server: {0}")]
    Thread(
        /// Why.
        io::Error,
    ),
}

/// Who may connect.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// Group of the file; `None`: that of the process.
    pub group: Option<u32>,
}

/// A socket file of ours; removed on drop, with its lock.
#[derive(Debug)]
pub struct BoundSocket {
    path: PathBuf,
    /// Device and inode, so that nobody else's file is removed.
    identity: Option<(u64, u64)>,
    lock_path: PathBuf,
    /// Held until drop.
    _lock: File,
}

impl BoundSocket {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = std::fs::remove_file(&self.path);
        }
        let _ = std::fs::remove_file(&self.lock_path); // before the lock is let go: see `lock`
    }
}

/// Locks, clears a dead instance's socket away, and listens.
pub fn bind(path: &Path, access: Access) -> Result<(BoundSocket, UnixListener), BindError> {
    let address = SocketAddrUnix::new(path).map_err(|errno| match errno {
        Errno::NAMETOOLONG => BindError::PathTooLong { path: path.to_owned() },
        errno => BindError::Socket { path: path.to_owned(), source: errno.into() },
    })?;
    let (lock_path, lock) = lock(path)?;
    // Absolute, so that the files are found on drop even if the process has changed its folder.
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (kept_path, lock_path) = (absolute(path), absolute(&lock_path));
    let mut bound = BoundSocket { path: kept_path, identity: None, lock_path, _lock: lock };
    remove_stale(path, &address)?;
    let failed = |errno: Errno| BindError::Socket { path: path.to_owned(), source: errno.into() };
    let socket = make(&address).map_err(failed)?;
    bound.identity = identity(path);
    admit(path, access)?;
    rustix::net::listen(&socket, BACKLOG).map_err(failed)?;
    Ok((bound, UnixListener::from(socket)))
}

/// Takes the lock beside the socket.
fn lock(path: &Path) -> Result<(PathBuf, File), BindError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let failed = |source: io::Error| BindError::Lock { path: lock_path.clone(), source };
    loop {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(&lock_path, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.map_err(|errno| failed(errno.into()))?);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(BindError::AlreadyServed { path: path.to_owned(), holder: holder(&mut file) });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        // The last holder may have removed the file between our open and our lock: then we hold the lock of a file
        // that nobody else will find, and must begin again.
        let found = file.metadata().map_err(failed)?;
        if identity(&lock_path) == Some((found.dev(), found.ino())) {
            // For the message above only, so failing does not matter.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            return Ok((lock_path, file));
        }
    }
}

/// The process id in a lock file.
fn holder(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    let pid = text.trim();
    (!pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())).then(|| pid.to_owned())
}

/// Removes a socket that nobody listens on. We hold the lock, so only a program without it could be there.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), BindError> {
    let failed = |source: io::Error| BindError::Socket { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket { path: path.to_owned() }),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    let probe = new_socket().map_err(|errno| failed(errno.into()))?;
    match rustix::net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(failed),
        // Somebody listens; EAGAIN: and has clients waiting already.
        Ok(()) | Err(Errno::AGAIN) => Err(BindError::AlreadyServed { path: path.to_owned(), holder: None }),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// The file gets the bits of the socket, less the umask: for a moment it is for nobody else.
fn make(address: &SocketAddrUnix) -> Result<OwnedFd, Errno> {
    let socket = new_socket()?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, address)?;
    Ok(socket)
}

/// Group first: the old one is never let in.
fn admit(path: &Path, access: Access) -> Result<(), BindError> {
    if let Some(group) = access.group {
        let new = Some(Gid::from_raw(group));
        rustix::fs::chownat(CWD, path, None, new, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| BindError::Group {
            path: path.to_owned(),
            group,
            source: errno.into(),
        })?;
    }
    let permissions = std::fs::Permissions::from_mode(access.mode);
    std::fs::set_permissions(path, permissions).map_err(|source| BindError::Socket { path: path.to_owned(), source })
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Device and inode of a file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
