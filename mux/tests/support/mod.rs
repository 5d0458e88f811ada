//! An in-memory connection: two ends, each direction a bounded buffer.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};

#[derive(Default)]
struct Channel {
    bytes: VecDeque<u8>,
    capacity: usize,
    closed: bool,
    /// The reading end is gone.
    broken: bool,
    /// The reader sees nothing more, for tests of silence.
    stopped: bool,
    /// How often something was written.
    writes: usize,
    /// All that was written, for who wants to know.
    record: Option<Vec<u8>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of a [`pipe`].
pub struct End {
    incoming: Rc<RefCell<Channel>>,
    outgoing: Rc<RefCell<Channel>>,
}

/// Two ends that are connected; `capacity` bytes fit into each direction.
pub fn pipe(capacity: usize) -> (End, End) {
    let new = || Rc::new(RefCell::new(Channel { capacity, ..Channel::default() }));
    let (a, b) = (new(), new());
    let near = End { incoming: Rc::clone(&a), outgoing: Rc::clone(&b) };
    (near, End { incoming: b, outgoing: a })
}

impl End {
    /// A hold on the direction that this end writes, to stop it or to look into it.
    pub fn outgoing(&self) -> Tap {
        Tap(Rc::clone(&self.outgoing))
    }
}

/// A hold on one direction.
pub struct Tap(Rc<RefCell<Channel>>);

impl Tap {
    /// From now on the bytes stay in the buffer.
    pub fn stop(&self) {
        self.0.borrow_mut().stopped = true;
    }

    /// How often something was written.
    pub fn writes(&self) -> usize {
        self.0.borrow().writes
    }

    /// From now on what is written is kept.
    pub fn record(&self) {
        self.0.borrow_mut().record = Some(Vec::new());
    }

    /// What was written since.
    pub fn recorded(&self) -> Vec<u8> {
        self.0.borrow().record.clone().unwrap_or_default()
    }

    /// Lets the bytes flow again.
    pub fn resume(&self) {
        let reader = {
            let mut channel = self.0.borrow_mut();
            channel.stopped = false;
            channel.reader.take()
        };
        wake(reader);
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut channel = self.incoming.borrow_mut();
        if channel.stopped || (channel.bytes.is_empty() && !channel.closed) {
            channel.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = io::Read::read(&mut channel.bytes, buf)?;
        let writer = channel.writer.take();
        drop(channel);
        wake(writer);
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut channel = self.outgoing.borrow_mut();
        if channel.broken || channel.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut room = channel.capacity - channel.bytes.len();
        if room == 0 {
            channel.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = channel.bytes.len();
        for buf in bufs {
            let part = &buf[..buf.len().min(room)];
            channel.bytes.extend(part);
            channel.record.iter_mut().for_each(|record| record.extend(part));
            room -= part.len();
        }
        channel.writes += 1;
        let written = channel.bytes.len() - before;
        let reader = channel.reader.take();
        drop(channel);
        wake(reader);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let reader = {
            let mut channel = self.outgoing.borrow_mut();
            channel.closed = true;
            channel.reader.take()
        };
        wake(reader);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let wakers = {
            let (mut incoming, mut outgoing) =
                (self.incoming.borrow_mut(), self.outgoing.borrow_mut());
            incoming.broken = true;
            outgoing.closed = true;
            drop((incoming.reader.take(), outgoing.writer.take()));
            [incoming.writer.take(), outgoing.reader.take()]
        };
        wakers.into_iter().for_each(wake);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
