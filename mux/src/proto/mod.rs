//! The protocol core: no I/O, no clock, no waker. Bytes, calls and the time go in; bytes, events
//! and the next time-out come out.
//!
//! **Whoever drives a [`Session`] calls, in this order and as often as it likes: `wind` with the
//! time, `feed` with what was read, `fill` and then `lend_outbox` for what to write, `tick`,
//! `take_events`; and comes back at `next_timeout`, or at once if `tick` says so. After any call it
//! takes the trash with `swap_trash` and drops it where nothing is borrowed.**

mod alarms;
mod budget;
mod closing;
mod code;
mod control;
mod empty;
mod ending;
mod frame;
mod opening;
mod outbox;
mod parse;
mod ping;
mod queue;
mod receive;
mod session;
mod state;
mod stats;
mod stream;
mod timing;
mod traffic;
mod transmit;
mod trash;
mod turns;
mod violation;
mod window;

#[cfg(test)]
mod tests;

pub(crate) use alarms::Alarm;
pub use code::{GoAwayCode, ResetCode};
pub use frame::{Flags, HEADER_BYTES, Header, Kind};
pub(crate) use outbox::Outbox;
pub(crate) use parse::LEND_BYTES_MIN;
pub(crate) use session::{Phase, Role, Session};
pub use stats::{SessionStats, StreamStats};
pub(crate) use stream::Key;
pub(crate) use transmit::BATCH_BYTES;
pub(crate) use trash::Trash;
pub use violation::{Rule, Violation};
pub use window::WINDOW_BYTES_INITIAL;
