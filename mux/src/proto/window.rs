//! Credit: how much one side of a stream may still send.
//!
//! Only the payload of Data counts. Both directions of a stream begin with [`WINDOW_BYTES_INITIAL`];
//! who wants a larger window says so by the length of the SYN or ACK that it sends.

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

/// What we let the peer send. Credit is granted when bytes are read, not when they arrive, so the
/// receive buffer never holds more than `max`.
#[derive(Debug)]
pub(crate) struct RecvWindow {
    max: u32,
    /// What the peer may still send.
    open: u32,
    /// Read by the application since the last update.
    consumed: u32,
}

impl RecvWindow {
    /// A window of `max` bytes, of which the peer knows the initial part.
    pub(crate) fn new(max: u32) -> Self {
        Self { max, open: WINDOW_BYTES_INITIAL, consumed: 0 }
    }

    /// The part of the window that the SYN or ACK announces.
    pub(crate) fn announce(&mut self) -> u32 {
        let delta = self.max - WINDOW_BYTES_INITIAL;
        self.open += delta;
        delta
    }

    /// Takes the payload of one frame, all of it, before the first byte is there.
    pub(crate) fn receive(&mut self, bytes: u32) -> Result<(), Rule> {
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

    /// The credit of a window update that goes out now.
    pub(crate) fn take_credit(&mut self) -> u32 {
        self.open += self.consumed;
        std::mem::take(&mut self.consumed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_beyond_32_bits_is_an_error_and_changes_nothing() {
        let mut credit = SendCredit::new();
        assert_eq!(credit.grant(u32::MAX), Err(Rule::CreditOverflow));
        assert_eq!(credit.available(), WINDOW_BYTES_INITIAL);
        credit.grant(u32::MAX - WINDOW_BYTES_INITIAL).unwrap();
        assert_eq!(credit.available(), u32::MAX);
        assert_eq!(credit.grant(1), Err(Rule::CreditOverflow));
    }

    #[test]
    fn an_update_is_due_at_half_the_window_and_carries_exactly_what_was_read() {
        let mut window = RecvWindow::new(WINDOW_BYTES_INITIAL);
        window.receive(WINDOW_BYTES_INITIAL).unwrap();
        window.consume(WINDOW_BYTES_INITIAL / 2 - 1);
        assert!(!window.is_due());
        window.consume(2);
        assert!(window.is_due());
        assert_eq!(window.take_credit(), WINDOW_BYTES_INITIAL / 2 + 1);
        assert!(!window.is_due());
        window.receive(WINDOW_BYTES_INITIAL / 2 + 1).unwrap();
        assert_eq!(window.receive(1), Err(Rule::WindowExceeded));
    }

    #[test]
    fn a_larger_window_holds_only_once_it_is_announced() {
        let mut window = RecvWindow::new(WINDOW_BYTES_INITIAL + 10);
        assert_eq!(window.receive(WINDOW_BYTES_INITIAL + 1), Err(Rule::WindowExceeded));
        assert_eq!(window.announce(), 10);
        window.receive(WINDOW_BYTES_INITIAL + 10).unwrap();
    }
}
