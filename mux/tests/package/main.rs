//! Packages, calls and workers, in memory and in virtual time.
//!
//! What is known to go wrong in Swoole's stream mode, and where it is tested here that it does not:
//!
//! | fault | test |
//! |---|---|
//! | the caller is never told that a worker died | faults: `a_worker_that_dies_is_an_error_of_its_call_at_every_byte_of_the_reply`, `a_handler_that_fails_or_panics_is_a_worker_that_died` |
//! | an over-long package closes silently | faults: `a_request_beyond_the_limit_of_the_worker_is_an_error_on_both_sides`, `a_package_beyond_the_limit_of_the_caller_is_named`, `what_this_side_would_send_too_long_is_refused_before_anything_is_sent` |
//! | a zero length closes silently | schedule: `an_empty_request_is_a_request`, stream_mode: `an_empty_package_in_a_reply_is_refused_as_it_would_be_its_end` |
//! | one slow client pins a worker | faults: `a_caller_that_reads_nothing_holds_a_worker_for_the_write_timeout`, `a_caller_that_says_nothing_holds_a_worker_for_the_request_timeout`, `a_caller_that_drips_its_request_is_given_up_in_time_all_the_same` |
//! | a queue without a bound | queue: `a_call_beyond_the_queue_fails_at_once` |
//! | a request is lost, or done twice | retry: all of it |

mod cancel;
#[path = "../support/cloned.rs"]
#[allow(unreachable_pub, reason = "the test files share it")]
mod cloned;
mod codec;
mod faults;
mod link;
mod packages;
mod queue;
mod retry;
mod schedule;
mod stream_mode;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::time::Duration;

use bytes::Bytes;
use mux::package::{CallConfig, Caller, Connect, Error, Reply, WorkConfig, Worker};

use link::{Near, Service};
use support::End;

const SECOND: Duration = Duration::from_secs(1);

/// Runs a test with virtual time: a wait that nothing ends goes on to the next time-out, and a test
/// that is stuck is over after two hours that take no time.
fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
    let bounded = async { reactor::time::timeout(Duration::from_secs(7200), test).await };
    runtime.block_on(bounded).expect("stuck")
}

/// Lets every other task do what it can.
async fn settle() {
    for _ in 0..20 {
        reactor::yield_now().await;
    }
}

fn worker(service: &Service) -> Worker<impl mux::package::Accept<Io = End> + use<>> {
    worker_with(service, WorkConfig::default())
}

fn worker_with(
    service: &Service,
    config: WorkConfig,
) -> Worker<impl mux::package::Accept<Io = End> + use<>> {
    let service = service.clone();
    Worker::new(async move || service.accept().await, config)
}

fn caller(service: &Service) -> Caller<impl Connect<Io = Near> + use<>> {
    caller_with(service, CallConfig::default())
}

fn caller_with(service: &Service, config: CallConfig) -> Caller<impl Connect<Io = Near> + use<>> {
    let service = service.clone();
    Caller::new(async move || service.connect(), config)
}

/// All packages of a reply.
async fn whole(mut reply: Reply<Near>) -> Result<Vec<Bytes>, Error> {
    let mut packages = Vec::new();
    while let Some(package) = reply.next().await? {
        packages.push(package);
    }
    Ok(packages)
}

/// Echoes for ever.
fn echo(service: &Service) -> reactor::JoinHandle<Error> {
    let mut worker = worker(service);
    reactor::spawn(async move {
        worker
            .serve(async |request| {
                let body = request.body().clone();
                if body.is_empty() { Ok(()) } else { request.reply(body).await }
            })
            .await
    })
}
