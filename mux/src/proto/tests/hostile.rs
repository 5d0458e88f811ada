//! What a peer must not do, and what it may get wrong without harm to others.

use super::*;

const SYN: Flags = Flags::SYN;
const FIN: Flags = Flags::FIN;
const NONE: Flags = Flags::NONE;
const MAX: u32 = u32::MAX;
const FULL: u32 = WINDOW_BYTES_INITIAL;

/// Frames that end a session: the frames before, the rule, the frame that breaks it.
fn broken_rules() -> Vec<(Vec<u8>, Rule, Vec<u8>)> {
    let open = flag(SYN, 1);
    let mut version = flag(SYN, 1);
    version[0] = 1;
    let mut kind = flag(SYN, 1);
    kind[1] = 4;
    let full = [open.clone(), data(NONE, 1, &vec![0; FULL as usize])].concat();
    vec![
        (vec![], Rule::Version, version),
        (vec![], Rule::Type, kind),
        (vec![], Rule::StreamZero, data(NONE, 0, b"x")),
        (vec![], Rule::StreamZero, flag(SYN, 0)),
        (vec![], Rule::Parity, flag(SYN, 2)),
        (vec![], Rule::Parity, frame(Kind::Data, SYN, 2, 5)),
        (open.clone(), Rule::DuplicateSyn, flag(SYN, 1)),
        (open.clone(), Rule::DuplicateSyn, frame(Kind::Data, SYN, 1, 0)),
        (vec![], Rule::WindowExceeded, frame(Kind::Data, SYN, 1, FULL + 1)),
        (open.clone(), Rule::WindowExceeded, frame(Kind::Data, NONE, 1, FULL + 1)),
        (open.clone(), Rule::WindowExceeded, frame(Kind::Data, NONE, 1, MAX)),
        (full, Rule::WindowExceeded, frame(Kind::Data, NONE, 1, 1)),
        (vec![], Rule::CreditOverflow, frame(Kind::WindowUpdate, SYN, 1, MAX)),
        (open, Rule::CreditOverflow, frame(Kind::WindowUpdate, NONE, 1, MAX)),
    ]
}

#[test]
fn a_broken_rule_ends_the_session_and_is_named() {
    for (before, rule, bad) in broken_rules() {
        let mut session = server();
        session.feed(&before);
        assert!(session.fate.is_none(), "{rule:?}: the frames before are in order");
        let streams = session.stream_counts();
        session.feed(&bad);
        assert_eq!(session.stream_counts(), streams, "{rule:?}: found before there is any state");
        assert_violation(&mut session, rule, &bad);
    }
}

#[test]
fn a_broken_rule_is_found_however_the_bytes_are_cut() {
    for (before, rule, bad) in broken_rules() {
        let mut session = server();
        session.feed(&before);
        bad[..HEADER_BYTES].iter().for_each(|byte| session.feed(&[*byte]));
        assert_violation(&mut session, rule, &bad);
    }
}

#[test]
fn nothing_after_the_broken_rule_is_looked_at() {
    let mut session = server();
    let bad = flag(SYN, 2);
    session.feed(&[bad.clone(), flag(SYN, 1), data(NONE, 1, b"late")].concat());
    assert_violation(&mut session, Rule::Parity, &bad);
    assert_eq!(session.stream_counts(), (0, 0));
}

#[test]
fn data_after_the_fin_resets_the_stream_alone() {
    let mut session = server();
    session
        .feed(&[flag(SYN, 1), flag(SYN, 3), data(FIN, 1, b"all"), data(NONE, 1, b"more")].concat());
    assert_eq!(take_text(&mut session), ["WindowUpdate RST stream 1 length 4100"]);
    let key = ready(session.accept());
    assert_eq!(read_all(&mut session, key), (b"all".to_vec(), true));
    let err = error(session.poll_room(key, usize::MAX));
    assert!(matches!(err, Error::Reset { by: Initiator::Local, .. }));
    let other = ready(session.accept());
    session.feed(&data(NONE, 3, b"unharmed"));
    assert_eq!(read_all(&mut session, other).0, b"unharmed");
}

#[test]
fn frames_of_unknown_streams_are_discarded() {
    let mut session = server();
    let unknown = [
        data(NONE, 1, b"who?"),
        data(FIN, 7, b""),
        frame(Kind::WindowUpdate, NONE, 9, MAX),
        flag(Flags::RST, 11),
        flag(Flags::ACK, 2),
        flag(SYN | Flags::RST, 13),
    ];
    session.feed(&unknown.concat());
    assert!(session.fate.is_none());
    assert_empty(&session);
    session.feed(&[flag(SYN, 1), data(NONE, 1, b"me")].concat());
    let key = ready(session.accept());
    assert_eq!(read_all(&mut session, key).0, b"me");
}

#[test]
fn a_second_fin_and_unknown_flags_are_ignored() {
    let mut session = server();
    session.feed(&[flag(SYN | Flags::of(0x40), 1), data(FIN, 1, b"all")].concat());
    session.feed(&[flag(FIN, 1), data(FIN, 1, b"")].concat());
    let key = ready(session.accept());
    assert_eq!(read_all(&mut session, key), (b"all".to_vec(), true));
    session.shutdown(key).unwrap();
    session.release(key);
    take(&mut session);
    assert_empty(&session);
}

#[test]
fn a_pong_that_was_not_asked_for_is_ignored() {
    let mut session = server();
    session.feed(&frame(Kind::Ping, Flags::ACK, 0, 1));
    let ticket = session.ping(session.timing.now).unwrap();
    session.feed(&frame(Kind::Ping, Flags::ACK, 0, 1));
    assert!(session.pong(ticket).is_pending(), "not even sent yet");
    take(&mut session);
    session.feed(&frame(Kind::Ping, Flags::ACK, 0, 2));
    assert!(session.pong(ticket).is_pending(), "another value");
    session.feed(&frame(Kind::Ping, Flags::ACK, 0, 1));
    assert!(session.pong(ticket).is_ready());
}

#[test]
fn an_end_within_a_frame_is_an_error() {
    for cut in [5, HEADER_BYTES + 12 + 2] {
        let mut session = server();
        session.feed(&[flag(SYN, 1), data(NONE, 1, b"four")].concat()[..cut]);
        session.feed_end();
        match session.poll_over() {
            Poll::Ready(Err(Error::Io(err))) => {
                assert_eq!(err.kind(), std::io::ErrorKind::UnexpectedEof);
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}
