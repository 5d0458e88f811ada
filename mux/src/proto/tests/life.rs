//! The life of a stream: what is sent for each thing that is done to it.

use super::*;

const NONE: Flags = Flags::NONE;

#[test]
fn opening_accepting_writing_and_closing_both_ways_leaves_nothing() {
    let (mut near, mut far) = (client(), server());
    let opened = ready(near.open());
    near.write(opened, b"hello");
    near.shutdown(opened).unwrap();
    let said = take(&mut near);
    let expected = [flag(Flags::SYN, 1), data(NONE, 1, b"hello"), flag(Flags::FIN, 1)].concat();
    assert_eq!(said, expected);

    far.feed(&said);
    let accepted = ready(far.accept());
    assert_eq!(read_all(&mut far, accepted), (b"hello".to_vec(), true));
    far.write(accepted, b"bye");
    far.shutdown(accepted).unwrap();
    let said = take(&mut far);
    assert_eq!(said, [flag(Flags::ACK, 1), data(NONE, 1, b"bye"), flag(Flags::FIN, 1)].concat());

    near.feed(&said);
    assert_eq!(read_all(&mut near, opened), (b"bye".to_vec(), true));
    near.release(opened);
    far.release(accepted);
    assert_empty(&near);
    assert_empty(&far);
}

#[test]
fn ids_count_up_by_two_from_one_and_two() {
    let (mut near, mut far) = (client(), server());
    let ids = |session: &mut Session| [0; 3].map(|_| ready(session.open()).id);
    assert_eq!(ids(&mut near), [1, 3, 5]);
    assert_eq!(ids(&mut far), [2, 4, 6]);
}

#[test]
fn the_last_id_is_used_and_then_there_are_none() {
    let mut session = client();
    session.next_id = Some(u32::MAX);
    assert_eq!(ready(session.open()).id, u32::MAX);
    assert!(matches!(error(session.open()), Error::IdsExhausted));
    session.feed(&flag(Flags::SYN, 2));
    assert_eq!(ready(session.accept()).id, 2, "the session goes on");
}

#[test]
fn the_fin_stands_behind_everything_that_was_written() {
    let (mut session, key, ..) = connected();
    session.write(key, &[1; 300_000]);
    session.shutdown(key).unwrap();
    let frames = take_frames(&mut session);
    assert!(frames.iter().all(|(header, _)| !header.flags.contains(Flags::FIN)));
    session.feed(&frame(Kind::WindowUpdate, Flags::NONE, 1, 300_000));
    let rest = take_frames(&mut session);
    let (last, data) = rest.split_last().unwrap();
    assert!(last.0.flags.contains(Flags::FIN));
    assert!(data.iter().all(|(header, _)| !header.flags.contains(Flags::FIN)));
    let sent: usize = frames.iter().chain(&rest).map(|(_, payload)| payload.len()).sum();
    assert_eq!(sent, 300_000);
}

#[test]
fn a_fin_may_come_with_payload_or_with_the_syn() {
    let mut session = server();
    session.feed(&data(Flags::SYN | Flags::FIN, 1, b"once"));
    let key = ready(session.accept());
    assert_eq!(read_all(&mut session, key), (b"once".to_vec(), true));
    assert!(ready(session.poll_room(key, usize::MAX)) > 0, "the other direction is open");
}

#[test]
fn a_reset_discards_what_is_queued_and_is_read_after_what_has_arrived() {
    let (mut near, opened, mut far, accepted) = connected();
    near.write(opened, b"arrives");
    exchange(&mut near, &mut far);
    near.write(opened, b"never sent");
    near.reset(opened, ResetCode::NONE);
    assert!(near.stream(opened).send.is_empty(), "purged");
    assert_eq!(take_text(&mut near), ["WindowUpdate RST stream 1 length 0"]);
    far.feed(&flag(Flags::RST, 1));
    let mut buf = [0; 16];
    assert_eq!(ready(far.read(accepted, &mut buf)), 7);
    let err = error(far.read(accepted, &mut buf));
    assert!(matches!(err, Error::Reset { by: Initiator::Remote, .. }));
    assert!(matches!(
        error(far.poll_room(accepted, usize::MAX)),
        Error::Reset { by: Initiator::Remote, .. }
    ));
    let err = error(near.read(opened, &mut buf));
    assert!(matches!(err, Error::Reset { by: Initiator::Local, .. }));
    near.release(opened);
    far.release(accepted);
    assert_empty(&near);
    assert_empty(&far);
}

#[test]
fn a_stream_reset_or_dropped_before_its_syn_was_sent_is_never_mentioned() {
    let mut session = client();
    let reset = ready(session.open());
    session.reset(reset, ResetCode::NONE);
    session.release(reset);
    let dropped = ready(session.open());
    session.release(dropped);
    assert_eq!(take(&mut session), b"");
    assert_empty(&session);
}

#[test]
fn a_drop_sends_what_the_book_says() {
    // (this side has shut down, the peer's FIN has come, unread data) -> what a drop sends
    let (fin, rst) = ("WindowUpdate FIN stream 1 length 0", "WindowUpdate RST stream 1 length 0");
    let table: [(bool, bool, bool, &[&str]); 8] = [
        (false, false, false, &[rst]),
        (false, false, true, &[rst]),
        (false, true, false, &[fin]),
        (false, true, true, &[rst]),
        (true, false, false, &[fin]),
        (true, false, true, &[rst]),
        (true, true, false, &[fin]),
        (true, true, true, &[rst]),
    ];
    for (shut, fin_came, unread, sent) in table {
        let (mut near, opened, _far, _) = connected();
        if shut {
            near.shutdown(opened).unwrap();
        }
        let flags = if fin_came { Flags::FIN } else { NONE };
        near.feed(&data(flags, 1, if unread { b"x" } else { b"" }));
        near.release(opened);
        assert_eq!(take_text(&mut near), sent, "shut {shut}, FIN {fin_came}, unread {unread}");
    }
}

#[test]
fn a_drop_sends_what_was_written_first() {
    let (mut near, opened, mut far, accepted) = connected();
    near.write(opened, b"last words");
    near.release(opened);
    exchange(&mut near, &mut far);
    assert_eq!(far.stream(accepted).recv.len(), 10);
    assert_eq!(read_all(&mut far, accepted), (b"last words".to_vec(), false));
    assert!(matches!(error(far.read(accepted, &mut [0])), Error::Reset { .. }));
    assert_empty(&near);
}

#[test]
fn data_for_a_dropped_reader_is_reset_once() {
    let (mut near, opened, mut far, accepted) = connected();
    near.shutdown(opened).unwrap();
    near.release(opened);
    exchange(&mut near, &mut far);
    assert_eq!(near.stream_counts(), (0, 1), "the peer may still say that it is done");
    far.write(accepted, b"answer");
    let late = take(&mut far);
    near.feed(&late);
    near.feed(&late);
    assert_eq!(take_text(&mut near), ["WindowUpdate RST stream 1 length 0"]);
    assert_empty(&near);
}

#[test]
fn an_ack_frees_the_open_slot_also_after_a_local_close() {
    let mut session = Session::new(
        Role::Client,
        Config { unacked_opens_max: 1, ..Config::default() },
        Instant::now(),
    );
    let key = ready(session.open());
    session.shutdown(key).unwrap();
    assert!(session.open().is_pending());
    take(&mut session);
    session.feed(&flag(Flags::ACK, 1));
    ready(session.open());
}

#[test]
fn a_normal_go_away_refuses_new_streams_and_leaves_the_others() {
    let (mut near, opened, mut far, accepted) = connected();
    far.go_away();
    exchange(&mut near, &mut far);
    let err = error(near.open());
    let code = GoAwayCode::Normal;
    assert!(matches!(err, Error::GoAway { by: Initiator::Remote, code: c } if c == code));
    assert!(matches!(error(far.open()), Error::GoAway { by: Initiator::Local, .. }));
    assert!(matches!(error(far.accept()), Error::GoAway { by: Initiator::Local, .. }));
    near.write(opened, b"goes on");
    exchange(&mut near, &mut far);
    assert_eq!(read_all(&mut far, accepted).0, b"goes on");
    far.feed(&flag(Flags::SYN, 9));
    assert_eq!(take_text(&mut far), ["WindowUpdate RST stream 9 length 4103"]);
}

#[test]
fn any_other_go_away_ends_the_session_with_its_code() {
    let (mut near, opened, ..) = connected();
    near.feed(&data(NONE, 1, b"buffered"));
    near.feed(&frame(Kind::GoAway, NONE, 0, 2));
    assert_eq!(read_all(&mut near, opened).0, b"buffered");
    let err = error(near.read(opened, &mut [0]));
    let code = GoAwayCode::InternalError;
    assert!(matches!(err, Error::GoAway { by: Initiator::Remote, code: c } if c == code));
}

#[test]
fn closing_sends_what_was_written_and_says_go_away_last() {
    let (mut near, opened, mut far, accepted) = connected();
    near.write(opened, &[7; 40_000]);
    near.close();
    assert!(matches!(
        error(near.poll_room(opened, usize::MAX)),
        Error::Closed { by: Initiator::Local }
    ));
    let said = take(&mut near);
    assert!(said.ends_with(&frame(Kind::GoAway, NONE, 0, 0)));
    assert_eq!(near.phase(), Phase::HangUp);
    far.feed(&said);
    far.feed_end();
    assert_eq!(read_all(&mut far, accepted).0.len(), 40_000);
    let err = error(far.read(accepted, &mut [0]));
    assert!(matches!(err, Error::Closed { by: Initiator::Remote }), "no FIN, no end of stream");
    assert!(matches!(far.poll_over(), Poll::Ready(Ok(()))));
    near.feed_end();
    assert!(matches!(near.poll_over(), Poll::Ready(Ok(()))));
}

#[test]
fn closing_waits_for_credit_before_it_says_go_away() {
    let (mut near, opened, ..) = connected();
    near.write(opened, &vec![7; WINDOW_BYTES_INITIAL as usize + 1]);
    near.close();
    take(&mut near);
    assert_eq!(near.phase(), Phase::Draining, "one byte has no credit");
    near.feed(&frame(Kind::WindowUpdate, NONE, 1, 1));
    let said = [data(NONE, 1, &[7]), frame(Kind::GoAway, NONE, 0, 0)].concat();
    assert_eq!(take(&mut near), said);
}

#[test]
fn streams_that_arrived_before_the_peer_closed_can_be_accepted() {
    let mut session = server();
    session.feed(&[flag(Flags::SYN, 1), data(Flags::FIN, 1, b"in time")].concat());
    session.feed(&frame(Kind::GoAway, NONE, 0, 0));
    session.feed_end();
    let key = ready(session.accept());
    assert_eq!(read_all(&mut session, key), (b"in time".to_vec(), true));
    assert!(matches!(error(session.accept()), Error::Closed { by: Initiator::Remote }));
    session.release(key);
    assert_empty(&session);
}

#[test]
fn a_session_without_handles_closes_after_its_last_stream() {
    let (mut near, opened, mut far, _) = connected();
    near.orphan();
    assert_eq!(take(&mut near), b"");
    near.feed(&flag(Flags::SYN, 2));
    assert_eq!(take_text(&mut near), ["WindowUpdate RST stream 2 length 4103"]);
    near.reset(opened, ResetCode::NONE);
    near.release(opened);
    let said = take(&mut near);
    assert_eq!(said, [flag(Flags::RST, 1), frame(Kind::GoAway, NONE, 0, 0)].concat());
    far.feed(&said);
    assert!(far.fate.is_none());
}

#[test]
fn a_hang_up_of_the_peer_before_everything_was_written_is_an_error() {
    let (mut near, opened, ..) = connected();
    near.write(opened, &[7; 40_000]);
    near.close();
    near.fill();
    assert!(near.is_quiet(), "all of it is in the outbox");
    near.feed_end();
    match near.poll_over() {
        Poll::Ready(Err(Error::Io(err))) => {
            assert_eq!(err.kind(), std::io::ErrorKind::UnexpectedEof);
        }
        other => panic!("40000 bytes are lost, and close says {other:?}"),
    }
}

#[test]
fn a_flush_fails_when_the_session_ended_before_all_was_taken() {
    let (mut near, opened, ..) = connected();
    near.write(opened, b"never sent");
    near.end(Error::DriverGone);
    assert!(matches!(error(near.poll_flushed(opened)), Error::DriverGone));

    let (mut near, opened, ..) = connected();
    near.write(opened, b"sent");
    take(&mut near);
    near.end(Error::DriverGone);
    ready(near.poll_flushed(opened));
}

#[test]
fn a_flush_waits_for_the_fin_too() {
    let (mut near, opened, ..) = connected();
    near.shutdown(opened).unwrap();
    assert!(near.poll_flushed(opened).is_pending());
    while near.take_events().is_some() {}
    take(&mut near);
    let (key, events) = near.take_events().unwrap();
    assert!(key == opened && events.writable);
    ready(near.poll_flushed(opened));
}

#[test]
fn the_rest_of_a_frame_for_a_dropped_reader_is_reset_too() {
    let (mut near, opened, ..) = connected();
    near.shutdown(opened).unwrap();
    take(&mut near);
    near.feed(&frame(Kind::Data, NONE, 1, 4));
    near.release(opened);
    near.feed(b"late");
    assert_eq!(take_text(&mut near), ["WindowUpdate RST stream 1 length 0"]);
    assert_empty(&near);
}

#[test]
fn a_go_away_that_is_repeated_wakes_nobody() {
    let (mut near, ..) = connected();
    near.feed(&frame(Kind::GoAway, NONE, 0, 0));
    assert!(near.take_signals().all);
    near.feed(&frame(Kind::GoAway, NONE, 0, 0));
    assert!(!near.take_signals().all);
}
