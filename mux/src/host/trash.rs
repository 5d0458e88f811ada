//! What a host lets go of and must not drop itself.
//!
//! The name of a peer, what a dialer said, and a session with what was written to it can run code
//! of the application when they are dropped, and that code may use the very host that drops them.
//! So they go to the trash, which is dropped when nothing is borrowed any more.

use std::rc::Rc;

use super::DialFailure;
use crate::Session;

/// Dropped by whoever takes it, for what its drop does. Empty, it costs no allocation.
#[derive(Debug)]
pub(super) struct Trash<P> {
    pub(super) names: Vec<Rc<P>>,
    pub(super) failures: Vec<DialFailure>,
    pub(super) sessions: Vec<Session>,
}

impl<P> Trash<P> {
    pub(super) fn new() -> Self {
        Self { names: Vec::new(), failures: Vec::new(), sessions: Vec::new() }
    }
}
