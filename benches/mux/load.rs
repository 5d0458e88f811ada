//! The work that every multiplexer does.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::join_all;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use net::{Dialer, TcpListener, TcpStream};

use crate::cpu;

/// Streams that are open at once when memory is measured.
pub(crate) const IDLE_STREAMS: usize = 2000;

/// Streams that are opened at once.
const OPENS_AT_ONCE: usize = 100;

/// A yamux of one connection, and what accepts its streams at the other end.
pub(crate) trait Multiplexer: Sized + 'static {
    const NAME: &str;
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Starts both ends. `serve` is called with every stream that the far end accepts.
    fn start(near: TcpStream, far: TcpStream, serve: impl Fn(Self::Stream) + 'static) -> Self;

    /// Opens a stream at the near end.
    fn open(&self) -> impl Future<Output = Self::Stream>;
}

/// Congestion control of all connections, unless `--congestion=NAME` names another. Some systems have
/// BBR by default, which paces: what it does not let go at once is sent by a timer of the kernel. The timer's
/// interrupts, on a virtual machine above all, cost more than all else here, and how many there are
/// depends on what BBR takes loopback for. Reno does not pace, and everybody may choose it.
pub(crate) const CONGESTION: &str = "reno";

static CHOSEN_CONGESTION: OnceLock<String> = OnceLock::new();

/// Chooses for all connections; only once.
pub(crate) fn choose_congestion(name: &str) {
    CHOSEN_CONGESTION.set(name.to_owned()).expect("one choice");
}

pub(crate) fn congestion() -> &'static str {
    CHOSEN_CONGESTION.get().map_or(CONGESTION, String::as_str)
}

/// What of a connection waits in the kernel without having been sent, if it is limited.
static UNSENT_BYTES: OnceLock<u32> = OnceLock::new();

/// Limits it for all connections; only once.
pub(crate) fn limit_unsent(bytes: u32) {
    UNSENT_BYTES.set(bytes).expect("one limit");
}

/// Both ends of a connection over loopback. The kernel is told before it is made: a connection that has
/// been BBR's is paced ever after.
pub(crate) async fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let mut listener = TcpListener::builder().congestion(congestion());
    let mut dialer = Dialer::new().congestion(congestion());
    if let Some(&bytes) = UNSENT_BYTES.get() {
        (listener, dialer) =
            (listener.notsent_lowat_bytes(bytes), dialer.notsent_lowat_bytes(bytes));
    }
    let listener = listener.bind(([127, 0, 0, 1], 0).into())?;
    let near = dialer.connect(listener.local_addr()?).await?;
    let (far, _) = listener.accept().await?;
    Ok((near, far))
}

/// Runs `work` with a fresh multiplexer whose far end serves with `serve`.
fn with<M: Multiplexer, T, F: Future<Output = T>>(
    serve: impl Fn(M::Stream) + 'static,
    work: impl FnOnce(Rc<M>) -> F,
) -> T {
    let work = async {
        let (near, far) = connection().await.expect("loopback");
        work(Rc::new(M::start(near, far, serve))).await
    };
    reactor::block_on(work).expect("a runtime")
}

/// What a stream is read with.
pub(crate) const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// One for all streams, as plain TCP has one here. A buffer for each is 64 MB with a thousand
    /// streams, and the cost is that of memory which is not in the processor's cache.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

async fn read_some(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
    let mut stream = Pin::new(stream);
    poll_fn(|cx| BUFFER.with_borrow_mut(|buffer| stream.as_mut().poll_read(cx, buffer))).await
}

/// Reads all, tells how much, then says one byte.
async fn discard(mut stream: impl AsyncRead + AsyncWrite + Unpin, told: impl Fn(usize)) {
    while let Ok(n @ 1..) = read_some(&mut stream).await {
        told(n);
    }
    // The other end may be gone already, where its work was cut short.
    drop(stream.write_all(b".").await);
    drop(stream.close().await);
}

/// Writes so many bytes, ends, and waits until they were read.
async fn fill(mut stream: impl AsyncRead + AsyncWrite + Unpin, chunk: Rc<[u8]>, bytes: usize) {
    let mut left = bytes;
    while left > 0 {
        let part = &chunk[..chunk.len().min(left)];
        stream.write_all(part).await.expect("a write");
        left -= part.len();
    }
    stream.close().await.expect("a close");
    stream.read_exact(&mut [0]).await.expect("an answer");
}

fn chunk(bytes: usize) -> Rc<[u8]> {
    vec![0xA5; bytes].into()
}

async fn fill_all<M: Multiplexer>(mux: &M, streams: usize, write_bytes: usize, bytes: usize) {
    let chunk = chunk(write_bytes);
    open_all(mux, streams, |stream| fill(stream, Rc::clone(&chunk), bytes / streams)).await;
}

/// Opens that many streams, and waits until the task that `work` makes for each is done.
async fn open_all<M: Multiplexer, F: Future<Output = ()> + 'static>(
    mux: &M,
    streams: usize,
    work: impl Fn(M::Stream) -> F,
) {
    let work = &work;
    let tasks = (0..streams).map(|_| async move {
        let stream = mux.open().await;
        reactor::spawn(work(stream)).await.expect("a writer that does not panic");
    });
    join_all(tasks).await;
}

fn serve_discard<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) {
    reactor::spawn(discard(stream, |_| {})).detach();
}

/// The CPU time of sending `bytes`, on that many streams at once, in writes of that size.
pub(crate) fn bulk<M: Multiplexer>(streams: usize, write_bytes: usize, bytes: usize) -> Duration {
    let chunk = chunk(write_bytes);
    let fill = move |stream| fill(stream, Rc::clone(&chunk), bytes / streams);
    bulk_by::<M, _>(streams, serve_discard, fill)
}

/// The CPU time until `fill` is done on that many streams.
pub(crate) fn bulk_by<M: Multiplexer, F: Future<Output = ()> + 'static>(
    streams: usize,
    serve: impl Fn(M::Stream) + 'static,
    fill: impl Fn(M::Stream) -> F,
) -> Duration {
    with(serve, |mux: Rc<M>| async move {
        let before = cpu::thread_time();
        open_all(&*mux, streams, fill).await;
        cpu::thread_time() - before
    })
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = [0; 64];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
    drop(stream.close().await);
}

fn serve_echo<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) {
    reactor::spawn(echo(stream)).detach();
}

/// The CPU time of opening `count` streams, an echo on each, and closing it.
pub(crate) fn opens<M: Multiplexer>(count: usize) -> Duration {
    with(serve_echo::<M::Stream>, |mux: Rc<M>| async move {
        let before = cpu::thread_time();
        let workers = (0..OPENS_AT_ONCE).map(|_| open_in_turn(&*mux, count / OPENS_AT_ONCE));
        join_all(workers).await;
        cpu::thread_time() - before
    })
}

async fn open_in_turn<M: Multiplexer>(mux: &M, count: usize) {
    let mut buffer = [0; 64];
    for _ in 0..count {
        let mut stream = mux.open().await;
        stream.write_all(&[7; 64]).await.expect("a write");
        stream.read_exact(&mut buffer).await.expect("an echo");
        stream.close().await.expect("a close");
        assert_eq!(stream.read(&mut buffer).await.expect("an end"), 0);
    }
}

/// A quantile of the time of an echo of one byte while ten streams send as much as they can.
pub(crate) fn beside_load<M: Multiplexer>(count: usize, quantile: f64) -> Duration {
    // The first stream is the echo's.
    let first = Cell::new(true);
    let serve = move |stream: M::Stream| match first.replace(false) {
        true => serve_echo(stream),
        false => serve_discard(stream),
    };
    with(serve, |mux: Rc<M>| async move {
        let mut stream = mux.open().await;
        ask(&mut stream).await;
        let loader = Rc::clone(&mux);
        let load = reactor::spawn(async move {
            fill_all(&*loader, 10, 16 << 10, usize::MAX / 2).await;
        });
        let mut times = Vec::new();
        for _ in 0..count {
            times.push(ask(&mut stream).await);
        }
        load.abort();
        times.sort();
        times[((times.len() - 1) as f64 * quantile) as usize]
    })
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Duration {
    let start = Instant::now();
    stream.write_all(b"?").await.expect("a write");
    stream.read_exact(&mut [0]).await.expect("an echo");
    start.elapsed()
}

/// What the slowest of 100 streams has sent, to what the fastest has, when all have sent `bytes`.
pub(crate) fn fairness<M: Multiplexer>(bytes: usize) -> f64 {
    let received = Rc::new(RefCell::new(Vec::<Rc<Cell<usize>>>::new()));
    let counts = Rc::clone(&received);
    let serve = move |stream: M::Stream| {
        let count = Rc::new(Cell::new(0));
        counts.borrow_mut().push(Rc::clone(&count));
        reactor::spawn(discard(stream, move |n| count.set(count.get() + n))).detach();
    };
    with(serve, |mux: Rc<M>| async move {
        let load = reactor::spawn(async move {
            fill_all(&*mux, 100, 16 << 10, usize::MAX / 2).await;
        });
        loop {
            reactor::time::sleep(Duration::from_millis(1)).await;
            let counts: Vec<usize> = received.borrow().iter().map(|count| count.get()).collect();
            if counts.iter().sum::<usize>() > bytes {
                load.abort();
                let slowest = counts.iter().min().copied().unwrap_or_default();
                return slowest as f64 / counts.into_iter().max().unwrap_or(1) as f64;
            }
        }
    })
}

/// Resident bytes of a stream at one end: of many that were used once and are idle, with the task
/// that waits for each.
pub(crate) fn memory<M: Multiplexer>() -> f64 {
    with(serve_echo::<M::Stream>, |mux: Rc<M>| async move {
        // What the first streams set up for all.
        let mut streams = Vec::with_capacity(IDLE_STREAMS + OPENS_AT_ONCE);
        let mut before = 0;
        for count in 0..IDLE_STREAMS + OPENS_AT_ONCE {
            if count == OPENS_AT_ONCE {
                before = cpu::resident_bytes();
            }
            let mut stream = mux.open().await;
            ask(&mut stream).await;
            streams.push(stream);
        }
        (cpu::resident_bytes().saturating_sub(before)) as f64 / IDLE_STREAMS as f64 / 2.0
    })
}
