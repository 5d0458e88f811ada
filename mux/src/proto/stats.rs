//! What a session and its streams count.

use std::time::Duration;

use super::session::Session;
use super::stream::Key;

/// What a session has done, and what it holds now.
///
/// Counts go on over the life of the session; gauges say how things stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Streams opened by this side.
    pub streams_opened: u64,
    /// Streams opened by the peer, refused ones left out.
    pub streams_received: u64,
    /// SYNs of the peer that were answered by an RST.
    pub streams_refused: u64,
    /// Resets by the peer.
    pub resets_received: u64,
    /// Resets by this side, refused SYNs included.
    pub resets_sent: u64,
    /// Frames received, whole or in part.
    pub frames_received: u64,
    /// Frames gathered to be sent.
    pub frames_sent: u64,
    /// Payload received, for living streams.
    pub bytes_received: u64,
    /// Payload gathered to be sent.
    pub bytes_sent: u64,
    /// Pings of the peer, answered or not.
    pub pings_received: u64,
    /// Answers of the peer to pings of this side, those aside that nobody asked for.
    pub pongs_received: u64,
    /// Pings of the peer that were not answered, because too many answers waited.
    pub pings_ignored: u64,
    /// Frames that did nothing: Data and window updates of length 0 without a flag, or with flags that
    /// changed nothing.
    pub frames_empty: u64,
    /// Gauge: streams that this side opened and that are alive.
    pub outbound_streams: usize,
    /// Gauge: streams that the peer opened and that are alive.
    pub inbound_streams: usize,
    /// Gauge: streams of the peer that nobody has accepted.
    pub backlog: usize,
    /// Gauge: frames that wait in the control queue.
    pub control_queue: usize,
    /// Gauge: bytes that have arrived and that nobody has read, of all streams.
    pub unread_bytes: usize,
    /// Gauge: bytes that were written and are not gathered to be sent, of all streams: also those
    /// that wait for the peer's credit, which no limit of the session counts.
    pub unsent_bytes: usize,
    /// Gauge: what the windows of all streams hold beyond the 256 KiB that the protocol gives each.
    pub window_bytes_extra: usize,
    /// Gauge: the round trip, as [`Session::rtt`](crate::Session::rtt) says it.
    pub rtt: Option<Duration>,
}

/// What a stream has done, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStats {
    /// Payload received.
    pub bytes_received: u64,
    /// Payload gathered to be sent.
    pub bytes_sent: u64,
    /// Received and not yet read.
    pub unread_bytes: usize,
    /// Written and not yet gathered to be sent.
    pub unsent_bytes: usize,
    /// The window that the peer has for sending to us.
    pub recv_window_bytes: u32,
    /// What we may send before the peer gives more.
    pub send_credit_bytes: u32,
}

impl Session {
    pub(crate) fn stats(&self) -> SessionStats {
        SessionStats {
            outbound_streams: self.outbound,
            inbound_streams: self.inbound,
            backlog: self.backlog.len(),
            control_queue: self.control.len(),
            unread_bytes: self.unread,
            unsent_bytes: self.unsent,
            window_bytes_extra: self.reserved,
            rtt: self.pings.rtt(),
            ..self.counts
        }
    }

    pub(crate) fn stream_stats(&mut self, key: Key) -> StreamStats {
        self.stream(key).stats()
    }
}
