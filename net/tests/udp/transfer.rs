use std::future::poll_fn;
use std::rc::Rc;

use super::*;

#[test]
fn datagrams_go_both_ways_and_say_where_they_came_from() {
    run_on_both(async |addr| {
        let server = UdpSocket::bind(addr)?;
        let client = UdpSocket::bind(addr)?;
        assert_eq!(client.send_to(b"question", server.local_addr()?).await?, 8);
        let mut buf = [0; 64];
        let question = server.recv_from(&mut buf).await?;
        assert_eq!(&buf[..question.len], b"question");
        assert_eq!(question.from, client.local_addr()?);
        server.send_to(b"answer", question.from).await?;
        let answer = client.recv_from(&mut buf).await?;
        assert_eq!(&buf[..answer.len], b"answer");
        assert_eq!(answer.from, server.local_addr()?);
        Ok(())
    });
}

#[test]
fn a_connected_socket_hears_its_peer_and_nobody_else() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr)?;
        let stranger = UdpSocket::bind(addr)?;
        stranger.send_to(b"not for you", near.local_addr()?).await?;
        assert_eq!(far.send(b"hello").await?, 5);
        let mut buf = [0; 64];
        assert_eq!(near.recv(&mut buf).await?.len, 5);
        assert_eq!(near.peer_addr()?, far.local_addr()?);
        let err = near.try_recv(&mut buf).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

#[test]
fn a_socket_can_be_connected_again() {
    run(async {
        let (near, far) = pair()?;
        let other = UdpSocket::bind(v4())?;
        near.connect(other.local_addr()?)?;
        assert_eq!(near.peer_addr()?, other.local_addr()?);
        near.send(b"elsewhere").await?;
        assert_eq!(other.recv(&mut [0; 16]).await?.len, 9);
        assert_eq!(far.try_recv(&mut [0; 16]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

#[test]
fn connecting_a_socket_of_every_address_tells_which_one_it_sends_from() {
    run(async {
        let peer = UdpSocket::bind(v4())?;
        let socket = UdpSocket::bind("0.0.0.0:0".parse().unwrap())?;
        assert!(socket.local_addr()?.ip().is_unspecified());
        let err = socket.peer_addr().unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::NotConnected);
        socket.connect(peer.local_addr()?)?;
        assert!(socket.local_addr()?.ip().is_loopback());
        Ok(())
    });
}

#[test]
fn a_truncated_datagram_says_so_and_leaves_the_next_one_whole() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr)?;
        near.send(b"too long").await?;
        near.send(b"next").await?;
        let mut buf = [0; 4];
        let first = far.recv(&mut buf).await?;
        assert_eq!((first.len, first.datagram_len, first.is_truncated()), (4, 8, true));
        assert_eq!(&buf, b"too ");
        let second = far.recv_from(&mut buf).await?;
        assert_eq!((second.len, second.datagram_len, second.is_truncated()), (4, 4, false));
        assert_eq!(&buf, b"next");
        Ok(())
    });
}

#[test]
fn an_empty_datagram_is_not_the_end() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr)?;
        for _ in 0..3 {
            assert_eq!(near.send(b"").await?, 0);
            near.send(b"next").await?;
            let mut buf = [0; 8];
            let empty = far.recv_from(&mut buf).await?;
            assert_eq!((empty.len, empty.from), (0, near.local_addr()?));
            assert_eq!(far.recv(&mut buf).await?.len, 4);
        }
        Ok(())
    });
}

#[test]
fn an_empty_buffer_takes_a_datagram_and_loses_all_of_it() {
    run(async {
        let (near, far) = pair()?;
        near.send(b"lost").await?;
        near.send(b"next").await?;
        let lost = far.recv(&mut []).await?;
        assert_eq!((lost.len, lost.datagram_len), (0, 4));
        assert_eq!(far.recv(&mut [0; 8]).await?.datagram_len, 4);
        Ok(())
    });
}

#[test]
fn a_peeked_datagram_is_still_there_and_whole() {
    run(async {
        let (near, far) = pair()?;
        near.send(b"datagram").await?;
        let mut buf = [0; 4];
        for _ in 0..2 {
            let seen = far.peek(&mut buf).await?;
            assert_eq!((seen.len, seen.datagram_len), (4, 8));
            let seen = far.peek_from(&mut buf).await?;
            assert_eq!((seen.datagram_len, seen.from), (8, near.local_addr()?));
        }
        let mut buf = [0; 16];
        assert_eq!(far.recv(&mut buf).await?.len, 8);
        assert_eq!(far.try_recv(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

/// A short read says nothing about the datagram behind it, for which no edge comes.
#[test]
fn a_datagram_behind_a_short_one_is_received_without_a_further_edge() {
    run(async {
        let (near, far) = pair()?;
        let far = Rc::new(far);
        let reader = Rc::clone(&far);
        let task = reactor::spawn(async move { reader.recv(&mut [0; 64]).await });
        settle().await;
        for _ in 0..3 {
            near.send(b"short").await?;
        }
        assert_eq!(task.await.unwrap()?.len, 5);
        assert_eq!(far.recv(&mut [0; 64]).await?.len, 5);
        assert_eq!(far.recv(&mut [0; 64]).await?.len, 5);
        Ok(())
    });
}

#[test]
fn several_readers_share_what_arrives() {
    const READERS: usize = 10;
    run(async {
        let (near, far) = pair()?;
        let far = Rc::new(far);
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let far = Rc::clone(&far);
                reactor::spawn(async move {
                    let mut buf = [0; 8];
                    far.recv(&mut buf).await.map(|_| buf[0])
                })
            })
            .collect();
        settle().await;
        for i in 0..READERS {
            near.send(&[i as u8]).await?;
        }
        let mut got = Vec::new();
        for reader in readers {
            got.push(reader.await.unwrap()?);
        }
        got.sort_unstable();
        assert_eq!(got, (0..READERS as u8).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn the_longest_datagram_passes_and_a_longer_one_is_refused() {
    run(async {
        let (near, far) = pair()?;
        let longest = pattern(65_507);
        assert_eq!(near.send(&longest).await?, longest.len());
        let mut buf = vec![0; 1 << 16];
        let received = far.recv(&mut buf).await?;
        assert!(buf[..received.len] == longest);
        let err = near.send(&pattern(65_508)).await.unwrap_err();
        assert!(err.to_string().ends_with(": message too long"), "{err}");
        assert_eq!(near.send(b"as usable as before").await?, 19);
        Ok(())
    });
}

#[test]
fn poll_functions_do_what_the_futures_do() {
    run(async {
        let (near, far) = pair()?;
        let to = far.local_addr()?;
        let mut buf = [0; 8];
        assert_eq!(poll_fn(|cx| near.poll_send(cx, b"one")).await?, 3);
        assert_eq!(poll_fn(|cx| far.poll_recv(cx, &mut buf)).await?.len, 3);
        assert_eq!(poll_fn(|cx| near.poll_send_to(cx, b"four", to)).await?, 4);
        let received = poll_fn(|cx| far.poll_recv_from(cx, &mut buf)).await?;
        assert_eq!((received.len, received.from), (4, near.local_addr()?));
        assert_eq!(near.try_send_to(b"three", to)?, 5);
        far.readable().await?;
        assert_eq!(far.try_recv_from(&mut buf)?.len, 5);
        near.writable().await?;
        assert_eq!(near.try_send(b"")?, 0);
        Ok(())
    });
}

#[test]
fn a_socket_of_ipv6_speaks_ipv4_unless_it_is_told_not_to() {
    run(async {
        let both = UdpSocket::bind("[::]:0".parse().unwrap())?;
        let port = both.local_addr()?.port();
        let client = UdpSocket::bind(v4())?;
        client.send_to(b"four", ([127, 0, 0, 1], port)).await?;
        let received = both.recv_from(&mut [0; 8]).await?;
        assert_eq!(
            received.from.to_string(),
            format!("[::ffff:127.0.0.1]:{}", client.local_addr()?.port())
        );
        both.send_to(b"answer", received.from).await?;
        assert_eq!(client.recv_from(&mut [0; 8]).await?.from.port(), port);

        let only = UdpSocket::builder().v6only(true).bind("[::]:0".parse().unwrap())?;
        client.send_to(b"nobody", ([127, 0, 0, 1], only.local_addr()?.port())).await?;
        let err = only.try_recv(&mut [0; 8]).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}
