//! Finding devices as they come and go. Looking is cheap (one folder of sysfs) until that folder changes; only then is
//! librdmacm asked, which opens what it finds.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rdma_core_sys::Library;

use super::completion_queue::CompletionQueue;
use super::device::{Context, Device, DeviceList};
use super::region::Wanted;
use crate::{DeviceInfo, GroupId};

/// Looks that a new device's file in /dev may take to appear: udev makes it after sysfs shows the device. librdmacm never
/// tries a device again that it could not open.
const LOOKS_FOR_FILE: u32 = 5;

/// How long after the kernel took a device away its hardware is trusted to touch no memory any more, in nanoseconds: the
/// kernel resets it while our calls fail already.
const LOST_TO_GONE_NS: u64 = 3_000_000_000;

/// A device's entry in sysfs: its name, and the inode number, which changes when a device of the same name comes again.
type Seen = (String, u64);

/// The devices of one control side.
#[derive(Debug)]
pub(super) struct Devices {
    sysfs: PathBuf,
    dev: PathBuf,
    library: Option<&'static Library>,
    seen: Vec<Seen>,
    looks_for_file: u32,
    ready: Vec<Entry>,
    /// Given up, but still held by somebody.
    retired: Vec<Retired>,
    waits_for: String,
}

/// A device in use.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) device: Arc<Device>,
    pub(super) info: DeviceInfo,
    /// Completion queues on it, each of one poll group.
    pub(super) queues: Vec<(GroupId, Arc<CompletionQueue>)>,
    seen: Seen,
}

#[derive(Debug)]
struct Retired {
    device: Arc<Device>,
    seen: Seen,
    since_ns: u64,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) added: Vec<Arc<Device>>,
    pub(super) removed: Vec<Arc<Device>>,
}

impl Devices {
    pub(super) fn new() -> Devices {
        Devices {
            sysfs: "/sys/class/infiniband_verbs".into(),
            dev: "/dev/infiniband".into(),
            library: None,
            seen: Vec::new(),
            looks_for_file: 0,
            ready: Vec::new(),
            retired: Vec::new(),
            waits_for: NONE.into(),
        }
    }

    pub(super) fn library(&self) -> Option<&'static Library> {
        self.library
    }

    /// Why there is no device, if there is none; in words for the administrator.
    pub(super) fn waits_for(&self) -> &str {
        &self.waits_for
    }

    pub(super) fn ready(&self) -> &[Entry] {
        &self.ready
    }

    pub(super) fn entry_of(&mut self, device: &Arc<Device>) -> Option<&mut Entry> {
        self.ready.iter_mut().find(|entry| Arc::ptr_eq(&entry.device, device))
    }

    pub(super) fn find(&self, context: Context) -> Option<&Arc<Device>> {
        self.ready.iter().map(|entry| &entry.device).find(|device| device.is(context))
    }

    /// Looks for devices; `regions` are registered with new ones.
    pub(super) fn look(&mut self, now_ns: u64, regions: &[Wanted]) -> Changes {
        let mut changes = Changes::default();
        let found = list(&self.sysfs);
        for entry in std::mem::take(&mut self.ready) {
            if found.contains(&entry.seen) && !entry.device.is_lost() {
                self.ready.push(entry);
            } else {
                changes.removed.push(retire(&mut self.retired, entry, now_ns));
            }
        }
        self.reap(now_ns, &found);
        let Some(library) = self.load() else { return changes };
        if found.is_empty() {
            self.waits_for = NONE.into();
        } else if found != self.seen && self.files_are_there(&found) {
            self.open_new(library, &found, regions, &mut changes);
        } else {
            return changes;
        }
        self.seen = found;
        changes
    }

    /// Gives a device up. `false` if that was done already.
    pub(super) fn remove(&mut self, device: &Arc<Device>, now_ns: u64) -> bool {
        let Some(index) = self.ready.iter().position(|entry| Arc::ptr_eq(&entry.device, device)) else { return false };
        let entry = self.ready.remove(index);
        retire(&mut self.retired, entry, now_ns);
        true
    }

    /// Whether given-up devices are left, whose users should look.
    pub(super) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Lets go of given-up devices that nobody uses any more and that the kernel has removed.
    fn reap(&mut self, now_ns: u64, found: &[Seen]) {
        for Retired { device, seen, since_ns } in &self.retired {
            if !found.contains(seen) {
                device.declare_removed();
            }
            if device.is_lost() && now_ns.saturating_sub(*since_ns) > LOST_TO_GONE_NS {
                device.declare_gone();
            }
        }
        self.retired.retain(|retired| Arc::strong_count(&retired.device) > 1 || found.contains(&retired.seen));
    }

    fn load(&mut self) -> Option<&'static Library> {
        if self.library.is_none() {
            match Library::load() {
                Ok(library) => self.library = Some(library),
                Err(error) => self.waits_for = error.to_string(),
            }
        }
        self.library
    }

    /// Whether every new device has its file, or was waited for long enough.
    fn files_are_there(&mut self, found: &[Seen]) -> bool {
        let missing =
            found.iter().filter(|seen| !self.seen.contains(seen)).find(|(name, _)| !self.dev.join(name).exists());
        if let Some((name, _)) = missing {
            self.looks_for_file += 1;
            if self.looks_for_file <= LOOKS_FOR_FILE {
                self.waits_for = format!("{} is not there yet", self.dev.join(name).display());
                return false;
            }
        }
        self.looks_for_file = 0;
        true
    }

    fn open_new(&mut self, library: &'static Library, found: &[Seen], regions: &[Wanted], changes: &mut Changes) {
        let list = match DeviceList::open(library) {
            Ok(list) => list,
            Err(error) => {
                self.waits_for = unusable(found, &error);
                return;
            }
        };
        for context in list.contexts() {
            let known = self.ready.iter().map(|entry| &entry.device);
            if known.chain(self.retired.iter().map(|retired| &retired.device)).any(|device| device.is(context)) {
                continue;
            }
            match Device::open(library, context, Arc::clone(&list)) {
                Ok(device) => changes.added.extend(self.add(Arc::new(device), found, regions)),
                Err(error) => {
                    tracing::warn!("{error}");
                    self.waits_for = error.to_string();
                }
            }
        }
        if self.ready.is_empty() && list.contexts().is_empty() {
            self.waits_for = unusable(found, &io::Error::from(io::ErrorKind::NotFound));
        }
    }

    fn add(&mut self, device: Arc<Device>, found: &[Seen], regions: &[Wanted]) -> Option<Arc<Device>> {
        let seen = found.iter().find(|(name, _)| name == device.uverbs())?.clone();
        for wanted in regions {
            if let Err(error) = device.register(wanted) {
                tracing::error!("{error}"); // and said again to each connection
            }
        }
        let info = device.info();
        self.ready.push(Entry { device: Arc::clone(&device), info, queues: Vec::new(), seen });
        Some(device)
    }
}

/// Completion queues and queue pairs keep the device until their users let go.
fn retire(retired: &mut Vec<Retired>, entry: Entry, since_ns: u64) -> Arc<Device> {
    entry.queues.iter().for_each(|(_, queue)| queue.retire());
    let device = Arc::clone(&entry.device);
    retired.push(Retired { device: entry.device, seen: entry.seen, since_ns });
    device
}

const NONE: &str = "there is no RDMA device yet: `rdma link` lists none. On plain Ethernet, soft-RoCE makes one: \
                    `modprobe rdma_rxe && rdma link add rxe0 type rxe netdev INTERFACE`";

fn unusable(found: &[Seen], error: &io::Error) -> String {
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    format!(
        "no RDMA device can be used although the kernel has {}: install ibverbs-providers, and see that this process \
         may open /dev/infiniband/* and has `modprobe rdma_ucm` ({error})",
        names.join(", ")
    )
}

/// The verbs devices that the kernel has, sorted; none if there is no such folder.
fn list(sysfs: &Path) -> Vec<Seen> {
    let Ok(folder) = std::fs::read_dir(sysfs) else { return Vec::new() };
    let named = folder.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let inode = std::fs::symlink_metadata(entry.path()).ok()?.ino();
        name.starts_with("uverbs").then_some((name, inode))
    });
    let mut found: Vec<Seen> = named.collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices that look at made-up folders, with `names` as what the kernel has.
    fn devices(names: &[&str]) -> (tempfile::TempDir, Devices) {
        let root = tempfile::tempdir().expect("a folder");
        let devices = Devices { sysfs: root.path().join("sys"), dev: root.path().join("dev"), ..Devices::new() };
        std::fs::create_dir_all(&devices.sysfs).expect("a folder");
        std::fs::create_dir_all(&devices.dev).expect("a folder");
        for name in names {
            std::fs::write(devices.sysfs.join(name), "").expect("a file");
        }
        (root, devices)
    }

    #[test]
    fn only_verbs_devices_are_listed_and_in_order() {
        let (_root, devices) = devices(&["uverbs1", "abi_version", "uverbs0"]);
        let names: Vec<String> = list(&devices.sysfs).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["uverbs0", "uverbs1"]);
        assert!(list(Path::new("/nowhere")).is_empty());
    }

    #[test]
    fn without_devices_the_reason_says_how_to_make_one() {
        let (_root, mut devices) = devices(&[]);
        let changes = devices.look(0, &[]);
        assert!(changes.added.is_empty() && changes.removed.is_empty());
        let library_is_here = Library::load().is_ok();
        let expected = if library_is_here { "rdma link add" } else { "install librdmacm1" };
        assert!(devices.waits_for().contains(expected), "{}", devices.waits_for());
    }

    #[test]
    fn a_new_device_is_left_alone_until_its_file_is_there_but_not_for_ever() {
        let (_root, mut devices) = devices(&["uverbs0"]);
        let found = list(&devices.sysfs);
        for _ in 0..LOOKS_FOR_FILE {
            assert!(!devices.files_are_there(&found));
        }
        assert!(devices.waits_for().contains("uverbs0 is not there yet"), "{}", devices.waits_for());
        assert!(devices.files_are_there(&found), "waited long enough");
        std::fs::write(devices.dev.join("uverbs0"), "").expect("a file");
        assert!(devices.files_are_there(&found));
    }
}
