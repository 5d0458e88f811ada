//! Reading to the end of a `BytesMut`.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;

use bytes::{Buf, BytesMut};
use net::{IO_BYTES_MAX, READ_INTO_BYTES_MIN, UnixStream};
use reactor::spawn;

use crate::{pair, pattern, run, settle};

#[test]
fn what_was_in_the_buffer_stays_before_what_is_read() {
    run(async {
        let (near, far) = pair().await?;
        near.write_all(b" world").await?;
        let mut buf = BytesMut::with_capacity(64);
        buf.extend_from_slice(b"hello");
        assert_eq!(far.read_into(&mut buf).await?, 6);
        assert_eq!(&buf[..], b"hello world");
        Ok(())
    });
}

#[test]
fn no_more_is_read_than_there_is_room_for() {
    run(async {
        let (near, far) = pair().await?;
        near.write_all(&[7; 100]).await?;
        let mut buf = BytesMut::with_capacity(64);
        assert_eq!(far.read_into(&mut buf).await?, 64);
        assert_eq!(buf.capacity(), 64, "there was room: none was made");
        assert_eq!(far.read_into(&mut buf).await?, 36);
        assert!(buf.capacity() >= 64 + READ_INTO_BYTES_MIN, "there was none: some was made");
        assert_eq!(&buf[..], [7; 100]);
        Ok(())
    });
}

#[test]
fn the_end_is_zero_also_without_room() {
    run(async {
        let (near, far) = pair().await?;
        drop(near);
        let mut buf = BytesMut::new();
        assert_eq!(far.read_into(&mut buf).await?, 0);
        assert!(buf.is_empty());
        Ok(())
    });
}

#[test]
fn a_cancelled_read_leaves_the_buffer_as_it_was() {
    run(async {
        let (near, far) = pair().await?;
        let mut buf = BytesMut::from(&b"kept"[..]);
        let read = spawn(async move {
            let timed = reactor::time::timeout(std::time::Duration::ZERO, far.read_into(&mut buf));
            assert!(timed.await.is_err());
            assert_eq!(&buf[..], b"kept");
            far.read_into(&mut buf).await?;
            Ok::<_, io::Error>(buf)
        });
        settle().await;
        near.write_all(b" and more").await?;
        assert_eq!(&read.await.unwrap()?[..], b"kept and more");
        Ok(())
    });
}

#[test]
fn the_poll_and_try_forms_read_the_same() {
    run(async {
        let (near, far) = pair().await?;
        let mut buf = BytesMut::new();
        let err = far.try_read_into(&mut buf).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
        near.write_all(b"ab").await?;
        assert_eq!(poll_fn(|cx| far.poll_read_into(cx, &mut buf)).await?, 2);
        near.write_all(b"cd").await?;
        far.readable().await?;
        assert_eq!(far.try_read_into(&mut buf)?, 2);
        assert_eq!(&buf[..], b"abcd");
        Ok(())
    });
}

#[test]
fn passed_descriptors_do_not_hide_what_follows_them() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        let mut buf = BytesMut::with_capacity(1024);
        assert!(far.try_read_into(&mut buf).is_err(), "registered: only an edge helps now");
        near.send_fds(b"one ", &[std::io::stdin().as_fd()]).await?;
        near.write_all(b"two").await?;
        while buf.len() < 7 {
            far.read_into(&mut buf).await?;
        }
        assert_eq!(&buf[..], b"one two");
        Ok(())
    });
}

#[test]
fn megabytes_pass_through_one_buffer() {
    run(async {
        let (near, far) = pair().await?;
        let sent = pattern(4 << 20);
        let expected = sent.clone();
        let write = spawn(async move { near.write_all(&sent).await });
        let (mut buf, mut at) = (BytesMut::with_capacity(32 << 10), 0);
        while let n @ 1.. = far.read_into(&mut buf).await? {
            assert!(buf[..n] == expected[at..at + n]);
            at += n;
            buf.advance(n);
            buf.reserve(32 << 10);
        }
        assert_eq!(at, expected.len());
        assert!(buf.capacity() < IO_BYTES_MAX);
        write.await.unwrap()
    });
}
