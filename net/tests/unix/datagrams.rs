use super::*;

#[test]
fn datagrams_go_both_ways_and_say_where_they_came_from() {
    run(async {
        let directory = Directory::new();
        let server = UnixDatagram::bind(directory.join("server"))?;
        let client = UnixDatagram::bind(directory.join("client"))?;
        client.connect(directory.join("server"))?;
        client.send(b"question").await?;
        let mut buf = [0; 64];
        let question = server.recv_from(&mut buf).await?;
        assert_eq!(&buf[..question.len], b"question");
        assert_eq!(question.from.as_path(), Some(&*directory.join("client")));
        server.send_to(b"answer", question.from).await?;
        assert_eq!(client.recv(&mut buf).await?.len, 6);
        assert_eq!(client.peer_addr()?, server.local_addr()?);
        Ok(())
    });
}

#[test]
fn who_has_no_name_can_send_and_cannot_be_answered() {
    run(async {
        let server = datagram()?;
        let client = UnixDatagram::unbound()?;
        assert!(client.local_addr()?.is_unnamed());
        client.send_to(b"anonymous", server.local_addr()?).await?;
        let received = server.recv_from(&mut [0; 16]).await?;
        assert_eq!((received.len, received.from), (9, UnixAddr::unnamed()));
        assert!(server.send_to(b"to whom?", received.from).await.is_err());
        Ok(())
    });
}

#[test]
fn an_empty_datagram_is_not_the_end() {
    run(async {
        let (near, far) = UnixDatagram::pair()?;
        for _ in 0..3 {
            near.send(b"").await?;
            near.send(b"next").await?;
            assert_eq!(far.recv(&mut [0; 8]).await?.len, 0);
            assert_eq!(far.recv(&mut [0; 8]).await?.len, 4);
        }
        Ok(())
    });
}

#[test]
fn a_truncated_datagram_says_so_and_leaves_the_next_one_whole() {
    run(async {
        let (near, far) = UnixDatagram::pair()?;
        near.send(b"too long").await?;
        near.send(b"next").await?;
        let mut buf = [0; 4];
        let seen = far.peek_from(&mut buf).await?;
        assert_eq!((seen.len, seen.datagram_len), (4, 8));
        let first = far.recv(&mut buf).await?;
        assert_eq!((first.len, first.datagram_len), (4, 8));
        let second = far.recv(&mut buf).await?;
        assert_eq!((second.len, second.is_truncated()), (4, false));
        assert_eq!(&buf, b"next");
        Ok(())
    });
}

#[test]
fn sending_to_nobody_says_to_whom() {
    run(async {
        let directory = Directory::new();
        let socket = UnixDatagram::unbound()?;
        let path = directory.join("absent");
        let err = socket.send_to(b"x", UnixAddr::from_path(&path)?).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::NotFound);
        let text = format!("write unixgram @->{}: no such file or directory", path.display());
        assert_eq!(err.to_string(), text);
        drop(std::os::unix::net::UnixDatagram::bind(&path)?);
        let err = socket.send_to(b"x", UnixAddr::from_path(&path)?).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionRefused);
        let err = socket.connect(&path).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn a_peer_that_is_gone_is_reported() {
    run(async {
        let (near, far) = UnixDatagram::pair()?;
        drop(far);
        let err = near.send(b"x").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionRefused, "{err}");
        Ok(())
    });
}

#[test]
fn close_and_deadlines_wake_who_waits() {
    run(async {
        let (near, _far) = UnixDatagram::pair()?;
        let near = std::rc::Rc::new(near);
        let reader = || {
            let near = std::rc::Rc::clone(&near);
            reactor::spawn(async move { near.recv(&mut [0; 8]).await })
        };
        let task = reader();
        settle().await;
        near.set_read_deadline(Some(reactor::time::now()));
        assert!(is_timeout(&task.await.unwrap().unwrap_err()));
        near.set_read_deadline(None);
        let task = reader();
        settle().await;
        near.close();
        assert!(reactor::is_closed(&task.await.unwrap().unwrap_err()));
        assert!(reactor::is_closed(&near.recv(&mut [0; 8]).await.unwrap_err()));
        Ok(())
    });
}

#[test]
fn after_shutdown_of_reading_nobody_can_send() {
    run(async {
        let (near, far) = UnixDatagram::pair()?;
        far.shutdown(std::net::Shutdown::Read)?;
        let err = near.send(b"x").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::BrokenPipe, "{err}");
        Ok(())
    });
}

#[test]
fn the_peer_of_a_pair_is_who_it_is() {
    run(async {
        let (near, far) = UnixDatagram::pair()?;
        assert_eq!(near.peer_credentials()?.pid, std::process::id());
        assert_eq!(near.peer_credentials()?, far.peer_credentials()?);
        Ok(())
    });
}
