//! What the referee knows of a session, for who asks.

use super::referee::{Referee, Side, Stream};

/// What the wire knows of a stream, for who wants to put in a word.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub id: u32,
    /// Nothing may be said of it any more, and nothing that comes has an effect.
    pub over: bool,
    /// The session has said so.
    pub acked: bool,
    pub finished: bool,
}

impl Referee {
    /// Whose session it is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The largest window that the session gives a stream.
    pub fn window_bytes_max(&self) -> u32 {
        self.window_bytes_max as u32
    }

    /// Payload of a stream that has arrived, and how much of it was read.
    pub fn arrived_and_read(&self, id: u32) -> (u64, u64) {
        self.streams.get(&id).map_or((0, 0), |stream| (stream.arrived, stream.read))
    }

    /// Whether the peer's FIN has arrived, and everything before it was read.
    pub fn has_read_all(&self, id: u32) -> bool {
        self.streams
            .get(&id)
            .is_some_and(|stream| stream.heard.fin && stream.arrived == stream.read)
    }

    /// Whether it is hard to say from here what the session makes of that stream.
    pub fn is_blurred(&self, id: u32) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.blurred)
    }

    /// Whether the application closes the session.
    pub fn is_closing(&self) -> bool {
        self.verdict.closes
    }

    /// Streams that the session has to reset, and has not.
    pub fn resets_owed(&self) -> Vec<u32> {
        let owed = self.streams.iter().filter(|(_, stream)| stream.owes_reset && !stream.said.rst);
        owed.map(|(id, _)| *id).collect()
    }

    /// Streams of the peer that have arrived, and that the application has neither had nor refused.
    pub fn left_in_backlog(&self) -> Vec<u32> {
        let left = self.streams.iter().filter(|&(&id, stream)| {
            let arrived = stream.heard.syn && !self.side.opens(id) && !stream.blurred;
            arrived && !stream.was_held && !stream.said.rst
        });
        left.map(|(id, _)| *id).collect()
    }

    /// Every stream that was spoken of.
    pub fn seen(&self) -> Vec<Seen> {
        let see = |(&id, stream): (&u32, &Stream)| Seen {
            id,
            over: stream.is_over() && !stream.blurred,
            acked: stream.said.ack,
            finished: stream.said.fin,
        };
        self.streams.iter().map(see).collect()
    }

    /// The id of the next stream that the session opens.
    pub fn next_id(&self) -> u32 {
        match self.last_opened {
            0 => 1 + self.side as u32,
            last => last + 2,
        }
    }
}
