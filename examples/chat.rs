//! A chat server: what one client says, all others hear. Lines of text over TCP.
//!
//! ```sh
//! cargo run --release --example chat -- 127.0.0.1:7002
//! nc 127.0.0.1 7002        # as often as you like
//! ```
//!
//! It prints the address it listens on (port 0 takes any free one) and runs until Ctrl-C. Then it takes no
//! more clients, tells those that are there of the end, and gives them [`GRACE`] to go; a second Ctrl-C does
//! not wait.
//!
//! Two kinds of clients would ruin it for the others, and each meets a limit:
//!
//! - One that says nothing is dropped by the **read deadline** of its socket, which every line it
//!   says moves on. That costs a store, not a timer.
//! - One that reads too slowly has what it misses kept for it, up to [`OUTBOX_BYTES_MAX`]; then it is
//!   dropped. Nobody waits for it: saying a line to the room never blocks.
//!
//! A client is one task that reads. Writing needs none as long as the socket takes what there is;
//! when it does not, a second task brings the rest, and ends.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use examples::{Arguments, Usage};
use futures_util::future::{Either, FutureExt, select};
use net::{TcpListener, TcpStream};
use reactor::time::{now, timeout};
use reactor::{JoinSet, SignalKind, signal};

/// What is kept for a client that reads slowly, beside what its socket holds.
const OUTBOX_BYTES_MAX: usize = 256 * 1024;
/// The longest line a client may say, without its end.
const LINE_BYTES_MAX: usize = 4096;
const IDLE_S_MAX: usize = 24 * 3600;
/// How long clients have to go when the server ends.
const GRACE: Duration = Duration::from_secs(30);

const USAGE: Usage = Usage {
    text: "\
A chat server: what one client says, all others hear.

usage: chat ADDRESS [--idle-s N]

  ADDRESS      where to listen, for example 127.0.0.1:7002 (port 0: any free port)
  --idle-s N   a client that says nothing for so many seconds is dropped (default 300)",
    options: &["--idle-s"],
};

fn main() -> ExitCode {
    env_logger::init();
    let (address, idle) = settings().unwrap_or_else(|error| USAGE.refuse(&error));
    examples::exit_code(reactor::block_on(serve(address, idle)).flatten())
}

fn settings() -> Result<(SocketAddr, Duration), String> {
    let arguments = Arguments::of_process(&USAGE);
    let idle_s = arguments.number("--idle-s", 300, IDLE_S_MAX)?;
    Ok((arguments.address()?, Duration::from_secs(idle_s as u64)))
}

async fn serve(address: SocketAddr, idle: Duration) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    let mut interrupt = signal(SignalKind::INTERRUPT)?;
    let room = Rc::new(Room::default());
    let mut visits = JoinSet::new();
    let mut incoming = listener.incoming();
    loop {
        let (stream, peer) = match select(pin!(incoming.next()), pin!(interrupt.recv())).await {
            Either::Left((accepted, _)) => accepted?,
            Either::Right((asked, _)) => break asked?,
        };
        visits.spawn(visit(Rc::clone(&room), stream, peer, idle));
        // Visits that are over make room. Nobody waits here.
        while let Some(Some(_)) = visits.join_next().now_or_never() {}
    }
    listener.close();
    room.see_off();
    let all_went = timeout(GRACE, async { while visits.join_next().await.is_some() {} });
    select(pin!(all_went), pin!(interrupt.recv())).await;
    Ok(())
}

/// A client from its coming to its going.
async fn visit(room: Rc<Room>, stream: TcpStream, peer: SocketAddr, idle: Duration) {
    let client = Rc::new(Client { stream, outbox: RefCell::default(), bytes: Cell::new(0) });
    let id = room.enter(Rc::clone(&client));
    room.say(id, format!("* {peer} came\n").into_bytes());
    let reason = match listen(&room, id, &client.stream, idle).await {
        Ok(()) => "went".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => "was silent too long".to_owned(),
        Err(error) if reactor::is_closed(&error) => "listened too slowly".to_owned(),
        Err(error) => error.to_string(),
    };
    room.leave(id);
    log::info!("{peer} {reason}");
    room.say(id, format!("* {peer} {reason}\n").into_bytes());
}

/// Says to the room what the client says, line by line.
async fn listen(room: &Room, id: u64, stream: &TcpStream, idle: Duration) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        stream.set_read_deadline(Some(now() + idle));
        stream.readable().await?;
        // On the stack and not across an await: who says nothing holds no buffer.
        let mut buffer = [0; LINE_BYTES_MAX];
        let n = match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        for piece in buffer[..n].split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            if line.len() > LINE_BYTES_MAX + 1 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "said too long a line"));
            }
            if line.ends_with(b"\n") {
                room.say(id, std::mem::take(&mut line));
            }
        }
    }
}

/// Who is there.
#[derive(Default)]
struct Room {
    clients: RefCell<BTreeMap<u64, Rc<Client>>>,
    last_id: Cell<u64>,
}

impl Room {
    fn enter(&self, client: Rc<Client>) -> u64 {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        self.clients.borrow_mut().insert(id, client);
        id
    }

    fn leave(&self, id: u64) {
        let client = self.clients.borrow_mut().remove(&id);
        drop(client);
    }

    /// Ends the reading of all, and with it their visits. A deadline in the past would not: each line
    /// moves it on.
    fn see_off(&self) {
        for client in self.clients.borrow().values() {
            // An error: it has gone already.
            let _ = client.stream.shutdown(Shutdown::Read);
        }
    }

    /// Says something to all but one. All share the one copy of it.
    fn say(&self, from: u64, line: Vec<u8>) {
        let line: Rc<[u8]> = line.into();
        let clients = self.clients.borrow();
        for (_, client) in clients.iter().filter(|(id, _)| **id != from) {
            client.hear(&line);
        }
    }
}

struct Client {
    stream: TcpStream,
    /// What the socket did not take, and a task is to bring. Empty while there is no such task.
    outbox: RefCell<VecDeque<Rc<[u8]>>>,
    /// The bytes in the outbox.
    bytes: Cell<usize>,
}

impl Client {
    fn hear(self: &Rc<Self>, line: &Rc<[u8]>) {
        let sent = match self.is_behind() {
            true => 0,
            // An error is for the task that reads, which gets it too.
            false => self.stream.try_write(line).unwrap_or(0),
        };
        if sent == line.len() {
            return;
        }
        let bytes = self.bytes.get() + line.len() - sent;
        if bytes > OUTBOX_BYTES_MAX {
            // The task that reads and the one that writes both end by it.
            self.stream.close();
            return;
        }
        let rest = if sent == 0 { Rc::clone(line) } else { line[sent..].into() };
        let was_behind = self.is_behind();
        self.outbox.borrow_mut().push_back(rest);
        self.bytes.set(bytes);
        if !was_behind {
            reactor::spawn(Rc::clone(self).catch_up()).detach();
        }
    }

    fn is_behind(&self) -> bool {
        !self.outbox.borrow().is_empty()
    }

    /// Brings what is in the outbox. A line leaves it when it is written, so the outbox is empty
    /// when and only when this task is over.
    async fn catch_up(self: Rc<Self>) {
        loop {
            let Some(line) = self.outbox.borrow().front().cloned() else { return };
            if self.stream.write_all(&line).await.is_err() {
                return;
            }
            self.bytes.set(self.bytes.get() - line.len());
            self.outbox.borrow_mut().pop_front();
        }
    }
}
