//! Futures that are dropped.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_util::AsyncWriteExt;
use mux::package::{CallConfig, Error, Format, Packages};
use reactor::time;

use crate::link::Service;
use crate::support::pipe;
use crate::{SECOND, caller, caller_with, echo, run, settle, whole, worker};

/// Polls once, and drops it.
fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[test]
fn a_read_that_is_dropped_at_every_byte_loses_none() {
    run(async {
        let (mut near, far) = pipe(100);
        let mut far = Packages::new(far, Format::STREAM);
        let (said, mut got) = (b"\0\0\0\x05hello\0\0\0\0\0\0\0\x01x", Vec::new());
        for byte in said {
            near.write_all(&[*byte]).await.unwrap();
            while let Some(package) = once(far.read()) {
                got.push(package.unwrap().unwrap().into_body());
            }
        }
        assert_eq!(got, ["hello", "", "x"]);
    });
}

#[test]
fn a_write_that_is_dropped_at_every_byte_leaves_no_half_package() {
    for capacity in 1..12 {
        run(async {
            let (near, far) = pipe(capacity);
            let mut near = Packages::new(near, Format::STREAM);
            let mut far = Packages::new(far, Format::STREAM);
            let sent = once(near.write("hello".into()));
            assert_eq!(sent.is_some(), capacity >= 9);
            let rest = reactor::spawn(async move {
                near.write("bye".into()).await.unwrap();
                near.close().await.unwrap();
            });
            assert_eq!(far.read().await.unwrap().unwrap().body(), b"hello");
            assert_eq!(far.read().await.unwrap().unwrap().body(), b"bye");
            assert!(far.read().await.unwrap().is_none());
            rest.await.unwrap();
        });
    }
}

#[test]
fn a_write_that_is_dropped_behind_a_dropped_one_is_whole_or_not_there() {
    for capacity in 1..20 {
        run(async {
            let (near, far) = pipe(capacity);
            let mut near = Packages::new(near, Format::STREAM);
            let mut far = Packages::new(far, Format::STREAM);
            // The first is taken in its first poll; the second only when the first is out.
            assert_eq!(once(near.write("one".into())).is_some(), capacity >= 7);
            let _ = once(near.write("two".into()));
            let second_is_taken = capacity >= 7;
            let rest = reactor::spawn(async move {
                near.write("three".into()).await.unwrap();
                near.close().await.unwrap();
            });
            let mut got = Vec::new();
            while let Some(package) = far.read().await.unwrap() {
                got.push(package.into_body());
            }
            rest.await.unwrap();
            let expected: &[&str] =
                if second_is_taken { &["one", "two", "three"] } else { &["one", "three"] };
            assert_eq!(got, expected, "{capacity}");
        });
    }
}

#[test]
fn a_write_behind_a_flush_is_taken_in_its_first_poll() {
    run(async {
        let (near, far) = pipe(4);
        let mut near = Packages::new(near, Format::STREAM);
        let mut far = Packages::new(far, Format::STREAM);
        assert!(once(near.write("one".into())).is_none());
        assert!(once(near.flush()).is_none(), "to be waited for");
        let reading = reactor::spawn(async move {
            let one = far.read().await.unwrap().unwrap().into_body();
            (one, far.read().await.unwrap().unwrap().into_body())
        });
        near.flush().await.unwrap();
        assert!(once(near.write("two".into())).is_none());
        near.flush().await.unwrap();
        assert_eq!(reading.await.unwrap(), ("one".into(), "two".into()));
    });
}

#[test]
fn a_reply_with_a_package_that_was_dropped_before_it_was_taken_has_no_end() {
    run(async {
        let service = Service::new(6);
        let mut worker = worker(&service);
        let reply = caller(&service).call("x").await.unwrap();
        let mut request = worker.next().await.unwrap();
        // The first is taken, and goes out all the same; the second waits behind it.
        for part in ["one", "two"] {
            assert!(time::timeout(SECOND, request.reply(part)).await.is_err());
        }
        let reading = reactor::spawn(whole(reply));
        assert!(matches!(request.reply("three").await, Err(Error::ReplyDropped)));
        assert!(matches!(request.finish().await, Err(Error::ReplyDropped)));
        let gone = reading.await.unwrap();
        assert!(matches!(gone, Err(Error::WorkerGone { .. })), "{gone:?}");
    });
}

#[test]
fn a_reply_that_was_dropped_when_it_was_taken_is_whole() {
    run(async {
        let service = Service::new(6);
        let mut worker = worker(&service);
        let reply = caller(&service).call("x").await.unwrap();
        let mut request = worker.next().await.unwrap();
        assert!(time::timeout(SECOND, request.reply("one")).await.is_err());
        let reading = reactor::spawn(whole(reply));
        request.reply("two").await.unwrap();
        request.finish().await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), ["one", "two"]);
    });
}

#[test]
fn a_reply_that_is_waited_for_in_pieces_is_whole() {
    run(async {
        let service = Service::new(3);
        let _worker = echo(&service);
        let mut reply = caller(&service).call("a longer request").await.unwrap();
        let mut got = Vec::new();
        loop {
            match once(reply.next()) {
                Some(Ok(None)) => break,
                Some(package) => got.push(package.unwrap().unwrap()),
                None => reactor::yield_now().await,
            }
        }
        assert_eq!(got, ["a longer request"]);
    });
}

#[test]
fn a_worker_that_is_dropped_between_two_polls_has_lost_no_request() {
    run(async {
        let service = Service::new(100);
        let mut worker = worker(&service);
        let mut near = service.connect().unwrap();
        for byte in b"\0\0\0\x03sa" {
            near.write_all(&[*byte]).await.unwrap();
            assert!(once(worker.next()).is_none());
        }
        near.write_all(b"y").await.unwrap();
        assert_eq!(worker.next().await.unwrap().body(), "say");
        assert_eq!(service.accepts(), 1);
    });
}

#[test]
fn a_call_that_is_dropped_in_the_queue_or_with_its_turn_passes_it_on() {
    run(async {
        let service = Service::new(100);
        let caller = caller_with(&service, CallConfig { calls_max: 1, ..CallConfig::default() });
        let first = caller.call("first").await.unwrap();
        let waiting = |name: &'static str| {
            let caller = caller.clone();
            reactor::spawn(async move { caller.call(name).await.map(|_| name) })
        };
        let mut second = Box::pin(caller.call("second"));
        assert!(once(second.as_mut()).is_none());
        let third = waiting("third");
        settle().await;
        let fourth = waiting("fourth");
        settle().await;
        assert_eq!(caller.pending(), 3);
        third.abort();
        settle().await;
        assert_eq!(caller.pending(), 2);
        // The second has its turn from here on, and does not know of it.
        drop(first);
        assert_eq!(caller.pending(), 1);
        drop(second);
        assert_eq!(fourth.await.unwrap().unwrap(), "fourth");
        assert_eq!(caller.pending(), 0);
    });
}

#[test]
fn a_call_that_is_dropped_hangs_up_and_its_worker_goes_on() {
    run(async {
        let service = Service::new(10);
        let _worker = echo(&service);
        let caller = caller(&service);
        let long = time::timeout(SECOND, caller.call(vec![7; 1000])).await.unwrap().unwrap();
        settle().await;
        drop(long);
        let reply = caller.call("another").await.unwrap();
        assert_eq!(whole(reply).await.unwrap(), ["another"]);
    });
}
