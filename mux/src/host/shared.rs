//! What the handles of a host, its dials and its sessions share.

use std::cell::{Cell, RefCell};
use std::hash::Hash;
use std::rc::Rc;
use std::time::Instant;

use reactor::AbortHandle;
use reactor::time;

use super::back_off::{BackOff, Resting};
use super::dial::{AnyDriver, DialAny};
use super::dial_task;
use super::dials::{DialId, Dials};
use super::session_task::SessionTask;
use super::sessions::{SessionKey, Sessions, SessionsFull};
use super::stats::{Counts, HostStats};
use super::trash::Trash;
use super::wait::Waiters;
use super::{DialFailure, HostConfig, HostErrorKind};
use crate::{Session, Stream};

pub(super) struct Shared<P> {
    pub(super) config: HostConfig<P>,
    pub(super) dialer: Rc<dyn DialAny<P>>,
    pub(super) acceptors: Waiters,
    table: RefCell<Table<P>>,
}

struct Table<P> {
    sessions: Sessions<P>,
    dials: Dials<P, Rc<Landing>>,
    back_off: BackOff<P>,
    counts: Counts,
    closed: bool,
}

/// What the callers of a dial share with its task.
#[derive(Debug, Default)]
pub(super) struct Landing {
    pub(super) callers: Waiters,
    /// The dial has a slot, which its task is to give back.
    pub(super) has_slot: Cell<bool>,
    /// The task, while it waits for the slot.
    pub(super) waits_for_slot: Waiters,
    outcome: RefCell<Option<Result<Session, HostErrorKind>>>,
    task: RefCell<Option<AbortHandle>>,
}

/// A caller's part in a dial: to be given back with [`Shared::leave`].
pub(super) struct Part<P> {
    pub(super) peer: Rc<P>,
    pub(super) id: DialId,
    pub(super) landing: Rc<Landing>,
}

impl Landing {
    pub(super) fn outcome(&self) -> Option<Result<Session, HostErrorKind>> {
        self.outcome.borrow().clone()
    }

    fn conclude(&self, outcome: Result<Session, HostErrorKind>) {
        let old = self.outcome.replace(Some(outcome));
        drop(old);
        self.callers.tell_all();
    }

    fn cancel(&self) {
        let task = self.task.take();
        task.iter().for_each(AbortHandle::abort);
    }
}

impl<P: Eq + Hash + 'static> Shared<P> {
    pub(super) fn new(dialer: Rc<dyn DialAny<P>>, config: HostConfig<P>) -> Self {
        let config = config.in_range();
        let table = RefCell::new(Table {
            sessions: Sessions::new(&config),
            dials: Dials::new(&config),
            back_off: BackOff::new(&config),
            counts: Counts::default(),
            closed: false,
        });
        Self { config, dialer, acceptors: Waiters::default(), table }
    }

    /// Runs `act` on the table. What it lets go of is dropped when the borrow is over.
    fn with<R>(&self, act: impl FnOnce(&mut Table<P>, &mut Trash<P>) -> R) -> R {
        let mut trash = Trash::new();
        let result = act(&mut self.table.borrow_mut(), &mut trash);
        drop(trash);
        result
    }

    /// The best session for a new stream to a peer.
    pub(super) fn best(&self, peer: &P) -> Option<Session> {
        self.table.borrow().sessions.best(peer).cloned()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.table.borrow().closed
    }

    /// Takes part in the dial in flight to a peer, or begins one.
    pub(super) fn join(self: &Rc<Self>, peer: Rc<P>) -> Result<Part<P>, HostErrorKind> {
        if self.config.local.contains(&peer) {
            return Err(HostErrorKind::DialSelf);
        }
        let (now, new) = (time::now(), Rc::new(Landing::default()));
        // The name stays out here: with an error it may be the last, and goes when nothing is
        // borrowed.
        let (id, landing) = self.with(|table, trash| {
            if table.closed {
                return Err(HostErrorKind::Closed);
            }
            if let Some(joined) = table.dials.join(&peer) {
                return Ok(joined);
            }
            table.back_off.expire(now, trash);
            if let Some(resting) = table.back_off.check(&peer, now) {
                return Err(resting.error(now));
            }
            table.sessions.room(&peer).map_err(HostErrorKind::from)?;
            // It panics outside a runtime: here, before there is anything of the dial.
            let _ = reactor::handle();
            let begun = table.dials.begin(&peer, Rc::clone(&new));
            let queued_max = self.config.dials_queued_max;
            let (id, has_slot) = begun.map_err(|_| HostErrorKind::DialQueueFull { queued_max })?;
            new.has_slot.set(has_slot);
            Ok((id, Rc::clone(&new)))
        })?;
        let part = Part { peer, id, landing };
        if Rc::ptr_eq(&part.landing, &new) {
            let task = reactor::spawn(dial_task::run(self, &part));
            part.landing.task.replace(Some(task.abort_handle()));
            task.detach();
        }
        Ok(part)
    }

    /// A dial has its slot, and connects from now on.
    pub(super) fn dial_started(&self) {
        self.table.borrow_mut().counts.dials_started += 1;
    }

    /// A caller was answered by another session. The dial goes on: the peer may have accepted the
    /// connection already, and if both sides gave theirs up for the other's, none would be left.
    pub(super) fn keep(&self, part: &Part<P>) {
        self.table.borrow_mut().dials.keep(&part.peer, part.id);
    }

    /// A caller waits no more. The dial is cancelled with the last.
    pub(super) fn leave(&self, part: &Part<P>) {
        let cancelled = self.with(|table, trash| {
            let cancelled = table.dials.leave(&part.peer, part.id, trash);
            table.counts.dials_cancelled += u64::from(cancelled.is_some());
            cancelled
        });
        if let Some(landing) = cancelled {
            landing.cancel();
        }
    }

    pub(super) fn try_another(&self, peer: &Rc<P>) -> bool {
        self.table.borrow_mut().dials.try_another(peer)
    }

    /// A slot is free again: the next dial that waits gets it.
    pub(super) fn release(&self, peer: &P) {
        self.with(|table, trash| table.dials.release(peer, trash));
        while let Some(landing) = self.with(|table, trash| table.dials.grant(trash)) {
            landing.has_slot.set(true);
            landing.waits_for_slot.tell_all();
        }
    }

    pub(super) fn dial_failed(&self, peer: &Rc<P>, id: DialId, failure: DialFailure) {
        let now = time::now();
        let failed = self.with(|table, trash| {
            let Some(landing) = table.dials.finish(peer, id, trash) else {
                trash.failures.push(failure);
                return None;
            };
            table.counts.dials_failed += 1;
            let retry_at = table.back_off.failed(Rc::clone(peer), failure.clone(), now, trash);
            Some((landing, HostErrorKind::Dial { failure, retry_at }))
        });
        if let Some((landing, kind)) = failed {
            landing.conclude(Err(kind));
        }
    }

    pub(super) fn dial_succeeded(
        self: &Rc<Self>,
        peer: &Rc<P>,
        id: DialId,
        session: Session,
        driver: AnyDriver,
    ) {
        let landed = self.with(|table, trash| {
            let landing = table.dials.finish(peer, id, trash)?;
            table.counts.dials_succeeded += 1;
            table.back_off.succeeded(peer, trash);
            Some((landing, table.insert(peer, &session)))
        });
        let Some((landing, inserted)) = landed else { return };
        landing.conclude(inserted.map(|key| {
            self.carry(key, &session, driver);
            session
        }));
    }

    /// Takes in a session that the peer has dialed.
    pub(super) fn add(
        self: &Rc<Self>,
        peer: &Rc<P>,
        session: &Session,
        driver: AnyDriver,
    ) -> Result<(), HostErrorKind> {
        let (key, in_flight) = self.with(|table, _| {
            let key = table.insert(peer, session)?;
            table.counts.sessions_added += 1;
            Ok::<_, HostErrorKind>((key, table.dials.in_flight(peer)))
        })?;
        self.carry(key, session, driver);
        if let Some(landing) = in_flight {
            landing.callers.tell_all();
        }
        Ok(())
    }

    fn carry(self: &Rc<Self>, key: SessionKey, session: &Session, driver: AnyDriver) {
        reactor::spawn(SessionTask::new(self, key, session, driver)).detach();
    }

    /// Streams have arrived in a session.
    pub(super) fn arrived(&self, key: SessionKey) {
        if self.with(|table, _| table.sessions.arrived(key)) {
            self.acceptors.tell_one();
        }
    }

    /// The driver of a session is gone.
    pub(super) fn ended(&self, key: SessionKey) {
        self.with(|table, trash| table.sessions.ended(key, trash));
        self.acceptors.tell_one();
    }

    /// The next stream that a peer has opened. Peers take turns.
    pub(super) fn try_accept(&self) -> Option<(Rc<P>, Stream)> {
        loop {
            let (key, peer, session) = self.with(|table, _| table.sessions.next_ready())?;
            let stream = session.try_accept();
            let more = session.has_backlog();
            self.with(|table, trash| {
                table.counts.streams_accepted += u64::from(stream.is_some());
                table.sessions.accepted(key, more, trash);
            });
            if let Some(stream) = stream {
                return Some((peer, stream));
            }
        }
    }

    pub(super) fn opened(&self) {
        self.table.borrow_mut().counts.streams_opened += 1;
    }

    /// From now on nothing is dialed, added or opened. Gives the sessions that live.
    pub(super) fn close(&self) -> Vec<(Rc<P>, Session)> {
        let (dials, sessions) = self.with(|table, trash| {
            table.closed = true;
            let dials = table.dials.clear(trash);
            table.counts.dials_cancelled += dials.len() as u64;
            (dials, table.sessions.all())
        });
        for landing in dials {
            landing.cancel();
            landing.conclude(Err(HostErrorKind::Closed));
        }
        self.acceptors.tell_all();
        sessions
    }

    pub(super) fn sessions_of(&self, peer: &P) -> Vec<Session> {
        self.table.borrow().sessions.of_peer(peer)
    }

    pub(super) fn peers(&self) -> Vec<Rc<P>> {
        self.table.borrow().sessions.peers()
    }

    pub(super) fn stats(&self) -> HostStats {
        let now = time::now();
        self.with(|table, trash| {
            table.back_off.expire(now, trash);
            let (sessions, ended_sessions) = table.sessions.counts();
            let (dials, dials_queued, attempts) = table.dials.counts();
            HostStats {
                sessions,
                ended_sessions,
                dials,
                dials_queued,
                attempts,
                back_off_peers: table.back_off.len(),
                ..table.counts
            }
        })
    }
}

impl<P: Eq + Hash> Table<P> {
    fn insert(&mut self, peer: &Rc<P>, session: &Session) -> Result<SessionKey, HostErrorKind> {
        if self.closed {
            return Err(HostErrorKind::Closed);
        }
        self.sessions.room(peer)?;
        Ok(self.sessions.insert(peer, session.clone()))
    }
}

impl Resting {
    fn error(self, now: Instant) -> HostErrorKind {
        let Self { retry_at, failures, last, .. } = self;
        HostErrorKind::BackOff { retry_at, left: retry_at - now, failures, last }
    }
}

impl From<SessionsFull> for HostErrorKind {
    fn from(SessionsFull(sessions_max): SessionsFull) -> Self {
        Self::SessionsFull { sessions_max }
    }
}

/// The last handle is gone: nobody waits for the dials that are left. The sessions end as sessions
/// do that nobody holds.
impl<P> Drop for Shared<P> {
    fn drop(&mut self) {
        let table = self.table.get_mut();
        table.dials.shared().for_each(|landing| landing.cancel());
    }
}
