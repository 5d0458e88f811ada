//! What a peer sends that is dropped or refused without closing its connection.
//!
//! Every one is counted; the log names the first of each kind on each connection, so that a peer
//! that goes on does not fill the log.

use std::cell::Cell;
use std::fmt;

use crate::codec::{CodecError, Kind};
use crate::ids::Stale;
use crate::stats::Stats;

/// One such frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Complaint {
    /// A request that a route asks about, and that cannot be read.
    BadHeader(CodecError),
    /// A frame that only the other side may send.
    Misplaced(Kind),
    /// An answer to a request that has had its answer.
    Duplicate { id: u64 },
    /// An answer that no request is known for.
    Unknown { id: u64 },
}

impl Complaint {
    /// Counts an answer under an id that nobody waits for; what there is to say about it.
    pub(crate) fn about(stale: Stale, id: u64, stats: &Stats) -> Option<Self> {
        let (count, complaint) = match stale {
            Stale::Late => (&stats.late_answers, None),
            Stale::Duplicate => (&stats.duplicate_answers, Some(Complaint::Duplicate { id })),
            Stale::Unknown => (&stats.unknown_answers, Some(Complaint::Unknown { id })),
        };
        count.up();
        complaint
    }

    fn bit(&self) -> u8 {
        match self {
            Complaint::BadHeader(_) => 1,
            Complaint::Misplaced(_) => 2,
            Complaint::Duplicate { .. } => 4,
            Complaint::Unknown { .. } => 8,
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Complaint::BadHeader(error) => write!(f, "request answered with an error: {error}"),
            Complaint::Misplaced(kind) => write!(f, "unexpected frame of kind {kind:?} refused"),
            Complaint::Duplicate { id } => {
                write!(f, "answer dropped: the request of id {id:#x} has had its answer")
            }
            Complaint::Unknown { id } => {
                write!(f, "answer dropped: no request is known under id {id:#x}")
            }
        }
    }
}

/// What the log has said about one connection.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    said: Cell<u8>,
}

impl Complaints {
    /// Logs `complaint` about `peer`, unless one of its kind was logged before.
    pub(crate) fn say(&self, peer: fmt::Arguments<'_>, complaint: Complaint) {
        let said = self.said.get();
        if said & complaint.bit() == 0 {
            self.said.set(said | complaint.bit());
            log::warn!("{peer}: {complaint}; further ones on this connection are only counted");
        }
    }
}
