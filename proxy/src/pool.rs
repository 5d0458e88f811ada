//! The connections to one host that speak one protocol: dialed when a request wants one.
//!
//! | mode | one connection carries | which is taken |
//! |---|---|---|
//! | multiplex | the requests of all clients | the next of a fixed number, in turn |
//! | ping-pong | one request at a time | the one that was used last |
//! | binding | the requests of one client | the client's own |

mod binding;

use std::cell::RefCell;
use std::rc::Rc;

use crate::cluster::{Ask, Host};
use crate::config::{self, PoolMode};
use crate::upstream::Upstream;

pub(crate) use binding::Bindings;

/// See the module's page.
pub(crate) struct Pool {
    mode: PoolMode,
    connections_max: usize,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    slots: Vec<Option<Rc<Upstream>>>,
    /// The next slot in turn, where connections are shared.
    next: usize,
    /// Slots without a connection, where they are not.
    vacant: Vec<usize>,
    /// Slots of connections that had no request when they were put here, the last one on top.
    idle: Vec<usize>,
}

/// What a connection, a host or a cluster can do for a request now; the best comes first.
pub(crate) enum Candidate {
    /// Take it.
    Ready(Rc<Upstream>),
    /// Take it when some of what waits to be written to it has left.
    Congested(Rc<Upstream>),
    /// Take it, but the last dial failed and this one is not through yet.
    Doubtful(Rc<Upstream>),
    /// Nothing: too many requests in flight, or too many connections.
    Full,
    /// Nothing: a dial failed and it is too early for the next, or there is no host.
    Down,
}

impl Candidate {
    fn rank(&self) -> u8 {
        match self {
            Candidate::Ready(_) => 0,
            Candidate::Congested(_) => 1,
            Candidate::Doubtful(_) => 2,
            Candidate::Full => 3,
            Candidate::Down => 4,
        }
    }
}

/// Keeps the better of the two, of equal ones the first; whether it cannot be bettered.
pub(crate) fn best_of(best: &mut Candidate, other: Candidate) -> bool {
    if other.rank() < best.rank() {
        *best = other;
    }
    best.rank() == 0
}

impl Pool {
    pub(crate) fn new(config: &config::Cluster) -> Self {
        Pool {
            mode: config.pool,
            connections_max: config.connections_per_host,
            state: RefCell::default(),
        }
    }

    /// The connections that are open or being made.
    pub(crate) fn connections(&self) -> Vec<Rc<Upstream>> {
        self.state.borrow().slots.iter().flatten().cloned().collect()
    }

    /// The connection that takes a request, dialed when there is none, or what hinders it.
    pub(crate) fn candidate(&self, host: &Rc<Host>, ask: &Ask<'_>) -> Candidate {
        match self.mode {
            PoolMode::Multiplex => self.shared(host, ask),
            PoolMode::PingPong => self.idle(host, ask),
            PoolMode::Binding => match self.dial(host, ask) {
                Ok(upstream) => {
                    // Ready whatever is thought of the host: who is bound asks nobody else.
                    Bindings::bind(&upstream, ask.client);
                    Candidate::Ready(upstream)
                }
                Err(hindrance) => hindrance,
            },
        }
    }

    /// The next connection in turn that takes a request, or else what is best of the others.
    fn shared(&self, host: &Rc<Host>, ask: &Ask<'_>) -> Candidate {
        let first = self.state.borrow().next;
        self.state.borrow_mut().next = (first + 1) % self.connections_max;
        let mut best = Candidate::Down;
        for n in 0..self.connections_max {
            let slot = (first + n) % self.connections_max;
            let present = self.state.borrow().slots.get(slot).cloned().flatten();
            let offer = match present {
                Some(upstream) => Host::offer(upstream),
                // A host that failed is dialed once at a time.
                None if host.has_failed() && self.is_dialing() => Candidate::Down,
                None => match host.may_dial(ask.now) {
                    Ok(()) => Host::offer(self.dial_at(host, ask, slot)),
                    Err(hindrance) => hindrance,
                },
            };
            if best_of(&mut best, offer) {
                break;
            }
        }
        best
    }

    fn is_dialing(&self) -> bool {
        self.state.borrow().slots.iter().flatten().any(|upstream| upstream.is_dialing())
    }

    /// The connection that was used last and carries nothing now, or a new one.
    fn idle(&self, host: &Rc<Host>, ask: &Ask<'_>) -> Candidate {
        loop {
            let Some(upstream) = self.state.borrow().last_idle() else { break };
            // One that is offered stays here until it is seen to be in use: whoever was offered it
            // may leave it.
            if !upstream.is_full() {
                return Host::offer(upstream);
            }
            upstream.set_listed(false);
            self.state.borrow_mut().idle.pop();
        }
        match self.dial(host, ask) {
            Ok(upstream) => {
                self.rest(&upstream);
                Host::offer(upstream)
            }
            Err(hindrance) => hindrance,
        }
    }

    /// The connection has no request any more.
    pub(crate) fn rest(&self, upstream: &Upstream) {
        if self.mode == PoolMode::PingPong && !upstream.set_listed(true) {
            self.state.borrow_mut().idle.push(upstream.slot());
        }
    }

    /// A new connection in a slot of its own.
    fn dial(&self, host: &Rc<Host>, ask: &Ask<'_>) -> Result<Rc<Upstream>, Candidate> {
        host.may_dial(ask.now)?;
        let mut state = self.state.borrow_mut();
        let slot = match state.vacant.pop() {
            Some(slot) => slot,
            None if state.slots.len() < self.connections_max => state.slots.len(),
            None => return Err(Candidate::Full),
        };
        drop(state);
        Ok(self.dial_at(host, ask, slot))
    }

    fn dial_at(&self, host: &Rc<Host>, ask: &Ask<'_>, slot: usize) -> Rc<Upstream> {
        let upstream = host.dial(ask.protocol, slot);
        let mut state = self.state.borrow_mut();
        if slot >= state.slots.len() {
            state.slots.resize(slot + 1, None);
        }
        state.slots[slot] = Some(Rc::clone(&upstream));
        upstream
    }

    /// Takes the connection out of its slot, if it is still there.
    pub(crate) fn vacate(&self, upstream: &Upstream) {
        let slot = upstream.slot();
        let mut state = self.state.borrow_mut();
        let present = state.slots.get_mut(slot);
        let Some(place) = present.filter(|place| is(place, upstream)) else { return };
        *place = None;
        if self.mode != PoolMode::Multiplex {
            state.vacant.push(slot);
        }
        if upstream.set_listed(false) {
            state.idle.retain(|idle| *idle != slot);
        }
    }
}

impl State {
    fn last_idle(&self) -> Option<Rc<Upstream>> {
        let slot = *self.idle.last()?;
        self.slots[slot].clone()
    }
}

fn is(place: &Option<Rc<Upstream>>, upstream: &Upstream) -> bool {
    place.as_ref().is_some_and(|present| std::ptr::eq(&**present, upstream))
}
