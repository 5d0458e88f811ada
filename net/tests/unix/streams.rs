use std::io::{IoSlice, IoSliceMut};
use std::net::Shutdown;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[test]
fn bytes_go_both_ways() {
    run(async {
        let (near, far) = connected().await?;
        near.write_all(b"ping").await?;
        let mut buf = [0; 16];
        assert_eq!(far.read(&mut buf).await?, 4);
        far.write_all(b"pong!").await?;
        assert_eq!(near.read(&mut buf).await?, 5);
        assert_eq!(&buf[..5], b"pong!");
        Ok(())
    });
}

#[test]
fn a_large_message_passes_whole_through_small_buffers() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        near.set_send_buffer_bytes(16 << 10)?;
        let message = pattern(3_000_000);
        let sent = message.clone();
        let writer = reactor::spawn(async move { near.write_all(&sent).await });
        let mut received = Vec::new();
        let mut buf = [0; 10_007];
        loop {
            match far.read(&mut buf).await? {
                0 => break,
                n => received.extend_from_slice(&buf[..n]),
            }
        }
        writer.await.unwrap()?;
        assert!(received == message);
        Ok(())
    });
}

#[test]
fn vectored_reads_and_writes_keep_the_order() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        let parts = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"three")];
        assert_eq!(near.write_vectored(&parts).await?, 8);
        let (mut a, mut b) = ([0; 5], [0; 8]);
        let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        assert_eq!(far.read_vectored(&mut bufs).await?, 8);
        assert_eq!((&a, &b[..3]), (b"oneth", &b"ree"[..]));
        let mut parts = [IoSlice::new(b"all "), IoSlice::new(b"of it")];
        near.write_all_vectored(&mut parts).await?;
        assert_eq!(far.read(&mut [0; 16]).await?, 9);
        Ok(())
    });
}

#[test]
fn peeked_bytes_are_still_there() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        near.write_all(b"bytes").await?;
        let mut buf = [0; 16];
        assert_eq!(far.peek(&mut buf).await?, 5);
        assert_eq!(far.peek(&mut buf[..2]).await?, 2);
        assert_eq!(far.read(&mut buf).await?, 5);
        Ok(())
    });
}

#[test]
fn an_empty_read_is_not_the_end() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        assert_eq!(far.read(&mut []).await?, 0);
        assert_eq!(near.write(&[]).await?, 0);
        near.write_all(b"x").await?;
        assert_eq!(far.read(&mut [0; 8]).await?, 1);
        Ok(())
    });
}

#[test]
fn after_shutdown_of_writing_the_peer_reads_the_end_and_can_answer() {
    run(async {
        let (near, far) = connected().await?;
        near.write_all(b"last words").await?;
        near.shutdown(Shutdown::Write)?;
        let err = near.write(b"x").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::BrokenPipe);
        let mut buf = [0; 16];
        assert_eq!(far.read(&mut buf).await?, 10);
        for _ in 0..3 {
            assert_eq!(far.read(&mut buf).await?, 0, "the end stays the end");
        }
        far.write_all(b"answer").await?;
        assert_eq!(near.read(&mut buf).await?, 6);
        Ok(())
    });
}

#[test]
fn after_shutdown_of_reading_a_parked_read_ends() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        let near = std::rc::Rc::new(near);
        let reader = std::rc::Rc::clone(&near);
        let task = reactor::spawn(async move { reader.read(&mut [0; 8]).await });
        settle().await;
        near.shutdown(Shutdown::Read)?;
        assert_eq!(task.await.unwrap()?, 0);
        assert_eq!(far.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn halves_of_a_reference_read_and_write_at_once() {
    run(async {
        let (mut near, far) = UnixStream::pair()?;
        let (read, write) = UnixStream::split(&mut near);
        write.write_all(b"ping").await?;
        far.write_all(b"pong").await?;
        let mut buf = [0; 8];
        assert_eq!(read.peek(&mut buf).await?, 4);
        assert_eq!(read.read(&mut buf).await?, 4);
        assert_eq!(far.read(&mut buf).await?, 4);
        write.shutdown()?;
        assert_eq!(far.read(&mut buf).await?, 0);
        Ok(())
    });
}

#[test]
fn dropping_the_write_half_is_the_end_for_the_peer_and_reading_goes_on() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        let (read, write) = near.into_split();
        drop(write);
        let mut buf = [0; 8];
        assert_eq!(far.read(&mut buf).await?, 0);
        far.write_all(b"late").await?;
        assert_eq!(read.read(&mut buf).await?, 4);
        Ok(())
    });
}

#[test]
fn halves_of_one_stream_are_put_together_again() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        let (other, _keep) = UnixStream::pair()?;
        let (read, write) = near.into_split();
        let (other_read, other_write) = other.into_split();
        let err = read.reunite(other_write).unwrap_err();
        assert_eq!(err.to_string(), "the halves are not of one stream");
        let near = err.0.reunite(write).unwrap();
        drop((err.1, other_read));
        near.write_all(b"sound").await?;
        assert_eq!(far.read(&mut [0; 8]).await?, 5);
        Ok(())
    });
}

#[test]
fn the_combinators_of_futures_work_on_streams_and_halves() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        let (mut read, mut write) = near.into_split();
        AsyncWriteExt::write_all(&mut write, b"by trait").await?;
        AsyncWriteExt::close(&mut write).await?;
        let mut text = String::new();
        AsyncReadExt::read_to_string(&mut &far, &mut text).await?;
        assert_eq!(text, "by trait");
        AsyncWriteExt::write_all(&mut &far, b"and back").await?;
        let mut buf = [0; 8];
        AsyncReadExt::read_exact(&mut read, &mut buf).await?;
        assert_eq!(&buf, b"and back");
        Ok(())
    });
}

#[test]
fn the_peer_is_who_it_is() {
    run(async {
        let (near, far) = connected().await?;
        for stream in [&near, &far] {
            let peer = stream.peer_credentials()?;
            assert_eq!(peer.pid, std::process::id());
            let mine = fs::metadata("/proc/self")?;
            assert_eq!(peer.uid, std::os::unix::fs::MetadataExt::uid(&mine));
            assert_eq!(peer.gid, std::os::unix::fs::MetadataExt::gid(&mine));
        }
        near.close();
        assert!(reactor::is_closed(&near.peer_credentials().unwrap_err()));
        Ok(())
    });
}

#[test]
fn buffer_sizes_are_read_back_as_they_were_set() {
    run(async {
        let (near, _far) = UnixStream::pair()?;
        near.set_send_buffer_bytes(50_000)?;
        near.set_recv_buffer_bytes(60_000)?;
        assert_eq!((near.send_buffer_bytes()?, near.recv_buffer_bytes()?), (100_000, 120_000));
        assert!(near.take_error()?.is_none());
        Ok(())
    });
}
