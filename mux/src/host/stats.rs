//! What a host counts.

/// What a host has done, and what it holds now.
///
/// Counts go on over the life of the host; gauges say how things stand.
///
/// ```
/// # #[path = "../../tests/support/mod.rs"] mod support;
/// use mux::host::{Host, HostConfig};
///
/// # reactor::block_on(async {
/// # let refuse = async |_: u32| Err::<support::End, _>(std::io::ErrorKind::NotFound.into());
/// let host = Host::new(refuse, HostConfig::default());
/// assert!(host.new_stream(&7).await.is_err());
/// assert_eq!((host.stats().dials_failed, host.stats().back_off_peers), (1, 1));
/// # })?;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostStats {
    /// Dials that were begun: those of them aside that ended while they waited in the queue.
    pub dials_started: u64,
    /// Dials that have connected.
    pub dials_succeeded: u64,
    /// Dials that have failed, or taken too long.
    pub dials_failed: u64,
    /// Dials that were given up before they had ended, begun or not: their last caller went away,
    /// or the host was closed.
    pub dials_cancelled: u64,
    /// Sessions that were taken in by [`Host::add`](super::Host::add).
    pub sessions_added: u64,
    /// Streams opened by [`Host::new_stream`](super::Host::new_stream) and its like.
    pub streams_opened: u64,
    /// Streams given by [`Host::accept`](super::Host::accept).
    pub streams_accepted: u64,
    /// Gauge: sessions that live, those that are being closed too.
    pub sessions: usize,
    /// Gauge: sessions that have ended and have streams that nobody has accepted.
    pub ended_sessions: usize,
    /// Gauge: dials in flight, and those that wait.
    pub dials: usize,
    /// Gauge: dials that wait for others to end.
    pub dials_queued: usize,
    /// Gauge: attempts to connect that are under way.
    pub attempts: usize,
    /// Gauge: peers whose failed dials are remembered.
    pub back_off_peers: usize,
}

/// The counts alone: the gauges are 0.
pub(super) type Counts = HostStats;
