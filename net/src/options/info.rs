//! `TCP_INFO`.

use std::time::Duration;

use crate::sys::TCP_INFO_WORDS;

/// What the kernel knows of a connection (tcp(7), `TCP_INFO`), by
/// [`TcpStream::info`](crate::TcpStream::info). What it does not know yet is 0.
///
/// ```
/// # reactor::block_on(async {
/// # let listener = net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// let stream = net::TcpStream::connect(listener.local_addr()?).await?;
/// let info = stream.info()?;
/// assert!(info.rtt > std::time::Duration::ZERO, "the handshake measured it");
/// assert!(info.congestion_window_segments > 0);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// Round trip, smoothed.
    pub rtt: Duration,
    /// The mean deviation of the round trip.
    pub rtt_variance: Duration,
    /// The shortest round trip of late; 0 before Linux 4.6.
    pub min_rtt: Duration,
    /// When the next retransmission is due after a segment was sent.
    pub retransmit_timeout: Duration,
    /// How many segments may be in flight.
    pub congestion_window_segments: u32,
    /// The size of a segment that is sent, in bytes.
    pub send_segment_bytes: u32,
    /// Segments sent and not acknowledged.
    pub unacked_segments: u32,
    /// Of them, those that count as lost.
    pub lost_segments: u32,
    /// Segments sent again, since the connection began.
    pub retransmitted_segments: u32,
    /// How often in a row the retransmission timer has expired; 0 while the peer answers.
    pub retransmit_timeouts: u32,
    /// Bytes in the send buffer that have never been sent; 0 before Linux 4.6.
    pub notsent_bytes: u32,
    /// What the connection delivered of late, in bytes a second; 0 before Linux 4.9.
    pub delivery_bytes_per_s: u64,
    /// The size of a whole packet that the path takes, in bytes.
    pub path_mtu_bytes: u32,
    /// Bytes that the peer has acknowledged, since the connection began; the end of this stream counts
    /// as one. 0 before Linux 4.1.
    pub acked_bytes: u64,
    /// Bytes that have come from the peer, read or not; the end of its stream counts as one. 0 before
    /// Linux 4.1.
    pub received_bytes: u64,
}

impl TcpInfo {
    /// The words of `struct tcp_info` in `linux/tcp.h`, by their place there.
    pub(crate) fn from_words(words: &[u32; TCP_INFO_WORDS]) -> Self {
        let micros = |at: usize| Duration::from_micros(words[at].into());
        let [_state, _ca_state, retransmits, _probes] = words[0].to_ne_bytes();
        Self {
            rtt: micros(17),
            rtt_variance: micros(18),
            min_rtt: if words[37] == u32::MAX { Duration::ZERO } else { micros(37) },
            retransmit_timeout: micros(2),
            congestion_window_segments: words[20],
            send_segment_bytes: words[4],
            unacked_segments: words[6],
            lost_segments: words[8],
            retransmitted_segments: words[25],
            retransmit_timeouts: retransmits.into(),
            notsent_bytes: words[36],
            delivery_bytes_per_s: u64_of(words[40], words[41]),
            path_mtu_bytes: words[15],
            acked_bytes: u64_of(words[30], words[31]),
            received_bytes: u64_of(words[32], words[33]),
        }
    }
}

fn u64_of(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_where_the_header_has_them() {
        let words = std::array::from_fn(|at| at as u32);
        let info = TcpInfo::from_words(&words);
        let at = |offset: usize| (offset / 4) as u32;
        let micros = |offset| Duration::from_micros(at(offset).into());
        macro_rules! offset {
            ($field:ident) => {
                std::mem::offset_of!(libc::tcp_info, $field)
            };
        }
        assert_eq!(info.rtt, micros(offset!(tcpi_rtt)));
        assert_eq!(info.rtt_variance, micros(offset!(tcpi_rttvar)));
        assert_eq!(info.min_rtt, micros(offset!(tcpi_min_rtt)));
        assert_eq!(info.retransmit_timeout, micros(offset!(tcpi_rto)));
        assert_eq!(info.congestion_window_segments, at(offset!(tcpi_snd_cwnd)));
        assert_eq!(info.send_segment_bytes, at(offset!(tcpi_snd_mss)));
        assert_eq!(info.unacked_segments, at(offset!(tcpi_unacked)));
        assert_eq!(info.lost_segments, at(offset!(tcpi_lost)));
        assert_eq!(info.retransmitted_segments, at(offset!(tcpi_total_retrans)));
        assert_eq!(info.notsent_bytes, at(offset!(tcpi_notsent_bytes)));
        assert_eq!(info.path_mtu_bytes, at(offset!(tcpi_pmtu)));
        let acked = at(offset!(tcpi_bytes_acked));
        assert_eq!(info.acked_bytes, u64_of(acked, acked + 1));
        let received = at(offset!(tcpi_bytes_received));
        assert_eq!(info.received_bytes, u64_of(received, received + 1));
        let rate = at(offset!(tcpi_delivery_rate));
        assert_eq!(info.delivery_bytes_per_s, u64_of(rate, rate + 1));
    }
}
