//! Packages on a connection.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use futures_util::{AsyncReadExt, AsyncWriteExt, FutureExt};
use mux::Initiator;
use mux::package::{Error, Format, LengthType, Malformed, Packages};

use crate::run;
use crate::support::{End, pipe};

fn both(capacity: usize) -> (Packages<End>, Packages<End>) {
    let (near, far) = pipe(capacity);
    (Packages::new(near, Format::STREAM), Packages::new(far, Format::STREAM))
}

#[test]
fn packages_of_all_sizes_arrive_in_order_through_pipes_of_all_sizes() {
    for capacity in [1, 2, 5, 1000, 100_000] {
        run(async {
            let (mut near, mut far) = both(capacity);
            let sizes = [0, 1, 3, 8192, 70_000, 0, 200_000];
            let sending = reactor::spawn(async move {
                for (mark, size) in sizes.into_iter().enumerate() {
                    near.write(vec![mark as u8; size].into()).await.unwrap();
                }
                near.close().await.unwrap();
                near.written_bytes()
            });
            for (mark, size) in sizes.into_iter().enumerate() {
                let package = far.read().await.unwrap().unwrap();
                assert_eq!(package.body(), vec![mark as u8; size], "through {capacity}");
            }
            assert!(far.read().await.unwrap().is_none());
            let total = sizes.iter().sum::<usize>() + 4 * sizes.len();
            assert_eq!(sending.await.unwrap(), total as u64);
        });
    }
}

#[test]
fn a_header_and_its_body_leave_in_one_write() {
    run(async {
        let (mut near, mut far) = both(1000);
        let tap = near.get_ref().outgoing();
        tap.record();
        near.write("hello".into()).await.unwrap();
        near.write(Bytes::new()).await.unwrap();
        assert_eq!((tap.writes(), tap.recorded()), (2, b"\0\0\0\x05hello\0\0\0\0".to_vec()));
        assert_eq!(far.read().await.unwrap().unwrap().body(), b"hello");
    });
}

#[test]
fn a_header_of_ones_own_keeps_what_it_has_beside_the_length() {
    run(async {
        let format = Format::new(LengthType::Unsigned16Big).length_offset(2).body_offset(6);
        let (near, mut far) = pipe(1000);
        let mut near = Packages::new(near, format);
        near.write_with(b"PK??cm", "hi".into()).await.unwrap();
        near.write("ho".into()).await.unwrap();
        let mut said = [0; 16];
        far.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"PK\0\x02cmhi\0\0\0\x02\0\0ho");
    });
}

#[test]
fn a_header_of_another_length_panics_and_nothing_is_written() {
    run(async {
        let (mut near, mut far) = both(1000);
        for header in [&b"\0\0"[..], b"", b"\0\0\0\0\0"] {
            let wrong = AssertUnwindSafe(|| near.write_with(header, "hi".into()).now_or_never());
            assert!(catch_unwind(wrong).is_err(), "{header:?}");
        }
        near.write("hello".into()).await.unwrap();
        assert_eq!(far.read().await.unwrap().unwrap().body(), b"hello");
        assert_eq!(near.written_bytes(), 9);
    });
}

#[test]
fn many_packages_of_one_read_share_its_bytes() {
    run(async {
        let (near, far) = pipe(100_000);
        let (mut near, mut far) = (near, Packages::new(far, Format::STREAM));
        let package = Format::STREAM.encode(&[7; 996]).unwrap();
        near.write_all(&package.repeat(20)).await.unwrap();
        let first = far.read().await.unwrap().unwrap().into_body();
        let second = far.read().await.unwrap().unwrap().into_body();
        assert_eq!(second.as_ptr() as usize - first.as_ptr() as usize, 1000);
    });
}

#[test]
fn a_package_that_is_not_allowed_is_the_peers_when_read_and_ours_when_written() {
    run(async {
        let (near, far) = pipe(100);
        let format = Format::STREAM.bytes_max(10);
        let (mut near, mut far) = (Packages::new(near, format), Packages::new(far, format));
        near.write("fine".into()).await.unwrap();
        let err = near.write("too long".into()).await.unwrap_err();
        let what = Malformed::TooLong { offset: 8, length: 12, max: 10 };
        assert!(matches!(err, Error::Malformed { by: Initiator::Local, what: w } if w == what));
        assert_eq!(err.side(), Some(Initiator::Local));
        near.write("again".into()).await.unwrap();
        assert_eq!(far.read().await.unwrap().unwrap().body(), b"fine");
        assert_eq!(far.read().await.unwrap().unwrap().body(), b"again");

        let mut raw = near.into_inner();
        raw.write_all(b"\0\0\0\x07").await.unwrap();
        for _ in 0..2 {
            let err = far.read().await.unwrap_err();
            let text = "the peer sends a package of 11 bytes, where 10 are allowed, at byte 17";
            assert_eq!((err.to_string().as_str(), err.side()), (text, Some(Initiator::Remote)));
            assert_eq!(io::Error::from(err).kind(), io::ErrorKind::InvalidData);
        }
    });
}

#[test]
fn an_end_within_a_package_is_an_error_and_behind_one_it_is_an_end() {
    run(async {
        for (said, whole) in [(&b"\0\0\0\x02hi"[..], 1), (b"\0\0\0\x02h", 0), (b"\0", 0), (b"", 0)]
        {
            let (mut near, far) = pipe(100);
            near.write_all(said).await.unwrap();
            drop(near);
            let mut far = Packages::new(far, Format::STREAM);
            for _ in 0..whole {
                far.read().await.unwrap().unwrap();
            }
            match far.read().await {
                Ok(None) => assert!(whole == 1 || said.is_empty()),
                Err(Error::Malformed { what: Malformed::CutOff { have, .. }, .. }) => {
                    assert_eq!(have, said.len() as u64);
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_connection_that_takes_nothing_any_more_fails_the_write() {
    run(async {
        let (mut near, far) = both(100);
        drop(far);
        for _ in 0..2 {
            let err = near.write("hello".into()).await.unwrap_err();
            assert!(matches!(err, Error::Io(err) if err.kind() == io::ErrorKind::BrokenPipe));
        }
        assert_eq!(near.written_bytes(), 0);
    });
}

#[test]
fn closing_ends_one_direction_and_leaves_the_other_open() {
    run(async {
        let (mut near, mut far) = both(100);
        near.write("a question".into()).await.unwrap();
        near.close().await.unwrap();
        assert_eq!(far.read().await.unwrap().unwrap().body(), b"a question");
        assert!(far.read().await.unwrap().is_none());
        far.write("an answer".into()).await.unwrap();
        assert_eq!(near.read().await.unwrap().unwrap().body(), b"an answer");
    });
}
