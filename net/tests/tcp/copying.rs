//! Moving bytes from socket to socket: ends, errors, deadlines, unequal speeds.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use net::{
    CopyError, OpError, SPLICE_BYTES_MAX, SPLICE_BYTES_MIN, Stream, StreamNetwork, TcpStream,
    UnixStream, copy, copy_bidirectional,
};
use reactor::time::now;
use reactor::{is_closed, spawn};

use crate::support::pipes::pipe_ends;
use crate::{
    fill, is_timeout, narrow_pair, pair, pattern, read_exact, read_to_end, run, run_virtual, settle,
};

/// A client, a server, and the two sockets of a forwarder between them.
pub(crate) async fn forwarder() -> io::Result<(TcpStream, TcpStream, TcpStream, TcpStream)> {
    let (client, inner) = pair().await?;
    let (outer, server) = pair().await?;
    Ok((client, inner, outer, server))
}

/// The same with small buffers.
pub(crate) async fn narrow_forwarder() -> io::Result<(TcpStream, TcpStream, TcpStream, TcpStream)> {
    let (client, inner) = narrow_pair().await?;
    let (outer, server) = narrow_pair().await?;
    Ok((client, inner, outer, server))
}

/// What a source says before what a test is about: little, and all of it goes through the buffer, or
/// so much that the rest is spliced.
const SAID_BEFORE: [usize; 2] = [1, SPLICE_BYTES_MIN + 4096];

/// Says that, and waits until it has arrived.
async fn say_before<N: StreamNetwork, M: StreamNetwork>(
    client: &Stream<N>,
    server: &Stream<M>,
    bytes: usize,
) -> io::Result<()> {
    client.write_all(&vec![7; bytes]).await?;
    read_exact(server, &mut vec![0; bytes]).await
}

/// A pipe that was lent is pooled then, by the thread of this test. Who runs the tests may have given
/// the process pipes as well: its standard output may be one.
fn assert_spliced_after(said_before: usize, pipes_before: &[PathBuf]) {
    let lent = pipe_ends().iter().any(|pipe| !pipes_before.contains(pipe));
    assert!(said_before < SPLICE_BYTES_MIN || lent, "no pipe was lent");
}

fn operation(err: &io::Error) -> &'static str {
    OpError::of(err).unwrap().operation()
}

#[test]
fn every_byte_is_copied_to_the_end_of_the_stream() {
    run(async {
        let (client, inner, outer, server) = forwarder().await?;
        let sent = pattern(8 << 20);
        let expected = sent.clone();
        let write = spawn(async move { client.write_all(&sent).await });
        let copied = spawn(async move { copy(&inner, &outer).await });
        assert!(read_to_end(&server).await? == expected);
        write.await.unwrap()?;
        assert_eq!(copied.await.unwrap()?, 8 << 20);
        Ok(())
    });
}

#[test]
fn a_source_that_ends_at_once_copies_nothing_and_leaves_the_sink_open() {
    run(async {
        let (client, inner, outer, server) = forwarder().await?;
        client.shutdown(Shutdown::Write)?;
        assert_eq!(copy(&inner, &outer).await?, 0);
        outer.write_all(b"still open").await?;
        read_exact(&server, &mut [0; 10]).await
    });
}

#[test]
fn a_stream_copied_to_itself_is_an_echo() {
    run(async {
        let (near, far) = pair().await?;
        let echo = spawn(async move { copy(&far, &far).await });
        for round in 0..100 {
            let sent = pattern(1 + round * 97);
            near.write_all(&sent).await?;
            let mut received = vec![0; sent.len()];
            read_exact(&near, &mut received).await?;
            assert!(received == sent, "round {round}");
        }
        near.shutdown(Shutdown::Write)?;
        assert_eq!(echo.await.unwrap()?, (0..100).map(|round| 1 + round * 97).sum::<u64>());
        Ok(())
    });
}

#[test]
fn halves_are_ends_too() {
    run(async {
        let (client, inner, outer, server) = forwarder().await?;
        let ((from_client, to_client), (from_server, to_server)) =
            (inner.into_split(), outer.into_split());
        client.write_all(b"by owned halves").await?;
        client.shutdown(Shutdown::Write)?;
        assert_eq!(copy(&from_client, &to_server).await?, 15);
        read_exact(&server, &mut [0; 15]).await?;

        server.write_all(b"by borrowed ones").await?;
        server.shutdown(Shutdown::Write)?;
        let mut outer = from_server.reunite(to_server).unwrap();
        let mut inner = from_client.reunite(to_client).unwrap();
        let ((from_server, _), (_, to_client)) =
            (TcpStream::split(&mut outer), TcpStream::split(&mut inner));
        assert_eq!(copy(&from_server, &to_client).await?, 16);
        read_exact(&client, &mut [0; 16]).await
    });
}

#[test]
fn a_tcp_stream_and_a_unix_stream_are_joined_both_ways() {
    run(async {
        let (client, inner) = pair().await?;
        let (outer, server) = UnixStream::pair()?;
        let forwarded = spawn(async move { copy_bidirectional(&inner, &outer).await });
        let sent = pattern(3 << 20);
        let expected = sent.clone();
        // Its streams are dropped with it, so the end comes back too.
        let server = spawn(async move { copy(&server, &server).await });
        let (read, write) = client.into_split();
        let write = spawn(async move { write.write_all(&sent).await });
        assert!(read_to_end(read.as_ref()).await? == expected);
        assert_eq!(server.await.unwrap()?, 3 << 20);
        write.await.unwrap()?;
        assert_eq!(forwarded.await.unwrap()?, (3 << 20, 3 << 20));
        Ok(())
    });
}

/// A splice stops short at passed descriptors, and no edge comes for what is behind them.
#[test]
fn passed_descriptors_do_not_hide_what_follows_them() {
    let pipes_before = pipe_ends();
    run(async {
        let (client, inner) = UnixStream::pair()?;
        let (outer, server) = pair().await?;
        let forwarded = spawn(async move { copy(&inner, &outer).await });
        settle().await;
        let file = std::fs::File::open("/dev/null")?;
        let mut received = [0; 11];
        for round in 0..20 {
            say_before(&client, &server, SAID_BEFORE[round % 2]).await?;
            client.write_all(b"one ").await?;
            client.send_fds(b"two ", &[file.as_fd()]).await?;
            client.write_all(b"end").await?;
            read_exact(&server, &mut received).await?;
            assert_eq!(&received, b"one two end");
        }
        drop(client);
        let expected = 20 * 11 + 10 * SAID_BEFORE.iter().sum::<usize>();
        assert_eq!(forwarded.await.unwrap()?, expected as u64);
        assert_spliced_after(SAID_BEFORE[1], &pipes_before);
        Ok(())
    });
}

#[test]
fn a_sink_that_takes_nothing_stops_the_source() {
    run(async {
        let (client, inner, outer, server) = narrow_forwarder().await?;
        // What the way to the server takes without a forwarder, twice, and one piece in the pipe.
        let room = 2 * fill(&outer)?;
        read_exact(&server, &mut vec![0; room / 2]).await?;
        let forwarded = spawn(async move { copy(&inner, &outer).await });
        let mut sent = 0;
        for _ in 0..200 {
            sent += fill(&client)?;
            settle().await;
        }
        assert!(sent <= 2 * room + SPLICE_BYTES_MAX, "{sent} bytes are held for a peer");
        client.shutdown(Shutdown::Write)?;
        assert_eq!(read_to_end(&server).await?.len(), sent);
        assert_eq!(forwarded.await.unwrap()?, sent as u64);
        Ok(())
    });
}

#[test]
fn a_slow_sink_gets_every_byte_of_a_fast_source() {
    run(async {
        let (client, inner, outer, server) = narrow_forwarder().await?;
        let sent = pattern(1 << 20);
        let expected = sent.clone();
        let write = spawn(async move { client.write_all(&sent).await });
        spawn(async move { copy(&inner, &outer).await.map(drop) }).detach();
        let mut received = Vec::new();
        let mut buf = [0; 977];
        while let n @ 1.. = server.read(&mut buf).await? {
            received.extend_from_slice(&buf[..n]);
            reactor::yield_now().await;
        }
        write.await.unwrap()?;
        assert!(received == expected);
        Ok(())
    });
}

#[test]
fn a_fast_sink_gets_every_byte_of_a_slow_source() {
    run(async {
        let (client, inner, outer, server) = forwarder().await?;
        let sent = pattern(100_000);
        let expected = sent.clone();
        spawn(async move { copy(&inner, &outer).await.map(drop) }).detach();
        let write = spawn(async move {
            for (at, piece) in sent.chunks(61).enumerate() {
                client.write_all(piece).await?;
                if at % 3 == 0 {
                    settle().await;
                }
            }
            Ok::<_, io::Error>(())
        });
        assert!(read_to_end(&server).await? == expected);
        write.await.unwrap()
    });
}

#[test]
fn a_half_closed_connection_stays_half_closed_in_either_order() {
    run(async {
        for client_ends_first in [true, false] {
            let (client, inner, outer, server) = forwarder().await?;
            let forwarded = spawn(async move { copy_bidirectional(&inner, &outer).await });
            let (first, last) =
                if client_ends_first { (&client, &server) } else { (&server, &client) };
            first.write_all(b"request").await?;
            first.shutdown(Shutdown::Write)?;
            assert_eq!(read_to_end(last).await?, b"request", "the end was passed on");
            settle().await;
            assert!(!forwarded.is_finished());

            last.write_all(b"the answer").await?;
            last.shutdown(Shutdown::Write)?;
            assert_eq!(read_to_end(first).await?, b"the answer");
            let expected = if client_ends_first { (7, 10) } else { (10, 7) };
            assert_eq!(forwarded.await.unwrap()?, expected);
        }
        Ok(())
    });
}

#[test]
fn megabytes_cross_both_ways_at_once() {
    async fn exchange(stream: TcpStream, sent: Rc<Vec<u8>>) -> io::Result<Vec<u8>> {
        let (read, write) = stream.into_split();
        let write = spawn(async move { write.write_all(&sent).await });
        let received = read_to_end(read.as_ref()).await?;
        write.await.unwrap()?;
        Ok(received)
    }
    run(async {
        let (client, inner, outer, server) = narrow_forwarder().await?;
        let sent = Rc::new(pattern(2 << 20));
        let forwarded = spawn(async move { copy_bidirectional(&inner, &outer).await });
        let client = spawn(exchange(client, Rc::clone(&sent)));
        let server = spawn(exchange(server, Rc::clone(&sent)));
        assert!(client.await.unwrap()? == *sent);
        assert!(server.await.unwrap()? == *sent);
        assert_eq!(forwarded.await.unwrap()?, (2 << 20, 2 << 20));
        Ok(())
    });
}

#[test]
fn a_reset_source_is_an_error_with_the_count_and_never_an_end() {
    let pipes_before = pipe_ends();
    run(async {
        for said_before in SAID_BEFORE {
            let (client, inner, outer, server) = forwarder().await?;
            let forwarded = spawn(async move { copy(&inner, &outer).await });
            say_before(&client, &server, said_before).await?;
            client.write_all(b"before").await?;
            read_exact(&server, &mut [0; 6]).await?;
            client.reset()?;
            let err = forwarded.await.unwrap().unwrap_err();
            assert_eq!(err.copied, said_before as u64 + 6);
            let err = io::Error::from(err);
            assert_eq!((err.kind(), operation(&err)), (io::ErrorKind::ConnectionReset, "read"));
            assert_spliced_after(said_before, &pipes_before);
        }
        Ok(())
    });
}

#[test]
fn a_reset_sink_in_the_middle_of_a_transfer_is_an_error_with_the_count() {
    run(async {
        let (client, inner, outer, server) = narrow_forwarder().await?;
        let write = spawn(async move { client.write_all(&vec![7; 64 << 20]).await });
        let forwarded = spawn(async move { copy(&inner, &outer).await });
        read_exact(&server, &mut vec![0; 1 << 20]).await?;
        server.reset()?;
        let err = forwarded.await.unwrap().unwrap_err();
        assert!(err.copied >= 1 << 20, "{}", err.copied);
        assert_eq!(operation(&err.source), "write");
        let lost = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        assert!(lost.contains(&err.source.kind()), "{err}");
        assert!(write.await.unwrap().is_err(), "the copy dropped its source");
        Ok(())
    });
}

#[test]
fn a_reset_of_one_side_ends_both_ways_of_a_forwarder() {
    run(async {
        let (client, inner, outer, server) = forwarder().await?;
        let forwarded = spawn(async move { copy_bidirectional(&inner, &outer).await });
        server.write_all(b"hello").await?;
        read_exact(&client, &mut [0; 5]).await?;
        client.reset()?;
        let CopyError { copied, source } = forwarded.await.unwrap().unwrap_err();
        assert_eq!((copied, source.kind()), ((0, 5), io::ErrorKind::ConnectionReset));
        assert_eq!(server.read(&mut [0; 8]).await?, 0, "its streams were dropped");
        Ok(())
    });
}

#[test]
fn the_read_deadline_of_the_source_ends_a_copy() {
    let pipes_before = pipe_ends();
    run_virtual(async {
        for said_before in SAID_BEFORE {
            let (client, inner, outer, server) = forwarder().await?;
            inner.set_read_deadline(Some(now() + Duration::from_secs(60)));
            let forwarded = spawn(async move { copy(&inner, &outer).await });
            say_before(&client, &server, said_before).await?;
            client.write_all(b"in time").await?;
            read_exact(&server, &mut [0; 7]).await?;
            let err = forwarded.await.unwrap().unwrap_err();
            assert!(is_timeout(&err.source), "{err}");
            let expected = (said_before as u64 + 7, "read");
            assert_eq!((err.copied, operation(&err.source)), expected);
            assert_spliced_after(said_before, &pipes_before);
        }
        Ok(())
    });
}

#[test]
fn the_write_deadline_of_the_sink_ends_a_copy() {
    run_virtual(async {
        let (client, inner, outer, _server) = narrow_forwarder().await?;
        outer.set_write_deadline(Some(now() + Duration::from_secs(60)));
        let forwarded = spawn(async move { copy(&inner, &outer).await });
        let write = spawn(async move { client.write_all(&vec![7; 32 << 20]).await });
        let err = forwarded.await.unwrap().unwrap_err();
        assert!(is_timeout(&err.source), "{err}");
        assert_eq!(operation(&err.source), "write");
        assert!(err.copied > 0);
        assert!(write.await.unwrap().is_err());
        Ok(())
    });
}

#[test]
fn close_ends_a_copy_that_waits() {
    run(async {
        let (_client, inner, outer, _server) = forwarder().await?;
        let inner = Rc::new(inner);
        let source = Rc::clone(&inner);
        let forwarded = spawn(async move { copy(&*source, &outer).await });
        settle().await;
        inner.close();
        assert!(is_closed(&forwarded.await.unwrap().unwrap_err().source));
        Ok(())
    });
}

#[test]
fn a_copy_cancelled_while_it_waits_for_its_source_has_lost_nothing() {
    let pipes_before = pipe_ends();
    run(async {
        let (client, inner, outer, server) = forwarder().await?;
        let (inner, outer) = (Rc::new(inner), Rc::new(outer));
        for round in 0..20 {
            let (from, to) = (Rc::clone(&inner), Rc::clone(&outer));
            let forwarded = spawn(async move { copy(&*from, &*to).await });
            say_before(&client, &server, SAID_BEFORE[round % 2]).await?;
            client.write_all(b"some").await?;
            read_exact(&server, &mut [0; 4]).await?;
            forwarded.abort();
            assert!(forwarded.await.unwrap_err().is_cancelled());
        }
        assert_spliced_after(SAID_BEFORE[1], &pipes_before);
        client.write_all(b"more").await?;
        read_exact(&inner, &mut [0; 4]).await
    });
}
