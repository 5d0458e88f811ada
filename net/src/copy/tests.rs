//! What a kernel that refuses makes of a copy. With one that does not: `tests/tcp/copying.rs`.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::task::Poll;

use reactor::{spawn, yield_now};

use super::{SPLICE_BYTES_MIN, both, copy};
use crate::leaks::leaving_nothing_open;
use crate::pipe::empty_pool;
use crate::sys::fault::{PASS, script};
use crate::{CopyError, TcpListener, TcpStream};

const SENT_BYTES: usize = 3 << 20;

fn run<T>(test: impl Future<Output = io::Result<T>>) -> T {
    leaving_nothing_open(|| reactor::block_on(test).unwrap().unwrap())
}

async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    let (far, _) = listener.accept().await?;
    Ok((near, far))
}

/// What arrives behind a copy of a few MiB that runs as the scripts say, and what it counted.
async fn copied() -> io::Result<(Vec<u8>, Result<u64, CopyError>)> {
    empty_pool();
    let (client, from) = pair().await?;
    let (to, server) = pair().await?;
    let write = spawn(async move {
        client.write_all(&sent()).await?;
        client.shutdown(Shutdown::Write)
    });
    let read = spawn(async move {
        let (mut all, mut buf) = (Vec::new(), vec![0; 64 << 10]);
        while let n @ 1.. = server.read(&mut buf).await? {
            all.extend_from_slice(&buf[..n]);
        }
        Ok::<_, io::Error>(all)
    });
    // So that the first read finds much, and the rest is spliced.
    from.peek(&mut [0]).await?;
    let counted = copy(&from, &to).await;
    drop((from, to));
    let received = read.await.unwrap()?;
    // It fails where the copy did.
    let _ = write.await.unwrap();
    Ok((received, counted))
}

fn sent() -> Vec<u8> {
    (0..SENT_BYTES).map(|i| (i.wrapping_mul(2_654_435_761) >> 16) as u8).collect()
}

#[track_caller]
fn all_arrived((received, counted): (Vec<u8>, Result<u64, CopyError>)) {
    assert_eq!(counted.unwrap(), SENT_BYTES as u64);
    assert!(received == sent());
}

/// The calls of splice(2) that a copy makes whose source says these messages one after another: two
/// for a message, into the pipe and out of it, and one that finds nothing more or the end.
fn splices_made_for(messages: &[usize]) -> usize {
    const COUNTED_MAX: usize = 1000;
    let splices = script("splice", &[PASS; COUNTED_MAX]);
    run(async {
        empty_pool();
        let (client, from) = pair().await?;
        let (to, server) = pair().await?;
        let copied = spawn(async move { copy(&from, &to).await });
        let mut buf = vec![0; 64 << 10];
        for &bytes in messages {
            client.write_all(&vec![7; bytes]).await?;
            let mut left = bytes;
            while left > 0 {
                left -= server.read(&mut buf).await?;
            }
        }
        client.shutdown(Shutdown::Write)?;
        assert_eq!(copied.await.unwrap()?, messages.iter().sum::<usize>() as u64);
        Ok(())
    });
    COUNTED_MAX - splices.left()
}

#[test]
fn small_messages_are_never_spliced() {
    assert_eq!(splices_made_for(&[1, 100, SPLICE_BYTES_MIN / 2, 1, 5000]), 0);
}

#[test]
fn what_follows_a_large_message_is_spliced_until_two_small_ones_have_come() {
    // The first read of a connection is followed by one that finds nothing, and registers it.
    let large = SPLICE_BYTES_MIN;
    assert_eq!(splices_made_for(&[1, large]), 1, "at the end of the stream");
    assert_eq!(splices_made_for(&[1, large, 1, 1, 1, 1]), 2 * 2);
    // A large one may have left something behind it, so another follows that finds nothing.
    assert_eq!(splices_made_for(&[1, large, 1, large, 1, 1, 1]), 4 * 2 + 1);
    assert_eq!(splices_made_for(&[large]), 2, "nothing found does not count");
}

#[test]
fn a_source_that_cannot_be_spliced_is_copied_by_a_buffer() {
    for errno in [libc::EINVAL, libc::ENOSYS, libc::EPERM] {
        let refusals = script("splice", &[errno; 2]);
        all_arrived(run(copied()));
        assert_eq!(refusals.left(), 1, "not tried again");
    }
}

#[test]
fn a_sink_that_cannot_be_spliced_gets_what_is_in_the_pipe_and_the_rest_by_a_buffer() {
    let refusals = script("splice", &[PASS, libc::EINVAL, libc::EINVAL]);
    all_arrived(run(copied()));
    assert_eq!(refusals.left(), 1, "not tried again");
}

#[test]
fn without_descriptors_for_a_pipe_a_copy_goes_by_a_buffer_until_there_are_some() {
    let no_pipes = script("pipe2", &[libc::EMFILE; 3]);
    all_arrived(run(copied()));
    assert_eq!(no_pipes.left(), 0);
}

#[test]
fn a_pipe_that_may_not_grow_serves_as_it_is() {
    let refusal = script("F_SETPIPE_SZ", &[libc::EPERM]);
    all_arrived(run(copied()));
    assert_eq!(refusal.left(), 0);
}

#[test]
fn an_interrupted_splice_is_tried_again() {
    let _interrupted = script("splice", &[libc::EINTR, PASS, libc::EINTR]);
    all_arrived(run(copied()));
}

#[test]
fn an_error_in_the_middle_comes_with_what_was_written_before() {
    let _failures = script("splice", &[PASS, PASS, PASS, libc::EIO]);
    let (received, counted) = run(copied());
    let err = counted.unwrap_err();
    assert!(err.copied > 0 && err.copied < SENT_BYTES as u64, "{}", err.copied);
    assert_eq!(err.copied, received.len() as u64);
    assert!(sent().starts_with(&received));
}

#[test]
fn the_two_ways_take_turns_at_being_first() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let way = |name: char| {
        let order = Rc::clone(&order);
        async move {
            for _ in 0..4 {
                order.borrow_mut().push(name);
                yield_now().await;
            }
            Ok(())
        }
    };
    run(both(way('a'), way('b')));
    assert_eq!(order.borrow().iter().collect::<String>(), "abbaabba");
}

#[test]
fn the_error_of_one_way_ends_both() {
    run(async {
        let never = std::future::poll_fn(|_| Poll::Pending);
        let err = both(never, async { Err(io::Error::other("lost")) }).await.unwrap_err();
        assert_eq!(err.to_string(), "lost");
        Ok(())
    });
}
