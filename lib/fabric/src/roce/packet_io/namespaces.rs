//! Two network namespaces that a pair of virtual interfaces joins, for tests of what the loopback interface cannot do.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::testing::{path, when_free};
use super::{PacketIo, Path, open};

// Addresses of the two sides.
pub const HERE: &str = "10.9.0.1";
pub const THERE: &str = "10.9.0.2";
pub const HERE_V6: &str = "fd09::1";
pub const THERE_V6: &str = "fd09::2";

/// Two namespaces. The thread that has it runs in one of them.
pub struct Rig {
    here: File,
    there: File,
}

/// Runs a test in a thread of its own, with both interfaces up; or says why it cannot.
pub fn with_rig(mtu: u32, receive_queues: u32, test: impl FnOnce(&Rig) + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| match Rig::new(mtu, receive_queues) {
            Ok(rig) => test(&rig),
            Err(error) => eprintln!("skipped: this needs root, who may make network namespaces ({error})"),
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

impl Rig {
    fn new(mtu: u32, receive_queues: u32) -> io::Result<Rig> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let there = File::open("/proc/thread-self/ns/net")?;
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
        let here = File::open("/proc/thread-self/ns/net")?;
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), nothing)?; // of this namespace
        let rig = Rig { here, there };
        let (pid, fd) = (std::process::id(), rig.there.as_raw_fd());
        let queues = format!("numrxqueues {receive_queues} numtxqueues {receive_queues}");
        ip(&format!(
            "link add left mtu {mtu} {queues} type veth peer name right mtu {mtu} {queues} netns /proc/{pid}/fd/{fd}"
        ))?;
        for command in ["link set lo up", "addr add 10.9.0.1/24 dev left", "addr add fd09::1/64 dev left nodad"] {
            ip(command)?;
        }
        ip("link set left up")?;
        rig.there(|| {
            // Each packet in its frame, as on a real link.
            for command in ["link set lo up", "addr add 10.9.0.2/24 dev right", "addr add fd09::2/64 dev right nodad"] {
                ip(command).unwrap();
            }
            ip("link set right up gso_max_segs 1").unwrap();
        });
        Ok(rig)
    }

    /// Does something on the other side. A socket stays in the namespace that it was made in.
    pub fn there<T>(&self, act: impl FnOnce() -> T) -> T {
        setns(&self.there, CloneFlags::CLONE_NEWNET).unwrap();
        let result = act();
        setns(&self.here, CloneFlags::CLONE_NEWNET).unwrap();
        result
    }

    /// The device of the other side.
    pub fn peer(&self, address: &str) -> PacketIo {
        let address = address.parse().unwrap();
        self.there(|| when_free(|| open(address, 0, 1))).pop().unwrap()
    }
}

pub fn ip(command: &str) -> io::Result<()> {
    let output = Command::new("ip").args(command.split_whitespace()).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("ip {command}: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}

pub fn route(local: &str, peer: &str) -> Path {
    path(local.parse().unwrap(), peer.parse().unwrap())
}
