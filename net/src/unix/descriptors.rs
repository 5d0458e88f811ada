//! Passing descriptors to another process (`SCM_RIGHTS` of unix(7)).

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use reactor::Direction;

use crate::addr::{Address, RawAddr};
use crate::datagram::Received;
use crate::sys::{self, Message};
use crate::unix::{UnixAddr, UnixStream};

/// Descriptors that one message passes, at most: the kernel's `SCM_MAX_FD`.
pub const FDS_MAX: usize = sys::FDS_MAX;

/// Descriptors that came with a message.
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// use std::os::fd::AsFd;
///
/// let (near, far) = net::UnixStream::pair()?;
/// let null = std::fs::File::open("/dev/null")?;
/// near.send_fds(b"two", &[null.as_fd(), null.as_fd()]).await?;
/// let (_, passed) = far.recv_fds(&mut [0; 8], 1).await?;
/// assert_eq!((passed.fds.len(), passed.truncated), (1, true)); // and the second is closed
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping them closes them"]
pub struct PassedFds {
    /// Each is close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// There were more than were asked for, or than this process may open. Those are closed.
    pub truncated: bool,
}

impl UnixStream {
    /// Writes from `buf` together with descriptors, and returns how many bytes the kernel took. The
    /// descriptors go with the first of them, and once: send what is left of `buf` with
    /// [`write_all`](Self::write_all). They stay open on this side; close them when they are not
    /// wanted any more.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// `InvalidInput` for an empty `buf`, with which descriptors cannot travel, and for more than
    /// [`FDS_MAX`] of them; the system's `ETOOMANYREFS` when too many are under way; else as
    /// [`write`](Self::write).
    ///
    /// # Examples
    /// ```
    /// # reactor::block_on(async {
    /// use std::io::Read;
    /// use std::os::fd::AsFd;
    ///
    /// let (near, far) = net::UnixStream::pair()?;
    /// let file = std::fs::File::open("/proc/self/comm")?;
    /// near.send_fds(b"here", &[file.as_fd()]).await?;
    ///
    /// let mut buf = [0; 16];
    /// let (n, mut passed) = far.recv_fds(&mut buf, 1).await?;
    /// assert_eq!(&buf[..n], b"here");
    /// let mut text = String::new();
    /// std::fs::File::from(passed.fds.remove(0)).read_to_string(&mut text)?;
    /// assert!(!text.is_empty());
    /// # Ok::<_, std::io::Error>(())
    /// # })??;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub async fn send_fds(&self, buf: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        if buf.is_empty() && !fds.is_empty() {
            let text = "descriptors travel with at least one byte of a stream";
            let err = io::Error::new(io::ErrorKind::InvalidInput, text);
            return Err(self.error("write", err));
        }
        check_count(fds).map_err(|err| self.error("write", err))?;
        let sent = self.fd.io(Direction::Write, |fd| sys::send_fds(fd, buf, None, fds)).await;
        sent.map_err(|err| self.error("write", err))
    }

    /// Reads into `buf`, and takes up to `fds_max` descriptors that come with the bytes. A read stops
    /// behind the bytes that descriptors came with, so those of two messages never mix.
    ///
    /// Descriptors that come with bytes which another method reads are closed: an end that expects
    /// some reads with this one only.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn recv_fds(&self, buf: &mut [u8], fds_max: usize) -> io::Result<(usize, PassedFds)> {
        if buf.is_empty() {
            return Ok((0, PassedFds { fds: Vec::new(), truncated: false }));
        }
        let taken = self.fd.io(Direction::Read, |fd| sys::recv_fds(fd, buf, None, fds_max)).await;
        match taken {
            Ok((message, fds)) => Ok((message.bytes, passed(&message, fds))),
            Err(err) => Err(self.error("read", err)),
        }
    }
}

/// A datagram with the descriptors that came with it.
pub(crate) fn recv_datagram(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    fds_max: usize,
) -> io::Result<(Received<UnixAddr>, PassedFds)> {
    let mut from = RawAddr::empty();
    let (message, fds) = sys::recv_fds(fd, buf, Some(&mut from), fds_max)?;
    let from = UnixAddr::decode(&from, message.name_bytes)?;
    Ok((Received::new(message.bytes, buf.len(), from), passed(&message, fds)))
}

fn passed(message: &Message, fds: Vec<OwnedFd>) -> PassedFds {
    PassedFds { fds, truncated: message.flags & libc::MSG_CTRUNC != 0 }
}

pub(crate) fn check_count(fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() <= FDS_MAX {
        return Ok(());
    }
    let text = format!("{} descriptors, where a message takes {FDS_MAX}", fds.len());
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}
