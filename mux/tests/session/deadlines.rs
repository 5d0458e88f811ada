//! Deadlines of streams.

use std::io;
use std::time::Duration;

use futures_util::future::join;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::{Error, Stream};
use reactor::time;

use crate::{read_to_end, run, streams};

const SECOND: Duration = Duration::from_secs(1);

fn in_a_second() -> Option<std::time::Instant> {
    Some(time::now() + SECOND)
}

#[track_caller]
fn assert_expired<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::DeadlineExceeded)), "{outcome:?}");
}

/// Writes until the window and the queue are full.
async fn fill(stream: &Stream) {
    let writing = async { while stream.write_bytes(vec![0; 60_000].into()).await.is_ok() {} };
    time::timeout(SECOND, writing).await.unwrap_err();
}

#[test]
fn a_read_that_waits_ends_at_its_deadline() {
    run(async {
        let (_client, near, _server, far) = streams().await;
        let start = time::now();
        near.set_read_deadline(in_a_second());
        assert_expired(near.read_bytes().await);
        assert_eq!(time::now() - start, SECOND);
        far.write_bytes("late".into()).await.unwrap();
        time::sleep(SECOND).await;
        assert_expired(near.read_bytes().await);
        let err = (&near).read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::TimedOut);
        near.set_read_deadline(None);
        assert_eq!(near.read_bytes().await.unwrap().unwrap(), "late");
    });
}

#[test]
fn a_deadline_reaches_a_read_that_waits_already() {
    run(async {
        let (_client, near, _server, _far) = streams().await;
        let start = time::now();
        let setting = async {
            time::sleep(SECOND).await;
            near.set_read_deadline(Some(time::now() + 60 * SECOND));
            time::sleep(SECOND).await;
            // In the past, and sooner than the one before.
            near.set_read_deadline(Some(start));
        };
        let (read, ()) = join(near.read_bytes(), setting).await;
        assert_expired(read);
        assert_eq!(time::now() - start, 2 * SECOND);
    });
}

#[test]
fn a_write_that_waits_ends_at_its_deadline() {
    run(async {
        let (_client, near, _server, far) = streams().await;
        fill(&near).await;
        near.set_write_deadline(in_a_second());
        let err = (&near).write_all(b"more").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::TimedOut);
        assert_expired(near.write_bytes("more".into()).await);
        assert_eq!((&near).flush().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        near.set_write_deadline(None);
        drop(reactor::spawn(async move { read_to_end(&far).await }));
        near.write_bytes("more".into()).await.unwrap();
    });
}

#[test]
fn a_deadline_reaches_a_write_that_waits_already() {
    run(async {
        let (_client, near, _server, _far) = streams().await;
        fill(&near).await;
        let start = time::now();
        let setting = async {
            time::sleep(SECOND).await;
            near.set_write_deadline(Some(time::now() + 60 * SECOND));
            time::sleep(SECOND).await;
            // In the past, and sooner than the one before.
            near.set_write_deadline(Some(start));
        };
        let (written, ()) = join(near.write_bytes("more".into()), setting).await;
        assert_expired(written);
        assert_eq!(time::now() - start, 2 * SECOND);
        // One that passes while the write waits.
        near.set_write_deadline(None);
        let setting = async { near.set_write_deadline(in_a_second()) };
        let (written, ()) = join(near.write_bytes("more".into()), setting).await;
        assert_expired(written);
        assert_eq!(time::now() - start, 3 * SECOND);
    });
}

#[test]
fn a_write_that_has_expired_never_arrives() {
    run(async {
        let (_client, near, _server, far) = streams().await;
        near.write_bytes("in time".into()).await.unwrap();
        near.set_write_deadline(Some(time::now()));
        assert_expired(near.write_bytes(", late".into()).await);
        near.set_write_deadline(None);
        near.write_bytes(", again".into()).await.unwrap();
        near.shutdown().unwrap();
        assert_eq!(read_to_end(&far).await.0, b"in time, again");
    });
}

#[test]
fn a_write_that_expires_while_it_waits_never_arrives() {
    run(async {
        let (_client, near, _server, far) = streams().await;
        fill(&near).await;
        let (sent, unsent) = (near.stats().bytes_sent, near.stats().unsent_bytes);
        let start = time::now();
        near.set_write_deadline(in_a_second());
        assert_expired(near.write_bytes("late".into()).await);
        assert_eq!(time::now() - start, SECOND, "it did wait");
        near.set_write_deadline(None);
        near.shutdown().unwrap();
        let (bytes, end) = read_to_end(&far).await;
        end.unwrap();
        assert_eq!(bytes.len() as u64, sent + unsent as u64);
        assert!(bytes.iter().all(|&byte| byte == 0));
    });
}

#[test]
fn a_deadline_that_is_moved_away_ends_nothing() {
    run(async {
        let (_client, near, _server, far) = streams().await;
        near.set_deadline(in_a_second());
        near.set_deadline(Some(time::now() + 10 * SECOND));
        let answer = async {
            time::sleep(5 * SECOND).await;
            far.write_bytes("in time".into()).await.unwrap();
        };
        let (read, ()) = join(near.read_bytes(), answer).await;
        assert_eq!(read.unwrap().unwrap(), "in time");
        near.set_deadline(None);
        time::sleep(10 * SECOND).await;
        near.write_bytes("still".into()).await.unwrap();
    });
}

#[test]
fn a_deadline_of_one_direction_leaves_the_other_alone() {
    run(async {
        let (_client, near, _server, far) = streams().await;
        near.set_read_deadline(Some(time::now()));
        near.write_bytes("question".into()).await.unwrap();
        near.shutdown().unwrap();
        assert_eq!(read_to_end(&far).await.0, b"question");
        assert_expired(near.read_bytes().await);
    });
}
