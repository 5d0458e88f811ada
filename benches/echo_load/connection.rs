//! One connection: what may leave, what has left, what is back.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use examples::{Histogram, Pattern};
use mio::net::TcpStream;

/// Positions in the stream of bytes, and when each message that is under way was allowed to leave.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// Where in the pattern this connection begins: bytes that stray to another one are noticed.
    offset: u64,
    size_bytes: u64,
    allowed_bytes: u64,
    sent_bytes: u64,
    received_bytes: u64,
    started: VecDeque<Instant>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, index: usize, size_bytes: usize) -> Self {
        Self {
            stream,
            offset: index as u64 * 31,
            size_bytes: size_bytes as u64,
            allowed_bytes: 0,
            sent_bytes: 0,
            received_bytes: 0,
            started: VecDeque::new(),
        }
    }

    /// How many messages are under way.
    pub(crate) fn in_flight(&self) -> u64 {
        self.started.len() as u64
    }

    /// Puts more messages under way; [`Connection::send`] must follow.
    pub(crate) fn allow(&mut self, messages: u64, now: Instant) {
        self.started.extend((0..messages).map(|_| now));
        self.allowed_bytes += messages * self.size_bytes;
    }

    /// Sends until everything that may leave has left or the socket is full.
    pub(crate) fn send(&mut self, pattern: &Pattern) -> io::Result<()> {
        while self.sent_bytes < self.allowed_bytes {
            let left = (self.allowed_bytes - self.sent_bytes).min(Pattern::CHUNK_BYTES as u64);
            let bytes = pattern.chunk(self.offset + self.sent_bytes, left as usize);
            match self.stream.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                sent => self.sent_bytes += sent? as u64,
            }
        }
        Ok(())
    }

    /// Receives what is there and says how many messages became whole.
    pub(crate) fn receive(
        &mut self,
        buffer: &mut [u8],
        pattern: &Pattern,
        latencies: &mut Histogram,
    ) -> io::Result<u64> {
        let whole_before = self.received_bytes / self.size_bytes;
        loop {
            let length = match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                length => length?,
            };
            self.check(&buffer[..length], pattern)?;
            if length < buffer.len() {
                break;
            }
        }
        let whole = self.received_bytes / self.size_bytes - whole_before;
        let now = Instant::now();
        for started in self.started.drain(..whole as usize) {
            latencies.record(now - started);
        }
        Ok(whole)
    }

    fn check(&mut self, bytes: &[u8], pattern: &Pattern) -> io::Result<()> {
        if bytes.is_empty() {
            let text = format!("the server closed with {} messages under way", self.in_flight());
            return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
        }
        let (start, end) = (self.received_bytes, self.received_bytes + bytes.len() as u64);
        if end > self.sent_bytes || !pattern.matches(self.offset + start, bytes) {
            let text = format!("wrong bytes came back between positions {start} and {end}");
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
        self.received_bytes = end;
        Ok(())
    }
}
