//! Every limit and time-out of a host, by name.

use std::time::Duration;

use crate::Config;

/// Longer than anybody waits, and short enough to be added to any point in time.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Limits and time-outs of a [`Host`](super::Host).
///
/// What peers can make a host hold, at worst: `sessions_max` and `ended_sessions_max` times what
/// [`Config`] says of one session. What callers can: an entry for each dial, begun or waiting, and
/// for each of `back_off_peers_max` peers, with the peer's name in each.
///
/// The numbers for dials and back-off are those of libp2p for Go (`p2p/net/swarm`: `swarm_dial.go`,
/// `limiter.go`).
///
/// ```
/// use mux::host::HostConfig;
///
/// let config = HostConfig { local: vec!["me".to_owned()], dials_max: 16, ..HostConfig::default() };
/// assert_eq!(config.dial_timeout.as_secs(), 15);
/// ```
#[derive(Clone, Debug)]
pub struct HostConfig<P> {
    /// The names of this host itself: who dials one of them gets
    /// [`HostErrorKind::DialSelf`](super::HostErrorKind). Default: none.
    pub local: Vec<P>,
    /// The limits of every session, dialed or added.
    pub session: Config,
    /// How long a dial may take, from its beginning: what it waited before for others to end
    /// (`dials_max`) does not count. Then it has failed. Default: 15 s.
    pub dial_timeout: Duration,
    /// Attempts to connect that are under way at once. A dial is one attempt, and those that it
    /// takes beside (see [`Attempts`](super::Attempts)) count too. At this limit dials wait in a
    /// queue. At least 1. Default: 160.
    pub dials_max: usize,
    /// Attempts to connect to one peer that are under way at once. A host has one dial in flight
    /// for each peer, so only a dialer that tries several addresses at once, and asks
    /// [`Attempts`](super::Attempts) for each of them, meets this limit; one that does not ask
    /// counts as one attempt, whatever it does. At least 1. Default: 8.
    pub dials_per_peer_max: usize,
    /// Dials that wait for others to end, one for each peer, however many callers it has. Beyond it
    /// a dial fails at once with [`HostErrorKind::DialQueueFull`](super::HostErrorKind). With the
    /// defaults, and dialers that take one attempt each, the last in the queue waits at most seven
    /// times `dial_timeout`; further [`Attempts`](super::Attempts) take turns away from it.
    /// Default: 1,024.
    pub dials_queued_max: usize,
    /// How long a peer is left alone after a dial that failed, and that no failure came before.
    /// Default: 5 s.
    pub back_off_base: Duration,
    /// What comes to it: this, times the square of how many dials failed in a row before.
    /// Default: 1 s.
    pub back_off_step: Duration,
    /// The longest that a peer is left alone. At most a year. Default: 5 min.
    pub back_off_max: Duration,
    /// Peers whose failed dials are remembered. Beyond it the one is forgotten that would be first
    /// to be forgotten anyway. Default: 4,096.
    pub back_off_peers_max: usize,
    /// Sessions that are alive, dialed and added ones together, those that are being closed too. A
    /// further one is refused, and its connection is closed. Default: 1,024.
    pub sessions_max: usize,
    /// Sessions that are alive with one peer. A further one is refused, and its connection is
    /// closed. Default: 8.
    pub sessions_per_peer_max: usize,
    /// Sessions that have ended with streams that nobody has accepted.
    /// [`accept`](super::Host::accept) still gives them; beyond this limit the session that ended
    /// first is dropped with its streams. Where nobody accepts: 0, as nothing else lets go of them,
    /// or no backlog ([`Config::accept_backlog_max`]). Default: 64.
    pub ended_sessions_max: usize,
    /// How long [`close`](super::Host::close) and [`close_peer`](super::Host::close_peer) let
    /// streams finish before they close the sessions. And how long a session is kept without
    /// streams whose peer has gone away, but not this side: the peer may still open some. Default:
    /// 10 s.
    pub drain_timeout: Duration,
}

impl<P> Default for HostConfig<P> {
    fn default() -> Self {
        Self {
            local: Vec::new(),
            session: Config::default(),
            dial_timeout: Duration::from_secs(15),
            dials_max: 160,
            dials_per_peer_max: 8,
            dials_queued_max: 1024,
            back_off_base: Duration::from_secs(5),
            back_off_step: Duration::from_secs(1),
            back_off_max: Duration::from_secs(300),
            back_off_peers_max: 4096,
            sessions_max: 1024,
            sessions_per_peer_max: 8,
            ended_sessions_max: 64,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl<P> HostConfig<P> {
    /// With the values changed that could not work.
    pub(super) fn in_range(mut self) -> Self {
        self.dials_max = self.dials_max.max(1);
        self.dials_per_peer_max = self.dials_per_peer_max.max(1);
        self.back_off_max = self.back_off_max.min(TIME_MAX);
        self
    }
}
