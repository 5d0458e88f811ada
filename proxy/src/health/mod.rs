//! Whether a host is worth asking, as pure state machines: results and `now` go in, verdicts and the
//! next time to look come out.
//!
//! - [`Check`]: active. A probe at an interval; several failures in a row take the host out, several
//!   successes in a row put it back.
//! - [`Outlier`]: passive. Requests that fail in a row take the host out for a time that grows with
//!   every repetition.
//! - [`Keepalive`]: of one connection. Heartbeats while it is idle; several without a sign of life
//!   end it.

mod check;
mod keepalive;
mod outlier;

pub use check::{Check, CheckRules, Probe};
pub use keepalive::{Due, Keepalive};
pub use outlier::{Outlier, OutlierRules};
