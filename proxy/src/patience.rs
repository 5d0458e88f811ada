//! How long a client may be silent, and how long it may take over one frame.
//!
//! One timer per connection, which is almost never touched: it is armed for the earliest moment at
//! which something could be over, and what has happened since is looked at when it rings. The clock
//! is read only then, and when a read ends within a frame.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use reactor::time::{self, Sleep};

use crate::conn::CloseReason;

/// What a connection looks like after it has done all it could.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Frames that have come so far.
    pub(crate) frames: u64,
    /// When the last one came.
    pub(crate) last_frame: Option<Instant>,
    /// Answers that were queued so far.
    pub(crate) answers: u64,
    /// Whether something is in flight, waits to be written or is held back.
    pub(crate) busy: bool,
    /// Bytes that are there, and those that are needed, of a frame that is under way.
    pub(crate) partial: Option<(usize, usize)>,
}

/// See the module's page.
pub(crate) struct Patience {
    /// Zero: for ever.
    idle_timeout: Duration,
    frame_timeout: Duration,
    /// Since when it may be idle.
    quiet_since: Instant,
    /// Answers at the last look at the clock.
    answers: u64,
    /// The frame under way, by the number of those before it, and since when it is.
    partial: Option<(u64, Instant)>,
    timer: Option<Sleep>,
}

impl Patience {
    pub(crate) fn new(idle_timeout: Duration, frame_timeout: Duration) -> Self {
        let quiet_since = time::now();
        Patience {
            idle_timeout,
            frame_timeout,
            quiet_since,
            answers: 0,
            partial: None,
            timer: None,
        }
    }

    /// To be called whenever the connection's task has run; the task runs again when it is time.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, view: View) -> Poll<CloseReason> {
        self.note_partial(view);
        loop {
            let Some(due) = self.due() else {
                self.timer = None;
                return Poll::Pending;
            };
            let timer = self.timer.get_or_insert_with(|| time::sleep_until(due));
            // One that is armed for an earlier moment costs a look at the clock, and saves arming
            // anew for every frame.
            if timer.deadline().is_some_and(|armed| due < armed) {
                timer.reset(due);
            }
            if Pin::new(timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
            if let Some(reason) = self.over(view, time::now()) {
                return Poll::Ready(reason);
            }
        }
    }

    fn note_partial(&mut self, view: View) {
        match (view.partial, self.partial) {
            (None, _) => self.partial = None,
            (Some(_), Some((number, _))) if number == view.frames => {}
            (Some(_), _) => self.partial = Some((view.frames, time::now())),
        }
    }

    /// When something could be over.
    fn due(&self) -> Option<Instant> {
        let idle = (!self.idle_timeout.is_zero()).then(|| self.quiet_since + self.idle_timeout);
        let frame = self.partial.map(|(_, since)| since + self.frame_timeout);
        [idle, frame].into_iter().flatten().min()
    }

    /// What is over at `now`; what has happened meanwhile is taken into account first.
    fn over(&mut self, view: View, now: Instant) -> Option<CloseReason> {
        if let (Some((_, since)), Some((have_bytes, need_bytes))) = (self.partial, view.partial)
            && now - since >= self.frame_timeout
        {
            let after = self.frame_timeout;
            return Some(CloseReason::Trickle { have_bytes, need_bytes, after });
        }
        if self.idle_timeout.is_zero() {
            return None;
        }
        let last = view.last_frame.unwrap_or(self.quiet_since);
        self.quiet_since = self.quiet_since.max(last);
        if now - self.quiet_since < self.idle_timeout {
            return None;
        }
        // Long calls: their answers are signs of life too, but when they came is not known.
        if view.busy || self.answers != view.answers || view.partial.is_some() {
            self.answers = view.answers;
            self.quiet_since = now;
            return None;
        }
        Some(CloseReason::Idle { after: self.idle_timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(90);
    const FRAME: Duration = Duration::from_secs(30);
    const SECOND: Duration = Duration::from_secs(1);

    const QUIET: View =
        View { frames: 0, last_frame: None, answers: 0, busy: false, partial: None };

    fn with(test: impl FnOnce(Patience, Instant)) {
        reactor::block_on(async {
            let patience = Patience::new(IDLE, FRAME);
            let start = patience.quiet_since;
            test(patience, start);
        })
        .unwrap();
    }

    #[test]
    fn a_silent_client_is_idle_exactly_when_its_time_is_over() {
        with(|mut patience, start| {
            assert_eq!(patience.due(), Some(start + IDLE));
            assert!(patience.over(QUIET, start + IDLE - SECOND).is_none());
            assert!(matches!(
                patience.over(QUIET, start + IDLE),
                Some(CloseReason::Idle { after: IDLE })
            ));
        });
    }

    #[test]
    fn the_last_frame_counts_and_not_the_look_at_the_clock() {
        with(|mut patience, start| {
            let view = View { frames: 9, last_frame: Some(start + 40 * SECOND), ..QUIET };
            assert!(patience.over(view, start + IDLE).is_none());
            assert_eq!(patience.due(), Some(start + 40 * SECOND + IDLE));
            assert!(patience.over(view, start + 40 * SECOND + IDLE).is_some());
        });
    }

    #[test]
    fn a_client_that_waits_or_has_just_been_answered_is_not_idle() {
        with(|mut patience, start| {
            assert!(patience.over(View { busy: true, ..QUIET }, start + IDLE).is_none());
            let answered = View { answers: 1, ..QUIET };
            assert!(patience.over(answered, start + 2 * IDLE).is_none());
            assert!(patience.over(answered, start + 3 * IDLE).is_some());
        });
    }

    #[test]
    fn a_frame_must_be_whole_in_time_however_busy_the_client_is() {
        with(|mut patience, start| {
            let view = View { busy: true, partial: Some((3, 22)), ..QUIET };
            patience.note_partial(view);
            let (_, since) = patience.partial.unwrap();
            assert_eq!(patience.due(), Some(since + FRAME));
            assert!(patience.over(view, since + FRAME - SECOND).is_none());
            let reason = patience.over(view, since + FRAME);
            assert!(matches!(
                reason,
                Some(CloseReason::Trickle { have_bytes: 3, need_bytes: 22, after: FRAME })
            ));

            let next = View { frames: 1, ..view };
            patience.note_partial(next);
            assert!(patience.partial.unwrap().1 >= since, "the next frame has its own time");
            assert_eq!(patience.partial.unwrap().0, 1);
            patience.note_partial(QUIET);
            assert_eq!(patience.due(), Some(start + IDLE));
        });
    }

    #[test]
    fn zero_is_for_ever() {
        reactor::block_on(async {
            let mut patience = Patience::new(Duration::ZERO, FRAME);
            assert_eq!(patience.due(), None);
            let later = patience.quiet_since + 1000 * IDLE;
            assert!(patience.over(QUIET, later).is_none());
        })
        .unwrap();
    }
}
