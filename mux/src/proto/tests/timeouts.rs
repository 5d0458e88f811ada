//! Every time-out, and every alarm of a stream.

use std::time::Duration;

use super::*;
use crate::proto::Alarm;

const NONE: Flags = Flags::NONE;

#[test]
fn a_silent_peer_is_pinged_and_then_given_up() {
    let start = Instant::now();
    let mut session = Session::new(Role::Client, Config::default(), start);
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(session.next_timeout(), Some(at(30)));
    session.tick(at(30));
    assert_eq!(take_text(&mut session), ["Ping SYN stream 0 length 1"]);
    assert_eq!(session.next_timeout(), Some(at(40)));
    session.tick(at(35));
    session.feed(&frame(Kind::Ping, Flags::ACK, 0, 1));
    assert_eq!(session.next_timeout(), Some(at(65)), "30 s after the last receive");
    session.tick(at(65));
    take(&mut session);
    session.tick(at(75));
    let waited = Duration::from_secs(10);
    assert!(matches!(
        session.poll_over(),
        Poll::Ready(Err(Error::KeepaliveTimeout { waited: w })) if w == waited
    ));
    assert_eq!(session.next_timeout(), None);
}

#[test]
fn a_ping_without_answer_does_not_hold_up_the_next() {
    let start = Instant::now();
    let mut session = Session::new(Role::Client, Config::default(), start);
    let lost = session.ping(session.timing.now).unwrap();
    assert_eq!(session.ping(session.timing.now).unwrap(), lost, "shared");
    take(&mut session);
    session.tick(start + Duration::from_secs(11));
    let next = session.ping(session.timing.now).unwrap();
    assert_eq!(take_text(&mut session), ["Ping SYN stream 0 length 2"]);
    session.tick(start + Duration::from_secs(12));
    session.feed(&frame(Kind::Ping, Flags::ACK, 0, 2));
    assert_eq!(ready(session.pong(next)), Duration::from_secs(1));
    assert_eq!(ready(session.pong(lost)), Duration::from_secs(1), "a later answer serves too");
}

#[test]
fn a_ping_holds_up_the_next_for_as_long_as_it_is_waited_for() {
    for (timeout, later, pongs, is_new) in [(1, 2, 3, true), (60, 30, 50, false)] {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let ping_timeout = Duration::from_secs(timeout);
        let config = Config { ping_timeout, keepalive: None, ..untuned() };
        let mut session = Session::new(Role::Client, config, start);
        let first = session.ping(at(0)).unwrap();
        take(&mut session);
        let second = session.ping(at(later)).unwrap();
        assert_eq!((second > first, take(&mut session).len()), (is_new, 12 * usize::from(is_new)));
        session.wind(at(pongs));
        session.feed(&frame(Kind::Ping, Flags::ACK, 0, 1));
        assert_eq!(session.pong(second).is_ready(), !is_new, "an answer that came late");
        session.feed(&frame(Kind::Ping, Flags::ACK, 0, 2));
        let took = if is_new { pongs - later } else { pongs };
        assert_eq!(ready(session.pong(second)), Duration::from_secs(took));
    }
}

#[test]
fn a_ping_that_was_answered_is_not_the_next_one() {
    let mut session = client_with(Config::default());
    let first = session.ping(session.timing.now).unwrap();
    take(&mut session);
    session.feed(&frame(Kind::Ping, Flags::ACK, 0, 1));
    ready(session.pong(first));
    let second = session.ping(session.timing.now).unwrap();
    assert!(second > first && session.pong(second).is_pending());
    assert_eq!(take_text(&mut session), ["Ping SYN stream 0 length 2"]);
}

#[test]
fn a_connection_that_takes_nothing_is_given_up() {
    let start = Instant::now();
    let config = Config { keepalive: None, ..Config::default() };
    let mut session = Session::new(Role::Client, config, start);
    ready(session.open());
    session.fill();
    assert_eq!(session.next_timeout(), Some(start + Duration::from_secs(30)));
    session.tick(start + Duration::from_secs(20));
    write(&mut session, 5);
    assert_eq!(session.next_timeout(), Some(start + Duration::from_secs(50)), "progress");
    session.tick(start + Duration::from_secs(50));
    assert!(matches!(session.poll_over(), Poll::Ready(Err(Error::WriteStall { .. }))));
}

#[test]
fn closing_does_not_wait_for_ever() {
    let (mut near, opened, ..) = connected();
    near.write(opened, &[0; 60_000]);
    take(&mut near);
    for _ in 0..5 {
        near.write(opened, &[0; 60_000]);
        take(&mut near);
    }
    assert!(near.stream(opened).is_unsent(), "the window is full");
    near.close();
    let start = near.timing.now;
    near.tick(start);
    assert_eq!(near.next_timeout(), Some(start + Duration::from_secs(10)));
    near.tick(start + Duration::from_secs(10));
    assert!(matches!(near.poll_over(), Poll::Ready(Err(Error::CloseTimeout { .. }))));
}

#[test]
fn a_peer_that_does_not_hang_up_is_not_waited_for_for_ever() {
    let (mut near, ..) = connected();
    near.close();
    take(&mut near);
    let start = near.timing.now;
    near.tick(start);
    near.tick(start + Duration::from_secs(10));
    assert!(matches!(near.poll_over(), Poll::Ready(Ok(()))));
}

#[test]
fn a_dropped_stream_whose_peer_never_finishes_is_reset_in_time() {
    let (mut near, opened, ..) = connected();
    near.shutdown(opened).unwrap();
    near.release(opened);
    take(&mut near);
    let start = near.timing.now;
    near.tick(start);
    near.tick(start + Duration::from_secs(299));
    take(&mut near);
    near.feed(&data(NONE, 99, b"alive"));
    assert_eq!(near.stream_counts(), (0, 1));
    near.tick(start + Duration::from_secs(300));
    assert_eq!(take_text(&mut near), ["WindowUpdate RST stream 1 length 4102"]);
    assert_empty(&near);
}

#[test]
fn a_stream_that_nobody_accepts_is_reset_in_time() {
    let mut session = client_with(untuned());
    let (lost, kept) = (ready(session.open()), ready(session.open()));
    let start = session.timing.now;
    take(&mut session);
    session.tick(start + Duration::from_secs(30));
    session.feed(&flag(Flags::ACK, 3));
    session.tick(start + Duration::from_secs(70));
    session.feed(&frame(Kind::Ping, Flags::SYN, 0, 1));
    take(&mut session);
    assert_eq!(session.next_timeout(), Some(start + Duration::from_secs(75)));
    session.tick(start + Duration::from_secs(75));
    assert_eq!(take_text(&mut session), ["WindowUpdate RST stream 1 length 4102"]);
    let waited = Duration::from_secs(75);
    for err in [error(session.read(lost, &mut [0])), error(session.poll_room(lost, usize::MAX))] {
        assert!(matches!(err, Error::OpenTimeout { waited: w } if w == waited), "{err:?}");
    }
    assert!(ready(session.poll_room(kept, usize::MAX)) > 0);
    assert_eq!(session.unacked, 0);
}

#[test]
fn streams_that_are_accepted_in_time_are_forgotten_by_the_clock_of_opens() {
    let config = Config { unacked_opens_max: 4, ..untuned() };
    let mut session = client_with(config);
    let stuck = ready(session.open());
    for id in (3..2000).step_by(2) {
        let key = ready(session.open());
        take(&mut session);
        session.feed(&flag(Flags::ACK, id));
        session.reset(key, ResetCode::NONE);
        session.release(key);
        take(&mut session);
        assert!(session.timing.alarms.opens() <= 8);
    }
    session.tick(session.timing.now + Duration::from_secs(29));
    session.feed(&frame(Kind::Ping, Flags::SYN, 0, 1));
    session.tick(session.timing.now + Duration::from_secs(29));
    session.feed(&frame(Kind::Ping, Flags::SYN, 0, 1));
    session.tick(session.timing.now + Duration::from_secs(29));
    assert!(matches!(error(session.poll_room(stuck, usize::MAX)), Error::OpenTimeout { .. }));
}

#[test]
fn a_stream_that_is_gone_takes_its_alarms_along() {
    let (mut near, opened, ..) = connected();
    let now = near.timing.now;
    let in_seconds = |seconds| Some(now + Duration::from_secs(seconds));
    near.tick(now);
    let idle = near.next_timeout();
    near.set_deadline(opened, Alarm::Read, in_seconds(1), now);
    near.set_deadline(opened, Alarm::Write, in_seconds(2), now);
    assert_eq!(near.next_timeout(), in_seconds(1));
    near.shutdown(opened).unwrap();
    take(&mut near);
    near.config.stream_close_timeout = Duration::from_secs(3);
    near.release(opened);
    near.tick(now);
    assert_eq!(near.next_timeout(), in_seconds(3), "deadlines go with the handle");
    near.feed(&flag(Flags::FIN, 1));
    assert_empty(&near);
    assert_eq!(near.next_timeout(), idle);
}

/// A peer may use an id again, against the rules, before the session has looked at the clock.
#[test]
fn a_stream_does_not_inherit_the_time_out_of_one_with_its_id() {
    let mut session = server();
    session.feed(&flag(Flags::SYN, 1));
    let first = ready(session.accept());
    session.shutdown(first).unwrap();
    take(&mut session);
    session.release(first);
    session.feed(&[flag(Flags::FIN, 1), flag(Flags::SYN, 1)].concat());
    let second = ready(session.accept());
    assert_eq!(second, first, "the place of the first was free");
    let start = session.timing.now;
    session.tick(start);
    take(&mut session);
    session.tick(start + session.config.stream_close_timeout);
    assert!(session.poll_stopped(second).is_pending());
}
