//! When a run is over.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

/// A run in which nothing comes back for this long has failed. A shared machine may itself stand still
/// for seconds.
const STALL: Duration = Duration::from_secs(30);

/// How much is still to be sent in a run, and until when.
pub(crate) struct Goal {
    left: u64,
    end: Option<Instant>,
}

impl Goal {
    pub(crate) fn time(time: Duration) -> Self {
        Self { left: u64::MAX, end: Some(Instant::now() + time) }
    }

    pub(crate) fn count(count: u64) -> Self {
        Self { left: count, end: None }
    }

    /// Takes at most `wanted` messages from what is still to be sent.
    pub(crate) fn take(&mut self, wanted: u64, now: Instant) -> u64 {
        if self.end.is_some_and(|end| now >= end) {
            return 0;
        }
        let taken = wanted.min(self.left);
        self.left -= taken;
        taken
    }
}

/// Waits for events, of which there must be some in time.
pub(crate) fn poll(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    poll.poll(events, Some(STALL))?;
    if events.is_empty() {
        let text = format!("nothing came back for {} s", STALL.as_secs());
        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
    }
    Ok(())
}
