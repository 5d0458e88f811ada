//! The pipes of copies: how many there are, and that none is left behind.
//!
//! A binary with one test: what other tests open at the same time would be counted too.

#[path = "support/pipes.rs"]
mod pipes;

use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use net::{PIPES_POOLED_MAX, SPLICE_BYTES_MIN, TcpListener, TcpStream, copy_bidirectional};
use pipes::pipe_ends;
use reactor::time::timeout;
use reactor::{JoinHandle, spawn, yield_now};

const HUNG_AFTER: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 24;
const SAID_BYTES: usize = 2 << 20;

/// Two ends with room for less than what is said, and for more than what has to come at a time.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let room = 4 * SPLICE_BYTES_MIN as u32;
    let narrow = TcpListener::builder().recv_buffer_bytes(room).send_buffer_bytes(room);
    let listener = narrow.bind("127.0.0.1:0".parse().unwrap())?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    near.set_send_buffer_bytes(room)?;
    near.set_recv_buffer_bytes(room)?;
    Ok((near, listener.accept().await?.0))
}

/// A forwarded connection.
struct Forwarded {
    client: Rc<TcpStream>,
    server: Rc<TcpStream>,
    copy: JoinHandle<()>,
}

/// One on which bytes have gone to and fro once.
async fn forwarded() -> io::Result<Forwarded> {
    let (client, inner) = pair().await?;
    let (outer, server) = pair().await?;
    let copy = spawn(async move { drop(copy_bidirectional(&inner, &outer).await) });
    let mut buf = [0; 1];
    client.write_all(b"?").await?;
    server.read(&mut buf).await?;
    server.write_all(b"!").await?;
    client.read(&mut buf).await?;
    Ok(Forwarded { client: Rc::new(client), server: Rc::new(server), copy })
}

async fn several() -> io::Result<Vec<Forwarded>> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(forwarded().await?);
    }
    Ok(connections)
}

/// Each client says more than the way to its server takes, until every copy holds a full pipe.
async fn all_with_full_pipes(before: usize) -> io::Result<Vec<(Forwarded, JoinHandle<()>)>> {
    let mut connections = Vec::new();
    for connection in several().await? {
        let client = Rc::clone(&connection.client);
        let write = spawn(async move { drop(client.write_all(&[7; SAID_BYTES]).await) });
        connections.push((connection, write));
    }
    while pipe_ends().len() - before < 2 * CONNECTIONS {
        yield_now().await;
    }
    Ok(connections)
}

/// Says much on a connection, to its end and back.
async fn say_much(connection: &Forwarded) -> io::Result<()> {
    let Forwarded { client, server, .. } = connection;
    let client = Rc::clone(client);
    let write = spawn(async move { client.write_all(&[7; SAID_BYTES]).await });
    let (mut left, mut buf) = (SAID_BYTES, vec![0; 64 << 10]);
    while left > 0 {
        left -= server.read(&mut buf).await?;
    }
    write.await.unwrap()
}

/// Connections that wait to be told something hold no pipe, and for small talk none is made.
async fn idle_copies_share_what_is_pooled(before: usize) -> io::Result<()> {
    let connections = several().await?;
    assert_eq!(pipe_ends().len(), before, "a few bytes need none");
    for connection in &connections {
        say_much(connection).await?;
    }
    assert_eq!(pipe_ends().len() - before, 2, "one pipe served them all, one after another");
    Ok(())
}

async fn cancelled_copies_close_what_they_hold(before: usize) -> io::Result<()> {
    for (Forwarded { copy, .. }, write) in all_with_full_pipes(before).await? {
        copy.abort();
        let _ = copy.await;
        write.await.unwrap();
    }
    assert_eq!(pipe_ends().len(), before, "they had bytes in them, and nothing was pooled");
    Ok(())
}

/// By turns the source is reset and the sink.
async fn reset_copies_close_what_they_hold(before: usize) -> io::Result<()> {
    let connections = all_with_full_pipes(before).await?;
    for (at, (Forwarded { client, server, .. }, _)) in connections.iter().enumerate() {
        let lost = if at % 2 == 0 { client } else { server };
        lost.set_linger(Some(Duration::ZERO))?;
        lost.close();
    }
    for (at, (Forwarded { server, copy, .. }, write)) in connections.into_iter().enumerate() {
        if at % 2 == 0 {
            // A copy that waits for its sink learns of its source when there is room.
            read_to_end(&server).await;
        }
        copy.await.unwrap();
        write.await.unwrap();
    }
    assert!(pipe_ends().len() - before <= 2 * PIPES_POOLED_MAX);
    Ok(())
}

/// More copies go to their end at once than the pool keeps pipes.
async fn the_pool_keeps_no_more_than_it_may(before: usize) -> io::Result<()> {
    let connections = all_with_full_pipes(before).await?;
    for (Forwarded { client, server, copy }, write) in connections {
        let read = spawn(async move {
            read_to_end(&server).await;
            server.shutdown(Shutdown::Write)
        });
        write.await.unwrap();
        client.shutdown(Shutdown::Write)?;
        read.await.unwrap()?;
        copy.await.unwrap();
    }
    assert_eq!(pipe_ends().len() - before, 2 * PIPES_POOLED_MAX);
    Ok(())
}

/// Until the end or an error.
async fn read_to_end(stream: &TcpStream) {
    let mut buf = vec![0; 64 << 10];
    while let Ok(1..) = stream.read(&mut buf).await {}
}

async fn scenarios(before: usize) -> io::Result<()> {
    idle_copies_share_what_is_pooled(before).await?;
    cancelled_copies_close_what_they_hold(before).await?;
    reset_copies_close_what_they_hold(before).await?;
    the_pool_keeps_no_more_than_it_may(before).await
}

#[test]
fn no_pipe_is_left_behind() {
    let before = pipe_ends().len();
    let copies =
        move || reactor::block_on(async { timeout(HUNG_AFTER, scenarios(before)).await }).unwrap();
    let outcome = thread::spawn(copies).join().unwrap();
    outcome.expect("hangs").unwrap();
    assert_eq!(pipe_ends().len(), before, "the thread took its pool with it");
}
