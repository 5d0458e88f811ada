//! A connection of theirs, which moves only while it is polled: a task does that.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};
use reactor::JoinHandle;
use yamux::{Connection, ConnectionError, Mode, Stream};

use crate::support::End;

pub(crate) struct Theirs {
    shared: Rc<Shared>,
    pump: JoinHandle<Result<(), ConnectionError>>,
}

struct Shared {
    connection: RefCell<Connection<Line>>,
    stays_open: Rc<Cell<bool>>,
    inbound: RefCell<VecDeque<Stream>>,
    closing: Cell<bool>,
    over: Cell<bool>,
    pump: Cell<Option<Waker>>,
    accepters: RefCell<Vec<Waker>>,
}

impl Theirs {
    pub(crate) fn new(end: End, config: yamux::Config, mode: Mode) -> Self {
        let stays_open = Rc::new(Cell::new(false));
        let line = Line { end, stays_open: Rc::clone(&stays_open) };
        let shared = Rc::new(Shared {
            connection: RefCell::new(Connection::new(line, config, mode)),
            stays_open,
            inbound: RefCell::default(),
            closing: Cell::new(false),
            over: Cell::new(false),
            pump: Cell::new(None),
            accepters: RefCell::default(),
        });
        let pump = Rc::clone(&shared);
        let pump = reactor::spawn(async move { poll_fn(|cx| pump.poll(cx)).await });
        Self { shared, pump }
    }

    /// One caller at a time: it keeps one waker. The stream is not said to the other side before something is written to it.
    pub(crate) async fn open(&self) -> Result<Stream, ConnectionError> {
        let opened = poll_fn(|cx| self.shared.connection.borrow_mut().poll_new_outbound(cx)).await;
        // A stream that was added is listened to from the next poll on.
        self.shared.wake_pump();
        opened
    }

    /// `None` when the connection is over.
    pub(crate) async fn accept(&self) -> Option<Stream> {
        poll_fn(|cx| {
            if let Some(stream) = self.shared.inbound.borrow_mut().pop_front() {
                return Poll::Ready(Some(stream));
            }
            if self.shared.over.get() {
                return Poll::Ready(None);
            }
            self.shared.accepters.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Says GoAway, and would hang up at once: they have no call for less. That is put off until
    /// [`hang_up`](Self::hang_up).
    pub(crate) fn go_away(&self) {
        self.shared.stays_open.set(true);
        self.shared.closing.set(true);
        self.shared.wake_pump();
    }

    pub(crate) async fn hang_up(self) -> Result<(), ConnectionError> {
        self.shared.stays_open.set(false);
        self.shared.wake_pump();
        self.ended().await
    }

    /// Waits until the connection is over; an error says what was wrong.
    pub(crate) async fn ended(self) -> Result<(), ConnectionError> {
        self.pump.await.unwrap()
    }
}

impl Shared {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        self.pump.set(Some(cx.waker().clone()));
        let mut connection = self.connection.borrow_mut();
        let ended = loop {
            if self.closing.get() {
                break std::task::ready!(connection.poll_close(cx));
            }
            match std::task::ready!(connection.poll_next_inbound(cx)) {
                Some(Ok(stream)) => self.inbound.borrow_mut().push_back(stream),
                Some(Err(err)) => break Err(err),
                None => break Ok(()),
            }
            self.wake_accepters();
        };
        self.over.set(true);
        self.wake_accepters();
        Poll::Ready(ended)
    }

    fn wake_pump(&self) {
        if let Some(waker) = self.pump.take() {
            waker.wake();
        }
    }

    fn wake_accepters(&self) {
        self.accepters.take().into_iter().for_each(Waker::wake);
    }
}

/// Their end of the connection.
struct Line {
    end: End,
    stays_open: Rc<Cell<bool>>,
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.end).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.end).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_flush(cx)
    }

    /// Whoever lets it close polls it again.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stays_open.get() {
            return Poll::Pending;
        }
        Pin::new(&mut self.end).poll_close(cx)
    }
}
