//! A listening socket in memory: a backlog of connections, and ends that can fail.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};

use crate::support::{End, pipe};

/// Where callers connect and workers accept. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service(Rc<Inner>);

struct Inner {
    backlog: RefCell<VecDeque<End>>,
    accepters: RefCell<Vec<Waker>>,
    /// Bytes that a direction of a connection holds.
    capacity: usize,
    closed: Cell<bool>,
    /// What becomes of the next connections, instead of their being made.
    fates: RefCell<VecDeque<Fate>>,
    connects: Cell<usize>,
    accepts: Cell<usize>,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// It cannot be made.
    Refused(io::ErrorKind),
    /// It is made, and fails when so many bytes have been written.
    Breaks(usize),
}

impl Service {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Rc::new(Inner {
            backlog: RefCell::default(),
            accepters: RefCell::default(),
            capacity,
            closed: Cell::new(false),
            fates: RefCell::default(),
            connects: Cell::new(0),
            accepts: Cell::new(0),
        }))
    }

    pub(crate) fn next_fates(&self, fates: &[Fate]) {
        self.0.fates.borrow_mut().extend(fates);
    }

    /// Those that wait to be accepted.
    pub(crate) fn backlog(&self) -> usize {
        self.0.backlog.borrow().len()
    }

    /// How often somebody tried to connect.
    pub(crate) fn connects(&self) -> usize {
        self.0.connects.get()
    }

    pub(crate) fn accepts(&self) -> usize {
        self.0.accepts.get()
    }

    /// From now on, and for those who wait: no more.
    pub(crate) fn close(&self) {
        self.0.closed.set(true);
        self.0.accepters.take().into_iter().for_each(Waker::wake);
    }

    pub(crate) fn connect(&self) -> io::Result<Near> {
        self.0.connects.set(self.connects() + 1);
        let fate = self.0.fates.borrow_mut().pop_front();
        let breaks_after = match fate {
            Some(Fate::Refused(kind)) => return Err(kind.into()),
            Some(Fate::Breaks(bytes)) => Some(bytes),
            None => None,
        };
        let (near, far) = pipe(self.0.capacity);
        if breaks_after.is_none() {
            self.0.backlog.borrow_mut().push_back(far);
            self.0.accepters.take().into_iter().for_each(Waker::wake);
            return Ok(Near { end: near, breaks_after, far: None });
        }
        Ok(Near { end: near, breaks_after, far: Some(far) })
    }

    pub(crate) async fn accept(&self) -> io::Result<End> {
        let end = poll_fn(|cx| {
            if self.0.closed.get() {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::NotConnected)));
            }
            let next = self.0.backlog.borrow_mut().pop_front();
            if let Some(end) = next {
                return Poll::Ready(Ok(end));
            }
            self.0.accepters.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await?;
        self.0.accepts.set(self.accepts() + 1);
        Ok(end)
    }
}

/// The caller's end.
pub(crate) struct Near {
    end: End,
    breaks_after: Option<usize>,
    /// Of a connection that nobody accepts.
    far: Option<End>,
}

impl AsyncRead for Near {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.end).poll_read(cx, buf)
    }
}

impl AsyncWrite for Near {
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
        let Some(left) = self.breaks_after else {
            return Pin::new(&mut self.end).poll_write_vectored(cx, bufs);
        };
        if left == 0 {
            self.far = None;
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let bytes = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(left);
        self.breaks_after = Some(left - bytes);
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_close(cx)
    }
}
