//! Every limit and time-out of a session, by name.

use std::time::Duration;

use crate::proto::WINDOW_BYTES_INITIAL;

/// Limits and time-outs of one session. Both sides have their own and need not agree.
///
/// What a peer can make a session hold, at worst: `inbound_streams_max` (and the streams this side
/// opened) times `window_bytes` in receive buffers that nobody reads; with the defaults 256 MiB for
/// 1,024 inbound streams. Beside it stand queues of a few KiB.
///
/// ```
/// use mux::Config;
///
/// let config = Config { window_bytes: 1 << 20, accept_backlog_max: 32, ..Config::default() };
/// assert_eq!(config.frame_bytes_max, 16 * 1024);
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Receive window of a stream in bytes: what a peer may send before we read. At least 256 KiB,
    /// which the protocol gives every stream; less counts as that. Default: 256 KiB.
    pub window_bytes: u32,
    /// Bytes written to a stream that wait to be sent. At this limit a write waits. At least 1.
    /// Default: 64 KiB.
    pub send_queue_bytes_max: usize,
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
    /// Budget for frames that do nothing (Data and window updates of length 0 without a flag). Each
    /// frame with payload gives one back; when none is left the session ends with a protocol error.
    /// Default: 1,024.
    pub empty_frames_max: u32,
    /// Silence of the peer after which it is pinged; `None`: never. Default: 30 s.
    pub keepalive: Option<Duration>,
    /// Silence after that ping until the session is given up. Default: 10 s.
    pub keepalive_timeout: Duration,
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
            send_queue_bytes_max: 64 * 1024,
            frame_bytes_max: 16 * 1024,
            accept_backlog_max: 256,
            inbound_streams_max: 1024,
            outbound_streams_max: 4096,
            unacked_opens_max: 256,
            pongs_queued_max: 32,
            resets_queued_max: 1024,
            empty_frames_max: 1024,
            keepalive: Some(Duration::from_secs(30)),
            keepalive_timeout: Duration::from_secs(10),
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
        self.send_queue_bytes_max = self.send_queue_bytes_max.max(1);
        self.frame_bytes_max = self.frame_bytes_max.max(1);
        self
    }
}
