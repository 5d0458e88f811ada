//! Passing descriptors to another process (`SCM_RIGHTS` of unix(7)).

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use reactor::Direction;

use crate::sys::{self, Message};
use crate::unix::UnixStream;

/// Descriptors that one message passes, at most: the kernel's `SCM_MAX_FD`.
pub const FDS_MAX: usize = sys::FDS_MAX;

/// What [`UnixStream::recv_fds`] received.
#[derive(Debug)]
#[must_use = "dropping it closes the descriptors"]
pub struct ReceivedFds {
    /// Bytes in the buffer.
    pub len: usize,
    /// The descriptors, close-on-exec each.
    pub fds: Vec<OwnedFd>,
    /// There were more descriptors than were asked for, or than this process may open. Those are
    /// closed.
    pub fds_truncated: bool,
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
    /// let mut received = far.recv_fds(&mut buf, 1).await?;
    /// assert_eq!(&buf[..received.len], b"here");
    /// let mut text = String::new();
    /// std::fs::File::from(received.fds.remove(0)).read_to_string(&mut text)?;
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
    pub async fn recv_fds(&self, buf: &mut [u8], fds_max: usize) -> io::Result<ReceivedFds> {
        let mut fds = Vec::new();
        if buf.is_empty() {
            return Ok(ReceivedFds { len: 0, fds, fds_truncated: false });
        }
        let recv = |fd: BorrowedFd<'_>| sys::recv_fds(fd, buf, None, &mut fds, fds_max, 0);
        match self.fd.io(Direction::Read, recv).await {
            Ok(message) => Ok(ReceivedFds {
                len: message.bytes,
                fds_truncated: is_control_truncated(&message),
                fds,
            }),
            Err(err) => Err(self.error("read", err)),
        }
    }
}

pub(crate) fn is_control_truncated(message: &Message) -> bool {
    message.flags & libc::MSG_CTRUNC != 0
}

pub(crate) fn check_count(fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() <= FDS_MAX {
        return Ok(());
    }
    let text = format!("{} descriptors, where a message takes {FDS_MAX}", fds.len());
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}
