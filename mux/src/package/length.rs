//! How the length of a package is written.

/// The field that holds a length: its width, its sign and its byte order, by the letters of PHP's
/// `pack` that Swoole's `package_length_type` takes (`swoole_unpack` in src/protocol/base.cc).
///
/// *Native* is the order of this machine; both sides of a connection between machines are better
/// off with another one.
///
/// ```
/// use mux::package::LengthType;
///
/// let kind = LengthType::from_letter('n').unwrap();
/// assert_eq!((kind, kind.bytes(), kind.max()), (LengthType::Unsigned16Big, 2, 65_535));
/// assert_eq!(LengthType::from_letter('q'), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthType {
    /// `c`
    Signed8,
    /// `C`
    Unsigned8,
    /// `s`
    Signed16Native,
    /// `S`
    Unsigned16Native,
    /// `n`
    Unsigned16Big,
    /// `v`
    Unsigned16Little,
    /// `l`
    Signed32Native,
    /// `L`
    Unsigned32Native,
    /// `N`: what the stream mode uses.
    Unsigned32Big,
    /// `V`
    Unsigned32Little,
}

impl LengthType {
    /// Every one, for tests and for menus.
    pub const ALL: [Self; 10] = [
        Self::Signed8,
        Self::Unsigned8,
        Self::Signed16Native,
        Self::Unsigned16Native,
        Self::Unsigned16Big,
        Self::Unsigned16Little,
        Self::Signed32Native,
        Self::Unsigned32Native,
        Self::Unsigned32Big,
        Self::Unsigned32Little,
    ];

    /// The one with this letter. `None` for a letter that is none of them: Swoole's own `i` and
    /// `I`, whose width depends on the machine, and its fields of 64 bits are not supported.
    #[must_use]
    pub fn from_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.letter() == letter)
    }

    /// Its letter in PHP's `pack` and in `package_length_type`.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Signed8 => 'c',
            Self::Unsigned8 => 'C',
            Self::Signed16Native => 's',
            Self::Unsigned16Native => 'S',
            Self::Unsigned16Big => 'n',
            Self::Unsigned16Little => 'v',
            Self::Signed32Native => 'l',
            Self::Unsigned32Native => 'L',
            Self::Unsigned32Big => 'N',
            Self::Unsigned32Little => 'V',
        }
    }

    /// Its width in bytes: 1, 2 or 4.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Signed8 | Self::Unsigned8 => 1,
            Self::Signed16Native
            | Self::Unsigned16Native
            | Self::Unsigned16Big
            | Self::Unsigned16Little => 2,
            Self::Signed32Native
            | Self::Unsigned32Native
            | Self::Unsigned32Big
            | Self::Unsigned32Little => 4,
        }
    }

    /// The largest length that it can say.
    #[must_use]
    pub const fn max(self) -> u32 {
        match self {
            Self::Signed8 => i8::MAX as u32,
            Self::Unsigned8 => u8::MAX as u32,
            Self::Signed16Native => i16::MAX as u32,
            Self::Unsigned16Native | Self::Unsigned16Big | Self::Unsigned16Little => {
                u16::MAX as u32
            }
            Self::Signed32Native => i32::MAX as u32,
            Self::Unsigned32Native | Self::Unsigned32Big | Self::Unsigned32Little => u32::MAX,
        }
    }

    /// What the field says. `field` has exactly the width.
    pub(super) fn read(self, field: &[u8]) -> i64 {
        match (self, field) {
            (Self::Signed8, &[a]) => i8::from_ne_bytes([a]).into(),
            (Self::Unsigned8, &[a]) => a.into(),
            (Self::Signed16Native, &[a, b]) => i16::from_ne_bytes([a, b]).into(),
            (Self::Unsigned16Native, &[a, b]) => u16::from_ne_bytes([a, b]).into(),
            (Self::Unsigned16Big, &[a, b]) => u16::from_be_bytes([a, b]).into(),
            (Self::Unsigned16Little, &[a, b]) => u16::from_le_bytes([a, b]).into(),
            (Self::Signed32Native, &[a, b, c, d]) => i32::from_ne_bytes([a, b, c, d]).into(),
            (Self::Unsigned32Native, &[a, b, c, d]) => u32::from_ne_bytes([a, b, c, d]).into(),
            (Self::Unsigned32Big, &[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]).into(),
            (Self::Unsigned32Little, &[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]).into(),
            _ => unreachable!("a field of {} bytes for {self:?}", field.len()),
        }
    }

    /// Says `length`, which is at most [`max`](Self::max), in a field of exactly the width.
    pub(super) fn write(self, length: u32, field: &mut [u8]) {
        let bytes = match self {
            Self::Unsigned16Big | Self::Unsigned32Big => {
                field.copy_from_slice(&length.to_be_bytes()[4 - self.bytes()..]);
                return;
            }
            Self::Unsigned16Little | Self::Unsigned32Little => length.to_le_bytes(),
            Self::Signed8 | Self::Unsigned8 => length.to_le_bytes(),
            Self::Signed16Native | Self::Unsigned16Native => {
                field.copy_from_slice(&(length as u16).to_ne_bytes());
                return;
            }
            Self::Signed32Native | Self::Unsigned32Native => length.to_ne_bytes(),
        };
        field.copy_from_slice(&bytes[..self.bytes()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_read_as_it_was_written() {
        for kind in LengthType::ALL {
            for length in [0, 1, 127, 128, 255, 256, 0x1234, 32_768, 65_536, 0x1234_5678, u32::MAX]
            {
                if length > kind.max() {
                    continue;
                }
                let mut field = vec![0xEE; kind.bytes()];
                kind.write(length, &mut field);
                assert_eq!(kind.read(&field), i64::from(length), "{kind:?}");
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_php() {
        // php -r 'echo bin2hex(pack("n", 0x1234));', and so on.
        let written = |letter: char| {
            let kind = LengthType::from_letter(letter).unwrap();
            let mut field = vec![0; kind.bytes()];
            kind.write(if kind.bytes() == 1 { 0x12 } else { 0x1234 }, &mut field);
            field
        };
        assert_eq!(written('c'), [0x12]);
        assert_eq!(written('C'), [0x12]);
        assert_eq!(written('n'), [0x12, 0x34]);
        assert_eq!(written('v'), [0x34, 0x12]);
        assert_eq!(written('N'), [0, 0, 0x12, 0x34]);
        assert_eq!(written('V'), [0x34, 0x12, 0, 0]);
        assert_eq!(written('s'), 0x1234_i16.to_ne_bytes());
        assert_eq!(written('S'), 0x1234_u16.to_ne_bytes());
        assert_eq!(written('l'), 0x1234_i32.to_ne_bytes());
        assert_eq!(written('L'), 0x1234_u32.to_ne_bytes());
    }

    #[test]
    fn only_signed_fields_say_negative_lengths() {
        let negative = |kind: LengthType| kind.read(&vec![0xFF; kind.bytes()]) < 0;
        let signed: Vec<_> = LengthType::ALL.into_iter().filter(|kind| negative(*kind)).collect();
        let (c, s, l) =
            (LengthType::Signed8, LengthType::Signed16Native, LengthType::Signed32Native);
        assert_eq!(signed, [c, s, l]);
    }

    #[test]
    fn each_has_its_letter() {
        let letters: String = LengthType::ALL.into_iter().map(LengthType::letter).collect();
        assert_eq!(letters, "cCsSnvlLNV");
        for kind in LengthType::ALL {
            assert_eq!(LengthType::from_letter(kind.letter()), Some(kind));
        }
    }
}
