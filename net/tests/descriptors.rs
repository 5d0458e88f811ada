//! No descriptor is left behind, and none is inherited by a child process or blocks the thread.
//!
//! A binary with one test: what other tests open at the same time would be counted too.

#[path = "support/leaks.rs"]
mod leaks;

use std::fs;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use leaks::{descriptors, leaving_nothing_open};
use net::{TcpListener, TcpStream, UdpSocket, UnixAddr, UnixDatagram, UnixListener, UnixStream};
use reactor::time::timeout;
use reactor::{spawn, yield_now};

const ROUNDS: usize = 20;
const HUNG_AFTER: Duration = Duration::from_secs(60);

/// The open flags of a descriptor, as the kernel tells them in octal.
fn flags(fd: &str) -> i32 {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    i32::from_str_radix(flags.trim(), 8).unwrap()
}

fn v4() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(v4())?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    Ok((near, listener.accept().await?.0))
}

async fn every_socket_is_nonblocking_and_close_on_exec() -> io::Result<()> {
    let before = descriptors();
    let listener = TcpListener::bind(v4())?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    let (far, _) = listener.accept().await?;
    let udp = UdpSocket::bind(v4())?;
    let unix_listener = UnixListener::builder().bind_addr(&UnixAddr::unnamed())?;
    let unix = UnixStream::connect_addr(&unix_listener.local_addr()?).await?;
    let (unix_far, _) = unix_listener.accept().await?;
    let unixgram = UnixDatagram::unbound()?;
    let (stream_pair, datagram_pair) = (UnixStream::pair()?, UnixDatagram::pair()?);
    let opened: Vec<_> = descriptors().difference(&before).cloned().collect();
    assert_eq!(opened.len(), 12);
    for fd in opened {
        assert_ne!(flags(&fd) & libc::O_NONBLOCK, 0, "descriptor {fd}");
        assert_ne!(flags(&fd) & libc::O_CLOEXEC, 0, "descriptor {fd}");
    }
    drop((near, far, udp, unix, unix_far, unixgram, stream_pair, datagram_pair));
    Ok(())
}

async fn streams_dropped_or_closed() -> io::Result<()> {
    for _ in 0..ROUNDS {
        let (near, far) = pair().await?;
        near.write_all(b"x").await?;
        far.read(&mut [0; 8]).await?;
        near.close();
        let (read, write) = far.into_split();
        drop(read);
        drop(write);
    }
    Ok(())
}

async fn connections_left_in_the_queue() -> io::Result<()> {
    for _ in 0..ROUNDS {
        let listener = TcpListener::bind(v4())?;
        let _near = TcpStream::connect(listener.local_addr()?).await?;
        listener.close();
    }
    Ok(())
}

async fn connects_refused() -> io::Result<()> {
    let (near, _far) = pair().await?;
    for _ in 0..ROUNDS {
        // Nobody listens there, and nobody else can take the port.
        TcpStream::connect(near.local_addr()?).await.unwrap_err();
    }
    Ok(())
}

async fn binds_refused() -> io::Result<()> {
    let listener = TcpListener::bind(v4())?;
    for _ in 0..ROUNDS {
        TcpListener::bind(listener.local_addr()?).unwrap_err();
    }
    Ok(())
}

async fn connects_cancelled() -> io::Result<()> {
    let full = TcpListener::builder().backlog(0).bind(v4())?;
    for _ in 0..ROUNDS {
        let mut connect = pin!(TcpStream::connect(full.local_addr()?));
        let polled = poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "under way when it is dropped");
        yield_now().await;
    }
    Ok(())
}

async fn tasks_aborted_while_they_wait() -> io::Result<()> {
    for _ in 0..ROUNDS {
        let (near, far) = pair().await?;
        let listener = TcpListener::bind(v4())?;
        let far = Rc::new(far);
        let reader = Rc::clone(&far);
        let tasks = [
            spawn(async move { drop(near.read(&mut [0; 8]).await) }),
            spawn(async move { drop(reader.read(&mut [0; 8]).await) }),
            spawn(async move { drop(listener.accept().await) }),
        ];
        yield_now().await;
        for task in tasks {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
    }
    Ok(())
}

async fn datagram_sockets_dropped_or_closed() -> io::Result<()> {
    for _ in 0..ROUNDS {
        let near = UdpSocket::bind(v4())?;
        let far = UdpSocket::builder().connect(near.local_addr()?)?;
        far.send(b"x").await?;
        near.recv(&mut [0; 8]).await?;
        near.close();
        UdpSocket::bind(far.local_addr()?).unwrap_err();
        let (near, far) = UnixDatagram::pair()?;
        near.send(b"never taken").await?;
        far.close();
    }
    Ok(())
}

async fn unix_sockets_dropped_or_closed() -> io::Result<()> {
    for _ in 0..ROUNDS {
        let listener = UnixListener::builder().backlog(0).bind_addr(&UnixAddr::unnamed())?;
        let addr = listener.local_addr()?;
        let near = UnixStream::connect_addr(&addr).await?;
        UnixListener::builder().bind_addr(&addr).unwrap_err();
        let waits_for_room = UnixStream::connect_addr(&addr);
        assert!(timeout(Duration::from_millis(2), waits_for_room).await.is_err());
        let (far, _) = listener.accept().await?;
        let _in_the_queue = UnixStream::connect_addr(&addr).await?;
        let (read, write) = far.into_split();
        drop((read, write, near));
    }
    Ok(())
}

/// Taken, taken in part, never taken, and taken by who does not expect any.
async fn descriptors_passed() -> io::Result<()> {
    let passed = std::net::UdpSocket::bind(v4())?;
    let fds = [passed.as_fd(); 5];
    for _ in 0..ROUNDS {
        let (near, far) = UnixStream::pair()?;
        for _ in 0..4 {
            near.send_fds(b"x", &fds).await?;
        }
        let mut buf = [0; 8];
        drop(far.recv_fds(&mut buf, 5).await?);
        assert!(far.recv_fds(&mut buf, 2).await?.1.truncated);
        far.read(&mut buf).await?;
        let (near, far) = UnixDatagram::pair()?;
        near.send_fds(b"x", &fds).await?;
        near.send_fds(b"x", &fds).await?;
        near.send_fds(b"x", &fds).await?;
        assert!(far.recv_fds(&mut buf, 4).await?.1.truncated);
        far.recv(&mut buf).await?;
    }
    Ok(())
}

/// Leaves tasks behind that wait: they end with the runtime.
async fn tasks_that_outlive_block_on() -> io::Result<()> {
    let (near, far) = pair().await?;
    spawn(async move { drop(near.read(&mut [0; 8]).await) }).detach();
    spawn(async move { drop(far.read(&mut [0; 8]).await) }).detach();
    yield_now().await;
    Ok(())
}

fn leaves_nothing(
    runtime: &mut reactor::Runtime,
    name: &str,
    scenario: impl Future<Output = io::Result<()>>,
) {
    let before = descriptors();
    let outcome = runtime.block_on(async { timeout(HUNG_AFTER, scenario).await });
    outcome.unwrap_or_else(|_| panic!("{name}: hangs")).unwrap();
    assert_eq!(descriptors(), before, "{name}");
}

#[test]
fn no_descriptor_is_left_behind() {
    leaving_nothing_open(|| {
        let mut runtime = reactor::Runtime::new().unwrap();
        let rt = &mut runtime;
        leaves_nothing(rt, "flags", every_socket_is_nonblocking_and_close_on_exec());
        leaves_nothing(rt, "dropped or closed", streams_dropped_or_closed());
        leaves_nothing(rt, "in the queue", connections_left_in_the_queue());
        leaves_nothing(rt, "connect refused", connects_refused());
        leaves_nothing(rt, "bind refused", binds_refused());
        leaves_nothing(rt, "connect cancelled", connects_cancelled());
        leaves_nothing(rt, "datagram sockets", datagram_sockets_dropped_or_closed());
        leaves_nothing(rt, "Unix sockets", unix_sockets_dropped_or_closed());
        leaves_nothing(rt, "descriptors passed", descriptors_passed());
        leaves_nothing(rt, "task aborted", tasks_aborted_while_they_wait());
        runtime.block_on(tasks_that_outlive_block_on()).unwrap();
    });
}
