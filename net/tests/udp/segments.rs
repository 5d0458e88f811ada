use net::{GSO_SEGMENTS_MAX, Outgoing, RecvBatch};

use super::*;

fn cut(segment_bytes: u16) -> Outgoing {
    Outgoing { segment_bytes: Some(segment_bytes), ..Outgoing::default() }
}

#[test]
fn one_buffer_leaves_as_many_datagrams() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr)?;
        let sent = pattern(10 * 1000 + 7);
        assert_eq!(near.send_msg(&sent, &cut(1000)).await?, sent.len());
        let mut buf = [0; 2000];
        for expected in sent.chunks(1000) {
            let received = far.recv(&mut buf).await?;
            assert_eq!(&buf[..received.len], expected);
        }
        let err = far.try_recv(&mut buf).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

#[test]
fn many_datagrams_arrive_in_one_buffer_which_says_where_they_part() {
    run_on_both(async |addr| {
        let far = UdpSocket::builder().gro(true).bind(addr)?;
        let near = UdpSocket::builder().connect(far.local_addr()?)?;
        let sent = pattern(10 * 1000 + 7);
        near.send_msg(&sent, &cut(1000)).await?;
        let mut batch = RecvBatch::new(16, 65_535);
        let (mut received, mut buffers) = (Vec::<Vec<u8>>::new(), 0);
        while received.concat().len() < sent.len() {
            buffers += far.recv_batch(&mut batch).await?;
            for datagram in batch.iter() {
                received.extend(datagram.segments().map(<[u8]>::to_vec));
            }
        }
        assert_eq!(received, sent.chunks(1000).collect::<Vec<_>>());
        assert_eq!(buffers, 1, "the loopback takes them apart for nobody");

        near.send(b"alone").await?;
        near.send(b"").await?;
        let mut buf = vec![0; 65_535];
        let info = far.recv_msg(&mut buf).await?;
        assert_eq!((info.len, info.segment_bytes), (5, None));
        far.recv_batch(&mut batch).await?;
        let empty = batch.iter().next().unwrap();
        assert_eq!(empty.segments().collect::<Vec<_>>(), [b""], "an empty one is one");
        Ok(())
    });
}

#[test]
fn as_many_segments_as_are_promised_leave_at_once() {
    run(async {
        let (near, far) = pair()?;
        far.set_recv_buffer_bytes(1 << 20)?;
        let sent = pattern(GSO_SEGMENTS_MAX * 100);
        near.send_msg(&sent, &cut(100)).await?;
        let mut batch = RecvBatch::new(GSO_SEGMENTS_MAX, 100);
        assert_eq!(far.recv_batch(&mut batch).await?, GSO_SEGMENTS_MAX);
        Ok(())
    });
}

#[test]
fn segments_that_cannot_be_are_refused() {
    run(async {
        let (near, _far) = pair()?;
        let err = near.send_msg(b"x", &cut(0)).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        assert!(near.send_msg(&[0; 2000], &cut(1)).await.is_err(), "too many");
        assert_eq!(near.send_msg(b"as usable as before", &cut(10)).await?, 19);
        Ok(())
    });
}
