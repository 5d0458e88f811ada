//! Names whose addresses change while requests go there.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reactor::{JoinHandle, time};

use crate::client::Call;
use crate::cluster::Resolver;
use crate::codec::bolt::status;
use crate::config::{Config, Membership};
use crate::server::Part;
use crate::{Client, DEMO_CONFIG, EchoServer, Filters, Server};

const REFRESH: Duration = Duration::from_millis(10);
const CLIENTS: usize = 4;

/// What the name server says: addresses, or `None` when it says nothing.
type Said = Arc<Mutex<Option<Vec<SocketAddr>>>>;

/// A proxy whose cluster is the name `echo`.
fn start(said: &Said) -> Rc<Server> {
    let mut config = Config::parse("names.json".as_ref(), DEMO_CONFIG).unwrap();
    let host = config.clusters[0].hosts[0].clone();
    config.clusters[0].hosts.clear();
    config.clusters[0].membership =
        Membership::Dns { hosts: vec![("echo".to_owned(), host)], interval: REFRESH };
    let said = Arc::clone(said);
    let resolver = Resolver::new(move |name| {
        assert_eq!(name, "echo");
        said.lock().unwrap().clone().ok_or_else(|| io::ErrorKind::TimedOut.into())
    });
    let part = Part { resolver, ..Part::whole(&config) };
    Rc::new(Server::start_part(&config, &Filters::new(), &part).unwrap())
}

fn members(server: &Server) -> Vec<SocketAddr> {
    server.clusters()[0].hosts.iter().map(|host| host.address).collect()
}

async fn until_members(server: &Server, mut wanted: Vec<SocketAddr>) {
    wanted.sort_unstable();
    let look = async {
        while members(server) != wanted {
            time::sleep(REFRESH / 10).await;
        }
    };
    let found = time::timeout(10 * REFRESH, look).await;
    found.unwrap_or_else(|_| panic!("{:?} in place of {wanted:?}", members(server)));
}

/// Calls until it is aborted.
fn call_on(server: &Rc<Server>) -> JoinHandle<()> {
    let address = server.addresses()[0];
    reactor::spawn(async move {
        let client = Client::connect(address).await.unwrap();
        for number in 0_u32.. {
            let content = number.to_be_bytes();
            let answer = client.call(&Call::new(&content)).await.unwrap();
            assert_eq!((answer.status(), answer.content()), (status::SUCCESS, &content[..]));
            time::sleep(REFRESH / 10).await;
        }
    })
}

#[test]
fn names_whose_addresses_change_under_load_lose_no_request() {
    let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
    runtime.block_on(async {
        let start_echo = || EchoServer::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let hosts: Vec<EchoServer> = (0..4).map(|_| start_echo()).collect();
        let two = |from: usize| vec![hosts[from % 4].address(), hosts[(from + 1) % 4].address()];
        let said = Said::new(Mutex::new(Some(two(0))));
        let server = start(&said);
        until_members(&server, two(0)).await;
        let clients: Vec<_> = (0..CLIENTS).map(|_| call_on(&server)).collect();
        for round in 1..30 {
            *said.lock().unwrap() = Some(two(round));
            until_members(&server, two(round)).await;
            // Who says nothing, or has no address, changes nothing.
            *said.lock().unwrap() = (round % 2 == 0).then(Vec::new);
            time::sleep(3 * REFRESH).await;
            until_members(&server, two(round)).await;
        }
        assert!(clients.iter().all(|client| !client.is_finished()), "a call failed");
        assert!(hosts.iter().all(|host| host.answered() > 0), "{hosts:?}");
        let stats = server.stats();
        assert_eq!((stats.lost(), stats.lost_upstream, stats.no_upstream), (0, 0, 0), "{stats}");
        clients.iter().for_each(JoinHandle::abort);
    });
}
