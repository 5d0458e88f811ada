//! The life of one request as a table: events in, actions out.
//!
//! A [`Stream`] is two bytes and no task. Whoever holds it tells it what happened and does what it
//! answers; it does no I/O, reads no clock and knows no waker. Its phases are those of MOSN, as far
//! as this proxy has something to do in them:
//!
//! | phase | event | next | action |
//! |---|---|---|---|
//! | `MatchRoute` | `RouteFound` | `ChooseHost` | `ChooseHost` |
//! | `MatchRoute` | `Refused(why)` | `End` | `Reply(why)`; oneway: `Discard` |
//! | `ChooseHost` | `HostChosen` | `WaitNotify`; oneway: `End` | `SendAndWait`; oneway: `SendAndForget` |
//! | `ChooseHost` | `Congested` | `MatchRoute` | `Hold` |
//! | `ChooseHost` | `Refused(why)` | `End` | `Reply(why)`; oneway: `Discard` |
//! | `WaitNotify` | `Answered` | `End` | `Deliver` |
//! | `WaitNotify` | `Expired` | `End` | `Reply(Timeout)` |
//! | `WaitNotify` | `UpstreamLost` | `End` | `Reply(UpstreamLost)` |
//! | `WaitNotify` | `ConnectFailed` | `End` | `Reply(NoUpstream)` |
//! | `WaitNotify` | `DownstreamGone` | `End` | `Discard` |
//! | every other pair | | unchanged | `Nothing` |
//!
//! The last row is what makes an outcome unique: whatever arrives at a request that has ended does
//! nothing.

use crate::codec::LocalReply;

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its frame is whole and lies in the read buffer; nothing is kept for it yet. A request held
    /// back comes here again with the same frame.
    MatchRoute,
    /// The route is known, the upstream connection is not. Left within the same call: never the
    /// phase of a request that is stored.
    ChooseHost,
    /// It is in the upstream connection's output or beyond, and its entry stands in that
    /// connection's id table. Never the phase of a oneway.
    WaitNotify,
    /// It has had its one outcome. Nothing is kept for it any more.
    End,
}

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A route matches.
    RouteFound,
    /// An upstream connection takes it.
    HostChosen,
    /// Every connection that could take it has too many bytes waiting to be written.
    Congested,
    /// It cannot go on, for this reason.
    Refused(LocalReply),
    /// Its answer came.
    Answered,
    /// Its time-out passed.
    Expired,
    /// The upstream connection was lost.
    UpstreamLost,
    /// The upstream connection it waited for was not made.
    ConnectFailed,
    /// The client closed its connection.
    DownstreamGone,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Choose an upstream connection.
    ChooseHost,
    /// Put it into the id table and its frame into the upstream output.
    SendAndWait,
    /// Put its frame into the upstream output.
    SendAndForget,
    /// Leave the frame where it is and read no further until the upstream output has drained.
    Hold,
    /// Send the answer downstream under the client's own id.
    Deliver,
    /// Answer it ourselves.
    Reply(LocalReply),
    /// Drop it without a word.
    Discard,
    /// The event does not concern it.
    Nothing,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    phase: Phase,
    oneway: bool,
}

impl Stream {
    /// A request whose frame has just become whole.
    pub fn new(oneway: bool) -> Self {
        Stream { phase: Phase::MatchRoute, oneway }
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Goes on by one row of the table.
    pub fn on(&mut self, event: Event) -> Action {
        let (phase, action) = self.row(event);
        self.phase = phase;
        action
    }

    fn row(&self, event: Event) -> (Phase, Action) {
        match (self.phase, event) {
            (Phase::MatchRoute, Event::RouteFound) => (Phase::ChooseHost, Action::ChooseHost),
            (Phase::ChooseHost, Event::HostChosen) if self.oneway => {
                (Phase::End, Action::SendAndForget)
            }
            (Phase::ChooseHost, Event::HostChosen) => (Phase::WaitNotify, Action::SendAndWait),
            (Phase::ChooseHost, Event::Congested) => (Phase::MatchRoute, Action::Hold),
            (Phase::MatchRoute | Phase::ChooseHost, Event::Refused(why)) => {
                (Phase::End, self.refusal(why))
            }
            (Phase::WaitNotify, Event::Answered) => (Phase::End, Action::Deliver),
            (Phase::WaitNotify, Event::Expired) => (Phase::End, Action::Reply(LocalReply::Timeout)),
            (Phase::WaitNotify, Event::UpstreamLost) => {
                (Phase::End, Action::Reply(LocalReply::UpstreamLost))
            }
            (Phase::WaitNotify, Event::ConnectFailed) => {
                (Phase::End, Action::Reply(LocalReply::NoUpstream))
            }
            (Phase::WaitNotify, Event::DownstreamGone) => (Phase::End, Action::Discard),
            (phase, _) => (phase, Action::Nothing),
        }
    }

    fn refusal(&self, why: LocalReply) -> Action {
        if self.oneway { Action::Discard } else { Action::Reply(why) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Event::*;
    use Phase::*;

    const PHASES: [Phase; 4] = [MatchRoute, ChooseHost, WaitNotify, End];
    const WHY: LocalReply = LocalReply::NoRoute;
    const EVENTS: [Event; 9] = [
        RouteFound,
        HostChosen,
        Congested,
        Refused(WHY),
        Answered,
        Expired,
        UpstreamLost,
        ConnectFailed,
        DownstreamGone,
    ];

    /// The table of the module's page: phase, event, then next phase and action of a two-way
    /// request and of a oneway.
    type Row = (Phase, Event, (Phase, Action), (Phase, Action));
    const TABLE: [Row; 10] = [
        (
            MatchRoute,
            RouteFound,
            (ChooseHost, Action::ChooseHost),
            (ChooseHost, Action::ChooseHost),
        ),
        (MatchRoute, Refused(WHY), (End, Action::Reply(WHY)), (End, Action::Discard)),
        (ChooseHost, HostChosen, (WaitNotify, Action::SendAndWait), (End, Action::SendAndForget)),
        (ChooseHost, Congested, (MatchRoute, Action::Hold), (MatchRoute, Action::Hold)),
        (ChooseHost, Refused(WHY), (End, Action::Reply(WHY)), (End, Action::Discard)),
        (WaitNotify, Answered, (End, Action::Deliver), (End, Action::Deliver)),
        (WaitNotify, Expired, REPLY_TIMEOUT, REPLY_TIMEOUT),
        (WaitNotify, UpstreamLost, REPLY_LOST, REPLY_LOST),
        (WaitNotify, ConnectFailed, REPLY_NO_UPSTREAM, REPLY_NO_UPSTREAM),
        (WaitNotify, DownstreamGone, (End, Action::Discard), (End, Action::Discard)),
    ];
    const REPLY_TIMEOUT: (Phase, Action) = (End, Action::Reply(LocalReply::Timeout));
    const REPLY_LOST: (Phase, Action) = (End, Action::Reply(LocalReply::UpstreamLost));
    const REPLY_NO_UPSTREAM: (Phase, Action) = (End, Action::Reply(LocalReply::NoUpstream));

    #[test]
    fn every_pair_of_phase_and_event_does_what_the_table_says() {
        for phase in PHASES {
            for event in EVENTS {
                for oneway in [false, true] {
                    let expected = TABLE
                        .iter()
                        .find(|row| row.0 == phase && row.1 == event)
                        .map_or((phase, Action::Nothing), |row| if oneway { row.3 } else { row.2 });
                    let mut stream = Stream { phase, oneway };
                    let action = stream.on(event);
                    assert_eq!((stream.phase, action), expected, "{phase:?} {event:?} {oneway}");
                }
            }
        }
    }

    #[test]
    fn a_request_has_exactly_one_outcome_whatever_order_events_come_in() {
        let last = [Answered, Expired, UpstreamLost, ConnectFailed, DownstreamGone];
        for first in last {
            let mut stream = Stream::new(false);
            stream.on(RouteFound);
            stream.on(HostChosen);
            assert_ne!(stream.on(first), Action::Nothing);
            for event in EVENTS {
                assert_eq!(stream.on(event), Action::Nothing, "{event:?} after {first:?}");
            }
        }
    }

    #[test]
    fn a_oneway_is_never_answered() {
        let mut sent = Stream::new(true);
        sent.on(RouteFound);
        assert_eq!(sent.on(HostChosen), Action::SendAndForget);
        let mut refused = Stream::new(true);
        assert_eq!(refused.on(Refused(WHY)), Action::Discard);
    }
}
