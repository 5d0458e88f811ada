//! Formats and the decoder, at every split and with lengths that lie.

use bytes::{Bytes, BytesMut};
use mux::package::{Decoder, Format, LengthType, Malformed, PACKAGE_BYTES_MAX, Package};
use proptest::collection::vec;
use proptest::prelude::*;

fn decode_all(decoder: &mut Decoder, piece: &[u8]) -> Result<Vec<Package>, Malformed> {
    let mut input = Bytes::copy_from_slice(piece);
    let mut packages = Vec::new();
    while let Some(package) = decoder.decode(&mut input)? {
        packages.push(package);
    }
    assert!(input.is_empty(), "the decoder leaves nothing that it could take");
    Ok(packages)
}

fn decode_slices(decoder: &mut Decoder, mut piece: &[u8]) -> Result<Vec<Package>, Malformed> {
    let mut packages = Vec::new();
    while let Some(package) = decoder.decode_slice(&mut piece)? {
        packages.push(package);
    }
    assert!(piece.is_empty());
    Ok(packages)
}

fn bodies(packages: &[Package]) -> Vec<&[u8]> {
    packages.iter().map(Package::body).collect()
}

fn formats() -> impl Strategy<Value = Format> {
    let kind = proptest::sample::select(LengthType::ALL.to_vec());
    (kind, 0..6_u16, proptest::option::of(0..12_u16), 0..400_usize).prop_map(
        |(kind, length_offset, body_offset, bytes_max)| {
            let format = Format::new(kind).length_offset(length_offset).bytes_max(bytes_max);
            body_offset.map_or(format, |offset| format.body_offset(offset))
        },
    )
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded_however_it_is_cut(
        format in formats(),
        sizes in vec(0..120_usize, 1..5),
        cuts in vec(1..50_usize, 1..40),
    ) {
        let bodies_in: Vec<Vec<u8>> =
            sizes.iter().enumerate().map(|(i, size)| vec![i as u8 + 1; *size]).collect();
        let fitting: Vec<&[u8]> =
            bodies_in.iter().map(Vec::as_slice).filter(|body| format.encode(body).is_ok()).collect();
        for body in &bodies_in {
            let fits = format.header_bytes() + body.len() <= format.package_bytes_max();
            prop_assert_eq!(format.encode(body).is_ok(), fits);
        }
        let mut stream = BytesMut::new();
        fitting.iter().for_each(|body| stream.extend_from_slice(&format.encode(body).unwrap()));
        let (mut decoder, mut copying) = (Decoder::new(format), Decoder::new(format));
        let (mut got, mut copied) = (Vec::new(), Vec::new());
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            let (piece, behind) = rest.split_at(rest.len().min(*cut));
            got.extend(decode_all(&mut decoder, piece).unwrap());
            copied.extend(decode_slices(&mut copying, piece).unwrap());
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(bodies(&got), fitting);
        prop_assert_eq!(&got, &copied);
        prop_assert!(decoder.end().is_ok() && copying.end().is_ok());
    }

    #[test]
    fn any_bytes_give_the_same_whatever_the_cut(
        format in formats(),
        input in vec(prop_oneof![0..8_u8, any::<u8>()], 0..60),
        cut in 1..60_usize,
    ) {
        let play = |cut: usize| {
            let mut decoder = Decoder::new(format);
            let mut got = Vec::new();
            for piece in input.chunks(cut) {
                let mut piece = Bytes::copy_from_slice(piece);
                loop {
                    match decoder.decode(&mut piece) {
                        Ok(Some(package)) => got.push(package),
                        Ok(None) => break,
                        Err(err) => return (got, Err(err)),
                    }
                }
            }
            (got, decoder.end())
        };
        prop_assert_eq!(play(cut), play(60));
    }
}

#[test]
fn two_packages_are_decoded_at_every_split() {
    let stream = b"\0\0\0\x05hello\0\0\0\0\0\0\0\x03bye";
    for at in 0..=stream.len() {
        let mut decoder = Decoder::new(Format::STREAM);
        let mut got = decode_all(&mut decoder, &stream[..at]).unwrap();
        got.extend(decode_all(&mut decoder, &stream[at..]).unwrap());
        assert_eq!(bodies(&got), [&b"hello"[..], b"", b"bye"], "split at {at}");
    }
}

#[test]
fn a_package_that_comes_in_one_piece_is_not_copied() {
    let stream = Bytes::from_static(b"\0\0\0\x05hello\0\0\0\x03bye");
    let mut input = stream.clone();
    let mut decoder = Decoder::new(Format::STREAM);
    let hello = decoder.decode(&mut input).unwrap().unwrap().into_body();
    let bye = decoder.decode(&mut input).unwrap().unwrap().into_body();
    assert_eq!((&hello[..], &bye[..]), (&b"hello"[..], &b"bye"[..]));
    assert_eq!(hello.as_ptr(), stream[4..].as_ptr());
    assert_eq!(bye.as_ptr(), stream[13..].as_ptr());
}

#[test]
fn header_and_body_are_told_apart_and_given_as_they_came() {
    let format = Format::new(LengthType::Unsigned16Little).length_offset(2).body_offset(6);
    let mut decoder = Decoder::new(format);
    let packages = decode_all(&mut decoder, b"PK\x02\0..hi").unwrap();
    assert_eq!((packages[0].header(), packages[0].body()), (&b"PK\x02\0.."[..], &b"hi"[..]));
    assert_eq!(packages[0].clone().into_bytes(), "PK\x02\0..hi");
}

#[test]
fn each_wrong_length_is_named_with_its_place_and_for_good() {
    let stream = Format::STREAM;
    let signed = Format::new(LengthType::Signed8);
    let counting_all = Format::new(LengthType::Unsigned8).body_offset(0);
    let max = PACKAGE_BYTES_MAX as u64;
    let cases: [(Format, &[u8], &[u8], Malformed); 4] = [
        (
            stream,
            b"\0\0\0\x01x",
            b"\x7F\xFF\xFF\xFF",
            Malformed::TooLong { offset: 5, length: 0x8000_0003, max },
        ),
        (stream, b"", b"\0\x20\0\0", Malformed::TooLong { offset: 0, length: max + 4, max }),
        (signed, b"\0", b"\xFF", Malformed::Negative { offset: 1, length: -1 }),
        (counting_all, b"\x02x", b"\0", Malformed::TooShort { offset: 2, length: 0, least: 1 }),
    ];
    for (format, before, bad, expected) in cases {
        let mut decoder = Decoder::new(format);
        decode_all(&mut decoder, before).unwrap();
        assert_eq!(decode_all(&mut decoder, bad).unwrap_err(), expected);
        assert_eq!(decoder.decode(&mut Bytes::from_static(b"\0\0\0\0")), Err(expected), "for good");
        assert_eq!(decoder.end(), Err(expected));
        assert_eq!(expected.offset(), before.len() as u64);
    }
}

#[test]
fn the_longest_package_is_allowed_and_one_byte_more_is_not() {
    let format = Format::STREAM.bytes_max(10);
    let mut decoder = Decoder::new(format);
    assert_eq!(decode_all(&mut decoder, b"\0\0\0\x06sixsix").unwrap().len(), 1);
    let err = decode_all(&mut decoder, b"\0\0\0\x07").unwrap_err();
    assert_eq!(err, Malformed::TooLong { offset: 10, length: 11, max: 10 });
    assert_eq!(err.to_string(), "a package of 11 bytes, where 10 are allowed, at byte 10");
}

#[test]
fn an_end_within_a_package_is_named_with_what_has_come() {
    let ended_after = |input: &[u8]| {
        let mut decoder = Decoder::new(Format::STREAM);
        decode_all(&mut decoder, input).unwrap();
        decoder.end()
    };
    assert_eq!(ended_after(b""), Ok(()));
    assert_eq!(ended_after(b"\0\0\0\x01x"), Ok(()));
    assert_eq!(ended_after(b"\0\0\0"), Err(Malformed::CutOff { offset: 0, have: 3, length: None }));
    let cut = Malformed::CutOff { offset: 4, have: 5, length: Some(6) };
    assert_eq!(ended_after(b"\0\0\0\0\0\0\0\x02x"), Err(cut));
}

#[test]
fn a_decoder_holds_what_has_come_and_not_what_is_announced() {
    let mut decoder = Decoder::new(Format::STREAM);
    decode_all(&mut decoder, b"\0\x1F\xFF\xFC").unwrap();
    decode_all(&mut decoder, &[7; 100]).unwrap();
    assert_eq!(decoder.buffered_bytes(), 104);
}
