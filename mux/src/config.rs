//! Every limit and time-out of a session, by name.

use std::time::Duration;

use crate::proto::WINDOW_BYTES_INITIAL;

/// Limits and time-outs of one session. Both sides have their own and need not agree.
///
/// What a peer can make a session hold, at worst: `receive_bytes_max` of payload that nobody reads,
/// about 200 bytes for each of `inbound_streams_max` streams, and control frames: 12 bytes for each of
/// `resets_queued_max` and `pongs_queued_max`, and twice for each stream. With the defaults 64.3 MiB.
/// For one turn of the driver the buffers of that turn's reads come to it: at most eight of 64 KiB,
/// however little of each the connection has filled. That is 64.8 MiB.
///
/// And what the application writes. What can be sent is bounded for all streams together, by
/// `send_bytes_max`. But a peer may take the window of each stream and grant nothing more. What waits
/// for its credit is bounded for each stream alone, by `send_queue_bytes_max`: with the defaults
/// 126 MiB of 1,024 streams that the peer opened, and 504 MiB more of 4,096 that this side opened,
/// 630 MiB in all. Only what was written is held: to have less, choose smaller limits, or do not write
/// for ever to who does not read ([`Stream::set_write_deadline`](crate::Stream::set_write_deadline),
/// and then [`Stream::reset`](crate::Stream::reset)). [`SessionStats::unsent_bytes`](crate::SessionStats)
/// says how much it is. A chunk of any size may be the one that reaches a limit, and comes on top.
///
/// Chunks that the application has read and keeps, or writes to another stream, hold on to at most
/// 2 MiB more than they carry, for all sessions of the thread together, and the copied ones among them
/// on as much again as they carry.
///
/// ```
/// use mux::Config;
///
/// let config = Config { window_bytes: 1 << 20, accept_backlog_max: 32, ..Config::default() };
/// assert_eq!(config.frame_bytes_max, 16 * 1024);
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Receive window of a new stream in bytes: what a peer may send before we read. At least
    /// 256 KiB, which the protocol gives every stream; less counts as that. Default: 256 KiB.
    pub window_bytes: u32,
    /// Receive window up to which a stream grows when its reader is fast and the path is long, in
    /// bytes. At least `window_bytes`; the same: windows do not grow, and no round trip is measured.
    /// A stream can take half of it in each round trip: 16 MiB is 1.1 Gbit/s at 60 ms.
    /// Default: 16 MiB.
    pub window_bytes_max: u32,
    /// Memory of the session for what it receives, in bytes. What all windows have beyond 256 KiB is
    /// no more than this, so windows stop growing. And what has arrived and waits to be read is no
    /// more than this: beyond it the stream that holds most is reset, with
    /// [`ResetCode::RESOURCE_LIMIT_EXCEEDED`](crate::ResetCode), and what it holds is dropped. The
    /// protocol lets a peer send 256 KiB on every stream unasked, so with many streams this can
    /// happen to peers that do nothing wrong: choose it, or `inbound_streams_max`, by what readers
    /// leave unread. Default: 64 MiB.
    pub receive_bytes_max: usize,
    /// Bytes written to a stream that wait to be sent, with credit or without. At this limit a write
    /// waits; a chunk of any size may reach it. At least 1.
    /// Default: 126 KiB, which fill one write to the connection with their headers.
    pub send_queue_bytes_max: usize,
    /// Bytes written to all streams of the session that wait to be sent, those aside whose peer has
    /// given no credit. At this limit writes wait for their turn, in which one frame can be written, or
    /// one chunk of any size. A write of at most 1 KiB to a stream that has nothing queued does not wait,
    /// up to 4 KiB until the stream has nothing to write for once. So what is written is in the cache of
    /// the processor when it is sent, however many streams there are. Beyond the limit come at most the
    /// write that reaches it while nobody stands in line (`send_queue_bytes_max`, or one chunk of any
    /// size), what is written in the turns that fill it up, such small writes, and a turn for each stream
    /// whose writer came too late to its own. At least 1. Default: 256 KiB.
    pub send_bytes_max: usize,
    /// Payload of one Data frame, and what one stream may send before the next has its turn, in
    /// bytes. At least 1. Default: 16 KiB.
    pub frame_bytes_max: u32,
    /// Streams that the peer opened and nobody has accepted. A further one is reset.
    /// Default: 256.
    pub accept_backlog_max: usize,
    /// Streams that the peer opened and that are alive, accepted or not. A further one is reset. A
    /// stream counts until its handle is dropped, also when the peer has reset it. Default: 1,024.
    pub inbound_streams_max: usize,
    /// Streams that this side opened and that are alive. At this limit `open` waits.
    /// Default: 4,096.
    pub outbound_streams_max: usize,
    /// Streams that this side opened and the peer has not accepted. At this limit `open` waits.
    /// Default: 256, the backlog of the other implementations.
    pub unacked_opens_max: usize,
    /// Pings of the peer that wait for their answer to be sent. Further ones go unanswered. The
    /// bound on a flood of pings. Default: 32.
    pub pongs_queued_max: usize,
    /// Resets that wait to be sent, beside one for each stream that the limits above allow. It does
    /// not matter who began: a SYN that was refused, data that nobody wants, a stream that the
    /// application has dropped. With this bound the control queue never holds more than two items
    /// for each stream, these resets, the pongs, a ping and a GoAway. A peer that opens streams or
    /// sends data beyond it does not read, and the session ends with a protocol error.
    /// Default: 1,024.
    pub resets_queued_max: usize,
    /// Resets in a second that the peer may cause: by an RST for a stream that it opened, or by data
    /// after its own FIN. Beyond it, and beyond `inbound_streams_max` of them at once, the session
    /// ends with a protocol error. A stream's place is free only when its handle is dropped, so resets
    /// bring a peer no second handler for the place of the first; this bounds the work of starting
    /// and stopping them. Default: 1,000.
    pub resets_per_second_max: u32,
    /// Budget for frames that do nothing: Data and window updates of length 0 without a flag, or with
    /// flags that change nothing. Flags of streams that are gone count from the fourth frame on for
    /// each stream that there has been: an ACK, a FIN and an RST may be late. Each frame with payload
    /// gives one back; when none is left the session ends with a protocol error. Default: 1,024.
    pub empty_frames_max: u32,
    /// How long the peer may take to accept a stream, from the moment the SYN is sent. Then the
    /// stream is reset, and gives [`Error::OpenTimeout`](crate::Error::OpenTimeout); the session goes
    /// on. `None`: for ever. hashicorp/yamux and mux say ACK when the application accepts;
    /// rust-yamux says it with the first thing that it sends on the stream, so to such a peer a stream
    /// that is only read for so long looks like one that nobody has accepted. Default: 75 s, as in
    /// hashicorp/yamux.
    pub open_timeout: Option<Duration>,
    /// Silence of the peer after which it is pinged; `None`: never. Default: 30 s.
    pub keepalive: Option<Duration>,
    /// Silence after that ping until the session is given up. Default: 10 s.
    pub keepalive_timeout: Duration,
    /// How long [`Session::ping`](crate::Session::ping) waits for its answer; then it gives
    /// [`Error::PingTimeout`](crate::Error::PingTimeout) and the session goes on. Default: 10 s, as in
    /// hashicorp/yamux.
    pub ping_timeout: Duration,
    /// How long the connection may take none of the bytes that wait for it. Then the session is
    /// given up. Default: 30 s.
    pub write_stall_timeout: Duration,
    /// How long closing a session may take: sending what was written, the GoAway, and waiting for
    /// the peer to hang up. Default: 10 s.
    pub close_timeout: Duration,
    /// How long a stream whose handle was dropped may wait for the peer's FIN, or for credit to
    /// send what was written. Then it is reset. Default: 5 min.
    pub stream_close_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window_bytes: WINDOW_BYTES_INITIAL,
            window_bytes_max: 16 * 1024 * 1024,
            receive_bytes_max: 64 * 1024 * 1024,
            send_queue_bytes_max: 126 * 1024,
            send_bytes_max: 256 * 1024,
            frame_bytes_max: 16 * 1024,
            accept_backlog_max: 256,
            inbound_streams_max: 1024,
            outbound_streams_max: 4096,
            unacked_opens_max: 256,
            pongs_queued_max: 32,
            resets_queued_max: 1024,
            resets_per_second_max: 1000,
            empty_frames_max: 1024,
            open_timeout: Some(Duration::from_secs(75)),
            keepalive: Some(Duration::from_secs(30)),
            keepalive_timeout: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(10),
            write_stall_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
            stream_close_timeout: Duration::from_secs(300),
        }
    }
}

impl Config {
    /// With the values raised that would be too small to work.
    pub(crate) fn in_range(mut self) -> Self {
        self.window_bytes = self.window_bytes.max(WINDOW_BYTES_INITIAL);
        self.window_bytes_max = self.window_bytes_max.max(self.window_bytes);
        self.send_queue_bytes_max = self.send_queue_bytes_max.max(1);
        self.send_bytes_max = self.send_bytes_max.max(1);
        self.frame_bytes_max = self.frame_bytes_max.max(1);
        self
    }
}
