// The runtimes that are measured side by side, behind one trait. A module of each benchmark.

use std::future::Future;
use std::time::{Duration, Instant};

/// A single-threaded runtime.
pub(crate) trait Peer: 'static {
    /// How it is called in the figures.
    const NAME: &str;

    /// Runs a future on a fresh runtime, in a place where `spawn` works.
    fn block_on<F: Future + 'static>(future: F) -> F::Output
    where
        F::Output: 'static;

    /// Starts a task; the future gives its result.
    fn spawn<F: Future + 'static>(future: F) -> impl Future<Output = F::Output> + 'static
    where
        F::Output: 'static;

    /// Lets other tasks run.
    fn yield_now() -> impl Future<Output = ()>;

    /// A timer.
    fn sleep(time: Duration) -> impl Future<Output = ()>;
}

/// This project.
pub(crate) struct Ours;
/// tokio's current_thread runtime with a `LocalSet`.
pub(crate) struct Tokio;
/// smol's parts: `LocalExecutor` and async-io.
pub(crate) struct Smol;
/// monoio with its epoll driver.
pub(crate) struct Monoio;

impl Peer for Ours {
    const NAME: &str = "reactor";

    fn block_on<F: Future + 'static>(future: F) -> F::Output
    where
        F::Output: 'static,
    {
        reactor::block_on(future).expect("epoll and eventfd are to be had")
    }

    fn spawn<F: Future + 'static>(future: F) -> impl Future<Output = F::Output> + 'static
    where
        F::Output: 'static,
    {
        let task = reactor::spawn(future);
        async { task.await.expect("the task neither panics nor is aborted") }
    }

    fn yield_now() -> impl Future<Output = ()> {
        reactor::yield_now()
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> {
        reactor::time::sleep(time)
    }
}

impl Peer for Tokio {
    const NAME: &str = "tokio";

    fn block_on<F: Future + 'static>(future: F) -> F::Output
    where
        F::Output: 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), future)
    }

    fn spawn<F: Future + 'static>(future: F) -> impl Future<Output = F::Output> + 'static
    where
        F::Output: 'static,
    {
        let task = tokio::task::spawn_local(future);
        async { task.await.expect("the task neither panics nor is aborted") }
    }

    fn yield_now() -> impl Future<Output = ()> {
        tokio::task::yield_now()
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(time)
    }
}

thread_local! {
    static SMOL: async_executor::LocalExecutor<'static> =
        const { async_executor::LocalExecutor::new() };
}

impl Peer for Smol {
    const NAME: &str = "smol";

    fn block_on<F: Future + 'static>(future: F) -> F::Output
    where
        F::Output: 'static,
    {
        SMOL.with(|executor| async_io::block_on(executor.run(future)))
    }

    fn spawn<F: Future + 'static>(future: F) -> impl Future<Output = F::Output> + 'static
    where
        F::Output: 'static,
    {
        SMOL.with(|executor| executor.spawn(future))
    }

    fn yield_now() -> impl Future<Output = ()> {
        futures_lite::future::yield_now()
    }

    async fn sleep(time: Duration) {
        async_io::Timer::after(time).await;
    }
}

impl Peer for Monoio {
    const NAME: &str = "monoio";

    fn block_on<F: Future + 'static>(future: F) -> F::Output
    where
        F::Output: 'static,
    {
        let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build();
        runtime.expect("a runtime").block_on(future)
    }

    fn spawn<F: Future + 'static>(future: F) -> impl Future<Output = F::Output> + 'static
    where
        F::Output: 'static,
    {
        monoio::spawn(future)
    }

    fn yield_now() -> impl Future<Output = ()> {
        // monoio has no `yield_now`; futures-lite's wakes the task and returns `Pending` once.
        futures_lite::future::yield_now()
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> {
        monoio::time::sleep(time)
    }
}

/// Runs `operations` on a fresh runtime and returns how long they took.
pub(crate) fn time<P: Peer>(operations: impl Future<Output = ()> + 'static) -> Duration {
    P::block_on(async {
        let start = Instant::now();
        operations.await;
        start.elapsed()
    })
}
