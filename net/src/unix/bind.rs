//! Binding Unix sockets.

use std::fs::{self, File, Permissions};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reactor::PollFd;

use crate::addr::{Address, RawAddr};
use crate::datagram::DatagramSocket;
use crate::error::OpError;
use crate::listen;
use crate::listener::Listener;
use crate::network::{Network, Unix, Unixgram};
use crate::sys;
use crate::unix::path::{self, DirectoryLock, Unlink};
use crate::unix::{UnixAddr, UnixDatagram, UnixListener};

/// What a [`UnixListener`] or a [`UnixDatagram`](crate::UnixDatagram) is bound with.
///
/// ```
/// # reactor::block_on(async {
/// # let directory = std::env::temp_dir().join(format!("net-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// # let path = directory.join("service.sock");
/// let listener = net::UnixListener::builder()
///     .take_over_stale(true) // what a crash left behind is no obstacle
///     .mode(0o600)
///     .bind(&path)?;
/// assert_eq!(listener.local_addr()?.as_path(), Some(&*path));
/// drop(listener);
/// assert!(!path.exists());
/// # std::fs::remove_dir(&directory)?;
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is bound before bind"]
pub struct UnixBuilder<N> {
    mode: Option<u32>,
    take_over_stale: bool,
    backlog: Option<u32>,
    network: PhantomData<N>,
}

impl<N> Default for UnixBuilder<N> {
    fn default() -> Self {
        Self { mode: None, take_over_stale: false, backlog: None, network: PhantomData }
    }
}

impl<N: Network<Addr = UnixAddr>> UnixBuilder<N> {
    /// The permissions of the path, such as `0o660`: who may write to it may connect. By default all
    /// that the process's umask leaves. The file never has more than these, not even for a moment.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Whether to remove a socket from the path first that nobody has open any more, such as a
    /// process leaves behind that was killed. Off by default: an existing path is `AddrInUse`.
    ///
    /// Never removed are a socket that is in use, and what is no socket. Whether it is in use says
    /// connect(2), and between the question and the removal the directory is locked (flock(2)), so
    /// that of several who take over at once one succeeds; it needs the permission to read the
    /// directory. A program that takes no lock may still bind the path in that moment, or have bound
    /// it and not listen yet: let one program own a path.
    ///
    /// While another process has the directory locked, this tries again each millisecond and **blocks
    /// the thread**, and with it all tasks: for some 100 ms at most, after which the path counts as
    /// `AddrInUse`. Others hold the lock for as long as a bind(2) and a listen(2) take.
    pub fn take_over_stale(mut self, take_over_stale: bool) -> Self {
        self.take_over_stale = take_over_stale;
        self
    }

    /// A socket of this kind, bound to `addr`, and made ready by `finish` while nobody can take the
    /// path for a stale one.
    #[track_caller]
    pub(crate) fn bind_socket(
        &self,
        kind: i32,
        addr: &UnixAddr,
        finish: impl FnOnce(&OwnedFd) -> io::Result<()>,
    ) -> io::Result<(PollFd, UnixAddr, Unlink)> {
        let at = |operation| move |err| OpError::on::<N>(operation, Some(addr), None, err);
        let mut fd = sys::unix_socket(kind).map_err(at("socket"))?;
        let lock = match addr.as_path() {
            Some(path) if self.take_over_stale => Some(DirectoryLock::around(path)),
            _ => None,
        };
        let _lock = lock.transpose().map_err(at("bind"))?;
        if let (Some(mode), Some(_)) = (self.mode, addr.as_path()) {
            fd = with_mode(fd, mode).map_err(at("fchmod"))?;
        }
        self.bind_fd(&fd, kind, addr).map_err(at("bind"))?;
        let unlink = addr.as_path().map_or_else(Unlink::nothing, Unlink::of);
        if let (Some(mode), Some(path)) = (self.mode, addr.as_path()) {
            fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at("chmod"))?;
        }
        finish(&fd).map_err(at("listen"))?;
        let local = sys::local_addr(fd.as_fd()).map_err(at("getsockname"))?;
        Ok((PollFd::from_socket(fd), local, unlink))
    }

    fn bind_fd(&self, fd: &OwnedFd, kind: i32, addr: &UnixAddr) -> io::Result<()> {
        let raw: RawAddr = addr.encode();
        let bound = sys::bind(fd.as_fd(), &raw);
        match (bound, addr.as_path()) {
            (Err(err), Some(path))
                if self.take_over_stale
                    && err.kind() == io::ErrorKind::AddrInUse
                    && path::is_stale(kind, addr, path)? =>
            {
                fs::remove_file(path)?;
                sys::bind(fd.as_fd(), &raw)
            }
            (bound, _) => bound,
        }
    }
}

impl UnixBuilder<Unix> {
    /// How many connections wait to be accepted, at most. The kernel takes the smaller one of this
    /// and `net.core.somaxconn`, which is the default.
    pub fn backlog(mut self, connections_max: u32) -> Self {
        self.backlog = Some(connections_max);
        self
    }

    /// Binds `path` and listens.
    ///
    /// # Errors
    /// `AddrInUse` when the path exists, `NotFound` when its directory does not, `PermissionDenied`,
    /// `InvalidInput` for a path that does not fit, and what else bind(2) and listen(2) say. The
    /// error names the path.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn bind(&self, path: impl AsRef<Path>) -> io::Result<UnixListener> {
        self.bind_addr(&addr_of::<Unix>("bind", path.as_ref())?)
    }

    /// [`bind`](Self::bind) of any address: an abstract name too, or an unnamed one, for which the
    /// kernel chooses an abstract name.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn bind_addr(&self, addr: &UnixAddr) -> io::Result<UnixListener> {
        let backlog = listen::backlog(self.backlog);
        let listen = |fd: &OwnedFd| sys::listen(fd.as_fd(), backlog);
        let (fd, local, unlink) = self.bind_socket(libc::SOCK_STREAM, addr, listen)?;
        Ok(Listener::new(fd, local, unlink))
    }
}

impl UnixBuilder<Unixgram> {
    /// Binds `path`.
    ///
    /// # Errors
    /// As [`UnixBuilder::<Unix>::bind`].
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn bind(&self, path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        self.bind_addr(&addr_of::<Unixgram>("bind", path.as_ref())?)
    }

    /// [`bind`](Self::bind) of any address: an abstract name too, or an unnamed one, for which the
    /// kernel chooses an abstract name.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn bind_addr(&self, addr: &UnixAddr) -> io::Result<UnixDatagram> {
        let (fd, local, unlink) = self.bind_socket(libc::SOCK_DGRAM, addr, |_| Ok(()))?;
        Ok(DatagramSocket::new(fd, local, None, unlink))
    }
}

/// The address of a path; an error says what it was wanted for.
pub(crate) fn addr_of<N: Network<Addr = UnixAddr>>(
    operation: &'static str,
    path: &Path,
) -> io::Result<UnixAddr> {
    UnixAddr::from_path(path).map_err(|err| OpError::on::<N>(operation, None, None, err))
}

/// A socket's own mode, less the umask, is what bind(2) gives the file (unix_bind_bsd in
/// net/unix/af_unix.c).
fn with_mode(fd: OwnedFd, mode: u32) -> io::Result<OwnedFd> {
    let file = File::from(fd);
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file.into())
}

impl UnixListener {
    /// Listens on `path` with the defaults of [`UnixBuilder`].
    ///
    /// A process that was killed leaves its path behind, which is `AddrInUse` then: a server that is to
    /// start again binds by [`take_over_stale(true)`](UnixBuilder::take_over_stale).
    ///
    /// # Errors
    /// As [`UnixBuilder::bind`].
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::builder().bind(path)
    }

    /// Options first, then [`bind`](UnixBuilder::bind).
    pub fn builder() -> UnixBuilder<Unix> {
        UnixBuilder::default()
    }

    /// Whether to remove the path when the listener is closed or dropped. On by default for a path
    /// that it bound itself, as in Go; turn it off to hand the path on to a successor.
    ///
    /// Only the first close removes anything, and only if the path is still the very file that was
    /// bound: one that another process has put in its place stays.
    pub fn set_unlink_on_close(&self, unlink: bool) {
        self.bound.set_wanted(unlink);
    }
}
