//! The state directory: what units keep over restarts, a JSON file each, named after the unit's NAA designator.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use scsi::{Saved, Store, StoreError};

/// Files of this size are ours; anything larger is not.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A directory that exists and can be written.
pub(crate) struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Makes the directory if need be.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub(crate) fn open(path: &Path) -> io::Result<StateDir> {
        // What is there keeps its mode.
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let probe = path.join(format!(".probe-{}", std::process::id()));
        File::create(&probe)?;
        fs::remove_file(&probe)?;
        Ok(StateDir { path: path.to_owned() })
    }

    fn file(&self, naa: u64) -> PathBuf {
        self.path.join(format!("unit-{naa:016x}.json"))
    }

    /// Written beside, made durable, and put in place: the old file or the new one is there at any time.
    fn replace(&self, file: &Path, text: &[u8]) -> io::Result<()> {
        let beside = file.with_extension("json.new");
        // Begun anew, lest one that was left behind be anyone else's.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        new.write_all(text)?;
        new.sync_all()?;
        fs::rename(&beside, file)?;
        File::open(&self.path)?.sync_all()
    }
}

impl Store for StateDir {
    fn load(&self, naa: u64) -> Result<Saved, StoreError> {
        let file = self.file(naa);
        let wrong = |what: String| {
            StoreError(format!("{}: {what}: restore the file, or remove it to begin with nothing", file.display()))
        };
        match fs::metadata(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Saved::default()),
            Err(error) => return Err(wrong(error.to_string())),
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => return Err(wrong("it is too large".to_owned())),
            Ok(_) => (),
        }
        let text = fs::read(&file).map_err(|error| wrong(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
    }

    fn save(&self, naa: u64, saved: &Saved) -> Result<(), StoreError> {
        let file = self.file(naa);
        let wrong = |error: io::Error| StoreError(format!("{}: {error}", file.display()));
        let mut text = serde_json::to_vec_pretty(saved).map_err(|error| wrong(error.into()))?;
        text.push(b'\n');
        self.replace(&file, &text).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_saved_is_found_again_and_what_is_damaged_is_named() {
        let folder = std::env::temp_dir().join(format!("srpt-state-{}", std::process::id()));
        let state = StateDir::open(&folder.join("a/b")).expect("a directory");
        assert_eq!(state.load(7).expect("nothing yet"), Saved::default());
        state.save(7, &Saved::default()).expect("room");
        assert_eq!(state.load(7).expect("the same"), Saved::default());
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&folder.join("a/b")), mode(&state.file(7))), (0o700, 0o600), "nobody else's");
        fs::write(state.file(7), "{").expect("written");
        let error = state.load(7).expect_err("damaged").to_string();
        assert!(error.contains("unit-0000000000000007.json"), "{error}");
        fs::remove_dir_all(folder).expect("removed");
    }

    /// The format of the file, which older and newer versions have to read as well.
    #[test]
    fn reservations_are_text_that_is_read_back_and_what_is_damaged_is_named() {
        let port = |byte: &str| format!("0x{}", byte.repeat(16));
        let (one, two, target) = (port("01"), port("02"), port("b0"));
        let text = format!(
            r#"{{"reservations":{{"activated":true,"registrations":[{{"initiator_port_id":"{one}","target_port_id":"{target}","key":"0x0000000000000001"}},{{"initiator_port_id":"{two}","target_port_id":"{target}","key":"0x000000000000feed"}}],"reservation":{{"type":"write_exclusive_registrants_only","holder":1}}}}}}"#
        );
        let read = |text: &str| serde_json::from_str::<Saved>(text).map_err(|error| error.to_string());
        let saved = read(&text).expect("a file of ours");
        let written = serde_json::to_value(&saved).expect("text")["reservations"].to_string();
        assert_eq!(read(&format!("{{\"reservations\":{written}}}")), Ok(saved.clone()));
        let reservations = scsi::reservations::Reservations::from(&saved.reservations);
        assert_eq!(reservations.registrations()[1].key, 0xfeed);
        assert_eq!(reservations.saved(), saved.reservations);
        for (from, to, says) in [
            ("\"holder\":1", "\"holder\":2", "no holder"),
            ("\"holder\":1", "\"holder\":null", "no holder"),
            ("registrants_only", "registrants_also", "no type"),
            ("registrants_only", "exclusive", "no type"),
            ("write_exclusive_registrants_only", "write_exclusive_all_registrants", "no holder"),
            ("0x000000000000feed", "0x0000000000000000", "key 0"),
            ("0x000000000000feed", "feed", "'feed' is not"),
            ("0x000000000000feed", "0x+00000000000feed", "is not"),
            ("true", "false", "nothing was to be kept"),
            (&two, &one, "registered twice"),
            ("activated", "active", "active"),
        ] {
            let error = read(&text.replace(from, to)).expect_err(to);
            assert!(error.contains(says), "{error}");
        }
    }
}
