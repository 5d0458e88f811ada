//! The protocol core at the level of bytes, in virtual time.

mod anything;
mod attacks;
mod hostile;
mod life;
mod limits;
mod timeouts;
mod transfer;
mod turns;

use std::io::IoSlice;
use std::task::Poll;
use std::time::Instant;

use super::code::{GoAwayCode, ResetCode};
use super::frame::{Flags, HEADER_BYTES, Header, Kind};
use super::session::{Phase, Role, Session};
use super::stream::Key;
use super::violation::Rule;
use super::window::WINDOW_BYTES_INITIAL;
use crate::{Config, Error, Initiator};

pub(super) fn client() -> Session {
    client_with(Config::default())
}

pub(super) fn client_with(config: Config) -> Session {
    Session::new(Role::Client, config, Instant::now())
}

pub(super) fn server() -> Session {
    server_with(Config::default())
}

pub(super) fn server_with(config: Config) -> Session {
    Session::new(Role::Server, config, Instant::now())
}

pub(super) fn frame(kind: Kind, flags: Flags, stream_id: u32, length: u32) -> Vec<u8> {
    Header { kind, flags, stream_id, length }.encode().to_vec()
}

pub(super) fn data(flags: Flags, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(Kind::Data, flags, stream_id, payload.len() as u32);
    bytes.extend_from_slice(payload);
    bytes
}

/// A window update of length 0: SYN, ACK, FIN or RST by themselves.
pub(super) fn flag(flags: Flags, stream_id: u32) -> Vec<u8> {
    frame(Kind::WindowUpdate, flags, stream_id, 0)
}

/// Everything that the session has to say now, as bytes.
pub(super) fn take(session: &mut Session) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        session.fill();
        if session.outbox.is_empty() {
            session.admit_writers();
            return bytes;
        }
        let mut slices = [IoSlice::new(&[]); 16];
        let count = session.outbox.slices(&mut slices);
        let before = bytes.len();
        slices[..count].iter().for_each(|slice| bytes.extend_from_slice(slice));
        let written = bytes.len() - before;
        write(session, written);
    }
}

/// The connection takes so many bytes.
pub(super) fn write(session: &mut Session, bytes: usize) {
    let mut outbox = session.lend_outbox();
    outbox.advance(bytes);
    session.return_outbox(outbox, true);
}

/// Everything that the session has to say now, as frames with their payload.
pub(super) fn take_frames(session: &mut Session) -> Vec<(Header, Vec<u8>)> {
    let bytes = take(session);
    let (mut rest, mut frames) = (&bytes[..], Vec::new());
    while let Some((head, tail)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::decode(head).unwrap();
        let payload = if header.kind == Kind::Data { header.length as usize } else { 0 };
        frames.push((header, tail[..payload].to_vec()));
        rest = &tail[payload..];
    }
    assert!(rest.is_empty(), "half a header");
    frames
}

/// The same without payload, as text.
pub(super) fn take_text(session: &mut Session) -> Vec<String> {
    take_frames(session).iter().map(|(header, _)| header.to_string()).collect()
}

pub(super) fn ready<T>(poll: Poll<Result<T, Error>>) -> T {
    match poll {
        Poll::Ready(outcome) => outcome.unwrap(),
        Poll::Pending => panic!("pending"),
    }
}

pub(super) fn error<T>(poll: Poll<Result<T, Error>>) -> Error {
    match poll {
        Poll::Ready(Ok(_)) => panic!("no error"),
        Poll::Ready(Err(err)) => err,
        Poll::Pending => panic!("pending"),
    }
}

/// Reads all that is there; `true` beside it if the end of the stream is.
pub(super) fn read_all(session: &mut Session, key: Key) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match session.read_bytes(key) {
            Poll::Ready(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
            Poll::Ready(Ok(None)) => return (bytes, true),
            Poll::Ready(Err(_)) | Poll::Pending => return (bytes, false),
        }
    }
}

/// Gives each side what the other has to say, until both are silent.
pub(super) fn exchange(a: &mut Session, b: &mut Session) {
    loop {
        let (from_a, from_b) = (take(a), take(b));
        if from_a.is_empty() && from_b.is_empty() {
            return;
        }
        b.feed(&from_a);
        a.feed(&from_b);
    }
}

/// A client and a server with one stream that is open and acknowledged.
pub(super) fn connected() -> (Session, Key, Session, Key) {
    connected_with(untuned())
}

/// Windows that do not grow: no ping comes between what a test looks at.
pub(super) fn untuned() -> Config {
    Config { window_bytes_max: 0, ..Config::default() }
}

pub(super) fn connected_with(config: Config) -> (Session, Key, Session, Key) {
    let mut near = client_with(config.clone());
    let mut far = server_with(config);
    let opened = ready(near.open());
    exchange(&mut near, &mut far);
    let accepted = ready(far.accept());
    exchange(&mut near, &mut far);
    (near, opened, far, accepted)
}

#[track_caller]
pub(super) fn assert_empty(session: &Session) {
    assert_eq!(session.stream_counts(), (0, 0), "streams left");
    assert!(session.streams.is_empty() && session.ids.is_empty() && session.backlog.is_empty());
    assert!(session.is_quiet() && session.active.is_empty() && session.writers.is_empty());
    let books = (session.unread, session.reserved, session.sendable, session.unsent);
    assert_eq!(books, (0, 0, 0, 0), "bytes left in the books");
}

#[track_caller]
pub(super) fn assert_violation(session: &mut Session, rule: Rule, bad: &[u8]) {
    match &session.fate {
        Some(Error::Protocol(violation)) => {
            assert_eq!(violation.rule(), rule);
            assert_eq!(violation.frame()[..], bad[..HEADER_BYTES]);
        }
        other => panic!("expected {rule:?}, got {other:?}"),
    }
    let said = take_text(session);
    assert_eq!(said.last().unwrap(), "GoAway 0x0 stream 0 length 1");
    assert_eq!(session.phase(), Phase::HangUp);
    session.feed_end();
    assert!(matches!(session.poll_over(), Poll::Ready(Err(Error::Protocol(_)))));
}
