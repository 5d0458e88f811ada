//! From a file to a socket, without a look at the bytes.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use reactor::Direction;

use crate::copy::{CopyError, add, cannot_splice, counted, write_all};
use crate::lent;
use crate::network::StreamNetwork;
use crate::stream::Stream;
use crate::sys;

/// Bytes that one sendfile(2) moves, at most: 4 MiB, as in Go (`internal/poll`,
/// `maxSendfileSize`). After each, other tasks may have their turn.
pub const SENDFILE_BYTES_MAX: usize = 4 << 20;

impl<N: StreamNetwork> Stream<N> {
    /// Sends `len` bytes of a file from `offset` on, and returns how many: fewer when the file ends
    /// before. The file's own position is neither used nor moved.
    ///
    /// By sendfile(2), in pieces of at most [`SENDFILE_BYTES_MAX`]: the pages of the file go to the
    /// socket as they are, so what is changed in the file before the peer has it may or may not be
    /// what the peer gets. A file that sendfile does not take (`EINVAL`) goes through a buffer.
    ///
    /// Reading a file never waits in the reactor's sense: what is not in the page cache blocks this
    /// thread until the disk has given it. For files that are large, cold and on slow disks, read
    /// them ahead in [`reactor::spawn_blocking`].
    ///
    /// ```
    /// # reactor::block_on(async {
    /// # use net::{TcpListener, TcpStream};
    /// # let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// # let near = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (far, _) = listener.accept().await?;
    /// let file = std::fs::File::open("Cargo.toml")?;
    /// let sent = near.send_file(&file, 1, 7).await?;
    /// assert_eq!(sent, 7);
    /// # let mut buf = [0; 16];
    /// # let n = far.read(&mut buf).await?;
    /// # assert_eq!(&buf[..n], b"package");
    /// # Ok::<_, std::io::Error>(())
    /// # })??;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Cancellation
    /// As [`write_all`](Self::write_all): a dropped future has sent a part that nobody knows.
    ///
    /// # SIGPIPE
    /// As with [`copy`](crate::copy).
    ///
    /// # Errors
    /// What sendfile(2) says of the file or of the socket; `TimedOut` past the write deadline; use
    /// after close ([`reactor::is_closed`]). With how many bytes were sent before: [`CopyError`].
    pub async fn send_file(&self, file: &File, offset: u64, len: u64) -> Result<u64, CopyError> {
        let sent = Cell::new(0);
        let ended = send(self, file, offset, len, &sent).await;
        counted(ended, sent.get())
    }
}

async fn send<N: StreamNetwork>(
    to: &Stream<N>,
    file: &File,
    offset: u64,
    len: u64,
    sent: &Cell<u64>,
) -> io::Result<()> {
    while sent.get() < len {
        let piece = (len - sent.get()).min(SENDFILE_BYTES_MAX as u64) as usize;
        let at = offset.saturating_add(sent.get());
        let op = |socket: BorrowedFd<'_>| sys::splice::sendfile(socket, file.as_fd(), at, piece);
        match to.fd.io(Direction::Write, op).await {
            Ok(0) => return Ok(()),
            Ok(n) => add(sent, n),
            Err(err) if cannot_splice(&err) => {
                return send_by_buffer(to, file, offset, len, sent).await;
            }
            Err(err) => return Err(to.error("sendfile", err)),
        }
    }
    Ok(())
}

async fn send_by_buffer<N: StreamNetwork>(
    to: &Stream<N>,
    file: &File,
    offset: u64,
    len: u64,
    sent: &Cell<u64>,
) -> io::Result<()> {
    while sent.get() < len {
        let piece = lent::with(|buf| {
            let piece = (len - sent.get()).min(buf.len() as u64) as usize;
            let n = file.read_at(&mut buf[..piece], offset.saturating_add(sent.get()))?;
            Ok(buf[..n].to_vec())
        });
        let piece = piece.map_err(|err| to.error("sendfile", err))?;
        if piece.is_empty() {
            return Ok(());
        }
        write_all(to, &piece, sent).await?;
    }
    Ok(())
}
