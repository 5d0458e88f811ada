//! Filters: code of the user's own between the two sides of the proxy.
//!
//! A [`StreamFilter`] sees one request: before its route is known, when it is, when its host is, and
//! its answer. It may let it go on, answer it, delay it, have its route looked for again, or keep it
//! until somebody says so ([`Flow`]). Each request gets filters of its own, made by a [`MakeFilter`];
//! [`Filters`] knows how each type of filter that a configuration may name is made. A
//! [`NetworkFilter`] sees one connection of a client: that it is there, what is read from it and what
//! is written to it.
//!
//! A listener without filters pays nothing for them: no allocation, no look into a frame.

mod network;
mod registry;
mod resume;

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use crate::codec::{
    Codec, CodecError, Decoded, Frame, FrameLimits, HeaderError, LocalReply, Protocol,
};
use crate::inbox::Payload;

pub(crate) use network::NetworkFilters;
pub use network::{MakeNetworkFilter, NetworkFilter, NetworkFlow};
pub(crate) use registry::BuildError;
pub use registry::{FilterError, Filters, read};
pub use resume::Resume;
pub(crate) use resume::Ticket;

/// Makes the filter of one request.
pub type MakeFilter = Rc<dyn Fn() -> Box<dyn StreamFilter>>;

/// What a filter wants of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// On to the next filter.
    Continue,
    /// Answer it with this, without the filters that come behind. A oneway is dropped.
    Reply(LocalReply),
    /// On to the next filter after this time. The request's time-out goes on meanwhile.
    Delay(Duration),
    /// Answer it with this after this time.
    ReplyAfter(Duration, LocalReply),
    /// Keep it until the [`Resume`] that the filter took says how it goes on; for its time-out at
    /// the longest.
    Stop,
    /// Look for its route again, because the filter has changed its headers; the filters behind are
    /// asked when it has one. The same as `Continue` before the route is known and on responses. A
    /// request that is rerouted more than [`REROUTES_MAX`](crate::limits::REROUTES_MAX) times is
    /// answered with "no route".
    Reroute,
}

/// What the filter does with one request. Methods are called in this order; those up to
/// [`on_response`](Self::on_response) may not be called at all, when the request ends before.
///
/// They run on the thread of all connections: they must not block.
pub trait StreamFilter {
    /// The request has come.
    fn before_route(&mut self, _request: &mut Request<'_>) -> Flow {
        Flow::Continue
    }

    /// Its cluster is known. Called again after every [`Flow::Reroute`].
    fn after_route(&mut self, _request: &mut Request<'_>) -> Flow {
        Flow::Continue
    }

    /// The host of its next try is known.
    fn after_host(&mut self, _request: &mut Request<'_>) -> Flow {
        Flow::Continue
    }

    /// A host has answered, and the answer is not one for which it is tried again. Filters are asked
    /// in the opposite order.
    fn on_response(&mut self, _response: &mut Response<'_>) -> Flow {
        Flow::Continue
    }

    /// It is over. Called once for every request whose connection's task was not aborted.
    fn on_end(&mut self, _record: &Record) {}
}

/// Letters that say what was unusual about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// `UF`: no connection to a host was made.
    ConnectFailed,
    /// `UH`: there was no host to connect to.
    NoUpstream,
    /// `UO`: a limit on connections or requests was reached.
    Overflow,
    /// `UT`: no answer in time.
    Timeout,
    /// `UC`: the upstream connection was lost.
    UpstreamLost,
    /// `URX`: it has had all the tries that it, or its route, may have.
    RetryLimit,
    /// `NR`: no route.
    NoRoute,
    /// `DC`: the client left.
    DownstreamGone,
    /// `DI`: the fault filter delayed it.
    DelayInjected,
    /// `FI`: the fault filter answered it.
    FaultInjected,
    /// `RL`: the rate limit filter answered it.
    RateLimited,
}

impl Flag {
    const ALL: [(Flag, &'static str); 11] = [
        (Flag::ConnectFailed, "UF"),
        (Flag::NoUpstream, "UH"),
        (Flag::Overflow, "UO"),
        (Flag::Timeout, "UT"),
        (Flag::UpstreamLost, "UC"),
        (Flag::RetryLimit, "URX"),
        (Flag::NoRoute, "NR"),
        (Flag::DownstreamGone, "DC"),
        (Flag::DelayInjected, "DI"),
        (Flag::FaultInjected, "FI"),
        (Flag::RateLimited, "RL"),
    ];
}

/// The [`Flag`]s of a request; written as `UT,URX`, or `-` when there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// Whether this one is there.
    pub fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u16) != 0
    }

    /// Adds one.
    pub fn add(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u16;
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (flag, letters) in Flag::ALL {
            if self.has(flag) {
                write!(f, "{between}{letters}")?;
                between = ",";
            }
        }
        if between.is_empty() { f.write_str("-") } else { Ok(()) }
    }
}

/// What is known of a request: all of it when it is over.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it came.
    pub start: SystemTime,
    /// From its coming until its (last) try was sent.
    pub sent_after: Option<Duration>,
    /// From its coming until its answer came.
    pub answered_after: Option<Duration>,
    /// From its coming until its end.
    pub duration: Duration,
    /// Its protocol.
    pub protocol: Protocol,
    /// The client.
    pub peer: SocketAddr,
    /// The id that the client gave it.
    pub request_id: u64,
    /// The id under which its last try went to the host.
    pub upstream_id: Option<u64>,
    /// Whether it asked for no answer.
    pub oneway: bool,
    /// What it calls, as far as somebody asked and its protocol says so.
    pub service: Option<String>,
    /// The cluster that it was routed to.
    pub cluster: Option<Rc<str>>,
    /// The host of its last try.
    pub host: Option<SocketAddr>,
    /// Times it was sent.
    pub attempts: u32,
    /// Length of its frame.
    pub request_bytes: usize,
    /// Length of its answer's frame; 0 when the proxy answered it itself.
    pub response_bytes: usize,
    /// The status of the host's answer, in its protocol's own numbers.
    pub status: Option<u16>,
    /// Why the proxy answered it itself; or dropped it, when it wanted no answer.
    pub reply: Option<LocalReply>,
    /// What was unusual.
    pub flags: Flags,
}

/// A frame that a filter looks at.
pub(crate) struct View<'a> {
    pub(crate) frame: &'a mut Frame,
    pub(crate) bytes: &'a mut dyn Bytes,
    pub(crate) record: &'a mut Record,
    pub(crate) ticket: &'a mut Option<Rc<Ticket>>,
    pub(crate) new_ticket: &'a dyn Fn() -> Rc<Ticket>,
    pub(crate) deadline: Instant,
    pub(crate) now: Instant,
}

/// A payload whatever the lifetime of its bytes.
pub(crate) trait Bytes {
    fn bytes(&self) -> &[u8];
    fn replace(&mut self, bytes: Vec<u8>);
}

impl Bytes for Payload<'_> {
    fn bytes(&self) -> &[u8] {
        Payload::bytes(self)
    }

    fn replace(&mut self, bytes: Vec<u8>) {
        *self = Payload::Owned(bytes.as_slice().into());
    }
}

/// A request, as a filter sees it.
pub struct Request<'a>(pub(crate) View<'a>);

/// An answer, as a filter sees it.
pub struct Response<'a>(pub(crate) View<'a>);

impl View<'_> {
    fn header(&self, name: &str) -> Result<Option<&[u8]>, CodecError> {
        self.record.protocol.header(self.frame, self.bytes.bytes(), name.as_bytes())
    }

    fn set_header(&mut self, name: &str, value: Option<&str>) -> Result<(), HeaderError> {
        let protocol = self.record.protocol;
        let mut out = Vec::new();
        let value = value.map(str::as_bytes);
        protocol.set_header(self.frame, self.bytes.bytes(), (name.as_bytes(), value), &mut out)?;
        if let Ok(Decoded::Frame(frame)) = protocol.decode(&out, &FrameLimits::NONE) {
            *self.frame = frame;
            self.bytes.replace(out);
        }
        Ok(())
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("frame", self.frame).field("record", self.record).finish()
    }
}

macro_rules! frame_methods {
    ($name:ident) => {
        impl $name<'_> {
            /// Where its frame's parts lie in [`bytes`](Self::bytes).
            pub fn frame(&self) -> &Frame {
                self.0.frame
            }

            /// Its whole frame.
            pub fn bytes(&self) -> &[u8] {
                self.0.bytes.bytes()
            }

            /// What is known of the request so far.
            pub fn record(&self) -> &Record {
                self.0.record
            }

            /// Notes something unusual about the request.
            pub fn flag(&mut self, flag: Flag) {
                self.0.record.flags.add(flag);
            }

            /// What the frame says under `name`; see [`Codec::header`] for the names there are.
            ///
            /// # Errors
            /// The frame's header cannot be read.
            pub fn header(&self, name: &str) -> Result<Option<&[u8]>, CodecError> {
                self.0.header(name)
            }

            /// Puts a header in, in place of all of the same name. The frame is built anew.
            ///
            /// # Errors
            /// The protocol has no headers, or they become too long or cannot be read. The frame is
            /// as it was.
            pub fn set_header(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
                self.0.set_header(name, Some(value))
            }

            /// Takes all headers of this name out.
            ///
            /// # Errors
            /// As [`set_header`](Self::set_header).
            pub fn remove_header(&mut self, name: &str) -> Result<(), HeaderError> {
                self.0.set_header(name, None)
            }

            /// The time, the same for all filters of one call.
            pub fn now(&self) -> Instant {
                self.0.now
            }

            /// When the request's time-out passes. Before its route is known it is the one that its
            /// frame or [`REQUEST_TIMEOUT`](crate::limits::REQUEST_TIMEOUT) gives.
            pub fn deadline(&self) -> Instant {
                self.0.deadline
            }

            /// What lets it go on, to be taken before [`Flow::Stop`].
            pub fn resume_later(&mut self) -> Resume {
                Resume::new(self.0.ticket.get_or_insert_with(self.0.new_ticket))
            }
        }

        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }
    };
}

frame_methods!(Request);
frame_methods!(Response);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_written_in_their_letters() {
        let mut flags = Flags::default();
        assert_eq!(flags.to_string(), "-");
        flags.add(Flag::RetryLimit);
        flags.add(Flag::Timeout);
        assert_eq!(flags.to_string(), "UT,URX");
        assert!(flags.has(Flag::Timeout) && !flags.has(Flag::NoRoute));
    }

    #[test]
    fn every_flag_has_its_letters_once() {
        for (place, (flag, letters)) in Flag::ALL.into_iter().enumerate() {
            assert_eq!(flag as usize, place, "{letters}");
        }
    }
}
