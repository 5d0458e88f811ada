//! hyper 1 on the reactor: its traits of streams, an [`Executor`] and a [`Timer`].
//!
//! The streams and their owned halves have hyper's `Read` and `Write` themselves and need no wrapper.
//! Reads go straight into hyper's buffer, uninitialised as it is. An [`Executor`] is wanted by
//! HTTP/2, a [`Timer`] by hyper's own time-outs, such as the one for a request's head:
//!
//! ```
//! # use std::convert::Infallible;
//! # use http_body_util::Full;
//! use hyper::{Request, Response, body::{Bytes, Incoming}, server::conn::http1, service::service_fn};
//! use net::hyper::Timer;
//!
//! async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     Ok(Response::new(Full::from("hello")))
//! }
//!
//! async fn serve(listener: net::TcpListener) -> std::io::Result<()> {
//!     loop {
//!         let (stream, _peer) = listener.accept().await?;
//!         let mut builder = http1::Builder::new();
//!         builder.timer(Timer).header_read_timeout(std::time::Duration::from_secs(10));
//!         let connection = builder.serve_connection(stream, service_fn(hello));
//!         reactor::spawn(async move { drop(connection.await) }).detach();
//!     }
//! }
//! # reactor::block_on(async {
//! #     let listener = net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
//! #     let addr = listener.local_addr()?;
//! #     reactor::spawn(serve(listener)).detach();
//! #     let stream = net::TcpStream::connect(addr).await?;
//! #     stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
//! #     let mut buf = bytes::BytesMut::new();
//! #     while stream.read_into(&mut buf).await? != 0 {}
//! #     assert!(buf.ends_with(b"hello"));
//! #     Ok::<_, std::io::Error>(())
//! # })??;
//! # Ok::<_, std::io::Error>(())
//! ```

use std::fmt;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ::hyper::rt::{self, Read, ReadBufCursor, Write};
use reactor::Direction;

use crate::network::StreamNetwork;
use crate::split::{Reader, Writer};
use crate::stream::Stream;
use crate::sys::{self, ThreadBound};
use crate::traits::writes;

/// Spawns on the runtime of the thread, detached: see [`reactor::spawn`]. The futures need not be
/// `Send`.
///
/// ```
/// # async fn get(stream: net::TcpStream) -> hyper::Result<()> {
/// use http_body_util::Empty;
/// use hyper::{Request, body::Bytes, client::conn::http2};
/// use net::hyper::Executor;
///
/// let (mut sender, connection) = http2::handshake(Executor, stream).await?;
/// reactor::spawn(connection).detach();
/// let request = Request::get("http://[::1]/").body(Empty::<Bytes>::new()).unwrap();
/// println!("{}", sender.send_request(request).await?.status());
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// Outside a runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F> rt::Executor<F> for Executor
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        reactor::spawn(future).detach();
    }
}

/// The time of the reactor: see [`reactor::time`].
///
/// ```
/// # let _ =
/// hyper::server::conn::http1::Builder::new()
///     .timer(net::hyper::Timer)
///     .header_read_timeout(std::time::Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Sleep::boxed(reactor::time::sleep(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Sleep::boxed(reactor::time::sleep_until(deadline))
    }

    fn now(&self) -> Instant {
        reactor::time::now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, new_deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(mut sleep) => sleep.0.reach().reset(new_deadline),
            None => *sleep = self.sleep_until(new_deadline),
        }
    }
}

/// A sleep of the reactor. hyper wants them to be `Send` and `Sync`, so this one is by its type; it
/// is of use on the thread it was made on, and elsewhere its poll panics.
struct Sleep(ThreadBound<reactor::time::Sleep>);

impl Sleep {
    fn boxed(sleep: reactor::time::Sleep) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Self(ThreadBound::new(sleep)))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(self.0.reach()).poll(cx)
    }
}

impl rt::Sleep for Sleep {}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

impl<N: StreamNetwork> Read for Stream<N> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        read(&self, cx, buf)
    }
}

impl<N: StreamNetwork, S: Deref<Target = Stream<N>> + Unpin> Read for Reader<S> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        read(self.stream(), cx, buf)
    }
}

#[inline]
fn read<N: StreamNetwork>(
    stream: &Stream<N>,
    cx: &mut Context<'_>,
    mut buf: ReadBufCursor<'_>,
) -> Poll<io::Result<()>> {
    let asked = buf.remaining().min(crate::IO_BYTES_MAX);
    if asked == 0 {
        return Poll::Ready(Ok(()));
    }
    let op = |fd: BorrowedFd<'_>| sys::recv_cursor::<N>(fd, &mut buf);
    let result = ready!(stream.fd.poll_io(cx, Direction::Read, op));
    Poll::Ready(stream.received(asked, result).map(drop))
}

writes!(Write, poll_shutdown, is_write_vectored; [N: StreamNetwork] Stream<N>);
writes!(Write, poll_shutdown, is_write_vectored;
    [N: StreamNetwork, S: Deref<Target = Stream<N>> + Unpin] Writer<S>);
