//! Directories that nobody else gets into: where sockets are safe.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Makes sure that `path` is a directory which only this user can enter, and so reach the sockets in it:
/// makes it with mode 0700, or checks the one that is there.
///
/// The permissions of a socket's own path protect it too, but whoever may write to the directory can put
/// another socket in its place. `/tmp`, where Swoole puts its own, is such a directory. What is *above* the
/// directory is not looked at: it is to belong to this user or to root.
///
/// # Errors
/// `PermissionDenied` for a directory of another user, one that others may enter, a link to a
/// directory, or a file; what mkdir(2) says: `NotFound` when what is above it is not there.
pub fn private_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    // Not what a link leads to: its owner can make it lead elsewhere.
    let found = fs::symlink_metadata(path)?;
    // The kernel makes it with the effective user of this process.
    let own = fs::metadata("/proc/self")?.uid();
    let Some(fault) = fault(&found, own) else { return Ok(()) };
    let text = format!("{} {fault}", path.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

fn fault(found: &Metadata, own: u32) -> Option<String> {
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    if !found.is_dir() {
        Some("is no directory".into())
    } else if owner != own {
        Some(format!("belongs to user {owner}, not to user {own}"))
    } else if mode & 0o077 != 0 {
        Some(format!("has mode {mode:04o}, with which others can get in: it is to be 0700"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    /// A directory below the temporary one, which is removed in the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("private-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_new_one_is_made_and_is_found_good_afterwards() {
        let scratch = Scratch::new("new");
        let path = scratch.0.join("run");
        for _ in 0..2 {
            private_directory(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        }
        let err = private_directory(&scratch.0.join("a/b")).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_others_can_get_into_is_refused_and_left_as_it_is() {
        let scratch = Scratch::new("open");
        for mode in [0o755, 0o710, 0o701, 0o770, 0o1777] {
            fs::set_permissions(&scratch.0, Permissions::from_mode(mode)).unwrap();
            let err = private_directory(&scratch.0).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::PermissionDenied);
            assert!(err.to_string().contains(&format!("mode {mode:04o}")), "{err}");
            assert_eq!(fs::metadata(&scratch.0).unwrap().mode() & 0o7777, mode);
        }
        fs::set_permissions(&scratch.0, Permissions::from_mode(0o700)).unwrap();
        private_directory(&scratch.0).unwrap();
    }

    #[test]
    fn a_link_and_a_file_are_refused() {
        let scratch = Scratch::new("link");
        let (good, link, file) = (scratch.0.join("d"), scratch.0.join("l"), scratch.0.join("f"));
        private_directory(&good).unwrap();
        symlink(&good, &link).unwrap();
        fs::write(&file, "").unwrap();
        for path in [link, file] {
            let err = private_directory(&path).unwrap_err();
            assert!(err.to_string().ends_with("is no directory"), "{err}");
        }
    }

    #[test]
    fn that_of_another_user_is_refused() {
        let scratch = Scratch::new("owner");
        let found = fs::metadata(&scratch.0).unwrap();
        let (owner, other) = (found.uid(), found.uid() + 1);
        let said = fault(&found, other).unwrap();
        assert_eq!(said, format!("belongs to user {owner}, not to user {other}"));
    }
}
