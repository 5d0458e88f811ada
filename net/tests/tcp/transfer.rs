//! Many bytes: large transfers, back-pressure, partial writes.

use std::io;
use std::rc::Rc;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use net::TcpStream;
use reactor::spawn;

use crate::{fill, narrow_pair, pair_on, pattern, read_exact, read_to_end, run, settle, v4, v6};

const LARGE_BYTES: usize = 8 << 20;

#[test]
fn eight_mebibytes_arrive_both_ways_at_once() {
    async fn exchange(stream: TcpStream, sent: Rc<Vec<u8>>) -> io::Result<Vec<u8>> {
        let stream = Rc::new(stream);
        let writer = Rc::clone(&stream);
        let write = spawn(async move {
            writer.write_all(&sent).await?;
            writer.shutdown(std::net::Shutdown::Write)
        });
        let received = read_to_end(&stream).await?;
        write.await.unwrap()?;
        Ok(received)
    }
    run(async {
        let sent = Rc::new(pattern(LARGE_BYTES));
        for addr in [v4(), v6()] {
            let (near, far) = pair_on(addr).await?;
            let near = spawn(exchange(near, Rc::clone(&sent)));
            let far = spawn(exchange(far, Rc::clone(&sent)));
            assert!(near.await.unwrap()? == *sent);
            assert!(far.await.unwrap()? == *sent);
        }
        Ok(())
    });
}

#[test]
fn the_poll_functions_carry_a_large_transfer() {
    run(async {
        let (near, mut far) = narrow_pair().await?;
        let sent = pattern(2 << 20);
        let expected = sent.clone();
        let write = spawn(async move {
            let mut near = near;
            AsyncWriteExt::write_all(&mut near, &sent).await?;
            AsyncWriteExt::close(&mut near).await
        });
        let mut received = Vec::new();
        AsyncReadExt::read_to_end(&mut far, &mut received).await?;
        write.await.unwrap()?;
        assert!(received == expected);
        Ok(())
    });
}

#[test]
fn a_writer_stops_where_the_reader_does() {
    run(async {
        let (near, far) = narrow_pair().await?;
        let near = Rc::new(near);
        let filled = fill(&near)?;
        assert!(filled > 0);
        let err = near.try_write(b"x").unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock);

        let writer = Rc::clone(&near);
        let write = spawn(async move {
            writer.writable().await?;
            writer.write(&[7; 1 << 20]).await
        });
        settle().await;
        assert!(!write.is_finished(), "no room");

        let mut drained = vec![0; filled];
        read_exact(&far, &mut drained).await?;
        let n = write.await.unwrap()?;
        assert!(n > 0 && n < 1 << 20, "a partial write of {n} bytes");
        Ok(())
    });
}

#[test]
fn a_slow_reader_gets_every_byte() {
    run(async {
        let (near, far) = narrow_pair().await?;
        let sent = pattern(1 << 20);
        let expected = sent.clone();
        let write = spawn(async move { near.write_all(&sent).await });
        let mut received = Vec::new();
        let mut buf = [0; 977];
        loop {
            let n = far.read(&mut buf).await?;
            if n == 0 {
                break;
            }
            received.extend_from_slice(&buf[..n]);
            reactor::yield_now().await;
        }
        write.await.unwrap()?;
        assert!(received == expected);
        Ok(())
    });
}

#[test]
fn sixty_four_connections_echo_at_once() {
    run(async {
        let listener = net::TcpListener::bind(v4())?;
        let addr = listener.local_addr()?;
        let server = spawn(async move {
            for _ in 0..64 {
                let (stream, _) = listener.accept().await?;
                spawn(async move {
                    let mut buf = [0; 1024];
                    while let Ok(n @ 1..) = stream.read(&mut buf).await {
                        stream.write_all(&buf[..n]).await.unwrap();
                    }
                })
                .detach();
            }
            Ok::<_, io::Error>(())
        });
        let clients: Vec<_> = (0..64_usize)
            .map(|id| {
                spawn(async move {
                    let stream = TcpStream::connect(addr).await?;
                    for round in 0..100 {
                        let sent = pattern(1 + (id * 31 + round * 17) % 1024);
                        stream.write_all(&sent).await?;
                        let mut received = vec![0; sent.len()];
                        read_exact(&stream, &mut received).await?;
                        assert!(received == sent, "client {id}, round {round}");
                    }
                    Ok::<_, io::Error>(())
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap()?;
        }
        server.await.unwrap()
    });
}
