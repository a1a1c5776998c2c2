//! A file that tells the next process which connections this one had, should it end without a word (`kill -9`): the next one ends
//! them, and initiators come back at once. Through rdma-core the kernel does that; here nobody else can.
//!
//! A line per connection that is made and one per connection that ends; no line is changed. What cannot be read is left out, and a
//! file that is lost costs time, no data: peers then find out by themselves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::cm::{CmId, Remains};

/// Lines of ended connections that are kept beside those of live ones, before the file is written anew.
const DEAD_MAX: usize = 4096;

/// More than that is no file of ours: 256 bytes for each of as many connections as one process can have.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The connections of this process, in a file.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    live: BTreeMap<u32, Remains>,
    dead: usize,
}

impl Ledger {
    /// Opens the file, or makes it; returns what remains of the process before, too.
    ///
    /// # Errors
    /// It cannot be read or written, is a link, or larger than any of ours.
    pub(super) fn open(path: &Path) -> io::Result<(Ledger, Vec<Remains>)> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let mut file = options.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no list of connections: remove it"));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let remains = read(&String::from_utf8_lossy(&text));
        // Those of the process before stay until they are ended: if this one ends earlier, the next one has to.
        let mut ledger = Ledger { file, live: remains, dead: 0 };
        ledger.write_anew()?;
        let remains = ledger.live.values().copied().collect();
        Ok((ledger, remains))
    }

    /// A connection that the peer may take for made.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn enter(&mut self, remains: Remains) -> io::Result<()> {
        self.live.insert(remains.local_id, remains);
        self.file.write_all(line(&remains).as_bytes())
    }

    /// It is over, and the peer was told.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn strike(&mut self, id: CmId) -> io::Result<()> {
        if self.live.remove(&id.0).is_none() {
            return Ok(());
        }
        self.dead += 1;
        if self.dead > DEAD_MAX { self.write_anew() } else { writeln!(self.file, "- {:08x}", id.0) }
    }

    fn write_anew(&mut self) -> io::Result<()> {
        self.dead = 0;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        let text: String = self.live.values().map(line).collect();
        self.file.write_all(text.as_bytes())
    }
}

fn line(remains: &Remains) -> String {
    let Remains { path, local_id, remote_id, remote_qpn } = remains;
    let mut line = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(line, "+ {local_id:08x} {remote_id:08x} {remote_qpn:06x} {} {}", path.local, path.peer);
    line
}

/// The connections that were made and did not end.
fn read(text: &str) -> BTreeMap<u32, Remains> {
    let mut live = BTreeMap::new();
    // The last line may have been cut off: it has no end.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        match line.split_at_checked(2) {
            Some(("+ ", rest)) => live.extend(parse(rest).map(|remains| (remains.local_id, remains))),
            Some(("- ", id)) => drop(u32::from_str_radix(id, 16).map(|id| live.remove(&id))),
            _ => {}
        }
    }
    live
}

fn parse(line: &str) -> Option<Remains> {
    let mut words = line.split(' ');
    let mut number = || u32::from_str_radix(words.next()?, 16).ok();
    let (local_id, remote_id, remote_qpn) = (number()?, number()?, number()?);
    let (local, peer) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let path = super::packet_io::Path { local, peer };
    let is_one = local_id != 0 && remote_qpn <= 0xff_ffff && words.next().is_none();
    is_one.then_some(Remains { path, local_id, remote_id, remote_qpn })
}

#[cfg(test)]
mod tests {
    use super::super::packet_io;
    use super::*;

    fn remains(local_id: u32) -> Remains {
        let local = if local_id.is_multiple_of(2) { "192.0.2.1:4791" } else { "[fe80::1%3]:4791" };
        let path = packet_io::Path { local: local.parse().unwrap(), peer: "192.0.2.2:4791".parse().unwrap() };
        Remains { path, local_id, remote_id: local_id + 1, remote_qpn: local_id + 2 }
    }

    #[test]
    fn what_was_made_and_did_not_end_is_found_by_the_next_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("connections");
        let (mut ledger, before) = Ledger::open(&path).expect("a file");
        assert_eq!(before, []);
        for id in 1..=4 {
            ledger.enter(remains(id)).expect("written");
        }
        ledger.strike(CmId(2)).expect("written");
        drop(ledger);
        let mut found = vec![remains(1), remains(3), remains(4)];
        for _ in 0..2 {
            // The second does not end them: they are there for the third.
            let (_, before) = Ledger::open(&path).expect("a file");
            assert_eq!(before, found);
        }
        let (mut ledger, _) = Ledger::open(&path).expect("a file");
        ledger.strike(CmId(3)).expect("written");
        found.remove(1);
        assert_eq!(Ledger::open(&path).expect("a file").1, found);
    }

    #[test]
    fn the_file_does_not_grow_without_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("connections");
        let (mut ledger, _) = Ledger::open(&path).expect("a file");
        ledger.enter(remains(1)).expect("written");
        for id in 2..20_000 {
            ledger.enter(remains(id)).expect("written");
            ledger.strike(CmId(id)).expect("written");
        }
        assert!(std::fs::metadata(&path).expect("it is there").len() < 1 << 20);
        assert_eq!(Ledger::open(&path).expect("a file").1, [remains(1)]);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let good = line(&remains(1));
        for bad in [
            "+ 00000002 00000003 000004 192.0.2.1:4791 192.0.2.2:4791", // cut off: no end of the line
            "+ 00000000 00000003 000004 192.0.2.1:4791 192.0.2.2:4791\n",
            "+ 00000002 00000003 1000004 192.0.2.1:4791 192.0.2.2:4791\n",
            "+ 00000002 00000003 000004 192.0.2.1 192.0.2.2:4791\n",
            "+ 00000002 00000003 000004 192.0.2.1:4791\n",
            "+ 00000002 00000003 000004 192.0.2.1:4791 192.0.2.2:4791 more\n",
            "- 00000002\n",
            "- \n-\n\n+\n+ \nöö\n",
        ] {
            let found: Vec<_> = read(&format!("{good}{bad}")).into_values().collect();
            assert_eq!(found, [remains(1)], "{bad}");
        }
    }

    #[test]
    fn a_link_is_no_file_of_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, other) = (folder.path().join("connections"), folder.path().join("other"));
        std::fs::write(&other, "precious").expect("written");
        std::os::unix::fs::symlink(&other, &link).expect("a link");
        assert!(Ledger::open(&link).is_err());
        assert_eq!(std::fs::read(&other).expect("it is there"), b"precious");
    }
}
