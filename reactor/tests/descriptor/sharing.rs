//! Several tasks on one descriptor.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use super::*;

#[test]
fn two_readers_share_a_stream_and_each_byte_reaches_one() {
    block_on(async {
        let (fd, mut peer) = pair();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (fd, seen) = (Rc::clone(&fd), Rc::clone(&seen));
                spawn(async move {
                    let mut buf = [0; 3];
                    loop {
                        match fd.read(&mut buf).await.unwrap() {
                            0 => return,
                            n => seen.borrow_mut().extend_from_slice(&buf[..n]),
                        }
                    }
                })
            })
            .collect();
        for byte in 0..=255 {
            peer.write_all(&[byte]).unwrap();
            yield_now().await;
        }
        drop(peer);
        for reader in readers {
            reader.await.unwrap();
        }
        seen.borrow_mut().sort_unstable();
        assert_eq!(*seen.borrow(), (0..=255).collect::<Vec<u8>>());
    });
}

#[test]
fn the_end_reaches_every_reader() {
    block_on(async {
        let (fd, peer) = pair();
        let readers = [parked_read(&fd).await, parked_read(&fd).await, parked_read(&fd).await];
        drop(peer);
        for result in join_all(readers).await {
            assert_eq!(result.unwrap().unwrap(), 0);
        }
    });
}

#[test]
fn two_writers_that_wait_for_room_both_get_it() {
    block_on(async {
        let (fd, mut peer) = pair();
        fill(&fd).await;
        let writers = [parked_write(&fd).await, parked_write(&fd).await];
        let mut buf = vec![0; 1 << 20];
        assert!(peer.read(&mut buf).unwrap() > 1);
        for result in join_all(writers).await {
            assert_eq!(result.unwrap().unwrap(), 1);
        }
    });
}

#[test]
fn a_poll_style_reader_and_an_async_reader_do_not_disturb_each_other() {
    block_on(async {
        let (fd, peer) = pair();
        assert!(timeout(Duration::ZERO, fd.read(&mut [0; 8])).await.is_err());
        let polling = parked({
            let fd = Rc::clone(&fd);
            async move { poll_fn(|cx| fd.poll_ready(cx, Direction::Read)).await }
        })
        .await;
        let reading = parked_read(&fd).await;
        drop(peer);
        assert_eq!(reading.await.unwrap().unwrap(), 0);
        polling.await.unwrap().unwrap();
    });
}

#[test]
fn of_poll_style_readers_the_last_to_ask_is_woken() {
    block_on(async {
        let (fd, mut peer) = pair();
        let readable = |fd: &Rc<PollFd>| {
            let fd = Rc::clone(fd);
            async move {
                let read = |fd: BorrowedFd<'_>| {
                    std::os::unix::net::UnixStream::from(fd.try_clone_to_owned()?).read(&mut [0; 8])
                };
                poll_fn(|cx| fd.poll_io(cx, Direction::Read, read)).await
            }
        };
        let first = parked(readable(&fd)).await;
        let last = parked(readable(&fd)).await;
        peer.write_all(b"abc").unwrap();
        assert_eq!(last.await.unwrap().unwrap(), 3);
        assert!(!first.is_finished(), "its place was taken over");
    });
}

#[test]
fn the_reader_that_goes_first_does_not_take_the_wake_up_of_the_other_along() {
    block_on(async {
        let (fd, mut peer) = pair();
        let first = parked_read(&fd).await;
        let second = parked_read(&fd).await;
        // The edge wakes both; the first is aborted before it runs.
        peer.write_all(b"abc").unwrap();
        first.abort();
        assert_eq!(second.await.unwrap().unwrap(), 3);
        assert!(first.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn wakers_of_others_are_woken_like_ours() {
    block_on(async {
        let (fd, mut peer) = pair();
        let mut reads: FuturesUnordered<_> = (0..5)
            .map(|_| {
                let fd = Rc::clone(&fd);
                Box::pin(async move { fd.read(&mut [0; 1]).await.unwrap() })
            })
            .collect();
        assert!(timeout(Duration::ZERO, reads.next()).await.is_err());
        let writer = spawn(async move {
            for _ in 0..5 {
                peer.write_all(b"x").unwrap();
                yield_now().await;
            }
            peer
        });
        for _ in 0..5 {
            assert_eq!(reads.next().await, Some(1));
        }
        drop(writer.await.unwrap());
    });
}

/// Dropping a set of futures drops their wakers and their operations while the descriptor is in use.
#[test]
fn a_waker_that_closes_the_descriptor_when_dropped_does_no_harm() {
    block_on(async {
        let (fd, mut peer) = pair();
        let set: FuturesUnordered<_> = (0..3)
            .map(|_| {
                let fd = Rc::clone(&fd);
                Box::pin(async move { fd.read(&mut [0; 8]).await })
            })
            .collect();
        let set = RefCell::new(Some(set));
        poll_fn(|cx| {
            let mut set = set.borrow_mut();
            assert!(set.as_mut().unwrap().poll_next_unpin(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let read = parked_read(&fd).await;
        drop(set.take());
        peer.write_all(b"abc").unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 3);
    });
}

/// A waker that is not ours, whose references can be counted.
struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_future_that_is_dropped_while_it_waits_leaves_no_waker_behind() {
    block_on(async {
        let (fd, mut peer) = pair();
        assert!(timeout(Duration::ZERO, fd.read(&mut [0; 8])).await.is_err());
        let (nobody, mut buf) = (Arc::new(Nobody), [0; 8]);
        let waker = Waker::from(Arc::clone(&nobody));
        let mut cx = Context::from_waker(&waker);
        let waiting: [Pin<Box<dyn Future<Output = io::Result<()>>>>; 3] = [
            Box::pin(fd.io(Direction::Read, |_| Ok(()))),
            Box::pin(fd.readable()),
            Box::pin(fd.while_ready(Direction::Read, || Ok(Some(())))),
        ];
        for mut future in waiting {
            assert!(future.as_mut().poll(&mut cx).is_pending());
            assert_eq!(Arc::strong_count(&nobody), 3);
            drop(future);
            assert_eq!(Arc::strong_count(&nobody), 2);
        }
        // Of one that has been ready in between, too.
        let mut again = fd.readable();
        assert!(Pin::new(&mut again).poll(&mut cx).is_pending());
        peer.write_all(b"abc").unwrap();
        fd.readable().await.unwrap();
        assert!(Pin::new(&mut again).poll(&mut cx).is_ready());
        assert_eq!(fd.read(&mut buf).await.unwrap(), 3);
        assert!(timeout(Duration::ZERO, fd.read(&mut buf)).await.is_err());
        assert!(Pin::new(&mut again).poll(&mut cx).is_pending());
        assert_eq!(Arc::strong_count(&nobody), 3);
        drop(again);
        assert_eq!(Arc::strong_count(&nobody), 2);
    });
}
