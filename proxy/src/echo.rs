//! A Bolt server that answers every request with its own content: the upstream of the demo, and
//! something to call while trying things out.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use net::{TcpListener, TcpStream};
use reactor::JoinHandle;

use crate::codec::bolt::{self, status};
use crate::codec::{Frame, Kind, Protocol};
use crate::conn::{CloseReason, Conn};
use crate::inbox::{Inbox, Payload, Verdict};
use crate::limits::Limits;
use crate::worker::Worker;

/// A listening echo server. Dropping it stops the listening; open connections live on.
#[derive(Debug)]
pub struct EchoServer {
    address: SocketAddr,
    answered: Rc<Cell<u64>>,
    task: JoinHandle<()>,
}

impl EchoServer {
    /// Listens on `address`.
    ///
    /// # Errors
    /// The address cannot be listened on.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn start(address: SocketAddr) -> io::Result<EchoServer> {
        let socket = TcpListener::bind(address)?;
        let address = socket.local_addr()?;
        let answered = Rc::new(Cell::new(0));
        let worker = Rc::new(Worker::new(Limits::default()));
        let task = reactor::spawn(accept(socket, worker, Rc::clone(&answered)));
        Ok(EchoServer { address, answered, task })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.get()
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(socket: TcpListener, worker: Rc<Worker>, answered: Rc<Cell<u64>>) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                let echo = Echo::new(stream, &worker, Rc::clone(&answered));
                reactor::spawn(async move {
                    let reason = echo.run().await;
                    log::debug!("echo: client {peer}: {reason}");
                })
                .detach();
            }
            Err(error) => {
                log::warn!("echo: {error}");
                reactor::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// One connection.
struct Echo {
    conn: Conn,
    limits: Limits,
    answered: Rc<Cell<u64>>,
}

impl Echo {
    fn new(stream: TcpStream, worker: &Rc<Worker>, answered: Rc<Cell<u64>>) -> Self {
        let conn = Conn::new(Rc::clone(worker), Protocol::Bolt);
        conn.open(stream);
        Echo { conn, limits: worker.limits, answered }
    }

    async fn run(self) -> CloseReason {
        let mut inbox = Inbox::new();
        let mut answer = Vec::new();
        let reason = poll_fn(|cx| self.poll(cx, &mut inbox, &mut answer)).await;
        self.conn.close();
        reason
    }

    /// Reads while little enough waits to be written.
    fn poll(
        &self,
        cx: &mut Context<'_>,
        inbox: &mut Inbox,
        answer: &mut Vec<u8>,
    ) -> Poll<CloseReason> {
        self.conn.enter(cx);
        loop {
            let flushed = self.conn.poll_flush(cx);
            if let Poll::Ready(Err(error)) = flushed {
                return Poll::Ready(CloseReason::Io(error));
            }
            if self.is_full() {
                return Poll::Pending;
            }
            let on_frame =
                |frame: &Frame, payload: &mut Payload<'_>| self.on_frame(frame, payload, answer);
            if let Poll::Ready(reason) = self.conn.poll_receive(cx, inbox, on_frame) {
                return Poll::Ready(reason);
            }
            // Room to write, or else more to read, is what the next round waits for. With nothing
            // to write nothing is stalled either, and the read has parked.
            if flushed.is_pending() || self.conn.output_bytes() == 0 {
                return Poll::Pending;
            }
        }
    }

    fn is_full(&self) -> bool {
        self.conn.output_bytes() > self.limits.output_high_bytes
    }

    fn on_frame(&self, frame: &Frame, payload: &mut Payload<'_>, answer: &mut Vec<u8>) -> Verdict {
        if self.is_full() {
            return Verdict::Stall;
        }
        match frame.kind {
            Kind::Request => {
                answer.clear();
                let bytes = payload.bytes();
                let response = bolt::Response {
                    id: frame.origin.id as u32,
                    status: status::SUCCESS,
                    class: &bytes[frame.class.range()],
                    header: &bytes[frame.header.range()],
                    content: &bytes[frame.content.range()],
                };
                // Sections of a frame that was within the limits are within them again.
                if response.encode(answer).is_ok() {
                    self.conn.queue_copy(answer);
                }
                self.answered.set(self.answered.get() + 1);
            }
            Kind::Heartbeat => self.conn.queue_ack(frame.origin),
            _ => {}
        }
        Verdict::Taken
    }
}
