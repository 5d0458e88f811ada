//! Reading, writing and accepting: what is one message and what is none, and errors of the moment.

use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use reactor::metrics;

use super::*;

#[test]
fn an_empty_datagram_is_a_message_and_not_the_end() {
    block_on(async {
        let (fd, peer) = datagrams();
        let read = parked_read(&fd).await;
        peer.send(b"").unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 0);
        let read = parked_read(&fd).await;
        peer.send(b"next").unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 4);
        assert_eq!(fd.write(b"").await.unwrap(), 0);
        assert_eq!(peer.recv(&mut [0; 8]).unwrap(), 0, "an empty one is sent, too");
    });
}

#[test]
fn a_truncated_datagram_loses_its_rest_and_nothing_of_the_next() {
    block_on(async {
        let (fd, peer) = datagrams();
        peer.send(b"too long").unwrap();
        peer.send(b"next").unwrap();
        let mut buf = [0; 4];
        assert_eq!(fd.read(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b"too ");
        assert_eq!(fd.read(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b"next");
    });
}

#[test]
fn a_second_connection_in_the_queue_is_accepted_without_a_further_edge() {
    block_on(async {
        let (listener, addr) = listener();
        let task = parked_accept(&listener).await;
        let _clients = [(); 3].map(|()| UnixStream::connect_addr(&addr).unwrap());
        task.await.unwrap().unwrap();
        accept(&listener).await.unwrap();
        accept(&listener).await.unwrap();
        let err = listener.try_io(Direction::Read, accept_now).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::WouldBlock);
    });
}

/// An error of the moment, `EMFILE` above all, comes without an edge behind it: the connection has
/// been in the queue all the time.
#[test]
fn after_a_passing_error_the_next_try_needs_no_edge() {
    block_on(async {
        let (listener, addr) = listener();
        drop(parked_accept(&listener).await);
        let _clients = [(); 2].map(|()| UnixStream::connect_addr(&addr).unwrap());
        for _ in 0..3 {
            let emfile = |_: BorrowedFd<'_>| Err::<(), _>(io::Error::from_raw_os_error(24));
            let err = listener.io(Direction::Read, emfile).await.unwrap_err();
            assert_eq!(err.raw_os_error(), Some(24));
        }
        accept(&listener).await.unwrap();
    });
}

#[test]
fn an_empty_read_and_an_empty_write_of_a_stream_do_nothing() {
    block_on(async {
        let (fd, mut peer) = pair();
        assert_eq!(fd.read(&mut []).await.unwrap(), 0);
        assert_eq!(fd.write(&[]).await.unwrap(), 0);
        assert_eq!(metrics().parks, 0);
        peer.write_all(b"abc").unwrap();
        assert_eq!(fd.read(&mut []).await.unwrap(), 0, "not with data there either");
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 3);
    });
}

#[test]
fn a_directory_is_not_pollable() {
    block_on(async {
        let directory = File::open("/proc/self").unwrap();
        let err = PollFd::new(directory.into()).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn a_regular_file_taken_for_a_socket_is_not_pollable_once_it_would_park() {
    block_on(async {
        let file = PollFd::from_socket(File::open("/proc/self/exe").unwrap().into());
        assert_eq!(file.read(&mut [0; 4]).await.unwrap(), 4);
        let blocks = |_: BorrowedFd<'_>| Err::<(), _>(ErrorKind::WouldBlock.into());
        let err = file.io(Direction::Read, blocks).await.unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Unsupported);
        assert_eq!(metrics().descriptors, 0);
    });
}

#[test]
fn a_drained_stream_is_not_asked_again_before_the_next_edge() {
    block_on(async {
        let (fd, mut peer) = pair();
        drop(parked_read(&fd).await);
        peer.write_all(b"abc").unwrap();
        fd.readable().await.unwrap();
        while metrics().tasks > 0 {
            yield_now().await;
        }
        fd.drained(Direction::Read);
        let tries = Cell::new(0);
        let mut read = std::pin::pin!(fd.io(Direction::Read, |fd| {
            tries.set(tries.get() + 1);
            UnixStream::from(fd.try_clone_to_owned()?).read(&mut [0; 8])
        }));
        assert!(timeout(Duration::ZERO, read.as_mut()).await.is_err());
        assert_eq!(tries.get(), 0);
        peer.write_all(b"de").unwrap();
        assert_eq!(read.await.unwrap(), 2);
        assert_eq!(tries.get(), 1);
    });
}

/// Before a descriptor is registered, no edge would end the wait.
#[test]
fn drained_before_the_first_wait_hangs_nobody() {
    block_on(async {
        let (fd, mut peer) = pair();
        peer.write_all(b"abc").unwrap();
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 3);
        fd.drained(Direction::Read);
        peer.write_all(b"de").unwrap();
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 2);
    });
}

#[test]
fn a_large_message_passes_whole_through_small_buffers() {
    const LEN: usize = 3_000_000;
    block_on(async {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        let (near, far) = (poll_fd(near), poll_fd(far));
        let message: Vec<u8> = (0..LEN).map(|i| (i % 251) as u8).collect();
        let sent = message.clone();
        let writer = spawn(async move {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let n = near.write(rest).await.unwrap();
                rest = &rest[n..];
            }
        });
        let mut received = Vec::new();
        let mut buf = [0; 10_007];
        loop {
            match far.read(&mut buf).await.unwrap() {
                0 => break,
                n => received.extend_from_slice(&buf[..n]),
            }
        }
        writer.await.unwrap();
        assert!(received == message);
    });
}

/// Reads one byte, from within an operation of [`PollFd::while_ready`].
fn read_one(fd: &PollFd) -> io::Result<u8> {
    let mut byte = [0];
    let read = |fd: BorrowedFd<'_>| UnixStream::from(fd.try_clone_to_owned()?).read(&mut byte);
    fd.try_io(Direction::Read, read)?;
    Ok(byte[0])
}

#[test]
fn while_ready_goes_on_through_waits_until_it_is_given_something() {
    block_on(async {
        let (fd, mut peer) = pair();
        let calls = Rc::new(Cell::new(0));
        let (reader, counted) = (Rc::clone(&fd), Rc::clone(&calls));
        let reading = parked(async move {
            let until_z = || {
                counted.set(counted.get() + 1);
                let byte = read_one(&reader)?;
                Ok((byte == b'z').then_some(byte))
            };
            reader.while_ready(Direction::Read, until_z).await
        })
        .await;
        for bytes in [&b"ab"[..], b"c", b"dz!"] {
            peer.write_all(bytes).unwrap();
            yield_now().await;
            yield_now().await;
        }
        assert_eq!(reading.await.unwrap().unwrap(), b'z');
        assert!(calls.get() >= 5, "a call for each byte: {}", calls.get());
        assert_eq!(read_one(&fd).unwrap(), b'!');
    });
}

#[test]
fn while_ready_with_an_operation_that_never_gets_on_lets_others_run() {
    block_on(async {
        let (fd, _peer) = pair();
        let idle = spawn(async move {
            fd.while_ready(Direction::Read, || Ok::<_, io::Error>(None::<()>)).await
        });
        for _ in 0..10 {
            yield_now().await;
        }
        idle.abort();
        assert!(idle.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn while_ready_ends_by_deadline_by_close_and_by_the_error_of_its_operation() {
    virtually(async {
        let wait = |fd: &Rc<PollFd>| {
            let fd = Rc::clone(fd);
            parked(async move {
                fd.while_ready(Direction::Read, || read_one(&fd).map(|_| None::<()>)).await
            })
        };
        let (fd, _peer) = pair();
        let waiting = wait(&fd).await;
        fd.set_read_deadline(Some(reactor::time::now() + HOUR));
        assert_timed_out(waiting.await.unwrap());
        fd.set_read_deadline(None);
        let waiting = wait(&fd).await;
        fd.close();
        assert_closed(waiting.await.unwrap());

        let (fd, _) = pair();
        let failing = fd.while_ready(Direction::Read, || {
            Err::<Option<()>, _>(io::Error::from(ErrorKind::InvalidData))
        });
        assert_eq!(failing.await.unwrap_err().kind(), ErrorKind::InvalidData);
    });
}
