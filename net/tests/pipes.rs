//! The pipes of copies: how many there are, and that none is left behind.
//!
//! A binary with one test: what other tests open at the same time would be counted too.

use std::fs;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use net::{PIPES_POOLED_MAX, TcpListener, TcpStream, copy_bidirectional};
use reactor::time::timeout;
use reactor::{spawn, yield_now};

const HUNG_AFTER: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 24;

/// How many descriptors of this process are ends of pipes.
fn pipe_ends() -> usize {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let targets = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("pipe:")).count()
}

async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let narrow = TcpListener::builder().recv_buffer_bytes(16 << 10).send_buffer_bytes(16 << 10);
    let listener = narrow.bind("127.0.0.1:0".parse().unwrap())?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    Ok((near, listener.accept().await?.0))
}

/// A forwarded connection whose bytes have gone to and fro once.
async fn forwarded() -> io::Result<(TcpStream, TcpStream, reactor::JoinHandle<()>)> {
    let (client, inner) = pair().await?;
    let (outer, server) = pair().await?;
    let task = spawn(async move { drop(copy_bidirectional(&inner, &outer).await) });
    let mut buf = [0; 1];
    client.write_all(b"?").await?;
    server.read(&mut buf).await?;
    server.write_all(b"!").await?;
    client.read(&mut buf).await?;
    Ok((client, server, task))
}

async fn several() -> io::Result<Vec<(TcpStream, TcpStream, reactor::JoinHandle<()>)>> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(forwarded().await?);
    }
    Ok(connections)
}

/// Connections that wait to be told something hold no pipe.
async fn idle_copies_share_what_is_pooled(before: usize) -> io::Result<()> {
    let _connections = several().await?;
    assert_eq!(pipe_ends() - before, 2, "one pipe served them all, one after another");
    Ok(())
}

/// Each of these copies has a full pipe when it is cancelled.
async fn cancelled_copies_close_what_they_hold(before: usize) -> io::Result<()> {
    let mut connections = several().await?;
    for (client, _, _) in &connections {
        // The server reads nothing, so some of this stays in the pipe.
        let filled = timeout(Duration::from_millis(1), client.write_all(&vec![7; 8 << 20])).await;
        assert!(filled.is_err());
    }
    // As often as it takes until every copy has filled what it can.
    while pipe_ends() - before < 2 * CONNECTIONS {
        yield_now().await;
    }
    for (_, _, task) in connections.drain(..) {
        task.abort();
        let _ = task.await;
    }
    assert!(pipe_ends() - before <= 2, "the empty one that was pooled, and no other");
    Ok(())
}

/// Resets, with bytes on the way both ways.
async fn reset_copies_close_what_they_hold(before: usize) -> io::Result<()> {
    let connections = several().await?;
    let mut tasks = Vec::new();
    for (at, (client, server, task)) in connections.into_iter().enumerate() {
        let (client, server) = (Rc::new(client), Rc::new(server));
        for stream in [&client, &server] {
            let stream = Rc::clone(stream);
            spawn(async move { drop(stream.write_all(&vec![7; 8 << 20]).await) }).detach();
        }
        yield_now().await;
        let (lost, other) = if at % 2 == 0 { (client, server) } else { (server, client) };
        lost.set_linger(Some(Duration::ZERO))?;
        lost.close();
        tasks.push((task, other));
    }
    for (task, _other) in tasks {
        task.await.unwrap();
    }
    assert!(pipe_ends() - before <= 2 * PIPES_POOLED_MAX);
    Ok(())
}

/// Copies that go to their end give back more pipes than the pool keeps.
async fn the_pool_keeps_no_more_than_it_may(before: usize) -> io::Result<()> {
    let connections = several().await?;
    for (client, _, _) in &connections {
        let filled = timeout(Duration::from_millis(1), client.write_all(&vec![7; 8 << 20])).await;
        assert!(filled.is_err());
        client.shutdown(Shutdown::Write)?;
    }
    for (_, server, task) in connections {
        let mut buf = vec![0; 64 << 10];
        while server.read(&mut buf).await? != 0 {}
        server.shutdown(Shutdown::Write)?;
        task.await.unwrap();
    }
    assert!(pipe_ends() - before <= 2 * PIPES_POOLED_MAX);
    Ok(())
}

async fn scenarios(before: usize) -> io::Result<()> {
    idle_copies_share_what_is_pooled(before).await?;
    cancelled_copies_close_what_they_hold(before).await?;
    reset_copies_close_what_they_hold(before).await?;
    the_pool_keeps_no_more_than_it_may(before).await
}

#[test]
fn no_pipe_is_left_behind() {
    let before = pipe_ends();
    let copies =
        move || reactor::block_on(async { timeout(HUNG_AFTER, scenarios(before)).await }).unwrap();
    let outcome = thread::spawn(copies).join().unwrap();
    outcome.expect("hangs").unwrap();
    assert_eq!(pipe_ends(), before, "the thread took its pool with it");
}
