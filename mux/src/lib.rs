//! Yamux sessions and streams over any [`futures_io::AsyncRead`] + [`futures_io::AsyncWrite`].
//!
//! A [`Session`] is a cheap handle: it opens and accepts [`Stream`]s. Its [`Driver`] is a future to
//! be spawned on the `reactor` runtime: it reads, writes and keeps the time. [`Config`] holds every
//! limit, and [`Error`] says what went wrong, for whom, and who began it.
//!
//! A [`host::Host`] keeps sessions with many peers and opens streams to them by name, dialing where there
//! is no session.
//!
//! The protocol itself is a core without I/O, clock or wakers: bytes, calls and the time go in;
//! bytes, events and the next time-out come out. Around it stands the shape of grpc-go's transport:
//! a reader that fills one buffer for each stream, a control queue, and a writer that serves the
//! control queue first and then the streams in turn. `docs/mux.md` and the chapters after it walk through it.
//!
//! [`package`] is apart from that: length-prefixed packages, and calls to workers over them.
//!
//! ```
//! # #[path = "../tests/support/mod.rs"] mod support;
//! use mux::{Config, Session};
//!
//! # let (near, far) = support::pipe(64 * 1024);
//! reactor::block_on(async {
//!     let (client, driver) = Session::client(near, Config::default());
//!     reactor::spawn(driver).detach();
//!     let (server, driver) = Session::server(far, Config::default());
//!     reactor::spawn(driver).detach();
//!
//!     let question = client.open().await?;
//!     question.write_bytes("21".into()).await?;
//!     let incoming = server.accept().await?;
//!     assert_eq!(incoming.read_bytes().await?.unwrap(), "21");
//!     Ok::<_, mux::Error>(())
//! })?.unwrap();
//! # Ok::<_, std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

mod buffers;
mod config;
mod driver;
mod error;
pub mod host;
pub mod package;
mod proto;
mod session;
mod shared;
mod split;
mod stream;
mod wait;

pub use config::Config;
pub use driver::Driver;
pub use error::{Error, Initiator, Scope};
pub use proto::{
    Flags, GoAwayCode, HEADER_BYTES, Header, Kind, ResetCode, Rule, SessionStats, StreamStats,
    Violation, WINDOW_BYTES_INITIAL,
};
pub use session::Session;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use stream::Stream;

#[cfg(doctest)]
mod book;
