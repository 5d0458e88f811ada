//! Listening for the first bytes of a connection until they say what it speaks.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use net::TcpStream;
use reactor::time;

use crate::codec::{Detected, Protocol, detect};
use crate::drain::Stage;
use crate::limits::DETECTION_TIME_MAX;
use crate::worker::Worker;

/// What a connection was found to be, with all that was read from it.
pub(crate) enum Found {
    /// Frames of this protocol.
    Protocol(Protocol, Vec<u8>),
    /// Something else.
    Unknown(Vec<u8>),
    /// Nothing: it was closed without a byte, or has sent none and the proxy stops.
    Nothing,
    /// Nothing, for as long as a client may be idle.
    Silence,
}

/// Reads until the bytes can be told from all but one of `protocols`.
///
/// A client may take `idle_timeout` before it sends anything; zero is for ever. Once it has begun it has
/// [`DETECTION_TIME_MAX`] to send what is needed to tell; bytes that are too few then, or when the
/// client closes its side, are unknown.
///
/// # Errors
/// Reading failed.
pub(crate) async fn run(
    worker: &Rc<Worker>,
    stream: &TcpStream,
    protocols: &[Protocol],
    idle_timeout: Duration,
) -> io::Result<Found> {
    let mut bytes = Vec::new();
    let patience = if idle_timeout.is_zero() { Duration::MAX } else { idle_timeout };
    let first = {
        let first = pin!(time::timeout(patience, read_more(worker, stream, &mut bytes)));
        worker.drain.unless(Stage::WhenIdle, first).await
    };
    match first {
        None => return Ok(Found::Nothing),
        Some(Err(_too_late)) => return Ok(Found::Silence),
        Some(Ok(Ok(false))) => return Ok(Found::Nothing),
        Some(Ok(more)) => _ = more?,
    }
    let end = time::now() + DETECTION_TIME_MAX;
    loop {
        match detect(&bytes, protocols) {
            Detected::Protocol(protocol) => return Ok(Found::Protocol(protocol, bytes)),
            Detected::Unknown => return Ok(Found::Unknown(bytes)),
            Detected::TooFew => {}
        }
        let left = end.saturating_duration_since(time::now());
        let more = match time::timeout(left, read_more(worker, stream, &mut bytes)).await {
            Ok(more) => more?,
            Err(_too_late) => false,
        };
        if !more {
            return Ok(Found::Unknown(bytes));
        }
    }
}

/// Appends one read; whether there was anything left to read.
async fn read_more(worker: &Worker, stream: &TcpStream, into: &mut Vec<u8>) -> io::Result<bool> {
    poll_fn(|cx| {
        let mut scratch = worker.buffers.take_scratch();
        let read = stream.poll_read(cx, scratch.read_area());
        let read = read.map_ok(|bytes| {
            into.extend_from_slice(&scratch.read_area()[..bytes]);
            bytes > 0
        });
        worker.buffers.put_scratch(scratch);
        read
    })
    .await
}
