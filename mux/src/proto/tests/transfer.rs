//! Windows, turns and segmentation.

use super::*;
use crate::proto::{BATCH_BYTES, LEND_BYTES_MIN};

const NONE: Flags = Flags::NONE;
const FULL: usize = WINDOW_BYTES_INITIAL as usize;

#[test]
fn frames_mean_the_same_however_they_are_cut() {
    let script = [
        flag(Flags::SYN, 1),
        data(NONE, 1, b"first"),
        data(Flags::SYN, 3, b"second stream"),
        frame(Kind::Ping, Flags::SYN, 0, 77),
        data(Flags::FIN, 1, b" and last"),
        frame(Kind::WindowUpdate, NONE, 3, 10),
        flag(Flags::FIN, 3),
    ]
    .concat();
    for cut in 0..=script.len() {
        for piece in [1, 7, script.len()] {
            let mut session = server();
            let (head, tail) = script.split_at(cut);
            session.feed(head);
            tail.chunks(piece).for_each(|bytes| session.feed(bytes));
            let (a, b) = (ready(session.accept()), ready(session.accept()));
            assert_eq!(read_all(&mut session, a), (b"first and last".to_vec(), true));
            assert_eq!(read_all(&mut session, b), (b"second stream".to_vec(), true));
            assert_eq!(session.stream(b).credit.available(), WINDOW_BYTES_INITIAL + 10);
            assert_eq!(take_frames(&mut session)[0].0.length, 77);
        }
    }
}

#[test]
fn sending_stops_at_the_window_and_goes_on_with_credit() {
    let (mut near, opened, mut far, accepted) = connected();
    near.write(opened, &vec![1; FULL + 10]);
    let said = take(&mut near);
    // Eight fill a batch, the last of them cut to fit.
    let frames = FULL.div_ceil(16 * 1024) + 1;
    assert_eq!(said.len(), FULL + frames * HEADER_BYTES);
    far.feed(&said);
    assert_eq!(take(&mut far), b"", "credit is for reading, not for receiving");

    let mut half = vec![0; FULL / 2 - 1];
    ready(far.read(accepted, &mut half));
    assert_eq!(take(&mut far), b"");
    ready(far.read(accepted, &mut [0; 2]));
    let expected = frame(Kind::WindowUpdate, NONE, 1, WINDOW_BYTES_INITIAL / 2 + 1);
    let credit = take(&mut far);
    assert_eq!(credit, expected);
    near.feed(&credit);
    assert_eq!(take(&mut near), data(NONE, 1, &[1; 10]));
}

#[test]
fn updates_that_wait_are_merged() {
    let (mut near, opened, mut far, accepted) = connected();
    near.write(opened, &vec![1; FULL]);
    far.feed(&take(&mut near));
    ready(far.read(accepted, &mut vec![0; FULL / 2]));
    ready(far.read(accepted, &mut vec![0; FULL / 2]));
    assert_eq!(take(&mut far), frame(Kind::WindowUpdate, NONE, 1, WINDOW_BYTES_INITIAL));
}

#[test]
fn no_credit_is_sent_after_the_fin() {
    let (mut near, opened, mut far, accepted) = connected();
    near.write(opened, &vec![1; FULL]);
    near.shutdown(opened).unwrap();
    far.feed(&take(&mut near));
    assert!(read_all(&mut far, accepted).1);
    assert_eq!(take(&mut far), b"");
}

#[test]
fn a_larger_window_is_announced_with_the_syn_and_the_ack() {
    let config = Config { window_bytes: WINDOW_BYTES_INITIAL + 1000, ..Config::default() };
    let mut near = client_with(config.clone());
    let mut far = server_with(config);
    let opened = ready(near.open());
    let syn = take(&mut near);
    assert_eq!(syn, frame(Kind::WindowUpdate, Flags::SYN, 1, 1000));
    far.feed(&syn);
    let accepted = ready(far.accept());
    assert_eq!(far.stream(accepted).credit.available(), WINDOW_BYTES_INITIAL + 1000);
    let ack = take(&mut far);
    assert_eq!(ack, frame(Kind::WindowUpdate, Flags::ACK, 1, 1000));
    near.feed(&ack);
    assert_eq!(near.stream(opened).credit.available(), WINDOW_BYTES_INITIAL + 1000);
}

#[test]
fn streams_take_turns_of_one_frame_and_control_goes_first() {
    let mut session = client();
    let keys = [0; 3].map(|_| ready(session.open()));
    for key in keys {
        session.write(key, &[0; 20_000]);
    }
    session.feed(&frame(Kind::Ping, Flags::SYN, 0, 5));
    let order: Vec<_> = take_frames(&mut session)
        .iter()
        .map(|(header, _)| (header.kind, header.stream_id, header.length))
        .collect();
    let (full, rest) = (16 * 1024, 20_000 - 16 * 1024);
    let expected = [
        (Kind::WindowUpdate, 1, 0),
        (Kind::WindowUpdate, 3, 0),
        (Kind::WindowUpdate, 5, 0),
        (Kind::Ping, 0, 5),
        (Kind::Data, 1, full),
        (Kind::Data, 3, full),
        (Kind::Data, 5, full),
        (Kind::Data, 1, rest),
        (Kind::Data, 3, rest),
        (Kind::Data, 5, rest),
    ];
    assert_eq!(order, expected);
}

/// Bytes of a batch, when so many streams are opened and have much to send.
fn batch_bytes(streams: usize, frame_bytes_max: usize) -> usize {
    let frame_bytes_max = frame_bytes_max as u32;
    let mut session = client_with(Config { frame_bytes_max, ..untuned() });
    for _ in 0..streams {
        let key = ready(session.open());
        session.write(key, &[0; 60_000]);
    }
    session.fill();
    session.outbox.len()
}

#[test]
fn a_batch_is_bounded_so_that_control_frames_do_not_wait_long() {
    for streams in 10..200 {
        assert!(batch_bytes(streams, 16 * 1024) <= BATCH_BYTES, "{streams} streams");
    }
}

#[test]
fn the_last_frame_of_a_batch_is_cut_to_fill_it_but_not_to_a_small_piece() {
    assert_eq!(batch_bytes(100, 16 * 1024), BATCH_BYTES);
    let three = 3 * (HEADER_BYTES + 40_000);
    let room = |opened| BATCH_BYTES - opened * HEADER_BYTES - three - HEADER_BYTES;
    assert!(room(100) >= LEND_BYTES_MIN && room(200) < LEND_BYTES_MIN);
    assert_eq!(batch_bytes(100, 40_000), BATCH_BYTES);
    assert_eq!(batch_bytes(200, 40_000), 200 * HEADER_BYTES + three);
    // Whole frames that are small to begin with.
    let small = batch_bytes(200, 1000);
    assert!(small > BATCH_BYTES - HEADER_BYTES - 1000 && small <= BATCH_BYTES, "{small}");
}

/// What each of so many streams has sent after 300 full batches, if all of them always have more.
fn bytes_of_busy_streams(streams: usize, frame_bytes_max: u32) -> Vec<u64> {
    let mut session = client_with(Config { frame_bytes_max, ..untuned() });
    let keys: Vec<_> = (0..streams).map(|_| ready(session.open())).collect();
    take(&mut session);
    for key in &keys {
        session.feed(&frame(Kind::WindowUpdate, NONE, key.id, 1 << 30));
    }
    let chunk = bytes::Bytes::from(vec![0; 1 << 20]);
    for _ in 0..300 {
        for &key in &keys {
            if session.stream(key).send.len() < BATCH_BYTES {
                session.write_bytes(key, &mut chunk.clone());
            }
        }
        session.fill();
        assert!(BATCH_BYTES - session.outbox.len() < LEND_BYTES_MIN + HEADER_BYTES);
        write(&mut session, usize::MAX);
    }
    keys.iter().map(|&key| session.stream(key).sent).collect()
}

#[test]
fn the_cut_of_a_batch_takes_nothing_from_any_stream_in_the_long_run() {
    for frame_bytes_max in [9000, 16 * 1024, 40_000, 60_000] {
        for streams in 1..=40 {
            let sent = bytes_of_busy_streams(streams, frame_bytes_max);
            let (least, most) = (*sent.iter().min().unwrap(), *sent.iter().max().unwrap());
            // A turn that others have had already, and a frame of which it is owed almost all.
            let frames = 2 * u64::from(frame_bytes_max);
            let case = format!("{streams} streams, frames of {frame_bytes_max}");
            assert!(most - least < frames, "{case}: {least} and {most} bytes");
        }
    }
}

#[test]
fn control_frames_share_a_write_with_a_frame_that_is_larger_than_a_batch() {
    let mut session = client_with(Config { frame_bytes_max: 200_000, ..untuned() });
    for _ in 0..3 {
        let key = ready(session.open());
        session.write(key, &[0; 200_000]);
    }
    session.fill();
    assert_eq!(session.outbox.len(), 3 * HEADER_BYTES + HEADER_BYTES + 200_000);
}

#[test]
fn payload_is_read_without_a_copy_until_it_is_settled() {
    let (_, _, mut far, accepted) = connected();
    let large = [1; LEND_BYTES_MIN];
    let frames = [data(NONE, 1, &large), data(NONE, 1, &[2; 5000]), data(NONE, 1, &large)];
    let buffer = bytes::Bytes::from([frames.concat(), vec![0; 1000]].concat());
    far.feed_lending(&buffer, buffer.len() - 1000);
    let first = ready(far.read_bytes(accepted)).unwrap();
    assert_eq!((first.as_ptr(), first.len()), (buffer[HEADER_BYTES..].as_ptr(), large.len()));
    let second = ready(far.read_bytes(accepted)).unwrap();
    assert_eq!(second, [2; 5000][..]);
    assert!(!buffer.as_ptr_range().contains(&second.as_ptr()), "too small to hold on to it all");
    drop(first);
    assert!(!buffer.is_unique());
    far.settle();
    assert!(buffer.is_unique());
    assert_eq!(read_all(&mut far, accepted).0, large);
}

#[test]
fn a_chunk_is_sent_without_a_copy() {
    let mut session = client();
    let key = ready(session.open());
    let chunk = bytes::Bytes::from(vec![9; 10_000]);
    session.write_bytes(key, &mut chunk.clone());
    session.fill();
    let mut slices = [IoSlice::new(&[]); 4];
    assert_eq!(session.outbox.slices(&mut slices), 2);
    assert_eq!(slices[0].len(), 2 * HEADER_BYTES, "the SYN and the header of the data");
    assert_eq!(slices[1].as_ptr(), chunk.as_ptr());
}

#[test]
fn small_messages_are_copied_beside_their_headers_and_nothing_is_left_to_drop() {
    let mut session = client_with(untuned());
    let keys = [(); 3].map(|()| ready(session.open()));
    take(&mut session);
    for key in keys {
        session.write_bytes(key, &mut bytes::Bytes::from(vec![b'x'; 256]));
    }
    session.swap_trash(&mut Vec::new());
    session.fill();
    let mut trash = Vec::new();
    session.swap_trash(&mut trash);
    assert!(trash.is_empty(), "{trash:?}");
    let mut slices = [IoSlice::new(&[]); 4];
    assert_eq!(session.outbox.slices(&mut slices), 1, "256 bytes and a header each, side by side");
    assert_eq!(slices[0].len(), 3 * (HEADER_BYTES + 256));
    let expected = keys.map(|key| data(NONE, key.id, &[b'x'; 256])).concat();
    assert_eq!(take(&mut session), expected);
}

#[test]
fn a_second_batch_begins_where_the_first_one_began() {
    let mut session = client_with(untuned());
    let key = ready(session.open());
    for _ in 0..3 {
        session.write(key, b"small");
        take(&mut session);
        session.write(key, b"small");
        session.fill();
        assert!(session.outbox.copied_bytes() <= 2 * HEADER_BYTES + 5);
        write(&mut session, usize::MAX);
    }
}

#[test]
fn credit_waits_for_a_connection_that_takes_nothing_and_goes_out_merged() {
    let (mut near, opened, mut far, accepted) = connected();
    far.feed(&frame(Kind::Ping, Flags::SYN, 0, 1));
    far.fill();
    for _ in 0..2 {
        near.write(opened, &vec![1; FULL / 2]);
        far.feed(&take(&mut near));
        ready(far.read(accepted, &mut vec![0; FULL / 2]));
    }
    assert_eq!(far.control.len(), 1);
    write(&mut far, HEADER_BYTES);
    assert_eq!(take(&mut far), frame(Kind::WindowUpdate, NONE, 1, WINDOW_BYTES_INITIAL));
}

#[test]
fn the_ack_goes_out_before_the_first_data_of_the_side_that_accepts() {
    let mut session = server();
    session.feed(&flag(Flags::SYN, 1));
    let key = ready(session.accept());
    session.write(key, b"first");
    assert_eq!(take(&mut session), [flag(Flags::ACK, 1), data(NONE, 1, b"first")].concat());
}

#[test]
fn a_window_grows_with_its_update_once_the_round_trip_is_known() {
    let (mut near, opened, mut far, accepted) = connected_with(Config::default());
    let half = vec![1; FULL / 2];
    let mut read_half = |far: &mut Session, ms| {
        far.wind(far.timing.now + std::time::Duration::from_millis(ms));
        near.write(opened, &half);
        far.feed(&take(&mut near));
        ready(far.read(accepted, &mut vec![0; FULL / 2]));
        take_text(far)
    };
    let first = read_half(&mut far, 0);
    assert_eq!(first, ["WindowUpdate 0x0 stream 1 length 131072", "Ping SYN stream 0 length 1"]);
    far.wind(far.timing.now + std::time::Duration::from_millis(60));
    far.feed(&frame(Kind::Ping, Flags::ACK, 0, 1));
    let second = read_half(&mut far, 1);
    assert_eq!(
        second,
        ["WindowUpdate 0x0 stream 1 length 393216"],
        "what was read, and as much again as there was"
    );
    assert_eq!(far.stats().window_bytes_extra, FULL);
}

#[test]
fn reset_codes_travel_in_the_length_of_the_window_update() {
    let (mut near, opened, mut far, accepted) = connected();
    near.reset(opened, ResetCode::of(0xABCD));
    let said = take(&mut near);
    assert_eq!(said, frame(Kind::WindowUpdate, Flags::RST, 1, 0xABCD));
    far.feed(&said);
    let err = error(far.read(accepted, &mut [0]));
    assert!(matches!(err, Error::Reset { by: Initiator::Remote, code } if code.value() == 0xABCD));

    // On Data the length is payload, which nobody wants.
    let (mut near, opened, ..) = connected();
    near.feed(&[data(Flags::RST, 1, b"gone"), frame(Kind::Ping, Flags::SYN, 0, 9)].concat());
    let err = error(near.read(opened, &mut [0]));
    assert!(matches!(err, Error::Reset { by: Initiator::Remote, code: ResetCode::NONE }));
    assert_eq!(take_text(&mut near), ["Ping ACK stream 0 length 9"]);
}
