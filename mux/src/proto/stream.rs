//! One stream of a session: its state, its two queues and its credit.

use std::time::Instant;

use super::code::ResetCode;
use super::queue::ByteQueue;
use super::state::State;
use super::stats::StreamStats;
use super::turns::EXPRESS_BURST_BYTES;
use super::violation::Rule;
use super::window::{RecvWindow, SendCredit};
use crate::{Config, Error, Initiator};

/// Names a stream: its place in the slab and, against a place that was given anew, its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) id: u32,
}

/// Who holds a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The accept backlog.
    Backlog,
    /// A handle of the application.
    Handle,
    /// Nobody: the handle was dropped. The stream lives on until it is over.
    Nobody,
}

/// What follows the bytes in the send queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// More bytes may come.
    Open,
    /// A FIN; sent or not, the state tells.
    Fin,
    /// An RST: the handle was dropped with something unfinished.
    Rst,
}

/// Why a stream ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Reset {
        by: Initiator,
        code: ResetCode,
    },
    /// The peer did not accept it in time. The peer was told so by an RST.
    OpenTimeout,
}

impl Cause {
    pub(crate) fn is_local(self) -> bool {
        !matches!(self, Self::Reset { by: Initiator::Remote, .. })
    }

    pub(crate) fn error(self, config: &Config) -> Error {
        match self {
            Self::Reset { by, code } => Error::Reset { by, code },
            Self::OpenTimeout => {
                Error::OpenTimeout { waited: config.open_timeout.unwrap_or_default() }
            }
        }
    }
}

/// An idle stream is this, a place for wakers and an entry in the map of ids: at most 200 bytes.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u32,
    pub(crate) opened_by: Initiator,
    pub(crate) state: State,
    pub(crate) owner: Owner,
    /// Opened here, and neither acknowledged nor over: holds one of `unacked_opens_max`.
    pub(crate) unacked: bool,
    pub(crate) ack_due: bool,
    pub(crate) recv: ByteQueue,
    pub(crate) window: RecvWindow,
    pub(crate) fin_received: bool,
    pub(crate) send: ByteQueue,
    pub(crate) credit: SendCredit,
    pub(crate) end: End,
    pub(crate) cause: Option<Cause>,
    /// The session ended before everything written was taken to be sent.
    pub(crate) cut: bool,
    /// An update of this stream waits in the control queue.
    pub(crate) in_control: bool,
    /// The stream waits for its turn to send.
    pub(crate) in_active: bool,
    /// A writer of the stream waits for its turn to write.
    pub(crate) in_writers: bool,
    /// What that writer wants to write is small: it needs no turn once nothing is queued.
    pub(crate) waits_small: bool,
    /// Bytes that may be written whatever waits to be sent: its turn has come.
    pub(crate) allowance: u32,
    /// Bytes that may yet be written in small writes without a turn.
    pub(crate) express: u16,
    /// What frames of the stream were cut by to fill a batch, and others were not. Less than a frame.
    pub(crate) owed: u32,
    pub(crate) events: Events,
    /// The deadline of reads, or of writes, has passed.
    pub(crate) read_expired: bool,
    pub(crate) write_expired: bool,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Most streams have none.
    pub(crate) alarms: Option<Box<Alarms>>,
}

/// When something is to be done to a stream.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    pub(crate) read: Option<Instant>,
    pub(crate) write: Option<Instant>,
    /// When it is reset unless it is over; only without an owner.
    pub(crate) linger: Option<Instant>,
}

/// What has happened to a stream since its events were last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// Nothing passes any more.
    pub(crate) over: bool,
}

impl Stream {
    fn new(id: u32, opened_by: Initiator, state: State, owner: Owner) -> Self {
        Self {
            id,
            opened_by,
            state,
            owner,
            unacked: false,
            ack_due: false,
            recv: ByteQueue::default(),
            window: RecvWindow::new(),
            fin_received: false,
            send: ByteQueue::default(),
            credit: SendCredit::new(),
            end: End::Open,
            cause: None,
            cut: false,
            in_control: false,
            in_active: false,
            in_writers: false,
            waits_small: false,
            allowance: 0,
            express: EXPRESS_BURST_BYTES,
            owed: 0,
            events: Events::default(),
            read_expired: false,
            write_expired: false,
            received: 0,
            sent: 0,
            alarms: None,
        }
    }

    /// A stream that this side opens.
    pub(crate) fn outbound(id: u32) -> Self {
        let new = Self::new(id, Initiator::Local, State::Init, Owner::Handle);
        Self { unacked: true, ..new }
    }

    /// A stream that the peer opened, with what it lets us send beyond the initial window.
    pub(crate) fn inbound(id: u32, credit: u32) -> Result<Self, Rule> {
        let mut new = Self::new(id, Initiator::Remote, State::SynReceived, Owner::Backlog);
        new.credit.grant(credit)?;
        Ok(new)
    }

    /// Whether a frame of data, or what ends the stream, can be sent now.
    pub(crate) fn can_send(&self) -> bool {
        let has_turn =
            if self.send.is_empty() { self.end != End::Open } else { self.credit.available() > 0 };
        has_turn && self.state.sends()
    }

    /// Bytes that wait to be sent and can be, now or after the SYN.
    pub(crate) fn sendable_bytes(&self) -> usize {
        if self.credit.available() > 0 { self.send.len() } else { 0 }
    }

    /// Whether something is left to be sent, with credit or without.
    pub(crate) fn is_unsent(&self) -> bool {
        let unsent = !self.send.is_empty() || self.end != End::Open;
        unsent && (self.state.sends() || self.state == State::Init)
    }

    /// Whether somebody holds it, or will, and the peer has not said its last byte.
    pub(crate) fn is_awaited(&self) -> bool {
        self.owner != Owner::Nobody && self.state.receives()
    }

    /// Whether the SYN or the ACK is what the next update says: it announces the window.
    pub(crate) fn opens(&self) -> bool {
        self.state == State::Init || self.ack_due
    }

    /// Whether the SYN, an ACK or credit waits to be sent.
    pub(crate) fn needs_update(&self) -> bool {
        !self.state.is_over() && (self.opens() || self.owes_credit())
    }

    pub(crate) fn owes_credit(&self) -> bool {
        self.window.is_due() && self.state.receives()
    }

    pub(crate) fn stats(&self) -> StreamStats {
        StreamStats {
            bytes_received: self.received,
            bytes_sent: self.sent,
            unread_bytes: self.recv.len(),
            unsent_bytes: self.send.len(),
            recv_window_bytes: self.window.max(),
            send_credit_bytes: self.credit.available(),
        }
    }
}
