//! A small Bolt client: many calls in flight on one connection, each a future.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use net::TcpStream;

use crate::codec::bolt::{self, TooLong};
use crate::codec::{Frame, Kind, LocalReply, Protocol};
use crate::conn::{CloseReason, Conn};
use crate::ids::{Ended, IdTable, IdWidth};
use crate::inbox::{Inbox, Payload, Verdict};
use crate::limits::Limits;
use crate::worker::Worker;

/// Bytes waiting to be written above which [`Client::oneway`] refuses: what nobody waits for must
/// have another limit. Calls are limited by their number.
pub const ONEWAY_BYTES_MAX: usize = 16 << 20;

/// A connection to a Bolt server or proxy. Clones share it; when the last is dropped it closes.
///
/// ```
/// use proxy::client::Call;
/// use proxy::{Client, EchoServer};
///
/// reactor::block_on(async {
///     let server = EchoServer::start("127.0.0.1:0".parse()?)?;
///     let client = Client::connect(server.address()).await?;
///     let answer = client.call(&Call::new(b"hello")).await?;
///     assert_eq!(answer.content(), b"hello");
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Rc<Inner>,
}

/// What to call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Class name.
    pub class: &'a [u8],
    /// Encoded header map, see [`bolt::push_header`].
    pub header: &'a [u8],
    /// Content.
    pub content: &'a [u8],
    /// Time-out that the frame carries, in milliseconds; 0 or less names none. The client itself
    /// waits without limit: [`reactor::time::timeout`] is the limit to put around a call.
    pub timeout_ms: i32,
}

impl<'a> Call<'a> {
    /// A call of this content, with the class name of SOFA's requests and no header.
    pub fn new(content: &'a [u8]) -> Self {
        let class = b"com.alipay.sofa.rpc.core.request.SofaRequest";
        Call { class, header: b"", content, timeout_ms: 0 }
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct Answer {
    frame: Frame,
    bytes: Bytes,
}

impl Answer {
    /// The status, one of [`bolt::status`].
    pub fn status(&self) -> u16 {
        self.frame.status
    }

    /// The class name.
    pub fn class(&self) -> &[u8] {
        &self.bytes[self.frame.class.range()]
    }

    /// The encoded header map.
    pub fn header(&self) -> &[u8] {
        &self.bytes[self.frame.header.range()]
    }

    /// The content.
    pub fn content(&self) -> &[u8] {
        &self.bytes[self.frame.content.range()]
    }
}

/// Why a call has no answer.
#[derive(Debug)]
pub enum CallError {
    /// It cannot be put into a frame.
    TooLong(TooLong),
    /// As many calls as there are ids wait already: [`crate::ids::IN_FLIGHT_MAX`].
    TooMany,
    /// More than [`ONEWAY_BYTES_MAX`] wait to be written already.
    NotReading {
        /// Bytes that wait.
        waiting_bytes: usize,
    },
    /// The connection is closed; the text says why.
    Closed(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::TooLong(error) => error.fmt(f),
            CallError::TooMany => {
                write!(f, "{} calls are waiting already", crate::ids::IN_FLIGHT_MAX)
            }
            CallError::NotReading { waiting_bytes } => {
                write!(f, "the server does not read: {waiting_bytes} bytes wait for it")
            }
            CallError::Closed(why) => write!(f, "no answer: {why}"),
        }
    }
}

impl std::error::Error for CallError {}

struct Inner {
    peer: SocketAddr,
    shared: Rc<Shared>,
}

/// What the client's handles and its task have in common.
struct Shared {
    conn: Conn,
    waiting: RefCell<IdTable<Slot>>,
    /// Why the connection ended.
    ended: RefCell<Option<String>>,
    /// Set when the last handle is gone.
    unused: std::cell::Cell<bool>,
}

enum Slot {
    Waiting(Option<Waker>),
    Answered(Answer),
}

impl Client {
    /// Connects and starts the task that reads and writes. Cancel-safe.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address).await?;
        let worker = Rc::new(Worker::new(Limits::default()));
        let conn = Conn::new(worker, Protocol::Bolt);
        conn.open(stream);
        let shared = Rc::new(Shared {
            conn,
            waiting: RefCell::new(IdTable::new(crate::ids::IN_FLIGHT_MAX, IdWidth::Bits31)),
            ended: RefCell::default(),
            unused: Default::default(),
        });
        reactor::spawn(run(Rc::clone(&shared))).detach();
        Ok(Client { inner: Rc::new(Inner { peer: address, shared }) })
    }

    /// The server's address.
    pub fn peer(&self) -> SocketAddr {
        self.inner.peer
    }

    /// Calls and waits for the answer, whatever its status. Dropping the future forgets the call;
    /// an answer that comes later is dropped.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(&self, call: &Call<'_>) -> Result<Answer, CallError> {
        let shared = &self.inner.shared;
        if let Some(why) = &*shared.ended.borrow() {
            return Err(CallError::Closed(why.clone()));
        }
        let id = shared.waiting.borrow_mut().insert(Slot::Waiting(None));
        let id = id.map_err(|_| CallError::TooMany)?;
        let place = Place { shared, id };
        shared.send(id, call, false)?;
        poll_fn(|cx| place.poll(cx)).await
    }

    /// Calls without wanting an answer; returns when the frame is queued. What is queued is written
    /// while other tasks have their turn: a loop that does not await fills the queue.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn oneway(&self, call: &Call<'_>) -> Result<(), CallError> {
        let shared = &self.inner.shared;
        if let Some(why) = &*shared.ended.borrow() {
            return Err(CallError::Closed(why.clone()));
        }
        let waiting_bytes = shared.conn.output_bytes();
        if waiting_bytes > ONEWAY_BYTES_MAX {
            return Err(CallError::NotReading { waiting_bytes });
        }
        let id = shared.waiting.borrow_mut().unused_id();
        shared.send(id, call, true)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("peer", &self.inner.peer).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.unused.set(true);
        self.shared.conn.wake();
    }
}

/// A call's entry in the table, gone with the call.
struct Place<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Place<'_> {
    fn poll(&self, cx: &Context<'_>) -> Poll<Result<Answer, CallError>> {
        // Wakers are cloned and dropped, here and below, when nothing is borrowed: they may be
        // anybody's.
        let waker = cx.waker().clone();
        let mut waiting = self.shared.waiting.borrow_mut();
        let slot = waiting.get_mut(self.id).expect("an entry stays until its place is dropped");
        if let Slot::Answered(answer) = slot {
            return Poll::Ready(Ok(answer.clone()));
        }
        if let Some(why) = &*self.shared.ended.borrow() {
            return Poll::Ready(Err(CallError::Closed(why.clone())));
        }
        let before = std::mem::replace(slot, Slot::Waiting(Some(waker)));
        drop(waiting);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let removed = self.shared.waiting.borrow_mut().remove(self.id, Ended::GivenUp);
        drop(removed);
    }
}

impl Shared {
    fn send(&self, id: u64, call: &Call<'_>, oneway: bool) -> Result<(), CallError> {
        let request = bolt::Request {
            id: id as u32,
            oneway,
            timeout_ms: call.timeout_ms,
            class: call.class,
            header: call.header,
            content: call.content,
        };
        let mut bytes = Vec::new();
        request.encode(&mut bytes).map_err(CallError::TooLong)?;
        self.conn.queue_copy(&bytes);
        self.conn.wake();
        Ok(())
    }

    fn on_frame(&self, frame: &Frame, payload: &mut Payload<'_>) -> Verdict {
        match frame.kind {
            Kind::Response => self.answered(frame, payload.bytes()),
            Kind::Heartbeat => self.conn.queue_ack(frame.origin),
            // It serves nothing, and says so rather than have the server wait.
            Kind::Request if self.conn.output_bytes() <= ONEWAY_BYTES_MAX => {
                self.conn.queue_reply(frame.origin, &[], LocalReply::NoProcessor);
            }
            _ => {}
        }
        Verdict::Taken
    }

    fn answered(&self, frame: &Frame, bytes: &[u8]) {
        let mut waiting = self.waiting.borrow_mut();
        let Some(slot) = waiting.get_mut(frame.origin.id) else { return };
        let answer = Answer { frame: *frame, bytes: Bytes::copy_from_slice(bytes) };
        let before = std::mem::replace(slot, Slot::Answered(answer));
        drop(waiting);
        if let Slot::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<CloseReason> {
        self.conn.enter(cx);
        if self.unused.get() && self.conn.output_bytes() == 0 {
            return Poll::Ready(CloseReason::Retired);
        }
        if let Poll::Ready(reason) =
            self.conn.poll_receive(cx, inbox, |frame, payload| self.on_frame(frame, payload))
        {
            return Poll::Ready(reason);
        }
        match self.conn.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(CloseReason::Io(error)),
            Poll::Ready(Ok(())) if self.unused.get() => Poll::Ready(CloseReason::Retired),
            _ => Poll::Pending,
        }
    }

    /// Tells all who wait. The answers that have come stay for those who have yet to fetch them.
    fn end(&self, reason: &CloseReason) {
        *self.ended.borrow_mut() = Some(reason.to_string());
        self.conn.close();
        let mut waiting = self.waiting.borrow_mut();
        let wakers: Vec<Waker> = waiting
            .entries_mut()
            .filter_map(|slot| match slot {
                Slot::Waiting(waker) => waker.take(),
                Slot::Answered(_) => None,
            })
            .collect();
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }
}

async fn run(shared: Rc<Shared>) {
    let mut inbox = Inbox::new();
    let reason = poll_fn(|cx| shared.poll(cx, &mut inbox)).await;
    shared.end(&reason);
}
