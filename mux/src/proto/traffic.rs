//! What the application reads and writes.

use std::io::{IoSlice, IoSliceMut};
use std::task::{Poll, ready};

use bytes::Bytes;

use super::session::Session;
use super::stream::{End, Key};
use crate::Error;

impl Session {
    /// Reads what is there; `Ok(0)` at the end. Buffered data comes before any error.
    pub(crate) fn read(&mut self, key: Key, buf: &mut [u8]) -> Poll<Result<usize, Error>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let stream = self.stream(key);
        if stream.read_expired {
            return Poll::Ready(Err(Error::DeadlineExceeded));
        }
        match stream.recv.read(buf) {
            0 => self.why_empty(key).map_ok(|()| 0),
            read => {
                self.consumed(key, read);
                Poll::Ready(Ok(read))
            }
        }
    }

    /// The same into several buffers, one after the other.
    pub(crate) fn read_vectored(
        &mut self,
        key: Key,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<Result<usize, Error>> {
        let mut total = 0;
        for buf in bufs.iter_mut().filter(|buf| !buf.is_empty()) {
            match self.read(key, buf) {
                Poll::Ready(Ok(read)) if read > 0 => total += read,
                // The end and errors come alone, when all that has arrived is read.
                nothing if total == 0 => return nothing,
                _ => break,
            }
        }
        Poll::Ready(Ok(total))
    }

    /// Takes the next chunk as it is; `None` at the end.
    pub(crate) fn read_bytes(&mut self, key: Key) -> Poll<Result<Option<Bytes>, Error>> {
        let stream = self.stream(key);
        if stream.read_expired {
            return Poll::Ready(Err(Error::DeadlineExceeded));
        }
        match stream.recv.pop(usize::MAX) {
            None => self.why_empty(key).map_ok(|()| None),
            Some(chunk) => {
                self.consumed(key, chunk.len());
                Poll::Ready(Ok(Some(chunk)))
            }
        }
    }

    /// `Ok` at the end of the stream.
    fn why_empty(&mut self, key: Key) -> Poll<Result<(), Error>> {
        let stream = &self.streams[key.index as usize];
        match stream.cause {
            Some(cause) if cause.is_local() && !stream.fin_received => {
                return Poll::Ready(Err(cause.error(&self.config)));
            }
            _ if stream.fin_received => return Poll::Ready(Ok(())),
            Some(cause) => return Poll::Ready(Err(cause.error(&self.config))),
            None => {}
        }
        self.fate.clone().map_or(Poll::Pending, |err| Poll::Ready(Err(err)))
    }

    fn consumed(&mut self, key: Key, bytes: usize) {
        self.unread -= bytes;
        // At most the window, which is 32 bits wide.
        self.stream(key).window.consume(bytes as u32);
        self.update_later(key);
    }

    /// How many of `wanted` bytes can be written now, at least 1.
    pub(crate) fn poll_room(&mut self, key: Key, wanted: usize) -> Poll<Result<usize, Error>> {
        if let Some(err) = self.why_no_write(key) {
            return Poll::Ready(Err(err));
        }
        let max = self.config.send_queue_bytes_max;
        let stream = self.stream(key);
        if stream.write_expired {
            return Poll::Ready(Err(Error::DeadlineExceeded));
        }
        match max.saturating_sub(stream.send.len()) {
            0 => Poll::Pending,
            room => self.poll_turn(key, wanted, room).map(Ok),
        }
    }

    pub(super) fn why_no_write(&mut self, key: Key) -> Option<Error> {
        let stream = &self.streams[key.index as usize];
        if let Some(cause) = stream.cause {
            return Some(cause.error(&self.config));
        }
        self.why_ended().or((stream.end != End::Open).then_some(Error::WriteAfterShutdown))
    }

    /// Queues a copy of as much as can be written now, at least one byte of several.
    pub(crate) fn write_vectored(
        &mut self,
        key: Key,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        let room = ready!(self.poll_room(key, wanted))?.min(wanted);
        let mut left = room;
        for buf in bufs {
            let part = &buf[..buf.len().min(left)];
            self.write(key, part);
            left -= part.len();
        }
        Poll::Ready(Ok(room))
    }

    /// Queues a copy. Only after [`poll_room`](Self::poll_room), and not more than that.
    pub(crate) fn write(&mut self, key: Key, data: &[u8]) {
        let stream = self.stream(key);
        let before = stream.sendable_bytes();
        stream.send.push_slice(data);
        self.unsent += data.len();
        self.queued(key, before);
    }

    /// Queues a chunk of any size, and leaves in `data` what the caller has to drop. Only after
    /// [`poll_room`](Self::poll_room).
    pub(crate) fn write_bytes(&mut self, key: Key, data: &mut Bytes) {
        let stream = self.stream(key);
        let before = stream.sendable_bytes();
        let bytes = data.len();
        stream.send.push_bytes(data);
        self.unsent += bytes;
        self.queued(key, before);
    }

    /// Whether everything written, and the FIN behind it, has been taken to be sent.
    pub(crate) fn poll_flushed(&mut self, key: Key) -> Poll<Result<(), Error>> {
        let stream = &self.streams[key.index as usize];
        if let Some(cause) = stream.cause {
            return Poll::Ready(Err(cause.error(&self.config)));
        }
        if !stream.cut && !stream.is_unsent() {
            return Poll::Ready(Ok(()));
        }
        if stream.write_expired {
            return Poll::Ready(Err(Error::DeadlineExceeded));
        }
        self.leave_writers(key);
        self.fate.clone().map_or(Poll::Pending, |err| Poll::Ready(Err(err)))
    }

    /// Queues the FIN behind what was written. Doing so again is no error.
    pub(crate) fn shutdown(&mut self, key: Key) -> Result<(), Error> {
        match self.why_no_write(key) {
            None => {
                self.stream(key).end = End::Fin;
                self.activate(key);
                Ok(())
            }
            Some(Error::WriteAfterShutdown) => Ok(()),
            Some(err) => Err(err),
        }
    }

    /// Whether nobody will read what is written: an error says why. `Ok` once both directions have
    /// ended in order.
    pub(crate) fn poll_stopped(&mut self, key: Key) -> Poll<Result<(), Error>> {
        let stream = &self.streams[key.index as usize];
        if let Some(cause) = stream.cause {
            return Poll::Ready(Err(cause.error(&self.config)));
        }
        if stream.state.is_over() {
            return Poll::Ready(Ok(()));
        }
        self.fate.clone().map_or(Poll::Pending, |err| Poll::Ready(Err(err)))
    }
}
