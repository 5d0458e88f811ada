//! What the session lets go of and must not drop itself.
//!
//! A `Bytes` can run code of the application when it is dropped (`Bytes::from_owner`), and so can an
//! `io::Error`. That code may use the very session that drops it. So nothing that came from outside
//! is dropped in here: it goes to the trash, and whoever called takes the trash out when it holds no
//! borrow any more.

use bytes::Bytes;

use super::outbox::Outbox;
use super::queue::ByteQueue;
use crate::Error;

/// Dropped by whoever takes it, for what its drop does.
#[derive(Debug)]
#[expect(dead_code, reason = "held to be dropped")]
pub(crate) enum Trash {
    Chunk(Bytes),
    Queue(ByteQueue),
    Outbox(Box<Outbox>),
    Error(Error),
}
