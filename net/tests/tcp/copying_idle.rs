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

#[test]
fn an_idle_pair_is_given_up_at_its_very_moment_with_its_counts() {
    run_virtual(async {
        let (client, inner, outer, server) = forwarder().await?;
        let on = format!("{}->{}", inner.local_addr()?, inner.peer_addr()?);
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
fn a_peer_that_takes_what_its_socket_holds_is_not_idle() {
    const BYTES: usize = 2 << 20;
    run_virtual(async {
        let (client, inner) = UnixStream::pair()?;
        let (outer, server) = UnixStream::pair()?;
        let forwarded = spawn(async move { copy_bidirectional_idle(&inner, &outer, IDLE).await });
        let write = spawn(async move {
            server.write_all(&vec![7; BYTES]).await?;
            Ok::<_, io::Error>(server)
        });
        let mut left = BYTES;
        while left > 0 {
            sleep(IDLE - 20 * SECOND).await;
            left -= client.read(&mut vec![0; 64 << 10]).await?;
        }
        drop(write.await.unwrap()?);
        drop(client);
        assert_eq!(forwarded.await.unwrap()?, (0, BYTES as u64));
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
