//! What a session may hold, and that it holds nothing in the end.

use mux::Session;

use crate::plan::Plan;
use crate::wire::Side;

/// What a session says that it holds.
pub(crate) fn assert_within_limits(session: &Session, plan: &Plan, side: Side) {
    let (stats, config) = (session.stats(), &plan.configs[side as usize]);
    let held = stats.unread_bytes.max(stats.window_bytes_extra);
    assert!(held <= config.receive_bytes_max, "{stats:?}");
    assert!(stats.backlog <= config.accept_backlog_max, "{stats:?}");
    assert!(stats.inbound_streams <= config.inbound_streams_max, "{stats:?}");
    assert!(stats.outbound_streams <= config.outbound_streams_max, "{stats:?}");
    assert!(stats.streams_refused <= stats.resets_sent, "{stats:?}");
    // An update and a reset of each stream; resets beside, pongs, a ping and a GoAway.
    let streams = stats.inbound_streams + stats.outbound_streams;
    let replies = config.resets_queued_max + config.pongs_queued_max + 2;
    assert!(stats.control_queue <= 2 * streams + replies, "{stats:?}");
    // A queue may be reached by a chunk of any size.
    let queue = config.send_queue_bytes_max + plan.stream_bytes_max;
    assert!(stats.unsent_bytes <= streams * queue, "{stats:?}");
}

/// The handles of all streams are gone, and the session is over or has nothing to do.
pub(crate) fn assert_holds_nothing(session: &Session, side: Side) {
    let stats = session.stats();
    let streams = stats.inbound_streams + stats.outbound_streams + stats.backlog;
    let bytes = stats.unread_bytes + stats.unsent_bytes + stats.window_bytes_extra;
    assert_eq!((streams, bytes, stats.control_queue), (0, 0, 0), "{side:?} keeps {stats:?}");
}
