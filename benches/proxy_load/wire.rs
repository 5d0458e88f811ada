//! One connection: whole frames in, bytes out.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use crate::bolt;

pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    /// To be written.
    pub(crate) out: Vec<u8>,
    /// The beginning of a frame.
    held: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Wire { stream, out: Vec::new(), held: Vec::new() }
    }

    /// Reads all there is and hands on whole frames; whether the connection is still open.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut [u8],
        mut on_frame: impl FnMut(&mut Wire, &[u8]),
    ) -> io::Result<bool> {
        loop {
            let bytes = match self.stream.read(scratch) {
                Ok(0) => return Ok(false),
                Ok(bytes) => &scratch[..bytes],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error),
            };
            if self.held.is_empty() {
                let rest = self.cut(bytes, &mut on_frame);
                self.held.extend_from_slice(rest);
            } else {
                let mut held = std::mem::take(&mut self.held);
                held.extend_from_slice(bytes);
                let rest_bytes = self.cut(&held, &mut on_frame).len();
                held.drain(..held.len() - rest_bytes);
                self.held = held;
            }
        }
    }

    fn cut<'a>(
        &mut self,
        mut bytes: &'a [u8],
        on_frame: &mut impl FnMut(&mut Wire, &[u8]),
    ) -> &'a [u8] {
        while let Some(length) = bolt::frame_bytes(bytes).filter(|length| *length <= bytes.len()) {
            let (frame, rest) = bytes.split_at(length);
            on_frame(self, frame);
            bytes = rest;
        }
        bytes
    }

    /// Writes as much as is taken; the rest when the connection is writable again.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.out.len() {
            match self.stream.write(&self.out[written..]) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A read says so next.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                Err(error) => return Err(error),
            }
        }
        self.out.drain(..written);
        Ok(())
    }
}
