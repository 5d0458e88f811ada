//! Length-prefixed packages, and calls over them: Swoole's stream mode.
//!
//! A package is a header with a length in it, and a body ([`Format`]). [`Decoder`] is the codec,
//! without I/O; [`Packages`] reads and writes them on any connection.
//!
//! In the stream mode a [`Caller`] opens a connection for each request and sends it as one package.
//! A [`Worker`] that is idle accepts it, answers with 0 or more packages, ends the reply with an
//! empty one, and accepts the next. `docs/mux-packages.md` walks through it, and says what is the
//! same as in Swoole and what is not.

mod caller;
mod deadline;
mod decoder;
mod error;
mod format;
mod gate;
mod length;
mod malformed;
mod packages;
mod reply;
mod request;
mod worker;

pub use caller::{CallConfig, Caller, Connect};
pub use decoder::{Decoder, Package};
pub use error::{Error, Stage};
pub use format::{Format, PACKAGE_BYTES_MAX};
pub use length::LengthType;
pub use malformed::Malformed;
pub use packages::Packages;
pub use reply::{Reply, ReplyEnd};
pub use request::Request;
pub use worker::{Accept, WorkConfig, Worker};
