//! The path of a socket in the file system: it outlives the socket, and who bound it removes it.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::addr::{Address, RawAddr};
use crate::sys;
use crate::unix::UnixAddr;

/// How often, and how far apart, it is tried to be the only one who takes over a path in a
/// directory. The lock is held for as long as bind(2) and listen(2) take.
const LOCK_ATTEMPTS_MAX: usize = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// Removes the path a socket was bound to, at most once.
#[derive(Debug)]
pub struct Unlink {
    bound: RefCell<Option<BoundPath>>,
    wanted: Cell<bool>,
}

#[derive(Debug)]
struct BoundPath {
    path: PathBuf,
    /// Device and inode: the same path may be another's by the time it is to be removed.
    identity: (u64, u64),
}

impl Unlink {
    /// Nothing to remove: an abstract name, no name, or a socket that somebody else bound.
    pub(crate) fn nothing() -> Self {
        Self { bound: RefCell::new(None), wanted: Cell::new(false) }
    }

    /// The file that bind(2) just made.
    pub(crate) fn of(path: &Path) -> Self {
        let bound = identity(path).map(|identity| BoundPath { path: path.to_owned(), identity });
        Self { bound: RefCell::new(bound), wanted: Cell::new(true) }
    }

    pub(crate) fn set_wanted(&self, wanted: bool) {
        self.wanted.set(wanted);
    }

    /// Removes the path if it is still the one that was bound. That it cannot be removed is nobody's
    /// error: a close has no one to tell.
    pub(crate) fn unlink(&self) {
        let Some(bound) = self.bound.take() else { return };
        if self.wanted.get() && identity(&bound.path) == Some(bound.identity) {
            let _ = fs::remove_file(&bound.path);
        }
    }
}

impl Drop for Unlink {
    fn drop(&mut self) {
        self.unlink();
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Keeps others who take over paths in the same directory out, while it lives.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _directory: File,
}

impl DirectoryLock {
    /// Locks the directory of `path` with flock(2), which needs the permission to read it.
    ///
    /// # Errors
    /// What open(2) says; `AddrInUse` when another process keeps the lock.
    pub(crate) fn around(path: &Path) -> io::Result<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = File::open(parent.unwrap_or(Path::new(".")))?;
        for _ in 0..LOCK_ATTEMPTS_MAX {
            match directory.try_lock() {
                Ok(()) => return Ok(Self { _directory: directory }),
                Err(fs::TryLockError::Error(err)) => return Err(err),
                Err(fs::TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EADDRINUSE))
    }
}

/// Whether `addr` is the path of a socket that nobody has open: connect(2) finds the file, and no
/// socket behind it. A socket of another type, a full one and one that may not be asked are alive.
pub(crate) fn is_stale(kind: i32, addr: &UnixAddr, path: &Path) -> io::Result<bool> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return Ok(false);
    }
    let raw: RawAddr = addr.encode();
    let probe = sys::unix_socket(kind)?;
    let answer = sys::connect(std::os::fd::AsFd::as_fd(&probe), &raw);
    Ok(answer.is_err_and(|err| err.raw_os_error() == Some(libc::ECONNREFUSED)))
}
