//! Symbolic links as the last part of a file's name: udev's and LVM's are followed, those that somebody else could turn elsewhere are not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::create::CreateError;

/// As many as the kernel follows.
const LINKS_MAX: usize = 40;

/// Where a name leads, to be opened without following links. A link counts if root or the process' own user has it, in a directory of root's or its own where nobody
/// else can put another in its place. Directories on the way are the kernel's matter.
pub(crate) fn follow(path: &Path) -> Result<PathBuf, CreateError> {
    let mut at = path.to_owned();
    for _ in 0..LINKS_MAX {
        let failed = |source| CreateError::File { path: at.clone(), problem: "cannot be examined".to_owned(), source };
        let link = fs::symlink_metadata(&at).map_err(failed)?;
        if !link.is_symlink() {
            return Ok(at);
        }
        let directory = match at.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let around = fs::metadata(&directory).map_err(failed)?;
        if !is_trusted(link.uid(), around.uid(), around.mode(), rustix::process::geteuid().as_raw()) {
            let problem = format!(
                "{} is a symbolic link that others than root and the target's user can change: name the file that it \
                 leads to, or have the link and its directory belong to root, with no write permission for others",
                at.display()
            );
            return Err(CreateError::parameter("filename", problem));
        }
        at = directory.join(fs::read_link(&at).map_err(failed)?);
    }
    Err(CreateError::parameter("filename", format!("{} is a link to a link without an end", path.display())))
}

fn is_trusted(link_owner: u32, directory_owner: u32, directory_mode: u32, user: u32) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    // In such a directory, as /tmp, each removes their own files only.
    const STICKY: u32 = 0o1000;
    let ours = |owner| owner == 0 || owner == user;
    let is_kept = directory_mode & OTHERS_WRITE == 0 || directory_mode & STICKY != 0;
    ours(link_owner) && ours(directory_owner) && is_kept
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn links_of_root_and_of_our_own_count_where_others_cannot_change_them() {
        for (link, directory, mode, trusted) in [
            (0, 0, 0o755, true),
            (7, 7, 0o700, true),
            (0, 7, 0o755, true),
            (8, 0, 0o755, false),
            (0, 8, 0o755, false),
            (0, 0, 0o777, false),
            (0, 0, 0o775, false),
            (0, 0, 0o1777, true),
            (8, 0, 0o1777, false),
        ] {
            assert_eq!(is_trusted(link, directory, mode, 7), trusted, "{link} {directory} {mode:o}");
        }
    }

    #[test]
    fn names_lead_through_links_that_are_trusted_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("disk"), "").expect("a file");
        symlink("disk", at("one")).expect("a link");
        symlink(at("one"), at("two")).expect("a link");
        symlink("round", at("round")).expect("a link");
        for name in ["disk", "one", "two"] {
            assert_eq!(follow(&at(name)).expect(name), at("disk"));
        }
        assert!(follow(&at("round")).is_err_and(|error| error.to_string().contains("without an end")));
        let open_to_all = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).expect("ours");
        open_to_all(0o777);
        let refused = follow(&at("one")).expect_err("anybody's").to_string();
        assert!(refused.starts_with("filename: ") && refused.contains("name the file"), "{refused}");
        assert_eq!(follow(&at("disk")).expect("no link"), at("disk"));
    }
}
