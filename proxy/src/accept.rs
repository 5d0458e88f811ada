//! Accepting: one task per listener and thread, and the places that its clients take.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use net::{TcpListener, TcpStream};

use crate::filter::NetworkFilters;
use crate::limits::ACCEPTS_PER_TURN_MAX;
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
    /// Whether the last connection was refused; the log says so once.
    pub(crate) full: bool,
}

impl Accepting {
    pub(crate) async fn run(mut self, socket: TcpListener) {
        let mut incoming = socket.incoming();
        for accepted in 1.. {
            match incoming.next().await {
                Ok((stream, peer)) => self.serve(stream, peer),
                Err(error) => {
                    log::error!("listener {}: {error}; it accepts no more", self.name);
                    return;
                }
            }
            if accepted % ACCEPTS_PER_TURN_MAX == 0 {
                reactor::yield_now().await;
            }
        }
    }

    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Some(seat) = Seat::take(&self.worker, &self.open) else {
            self.refuse(peer);
            return;
        };
        self.full = false;
        let worker = Rc::clone(&self.worker);
        let (filters, idle_timeout) = (NetworkFilters::default(), self.idle_timeout);
        let client = Client { worker, stream, peer, filters, idle_timeout };
        let entrance = Rc::clone(&self.entrance);
        reactor::spawn(async move {
            client.run(entrance).await;
            drop(seat);
        })
        .detach();
    }

    fn refuse(&mut self, peer: SocketAddr) {
        self.worker.stats.downstream_refused.up();
        if !std::mem::replace(&mut self.full, true) {
            let connections_max = self.worker.limits.connections_max;
            log::warn!(
                "listener {}: client {peer} refused: there are {connections_max} connections",
                self.name
            );
        }
    }
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
    }
}
