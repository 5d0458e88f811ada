//! Who of us is up? Every program of a group asks every other, by name.
//!
//! ```sh
//! cargo run --release --example mux_host -- 127.0.0.1:7000 --name alice --peers bob=127.0.0.1:7001,carol=127.0.0.1:7002
//! cargo run --release --example mux_host -- 127.0.0.1:7001 --name bob --peers alice=127.0.0.1:7000
//! cargo run --release --example mux_host -- 127.0.0.1:7002 --name carol --peers alice=127.0.0.1:7000,bob=127.0.0.1:7001
//! ```
//!
//! Each question is a stream of its own, opened by name in a `mux::host::Host`, which keeps one session
//! with a peer and dials when there is none: stop a program, and the others say that it is gone and
//! leave it alone for a while; start it again, and they find it. A peer that has dialed us is asked over
//! its own connection, so it needs no address here: to be known by name is enough, once it has come.
//!
//! A connection begins with both sides saying their names: one byte for the length, then the name.
//! There is no authentication in this example: whoever says that he is bob is bob.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use examples::{Arguments, Usage};
use futures_util::AsyncReadExt;
use mux::Stream;
use mux::host::{Attempts, Dial, Host, HostConfig};
use net::{TcpListener, TcpStream};
use reactor::time;

/// A name has one byte for its length.
const NAME_BYTES_MAX: usize = 255;
const PEERS_MAX: usize = 100;
/// The most that is read of an answer.
const ANSWER_BYTES_MAX: u64 = 1000;
/// How long a peer may take to say its name, or to answer.
const PATIENCE: Duration = Duration::from_secs(5);

const USAGE: Usage = Usage {
    text: "\
Who of us is up? Every program of a group asks every other, by name.

usage: mux_host ADDRESS --name NAME [options]

  ADDRESS                  where to listen, for example 127.0.0.1:7000
  --name NAME              who this is
  --peers NAME=ADDRESS,..  whom to ask, and where they are (nobody)
  --every-ms N             how often (1000)
  --back-off-ms N          how long a peer is left alone after a first failed dial (5000)
  --rounds N               how often before the end (0: for ever)",
    options: &["--name", "--peers", "--every-ms", "--back-off-ms", "--rounds"],
};

struct Settings {
    address: SocketAddr,
    name: String,
    peers: BTreeMap<String, SocketAddr>,
    every: Duration,
    back_off: Duration,
    rounds: usize,
}

fn settings() -> Result<Settings, String> {
    let arguments = Arguments::of_process(&USAGE);
    let ms = |name, default| {
        arguments.number(name, default, 86_400_000).map(|ms| Duration::from_millis(ms as u64))
    };
    let name: String = arguments.value("--name")?.ok_or("--name is missing")?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
    }
    Ok(Settings {
        address: arguments.address()?,
        name,
        peers: peers(&arguments.value::<String>("--peers")?.unwrap_or_default())?,
        every: ms("--every-ms", 1000)?,
        back_off: ms("--back-off-ms", 5000)?,
        rounds: arguments.value("--rounds")?.unwrap_or(0),
    })
}

fn peers(list: &str) -> Result<BTreeMap<String, SocketAddr>, String> {
    let mut peers = BTreeMap::new();
    for peer in list.split(',').filter(|peer| !peer.is_empty()) {
        let (name, address) =
            peer.split_once('=').ok_or_else(|| format!("{peer} is not NAME=ADDRESS"))?;
        let address = address
            .parse()
            .map_err(|_| format!("{address} is not an address: expected IP:PORT"))?;
        peers.insert(name.to_owned(), address);
    }
    if peers.len() > PEERS_MAX {
        return Err(format!("at most {PEERS_MAX} peers"));
    }
    Ok(peers)
}

fn main() -> ExitCode {
    env_logger::init();
    let settings = settings().unwrap_or_else(|error| USAGE.refuse(&error));
    examples::exit_code(reactor::block_on(run(settings)).flatten())
}

async fn run(settings: Settings) -> io::Result<()> {
    let Settings { address, name, peers, every, back_off, rounds } = settings;
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    let book = Book { own: name.clone(), addresses: peers.clone() };
    let config =
        HostConfig { local: vec![name.clone()], back_off_base: back_off, ..HostConfig::default() };
    let host = Host::new(book, config);
    reactor::spawn(take_connections(listener, host.clone(), name.clone())).detach();
    reactor::spawn(answer_all(host.clone(), name)).detach();
    let mut ticks = time::interval(every);
    for round in 1.. {
        ticks.tick().await;
        // Those we know by address, and those who have come by themselves.
        let mut names: Vec<_> = peers.keys().cloned().chain(host.peers()).collect();
        names.sort();
        names.dedup();
        for peer in names {
            reactor::spawn(ask_and_print(host.clone(), peer)).detach();
        }
        if round == rounds {
            time::sleep(every).await;
            break;
        }
    }
    Ok(host.close().await?)
}

/// Who is where, and who we are.
struct Book {
    own: String,
    addresses: BTreeMap<String, SocketAddr>,
}

impl Dial<String> for Book {
    type Io = TcpStream;

    async fn dial(&self, peer: &String, _: &Attempts<String>) -> io::Result<TcpStream> {
        let Some(&address) = self.addresses.get(peer) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "nobody knows where that is"));
        };
        let io = TcpStream::connect(address).await?;
        let answered = exchange_names(&io, &self.own).await?;
        if answered != *peer {
            return Err(io::Error::other(format!("{answered:?} lives at {address}")));
        }
        Ok(io)
    }
}

/// Says who we are, and reads who the other is.
async fn exchange_names(io: &TcpStream, own: &str) -> io::Result<String> {
    let mut said = vec![own.len() as u8];
    said.extend(own.as_bytes());
    io.write_all(&said).await?;
    let (mut io, mut length) = (io, [0]);
    io.read_exact(&mut length).await?;
    let mut name = vec![0; usize::from(length[0])];
    io.read_exact(&mut name).await?;
    String::from_utf8(name).map_err(io::Error::other)
}

async fn take_connections(listener: TcpListener, host: Host<String>, own: String) {
    let mut incoming = listener.incoming();
    loop {
        match incoming.next().await {
            Ok((io, address)) => {
                let (host, own) = (host.clone(), own.clone());
                reactor::spawn(async move {
                    if let Err(error) = take_in(io, &host, &own).await {
                        log::info!("{address}: {error}");
                    }
                })
                .detach();
            }
            Err(error) => return log::error!("accept: {error}"),
        }
    }
}

async fn take_in(io: TcpStream, host: &Host<String>, own: &str) -> io::Result<()> {
    let name = time::timeout(PATIENCE, exchange_names(&io, own)).await??;
    log::info!("{name} has come");
    host.add(name, io)?;
    Ok(())
}

/// Answers whatever is asked, whoever asks.
async fn answer_all(host: Host<String>, own: String) {
    let start = Instant::now();
    while let Some((peer, stream)) = host.accept().await {
        let mut known = host.peers();
        known.sort();
        let seconds = start.elapsed().as_secs();
        let answer = format!("{own} is up for {seconds} s and knows {}", known.join(", "));
        reactor::spawn(async move {
            if let Err(error) = answer_one(&stream, answer).await {
                log::info!("{peer}: {error}");
            }
        })
        .detach();
    }
}

async fn answer_one(stream: &Stream, answer: String) -> Result<(), mux::Error> {
    stream.write_bytes(answer.into()).await?;
    stream.shutdown()
}

async fn ask_and_print(host: Host<String>, peer: String) {
    let start = Instant::now();
    let answer = time::timeout(PATIENCE, ask(&host, &peer)).await;
    let micros = start.elapsed().as_micros();
    match answer.unwrap_or_else(|elapsed| Err(elapsed.into())) {
        Ok(answer) => println!("{peer}: up ({answer}; {micros} us)"),
        Err(error) => println!("{peer}: away ({error})"),
    }
}

/// A stream for one question, which needs no words.
async fn ask(host: &Host<String>, peer: &String) -> io::Result<String> {
    let stream = host.new_stream(peer).await?;
    stream.shutdown()?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    Ok(answer)
}
