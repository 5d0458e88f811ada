//! One lookup for all who ask for the same host at the same time (Go: `singleflight` in
//! `net/lookup.go`).
//!
//! The thread that looks up lands the answer itself, so nobody's lookup hangs on another's future:
//! any of those who ask may be dropped, the first one too. Nor does it end when all of them are:
//! getaddrinfo(3) cannot be stopped, and who asks again, as those do whose time was over, gets the
//! answer of the lookup that is under way instead of taking another thread. (Go forgets such a
//! lookup, since its goroutines are cheap.)
//!
//! Only askers of one thread share. Under virtual time a runtime's clock stands still while its own
//! pool is at work, and would run on while a task waits for the pool of another.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use reactor::spawn_blocking;

use super::resolve::not_run;

/// The lookups under way. No more than the pools take: each is a closure that waits or runs.
static FLIGHTS: LazyLock<Mutex<HashMap<Key, Arc<Flight>>>> = LazyLock::new(Mutex::default);

type Key = (ThreadId, String);

/// What one lookup found, for any number of askers.
type Answer = Result<Arc<[SocketAddr]>, Arc<io::Error>>;

/// The addresses of `host` by `look_up`, which blocks: on a thread of the runtime's pool, or by the
/// lookup of this host that an asker of this thread began and that is not over yet.
///
/// # Errors
/// Those of `look_up`; `ResourceBusy` when the pool's queue is full.
pub(super) async fn addresses<L>(host: &str, look_up: L) -> io::Result<Vec<SocketAddr>>
where
    L: Fn(&str) -> io::Result<Vec<SocketAddr>> + Clone + Send + 'static,
{
    let key = (thread::current().id(), host.to_owned());
    loop {
        let (flight, begun) = join(&key);
        let lookup = begun.map(|landing| {
            let look_up = look_up.clone();
            spawn_blocking(move || landing.land(look_up(&landing.key.1)))
        });
        if let Some(answer) = Asker::of(flight).await {
            return answer.map(|addrs| addrs.to_vec()).map_err(|err| shared(&err));
        }
        // It never had an answer. Whose lookup it was learns why, and the others try it themselves.
        if let Some(lookup) = lookup
            && let Err(err) = lookup.await
        {
            return Err(not_run(err));
        }
    }
}

/// The flight under way, or a new one with what is to land it.
fn join(key: &Key) -> (Arc<Flight>, Option<Landing>) {
    let mut flights = lock(&FLIGHTS);
    if let Some(flight) = flights.get(key) {
        return (Arc::clone(flight), None);
    }
    let flight = Arc::new(Flight::default());
    flights.insert(key.clone(), Arc::clone(&flight));
    (Arc::clone(&flight), Some(Landing { key: key.clone(), flight }))
}

#[derive(Default)]
struct Flight(Mutex<State>);

enum State {
    /// Whom to wake, by the number of the asker.
    UnderWay { next: u64, wakers: BTreeMap<u64, Waker> },
    /// `None`: it was dropped before it had an answer.
    Landed(Option<Answer>),
}

impl Default for State {
    fn default() -> Self {
        Self::UnderWay { next: 0, wakers: BTreeMap::new() }
    }
}

/// Lands a flight, with the answer or by being dropped.
struct Landing {
    key: Key,
    flight: Arc<Flight>,
}

impl Landing {
    fn land(&self, answer: io::Result<Vec<SocketAddr>>) {
        self.land_with(Some(answer.map(Arc::from).map_err(Arc::new)));
    }

    /// Whoever asks from here on begins anew.
    fn land_with(&self, answer: Option<Answer>) {
        let this = |flight: &Arc<Flight>| Arc::ptr_eq(flight, &self.flight);
        let mut flights = lock(&FLIGHTS);
        if flights.get(&self.key).is_some_and(this) {
            flights.remove(&self.key);
        }
        drop(flights);
        let before = mem::replace(&mut *lock(&self.flight.0), State::Landed(answer));
        if let State::UnderWay { wakers, .. } = before {
            wakers.into_values().for_each(Waker::wake);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let is_under_way = matches!(*lock(&self.flight.0), State::UnderWay { .. });
        if is_under_way {
            self.land_with(None);
        }
    }
}

/// Waits for a flight to land.
struct Asker {
    flight: Arc<Flight>,
    number: Option<u64>,
}

impl Asker {
    fn of(flight: Arc<Flight>) -> Self {
        Self { flight, number: None }
    }
}

impl Future for Asker {
    type Output = Option<Answer>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // To clone or to drop a waker is user code, which must not find the lock held.
        let waker = cx.waker().clone();
        let flight = Arc::clone(&self.flight);
        let mut state = lock(&flight.0);
        let (next, wakers) = match &mut *state {
            State::Landed(answer) => return Poll::Ready(answer.clone()),
            State::UnderWay { next, wakers } => (next, wakers),
        };
        let number = *self.number.get_or_insert_with(|| mem::replace(next, *next + 1));
        let replaced = wakers.insert(number, waker);
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waker = match &mut *lock(&self.flight.0) {
            State::UnderWay { wakers, .. } => wakers.remove(&number),
            State::Landed(_) => None,
        };
        drop(waker);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that may panic runs under these locks, so what they guard is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of several copies of an error: `io::Error` cannot be cloned.
#[derive(Debug)]
struct Shared(Arc<io::Error>);

#[cold]
fn shared(err: &Arc<io::Error>) -> io::Error {
    io::Error::new(err.kind(), Shared(Arc::clone(err)))
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Shared {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests;
