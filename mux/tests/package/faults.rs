//! What goes wrong between a caller and a worker, and who is told what.

use std::time::Duration;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::Initiator;
use mux::package::{CallConfig, Error, Format, Malformed, ReplyEnd, Stage, WorkConfig};
use reactor::time;

use crate::link::Service;
use crate::{SECOND, caller, caller_with, run, settle, whole, worker, worker_with};

#[test]
fn a_worker_that_dies_is_an_error_of_its_call_at_every_byte_of_the_reply() {
    run(async {
        let said = b"\0\0\0\x02hi\0\0\0\x01!\0\0\0\0";
        for died_after in 0..=said.len() {
            let service = Service::new(100);
            let mut reply = caller(&service).call("x").await.unwrap();
            let mut far = service.accept().await.unwrap();
            far.read_exact(&mut [0; 5]).await.unwrap();
            far.write_all(&said[..died_after]).await.unwrap();
            drop(far);
            let mut got = 0;
            let end = loop {
                match reply.next().await {
                    Ok(Some(_)) => got += 1,
                    Ok(None) => break Ok(()),
                    Err(err) => break Err(err),
                }
            };
            assert_eq!(got, u64::from(died_after >= 6) + u64::from(died_after >= 11));
            let Err(err) = end else {
                assert_eq!(died_after, said.len(), "an end that was not sent");
                continue;
            };
            assert_eq!(err.side(), Some(Initiator::Remote));
            let Error::WorkerGone { sent_bytes: 5, packages, cause } = err else {
                panic!("{err} after {died_after}")
            };
            assert_eq!(packages, got);
            let between = [0, 6, 11].contains(&died_after);
            assert_eq!(cause.is_none(), between, "{cause:?} after {died_after}");
            assert!(matches!(reply.next().await, Err(Error::WorkerGone { .. })), "and again");
        }
    });
}

#[test]
fn a_handler_that_fails_or_panics_is_a_worker_that_died() {
    run(async {
        let service = Service::new(100);
        let mut worker = worker(&service);
        let serving = reactor::spawn(async move {
            worker
                .serve(async |request| {
                    request.reply("so far").await?;
                    match &request.body()[..] {
                        b"fail" => Err(Error::EmptyReply),
                        _ => panic!("as the request says"),
                    }
                })
                .await
        });
        let caller = caller(&service);
        for ask in ["fail", "panic"] {
            let mut reply = caller.call(ask).await.unwrap();
            assert_eq!(reply.next().await.unwrap().unwrap(), "so far");
            let err = reply.next().await.unwrap_err();
            assert!(matches!(err, Error::WorkerGone { packages: 1, .. }), "{err}");
        }
        assert!(serving.await.unwrap_err().is_panic());
    });
}

#[test]
fn a_request_beyond_the_limit_of_the_worker_is_an_error_on_both_sides() {
    run(async {
        let service = Service::new(8);
        let format = Format::STREAM.bytes_max(100);
        let mut worker = worker_with(&service, WorkConfig { format, ..WorkConfig::default() });
        let caller = caller(&service);
        let calling = {
            let caller = caller.clone();
            reactor::spawn(async move { caller.call(vec![7; 97]).await.map(drop) })
        };
        let err = worker.next().await.unwrap_err();
        let what = Malformed::TooLong { offset: 0, length: 101, max: 100 };
        assert!(matches!(err, Error::Malformed { by: Initiator::Remote, what: w } if w == what));
        let err = calling.await.unwrap().unwrap_err();
        // What the worker thinks of it, the protocol cannot say.
        assert!(matches!(err, Error::WorkerGone { sent_bytes: 8, .. }), "{err}");
        // And the next one is served.
        let calling = reactor::spawn(async move { whole(caller.call(vec![7; 96]).await?).await });
        worker.next().await.unwrap().finish().await.unwrap();
        assert!(calling.await.unwrap().unwrap().is_empty());
    });
}

#[test]
fn a_package_beyond_the_limit_of_the_caller_is_named() {
    run(async {
        let service = Service::new(1000);
        let mut worker = worker(&service);
        let format = Format::STREAM.bytes_max(100);
        let caller = caller_with(&service, CallConfig { format, ..CallConfig::default() });
        let mut reply = caller.call("x").await.unwrap();
        let mut request = worker.next().await.unwrap();
        request.reply("fine").await.unwrap();
        request.reply(vec![7; 97]).await.unwrap();
        assert_eq!(reply.next().await.unwrap().unwrap(), "fine");
        let what = Malformed::TooLong { offset: 8, length: 101, max: 100 };
        for _ in 0..2 {
            let err = reply.next().await.unwrap_err();
            assert!(
                matches!(err, Error::Malformed { by: Initiator::Remote, what: w } if w == what)
            );
        }
        // It has hung up.
        let err = request.reply("more").await.unwrap_err();
        assert!(matches!(err, Error::CallerGone { cause: Some(_) }), "{err}");
    });
}

#[test]
fn what_this_side_would_send_too_long_is_refused_before_anything_is_sent() {
    run(async {
        let service = Service::new(1000);
        let format = Format::STREAM.bytes_max(10);
        let mut worker = worker_with(&service, WorkConfig { format, ..WorkConfig::default() });
        let caller = caller_with(&service, CallConfig { format, ..CallConfig::default() });
        let what = Malformed::TooLong { offset: 0, length: 11, max: 10 };
        let err = caller.call("seven!!").await.unwrap_err();
        assert!(matches!(err, Error::Malformed { by: Initiator::Local, what: w } if w == what));
        assert_eq!(service.connects(), 0);

        let reply = caller.call("six!!!").await.unwrap();
        let mut request = worker.next().await.unwrap();
        let err = request.reply("seven!!").await.unwrap_err();
        assert!(matches!(err, Error::Malformed { by: Initiator::Local, what: w } if w == what));
        request.reply("in two").await.unwrap();
        request.finish().await.unwrap();
        assert_eq!(whole(reply).await.unwrap(), ["in two"]);
    });
}

#[test]
fn a_caller_that_reads_nothing_holds_a_worker_for_the_write_timeout() {
    run(async {
        let service = Service::new(50);
        let mut worker = worker(&service);
        let lazy = caller(&service).call("x").await.unwrap();
        let mut request = worker.next().await.unwrap();
        let start = time::now();
        for _ in 0..3 {
            let err = request.reply(vec![7; 1000]).await.unwrap_err();
            assert!(matches!(err, Error::DeadlineExceeded { during: Stage::Write }), "{err}");
        }
        let err = request.finish().await.unwrap_err();
        assert!(matches!(err, Error::DeadlineExceeded { .. }), "{err}");
        // Once, however often it is tried.
        assert_eq!(time::now() - start, WorkConfig::default().write_timeout);
        let err = whole(lazy).await.unwrap_err();
        assert!(matches!(err, Error::WorkerGone { packages: 0, cause: Some(_), .. }), "{err}");
        let _next = caller(&service).call("y").await.unwrap();
        assert_eq!(worker.next().await.unwrap().body(), "y");
    });
}

#[test]
fn a_caller_that_takes_a_little_at_a_time_is_given_up_in_time_all_the_same() {
    run(async {
        let service = Service::new(10);
        let mut worker = worker(&service);
        let mut slow = service.connect().unwrap();
        slow.write_all(b"\0\0\0\0").await.unwrap();
        let mut request = worker.next().await.unwrap();
        let dripping = reactor::spawn(async move {
            while slow.read_exact(&mut [0; 10]).await.is_ok() {
                time::sleep(SECOND).await;
            }
        });
        let start = time::now();
        request.reply(vec![7; 50]).await.unwrap();
        let err = request.reply(vec![7; 1000]).await.unwrap_err();
        assert!(matches!(err, Error::DeadlineExceeded { during: Stage::Write }), "{err}");
        let took = time::now() - start;
        assert!(10 * SECOND <= took && took <= 20 * SECOND, "{took:?}");
        drop(request);
        dripping.await.unwrap();
    });
}

#[test]
fn a_deadline_of_the_whole_reply_comes_first() {
    run(async {
        let service = Service::new(50);
        let mut worker = worker(&service);
        let _lazy = caller(&service).call("x").await.unwrap();
        let mut request = worker.next().await.unwrap();
        request.set_deadline(Some(time::now() + SECOND));
        let start = time::now();
        let err = request.reply(vec![7; 1000]).await.unwrap_err();
        assert!(matches!(err, Error::DeadlineExceeded { during: Stage::Write }), "{err}");
        assert_eq!(time::now() - start, SECOND);
    });
}

#[test]
fn a_caller_that_says_nothing_holds_a_worker_for_the_request_timeout() {
    run(async {
        let service = Service::new(50);
        let mut worker = worker(&service);
        let mut silent = service.connect().unwrap();
        let start = time::now();
        let err = worker.next().await.unwrap_err();
        assert!(matches!(err, Error::DeadlineExceeded { during: Stage::Request }), "{err}");
        assert_eq!(time::now() - start, WorkConfig::default().request_timeout);
        assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0, "it has hung up");
    });
}

#[test]
fn a_caller_that_drips_its_request_is_given_up_in_time_all_the_same() {
    run(async {
        let service = Service::new(50);
        let mut worker = worker(&service);
        let mut slow = service.connect().unwrap();
        let dripping = reactor::spawn(async move {
            slow.write_all(b"\0\0\x01\0").await.unwrap();
            while slow.write_all(b"x").await.is_ok() {
                time::sleep(SECOND).await;
            }
        });
        let start = time::now();
        let err = worker.next().await.unwrap_err();
        assert!(matches!(err, Error::DeadlineExceeded { during: Stage::Request }), "{err}");
        assert_eq!(time::now() - start, WorkConfig::default().request_timeout);
        dripping.await.unwrap();
    });
}

#[test]
fn a_caller_that_hangs_up_within_its_request_is_told_apart_from_one_that_said_nothing() {
    run(async {
        let service = Service::new(50);
        let mut worker = worker(&service);
        drop(service.connect().unwrap());
        let err = worker.next().await.unwrap_err();
        assert!(matches!(err, Error::CallerGone { cause: None }), "{err}");
        let mut near = service.connect().unwrap();
        near.write_all(b"\0\0\0\x02x").await.unwrap();
        drop(near);
        let err = worker.next().await.unwrap_err();
        let Error::CallerGone { cause: Some(cause) } = err else { panic!("{err}") };
        let what = Malformed::CutOff { offset: 0, have: 5, length: Some(6) };
        assert!(matches!(*cause, Error::Malformed { what: w, .. } if w == what));
    });
}

#[test]
fn a_worker_that_never_answers_ends_the_call_in_time_and_frees_its_turn() {
    run(async {
        let service = Service::new(50);
        let config = CallConfig { calls_max: 1, ..CallConfig::default() };
        let caller = caller_with(&service, config);
        let start = time::now();
        let mut reply = caller.call("x").await.unwrap();
        let err = reply.next().await.unwrap_err();
        assert!(matches!(err, Error::DeadlineExceeded { during: Stage::Reply }), "{err}");
        assert_eq!(time::now() - start, 30 * SECOND);
        caller.call("y").await.unwrap();
    });
}

#[test]
fn a_worker_that_never_ends_its_reply_is_cut_off_in_time_though_each_package_is_ready() {
    run(async {
        let service = Service::new(100_000);
        let config = CallConfig { call_timeout: Some(SECOND), calls_max: 1, ..Default::default() };
        let caller = caller_with(&service, config);
        let start = time::now();
        let mut reply = caller.call("x").await.unwrap();
        let mut far = service.accept().await.unwrap();
        let endless =
            reactor::spawn(async move { while far.write_all(b"\0\0\0\x01x").await.is_ok() {} });
        let err = loop {
            match reply.next().await {
                Ok(package) => assert_eq!(package.unwrap(), "x"),
                Err(err) => break err,
            }
            // What the application makes of each takes its time.
            time::sleep(SECOND / 10).await;
            assert!(time::now() - start < 2 * SECOND, "{} packages", reply.packages());
        };
        assert!(matches!(err, Error::DeadlineExceeded { during: Stage::Reply }), "{err}");
        assert_eq!(time::now() - start, SECOND);
        endless.await.unwrap();
        assert!(caller.call("y").await.is_ok(), "it has its turn");
    });
}

#[test]
fn a_reply_behind_its_deadline_is_not_sent_though_the_caller_would_take_it() {
    run(async {
        let service = Service::new(1000);
        let mut worker = worker(&service);
        let reply = caller(&service).call("x").await.unwrap();
        let mut request = worker.next().await.unwrap();
        request.set_deadline(Some(time::now() + SECOND));
        request.reply("in time").await.unwrap();
        time::sleep(SECOND).await;
        for late in [request.reply("late").await, request.finish().await] {
            let during = Stage::Write;
            assert!(matches!(late, Err(Error::DeadlineExceeded { during: of }) if of == during));
        }
        assert!(matches!(whole(reply).await, Err(Error::WorkerGone { packages: 1, .. })));
    });
}

#[test]
fn a_handler_may_wait_for_its_caller_to_hang_up() {
    run(async {
        let service = Service::new(1000);
        let mut worker = worker(&service);
        let reply = caller(&service).call("x").await.unwrap();
        let mut request = worker.next().await.unwrap();
        assert!(time::timeout(SECOND, request.closed()).await.is_err(), "it waits for its reply");
        let start = time::now();
        let waits = reactor::spawn(async move {
            time::sleep(SECOND).await;
            drop(reply);
        });
        request.closed().await;
        assert_eq!(time::now() - start, SECOND);
        request.closed().await;
        let err = request.reply("y").await.unwrap_err();
        assert!(matches!(err, Error::CallerGone { .. }), "{err}");
        waits.await.unwrap();
    });
}

#[test]
fn what_comes_while_a_handler_waits_for_the_end_is_dropped_and_the_reply_is_whole() {
    run(async {
        let service = Service::new(100);
        let mut worker = worker(&service);
        let mut near = service.connect().unwrap();
        near.write_all(b"\0\0\0\x01x").await.unwrap();
        let mut request = worker.next().await.unwrap();
        let said = reactor::spawn(async move {
            near.write_all(&[0xFF; 100_000]).await.unwrap();
            time::sleep(SECOND * 2).await;
            let mut said = Vec::new();
            near.read_to_end(&mut said).await.unwrap();
            said
        });
        assert!(time::timeout(SECOND, request.closed()).await.is_err());
        request.reply("y").await.unwrap();
        request.finish().await.unwrap();
        assert_eq!(said.await.unwrap(), b"\0\0\0\x01y\0\0\0\0");
    });
}

#[test]
fn a_connection_that_takes_no_request_ends_the_call_in_time() {
    run(async {
        let service = Service::new(50);
        let start = time::now();
        let err = caller(&service).call(vec![7; 1000]).await.unwrap_err();
        assert!(matches!(err, Error::DeadlineExceeded { during: Stage::Send }), "{err}");
        assert_eq!(time::now() - start, 30 * SECOND);
    });
}

#[test]
fn where_replies_end_by_hanging_up_an_end_is_an_end_and_half_a_package_is_not() {
    run(async {
        let service = Service::new(50);
        let config = CallConfig { reply_end: ReplyEnd::HangUp, ..CallConfig::default() };
        let caller = caller_with(&service, config);
        for (said, packages) in [(&b""[..], 0), (b"\0\0\0\x01x", 1), (b"\0\0\0\x01x\0\0\0\0", 1)] {
            let reply = caller.call("x").await.unwrap();
            service.accept().await.unwrap().write_all(said).await.unwrap();
            assert_eq!(whole(reply).await.unwrap().len(), packages);
        }
        let reply = caller.call("x").await.unwrap();
        service.accept().await.unwrap().write_all(b"\0\0\0\x02x").await.unwrap();
        let err = whole(reply).await.unwrap_err();
        assert!(matches!(err, Error::WorkerGone { packages: 0, cause: Some(_), .. }), "{err}");
        settle().await;
    });
}

#[test]
fn a_time_beyond_what_the_clock_counts_is_never() {
    run(async {
        let service = Service::new(50);
        let never = Duration::MAX;
        let config = CallConfig { call_timeout: Some(never), ..CallConfig::default() };
        let caller = caller_with(&service, config);
        let times =
            WorkConfig { request_timeout: never, write_timeout: never, ..WorkConfig::default() };
        let mut worker = worker_with(&service, times);
        let reply = caller.call("x").await.unwrap();
        let mut request = worker.next().await.unwrap();
        request.reply("y").await.unwrap();
        request.finish().await.unwrap();
        assert_eq!(whole(reply).await.unwrap(), ["y"]);
    });
}
