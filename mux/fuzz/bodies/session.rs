//! A session whose peer says anything, whose connection takes and gives anything, and whose
//! application does anything, as the input says: it is a program of one-byte instructions with
//! operands.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use mux::WINDOW_BYTES_INITIAL;
use mux::{Config, Driver, Error, Flags, HEADER_BYTES, Header, Kind, Session, Stream};

use super::wire::{Referee, Side};

/// Streams that the application holds at most; a further instruction to take one does nothing.
const HANDLES_MAX: usize = 16;

/// Polls of the driver in a row that read nothing, each of which may write a few times.
const IDLE_POLLS: usize = 16;

/// Runs the program. Whatever it is, nothing panics or spins, what the session says is in order,
/// reading never waits for writing, the limits hold, and nothing is left in the end.
///
/// Whether it ends for the right reason is for the simulation to say: of streams whose ids are used again in every
/// way, as the inputs here do, the wire does not show enough.
pub fn session(input: &[u8]) {
    let runtime = reactor::Runtime::builder().paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut input = Input(input);
        let mut play = Play::new(&mut input);
        while let Some(instruction) = input.next() {
            play.step(instruction, &mut input).await;
            play.check();
        }
        play.end().await;
    });
}

/// What is left of the program.
struct Input<'i>(&'i [u8]);

impl Input<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// An operand; 0 behind the end.
    fn operand(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    /// One of a few numbers around which things change.
    fn number(&mut self) -> u32 {
        let window = WINDOW_BYTES_INITIAL;
        let byte = self.operand();
        match byte {
            0..0xE0 => u32::from(byte & 0x1F),
            0xE0..0xF0 => window + u32::from(byte & 7) - 4,
            0xF0..0xF8 => 20_000,
            _ => u32::MAX - u32::from(byte & 7),
        }
    }
}

/// The connection, as the driver sees it.
struct Pipe {
    incoming: VecDeque<u8>,
    ended: bool,
    /// Bytes that it still takes.
    room: usize,
    referee: Referee,
}

struct Io(Rc<RefCell<Pipe>>);

/// Wakes nobody when it is ready: the driver is polled after each instruction that asks for it.
impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let pipe = &mut *self.0.borrow_mut();
        if pipe.incoming.is_empty() {
            return if pipe.ended { Poll::Ready(Ok(0)) } else { Poll::Pending };
        }
        let n = io::Read::read(&mut pipe.incoming, buf)?;
        pipe.referee.heard(&buf[..n]);
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let pipe = &mut *self.0.borrow_mut();
        let n = buf.len().min(pipe.room);
        if n == 0 {
            return Poll::Pending;
        }
        pipe.room -= n;
        pipe.referee.said(&buf[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Play {
    side: Side,
    config: Config,
    /// Gone when the application has dropped it.
    session: Option<Session>,
    driver: Driver<Io>,
    outcome: Option<Result<(), Error>>,
    streams: Vec<Stream>,
    pipe: Rc<RefCell<Pipe>>,
}

impl Play {
    fn new(input: &mut Input<'_>) -> Self {
        let options = input.operand();
        let side = if options & 1 == 0 { Side::Client } else { Side::Server };
        let config = Config {
            window_bytes: WINDOW_BYTES_INITIAL + u32::from(options & 2) * 500,
            // Windows may grow, and memory run out.
            window_bytes_max: if options & 8 == 0 { 0 } else { 1 << 20 },
            receive_bytes_max: if options & 16 == 0 { 1 << 30 } else { 300_000 },
            // Writers stand in line.
            send_bytes_max: if options & 32 == 0 { 256 * 1024 } else { 5000 },
            accept_backlog_max: 2,
            inbound_streams_max: 3,
            outbound_streams_max: 3,
            unacked_opens_max: 2,
            pongs_queued_max: 2,
            resets_queued_max: 2,
            empty_frames_max: 8,
            keepalive: (options & 4 != 0).then_some(Duration::from_secs(30)),
            stream_close_timeout: Duration::from_secs(15),
            ..Config::default()
        };
        let mut referee = Referee::new(side, &config);
        referee.is_told_nothing();
        let pipe = Pipe { incoming: VecDeque::new(), ended: false, room: 1000, referee };
        let pipe = Rc::new(RefCell::new(pipe));
        let io = Io(Rc::clone(&pipe));
        let (session, driver) = match side {
            Side::Client => Session::client(io, config.clone()),
            Side::Server => Session::server(io, config.clone()),
        };
        let (session, outcome, streams) = (Some(session), None, Vec::new());
        Self { side, config, session, driver, outcome, streams, pipe }
    }

    async fn step(&mut self, instruction: u8, input: &mut Input<'_>) {
        match instruction % 16 {
            0..6 => self.frame(input),
            6 => {
                let bytes = (0..input.operand() % 32).map(|_| input.operand());
                self.pipe.borrow_mut().incoming.extend(bytes);
            }
            7 => self.drive(),
            8 => self.pipe.borrow_mut().room += input.number() as usize,
            9 => self.take(Session::open),
            10 => self.take(Session::accept),
            11 => self.read(input.operand()),
            12 => self.write(input),
            13 => self.finish(input.operand()),
            14 => self.control(input.operand()),
            _ => {
                let seconds = u64::from(input.operand() % 40);
                reactor::time::sleep(Duration::from_secs(seconds)).await;
                self.drive();
            }
        }
    }

    /// The peer says a frame, all of it or not. Most are for streams that may well be there.
    fn frame(&mut self, input: &mut Input<'_>) {
        let (what, which) = (input.operand(), input.operand());
        let kind =
            [Kind::Data, Kind::WindowUpdate, Kind::Ping, Kind::GoAway][usize::from(what & 3)];
        let flags = Flags::of(u16::from(what >> 2 & 0x1F));
        let stream_id = match kind {
            Kind::Data | Kind::WindowUpdate => u32::from(which & 7),
            Kind::Ping | Kind::GoAway => 0,
        };
        let length = input.number();
        let payload = match kind {
            // The rest of a long frame may be whatever comes next.
            Kind::Data if which & 8 == 0 => {
                (length as usize).min(2 * WINDOW_BYTES_INITIAL as usize)
            }
            Kind::Data => (length as usize).min(7),
            _ => 0,
        };
        let header = Header { kind, flags, stream_id, length };
        let incoming = &mut self.pipe.borrow_mut().incoming;
        incoming.extend(header.encode());
        incoming.extend(std::iter::repeat_n(0xDA, payload));
        if which & 16 != 0 {
            let short = incoming.len() - incoming.len().min(HEADER_BYTES / 2);
            incoming.truncate(short);
        }
    }

    /// Polls the driver until nothing comes of it, whatever the connection takes.
    fn drive(&mut self) {
        let mut idle = 0;
        while self.outcome.is_none() && idle < IDLE_POLLS {
            let incoming = self.pipe.borrow().incoming.len();
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(outcome) = Pin::new(&mut self.driver).poll(&mut cx) {
                self.outcome = Some(outcome);
            }
            idle = if self.pipe.borrow().incoming.len() < incoming { 0 } else { idle + 1 };
        }
        assert!(self.outcome.is_some() || self.pipe.borrow().incoming.is_empty(), "reading waits");
    }

    fn take<'s, F>(&'s mut self, ask: impl FnOnce(&'s Session) -> F)
    where
        F: Future<Output = Result<Stream, Error>>,
    {
        let Some(session) = &self.session else { return };
        if self.streams.len() < HANDLES_MAX
            && let Some(Ok(stream)) = once(ask(session))
        {
            self.streams.push(stream);
        }
    }

    fn chosen(&self, which: u8) -> Option<usize> {
        (!self.streams.is_empty()).then(|| usize::from(which) % self.streams.len())
    }

    fn read(&self, which: u8) {
        let Some(stream) = self.chosen(which).map(|i| &self.streams[i]) else { return };
        let read = once(stream.read_bytes());
        assert!(
            read.is_some() || self.outcome.is_none(),
            "a read waits for a session that is over"
        );
        if let Some(Ok(Some(chunk))) = read {
            assert!(!chunk.is_empty());
            self.pipe.borrow_mut().referee.read(stream.id(), chunk.len());
        }
    }

    fn write(&self, input: &mut Input<'_>) {
        let (which, bytes) = (input.operand(), input.number() as usize % 100_000);
        let Some(stream) = self.chosen(which).map(|i| &self.streams[i]) else { return };
        let written = once(stream.write_bytes(vec![0xAD; bytes].into()));
        assert!(written.is_some() || self.outcome.is_none(), "a write waits for a dead session");
    }

    fn finish(&mut self, operand: u8) {
        let Some(i) = self.chosen(operand >> 2) else { return };
        match operand & 3 {
            0 => drop(self.streams[i].shutdown()),
            1 => self.streams[i].reset(u32::from(operand)),
            _ => drop(self.streams.swap_remove(i)),
        }
    }

    fn control(&mut self, operand: u8) {
        let Some(session) = &self.session else { return };
        match operand % 16 {
            0 => session.go_away(),
            1 => drop(once(session.close())),
            4 => drop(once(session.drain(Duration::from_secs(5)))),
            2 => self.session = None,
            3 => self.pipe.borrow_mut().ended = true,
            _ => drop(once(session.ping())),
        }
    }

    fn check(&self) {
        let Some(session) = &self.session else { return };
        let (inbound, outbound) = (session.inbound_streams(), session.outbound_streams());
        assert!(inbound <= self.config.inbound_streams_max, "{inbound} streams of the peer");
        assert!(outbound <= self.config.outbound_streams_max, "{outbound} streams of ours");
        let (stats, config) = (session.stats(), &self.config);
        assert!(stats.unread_bytes <= config.receive_bytes_max, "{stats:?}");
        assert!(stats.window_bytes_extra <= config.receive_bytes_max, "{stats:?}");
        assert!(stats.backlog <= config.accept_backlog_max, "{stats:?}");
        // Two for each stream, its reset among them or beside them; pongs, a ping and a GoAway.
        let streams = config.inbound_streams_max + config.outbound_streams_max;
        let control_max = 3 * streams + config.resets_queued_max + config.pongs_queued_max + 2;
        assert!(stats.control_queue <= control_max, "{stats:?}");
        for stream in &self.streams {
            let ours = self.side.opens(stream.id());
            assert!(stream.id() != 0 && (ours || inbound > 0), "stream {} is lost", stream.id());
        }
    }

    /// The peer hangs up and takes what comes; all handles go.
    async fn end(mut self) {
        self.pipe.borrow_mut().room = usize::MAX;
        self.drive();
        self.pipe.borrow_mut().ended = true;
        self.drive();
        assert!(self.outcome.is_some(), "the connection has ended, and the session has not");
        for i in 0..self.streams.len() {
            self.read(i as u8);
        }
        self.streams.clear();
        if let Some(session) = &self.session {
            // What had arrived can still be accepted.
            while once(session.accept()).expect("no one waits for a dead session").is_ok() {}
            let stats = session.stats();
            let bytes = stats.unread_bytes + stats.unsent_bytes + stats.window_bytes_extra;
            let streams = stats.inbound_streams + stats.outbound_streams;
            assert_eq!((streams, bytes, stats.control_queue), (0, 0, 0), "{stats:?}");
            assert!(once(session.ping()).is_some_and(|pong| pong.is_err()));
        }
    }
}

/// Polls once, and gives up.
fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
