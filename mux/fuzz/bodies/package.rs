//! Any bytes as packages of any format, cut anywhere.

use bytes::Bytes;
use mux::package::{Decoder, Format, LengthType, Malformed, Package};

/// What a decoder gives: packages, and how it ends.
type Outcome = (Vec<Package>, Result<(), Malformed>);

/// The first five bytes choose the format and the cuts, the others are decoded in three ways. The packages
/// are the same, their bytes are those of the input in order, each is within its limit and encodes to
/// itself, and an error is of the byte behind them.
pub fn package(input: &[u8]) {
    let Some((&[kind, length_offset, body_offset, bytes_max, cut], input)) =
        input.split_first_chunk()
    else {
        return;
    };
    let kind = LengthType::ALL[usize::from(kind) % LengthType::ALL.len()];
    let format = Format::new(kind).length_offset(u16::from(length_offset % 9));
    let format = match body_offset {
        0x80.. => format,
        offset => format.body_offset(u16::from(offset % 17)),
    };
    let format = format.bytes_max(usize::from(bytes_max));
    let whole = pieces(format, input, usize::MAX);
    check(format, input, &whole);
    assert_eq!(whole, pieces(format, input, usize::from(cut % 32) + 1));
    assert_eq!(whole, slices(format, input, usize::from(cut / 32) + 1));
}

fn pieces(format: Format, input: &[u8], cut: usize) -> Outcome {
    let (mut decoder, mut packages) = (Decoder::new(format), Vec::new());
    for piece in input.chunks(cut) {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(package)) => packages.push(package),
                Ok(None) => break,
                Err(err) => return (packages, Err(err)),
            }
        }
        assert!(piece.is_empty());
        assert!(decoder.buffered_bytes() < format.package_bytes_max().max(format.header_bytes()));
    }
    (packages, decoder.end())
}

fn slices(format: Format, input: &[u8], cut: usize) -> Outcome {
    let (mut decoder, mut packages) = (Decoder::new(format), Vec::new());
    for mut piece in input.chunks(cut) {
        loop {
            match decoder.decode_slice(&mut piece) {
                Ok(Some(package)) => packages.push(package),
                Ok(None) => break,
                Err(err) => return (packages, Err(err)),
            }
        }
    }
    (packages, decoder.end())
}

fn check(format: Format, input: &[u8], (packages, end): &Outcome) {
    let mut offset = 0;
    for package in packages {
        let bytes = package.clone().into_bytes();
        assert_eq!(bytes, input[offset..offset + bytes.len()]);
        assert!(bytes.len() <= format.package_bytes_max());
        let mut header = package.header().to_vec();
        format.write_length(&mut header, package.body().len()).expect("it came as a package");
        assert_eq!(header, package.header());
        offset += bytes.len();
    }
    match *end {
        Ok(()) => assert_eq!(offset, input.len()),
        Err(err) => assert_eq!(err.offset(), offset as u64, "{err}"),
    }
    match *end {
        Err(Malformed::TooLong { length, max, .. }) => assert!(length > max),
        Err(Malformed::TooShort { length, least, .. }) => assert!(length < least),
        Err(Malformed::Negative { length, .. }) => assert!(length < 0),
        Err(Malformed::CutOff { have, length, .. }) => {
            assert_eq!(have as usize, input.len() - offset);
            assert!(length.is_none_or(|length| have < length));
        }
        Err(err) => unreachable!("to be looked at here: {err}"),
        Ok(()) => {}
    }
}
