//! Credit: how much one side of a stream may still send.
//!
//! Only the payload of Data counts. Both directions of a stream begin with [`WINDOW_BYTES_INITIAL`];
//! who wants a larger window says so by the length of the SYN or ACK that it sends.

use std::time::Duration;

use super::violation::Rule;

/// The window of a stream that nobody has announced, in bytes.
pub const WINDOW_BYTES_INITIAL: u32 = 256 * 1024;

/// What the peer lets us send. Never negative: [`SendCredit::spend`] takes what is there.
#[derive(Debug)]
pub(crate) struct SendCredit {
    available: u32,
}

impl SendCredit {
    pub(crate) fn new() -> Self {
        Self { available: WINDOW_BYTES_INITIAL }
    }

    pub(crate) fn available(&self) -> u32 {
        self.available
    }

    /// Adds the credit of a window update; beyond 32 bits it is the peer's error.
    pub(crate) fn grant(&mut self, credit: u32) -> Result<(), Rule> {
        self.available = self.available.checked_add(credit).ok_or(Rule::CreditOverflow)?;
        Ok(())
    }

    pub(crate) fn spend(&mut self, bytes: u32) {
        debug_assert!(bytes <= self.available, "more sent than granted");
        self.available = self.available.saturating_sub(bytes);
    }
}

/// What we let the peer send. Credit is granted when bytes are read, not when they arrive, so what
/// the peer may send and what waits to be read are never more than `max` together.
#[derive(Debug)]
pub(crate) struct RecvWindow {
    max: u32,
    /// What the peer may still send.
    open: u32,
    /// Read by the application since the last update.
    consumed: u32,
    /// When the last update went out, or when data came to a window that was all open; in
    /// nanoseconds since the session began.
    since_ns: u64,
}

impl RecvWindow {
    pub(crate) fn new() -> Self {
        Self { max: WINDOW_BYTES_INITIAL, open: WINDOW_BYTES_INITIAL, consumed: 0, since_ns: 0 }
    }

    pub(crate) fn max(&self) -> u32 {
        self.max
    }

    /// What the window holds beyond what the protocol gives every stream.
    pub(crate) fn extra(&self) -> u32 {
        self.max - WINDOW_BYTES_INITIAL
    }

    /// Makes the window larger. The peer is to be told at once, by so much more credit.
    pub(crate) fn grow(&mut self, extra: u32) {
        self.max += extra;
        self.open += extra;
    }

    /// Takes the payload of one frame, all of it, before the first byte is there.
    pub(crate) fn receive(&mut self, bytes: u32, now_ns: u64) -> Result<(), Rule> {
        if self.open == self.max {
            self.since_ns = now_ns;
        }
        self.open = self.open.checked_sub(bytes).ok_or(Rule::WindowExceeded)?;
        Ok(())
    }

    /// The application has read.
    pub(crate) fn consume(&mut self, bytes: u32) {
        self.consumed += bytes;
    }

    /// Whether enough has gathered for an update: half the window.
    pub(crate) fn is_due(&self) -> bool {
        self.consumed >= self.max / 2
    }

    /// The window that the stream should have: four times what its reader takes in a round trip.
    ///
    /// An update goes out when half the window is read, and its credit comes into use a round trip
    /// after that. So the sender never waits if the other half lasts for a round trip: the window
    /// has to be twice the product of rate and round trip. The factor of four leaves as much for a
    /// rate that is still limited by the window itself. At most doubled by one update: a reader
    /// that takes at once what had gathered for long looks fast.
    pub(crate) fn wanted(&self, rtt: Duration, now_ns: u64) -> u32 {
        let elapsed_ns = u128::from(now_ns.saturating_sub(self.since_ns)).max(1);
        let in_a_round_trip = u128::from(self.consumed) * rtt.as_nanos() / elapsed_ns;
        let doubled = self.max.saturating_mul(2);
        u32::try_from(4 * in_a_round_trip).map_or(doubled, |wanted| wanted.clamp(self.max, doubled))
    }

    /// The credit of a window update that goes out now.
    pub(crate) fn take_credit(&mut self, now_ns: u64) -> u32 {
        self.since_ns = now_ns;
        self.open += self.consumed;
        std::mem::take(&mut self.consumed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: u32 = WINDOW_BYTES_INITIAL;
    const RTT: Duration = Duration::from_millis(60);

    #[test]
    fn credit_beyond_32_bits_is_an_error_and_changes_nothing() {
        let mut credit = SendCredit::new();
        assert_eq!(credit.grant(u32::MAX), Err(Rule::CreditOverflow));
        assert_eq!(credit.available(), FULL);
        credit.grant(u32::MAX - FULL).unwrap();
        assert_eq!(credit.available(), u32::MAX);
        assert_eq!(credit.grant(1), Err(Rule::CreditOverflow));
    }

    #[test]
    fn an_update_is_due_at_half_the_window_and_carries_exactly_what_was_read() {
        let mut window = RecvWindow::new();
        window.receive(FULL, 0).unwrap();
        window.consume(FULL / 2 - 1);
        assert!(!window.is_due());
        window.consume(2);
        assert!(window.is_due());
        assert_eq!(window.take_credit(0), FULL / 2 + 1);
        assert!(!window.is_due());
        window.receive(FULL / 2 + 1, 0).unwrap();
        assert_eq!(window.receive(1, 0), Err(Rule::WindowExceeded));
    }

    #[test]
    fn a_larger_window_holds_only_once_it_is_announced() {
        let mut window = RecvWindow::new();
        assert_eq!(window.receive(FULL + 1, 0), Err(Rule::WindowExceeded));
        window.grow(10);
        assert_eq!((window.max(), window.extra()), (FULL + 10, 10));
        window.receive(FULL + 10, 0).unwrap();
    }

    /// A window of which half was read in so many milliseconds.
    fn half_read_in(ms: u64) -> u32 {
        let mut window = RecvWindow::new();
        window.receive(FULL, 5).unwrap();
        window.consume(FULL / 2);
        window.wanted(RTT, 5 + ms * 1_000_000)
    }

    #[test]
    fn a_window_grows_while_half_of_it_is_read_within_two_round_trips() {
        assert_eq!(half_read_in(0), 2 * FULL);
        assert_eq!(half_read_in(60), 2 * FULL, "four round trips' worth, and doubled at most");
        assert_eq!(half_read_in(80), FULL / 2 * 3);
        assert_eq!(half_read_in(120), FULL);
        assert_eq!(half_read_in(10_000), FULL, "it does not shrink");
    }

    #[test]
    fn a_window_does_not_grow_beyond_what_can_be_counted() {
        let mut window = RecvWindow::new();
        window.grow(u32::MAX - FULL);
        window.receive(u32::MAX, 0).unwrap();
        window.consume(u32::MAX);
        assert_eq!(window.wanted(Duration::MAX, 1), u32::MAX);
    }
}
