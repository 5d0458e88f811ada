//! Reading to the end of a `BytesMut`.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use reactor::Direction;

use crate::network::StreamNetwork;
use crate::stream::Stream;
use crate::sys;

/// The room that [`Stream::read_into`] makes in a buffer that has none, in bytes.
pub const READ_INTO_BYTES_MIN: usize = 4096;

impl<N: StreamNetwork> Stream<N> {
    /// Reads to the end of `buf`, into the capacity it has and without zeroing that first, and
    /// returns how many bytes; 0 is the end of the stream. At most
    /// [`IO_BYTES_MAX`](crate::IO_BYTES_MAX) a call.
    ///
    /// The caller says by [`reserve`](BytesMut::reserve) how much one read may take. A buffer
    /// without room gets [`READ_INTO_BYTES_MIN`].
    ///
    /// ```
    /// # reactor::block_on(async {
    /// # use net::{TcpListener, TcpStream};
    /// # let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// # let near = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (far, _) = listener.accept().await?;
    /// near.write_all(b"GET / HTTP/1.1\r\n").await?;
    /// let mut request = bytes::BytesMut::with_capacity(64 * 1024);
    /// far.read_into(&mut request).await?;
    /// assert!(request.starts_with(b"GET /"));
    /// # Ok::<_, std::io::Error>(())
    /// # })??;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// Cancel-safe: a dropped future has read nothing. The room it may have made stays.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub async fn read_into(&self, buf: &mut BytesMut) -> io::Result<usize> {
        let asked = room_of(buf);
        let result = self.fd.io(Direction::Read, |fd| sys::recv_into::<N>(fd, buf)).await;
        self.received(asked, result)
    }

    /// [`read_into`](Self::read_into) for poll functions. The task of the last call is woken, and
    /// of the last one only.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn poll_read_into(
        &self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let asked = room_of(buf);
        let result =
            ready!(self.fd.poll_io(cx, Direction::Read, |fd| sys::recv_into::<N>(fd, buf)));
        Poll::Ready(self.received(asked, result))
    }

    /// Reads what is there to the end of `buf`.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing, else as [`read`](Self::read).
    #[inline]
    pub fn try_read_into(&self, buf: &mut BytesMut) -> io::Result<usize> {
        let asked = room_of(buf);
        let result = self.fd.try_io(Direction::Read, |fd| sys::recv_into::<N>(fd, buf));
        self.received(asked, result)
    }
}

/// How much one read can take: what room there is, or the least that is made.
fn room_of(buf: &mut BytesMut) -> usize {
    if buf.len() == buf.capacity() {
        buf.reserve(READ_INTO_BYTES_MIN);
    }
    (buf.capacity() - buf.len()).min(crate::IO_BYTES_MAX)
}
