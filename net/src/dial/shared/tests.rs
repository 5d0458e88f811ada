//! Who shares whose lookup. The lookups here wait until the test says what they find.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Wake;
use std::time::Duration;

use reactor::time::timeout;
use reactor::{JoinHandle, Runtime, block_on, spawn, yield_now};

use super::*;
use crate::leaks::leaving_nothing_open;

const HUNG_AFTER: Duration = Duration::from_secs(60);

fn run(test: impl Future<Output = ()>) {
    leaving_nothing_open(|| {
        block_on(timeout(HUNG_AFTER, test)).unwrap().expect("the test hangs");
    });
}

type Found = io::Result<Vec<SocketAddr>>;

static LOOKUPS: Lookups<Vec<SocketAddr>> = Lookups::new();

/// A resolver whose lookups wait, and what lets them go.
#[derive(Clone)]
struct Slow {
    begun: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Receiver<Found>>>,
}

impl Slow {
    fn new() -> (Self, Sender<Found>) {
        let (sender, receiver) = channel();
        let answers = Arc::new(Mutex::new(receiver));
        (Self { begun: Arc::default(), answers }, sender)
    }

    fn look_up(&self) -> impl Fn(&str) -> Found + Clone + Send + 'static {
        let Self { begun, answers } = self.clone();
        move |host| {
            lock(&begun).push(host.to_owned());
            // Without a test nobody asks any more.
            lock(&answers).recv().unwrap_or_else(|_| Ok(Vec::new()))
        }
    }

    async fn ask(&self, host: &str) -> Found {
        LOOKUPS.share(host, self.look_up()).await
    }

    /// An asker of a task of its own, who waits when this returns.
    async fn asker(&self, host: &'static str) -> JoinHandle<Found> {
        let this = self.clone();
        let asker = spawn(async move { this.ask(host).await });
        yield_now().await;
        assert!(!asker.is_finished());
        asker
    }

    fn begun(&self) -> Vec<String> {
        lock(&self.begun).clone()
    }
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn under_way() -> usize {
    let this_thread = thread::current().id();
    lock(&LOOKUPS.0).keys().filter(|(thread, _)| *thread == this_thread).count()
}

#[test]
fn those_who_ask_for_a_host_at_the_same_time_share_one_lookup() {
    run(async {
        let (slow, answers) = Slow::new();
        let mut askers = Vec::new();
        for _ in 0..10 {
            askers.push(slow.asker("one.test").await);
        }
        assert_eq!(under_way(), 1);
        answers.send(Ok(vec![addr(1), addr(2)])).unwrap();
        for asker in askers {
            assert_eq!(asker.await.unwrap().unwrap(), [addr(1), addr(2)]);
        }
        assert_eq!((slow.begun(), under_way()), (vec!["one.test".to_owned()], 0));
    });
}

#[test]
fn another_host_or_a_later_time_is_another_lookup() {
    run(async {
        let (slow, answers) = Slow::new();
        let askers = [slow.asker("one.test").await, slow.asker("two.test").await];
        assert_eq!(under_way(), 2);
        answers.send(Ok(vec![addr(1)])).unwrap();
        answers.send(Ok(vec![addr(1)])).unwrap();
        for asker in askers {
            asker.await.unwrap().unwrap();
        }
        answers.send(Ok(vec![addr(3)])).unwrap();
        assert_eq!(slow.ask("one.test").await.unwrap(), [addr(3)], "nothing is remembered");
        assert_eq!(slow.begun().len(), 3);
    });
}

#[test]
fn whoever_is_dropped_the_others_get_their_answer() {
    run(async {
        let (slow, answers) = Slow::new();
        for dropped in 0..3 {
            let mut askers = Vec::new();
            for _ in 0..3 {
                askers.push(slow.asker("one.test").await);
            }
            let cancelled = askers.swap_remove(dropped);
            cancelled.abort();
            assert!(cancelled.await.unwrap_err().is_cancelled());
            answers.send(Ok(vec![addr(7)])).unwrap();
            for asker in askers {
                assert_eq!(asker.await.unwrap().unwrap(), [addr(7)]);
            }
        }
        assert_eq!(slow.begun().len(), 3);
    });
}

#[test]
fn a_lookup_that_all_have_left_serves_who_asks_again() {
    run(async {
        let (slow, answers) = Slow::new();
        let gone = slow.asker("one.test").await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        assert_eq!(under_way(), 1, "it cannot be stopped");
        let again = slow.asker("one.test").await;
        answers.send(Ok(vec![addr(7)])).unwrap();
        assert_eq!(again.await.unwrap().unwrap(), [addr(7)]);
        assert_eq!(slow.begun().len(), 1);
    });
}

#[test]
fn an_error_is_everybodys() {
    run(async {
        let (slow, answers) = Slow::new();
        let askers = [slow.asker("one.test").await, slow.asker("one.test").await];
        answers.send(Err(io::Error::new(io::ErrorKind::NotFound, "no such host"))).unwrap();
        for asker in askers {
            let err = asker.await.unwrap().unwrap_err();
            assert_eq!(
                (err.kind(), err.to_string()),
                (io::ErrorKind::NotFound, "no such host".into())
            );
        }
    });
}

/// A pool of one thread, which is taken, drops the lookup that waits for it. So the second
/// runtime, whose task joined it, has to look up itself.
#[test]
fn a_lookup_that_ends_with_its_runtime_is_begun_anew_by_who_shared_it() {
    leaving_nothing_open(a_lookup_ends_with_its_runtime);
}

fn a_lookup_ends_with_its_runtime() {
    let one_thread = || Runtime::builder().blocking_threads_max(1).build().unwrap();
    let (mut first, mut second) = (one_thread(), one_thread());
    let (slow, answers) = Slow::new();
    let (free, taken) = channel::<()>();
    first.block_on(async {
        drop(spawn_blocking(move || taken.recv()));
        drop(slow.asker("one.test").await);
    });
    second.block_on(async {
        let mut shares = pin!(slow.ask("one.test"));
        let polled = poll_fn(|cx| Poll::Ready(shares.as_mut().poll(cx))).await;
        assert!(polled.is_pending() && under_way() == 1);
        drop(first);
        answers.send(Ok(vec![addr(7)])).unwrap();
        let found = timeout(HUNG_AFTER, shares).await.expect("the test hangs");
        assert_eq!(found.unwrap(), [addr(7)]);
    });
    drop(free);
    assert_eq!((slow.begun().len(), under_way()), (1, 0));
}

#[test]
fn a_lookup_that_panics_is_an_error_and_not_in_the_way_of_the_next() {
    run(async {
        let panics = LOOKUPS.share("one.test", |_host| panic!("out of luck"));
        assert!(panics.await.unwrap_err().to_string().contains("out of luck"));
        let found = LOOKUPS.share("one.test", |_host| Ok(vec![addr(1)])).await;
        assert_eq!(found.unwrap(), [addr(1)]);
    });
}

#[test]
fn a_waker_that_panics_keeps_nobody_waiting() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker panics");
        }
    }
    run(async {
        let (slow, answers) = Slow::new();
        let mut first = pin!(slow.ask("one.test"));
        let waker = Waker::from(Arc::new(Panics));
        assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let second = slow.asker("one.test").await;
        answers.send(Ok(vec![addr(7)])).unwrap();
        assert_eq!(second.await.unwrap().unwrap(), [addr(7)]);
        assert_eq!(first.await.unwrap(), [addr(7)]);
        assert_eq!(slow.begun().len(), 1);
    });
}
