//! A proxy that shares upstream connections between many clients by giving every request an id of
//! its own, in the manner of MOSN. It speaks Bolt, Dubbo and Thrift.
//!
//! A request's way: [`codec`] finds its frame in what was read, a route names its cluster, the
//! cluster gives a connection, the connection's [id table](ids) gives it an id, and its frame leaves
//! with that id written over the client's. The answer finds the request by the id and goes back
//! under the client's own. On its way it may pass [filters](filter). [`stream`] is the table of a
//! request's life, [`limits`] the list of every bound; `docs/proxy-journey.md` tells the whole
//! journey, `docs/proxy-phases.md` what may be put into it, `docs/proxy-pools.md` how hosts and
//! connections are chosen, `docs/proxy-protocols.md` what is on the wire.
//!
//! [`Config`] and [`Server`] run a proxy inside a [`reactor::Runtime`]; [`Client`] calls one, and
//! [`EchoServer`] stands behind one.
#![forbid(unsafe_code)]

mod accept;
mod access_log;
mod alarm;
pub mod balance;
pub mod breakers;
pub mod buffers;
pub mod client;
mod cluster;
pub mod codec;
mod complaint;
pub mod config;
mod conn;
pub mod deadlines;
pub mod descriptors;
mod detection;
mod downstream;
mod drain;
pub mod echo;
pub mod filter;
pub mod filters;
pub mod health;
pub mod ids;
pub mod inbox;
mod journey;
pub mod limits;
mod orders;
pub mod outbox;
mod patience;
mod pool;
mod random;
mod repeats;
mod retry;
mod router;
mod server;
mod service;
pub mod stats;
pub mod stream;
mod tcp;
mod threads;
mod upstream;
mod worker;

pub use client::Client;
pub use cluster::{ClusterStatus, HostStatus};
pub use config::{Config, ConfigError};
pub use drain::Drained;
pub use echo::EchoServer;
pub use filter::Filters;
pub use limits::Limits;
pub use server::{Server, StartError};
pub use threads::{Threads, WorkerError};

/// The configuration that `proxy demo` runs: port 0 everywhere, to be replaced by real ports.
pub const DEMO_CONFIG: &str = include_str!("demo.json");

/// The chapters that show code of this crate: their snippets are compiled and run as doctests.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../docs/proxy-config.md")]
    struct Configuration;
    #[doc = include_str!("../../docs/proxy-journey.md")]
    struct Journey;
    #[doc = include_str!("../../docs/proxy-phases.md")]
    struct Phases;
    #[doc = include_str!("../../docs/proxy-pools.md")]
    struct Pools;
    #[doc = include_str!("../../docs/proxy-protocols.md")]
    struct Protocols;
    #[doc = include_str!("../../docs/proxy-timeouts.md")]
    struct Timeouts;
}
