//! Frames that do nothing. They cost work, so there is a budget for them, which payload fills up.

use super::frame::{Flags, Header, Kind};
use super::session::Session;
use super::stream::Key;
use super::violation::Rule;

/// ACK, FIN and RST: all that a peer has to say of a stream without payload or credit, once each. It
/// may say them when the stream is gone here: they were on their way. So an honest peer never says
/// more such frames late than three for each stream that there has been.
const LATE_FRAMES_PER_STREAM: u64 = 3;

impl Session {
    /// Counts a frame of a stream; `known` is the stream, unless it is gone or new.
    pub(super) fn count_empty(&mut self, header: Header, known: Option<Key>) -> Result<(), Rule> {
        if header.length > 0 {
            if header.kind == Kind::Data {
                self.empty_frames = self.empty_frames.saturating_sub(1);
            }
            return Ok(());
        }
        if self.has_effect(header.flags, known) {
            return Ok(());
        }
        self.empty_frames = self.empty_frames.saturating_add(1);
        self.counts.frames_empty += 1;
        if self.empty_frames > self.config.empty_frames_max {
            return Err(Rule::EmptyFrames);
        }
        Ok(())
    }

    /// Whether flags change something by themselves. A SYN does, or is counted or an error elsewhere.
    fn has_effect(&mut self, flags: Flags, known: Option<Key>) -> bool {
        let has = |flag| flags.contains(flag);
        if has(Flags::SYN) {
            return true;
        }
        let Some(key) = known else {
            return (has(Flags::ACK) || has(Flags::FIN) || has(Flags::RST)) && self.may_be_late();
        };
        let stream = self.stream(key);
        has(Flags::RST)
            || (has(Flags::ACK) && stream.unacked)
            || (has(Flags::FIN) && stream.state.receives())
    }

    fn may_be_late(&mut self) -> bool {
        let counts = &self.counts;
        let streams = counts.streams_opened + counts.streams_received + counts.streams_refused;
        let allowed = self.late_frames < LATE_FRAMES_PER_STREAM.saturating_mul(streams);
        self.late_frames += u64::from(allowed);
        allowed
    }
}
