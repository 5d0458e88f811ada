//! Code of others that runs in the middle of ours: connections that use the session they carry,
//! wakers that use it when they are woken or dropped, and wakers that nobody needs any more.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{AsyncReadExt, AsyncWriteExt, FutureExt, poll};
use mux::{Config, Driver, Error, Flags, Header, Kind, ResetCode, Session, Stream};

use crate::cloned::while_cloned;
use crate::support::{End, pipe};
use crate::{run, streams};

/// A connection that looks at its session at every turn.
struct Curious {
    io: End,
    session: Rc<RefCell<Option<Session>>>,
}

impl Curious {
    fn look(&self) {
        if let Some(session) = &*self.session.borrow() {
            session.go_away();
            assert_eq!(session.outbound_streams(), 1);
        }
    }
}

impl AsyncRead for Curious {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.look();
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Curious {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look();
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look();
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look();
        Pin::new(&mut self.io).poll_close(cx)
    }
}

#[test]
fn a_connection_may_use_the_session_it_carries() {
    run(async {
        let (near, mut far) = pipe(64 * 1024);
        let place = Rc::new(RefCell::new(None));
        let io = Curious { io: near, session: Rc::clone(&place) };
        let (session, driver) = Session::client(io, Config::default());
        place.replace(Some(session.clone()));
        let driver = reactor::spawn(driver);
        let _stream = session.open().await.unwrap();
        reactor::yield_now().await;
        let closing = reactor::spawn(async move { session.close().await });
        let mut said = Vec::new();
        far.read_to_end(&mut said).await.unwrap();
        drop(far);
        assert!(said.starts_with(&[0, 1, 0, 1, 0, 0, 0, 1]), "the SYN: {said:?}");
        closing.await.unwrap().unwrap();
        driver.await.unwrap().unwrap();
        place.take();
    });
}

thread_local! {
    static WOKEN: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
    static DROPPED: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

/// Runs `WOKEN` when it is woken and `DROPPED` when it goes.
#[derive(Debug)]
struct Inline;

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        WOKEN.with_borrow_mut(|woken| woken.iter_mut().for_each(|run| run()));
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        DROPPED.with_borrow_mut(|dropped| dropped.iter_mut().for_each(|run| run()));
    }
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn new() -> (Arc<Self>, Waker) {
        let count = Arc::new(Self(AtomicUsize::new(0)));
        (Arc::clone(&count), Waker::from(count))
    }
}

fn poll_with<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

async fn opened() -> (Session, Rc<Stream>, Driver<End>, End) {
    let (near, far) = pipe(64 * 1024);
    let (session, mut driver) = Session::client(near, Config::default());
    let stream = Rc::new(session.open().await.unwrap());
    assert!(poll!(&mut driver).is_pending());
    (session, stream, driver, far)
}

async fn say(far: &mut End, payload: &[u8]) {
    let length = payload.len() as u32;
    let header = Header { kind: Kind::Data, flags: Flags::NONE, stream_id: 1, length };
    far.write_all(&header.encode()).await.unwrap();
    far.write_all(payload).await.unwrap();
}

#[test]
fn what_a_waker_writes_while_the_driver_wakes_it_is_seen_by_the_driver() {
    run(async {
        let (session, stream, mut driver, mut far) = opened().await;
        let reader = Rc::clone(&stream);
        let mut read = pin!(reader.read_bytes());
        assert!(poll_with(read.as_mut(), &Waker::from(Arc::new(Inline))).is_pending());
        WOKEN.set(Some(Box::new(move || stream.shutdown().unwrap())));
        say(&mut far, b"go").await;
        // This takes the driver's waker: it is on its way.
        let mut ping = pin!(session.ping());
        assert!(poll!(ping.as_mut()).is_pending());
        let (count, waker) = Count::new();
        assert!(poll_with(pin!(&mut driver), &waker).is_pending());
        assert!(count.0.load(Ordering::Relaxed) > 0, "the FIN waits, and nobody is told");
        WOKEN.take();
    });
}

#[test]
fn a_waker_may_use_the_session_when_it_is_dropped() {
    run(async {
        let (session, stream, mut driver, _far) = opened().await;
        let used = session.clone();
        DROPPED.set(Some(Box::new(move || assert_eq!(used.outbound_streams(), 1))));
        let inline = || Waker::from(Arc::new(Inline));
        {
            let (mut read, mut accept) = (pin!(stream.read_bytes()), Box::pin(session.accept()));
            for _ in 0..2 {
                assert!(poll_with(read.as_mut(), &inline()).is_pending());
                assert!(poll_with(accept.as_mut(), &inline()).is_pending());
                assert!(poll_with(pin!(&mut driver), &inline()).is_pending());
            }
            drop(accept);
        }
        let mut accept = Box::pin(session.accept());
        assert!(poll_with(accept.as_mut(), &inline()).is_pending());
        drop(driver);
        drop(accept);
        DROPPED.take();
    });
}

/// A chunk that runs `DROPPED` when its last part goes.
fn owned_chunk(bytes: usize) -> Bytes {
    struct Chunk(Vec<u8>, Inline);
    impl AsRef<[u8]> for Chunk {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Chunk(vec![7; bytes], Inline))
}

/// Whatever lets go of a chunk of the application runs the application's code, which may use the
/// session that lets go.
#[test]
fn a_chunk_may_use_the_session_when_it_is_dropped() {
    type End = fn(Session, Stream, Driver<crate::support::End>);
    let ends: [End; 5] = [
        |_, stream, _| stream.reset(1),
        |_, stream, _| drop(stream),
        |_, _stream, driver| drop(driver),
        |session, _stream, mut driver| {
            assert!(pin!(session.close()).as_mut().now_or_never().is_none());
            drop((&mut driver).now_or_never());
        },
        |_, _stream, mut driver| drop((&mut driver).now_or_never()),
    ];
    for bytes in [1, 300, 100_000] {
        for end in ends {
            run(async move {
                let (near, mut far) = pipe(1 << 20);
                let (session, driver) = Session::client(near, Config::default());
                let stream = session.open().await.unwrap();
                let (used, count) = (session.clone(), Rc::new(Cell::new(0)));
                let dropped = Rc::clone(&count);
                DROPPED.set(Some(Box::new(move || {
                    used.go_away();
                    dropped.set(dropped.get() + 1);
                })));
                stream.write_bytes(owned_chunk(bytes)).await.unwrap();
                end(session, stream, driver);
                let mut said = Vec::new();
                let _ = far.read_to_end(&mut said).now_or_never();
                drop(far);
                assert_eq!(count.get(), 1, "{bytes} bytes are let go of once");
                DROPPED.take();
            });
        }
    }
}

#[test]
fn an_error_of_the_connection_may_use_the_session_when_it_is_dropped() {
    #[derive(Debug)]
    struct Failure(#[expect(dead_code, reason = "for its drop")] Arc<Inline>);
    impl std::fmt::Display for Failure {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("failed")
        }
    }
    impl std::error::Error for Failure {}
    /// Says what ends the session, and then fails.
    struct Failing(Vec<u8>);
    impl AsyncRead for Failing {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let said = std::mem::take(&mut self.0);
            if said.is_empty() {
                return Poll::Ready(Err(io::Error::other(Failure(Arc::new(Inline)))));
            }
            buf[..said.len()].copy_from_slice(&said);
            Poll::Ready(Ok(said.len()))
        }
    }
    impl AsyncWrite for Failing {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }
    run(async {
        let header = Header { kind: Kind::Data, flags: Flags::NONE, stream_id: 0, length: 1 };
        let io = Failing(header.encode().to_vec());
        let (session, driver) = Session::client(io, Config::default());
        let used = session.clone();
        DROPPED.set(Some(Box::new(move || used.go_away())));
        // The end was a broken rule; the failure after it is dropped.
        assert!(matches!(driver.await, Err(Error::Protocol(_))));
        DROPPED.take();
    });
}

#[test]
fn a_dropped_future_leaves_no_waker_behind() {
    run(async {
        let (_client, near, _server, _far) = streams().await;
        let (count, waker) = Count::new();
        {
            let mut read = pin!(near.read_bytes());
            assert!(poll_with(read.as_mut(), &waker).is_pending());
            assert_eq!(Arc::strong_count(&count), 3);
        }
        assert_eq!(Arc::strong_count(&count), 2, "read_bytes");
        while near.write_bytes(vec![0; 60_000].into()).now_or_never().is_some() {}
        {
            let mut write = pin!(near.write_bytes(vec![0; 1].into()));
            assert!(poll_with(write.as_mut(), &waker).is_pending());
        }
        assert_eq!(Arc::strong_count(&count), 2, "write_bytes");
    });
}

#[test]
fn a_dropped_read_takes_no_waker_but_its_own() {
    run(async {
        let (client, near, _server, far) = streams().await;
        let (first, second) = (Count::new(), Count::new());
        let mut late = pin!(near.read_bytes());
        {
            let mut early = pin!(near.read_bytes());
            assert!(poll_with(early.as_mut(), &first.1).is_pending());
            assert!(poll_with(late.as_mut(), &second.1).is_pending());
        }
        far.write_bytes("for the second".into()).await.unwrap();
        client.ping().await.unwrap();
        assert!(second.0.0.load(Ordering::Relaxed) > 0);
    });
}

#[test]
fn a_driver_that_is_gone_leaves_no_waker_behind() {
    run(async {
        let (_session, _stream, mut driver, _far) = opened().await;
        let (count, waker) = Count::new();
        assert!(poll_with(pin!(&mut driver), &waker).is_pending());
        drop(driver);
        assert_eq!(Arc::strong_count(&count), 2);

        let (session, stream, mut driver, far) = opened().await;
        let (count, waker) = Count::new();
        assert!(poll_with(pin!(&mut driver), &waker).is_pending());
        drop(far);
        assert!(poll_with(pin!(&mut driver), &waker).is_ready());
        assert_eq!(Arc::strong_count(&count), 2);
        drop((session, stream));
    });
}

#[test]
fn a_waker_may_use_its_stream_while_it_is_cloned() {
    run(async {
        let (session, stream, mut driver, mut far) = opened().await;
        let (used, other) = (session.clone(), Rc::clone(&stream));
        let use_it = move || {
            let _ = (used.stats(), other.stats());
            drop(other.write_bytes("x".into()).now_or_never());
        };
        let mut read = Box::pin(stream.read_bytes());
        while_cloned(use_it, |waker| {
            assert!(poll_with(read.as_mut(), waker).is_pending());
            assert!(poll_with(Pin::new(&mut driver), waker).is_pending());
        });
        let mut said = [0; 25];
        far.read_exact(&mut said).await.unwrap();
        assert_eq!(said[24], b'x', "what was written while the reader's waker was cloned");
        // What it does while it is cloned may be what is waited for.
        drop(read);
        let mut read = Box::pin(stream.read_bytes());
        let ended = Rc::clone(&stream);
        while_cloned(
            move || ended.reset(ResetCode::NONE),
            |waker| {
                assert!(poll_with(read.as_mut(), waker).is_ready());
            },
        );
    });
}

#[test]
fn what_is_asked_for_while_the_drivers_waker_is_cloned_is_seen_to() {
    run(async {
        let (_session, stream, mut driver, mut far) = opened().await;
        let writer = Rc::clone(&stream);
        let write = move || drop(writer.write_bytes("x".into()).now_or_never());
        let mut said = [0; 25];
        while_cloned(write, |waker| {
            assert!(poll_with(Pin::new(&mut driver), waker).is_pending());
        });
        let (count, waker) = Count::new();
        while count.0.swap(0, Ordering::Relaxed) > 0 {
            let _ = poll_with(Pin::new(&mut driver), &waker);
        }
        far.read_exact(&mut said).now_or_never().expect("it was sent").unwrap();
        assert_eq!(said[24], b'x');
    });
}

#[test]
fn a_waker_may_use_the_session_while_it_is_cloned() {
    run(async {
        let (near, far) = pipe(64 * 1024);
        let config = Config { outbound_streams_max: 1, ..Config::default() };
        let (session, mut driver) = Session::client(near, config);
        let first = Cell::new(Some(session.open().await.unwrap()));
        assert!(poll!(&mut driver).is_pending());
        let used = session.clone();
        let use_it = move || {
            let _ = used.stats();
            drop(used.accept().now_or_never());
            drop(used.open().now_or_never());
        };
        let (mut accept, mut closed) = (Box::pin(session.accept()), Box::pin(session.closed()));
        let mut open = Box::pin(session.open());
        while_cloned(use_it, |waker| {
            assert!(poll_with(accept.as_mut(), waker).is_pending());
            assert!(poll_with(closed.as_mut(), waker).is_pending());
            assert!(poll_with(open.as_mut(), waker).is_pending());
        });
        drop(open);
        // What it does while it is cloned may be what is waited for.
        let mut open = Box::pin(session.open());
        let make_room = move || drop(first.take());
        while_cloned(make_room, |waker| {
            assert!(poll_with(open.as_mut(), waker).is_ready());
        });
        drop((driver, far));
    });
}
