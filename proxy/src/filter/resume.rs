//! How a request that a filter keeps goes on.

use std::cell::Cell;
use std::fmt;
use std::rc::{Rc, Weak};

use super::Flow;
use crate::codec::LocalReply;
use crate::downstream::Downstream;

/// Lets a request go on that a filter has stopped with [`Flow::Stop`].
///
/// It concerns that one stop. When the request goes on otherwise, because its time-out has passed or
/// its client has left, it does nothing any more. Dropping it does nothing either: the request then
/// waits for its time-out.
pub struct Resume(Rc<Ticket>);

impl Resume {
    pub(super) fn new(ticket: &Rc<Ticket>) -> Self {
        Resume(Rc::clone(ticket))
    }

    /// On to the next filter.
    pub fn go_on(self) {
        self.0.say(Flow::Continue);
    }

    /// Answer it.
    pub fn reply(self, why: LocalReply) {
        self.0.say(Flow::Reply(why));
    }

    /// Look for its route again; see [`Flow::Reroute`].
    pub fn reroute(self) {
        self.0.say(Flow::Reroute);
    }
}

impl fmt::Debug for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resume").finish_non_exhaustive()
    }
}

/// One stop of one request: where it waits, and what was said about it.
pub(crate) struct Ticket {
    downstream: Weak<Downstream>,
    place: Cell<Option<usize>>,
    said: Cell<Option<Flow>>,
}

impl Ticket {
    pub(crate) fn new(downstream: &Rc<Downstream>) -> Rc<Self> {
        Rc::new(Ticket {
            downstream: Rc::downgrade(downstream),
            place: Cell::new(None),
            said: Cell::new(None),
        })
    }

    /// One whose client is gone.
    #[cfg(test)]
    pub(crate) fn of_nobody(place: Option<usize>) -> Rc<Self> {
        let (downstream, place) = (Weak::new(), Cell::new(place));
        Rc::new(Ticket { downstream, place, said: Cell::new(None) })
    }

    /// Where its request waits; `None` when it does not any more.
    pub(crate) fn set_place(&self, place: Option<usize>) {
        self.place.set(place);
    }

    /// Whether its request waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.place.get().is_some()
    }

    /// What was said before the request had its place.
    pub(crate) fn take_said(&self) -> Option<Flow> {
        self.said.take()
    }

    /// Has the request go on, in a task of its own: the filter that says so may be in the middle of
    /// something. The first word counts.
    fn say(self: Rc<Self>, flow: Flow) {
        if self.said.get().is_some() {
            return;
        }
        self.said.set(Some(flow));
        if self.place.get().is_some() {
            reactor::spawn(async move { self.resume(flow) }).detach();
        }
    }

    /// Has the request go on now.
    pub(crate) fn resume(&self, flow: Flow) {
        if let (Some(downstream), Some(place)) = (self.downstream.upgrade(), self.place.take()) {
            downstream.resume(place, flow);
        }
    }
}
