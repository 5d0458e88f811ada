//! One lookup for all who ask for the same name at the same time (Go: `singleflight` in
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
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use reactor::spawn_blocking;

use super::resolve::not_run;

/// The lookups of one kind. At most as many are under way as the pools take: each is a closure that
/// waits or runs.
pub(super) struct Lookups<T: 'static>(LazyLock<Mutex<HashMap<Key, Arc<Flight<T>>>>>);

type Key = (ThreadId, String);

/// What one lookup found, for any number of askers.
type Answer<T> = Result<T, Arc<io::Error>>;

impl<T: Clone + Send> Lookups<T> {
    pub(super) const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    /// What `look_up`, which blocks, finds of `name`: on a thread of the runtime's pool, or by the
    /// lookup of this name that an asker of this thread began and that is not over yet.
    ///
    /// # Errors
    /// Those of `look_up`; `ResourceBusy` when the pool's queue is full.
    pub(super) async fn share<L>(&'static self, name: &str, look_up: L) -> io::Result<T>
    where
        L: Fn(&str) -> io::Result<T> + Clone + Send + 'static,
    {
        let key = (thread::current().id(), name.to_owned());
        loop {
            let (flight, begun) = self.join(&key);
            let lookup = begun.map(|landing| {
                let look_up = look_up.clone();
                spawn_blocking(move || landing.land(look_up(&landing.key.1)))
            });
            if let Some(answer) = Asker::of(flight).await {
                return answer.map_err(|err| shared(&err));
            }
            // It never had an answer. Whose lookup it was learns why, and the others try it
            // themselves.
            if let Some(lookup) = lookup
                && let Err(err) = lookup.await
            {
                return Err(not_run(err));
            }
        }
    }

    /// The flight under way, or a new one with what is to land it.
    fn join(&'static self, key: &Key) -> (Arc<Flight<T>>, Option<Landing<T>>) {
        let mut flights = lock(&self.0);
        if let Some(flight) = flights.get(key) {
            return (Arc::clone(flight), None);
        }
        let flight = Arc::new(Flight::default());
        flights.insert(key.clone(), Arc::clone(&flight));
        (Arc::clone(&flight), Some(Landing { lookups: self, key: key.clone(), flight }))
    }
}

struct Flight<T>(Mutex<State<T>>);

enum State<T> {
    /// Whom to wake, by the number of the asker.
    UnderWay { next: u64, wakers: BTreeMap<u64, Waker> },
    /// `None`: it was dropped before it had an answer.
    Landed(Option<Answer<T>>),
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self(Mutex::new(State::UnderWay { next: 0, wakers: BTreeMap::new() }))
    }
}

/// Lands a flight, with the answer or by being dropped.
struct Landing<T: 'static> {
    lookups: &'static Lookups<T>,
    key: Key,
    flight: Arc<Flight<T>>,
}

impl<T> Landing<T> {
    fn land(&self, answer: io::Result<T>) {
        self.land_with(Some(answer.map_err(Arc::new)));
    }

    /// Whoever asks from here on begins anew.
    fn land_with(&self, answer: Option<Answer<T>>) {
        lock(&self.lookups.0).remove(&self.key);
        let before = mem::replace(&mut *lock(&self.flight.0), State::Landed(answer));
        if let State::UnderWay { wakers, .. } = before {
            wake_all(wakers);
        }
    }
}

/// Wakers are code of users: one that panics must not leave those behind it waiting.
fn wake_all(wakers: BTreeMap<u64, Waker>) {
    let mut panics = 0;
    for waker in wakers.into_values() {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            // Its drop may panic as well.
            mem::forget(payload);
            panics += 1;
        }
    }
    if panics > 0 {
        log::error!("ignored {panics} panics of wakers of those who waited for a lookup");
    }
}

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        let is_under_way = matches!(*lock(&self.flight.0), State::UnderWay { .. });
        if is_under_way {
            self.land_with(None);
        }
    }
}

/// Waits for a flight to land.
struct Asker<T> {
    flight: Arc<Flight<T>>,
    number: Option<u64>,
}

impl<T> Asker<T> {
    fn of(flight: Arc<Flight<T>>) -> Self {
        Self { flight, number: None }
    }
}

impl<T: Clone> Future for Asker<T> {
    type Output = Option<Answer<T>>;

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

impl<T> Drop for Asker<T> {
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
    if let Some(errno) = err.raw_os_error() {
        return io::Error::from_raw_os_error(errno);
    }
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
