use std::time::Duration;

use reactor::time::timeout;

use super::*;

#[test]
fn nobody_there_says_who_was_looked_for() {
    run(async {
        let directory = Directory::new();
        let path = directory.join("socket");
        let err = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::NotFound);
        let text = format!("connect unix {}: no such file or directory", path.display());
        assert_eq!(err.to_string(), text);

        drop(std::os::unix::net::UnixListener::bind(&path)?);
        let err = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionRefused);

        let _datagram = UnixDatagram::bind(directory.join("datagram"))?;
        assert!(UnixStream::connect(directory.join("datagram")).await.is_err(), "another kind");
        Ok(())
    });
}

/// connect(2) says `EAGAIN`, and no edge comes when there is room.
#[test]
fn a_full_backlog_makes_a_connect_wait_until_there_is_room() {
    run_virtual(async {
        let listener = UnixListener::builder().backlog(0).bind_addr(&UnixAddr::unnamed())?;
        let addr = listener.local_addr()?;
        let first = UnixStream::connect_addr(&addr).await?;
        let waiting = reactor::spawn(async move { UnixStream::connect_addr(&addr).await });
        assert!(timeout(Duration::from_secs(10), std::future::pending::<()>()).await.is_err());
        assert!(!waiting.is_finished());
        listener.accept().await?;
        let second = waiting.await.unwrap()?;
        let (far, _) = listener.accept().await?;
        second.write_all(b"sound").await?;
        assert_eq!(far.read(&mut [0; 8]).await?, 5);
        drop(first);
        Ok(())
    });
}

#[test]
fn a_timeout_ends_a_connect_that_waits_for_room() {
    run_virtual(async {
        let listener = UnixListener::builder().backlog(0).bind_addr(&UnixAddr::unnamed())?;
        let addr = listener.local_addr()?;
        let _first = UnixStream::connect_addr(&addr).await?;
        for _ in 0..3 {
            let connect = timeout(Duration::from_secs(1), UnixStream::connect_addr(&addr));
            assert!(connect.await.is_err());
        }
        Ok(())
    });
}

#[test]
fn a_listener_that_closes_refuses_who_waits_for_room() {
    run_virtual(async {
        let listener = UnixListener::builder().backlog(0).bind_addr(&UnixAddr::unnamed())?;
        let addr = listener.local_addr()?;
        let _first = UnixStream::connect_addr(&addr).await?;
        let waiting = reactor::spawn(async move { UnixStream::connect_addr(&addr).await });
        settle().await;
        listener.close();
        let err = waiting.await.unwrap().unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionRefused);
        Ok(())
    });
}
