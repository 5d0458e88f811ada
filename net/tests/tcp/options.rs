//! Options of a stream.

use std::io;
use std::time::Duration;

use net::{Keepalive, TcpStream};

use crate::{pair, run, v4};

#[test]
fn options_are_read_back_as_they_were_set() {
    run(async {
        let (near, _far) = pair().await?;
        near.set_nodelay(false)?;
        assert!(!near.nodelay()?);
        near.set_nodelay(true)?;
        assert!(near.nodelay()?);

        assert_eq!(near.linger()?, None);
        near.set_linger(Some(Duration::from_millis(1500)))?;
        assert_eq!(near.linger()?, Some(Duration::from_secs(2)), "rounded up");
        near.set_linger(None)?;
        assert_eq!(near.linger()?, None);

        near.set_keepalive(None)?;
        assert_eq!(near.keepalive()?, None);
        let odd =
            Keepalive { idle: Duration::from_secs(40), interval: Duration::from_secs(5), count: 2 };
        near.set_keepalive(Some(odd))?;
        assert_eq!(near.keepalive()?, Some(odd));

        near.set_recv_buffer_bytes(50_000)?;
        near.set_send_buffer_bytes(60_000)?;
        let doubled = (near.recv_buffer_bytes()?, near.send_buffer_bytes()?);
        assert_eq!(doubled, (100_000, 120_000));
        Ok(())
    });
}

#[test]
fn keepalive_out_of_range_is_refused_and_changes_nothing_that_counts() {
    run(async {
        let (near, _far) = pair().await?;
        near.set_keepalive(None)?;
        for odd in [
            Keepalive { idle: Duration::ZERO, ..Keepalive::default() },
            Keepalive { idle: Duration::MAX, ..Keepalive::default() },
            Keepalive { interval: Duration::from_secs(32_768), ..Keepalive::default() },
            Keepalive { count: 0, ..Keepalive::default() },
            Keepalive { count: u32::MAX, ..Keepalive::default() },
        ] {
            let err = near.set_keepalive(Some(odd)).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::InvalidInput, "{odd:?}");
            assert_eq!(near.keepalive()?, None, "{odd:?}");
        }
        Ok(())
    });
}

#[test]
fn a_pending_error_is_taken_once() {
    run(async {
        let listener = std::net::TcpListener::bind(v4())?;
        let near = TcpStream::connect(listener.local_addr()?).await?;
        assert!(near.take_error()?.is_none());
        let (far, _) = listener.accept()?;
        near.write_all(b"never read").await?;
        drop(far);
        let err = near.take_error()?.expect("reset");
        assert_eq!(err.kind(), io::ErrorKind::ConnectionReset);
        assert!(near.take_error()?.is_none());
        Ok(())
    });
}
