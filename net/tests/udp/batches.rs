use std::future::poll_fn;

use net::{BatchFull, Outgoing, RecvBatch, SendBatch};
use reactor::time::now;

use super::*;

fn words(batch: &RecvBatch) -> Vec<String> {
    batch.iter().map(|datagram| String::from_utf8_lossy(datagram.bytes).into_owned()).collect()
}

#[test]
fn a_batch_takes_what_is_there_and_no_more_than_it_has_room_for() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr)?;
        let mut batch = RecvBatch::new(3, 64);
        assert!(batch.is_empty());
        for word in ["a", "bb", "", "dddd", "eeeee"] {
            near.send(word.as_bytes()).await?;
        }
        assert_eq!(far.recv_batch(&mut batch).await?, 3);
        assert_eq!(words(&batch), ["a", "bb", ""]);
        assert_eq!(far.recv_batch(&mut batch).await?, 2, "without a further edge");
        assert_eq!(words(&batch), ["dddd", "eeeee"]);
        assert!(batch.iter().all(|datagram| datagram.info.from == near.local_addr().unwrap()));
        let err = far.try_recv_batch(&mut batch).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
        assert!(batch.is_empty(), "nothing old is left in it");
        Ok(())
    });
}

#[test]
fn a_batch_waits_for_the_first_datagram() {
    run(async {
        let (near, far) = pair()?;
        let task = reactor::spawn(async move {
            let mut batch = RecvBatch::new(8, 64);
            far.recv_batch(&mut batch).await.map(|_| words(&batch))
        });
        settle().await;
        assert!(!task.is_finished());
        near.send(b"first").await?;
        assert_eq!(task.await.unwrap()?, ["first"]);
        Ok(())
    });
}

#[test]
fn each_datagram_of_a_batch_tells_its_own_story() {
    run(async {
        let any = "0.0.0.0:0".parse().unwrap();
        let server = UdpSocket::builder().packet_info(true).recv_tos(true).bind(any)?;
        let port = server.local_addr()?.port();
        let clients = [UdpSocket::bind(v4())?, UdpSocket::bind(v4())?];
        for (last, client) in (1..).zip(&clients) {
            let to = SocketAddr::from(([127, 0, 0, last], port));
            let how = Outgoing { tos: Some(last), ..Outgoing::to(to) };
            client.send_msg(&pattern(usize::from(last) * 4), &how).await?;
        }
        let mut batch = RecvBatch::new(8, 6);
        assert_eq!(server.recv_batch(&mut batch).await?, 2);
        for ((last, client), datagram) in (1..).zip(&clients).zip(batch.iter()) {
            let len = usize::from(last) * 4;
            assert_eq!(datagram.info.from, client.local_addr()?);
            assert_eq!(datagram.info.to, Some([127, 0, 0, last].into()));
            assert_eq!(datagram.info.tos, Some(last));
            assert_eq!(datagram.bytes, &pattern(len)[..len.min(6)]);
            assert_eq!(datagram.info.is_truncated(), len > 6);
            assert_eq!(datagram.info.datagram_len, len);
        }
        Ok(())
    });
}

#[test]
fn a_batch_is_sent_in_order_each_to_its_address() {
    run_on_both(async |addr| {
        let servers = [UdpSocket::bind(addr)?, UdpSocket::bind(addr)?];
        let client = UdpSocket::bind(addr)?;
        let mut batch = SendBatch::new(16, 1024);
        for round in 0..2_u8 {
            for i in 0..10_u8 {
                let to = servers[usize::from(i % 2)].local_addr()?;
                batch.push(&[round, i], &Outgoing::to(to)).unwrap();
            }
            assert_eq!(batch.len(), 10);
            client.send_batch(&mut batch).await?;
            assert!(batch.is_empty());
            for i in 0..10_u8 {
                let mut buf = [0; 8];
                let received = servers[usize::from(i % 2)].recv(&mut buf).await?;
                assert_eq!(buf[..received.len], [round, i]);
            }
        }
        client.send_batch(&mut batch).await?;
        assert_eq!(client.try_send_batch(&mut batch)?, 0, "nothing is nothing");
        Ok(())
    });
}

#[test]
fn a_full_batch_takes_no_more_until_it_is_sent() {
    run(async {
        let (near, far) = pair()?;
        let to_peer = Outgoing::default();
        let mut batch = SendBatch::new(3, 8);
        batch.push(b"12345", &to_peer).unwrap();
        assert_eq!(batch.push(b"6789", &to_peer), Err(BatchFull), "too many bytes");
        batch.push(b"678", &to_peer).unwrap();
        batch.push(b"", &to_peer).unwrap();
        assert_eq!(batch.push(b"", &to_peer), Err(BatchFull), "too many datagrams");
        near.send_batch(&mut batch).await?;
        batch.push(b"12345678", &to_peer).unwrap();
        batch.clear();
        assert!(batch.is_empty());
        let mut received = RecvBatch::new(8, 8);
        far.recv_batch(&mut received).await?;
        assert_eq!(words(&received), ["12345", "678", ""]);
        Ok(())
    });
}

/// An error is of the first datagram that is left, and costs nobody else anything.
#[test]
fn a_datagram_that_cannot_be_sent_is_the_first_one_left() {
    run(async {
        let server = UdpSocket::bind(v4())?;
        let client = UdpSocket::bind(v4())?;
        let good = Outgoing::to(server.local_addr()?);
        let contradicts_itself = Outgoing { from: Some("::1".parse().unwrap()), ..good };
        let elsewhere = Outgoing::to("[::1]:9".parse().unwrap());
        for (bad, reason) in [(contradicts_itself, "IPv4 and IPv6"), (elsewhere, "[::1]:9")] {
            let mut batch = SendBatch::new(8, 64);
            batch.push(b"one", &good).unwrap();
            batch.push(b"bad", &bad).unwrap();
            batch.push(b"two", &good).unwrap();
            let err = client.send_batch(&mut batch).await.unwrap_err();
            assert!(err.to_string().contains(reason), "{err}");
            assert_eq!(batch.len(), 2, "the bad one, and what is behind it");
            let err = client.try_send_batch(&mut batch).unwrap_err();
            assert!(err.to_string().contains(reason), "{err}");
            batch.skip();
            client.send_batch(&mut batch).await?;
            let mut received = RecvBatch::new(8, 8);
            server.recv_batch(&mut received).await?;
            assert_eq!(words(&received), ["one", "two"]);
        }
        Ok(())
    });
}

#[test]
fn a_batch_is_empty_after_an_error_also_after_one_of_a_deadline() {
    run(async {
        let (near, far) = pair()?;
        let mut batch = RecvBatch::new(8, 64);
        for round in 0..3 {
            near.send(b"old").await?;
            assert_eq!(far.recv_batch(&mut batch).await?, 1);
            far.set_read_deadline(Some(now()));
            let late = match round {
                0 => far.recv_batch(&mut batch).await,
                1 => poll_fn(|cx| far.poll_recv_batch(cx, &mut batch)).await,
                _ => far.try_recv_batch(&mut batch),
            };
            assert!(is_timeout(&late.unwrap_err()));
            assert_eq!(words(&batch), [""; 0]);
            far.set_read_deadline(None);
        }
        Ok(())
    });
}

#[test]
fn poll_functions_of_batches_do_what_the_futures_do() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr)?;
        let receiving = reactor::spawn(async move {
            let mut batch = RecvBatch::new(8, 64);
            let mut received = Vec::new();
            while received.len() < 3 {
                let count = poll_fn(|cx| far.poll_recv_batch(cx, &mut batch)).await?;
                assert_eq!(count, batch.len());
                received.extend(words(&batch));
            }
            Ok::<_, io::Error>((received, far))
        });
        settle().await;
        assert!(!receiving.is_finished());
        let mut batch = SendBatch::new(8, 64);
        for word in ["one", "", "three"] {
            batch.push(word.as_bytes(), &Outgoing::default()).unwrap();
        }
        near.set_write_deadline(Some(now()));
        let err = poll_fn(|cx| near.poll_send_batch(cx, &mut batch)).await.unwrap_err();
        assert!(is_timeout(&err) && err.to_string().starts_with("write udp "), "{err}");
        assert_eq!(batch.len(), 3, "none was sent");
        near.set_write_deadline(None);
        poll_fn(|cx| near.poll_send_batch(cx, &mut batch)).await?;
        assert!(batch.is_empty());
        let (received, far) = receiving.await.unwrap()?;
        assert_eq!(received, ["one", "", "three"]);

        poll_fn(|cx| near.poll_send_batch(cx, &mut batch)).await?;
        far.close();
        let mut batch = RecvBatch::new(8, 64);
        let err = poll_fn(|cx| far.poll_recv_batch(cx, &mut batch)).await.unwrap_err();
        assert!(reactor::is_closed(&err) && err.to_string().starts_with("read udp "), "{err}");
        Ok(())
    });
}

#[test]
fn a_thousand_datagrams_pass_in_batches_and_in_order() {
    const COUNT: u32 = 1000;
    run(async {
        let (near, far) = pair()?;
        far.set_recv_buffer_bytes(4 << 20)?;
        let mut out = SendBatch::new(50, 50 * 4);
        let mut batch = RecvBatch::new(64, 16);
        let mut expected = 0_u32;
        for i in 0..COUNT {
            if out.push(&i.to_be_bytes(), &Outgoing::default()).is_err() {
                unreachable!("it is sent before it is full");
            }
            if out.len() == 50 {
                near.send_batch(&mut out).await?;
                while expected <= i {
                    far.recv_batch(&mut batch).await?;
                    for datagram in batch.iter() {
                        assert_eq!(datagram.bytes, expected.to_be_bytes());
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(expected, COUNT);
        Ok(())
    });
}

#[test]
#[should_panic(expected = "a batch of 1025 datagrams, where 1 to 1024 are possible")]
fn a_batch_larger_than_a_call_takes_is_a_mistake() {
    let _ = RecvBatch::new(1025, 1);
}

#[test]
#[should_panic(expected = "a batch of 0 datagrams, where 1 to 1024 are possible")]
fn a_batch_of_nothing_is_a_mistake() {
    let _ = SendBatch::new(0, 1);
}
