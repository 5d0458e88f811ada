//! Many TCP connections through one: a service behind a firewall is reached from outside.
//!
//! ```sh
//! # where the users come in, on a machine that both sides can reach:
//! cargo run --release --example mux_tunnel -- 0.0.0.0:7000 --public 0.0.0.0:8080
//! # beside the service; only this side dials out:
//! cargo run --release --example mux_tunnel -- gateway.example:7000 --target 127.0.0.1:80
//! ```
//!
//! The gateway takes one connection of an agent and makes it a yamux session. For every user it opens a
//! stream; the agent accepts it, dials the target, and each side copies both ways. An end of one
//! direction is passed on by itself, and a connection that fails ends its stream, not the session.
//!
//! The agent dials again when the session ends, waiting longer after each failure. A second agent
//! takes the place of the first: new users go to it, while those of the first go on.
//!
//! There is no authentication and no encryption in this example: whoever reaches the agents' port
//! gets the users, and whoever reaches the users' port gets the service.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::cell::RefCell;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use examples::{Arguments, Usage};
use futures_util::future::try_join;
use mux::{Config, Session, Stream};
use net::{TcpListener, TcpStream};
use reactor::time;

/// The most that is taken from one connection before the others have their turn.
const READ_BYTES_MAX: usize = 64 * 1024;
/// How long to pause after a failed accept: with no descriptors left, trying at once would only
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the agent waits before it dials again: doubled each time, until a session has lasted. So
/// two agents that take each other's place do so less and less often.
const REDIAL_PAUSE_MIN: Duration = Duration::from_millis(100);
const REDIAL_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a dial may take, to the gateway or to the target.
const DIAL_TIME_MAX: Duration = Duration::from_secs(10);
/// What the system holds of the tunnel that is not on its way yet. The rest waits in the session,
/// where a small answer goes ahead of a large download.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

const USAGE: Usage = Usage {
    text: "\
Many TCP connections through one.

usage: mux_tunnel ADDRESS --public ADDRESS     the gateway
       mux_tunnel ADDRESS --target ADDRESS     the agent

  ADDRESS            where the gateway waits for its agent
  --public ADDRESS   where the gateway waits for users
  --target ADDRESS   what the agent connects the users to",
    options: &["--public", "--target"],
};

#[derive(Clone, Copy)]
enum Mode {
    Gateway { public: SocketAddr },
    Agent { target: SocketAddr },
}

fn mode(arguments: &Arguments) -> Result<Mode, String> {
    match (arguments.value("--public")?, arguments.value("--target")?) {
        (Some(public), None) => Ok(Mode::Gateway { public }),
        (None, Some(target)) => Ok(Mode::Agent { target }),
        _ => Err("give one of --public and --target".into()),
    }
}

fn main() -> ExitCode {
    env_logger::init();
    let arguments = Arguments::of_process(&USAGE);
    let address = arguments.address().unwrap_or_else(|error| USAGE.refuse(&error));
    let ended = match mode(&arguments).unwrap_or_else(|error| USAGE.refuse(&error)) {
        Mode::Gateway { public } => reactor::block_on(serve(address, public)),
        Mode::Agent { target } => reactor::block_on(dial_for_ever(address, target)),
    };
    examples::exit_code(ended.flatten())
}

/// The session to the agent, if there is one.
type Agent = Rc<RefCell<Option<Session>>>;

/// The gateway: agents on one port, users on the other.
async fn serve(address: SocketAddr, public: SocketAddr) -> io::Result<()> {
    let (agents, users) = (TcpListener::bind(address)?, TcpListener::bind(public)?);
    println!("agents {}", agents.local_addr()?);
    println!("listening on {}", users.local_addr()?);
    let agent = Agent::default();
    reactor::spawn(take_agents(agents, Rc::clone(&agent))).detach();
    loop {
        let (user, peer) = accept(&users).await;
        let session = agent.borrow().clone().filter(|session| !session.is_closed());
        let Some(session) = session else {
            log::warn!("{peer}: there is no agent");
            continue;
        };
        let passed = async move {
            let stream = session.open().await?;
            // A handle that is held would keep the session open after its agent was replaced.
            drop(session);
            pass(user, &stream).await
        };
        reactor::spawn(async move { log_error(peer, passed.await) }).detach();
    }
}

async fn take_agents(listener: TcpListener, agent: Agent) {
    loop {
        let (io, peer) = accept(&listener).await;
        log::info!("agent {peer}: connected");
        hold_little_unsent(&io);
        let (session, driver) = Session::client(io, Config::default());
        // The handles of the one before go with its last user, and then it closes.
        let before = agent.replace(Some(session));
        drop(before);
        reactor::spawn(async move { log::info!("agent {peer}: ended: {:?}", driver.await) })
            .detach();
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                log::warn!("accept: {error}");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The agent: dials the gateway again and again.
async fn dial_for_ever(gateway: SocketAddr, target: SocketAddr) -> io::Result<()> {
    let mut pause = REDIAL_PAUSE_MIN;
    loop {
        let start = time::now();
        match dial(gateway).await {
            Ok(io) => {
                println!("connected to {gateway}");
                serve_session(io, target).await;
            }
            Err(error) => log::warn!("{gateway}: {error}"),
        }
        if time::now() - start > REDIAL_PAUSE_MAX {
            pause = REDIAL_PAUSE_MIN;
        }
        log::info!("dialing again in {pause:?}");
        time::sleep(pause).await;
        pause = (pause * 2).min(REDIAL_PAUSE_MAX);
    }
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let dialed = time::timeout(DIAL_TIME_MAX, TcpStream::connect(address)).await;
    dialed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Serves the users of one session, until it ends.
async fn serve_session(io: TcpStream, target: SocketAddr) {
    hold_little_unsent(&io);
    let (session, driver) = Session::server(io, Config::default());
    let driver = reactor::spawn(driver);
    while let Ok(stream) = session.accept().await {
        let id = stream.id();
        reactor::spawn(async move { log_error(id, serve_user(&stream, target).await) }).detach();
    }
    if let Ok(outcome) = driver.await {
        log::warn!("the session ended: {outcome:?}");
    }
}

/// Without it the tunnel works too, but what is urgent waits longer.
fn hold_little_unsent(tunnel: &TcpStream) {
    if let Err(error) = tunnel.set_notsent_lowat_bytes(UNSENT_BYTES_MAX) {
        log::warn!("TCP_NOTSENT_LOWAT: {error}");
    }
}

async fn serve_user(stream: &Stream, target: SocketAddr) -> io::Result<()> {
    pass(dial(target).await?, stream).await
}

fn log_error(who: impl std::fmt::Display, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        log::info!("{who}: {error}");
    }
}

/// Copies both ways until both have ended. When one fails, both are given up: the stream is reset
/// as it is dropped, and so is the connection.
async fn pass(tcp: TcpStream, stream: &Stream) -> io::Result<()> {
    let passed = try_join(upstream(&tcp, stream), downstream(stream, &tcp)).await;
    if passed.is_err() {
        // An orderly end would look as if all had arrived.
        tcp.reset()?;
    }
    passed.map(|_| ())
}

thread_local! {
    /// Lent for one read: an idle connection holds no buffer.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES_MAX]);
}

async fn upstream(tcp: &TcpStream, stream: &Stream) -> io::Result<()> {
    loop {
        tcp.readable().await?;
        let read = BUFFER.with_borrow_mut(|buffer| {
            let length = tcp.try_read(buffer)?;
            Ok::<_, io::Error>(Bytes::copy_from_slice(&buffer[..length]))
        });
        match read {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => stream.write_bytes(bytes).await?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(stream.shutdown()?)
}

async fn downstream(stream: &Stream, tcp: &TcpStream) -> io::Result<()> {
    while let Some(bytes) = stream.read_bytes().await? {
        tcp.write_all(&bytes).await?;
    }
    tcp.shutdown(Shutdown::Write)
}
