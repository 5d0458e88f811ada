//! One stream of a session: its state, its two queues and its credit.

use std::time::Instant;

use super::frame::Flags;
use super::queue::ByteQueue;
use super::state::State;
use super::violation::Rule;
use super::window::{RecvWindow, SendCredit};
use crate::Initiator;

/// Names a stream: its place in the slab and, against a place that was given anew, its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    pub(crate) reset_by: Option<Initiator>,
    /// The session ended before everything written was taken to be sent.
    pub(crate) cut: bool,
    /// An update of this stream waits in the control queue.
    pub(crate) in_control: bool,
    /// The stream waits for its turn to send.
    pub(crate) in_active: bool,
    pub(crate) events: Events,
    /// When it is reset unless it is over; only without an owner.
    pub(crate) linger_until: Option<Instant>,
}

/// What has happened to a stream since its events were last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Stream {
    fn new(id: u32, opened_by: Initiator, state: State, owner: Owner, window_bytes: u32) -> Self {
        Self {
            id,
            opened_by,
            state,
            owner,
            unacked: false,
            ack_due: false,
            recv: ByteQueue::default(),
            window: RecvWindow::new(window_bytes),
            fin_received: false,
            send: ByteQueue::default(),
            credit: SendCredit::new(),
            end: End::Open,
            reset_by: None,
            cut: false,
            in_control: false,
            in_active: false,
            events: Events::default(),
            linger_until: None,
        }
    }

    /// A stream that this side opens.
    pub(crate) fn outbound(id: u32, window_bytes: u32) -> Self {
        let new = Self::new(id, Initiator::Local, State::Init, Owner::Handle, window_bytes);
        Self { unacked: true, ..new }
    }

    /// A stream that the peer opened, with what it lets us send beyond the initial window.
    pub(crate) fn inbound(id: u32, window_bytes: u32, credit: u32) -> Result<Self, Rule> {
        let owner = Owner::Backlog;
        let mut new = Self::new(id, Initiator::Remote, State::SynReceived, owner, window_bytes);
        new.credit.grant(credit)?;
        Ok(new)
    }

    /// Whether a frame of data, or what ends the stream, can be sent now.
    pub(crate) fn can_send(&self) -> bool {
        let has_turn =
            if self.send.is_empty() { self.end != End::Open } else { self.credit.available() > 0 };
        has_turn && self.state.sends()
    }

    /// Whether something is left to be sent, with credit or without.
    pub(crate) fn is_unsent(&self) -> bool {
        let unsent = !self.send.is_empty() || self.end != End::Open;
        unsent && (self.state.sends() || self.state == State::Init)
    }

    /// Whether the SYN, an ACK or credit waits to be sent.
    pub(crate) fn needs_update(&self) -> bool {
        let opens = self.state == State::Init || self.ack_due;
        !self.state.is_over() && (opens || self.owes_credit())
    }

    fn owes_credit(&self) -> bool {
        self.window.is_due() && self.state.receives()
    }

    /// The flags and the credit of the window update that goes out now.
    pub(crate) fn take_update(&mut self) -> (Flags, u32) {
        let mut credit = if self.owes_credit() { self.window.take_credit() } else { 0 };
        let mut flags = Flags::NONE;
        if self.state == State::Init {
            flags = Flags::SYN;
            credit += self.window.announce();
        } else if std::mem::take(&mut self.ack_due) {
            flags = Flags::ACK;
            credit += self.window.announce();
        }
        (flags, credit)
    }
}
