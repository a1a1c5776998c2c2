//! Configuration files: written so that the old one or the new one is there whole at any moment, and the last few are kept.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

/// Longest configuration that is read, and hence written: some hundred thousand requests. One is named by mistake more easily than it is
/// that long, and a disk image would not fit into memory.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;

/// Who may read a file that was not there before: requests may hold keys of a Ceph cluster.
const MODE: u32 = 0o600;

/// Links that lead to links, as in the kernel.
const LINKS_MAX: usize = 40;

/// Puts a text in a file's place. What was there before is `FILE.1` then, and so on up to `FILE.<versions>`. A file that has this text
/// already stays as it is.
///
/// # Errors
/// Of the system, or what is there is no regular file; it is what it was.
pub(crate) fn write(path: &Path, text: &str, versions: u32) -> io::Result<()> {
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("{} bytes could not be read again: {FILE_BYTES_MAX} can", text.len())));
    }
    let path = &followed(path)?;
    let old = match fs::metadata(path) {
        // Reading a pipe may take for ever, and a device without an end all memory.
        Ok(old) if !old.is_file() => return Err(io::Error::other("what is there is no regular file")),
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let same_length = old.as_ref().is_some_and(|old| old.len() == text.len() as u64);
    if same_length && fs::read(path)? == text.as_bytes() {
        // Whoever wrote it may not have waited for the disk, as an earlier attempt that failed at its end.
        File::open(path)?.sync_all()?;
        return sync_folder(path);
    }
    let beside = with_suffix(path, "new");
    let written = write_beside(&beside, text, old.as_ref()).and_then(|()| {
        if let Some(old) = &old {
            keep(path, old, versions)?;
        }
        fs::rename(&beside, path)
    });
    if let Err(error) = written {
        // It may not even be there.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    sync_folder(path)
}

/// What a link leads to is replaced, not the link: also if that is not there yet.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(to) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().unwrap_or(Path::new("")).join(to);
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Writes and syncs a new file, for whom the old one was.
fn write_beside(beside: &Path, text: &str, old: Option<&fs::Metadata>) -> io::Result<()> {
    // What an earlier attempt left is in nobody's use, and a link that somebody put there is not followed.
    remove(beside)?;
    let mut new = OpenOptions::new().write(true).create_new(true).mode(MODE).open(beside)?;
    if let Some(old) = old {
        // Who is not root keeps what can be kept.
        let owner = (rustix::fs::Uid::from_raw(old.uid()), rustix::fs::Gid::from_raw(old.gid()));
        if rustix::fs::fchown(&new, Some(owner.0), Some(owner.1)).is_ok() {
            new.set_permissions(Permissions::from_mode(old.mode() & 0o777))?;
        }
    }
    new.write_all(text.as_bytes())?;
    new.sync_all()
}

/// Gives the file a second name, by which it is found when another has its place.
fn keep(path: &Path, old: &fs::Metadata, versions: u32) -> io::Result<()> {
    let version = |number: u32| with_suffix(path, &number.to_string());
    if versions == 0 {
        return Ok(());
    }
    // A write that was cut off here has done so already.
    if fs::metadata(version(1)).is_ok_and(|kept| (kept.dev(), kept.ino()) == (old.dev(), old.ino())) {
        return Ok(());
    }
    // First of all: if there is no room for it, the versions stay as they are, however often that is tried.
    let kept = with_suffix(path, "kept");
    remove(&kept)?;
    second_name(path, &kept)?;
    for number in (1..versions).rev() {
        match fs::rename(version(number), version(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(&kept, version(1))
}

fn second_name(path: &Path, kept: &Path) -> io::Result<()> {
    if fs::hard_link(path, kept).is_ok() {
        return Ok(());
    }
    // Some file systems have no links.
    let copied = fs::copy(path, kept).and_then(|_| File::open(kept)?.sync_all());
    if copied.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(kept);
    }
    copied
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// A thread for what may block for long, one task after the other. It is started with the first, and ends with this.
#[derive(Default)]
pub(crate) struct FileThread {
    tasks: Option<mpsc::Sender<Task>>,
}

type Task = Box<dyn FnOnce() + Send>;

impl FileThread {
    /// Has something done there.
    ///
    /// # Errors
    /// The system gives no thread; nothing is done.
    pub(crate) fn run(&mut self, task: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let tasks = match &self.tasks {
            Some(tasks) => tasks.clone(),
            None => {
                let (sender, tasks) = mpsc::channel::<Task>();
                std::thread::Builder::new()
                    .name("config".into())
                    .spawn(move || tasks.iter().for_each(|task| task()))?;
                self.tasks = Some(sender.clone());
                sender
            }
        };
        tasks.send(Box::new(task)).map_err(|_| io::Error::other("the thread for files has ended"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    #[test]
    fn the_last_versions_are_kept_and_a_text_that_is_there_already_makes_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.json");
        for text in ["one", "two", "two", "three", "four"] {
            write(&path, text, 2).expect("written");
        }
        let version = |number: &str| read(&with_suffix(&path, number));
        assert_eq!(read(&path).as_deref(), Some("four"));
        assert_eq!([version("1"), version("2"), version("3")], [Some("three".into()), Some("two".into()), None]);
        assert_eq!(version("new"), None);
        write(&path, "five", 1).expect("written");
        assert_eq!([version("1"), version("2")], [Some("four".into()), Some("two".into())]);
        write(&path, "six", 0).expect("written");
        assert_eq!((read(&path).as_deref(), version("1").as_deref()), (Some("six"), Some("four")));
    }

    /// Whoever is killed between the second name and the new file has kept the same file twice.
    #[test]
    fn a_version_that_is_the_file_itself_is_not_kept_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.json");
        write(&path, "one", 5).expect("written");
        fs::hard_link(&path, with_suffix(&path, "1")).expect("a link");
        fs::write(with_suffix(&path, "new"), "half").expect("written");
        write(&path, "two", 5).expect("written");
        assert_eq!(read(&with_suffix(&path, "1")).as_deref(), Some("one"));
        assert_eq!(read(&with_suffix(&path, "2")), None);
    }

    #[test]
    fn modes_stay_links_are_followed_and_a_place_that_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("config.json"), folder.path().join("link"));
        write(&path, "one", 5).expect("written");
        assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, MODE);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("a mode");
        std::os::unix::fs::symlink("config.json", &link).expect("a link");
        write(&link, "two", 5).expect("written");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o640);
        assert_eq!(read(&path).as_deref(), Some("two"));
        let nowhere = folder.path().join("nowhere/config.json");
        assert_eq!(write(&nowhere, "x", 5).expect_err("no folder").kind(), io::ErrorKind::NotFound);
    }
    /// A copy that has no room failed after the versions had moved up: half an hour of attempts, and none was left.
    #[test]
    fn versions_stay_where_they_are_if_there_is_no_room_for_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.json");
        for text in ["one", "two", "three"] {
            write(&path, text, 2).expect("written");
        }
        let blocked = with_suffix(&path, "kept");
        fs::create_dir(&blocked).expect("a folder");
        for _ in 0..3 {
            write(&path, "four", 2).expect_err("it is in the way");
        }
        let now = [path.clone(), with_suffix(&path, "1"), with_suffix(&path, "2")].map(|path| read(&path));
        assert_eq!(now, ["three", "two", "one"].map(|text| Some(text.to_owned())));
        assert!(!with_suffix(&path, "new").exists());
    }

    #[test]
    fn what_is_no_regular_file_is_neither_read_nor_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        for path in [Path::new("/dev/zero"), folder.path(), &pipe] {
            let error = write(path, "one", 5).expect_err("no file");
            assert!(error.to_string().contains("no regular file"), "{}: {error}", path.display());
        }
    }

    #[test]
    fn a_link_to_what_is_not_there_yet_stays_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, circle) = (folder.path().join("link"), folder.path().join("circle"));
        std::os::unix::fs::symlink("config.json", &link).expect("a link");
        write(&link, "one", 5).expect("written");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        assert_eq!(read(&folder.path().join("config.json")).as_deref(), Some("one"));
        std::os::unix::fs::symlink("circle", &circle).expect("a link");
        write(&circle, "one", 5).expect_err("it leads nowhere");
        let too_long = " ".repeat(1 + usize::try_from(FILE_BYTES_MAX).expect("a size"));
        write(&folder.path().join("long"), &too_long, 5).expect_err("it could not be read");
    }
}
