//! Connecting.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use net::{OpError, TcpListener, TcpStream};
use reactor::time::timeout;
use reactor::{JoinHandle, spawn};

use crate::{pair_on, run, run_virtual, settle, v4, v6};

/// An address that refuses: nobody listens, and no one can take the port while `TcpStream` holds it
/// as its own.
pub(crate) async fn refusing() -> io::Result<(SocketAddr, TcpStream)> {
    let (near, _far) = pair_on(v4()).await?;
    Ok((near.local_addr()?, near))
}

/// A listener that takes no connection, and the tasks whose connections fill its queue: connecting
/// to it neither succeeds nor fails.
pub(crate) async fn unresponsive(on: SocketAddr) -> io::Result<(TcpListener, Vec<Connecting>)> {
    let listener = TcpListener::builder().backlog(0).bind(on)?;
    let addr = listener.local_addr()?;
    let first = TcpStream::connect(addr).await?;
    let mut filling = vec![spawn(async { Ok(first) })];
    filling.extend((0..8).map(|_| spawn(TcpStream::connect(addr))));
    settle().await;
    Ok((listener, filling))
}

pub(crate) type Connecting = JoinHandle<io::Result<TcpStream>>;

#[test]
fn a_refused_connect_says_so_and_where() {
    run(async {
        let (addr, _held) = refusing().await?;
        let err = TcpStream::connect(addr).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(err.to_string(), format!("connect tcp {addr}: connection refused"));
        let op = OpError::of(&err).unwrap();
        assert_eq!((op.operation(), op.remote_addr()), ("connect", Some(addr)));
        assert_eq!(op.raw_os_error(), Some(libc::ECONNREFUSED));
        Ok(())
    });
}

#[test]
fn a_fresh_connection_is_connected() {
    // Go's TestNotTemporaryRead and issue 6163: no ENOTCONN after connect.
    run(async {
        for addr in [v4(), v6()] {
            let listener = TcpListener::bind(addr)?;
            for _ in 0..50 {
                let near = TcpStream::connect(listener.local_addr()?).await?;
                near.set_nodelay(true)?;
                assert_eq!(near.write(b"x").await?, 1);
                near.shutdown(std::net::Shutdown::Both)?;
                assert_eq!(listener.accept().await?.0.read(&mut [0; 8]).await?, 1);
            }
        }
        Ok(())
    });
}

#[test]
fn the_unspecified_address_connects_to_this_machine() {
    run(async {
        let listener = TcpListener::bind("0.0.0.0:0".parse().unwrap())?;
        let near = TcpStream::connect(listener.local_addr()?).await?;
        assert!(near.peer_addr()?.ip().is_loopback(), "the peer's true address");
        Ok(())
    });
}

#[test]
fn many_connects_at_once_all_succeed() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let addr = listener.local_addr()?;
        let tasks: Vec<_> = (0..100).map(|_| spawn(TcpStream::connect(addr))).collect();
        let mut near = Vec::new();
        for task in tasks {
            near.push(task.await.unwrap()?);
        }
        for _ in &near {
            listener.accept().await?;
        }
        Ok(())
    });
}

#[test]
fn a_timeout_ends_a_connect_that_nobody_answers() {
    run_virtual(async {
        let (listener, _filling) = unresponsive(v4()).await?;
        let connect = TcpStream::connect(listener.local_addr()?);
        assert!(timeout(Duration::from_secs(1), connect).await.is_err());
        Ok(())
    });
}

#[test]
fn a_connect_that_is_over_time_before_it_starts_is_cancelled() {
    run(async {
        let (listener, _filling) = unresponsive(v4()).await?;
        let connect = TcpStream::connect(listener.local_addr()?);
        assert!(timeout(Duration::ZERO, connect).await.is_err());
        Ok(())
    });
}

#[test]
fn a_cancelled_connect_leaves_no_poisoned_connection() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let addr = listener.local_addr()?;
        for round in 0..50 {
            {
                let mut connect = pin!(TcpStream::connect(addr));
                let polled = poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx))).await;
                assert!(polled.is_pending() || polled.is_ready(), "dropped, whichever it was");
            }
            // The next connection is sound, and what the dropped one left in the queue has ended.
            let near = TcpStream::connect(addr).await?;
            near.write_all(b"sound").await?;
            loop {
                let (far, peer) = listener.accept().await?;
                if peer == near.local_addr()? {
                    assert_eq!(far.read(&mut [0; 8]).await?, 5, "round {round}");
                    break;
                }
                assert!(matches!(far.read(&mut [0; 8]).await, Ok(0) | Err(_)));
            }
        }
        Ok(())
    });
}
