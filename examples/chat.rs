//! A chat server: what one client says, all others hear. Lines of text over TCP.
//!
//! ```sh
//! cargo run --release --example chat -- 127.0.0.1:7002
//! nc 127.0.0.1 7002        # as often as you like
//! ```
//!
//! It prints the address it listens on (port 0 takes any free one) and runs until Ctrl-C. Then it takes no
//! more clients, tells those that are there of the end, and gives them [`GRACE`] to hear what is kept for them
//! and go; a second Ctrl-C does not wait.
//!
//! Two kinds of clients would ruin it for the others, and each meets a limit:
//!
//! - One that says nothing is dropped by the **read deadline** of its socket, which every line it
//!   says moves on. That costs a store, not a timer.
//! - One that reads too slowly has what it misses kept for it, up to [`OUTBOX_BYTES_MAX`]; then it is
//!   dropped. Nobody waits for it: saying a line to the room never blocks.
//!
//! A client is one task that reads. Writing needs none as long as the socket takes what there is;
//! when it does not, a second task brings the rest, and ends. A visit is over when that has ended too.
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
use reactor::{JoinHandle, JoinSet, Signal, SignalKind, signal};

/// What is kept for a client that reads slowly, beside what its socket holds.
const OUTBOX_BYTES_MAX: usize = 256 * 1024;
/// The longest line a client may say, without its end.
const LINE_BYTES_MAX: usize = 4096;
const IDLE_S_MAX: usize = 24 * 3600;
/// How long a client that goes has for what is kept for it, and all of them when the server ends.
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
    examples::exit_code(reactor::block_on(run(address, idle)).flatten())
}

fn settings() -> Result<(SocketAddr, Duration), String> {
    let arguments = Arguments::of_process(&USAGE);
    let idle_s = arguments.number("--idle-s", 300, IDLE_S_MAX)?;
    Ok((arguments.address()?, Duration::from_secs(idle_s as u64)))
}

async fn run(address: SocketAddr, idle: Duration) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    serve(listener, signal(SignalKind::INTERRUPT)?, idle).await
}

async fn serve(listener: TcpListener, mut interrupt: Signal, idle: Duration) -> io::Result<()> {
    let room = Rc::new(Room::default());
    let mut visits = JoinSet::new();
    let mut incoming = listener.incoming();
    loop {
        // `select` asks the first one first, and clients may come without end.
        let (stream, peer) = match select(pin!(interrupt.recv()), pin!(incoming.next())).await {
            Either::Left((asked, _)) => break asked?,
            Either::Right((accepted, _)) => accepted?,
        };
        // Here and not in its visit, which has yet to begin: whoever was taken is seen off.
        let client = room.enter(stream, peer);
        visits.spawn(visit(Rc::clone(&room), client, idle));
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
async fn visit(room: Rc<Room>, client: Rc<Client>, idle: Duration) {
    let (id, peer) = (client.id, client.peer);
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
    client.hear_the_rest().await;
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
    fn enter(&self, stream: TcpStream, peer: SocketAddr) -> Rc<Client> {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let client = Rc::new(Client {
            id,
            peer,
            stream,
            outbox: RefCell::default(),
            bytes: Cell::new(0),
            catching_up: Cell::new(None),
        });
        self.clients.borrow_mut().insert(id, Rc::clone(&client));
        client
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
    id: u64,
    peer: SocketAddr,
    stream: TcpStream,
    /// What the socket did not take, and a task is to bring. Empty while there is no such task.
    outbox: RefCell<VecDeque<Rc<[u8]>>>,
    /// The bytes in the outbox.
    bytes: Cell<usize>,
    /// The last such task.
    catching_up: Cell<Option<JoinHandle<()>>>,
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
            self.catching_up.set(Some(reactor::spawn(Rc::clone(self).catch_up())));
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

    /// Waits until it has what is kept for it, or cannot have it, or did not take it in time.
    async fn hear_the_rest(&self) {
        self.stream.set_write_deadline(Some(now() + GRACE));
        if let Some(catching_up) = self.catching_up.take() {
            let _ = catching_up.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::Command;

    const IDLE: Duration = Duration::from_secs(300);

    fn run_virtual(test: impl Future<Output = io::Result<()>>) {
        let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
        runtime.block_on(test).unwrap();
    }

    /// A server's ear for Ctrl-C, which has been pressed before anybody listened to it.
    async fn pressed_already() -> io::Result<Signal> {
        let interrupt = signal(SignalKind::INTERRUPT)?;
        let mut witness = signal(SignalKind::INTERRUPT)?;
        Command::new("sh").args(["-c", "kill -INT $PPID"]).status()?;
        witness.recv().await?;
        Ok(interrupt)
    }

    #[test]
    fn a_client_that_comes_together_with_ctrl_c_does_not_cost_the_whole_grace() {
        run_virtual(async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
            let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
            let interrupt = pressed_already().await?;
            let start = now();
            serve(listener, interrupt, IDLE).await?;
            assert_eq!(now(), start);
            assert!(client.read(&mut [0]).is_err(), "Ctrl-C is heard first");
            Ok(())
        });
    }

    /// A room with a visitor whom the test does not let read yet, and the visitor's own end.
    async fn visited() -> io::Result<(Rc<Room>, Rc<Client>, JoinSet<()>, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
        let visitor = TcpStream::connect(listener.local_addr()?).await?;
        let (stream, peer) = listener.accept().await?;
        let (room, mut visits) = (Rc::new(Room::default()), JoinSet::new());
        let client = room.enter(stream, peer);
        visits.spawn(visit(Rc::clone(&room), Rc::clone(&client), IDLE));
        Ok((room, client, visits, visitor))
    }

    /// Says lines until half of what may be kept for a client is, and returns how much that was.
    fn say_much(room: &Room, client: &Client) -> usize {
        let mut said = 0;
        while client.bytes.get() < OUTBOX_BYTES_MAX / 2 {
            room.say(0, vec![b'x'; LINE_BYTES_MAX]);
            said += LINE_BYTES_MAX;
        }
        said
    }

    #[test]
    fn who_has_entered_is_seen_off_before_the_visit_begins() {
        run_virtual(async {
            let (room, _client, mut visits, _visitor) = visited().await?;
            let start = now();
            room.see_off();
            while visits.join_next().await.is_some() {}
            assert_eq!(now(), start);
            Ok(())
        });
    }

    #[test]
    fn a_client_that_is_behind_at_the_end_hears_the_rest_before_its_visit_is_over() {
        let test = async {
            let (room, client, mut visits, visitor) = visited().await?;
            let said = say_much(&room, &client);
            room.see_off();
            let over = reactor::spawn(async move { visits.join_next().await.unwrap().unwrap() });
            let (mut heard, mut buffer) = (0, vec![0; LINE_BYTES_MAX]);
            while client.is_behind() {
                assert!(!over.is_finished());
                heard += visitor.read(&mut buffer).await?;
            }
            over.await.unwrap();
            drop((room, client));
            while let n @ 1.. = visitor.read(&mut buffer).await? {
                heard += n;
            }
            assert_eq!(heard, said);
            Ok::<_, io::Error>(())
        };
        // Not in virtual time: the kernel's own pauses would use up the grace.
        reactor::block_on(test).unwrap().unwrap();
    }

    #[test]
    fn a_client_that_is_behind_and_takes_nothing_goes_after_the_grace() {
        run_virtual(async {
            let (room, client, mut visits, _visitor) = visited().await?;
            say_much(&room, &client);
            let start = now();
            room.see_off();
            while visits.join_next().await.is_some() {}
            assert_eq!(now() - start, GRACE);
            Ok(())
        });
    }
}
