//! Connections that belong to one client each.
//!
//! A client of a cluster with such a pool has one connection to it, made with its first request. Either
//! one's end is the other's: a server that keeps something about its client, or calls it, sees one
//! connection per client as if there were no proxy.

use std::cell::RefCell;
use std::rc::Rc;

use crate::cluster::Shared;
use crate::downstream::Downstream;
use crate::upstream::Upstream;

/// The connections bound to one client: at most one for each cluster.
#[derive(Default)]
pub(crate) struct Bindings(RefCell<Vec<Rc<Upstream>>>);

impl Bindings {
    /// Binds the two together.
    pub(crate) fn bind(upstream: &Rc<Upstream>, client: &Rc<Downstream>) {
        upstream.bind(client);
        client.bindings.0.borrow_mut().push(Rc::clone(upstream));
    }

    /// The connection to this cluster.
    pub(crate) fn find(&self, cluster: &Rc<Shared>) -> Option<Rc<Upstream>> {
        let bound = self.0.borrow();
        let found = bound.iter().find(|upstream| Rc::ptr_eq(&upstream.host().shared, cluster));
        found.map(Rc::clone)
    }

    /// The connection has ended.
    pub(crate) fn forget(&self, upstream: &Upstream) {
        self.0.borrow_mut().retain(|bound| !std::ptr::eq(&**bound, upstream));
    }

    /// The client has ended: so do its connections.
    pub(crate) fn end(&self) {
        let bound = std::mem::take(&mut *self.0.borrow_mut());
        for upstream in bound {
            upstream.unbind();
        }
    }
}
