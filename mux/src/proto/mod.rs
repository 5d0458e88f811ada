//! The protocol core: no I/O, no clock, no waker. Bytes, calls and the time go in; bytes, events
//! and the next time-out come out.
//!
//! **Whoever drives a [`Session`] calls, in this order and as often as it likes: `wind` with the
//! time, `feed` with what was read, `fill` and then `lend_outbox` for what to write, `tick`,
//! `take_events`; and comes back at `next_timeout`, or at once if `tick` says so.**

mod control;
mod ending;
mod frame;
mod outbox;
mod ping;
mod queue;
mod receive;
mod session;
mod state;
mod stream;
mod timing;
mod transmit;
mod violation;
mod window;

#[cfg(test)]
mod tests;

pub use frame::{Flags, GoAwayCode, HEADER_BYTES, Header, Kind};
pub(crate) use outbox::Outbox;
pub(crate) use session::{Phase, Role, Session};
pub(crate) use stream::Key;
pub use violation::{Rule, Violation};
pub use window::WINDOW_BYTES_INITIAL;
