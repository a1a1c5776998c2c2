//! The files of /sys, /proc and /etc that this crate reads and writes, under a root that tests can choose.

use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Where /sys, /proc and /etc are found.
#[derive(Debug, Clone)]
pub struct System {
    root: PathBuf,
}

/// A file could not be read, understood or written.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// Reading failed.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Writing failed.
    #[error("cannot write {}: {source}{}", path.display(), write_hint(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not hold what the kernel documents for it.
    #[error("{} holds `{text}` where {expected} was expected", path.display())]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// What was found, shortened.
        text: String,
        /// What should stand there.
        expected: &'static str,
    },
}

fn write_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::PermissionDenied => "; this needs root: run it again with sudo",
        ErrorKind::ReadOnlyFilesystem => "; mounted read-only, as in most containers: run it on the host",
        _ => "",
    }
}

impl System {
    /// The running system.
    pub fn real() -> Self {
        Self::at("/")
    }

    /// A system whose files stand under `root`, such as `root/sys/kernel/mm/hugepages`; for tests.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        System { root: root.into() }
    }

    /// Where the file with this absolute path is found.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The whole text of a file; bytes that are not UTF-8 are replaced.
    pub fn read(&self, absolute: &str) -> Result<String, SystemError> {
        let path = self.path(absolute);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(source) => Err(SystemError::Read { path, source }),
        }
    }

    /// A file that holds one decimal number.
    pub fn read_number(&self, absolute: &str) -> Result<u64, SystemError> {
        let text = self.read(absolute)?;
        text.trim().parse().map_err(|_| self.unexpected(absolute, &text, "a decimal number"))
    }

    /// Writes to a file that exists already, as those of /sys and /proc do.
    pub fn write_existing(&self, absolute: &str, text: &str) -> Result<(), SystemError> {
        let path = self.path(absolute);
        let write = || std::fs::OpenOptions::new().write(true).truncate(true).open(&path)?.write_all(text.as_bytes());
        write().map_err(|source| SystemError::Write { path: path.clone(), source })
    }

    /// Makes or replaces a configuration file, so that a crash leaves the old or the new text, never half of one.
    pub fn replace_file(&self, absolute: &str, text: &str) -> Result<(), SystemError> {
        let path = self.path(absolute);
        replace(&path, text).map_err(|source| SystemError::Write { path, source })
    }

    /// Removes a configuration file; false if there was none.
    pub fn remove_file(&self, absolute: &str) -> Result<bool, SystemError> {
        let path = self.path(absolute);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(SystemError::Write { path, source }),
        }
    }

    /// Names in a directory, sorted; none if the directory is missing.
    pub fn list(&self, absolute: &str) -> Result<Vec<String>, SystemError> {
        let path = self.path(absolute);
        let names = || -> io::Result<Vec<String>> {
            std::fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        };
        match names() {
            Ok(mut names) => {
                names.sort();
                Ok(names)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(SystemError::Read { path, source }),
        }
    }

    /// The error for a file whose text is not what it should be.
    pub(crate) fn unexpected(&self, absolute: &str, text: &str, expected: &'static str) -> SystemError {
        SystemError::Unexpected { path: self.path(absolute), text: text.trim().chars().take(80).collect(), expected }
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    std::fs::create_dir_all(folder)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new"); // neither sysctl.d nor tmpfiles.d reads files with this ending
    let mut file = std::fs::File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}
