//! Accepting: one task per listener and thread, and the places that its clients take.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use net::{Connections, Tcp, TcpListener, TcpStream};
use reactor::time;

use crate::descriptors;
use crate::drain::{Member, Stage};
use crate::filter::NetworkFilters;
use crate::limits::{ACCEPTS_PER_TURN_MAX, LAST_ACCEPT_PAUSE, LAST_ACCEPTS_MAX, REFUSAL_PAUSE};
use crate::service::{Client, Entrance};
use crate::worker::Worker;

/// Client connections of one listener that are open, on all threads together.
pub(crate) type OpenCount = Arc<AtomicUsize>;

/// One listener's task.
pub(crate) struct Accepting {
    pub(crate) worker: Rc<Worker>,
    pub(crate) entrance: Rc<Entrance>,
    pub(crate) name: String,
    pub(crate) idle_timeout: Duration,
    pub(crate) open: OpenCount,
    /// Descriptors from this number on are not for clients, unless the limit has been raised meanwhile.
    pub(crate) descriptors: u64,
    pub(crate) refusals: Refusals,
}

/// Clients that were not served, as far as the log is told.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// When it was told last.
    told: Option<Instant>,
    /// Since then.
    untold: u64,
}

/// Why a client is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The listener has as many as it may.
    Connections,
    /// It would take a descriptor that is kept for upstream connections.
    Descriptors,
}

impl Accepting {
    pub(crate) async fn run(mut self, socket: TcpListener) {
        let worker = Rc::clone(&self.worker);
        let _member = Member::new(&worker).await;
        let mut incoming = socket.incoming();
        let mut accepted = 0;
        while worker.drain.stage() == Stage::Serving {
            match worker.drain.unless(Stage::Leaving, pin!(incoming.next())).await {
                None => break,
                Some(Ok((stream, peer))) => self.serve(stream, peer),
                Some(Err(error)) => {
                    log::error!("listener {}: {error}; it accepts no more", self.name);
                    return;
                }
            }
            accepted += 1;
            if accepted % ACCEPTS_PER_TURN_MAX == 0 {
                reactor::yield_now().await;
            }
        }
        self.take_last(incoming).await;
    }

    /// Takes those who are connected already as far as they know: the kernel resets who is in its
    /// queue when the socket is closed.
    async fn take_last(&mut self, mut incoming: Connections<'_, Tcp>) {
        for number in 1..=LAST_ACCEPTS_MAX {
            if self.worker.drain.stage() >= Stage::NoMore {
                return;
            }
            // Who came since the loop last asked the kernel is seen when it asks again, and it does
            // before a timer that it waits for can ring.
            match time::timeout(LAST_ACCEPT_PAUSE, incoming.next()).await {
                Ok(Ok((stream, peer))) => self.serve(stream, peer),
                _ => return,
            }
            if number % ACCEPTS_PER_TURN_MAX == 0 {
                reactor::yield_now().await;
            }
        }
    }

    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) {
        let number = stream.as_raw_fd() as u64;
        if number >= self.descriptors && self.is_reserved(number) {
            return self.refuse(peer, Refusal::Descriptors);
        }
        let Some(seat) = Seat::take(&self.worker, &self.open) else {
            return self.refuse(peer, Refusal::Connections);
        };
        let worker = Rc::clone(&self.worker);
        let (filters, idle_timeout) = (NetworkFilters::default(), self.idle_timeout);
        let client = Client { worker, stream, peer, filters, idle_timeout };
        reactor::spawn(serve(client, Rc::clone(&self.entrance), seat)).detach();
    }

    /// Looks again before it says so: the program may have raised the limit.
    #[cold]
    fn is_reserved(&mut self, number: u64) -> bool {
        self.descriptors = descriptors::of_clients();
        number >= self.descriptors
    }

    #[cold]
    fn refuse(&mut self, peer: SocketAddr, why: Refusal) {
        self.worker.stats.downstream_refused.up();
        let now = time::now();
        let Some(count) = self.refusals.another(now) else { return };
        let others = match count - 1 {
            0 => String::new(),
            others => format!(" ({others} more since this was last said)"),
        };
        let (name, connections_max) = (&self.name, self.worker.limits.connections_max);
        match why {
            Refusal::Connections => log::warn!(
                "listener {name}: client {peer} refused: there are {connections_max} connections{others}"
            ),
            Refusal::Descriptors => log::warn!(
                "listener {name}: client {peer} refused: descriptors from {} on are kept for \
                 connections to hosts; raise ulimit -n{others}",
                self.descriptors
            ),
        }
    }
}

impl Refusals {
    /// Another one; how many there were since the log was told last, if it is to be told now.
    fn another(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| now - told < REFUSAL_PAUSE) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

/// The task of one client.
async fn serve(client: Client, entrance: Rc<Entrance>, seat: Seat) {
    let _member = Member::new(&seat.worker).await;
    let drain = &seat.worker.drain;
    // What does not end by itself is dropped at the last stage.
    drain.unless(Stage::Cut, pin!(client.run(entrance))).await;
}

/// An open client connection, counted while it lives.
struct Seat {
    worker: Rc<Worker>,
    open: OpenCount,
}

impl Seat {
    /// `None` when the listener has as many as it may.
    fn take(worker: &Rc<Worker>, open: &OpenCount) -> Option<Self> {
        if open.fetch_add(1, Ordering::Relaxed) >= worker.limits.connections_max {
            open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        worker.stats.downstream_accepted.up();
        worker.stats.downstream_connections.up();
        Some(Seat { worker: Rc::clone(worker), open: Arc::clone(open) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.worker.stats.downstream_connections.down();
        self.worker.drain.gone();
    }
}
