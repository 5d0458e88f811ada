//! What a package looks like.

use bytes::{BufMut, Bytes, BytesMut};

use super::{LengthType, Malformed};

/// The longest package unless something else is set, its header included: 2 MiB, as Swoole's
/// `package_max_length` (`SW_INPUT_BUFFER_SIZE` in include/swoole_config.h).
pub const PACKAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a package looks like: a header with the length in it, and a body.
///
/// These are Swoole's settings `package_length_type`, `package_length_offset`,
/// `package_body_offset` and `package_max_length`, and they mean the same: a package has
/// `body_offset` bytes and as many more as the field says.
///
/// ```text
///  |<- length_offset ->|<- field ->|
///  |<------------ body_offset ------------>|<-- what the field says -->|
///  |<- header: up to where both end ------>|<- body ------------------>|
/// ```
///
/// ```
/// use mux::package::{Format, LengthType};
///
/// // The stream mode: four bytes of length, then the body.
/// assert_eq!(&Format::STREAM.encode(b"hello").unwrap()[..], b"\0\0\0\x05hello");
///
/// // A magic number, the length of everything, a command, the body.
/// let format = Format::new(LengthType::Unsigned16Big).length_offset(2).body_offset(0);
/// let mut header = *b"PK..";
/// format.write_length(&mut header, 5).unwrap();
/// assert_eq!(header, *b"PK\0\x09");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    length_type: LengthType,
    length_offset: u16,
    /// `None`: right behind the field.
    body_offset: Option<u16>,
    bytes_max: usize,
}

impl Format {
    /// That of the stream mode: `u32` big-endian, and the body (`Stream::set_protocol` in
    /// src/network/stream.cc).
    pub const STREAM: Self = Self::new(LengthType::Unsigned32Big);

    /// The field comes first, counts what is behind it, and a package has at most
    /// [`PACKAGE_BYTES_MAX`] bytes.
    #[must_use]
    pub const fn new(length_type: LengthType) -> Self {
        Self { length_type, length_offset: 0, body_offset: None, bytes_max: PACKAGE_BYTES_MAX }
    }

    /// How many bytes stand before the field. Default: 0.
    #[must_use]
    pub const fn length_offset(mut self, bytes: u16) -> Self {
        self.length_offset = bytes;
        self
    }

    /// Where what the field counts begins. Default: right behind the field. 0: the field counts the
    /// whole package. Beyond the field's end: the bytes between belong to the header.
    #[must_use]
    pub const fn body_offset(mut self, bytes: u16) -> Self {
        self.body_offset = Some(bytes);
        self
    }

    /// The longest package in bytes, with its header. Default: [`PACKAGE_BYTES_MAX`]. With less
    /// than the header needs there is no package at all.
    #[must_use]
    pub const fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Bytes before the body.
    #[must_use]
    pub const fn header_bytes(&self) -> usize {
        let (field_end, counted_from) = (self.field_end(), self.counted_from());
        if field_end > counted_from { field_end } else { counted_from }
    }

    /// The longest package in bytes, with its header: as it was set, or as much as the field can
    /// say.
    #[must_use]
    pub const fn package_bytes_max(&self) -> usize {
        let said = (self.length_type.max() as usize).saturating_add(self.counted_from());
        if said < self.bytes_max { said } else { self.bytes_max }
    }

    /// The longest body in bytes; 0 also where not even a header fits.
    #[must_use]
    pub const fn body_bytes_max(&self) -> usize {
        self.package_bytes_max().saturating_sub(self.header_bytes())
    }

    /// Writes the length of a body into its header, which is otherwise left as it is.
    ///
    /// # Errors
    /// [`Malformed::TooLong`] for a body beyond [`body_bytes_max`](Self::body_bytes_max); its
    /// offset is 0. The header is as it was.
    ///
    /// # Panics
    /// When `header` does not have exactly [`header_bytes`](Self::header_bytes).
    pub fn write_length(&self, header: &mut [u8], body_bytes: usize) -> Result<(), Malformed> {
        assert_eq!(header.len(), self.header_bytes(), "the length of a header");
        let package_bytes = self.check(body_bytes)?;
        // No more than the field can say, as `package_bytes_max` knows.
        let said = (package_bytes - self.counted_from()) as u32;
        let field = usize::from(self.length_offset)..self.field_end();
        self.length_type.write(said, &mut header[field]);
        Ok(())
    }

    /// The bytes of a package with such a body, if there may be one.
    pub(super) fn check(&self, body_bytes: usize) -> Result<usize, Malformed> {
        let package_bytes = self.header_bytes().saturating_add(body_bytes);
        if package_bytes > self.package_bytes_max() {
            let (length, max) = (package_bytes as u64, self.package_bytes_max() as u64);
            return Err(Malformed::TooLong { offset: 0, length, max });
        }
        Ok(package_bytes)
    }

    /// A whole package. What its header has beside the length is 0.
    ///
    /// The body is copied. To send one without a copy, write its header and the body as two slices,
    /// as [`Packages`](super::Packages) does.
    ///
    /// # Errors
    /// As [`write_length`](Self::write_length).
    pub fn encode(&self, body: &[u8]) -> Result<Bytes, Malformed> {
        let mut header = vec![0; self.header_bytes()];
        self.write_length(&mut header, body.len())?;
        let mut package = BytesMut::with_capacity(header.len() + body.len());
        package.put_slice(&header);
        package.put_slice(body);
        Ok(package.freeze())
    }

    /// The end of the field: so many bytes are needed to know a package's length.
    pub(super) const fn field_end(&self) -> usize {
        self.length_offset as usize + self.length_type.bytes()
    }

    const fn counted_from(&self) -> usize {
        match self.body_offset {
            Some(offset) => offset as usize,
            None => self.field_end(),
        }
    }

    /// Bytes of the package that begins with `start`; `None` when that is not enough to know.
    ///
    /// Checked here, before anybody has allocated anything: `default_length_func` rejects a
    /// negative length only, and a package that is shorter than its own header goes on to whoever
    /// parses it.
    pub(super) fn package_bytes(
        &self,
        start: &[u8],
        offset: u64,
    ) -> Result<Option<usize>, Malformed> {
        let field = usize::from(self.length_offset)..self.field_end();
        let Some(field) = start.get(field) else { return Ok(None) };
        let said = self.length_type.read(field);
        let Ok(length) = u64::try_from(said) else {
            return Err(Malformed::Negative { offset, length: said });
        };
        let length = length + self.counted_from() as u64;
        let (least, max) = (self.header_bytes() as u64, self.bytes_max as u64);
        if length < least {
            return Err(Malformed::TooShort { offset, length, least });
        }
        if length > max {
            return Err(Malformed::TooLong { offset, length, max });
        }
        Ok(Some(length as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_ends_where_field_and_body_offset_do() {
        let header = |length_offset, body_offset| {
            let format = Format::new(LengthType::Unsigned32Big).length_offset(length_offset);
            format.body_offset(body_offset).header_bytes()
        };
        assert_eq!(Format::STREAM.header_bytes(), 4);
        assert_eq!(Format::new(LengthType::Unsigned8).length_offset(3).header_bytes(), 4);
        assert_eq!((header(0, 0), header(2, 0), header(2, 6), header(2, 10)), (4, 6, 6, 10));
    }

    #[test]
    fn the_longest_body_is_what_field_and_limit_allow() {
        let byte = Format::new(LengthType::Unsigned8);
        assert_eq!((byte.package_bytes_max(), byte.body_bytes_max()), (256, 255));
        let counting_all = byte.body_offset(0);
        assert_eq!((counting_all.package_bytes_max(), counting_all.body_bytes_max()), (255, 254));
        let stream = Format::STREAM;
        assert_eq!(stream.body_bytes_max(), PACKAGE_BYTES_MAX - 4);
        assert_eq!(stream.bytes_max(3).body_bytes_max(), 0);
    }

    #[test]
    fn a_body_beyond_the_limit_is_named_and_the_header_left_alone() {
        let format = Format::new(LengthType::Unsigned8);
        let mut header = [7];
        format.write_length(&mut header, 255).unwrap();
        assert_eq!(header, [255]);
        let err = format.write_length(&mut header, 256).unwrap_err();
        assert_eq!(err, Malformed::TooLong { offset: 0, length: 257, max: 256 });
        assert_eq!(header, [255]);
        let err = Format::STREAM.bytes_max(3).encode(b"").unwrap_err();
        assert_eq!(err, Malformed::TooLong { offset: 0, length: 4, max: 3 });
    }
}
