//! Filters that see connections and bytes.

use std::net::SocketAddr;
use std::rc::Rc;

/// Makes the filter of one connection.
pub type MakeNetworkFilter = Rc<dyn Fn() -> Box<dyn NetworkFilter>>;

/// What a filter wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFlow {
    /// On to the next filter.
    Continue,
    /// End the connection. The bytes that the filter was shown go no further, and no other filter is
    /// asked about them. What waits to be written is dropped, and requests in flight are forgotten.
    Stop,
}

/// What the filter does with one connection of a client.
///
/// A connection of plain TCP is shown when it is new; its bytes pass through the kernel or in bulk,
/// and no filter is asked about them.
pub trait NetworkFilter {
    /// A client has connected. Nothing has been read.
    fn on_new_connection(&mut self, _client: SocketAddr) -> NetworkFlow {
        NetworkFlow::Continue
    }

    /// These bytes were read. They may end within a frame.
    fn on_data(&mut self, _bytes: &[u8]) -> NetworkFlow {
        NetworkFlow::Continue
    }

    /// These bytes are going to be written: one frame.
    fn on_write(&mut self, _bytes: &[u8]) -> NetworkFlow {
        NetworkFlow::Continue
    }
}

/// Filters of one connection.
#[derive(Default)]
pub(crate) struct NetworkFilters(pub(crate) Vec<Box<dyn NetworkFilter>>);

impl NetworkFilters {
    /// Whether every filter says so, asked in order until one does not.
    pub(crate) fn all_continue(
        &mut self,
        mut ask: impl FnMut(&mut dyn NetworkFilter) -> NetworkFlow,
    ) -> bool {
        self.0.iter_mut().all(|filter| ask(filter.as_mut()) == NetworkFlow::Continue)
    }
}
