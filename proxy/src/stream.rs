//! The life of one request as a table: events in, actions out.
//!
//! A [`Stream`] is two bytes and no task. Whoever holds it tells it what happened and does what it
//! answers; it does no I/O, reads no clock and knows no waker. Its phases are those of MOSN. A frame
//! is whole before its life begins, so what MOSN does in three phases for header, data and trailer
//! is here one action: `SendAndWait` on the way out, `Deliver` on the way back.
//!
//! The test of this module reads this table and tries every pair of phase and event against it:
//!
//! | phase | event | next | action |
//! |---|---|---|---|
//! | `Init` | `Received` | `DownFilter` | `Filter` |
//! | `DownFilter` | `Passed` | `MatchRoute` | `MatchRoute` |
//! | `MatchRoute` | `RouteFound` | `DownFilterAfterRoute` | `Filter` |
//! | `DownFilterAfterRoute` | `Passed` | `ChooseHost` | `ChooseHost` |
//! | `ChooseHost` | `HostChosen` | `DownFilterAfterChooseHost` | `Filter` |
//! | `ChooseHost` | `Congested` | `ChooseHost` | `Hold` |
//! | `ChooseHost` | `Drained` | `ChooseHost` | `ChooseHost` |
//! | `DownFilterAfterChooseHost` | `Passed` | `WaitNotify`; oneway: `Oneway` | `SendAndWait`; oneway: `SendAndForget` |
//! | `DownFilterAfterChooseHost` | `HostGone` | `ChooseHost` | `ChooseHost` |
//! | `DownFilterAfterRoute`, `DownFilterAfterChooseHost` | `Rerouted` | `MatchRoute` | `MatchRoute` |
//! | `DownFilter`, `DownFilterAfterRoute`, `DownFilterAfterChooseHost`, `UpFilter` | `Resumed` | unchanged | `Filter` |
//! | `DownFilter`, `MatchRoute`, `DownFilterAfterRoute`, `ChooseHost`, `DownFilterAfterChooseHost`, `Retry` | `Refused` | `End` | `Reply(why)`; oneway: `Discard` |
//! | `Oneway` | `Sent` | `End` | `Discard` |
//! | `WaitNotify` | `Answered` | `UpFilter` | `Filter` |
//! | `WaitNotify` | `Retried` | `Retry` | `BackOff` |
//! | `Retry` | `Resumed` | `ChooseHost` | `ChooseHost` |
//! | `UpFilter` | `Passed` | `End` | `Deliver` |
//! | `UpFilter` | `Refused` | `End` | `Reply(why)`; oneway: `Discard` |
//! | `WaitNotify` | `UpstreamLost` | `End` | `Reply(UpstreamLost)` |
//! | `WaitNotify` | `ConnectFailed` | `End` | `Reply(NoUpstream)` |
//! | `DownFilter`, `DownFilterAfterRoute`, `ChooseHost`, `DownFilterAfterChooseHost`, `WaitNotify`, `Retry`, `UpFilter` | `Expired` | `End` | `Reply(Timeout)`; oneway: `Discard` |
//! | `DownFilter`, `DownFilterAfterRoute`, `ChooseHost`, `DownFilterAfterChooseHost`, `WaitNotify`, `Retry`, `UpFilter` | `DownstreamGone` | `End` | `Discard` |
//! | every other pair | | unchanged | `Nothing` |
//!
//! The last row is what makes an outcome unique: whatever arrives at a request that has ended does
//! nothing. `End` is entered once, and with it the one cleaning.

use crate::codec::LocalReply;

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its frame is whole and lies in the read buffer; nothing is kept for it yet.
    Init,
    /// The filters look at it before its route is known; or one of them keeps it.
    DownFilter,
    /// Its route is looked for. Left within the same call.
    MatchRoute,
    /// The filters look at it and its route; or one of them keeps it.
    DownFilterAfterRoute,
    /// The route is known, the upstream connection is not. A request that has nothing to remember
    /// begins anew when it is held back here; one that has been through filters waits here.
    ChooseHost,
    /// The filters look at it and its host; or one of them keeps it.
    DownFilterAfterChooseHost,
    /// It asks for no answer, and its frame goes upstream. Left within the same call.
    Oneway,
    /// It is in the upstream connection's output or beyond, and its entry stands in that
    /// connection's id table. Never the phase of a oneway.
    WaitNotify,
    /// A try has failed, the next one has not begun.
    Retry,
    /// Its answer is there and the filters look at it; or one of them keeps it.
    UpFilter,
    /// It has had its one outcome. Nothing is kept for it any more.
    End,
}

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its frame is whole.
    Received,
    /// Every filter of this phase let it go on, or there is none.
    Passed,
    /// A filter that kept it lets it go on, or the pause before another try is over.
    Resumed,
    /// A filter wants its route looked for again.
    Rerouted,
    /// A route matches.
    RouteFound,
    /// An upstream connection takes it.
    HostChosen,
    /// Every connection that could take it has too many bytes waiting to be written.
    Congested,
    /// The output that it was held back for has drained.
    Drained,
    /// The connection that was to take it does not any more: a filter kept it for too long.
    HostGone,
    /// It cannot go on, for this reason.
    Refused(LocalReply),
    /// Its frame is in the upstream connection's output.
    Sent,
    /// Its answer came.
    Answered,
    /// A try failed and its route permits another one.
    Retried,
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
    /// Ask the filters of this phase that have not been asked.
    Filter,
    /// Look for its route.
    MatchRoute,
    /// Choose an upstream connection.
    ChooseHost,
    /// Put it into the id table and its frame into the upstream output.
    SendAndWait,
    /// Put its frame into the upstream output.
    SendAndForget,
    /// Leave the frame where it is and read no further until the upstream output has drained.
    Hold,
    /// Try again after a pause.
    BackOff,
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
        Stream { phase: Phase::Init, oneway }
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether it asks for no answer.
    pub fn is_oneway(&self) -> bool {
        self.oneway
    }

    /// Goes on by one row of the table.
    pub fn on(&mut self, event: Event) -> Action {
        let (phase, action) = self.row(event);
        self.phase = phase;
        action
    }

    fn row(&self, event: Event) -> (Phase, Action) {
        use Phase::*;
        match (self.phase, event) {
            (Init, Event::Received) => (DownFilter, Action::Filter),
            (DownFilter, Event::Passed) => (MatchRoute, Action::MatchRoute),
            (MatchRoute, Event::RouteFound) => (DownFilterAfterRoute, Action::Filter),
            (DownFilterAfterRoute, Event::Passed)
            | (DownFilterAfterChooseHost, Event::HostGone)
            | (ChooseHost, Event::Drained)
            | (Retry, Event::Resumed) => (ChooseHost, Action::ChooseHost),
            (ChooseHost, Event::HostChosen) => (DownFilterAfterChooseHost, Action::Filter),
            (ChooseHost, Event::Congested) => (ChooseHost, Action::Hold),
            (DownFilterAfterChooseHost, Event::Passed) if self.oneway => {
                (Oneway, Action::SendAndForget)
            }
            (DownFilterAfterChooseHost, Event::Passed) => (WaitNotify, Action::SendAndWait),
            (DownFilterAfterRoute | DownFilterAfterChooseHost, Event::Rerouted) => {
                (MatchRoute, Action::MatchRoute)
            }
            (Oneway, Event::Sent) => (End, Action::Discard),
            (WaitNotify, Event::Answered) => (UpFilter, Action::Filter),
            (WaitNotify, Event::Retried) => (Retry, Action::BackOff),
            (UpFilter, Event::Passed) => (End, Action::Deliver),
            (phase, Event::Resumed) if phase.is_filtering() => (phase, Action::Filter),
            (phase, event) => match self.outcome(event) {
                Some(action) => (End, action),
                None => (phase, Action::Nothing),
            },
        }
    }

    /// What ends it before its answer is passed on, if `event` does in this phase.
    fn outcome(&self, event: Event) -> Option<Action> {
        let phase = self.phase;
        let waits = phase.is_filtering()
            || matches!(phase, Phase::ChooseHost | Phase::WaitNotify | Phase::Retry);
        let chooses = matches!(phase, Phase::MatchRoute | Phase::ChooseHost | Phase::Retry);
        match event {
            Event::Refused(why) if chooses || phase.is_filtering() => Some(self.reply(why)),
            Event::Expired if waits => Some(self.reply(LocalReply::Timeout)),
            Event::DownstreamGone if waits => Some(Action::Discard),
            Event::UpstreamLost if phase == Phase::WaitNotify => {
                Some(Action::Reply(LocalReply::UpstreamLost))
            }
            Event::ConnectFailed if phase == Phase::WaitNotify => {
                Some(Action::Reply(LocalReply::NoUpstream))
            }
            _ => None,
        }
    }

    fn reply(&self, why: LocalReply) -> Action {
        if self.oneway { Action::Discard } else { Action::Reply(why) }
    }
}

impl Phase {
    /// Whether filters look at a request in this phase, and may keep it.
    pub fn is_filtering(self) -> bool {
        matches!(
            self,
            Phase::DownFilter
                | Phase::DownFilterAfterRoute
                | Phase::DownFilterAfterChooseHost
                | Phase::UpFilter
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const PHASES: [Phase; 11] = [
        Phase::Init,
        Phase::DownFilter,
        Phase::MatchRoute,
        Phase::DownFilterAfterRoute,
        Phase::ChooseHost,
        Phase::DownFilterAfterChooseHost,
        Phase::Oneway,
        Phase::WaitNotify,
        Phase::Retry,
        Phase::UpFilter,
        Phase::End,
    ];
    const WHY: LocalReply = LocalReply::Denied;
    const EVENTS: [Event; 17] = [
        Event::Received,
        Event::Passed,
        Event::Resumed,
        Event::Rerouted,
        Event::RouteFound,
        Event::HostChosen,
        Event::Congested,
        Event::Drained,
        Event::HostGone,
        Event::Refused(WHY),
        Event::Sent,
        Event::Answered,
        Event::Retried,
        Event::Expired,
        Event::UpstreamLost,
        Event::ConnectFailed,
        Event::DownstreamGone,
    ];

    /// The rows of the table in a text, without what stands in front of them.
    fn table(text: &str) -> Vec<&str> {
        let lines = text.lines().map(|line| line.trim_start_matches("//! "));
        let mut lines = lines.skip_while(|line| *line != "| phase | event | next | action |");
        lines.by_ref().take(2).for_each(drop);
        lines.take_while(|line| line.starts_with("| `")).collect()
    }

    /// A cell's text for a two-way request, and for a oneway.
    fn variant(cell: &str, oneway: bool) -> String {
        let text = match cell.split_once("; oneway: ") {
            Some((_, text)) if oneway => text,
            Some((text, _)) => text,
            None => cell,
        };
        text.trim_matches('`').replace("why", &format!("{WHY:?}"))
    }

    /// Next phase and action by phase and event, as the table has them.
    fn expectations(rows: &[&str], oneway: bool) -> HashMap<(String, String), (String, String)> {
        let mut all = HashMap::new();
        for row in rows {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [phases, event, next, action] = cells[..] else { panic!("{row}") };
            for phase in phases.split(", ") {
                let phase = phase.trim_matches('`').to_owned();
                let next = match variant(next, oneway) {
                    same if same == "unchanged" => phase.clone(),
                    next => next,
                };
                let key = (phase, event.trim_matches('`').to_owned());
                let twice = all.insert(key, (next, variant(action, oneway)));
                assert!(twice.is_none(), "two rows for one pair: {row}");
            }
        }
        all
    }

    #[test]
    fn every_pair_of_phase_and_event_does_what_the_table_says() {
        let rows = table(include_str!("stream.rs"));
        assert_eq!(rows.len(), 22);
        for oneway in [false, true] {
            let mut expected = expectations(&rows, oneway);
            for (phase, event) in PHASES.into_iter().flat_map(|p| EVENTS.map(|e| (p, e))) {
                let name = format!("{event:?}");
                let name = name.split('(').next().unwrap().to_owned();
                let nothing = (format!("{phase:?}"), "Nothing".to_owned());
                let expected = expected.remove(&(format!("{phase:?}"), name)).unwrap_or(nothing);
                let mut stream = Stream { phase, oneway };
                let action = stream.on(event);
                let found = (format!("{:?}", stream.phase), format!("{action:?}"));
                assert_eq!(found, expected, "{phase:?} {event:?} oneway {oneway}");
            }
            assert!(expected.is_empty(), "rows of no phase and event: {expected:?}");
        }
    }

    #[test]
    fn the_chapter_shows_the_same_table() {
        let chapter = table(include_str!("../../docs/proxy-phases.md"));
        assert_eq!(chapter, table(include_str!("stream.rs")));
    }

    /// A request that waits for its answer.
    fn sent() -> Stream {
        let mut stream = Stream::new(false);
        for event in [
            Event::Received,
            Event::Passed,
            Event::RouteFound,
            Event::Passed,
            Event::HostChosen,
            Event::Passed,
        ] {
            stream.on(event);
        }
        assert_eq!(stream.phase(), Phase::WaitNotify);
        stream
    }

    #[test]
    fn a_request_has_exactly_one_outcome_whatever_order_events_come_in() {
        let last =
            [Event::Expired, Event::UpstreamLost, Event::ConnectFailed, Event::DownstreamGone];
        for first in last {
            let mut stream = sent();
            assert_ne!(stream.on(first), Action::Nothing);
            for event in EVENTS {
                assert_eq!(stream.on(event), Action::Nothing, "{event:?} after {first:?}");
            }
        }
    }

    #[test]
    fn a_oneway_is_never_answered_and_never_waits() {
        for phase in PHASES.into_iter().filter(|phase| *phase != Phase::WaitNotify) {
            for event in EVENTS {
                let mut stream = Stream { phase, oneway: true };
                let action = stream.on(event);
                assert!(!matches!(action, Action::Reply(_)), "{phase:?} {event:?}");
                assert_ne!(stream.phase(), Phase::WaitNotify, "{phase:?} {event:?}");
            }
        }
    }

    #[test]
    fn a_request_tried_again_is_given_a_host_again() {
        let mut stream = sent();
        assert_eq!(stream.on(Event::Retried), Action::BackOff);
        assert_eq!(stream.on(Event::Answered), Action::Nothing);
        assert_eq!(stream.on(Event::Resumed), Action::ChooseHost);
    }
}
