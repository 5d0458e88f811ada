//! Who gets which request.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use mux::package::{Error, ReplyEnd, WorkConfig};
use reactor::time;

use crate::link::Service;
use crate::{SECOND, caller, echo, run, settle, whole, worker, worker_with};

#[test]
fn a_busy_worker_accepts_nothing() {
    run(async {
        let service = Service::new(1000);
        let mut worker = worker(&service);
        let caller = caller(&service);
        let replies = [caller.call("1").await, caller.call("2").await];
        let first = worker.next().await.unwrap();
        time::sleep(60 * SECOND).await;
        assert_eq!((service.accepts(), service.backlog()), (1, 1));
        assert_eq!(first.body(), "1");
        first.finish().await.unwrap();
        assert_eq!((service.accepts(), service.backlog()), (1, 1), "not before it is asked to");
        worker.next().await.unwrap().finish().await.unwrap();
        assert_eq!((service.accepts(), service.backlog()), (2, 0));
        drop(replies);
    });
}

/// Three workers, one request of 50 seconds, and 40 of a second: who is idle pulls the next.
#[test]
fn an_idle_worker_takes_what_a_busy_one_cannot() {
    run(async {
        let service = Service::new(1000);
        let done: Rc<RefCell<Vec<(usize, u64)>>> = Rc::default();
        for id in 0..3 {
            let (mut worker, done) = (worker(&service), Rc::clone(&done));
            reactor::spawn(async move {
                worker
                    .serve(async |request| {
                        let seconds = u64::from(request.body()[0]);
                        time::sleep(Duration::from_secs(seconds)).await;
                        done.borrow_mut().push((id, seconds));
                        request.reply(vec![id as u8]).await
                    })
                    .await
            })
            .detach();
        }
        let caller = caller(&service);
        let start = time::now();
        let mut calls = Vec::new();
        for seconds in [50].into_iter().chain([1; 40]) {
            let caller = caller.clone();
            calls.push(reactor::spawn(async move {
                let mut reply = caller.call(vec![seconds]).await?;
                reply.set_deadline(None);
                whole(reply).await
            }));
            settle().await;
        }
        for call in calls.drain(1..) {
            call.await.unwrap().unwrap();
        }
        assert_eq!(time::now() - start, 20 * SECOND, "two workers had twenty each");
        calls.remove(0).await.unwrap().unwrap();
        let of = |id| done.borrow().iter().filter(|(who, _)| *who == id).count();
        let mut shares = [of(0), of(1), of(2)];
        shares.sort_unstable();
        assert_eq!(shares, [1, 20, 20]);
    });
}

#[test]
fn every_request_is_answered_once_and_to_the_one_who_asked() {
    run(async {
        let service = Service::new(7);
        let workers: Vec<_> = (0..4).map(|_| echo(&service)).collect();
        let caller = caller(&service);
        let calls: Vec<_> = (0..300)
            .map(|number: usize| {
                let caller = caller.clone();
                reactor::spawn(async move {
                    let body = vec![number as u8; number];
                    let got = whole(caller.call(body.clone()).await?).await?;
                    assert_eq!(got.concat(), body);
                    Ok::<_, Error>(())
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(service.accepts(), 300);
        drop(workers);
    });
}

#[test]
fn an_empty_request_is_a_request() {
    run(async {
        let service = Service::new(100);
        let mut worker = worker(&service);
        let reply = caller(&service).call("").await.unwrap();
        let mut request = worker.next().await.unwrap();
        assert!(request.body().is_empty());
        request.reply("nothing was asked").await.unwrap();
        request.finish().await.unwrap();
        assert_eq!(whole(reply).await.unwrap(), ["nothing was asked"]);
    });
}

#[test]
fn serve_ends_with_the_error_of_accept_and_with_no_other() {
    run(async {
        let service = Service::new(100);
        let serving = echo(&service);
        drop(service.connect().unwrap()); // as who looks whether anybody listens
        assert_eq!(whole(caller(&service).call("x").await.unwrap()).await.unwrap(), ["x"]);
        service.close();
        assert!(matches!(serving.await.unwrap(), Error::Accept(_)));
    });
}

#[test]
fn a_worker_that_ends_replies_by_hanging_up_sends_no_empty_package() {
    run(async {
        let service = Service::new(100);
        let config = WorkConfig { reply_end: ReplyEnd::HangUp, ..WorkConfig::default() };
        let mut worker = worker_with(&service, config);
        let near = service.connect().unwrap();
        let mut packages = mux::package::Packages::new(near, mux::package::Format::STREAM);
        packages.write("x".into()).await.unwrap();
        let mut request = worker.next().await.unwrap();
        request.reply("y").await.unwrap();
        request.finish().await.unwrap();
        assert_eq!(packages.read().await.unwrap().unwrap().body(), b"y");
        assert!(packages.read().await.unwrap().is_none());
    });
}
