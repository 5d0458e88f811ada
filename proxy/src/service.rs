//! What a listener does with a connection that it has accepted.

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use net::TcpStream;

use crate::cluster::Cluster;
use crate::codec::{Codec, Protocol};
use crate::config;
use crate::detection::{self, Found};
use crate::downstream::{self, Downstream};
use crate::filter::{Filters, MakeNetworkFilter, NetworkFilters};
use crate::inbox::Inbox;
use crate::journey::Chain;
use crate::patience::Patience;
use crate::router::Router;
use crate::tcp;
use crate::worker::Worker;

/// Most bytes that the log shows of a connection that is nothing known.
const BYTES_SHOWN_MAX: usize = 16;

/// A listener's service, behind the filters that every connection passes.
pub(crate) struct Entrance {
    filters: Vec<MakeNetworkFilter>,
    service: Service,
}

impl Entrance {
    /// # Panics
    /// When the listener names a filter that is not one of `types`, or that they refuse.
    pub(crate) fn new(
        listener: &config::Listener,
        clusters: &[Rc<Cluster>],
        types: &Filters,
        worker: &Rc<Worker>,
        seed: Option<u64>,
    ) -> Self {
        let filters = listener.network_filters.iter().map(|filter| {
            types
                .build_network(&filter.filter_type, &filter.config)
                .unwrap_or_else(|error| panic!("{}: {error:?}", filter.path))
        });
        let chain = Chain::new(listener, types, worker);
        Entrance {
            filters: filters.collect(),
            service: Service::new(listener, clusters, chain, seed),
        }
    }
}

impl fmt::Display for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service.fmt(f)
    }
}

/// See the module's page.
pub(crate) enum Service {
    /// Requests of one protocol.
    Requests { protocol: Protocol, paths: Paths },
    /// Requests of the protocol that the first bytes tell; what is none of them goes to `other`.
    Detected { protocols: Vec<Protocol>, paths: Paths, other: Option<Tcp> },
    /// Bytes.
    Tcp(Tcp),
}

/// Where requests go, and what they pass.
#[derive(Clone)]
pub(crate) struct Paths {
    pub(crate) router: Rc<Router>,
    pub(crate) chain: Option<Rc<Chain>>,
    /// Whether clients that speak Bolt understand the frame that asks them to go.
    pub(crate) bolt_go_away: bool,
}

impl Paths {
    /// Whether a client of this protocol is told when the proxy stops.
    pub(crate) fn says_go_away(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Bolt => self.bolt_go_away,
            Protocol::Dubbo => true,
            Protocol::Thrift => false,
        }
    }
}

/// Where bytes go.
pub(crate) struct Tcp {
    /// The name in the configuration, and the cluster, if there is one of this name.
    name: String,
    cluster: Option<Rc<Cluster>>,
}

impl Service {
    pub(crate) fn new(
        listener: &config::Listener,
        clusters: &[Rc<Cluster>],
        chain: Option<Rc<Chain>>,
        seed: Option<u64>,
    ) -> Self {
        let router = Rc::new(Router::new(&listener.router, clusters, seed));
        let paths = Paths { router, chain, bolt_go_away: listener.bolt_go_away };
        let tcp = listener.tcp_cluster.as_ref().map(|name| Tcp {
            name: name.clone(),
            cluster: clusters.iter().find(|cluster| cluster.name() == name).cloned(),
        });
        match (&listener.protocols[..], tcp) {
            ([], Some(tcp)) => Service::Tcp(tcp),
            (&[protocol], None) => Service::Requests { protocol, paths },
            (protocols, other) => Service::Detected { protocols: protocols.to_vec(), paths, other },
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Service::Requests { protocol, .. } => f.write_str(protocol.name()),
            Service::Detected { protocols, other, .. } => {
                f.write_str(&names(protocols))?;
                if other.is_some() { f.write_str(" and plain TCP") } else { Ok(()) }
            }
            Service::Tcp(_) => f.write_str("plain TCP"),
        }
    }
}

/// A connection to be served, and what is needed for it.
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) filters: NetworkFilters,
    /// Time that it may be silent; zero is for ever.
    pub(crate) idle_timeout: Duration,
}

impl Client {
    /// Serves it to its end.
    pub(crate) async fn run(mut self, entrance: Rc<Entrance>) {
        self.filters = NetworkFilters(entrance.filters.iter().map(|make| make()).collect());
        let peer = self.peer;
        if !self.filters.all_continue(|filter| filter.on_new_connection(peer)) {
            log::debug!("client {peer}: connection closed: a filter has stopped it");
            return;
        }
        match &entrance.service {
            Service::Requests { protocol, paths } => {
                self.serve_requests(*protocol, paths, Inbox::new()).await;
            }
            // Boxed, so that a connection of the plain case above does not pay for their size.
            Service::Detected { protocols, paths, other } => {
                Box::pin(self.find_out(protocols, paths, other.as_ref())).await;
            }
            Service::Tcp(tcp) => Box::pin(self.serve_bytes(tcp, Vec::new())).await,
        }
    }

    async fn find_out(mut self, protocols: &[Protocol], paths: &Paths, other: Option<&Tcp>) {
        match detection::run(&self.worker, &self.stream, protocols, self.idle_timeout).await {
            Ok(Found::Protocol(protocol, first)) => {
                if !self.filters.all_continue(|filter| filter.on_data(&first)) {
                    let peer = self.peer;
                    log::debug!("client {peer}: connection closed: a filter has stopped it");
                    return;
                }
                self.serve_requests(protocol, paths, Inbox::holding(&first)).await;
            }
            Ok(Found::Unknown(first)) => match other {
                Some(tcp) => self.serve_bytes(tcp, first).await,
                None => self.refuse(&first, protocols),
            },
            Ok(Found::Nothing) => {}
            Ok(Found::Silence) => {
                self.worker.stats.downstream_idle.up();
                log::info!("client {}: connection closed: it never said anything", self.peer);
            }
            Err(error) => log::info!("client {}: connection closed: {error}", self.peer),
        }
    }

    async fn serve_requests(self, protocol: Protocol, paths: &Paths, inbox: Inbox) {
        let Client { worker, stream, peer, filters, idle_timeout } = self;
        let patience = Patience::new(idle_timeout, worker.limits.frame_timeout);
        let downstream = Downstream::new(worker, protocol, paths.clone(), filters, (stream, peer));
        downstream::run(downstream, inbox, patience).await;
    }

    async fn serve_bytes(self, tcp: &Tcp, first: Vec<u8>) {
        let Client { worker, stream, peer, idle_timeout, .. } = self;
        let Some(cluster) = &tcp.cluster else {
            worker.stats.tcp_no_upstream.up();
            log::warn!("client {peer}: connection closed: there is no cluster `{}`", tcp.name);
            return;
        };
        if let Err(error) = tcp::run(&worker, cluster, stream, first, idle_timeout).await {
            log::info!("client {peer}: connection closed: {error}");
        }
    }

    fn refuse(&self, first: &[u8], protocols: &[Protocol]) {
        self.worker.stats.undetected.up();
        self.worker.stats.downstream_faulty.up();
        let shown = first[..first.len().min(BYTES_SHOWN_MAX)].escape_ascii();
        let peer = self.peer;
        log::warn!(
            "client {peer}: connection closed: it begins with \"{shown}\", which is none of {}",
            names(protocols)
        );
    }
}

fn names(protocols: &[Protocol]) -> String {
    let names: Vec<&str> = protocols.iter().map(Codec::name).collect();
    names.join(", ")
}
