//! Halves, and the traits of futures-io.

use std::io;
use std::rc::Rc;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use net::TcpStream;
use reactor::spawn;

use crate::{pair, pattern, read_to_end, run};

#[test]
fn borrowed_halves_read_and_write_at_once() {
    run(async {
        let (mut near, far) = pair().await?;
        let echo = spawn(async move {
            let sent = read_to_end(&far).await?;
            far.write_all(&sent).await
        });
        let (read, write) = TcpStream::split(&mut near);
        write.write_all(b"there and back").await?;
        write.shutdown()?;
        let mut buf = [0; 64];
        let n = read.read(&mut buf).await?;
        assert_eq!(&buf[..n], b"there and back");
        echo.await.unwrap()?;

        let (read, _write) = TcpStream::split(&mut near);
        assert_eq!(read.read(&mut buf).await?, 0, "dropping borrowed halves closes nothing");
        Ok(())
    });
}

#[test]
fn owned_halves_work_in_two_tasks() {
    run(async {
        let (near, far) = pair().await?;
        let (read, write) = near.into_split();
        let sent = pattern(1 << 20);
        let expected = sent.clone();
        let writer = spawn(async move { write.write_all(&sent).await.map(|()| write) });
        let echo = spawn(async move {
            let mut buf = [0; 4096];
            loop {
                match far.read(&mut buf).await? {
                    0 => return Ok::<_, io::Error>(()),
                    n => far.write_all(&buf[..n]).await?,
                }
            }
        });
        let mut received = vec![0; expected.len()];
        let mut read = read;
        AsyncReadExt::read_exact(&mut read, &mut received).await?;
        assert!(received == expected);
        drop(writer.await.unwrap()?);
        echo.await.unwrap()?;
        assert_eq!(read.read(&mut received).await?, 0);
        Ok(())
    });
}

#[test]
fn dropping_the_owned_write_half_ends_the_stream_and_reading_goes_on() {
    run(async {
        let (near, far) = pair().await?;
        let (read, write) = near.into_split();
        write.write_all(b"question").await?;
        drop(write);
        assert_eq!(read_to_end(&far).await?, b"question");
        far.write_all(b"answer").await?;
        assert_eq!(read.read(&mut [0; 16]).await?, 6);
        Ok(())
    });
}

#[test]
fn dropping_the_owned_read_half_leaves_writing() {
    run(async {
        let (near, far) = pair().await?;
        let (read, write) = near.into_split();
        drop(read);
        write.write_all(b"still here").await?;
        assert_eq!(far.read(&mut [0; 16]).await?, 10);
        drop(write);
        assert_eq!(far.read(&mut [0; 16]).await?, 0);
        Ok(())
    });
}

#[test]
fn a_forgotten_write_half_shuts_nothing_down() {
    run(async {
        let (near, far) = pair().await?;
        let (read, write) = near.into_split();
        write.forget();
        read.as_ref().write_all(b"open").await?;
        assert_eq!(far.read(&mut [0; 16]).await?, 4);
        drop(read);
        assert_eq!(far.read(&mut [0; 16]).await?, 0, "the last half closes");
        Ok(())
    });
}

#[test]
fn reunited_halves_are_the_open_stream() {
    run(async {
        let (near, far) = pair().await?;
        let (read, write) = near.into_split();
        let near = read.reunite(write).unwrap();
        near.write_all(b"whole").await?;
        assert_eq!(far.read(&mut [0; 16]).await?, 5);

        let (read, _write) = near.into_split();
        let (_other_read, other_write) = far.into_split();
        let err = read.reunite(other_write).unwrap_err();
        assert_eq!(err.to_string(), "the halves are not of one stream");
        assert_eq!(err.0.as_ref().peer_addr()?, err.1.as_ref().local_addr()?, "both come back");
        Ok(())
    });
}

#[test]
fn the_futures_io_traits_work_on_every_shape() {
    async fn send(mut to: impl AsyncWriteExt + Unpin) -> io::Result<()> {
        to.write_all(b"all of it").await?;
        to.flush().await?;
        to.close().await
    }
    async fn receive(mut from: impl AsyncReadExt + Unpin) -> io::Result<()> {
        let mut all = Vec::new();
        from.read_to_end(&mut all).await?;
        assert_eq!(all, b"all of it");
        Ok(())
    }
    run(async {
        let (near, far) = pair().await?;
        send(&near).await?;
        receive(&far).await?;
        send(far).await?;
        receive(near).await?;

        let (mut near, mut far) = pair().await?;
        send(TcpStream::split(&mut near).1).await?;
        receive(TcpStream::split(&mut far).0).await?;
        let (near_read, _near_write) = near.into_split();
        let (_far_read, far_write) = far.into_split();
        send(far_write).await?;
        receive(near_read).await
    });
}

#[test]
fn closing_by_the_trait_leaves_reading_open() {
    run(async {
        let (near, far) = pair().await?;
        AsyncWriteExt::close(&mut &near).await?;
        AsyncWriteExt::close(&mut &near).await?;
        assert_eq!(far.read(&mut [0; 8]).await?, 0);
        far.write_all(b"answer").await?;
        assert_eq!(near.read(&mut [0; 8]).await?, 6);
        Ok(())
    });
}

#[test]
fn two_tasks_share_a_stream_in_an_rc() {
    run(async {
        let (near, far) = pair().await?;
        let near = Rc::new(near);
        let reader = Rc::clone(&near);
        let read = spawn(async move { reader.read(&mut [0; 8]).await });
        near.write_all(b"ping").await?;
        assert_eq!(far.read(&mut [0; 8]).await?, 4);
        far.write_all(b"pong").await?;
        assert_eq!(read.await.unwrap()?, 4);
        Ok(())
    });
}
