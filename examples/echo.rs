//! A TCP echo server on one thread.
//!
//! ```sh
//! cargo run --release --example echo -- 127.0.0.1:7000
//! ```
//!
//! It prints the address it listens on (port 0 takes any free one) and runs until it is stopped.
//!
//! An idle connection holds no buffer: what is called when there is something to read borrows the
//! buffer that all connections of the thread share, and the borrow ends before the task waits again,
//! so no two tasks ever meet in it. When the peer takes less than was read, the rest
//! is kept in a small buffer of the connection's own and nothing more is read before it has left:
//! what is held for a peer is never more than one read.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use examples::{Arguments, Usage};
use net::{TcpListener, TcpStream};
use reactor::Direction;

/// The most that is taken from one connection before the others have their turn.
const READ_BYTES_MAX: usize = 64 * 1024;
/// How long to pause after a failed accept: with no descriptors left, trying at once would only
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const USAGE: Usage = Usage {
    text: "\
A TCP echo server on one thread.

usage: echo ADDRESS

  ADDRESS   where to listen, for example 127.0.0.1:7000 (port 0: any free port)",
    options: &[],
};

fn main() -> ExitCode {
    env_logger::init();
    let address = Arguments::of_process(&USAGE).address().unwrap_or_else(|e| USAGE.refuse(&e));
    examples::exit_code(reactor::block_on(serve(address)).flatten())
}

async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    let shared = Rc::new(RefCell::new(vec![0; READ_BYTES_MAX]));
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => reactor::spawn(echo(stream, Rc::clone(&shared))).detach(),
            Err(error) => {
                log::warn!("accept: {error}");
                reactor::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Echoes until the peer has said everything.
#[expect(
    clippy::manual_async_fn,
    reason = "a block holds what it captures once, an async fn its arguments twice"
)]
fn echo(stream: TcpStream, shared: Rc<RefCell<Vec<u8>>>) -> impl Future<Output = ()> {
    async move {
        loop {
            let echo = || echo_what_is_there(&stream, &mut shared.borrow_mut());
            let sending = match stream.while_ready(Direction::Read, echo).await {
                Ok(Echoed::End) => return,
                // Rare, and boxed so that the tasks that never come here need not have the room.
                Ok(Echoed::AllBut(rest)) => Some(Box::pin(send(&stream, rest))),
                Ok(Echoed::WholeBuffer) => None,
                Err(error) => return log::info!("{error}"),
            };
            if let Some(sending) = sending
                && let Err(error) = sending.await
            {
                return log::info!("{error}");
            }
            // There may be more: let the other connections go first.
            reactor::yield_now().await;
        }
    }
}

async fn send(stream: &TcpStream, bytes: Box<[u8]>) -> io::Result<()> {
    stream.write_all(&bytes).await
}

/// Why an echo stopped, other than for want of something to read.
enum Echoed {
    /// The buffer was full, so there may be more to read.
    WholeBuffer,
    /// The peer did not take these bytes yet.
    AllBut(Box<[u8]>),
    /// The peer has sent its last byte.
    End,
}

fn echo_what_is_there(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<Echoed>> {
    let length = stream.try_read(buffer)?;
    if length == 0 {
        return Ok(Some(Echoed::End));
    }
    match stream.try_write(&buffer[..length]) {
        Ok(sent) if sent < length => Ok(Some(all_but(&buffer[sent..length]))),
        Ok(_) if length == buffer.len() => Ok(Some(Echoed::WholeBuffer)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Ok(Some(all_but(&buffer[..length])))
        }
        Err(error) => Err(error),
    }
}

#[cold]
fn all_but(rest: &[u8]) -> Echoed {
    Echoed::AllBut(rest.into())
}
