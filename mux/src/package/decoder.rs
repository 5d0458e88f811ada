//! Bytes in, whole packages out.

use bytes::{Buf, Bytes};

use super::{Format, Malformed};

/// Turns the bytes of a connection into packages, however they are cut. It does no I/O.
///
/// It holds at most the one package that has begun, no more of it than has come, and gives each as
/// soon as it is whole: what it has not looked at stays with who feeds it. A package that comes in
/// one [`Bytes`] is a part of these and not copied; one that comes in pieces is put together, in a
/// buffer that grows with what has come, never with what a header says.
///
/// ```
/// use bytes::Bytes;
/// use mux::package::{Decoder, Format};
///
/// let mut decoder = Decoder::new(Format::STREAM);
/// let mut input = Bytes::from_static(b"\0\0\0\x05hello\0\0\0\0\0\0");
/// assert_eq!(decoder.decode(&mut input).unwrap().unwrap().body(), b"hello");
/// assert!(decoder.decode(&mut input).unwrap().unwrap().is_empty());
/// assert!(decoder.decode(&mut input).unwrap().is_none()); // two bytes of a header
/// assert_eq!(
///     decoder.end().unwrap_err().to_string(),
///     "a package cut off after 2 bytes, within its header, at byte 13",
/// );
/// ```
#[derive(Debug)]
pub struct Decoder {
    format: Format,
    /// The beginning of a package whose end has not come.
    partial: Vec<u8>,
    /// Where the next package begins.
    offset: u64,
    broken: Option<Malformed>,
}

impl Decoder {
    /// One for packages of this format.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, partial: Vec::new(), offset: 0, broken: None }
    }

    /// Takes from `input` up to the end of the next package. `None`: it took everything, and there
    /// is no whole package.
    ///
    /// # Errors
    /// What is wrong with the package, and from then on always the same: where the next package
    /// begins is not known. What `input` holds then is not said.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Package>, Malformed> {
        if self.partial.is_empty()
            && let Some(bytes) = self.package_bytes(input)?
            && input.len() >= bytes
        {
            return Ok(Some(self.package(input.split_to(bytes))));
        }
        let mut rest = &input[..];
        let outcome = self.decode_slice(&mut rest);
        let taken = input.len() - rest.len();
        input.advance(taken);
        outcome
    }

    /// [`decode`](Self::decode) from borrowed bytes. Packages are copied.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_slice(&mut self, input: &mut &[u8]) -> Result<Option<Package>, Malformed> {
        self.complete(self.format.field_end(), input);
        let partial = std::mem::take(&mut self.partial);
        let known = self.package_bytes(&partial);
        self.partial = partial;
        let Some(bytes) = known? else { return Ok(None) };
        self.complete(bytes, input);
        if self.partial.len() < bytes {
            return Ok(None);
        }
        // It is exactly as large as the package by now, so this neither copies nor shrinks it.
        let package = std::mem::take(&mut self.partial);
        Ok(Some(self.package(package.into())))
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// [`Malformed::CutOff`] within a package; what was wrong before.
    pub fn end(&mut self) -> Result<(), Malformed> {
        let known = self.format.package_bytes(&self.partial, self.offset);
        match (self.broken, known) {
            (Some(broken), _) => Err(broken),
            (None, Ok(_)) if self.partial.is_empty() => Ok(()),
            (None, known) => {
                let have = self.partial.len() as u64;
                let length = known.ok().flatten().map(|bytes| bytes as u64);
                Err(Malformed::CutOff { offset: self.offset, have, length })
            }
        }
    }

    /// Bytes of a package whose end has not come.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.partial.len()
    }

    fn package_bytes(&mut self, start: &[u8]) -> Result<Option<usize>, Malformed> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let known = self.format.package_bytes(start, self.offset);
        self.broken = known.err();
        known
    }

    fn package(&mut self, bytes: Bytes) -> Package {
        self.offset += bytes.len() as u64;
        Package { bytes, header_bytes: self.format.header_bytes() }
    }

    /// Takes what the partial package lacks of `wanted` bytes.
    ///
    /// The buffer doubles, and never goes beyond the package: its capacity is at most twice what
    /// has come, and that of the package when half of it has. (A `BytesMut` would round it up.)
    fn complete(&mut self, wanted: usize, input: &mut &[u8]) {
        let have = self.partial.len();
        let (part, rest) = input.split_at(wanted.saturating_sub(have).min(input.len()));
        let needed = have + part.len();
        if needed > self.partial.capacity() {
            self.partial.reserve_exact((2 * have).max(needed).min(wanted) - have);
        }
        self.partial.extend_from_slice(part);
        *input = rest;
    }
}

/// A whole package.
///
/// Cheap to clone: the clones share the bytes. Of one that came in a large piece it keeps that
/// piece alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    bytes: Bytes,
    header_bytes: usize,
}

impl Package {
    /// What stands before the body, the length among it.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.bytes[..self.header_bytes]
    }

    /// What it carries.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.header_bytes..]
    }

    /// What it carries, by itself.
    #[must_use]
    pub fn into_body(mut self) -> Bytes {
        self.bytes.split_off(self.header_bytes)
    }

    /// The whole package, as it came: what Swoole's `onReceive` is given.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether it carries nothing. In the stream mode that ends a reply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_never_goes_beyond_the_package_nor_beyond_twice_what_has_come() {
        for (length, piece) in [(2_000_000_u32, 70_000), (100_000, 999), (5, 1), (70_001, 70_000)] {
            let mut decoder = Decoder::new(Format::STREAM);
            let whole = [&length.to_be_bytes()[..], &vec![7; length as usize]].concat();
            for mut input in whole.chunks(piece) {
                let package = decoder.decode_slice(&mut input).unwrap();
                let (have, held) = (decoder.partial.len(), decoder.partial.capacity());
                assert!(held <= whole.len() && held <= 2 * have.max(8), "{held} for {have}");
                assert_eq!(package.is_some(), have == 0);
            }
            assert_eq!(decoder.buffered_bytes(), 0);
        }
    }
}
