//! Pairs of connections on which nothing moves any more.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use net::{CopyError, OpError, UnixStream, copy_bidirectional_idle};
use reactor::time::{now, sleep, timeout};
use reactor::{metrics, spawn};

use crate::copying::{forwarder, narrow_forwarder};
use crate::{is_timeout, read_exact, run_virtual};

const IDLE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// As [`forwarder`], over Unix sockets.
fn unix_forwarder() -> io::Result<[UnixStream; 4]> {
    let ((client, inner), (outer, server)) = (UnixStream::pair()?, UnixStream::pair()?);
    Ok([client, inner, outer, server])
}

/// Over Unix sockets, since what a peer has read of those is known at once.
#[test]
fn an_idle_pair_is_given_up_at_its_very_moment_with_its_counts() {
    run_virtual(async {
        let [client, inner, outer, server] = unix_forwarder()?;
        let forwarded = spawn(async move { copy_bidirectional_idle(&inner, &outer, IDLE).await });
        client.write_all(b"question").await?;
        read_exact(&server, &mut [0; 8]).await?;
        sleep(30 * SECOND).await;
        let start = now();
        server.write_all(b"answer").await?;
        read_exact(&client, &mut [0; 6]).await?;
        let CopyError { copied, source } = forwarded.await.unwrap().unwrap_err();
        assert_eq!((copied, now() - start), ((8, 6), IDLE));
        assert!(is_timeout(&source));
        Ok(())
    });
}

/// A TCP peer acknowledges what it has taken, and it may do so later: up to then it counts as bytes
/// on their way.
#[test]
fn an_idle_pair_of_tcp_is_given_up_within_twice_the_time_and_says_which() {
    run_virtual(async {
        let (client, inner, outer, server) = forwarder().await?;
        let on = format!("{}->{}", inner.local_addr()?, inner.peer_addr()?);
        let forwarded = spawn(async move { copy_bidirectional_idle(&inner, &outer, IDLE).await });
        // The kernel does not delay the first acknowledgements of a connection.
        for _ in 0..50 {
            client.write_all(b"question").await?;
            read_exact(&server, &mut [0; 8]).await?;
            server.write_all(b"answer").await?;
            read_exact(&client, &mut [0; 6]).await?;
        }
        let start = now();
        client.write_all(b"the last").await?;
        read_exact(&server, &mut [0; 8]).await?;
        let CopyError { copied, source } = forwarded.await.unwrap().unwrap_err();
        assert_eq!((copied, is_timeout(&source)), ((51 * 8, 50 * 6), true));
        let took = now() - start;
        assert!(IDLE <= took && took <= 2 * IDLE, "{took:?}");
        assert_eq!(OpError::of(&source).unwrap().operation(), "copy");
        let text = format!("copy tcp {on}: nothing moved either way for 60s");
        assert_eq!(source.to_string(), text);
        Ok(())
    });
}

#[test]
fn bytes_of_either_direction_keep_both_open_by_one_timer() {
    run_virtual(async {
        let (client, inner, outer, server) = forwarder().await?;
        let forwarded = spawn(async move { copy_bidirectional_idle(&inner, &outer, IDLE).await });
        for (from, to) in [(&client, &server), (&server, &client)] {
            for _ in 0..10 {
                sleep(IDLE - SECOND).await;
                from.write_all(b"x").await?;
                read_exact(to, &mut [0]).await?;
                // The other one is that of the test itself.
                assert_eq!(metrics().timers, 2);
            }
        }
        client.shutdown(Shutdown::Write)?;
        server.shutdown(Shutdown::Write)?;
        assert_eq!(forwarded.await.unwrap()?, (10, 10));
        Ok(())
    });
}

#[test]
fn a_peer_that_takes_nothing_is_given_up_within_twice_the_time() {
    run_virtual(async {
        let (client, inner, outer, _server) = narrow_forwarder().await?;
        let start = now();
        let forwarded = spawn(async move { copy_bidirectional_idle(&inner, &outer, IDLE).await });
        let write = spawn(async move { client.write_all(&vec![7; 32 << 20]).await });
        let CopyError { copied, source } = forwarded.await.unwrap().unwrap_err();
        assert!(is_timeout(&source) && copied.0 > 0, "{copied:?} {source}");
        let took = now() - start;
        assert!(IDLE <= took && took <= 2 * IDLE, "{took:?}");
        assert!(write.await.unwrap().is_err());
        Ok(())
    });
}

/// A Unix socket has room again when three quarters of what it holds were read, which takes this
/// reader longer than the time.
#[test]
fn a_peer_that_takes_what_its_socket_holds_is_not_idle_on_either_side() {
    const BYTES: usize = 2 << 20;
    for reads_behind_the_first in [true, false] {
        run_virtual(async {
            let [client, inner, outer, server] = unix_forwarder()?;
            let forwarded =
                spawn(async move { copy_bidirectional_idle(&inner, &outer, IDLE).await });
            let (reader, writer, expected) = match reads_behind_the_first {
                true => (client, server, (0, BYTES as u64)),
                false => (server, client, (BYTES as u64, 0)),
            };
            let write = spawn(async move {
                writer.write_all(&vec![7; BYTES]).await?;
                Ok::<_, io::Error>(writer)
            });
            let mut left = BYTES;
            while left > 0 {
                sleep(IDLE - 20 * SECOND).await;
                left -= reader.read(&mut vec![0; 64 << 10]).await?;
            }
            drop(write.await.unwrap()?);
            drop(reader);
            assert_eq!(forwarded.await.unwrap()?, expected);
            Ok(())
        });
    }
}

/// What the kernel holds for a Unix peer is a buffer for each write, which is let go whole.
#[test]
fn a_unix_peer_that_reads_less_than_a_piece_in_the_time_counts_as_taking_nothing() {
    const PIECE: usize = 8 << 10;
    for (bytes_a_read, is_given_up) in [(256, true), (PIECE, false)] {
        run_virtual(async {
            let [client, inner, outer, server] = unix_forwarder()?;
            let forwarded =
                spawn(async move { copy_bidirectional_idle(&inner, &outer, IDLE).await });
            for _ in 0..8 {
                server.write_all(&[7; PIECE]).await?;
                // So that it is passed on by a write of its own.
                sleep(SECOND).await;
            }
            let start = now();
            while !forwarded.is_finished() && now() - start < 7 * (IDLE / 3) {
                sleep(IDLE / 3).await;
                client.read(&mut vec![0; bytes_a_read]).await?;
            }
            assert_eq!(forwarded.is_finished(), is_given_up, "{bytes_a_read}");
            Ok(())
        });
    }
}

/// The last look found as much on its way as this one does, and a byte has moved in between.
#[test]
fn a_look_is_compared_with_none_from_before_the_last_byte() {
    run_virtual(async {
        let [client, inner, outer, server] = unix_forwarder()?;
        let forwarded = spawn(async move { copy_bidirectional_idle(&inner, &outer, IDLE).await });
        server.write_all(b"unread").await?;
        // The first look: it holds six bytes, and is looked at again.
        sleep(IDLE + SECOND).await;
        client.write_all(b"x").await?;
        read_exact(&server, &mut [0]).await?;
        let moved = now();
        let given_up = forwarded.await.unwrap().unwrap_err();
        assert_eq!((given_up.copied, now() - moved), ((1, 6), 2 * IDLE));
        Ok(())
    });
}

#[test]
fn the_longest_idle_time_is_for_ever_and_the_shortest_is_none() {
    run_virtual(async {
        let (_client, inner, outer, _server) = forwarder().await?;
        let for_ever = copy_bidirectional_idle(&inner, &outer, Duration::MAX);
        assert!(timeout(100_000 * SECOND, for_ever).await.is_err());
        let start = now();
        let at_once = copy_bidirectional_idle(&inner, &outer, Duration::ZERO).await;
        assert!(is_timeout(&at_once.unwrap_err().source));
        assert_eq!(now(), start);
        Ok(())
    });
}
