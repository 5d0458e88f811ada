//! Closing on this side, ends and resets from the other, and half of either.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use futures_util::future::join_all;
use reactor::metrics;

use super::*;

fn shutdown(fd: &PollFd, how: Shutdown) {
    let shutdown = |fd: BorrowedFd<'_>| UnixStream::from(fd.try_clone_to_owned()?).shutdown(how);
    fd.with_fd(shutdown).unwrap().unwrap();
}

#[test]
fn every_operation_after_a_close_says_so() {
    block_on(async {
        let (fd, _peer) = pair();
        assert!(!fd.is_closed());
        fd.close();
        fd.close();
        assert!(fd.is_closed());
        for _ in 0..2 {
            assert_closed(fd.read(&mut [0; 8]).await);
            assert_closed(fd.write(b"x").await);
            assert_closed(fd.readable().await);
            assert_closed(fd.writable().await);
            assert_closed(fd.try_io(Direction::Read, |_| Ok(())));
            assert_closed(fd.with_fd(|_| ()));
        }
        assert_closed(Rc::into_inner(fd).unwrap().into_inner());
    });
}

#[test]
fn a_close_closes_the_descriptor_at_once() {
    block_on(async {
        let (fd, mut peer) = pair();
        let read = parked_read(&fd).await;
        fd.close();
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
        assert_closed(read.await.unwrap());
    });
}

#[test]
fn a_drop_closes_the_descriptor() {
    block_on(async {
        let (fd, mut peer) = pair();
        drop(parked_read(&fd).await);
        drop(fd);
        assert_eq!(metrics().descriptors, 1, "a task still reads");
        peer.write_all(b"x").unwrap();
        while metrics().descriptors > 0 {
            yield_now().await;
        }
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    });
}

#[test]
fn an_accept_after_close_says_so() {
    block_on(async {
        let (listener, addr) = listener();
        let _queued = UnixStream::connect_addr(&addr).unwrap();
        listener.close();
        assert_closed(accept(&listener).await);
    });
}

#[test]
fn a_datagram_socket_after_close_says_so() {
    block_on(async {
        let (fd, peer) = datagrams();
        let read = parked_read(&fd).await;
        fd.close();
        assert_closed(read.await.unwrap());
        assert_closed(fd.write(b"x").await);
        assert_eq!(peer.send(b"x").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn ten_parked_accepts_are_freed_by_one_close() {
    block_on(async {
        let (listener, _) = listener();
        let mut accepts = Vec::new();
        for _ in 0..10 {
            accepts.push(parked_accept(&listener).await);
        }
        listener.close();
        for result in join_all(accepts).await {
            assert_closed(result.unwrap());
        }
    });
}

#[test]
fn an_address_can_be_listened_on_again_at_once() {
    block_on(async {
        let (first, addr) = listener();
        drop(parked_accept(&first).await);
        assert_eq!(listen(&addr).unwrap_err().kind(), ErrorKind::AddrInUse);
        first.close();
        let second = listen(&addr).unwrap();
        let _client = UnixStream::connect_addr(&addr).unwrap();
        accept(&second).await.unwrap();
    });
}

#[test]
fn a_connection_that_was_given_up_in_the_queue_is_no_accept_error() {
    block_on(async {
        let (listener, addr) = listener();
        let task = parked_accept(&listener).await;
        drop(UnixStream::connect_addr(&addr).unwrap());
        let mut stream = task.await.unwrap().unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    });
}

#[test]
fn shutting_down_reads_ends_a_parked_read_and_leaves_writes() {
    block_on(async {
        let (fd, mut peer) = pair();
        let read = parked_read(&fd).await;
        shutdown(&fd, Shutdown::Read);
        assert_eq!(read.await.unwrap().unwrap(), 0);
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(fd.write(b"abc").await.unwrap(), 3);
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 3);
    });
}

#[test]
fn shutting_down_writes_is_the_end_for_the_peer_and_an_error_here() {
    block_on(async {
        let (fd, mut peer) = pair();
        assert_eq!(fd.write(b"abc").await.unwrap(), 3);
        shutdown(&fd, Shutdown::Write);
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"abc");
        assert_eq!(fd.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        peer.write_all(b"still").unwrap();
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 5);
    });
}

/// A Unix socket that is closed with unread data resets its peer, as TCP does.
#[test]
fn a_reset_is_an_error_and_never_the_end() {
    block_on(async {
        let (fd, peer) = pair();
        let read = parked_read(&fd).await;
        assert_eq!(fd.write(b"never read").await.unwrap(), 10);
        drop(peer);
        assert_eq!(read.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_parked_write_to_a_peer_that_half_closed_neither_ends_nor_spins() {
    block_on(async {
        let (fd, peer) = pair();
        fill(&fd).await;
        let read = parked_read(&fd).await;
        let write = parked_write(&fd).await;
        let parks = metrics().parks;
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 0, "the half close was seen");
        let events = metrics().events;
        for _ in 0..10_000 {
            yield_now().await;
        }
        assert!(!write.is_finished());
        assert_eq!((metrics().parks, metrics().events), (parks, events));
        drop(peer);
        assert_eq!(write.await.unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_write_end_of_a_pipe_learns_that_the_reader_is_gone() {
    block_on(async {
        let (reader, writer) = io::pipe().unwrap();
        let writer = nonblocking_pipe(writer);
        fill(&writer).await;
        let write = parked_write(&writer).await;
        drop(reader);
        assert_eq!(write.await.unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_read_end_of_a_pipe_learns_that_the_writer_is_gone() {
    block_on(async {
        let (reader, mut writer) = io::pipe().unwrap();
        let reader = nonblocking_pipe(reader);
        let read = parked_read(&reader).await;
        writer.write_all(b"last").unwrap();
        drop(writer);
        assert_eq!(read.await.unwrap().unwrap(), 4);
        assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

/// The flag belongs to what is open, whichever descriptor sets it.
fn nonblocking_pipe(end: impl Into<OwnedFd>) -> Rc<PollFd> {
    let end = UnixStream::from(end.into());
    end.set_nonblocking(true).unwrap();
    Rc::new(PollFd::new(end.into()).unwrap())
}

#[test]
fn a_close_in_the_midst_of_use_frees_everyone_every_time() {
    block_on(async {
        for round in 0..300 {
            let (fd, mut peer) = pair();
            let tasks: Vec<_> = (0..4)
                .map(|i| {
                    let fd = Rc::clone(&fd);
                    spawn(async move {
                        loop {
                            let result = match i % 2 {
                                0 => fd.read(&mut [0; 16]).await,
                                _ => fd.write(&[0; 1024]).await,
                            };
                            if let Err(err) = result {
                                return err;
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..round % 7 {
                peer.write_all(&[1; 8]).unwrap();
                yield_now().await;
            }
            fd.close();
            for err in join_all(tasks).await {
                assert!(reactor::is_closed(&err.unwrap()));
            }
            assert_eq!(metrics().descriptors, 0);
        }
    });
}
