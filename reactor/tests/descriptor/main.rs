//! Behaviours of descriptors, with real sockets and pipes. Most are those of Go's own tests.

mod closing;
mod deadlines;
mod sharing;
mod short_reads;
mod transfer;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use reactor::time::timeout;
use reactor::{Direction, JoinHandle, PollFd, Runtime, spawn, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

/// How long a test may take before it counts as hung. Under virtual time, longer than any deadline
/// in these tests.
const HUNG_AFTER: Duration = Duration::from_secs(60);
const HUNG_AFTER_VIRTUAL: Duration = Duration::from_secs(1_000_000);

fn block_on<T>(test: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(async { timeout(HUNG_AFTER, test).await.expect("it hangs") })
}

/// Runs a test in virtual time: deadlines come at once when nothing else is to be done.
fn virtually<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = Runtime::builder().paused(true).build().unwrap();
    runtime.block_on(async { timeout(HUNG_AFTER_VIRTUAL, test).await.expect("it hangs") })
}

fn poll_fd(socket: impl Into<OwnedFd>) -> Rc<PollFd> {
    Rc::new(PollFd::from_socket(socket.into()))
}

fn pair() -> (Rc<PollFd>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (poll_fd(ours), theirs)
}

fn datagrams() -> (Rc<PollFd>, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (poll_fd(ours), theirs)
}

/// A listener that a test accepts from, and the address it has in the abstract namespace.
fn listener() -> (Rc<PollFd>, SocketAddr) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("reactor-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let addr = SocketAddr::from_abstract_name(name).unwrap();
    (listen(&addr).unwrap(), addr)
}

fn listen(addr: &SocketAddr) -> io::Result<Rc<PollFd>> {
    let listener = UnixListener::bind_addr(addr)?;
    listener.set_nonblocking(true)?;
    Ok(poll_fd(listener))
}

/// `accept(2)`. The copy of the descriptor lives no longer than the call.
fn accept_now(fd: BorrowedFd<'_>) -> io::Result<UnixStream> {
    let (stream, _) = UnixListener::from(fd.try_clone_to_owned()?).accept()?;
    Ok(stream)
}

async fn accept(listener: &PollFd) -> io::Result<UnixStream> {
    listener.io(Direction::Read, accept_now).await
}

/// Starts an operation and lets it park.
async fn parked<T: 'static>(operation: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    let task = spawn(operation);
    yield_now().await;
    assert!(!task.is_finished());
    task
}

async fn parked_read(fd: &Rc<PollFd>) -> JoinHandle<io::Result<usize>> {
    let fd = Rc::clone(fd);
    parked(async move { fd.read(&mut [0; 64]).await }).await
}

async fn parked_write(fd: &Rc<PollFd>) -> JoinHandle<io::Result<usize>> {
    let fd = Rc::clone(fd);
    parked(async move { fd.write(b"x").await }).await
}

async fn parked_accept(listener: &Rc<PollFd>) -> JoinHandle<io::Result<UnixStream>> {
    let listener = Rc::clone(listener);
    parked(async move { accept(&listener).await }).await
}

/// Writes until there is no room.
async fn fill(fd: &PollFd) {
    while let Ok(result) = timeout(Duration::ZERO, fd.write(&[7; 4096])).await {
        result.unwrap();
    }
}

#[track_caller]
fn assert_timed_out<T: std::fmt::Debug>(result: io::Result<T>) {
    let err = result.unwrap_err();
    assert_eq!(err.kind(), io::ErrorKind::TimedOut);
    assert!(!reactor::is_closed(&err));
}

#[track_caller]
fn assert_closed<T: std::fmt::Debug>(result: io::Result<T>) {
    let err = result.unwrap_err();
    assert!(reactor::is_closed(&err), "{err}");
    assert_ne!(err.kind(), io::ErrorKind::TimedOut);
}
