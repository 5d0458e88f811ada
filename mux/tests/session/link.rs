//! A connection with a rate and a length, in virtual time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};
use reactor::time::{self, Sleep};

/// What a direction is like.
#[derive(Clone, Copy)]
pub(crate) struct Path {
    pub(crate) bytes_per_second: u64,
    /// One way.
    pub(crate) delay: Duration,
    /// Bytes that a sender may have before the link: its socket buffer.
    pub(crate) buffer_bytes: u64,
}

/// 1 Gbit/s, 60 ms there and back, a socket buffer of 1 MiB.
pub(crate) const LONG: Path =
    Path { bytes_per_second: 125_000_000, delay: Duration::from_millis(30), buffer_bytes: 1 << 20 };

struct Direction {
    path: Path,
    /// Pieces, and when they arrive.
    under_way: VecDeque<(Instant, Bytes)>,
    /// When the last byte leaves the sender.
    busy_until: Instant,
    closed: bool,
    reader: Option<Waker>,
}

/// One end of a [`link`].
pub(crate) struct LinkEnd {
    incoming: Rc<RefCell<Direction>>,
    outgoing: Rc<RefCell<Direction>>,
    arrival: Pin<Box<Sleep>>,
    room: Pin<Box<Sleep>>,
}

pub(crate) fn link(path: Path) -> (LinkEnd, LinkEnd) {
    let new = || {
        let under_way = VecDeque::new();
        let busy_until = time::now();
        Rc::new(RefCell::new(Direction {
            path,
            under_way,
            busy_until,
            closed: false,
            reader: None,
        }))
    };
    let (a, b) = (new(), new());
    let end = |incoming, outgoing| {
        let never = || Box::pin(time::sleep(Duration::ZERO));
        LinkEnd { incoming, outgoing, arrival: never(), room: never() }
    };
    (end(Rc::clone(&a), Rc::clone(&b)), end(b, a))
}

impl Direction {
    fn time_for(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes * 1_000_000_000 / self.path.bytes_per_second)
    }

    /// From when on the sender has room for more.
    fn room_from(&self) -> Instant {
        self.busy_until - self.time_for(self.path.buffer_bytes)
    }

    fn send(&mut self, data: Bytes) {
        self.busy_until = self.busy_until.max(time::now()) + self.time_for(data.len() as u64);
        self.under_way.push_back((self.busy_until + self.path.delay, data));
    }

    /// What has arrived; `Err`: nothing before that time, or before something is sent.
    fn take(&mut self, buf: &mut [u8]) -> Result<usize, Option<Instant>> {
        let Some((arrives, data)) = self.under_way.front_mut() else {
            return if self.closed { Ok(0) } else { Err(None) };
        };
        if *arrives > time::now() {
            return Err(Some(*arrives));
        }
        let n = data.len().min(buf.len());
        data.copy_to_slice(&mut buf[..n]);
        if data.is_empty() {
            self.under_way.pop_front();
        }
        Ok(n)
    }
}

impl AsyncRead for LinkEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            let mut direction = this.incoming.borrow_mut();
            match direction.take(buf) {
                Ok(n) => return Poll::Ready(Ok(n)),
                Err(None) => {
                    direction.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Err(Some(arrives)) => this.arrival.as_mut().get_mut().reset(arrives),
            }
            drop(direction);
            std::task::ready!(this.arrival.as_mut().poll(cx));
        }
    }
}

impl AsyncWrite for LinkEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let room_from = this.outgoing.borrow().room_from();
        if room_from > time::now() {
            this.room.as_mut().get_mut().reset(room_from);
            std::task::ready!(this.room.as_mut().poll(cx));
        }
        let data = bufs.iter().fold(Vec::new(), |mut data, buf| {
            data.extend_from_slice(buf);
            data
        });
        let n = data.len();
        let mut direction = this.outgoing.borrow_mut();
        direction.send(data.into());
        let reader = direction.reader.take();
        drop(direction);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut direction = self.outgoing.borrow_mut();
        direction.closed = true;
        let reader = direction.reader.take();
        drop(direction);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}
