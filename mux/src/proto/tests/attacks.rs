//! What an attacker may try, one test for each, and what it makes us hold. docs/mux-attacks.md has
//! the same list.

use std::hash::BuildHasher;
use std::time::Duration;

use super::*;
use crate::proto::alarms::Alarm;
use crate::proto::stream::Stream;
use crate::proto::{BATCH_BYTES, LEND_BYTES_MIN};

const SYN: Flags = Flags::SYN;
const FIN: Flags = Flags::FIN;
const RST: Flags = Flags::RST;
const NONE: Flags = Flags::NONE;
const FULL: usize = WINDOW_BYTES_INITIAL as usize;

/// Everything that the peer can make the session hold.
fn held_bytes(session: &Session) -> usize {
    let each = |(_, stream): (usize, &Stream)| {
        size_of::<Stream>() + stream.recv.memory_bytes() + stream.send.memory_bytes()
    };
    let streams: usize = session.streams.iter().map(each).sum();
    let keys = session.changed.len() + session.active.len() + session.writers.len();
    let keys = keys + session.ids.len() + session.backlog.len() + session.borrowers.len();
    streams + session.outbox.len() + 16 * session.control.len() + 8 * keys
}

/// A session that is as empty as one that was never attacked.
#[track_caller]
fn assert_holds_nothing(session: &Session) {
    assert_eq!(held_bytes(session), 0);
}

#[track_caller]
fn assert_ended_by(session: &Session, rule: Rule) {
    assert!(
        matches!(&session.fate, Some(Error::Protocol(violation)) if violation.rule() == rule),
        "{:?}",
        session.fate
    );
}

/// CVE-2023-44487: open and reset, over and over; the handler is started and stopped each time.
#[test]
fn rapid_resets_are_counted_and_hold_nothing() {
    let config =
        Config { inbound_streams_max: 10, resets_per_second_max: 100, ..Config::default() };
    let (mut session, mut id) = (server_with(config), 1);
    let mut open_and_reset = |session: &mut Session| {
        session.feed(&[flag(SYN, id), flag(RST, id)].concat());
        if let Poll::Ready(Ok(key)) = session.accept() {
            session.release(key);
        }
        while session.take_events().is_some() {}
        id += 2;
        session.fate.is_none()
    };
    for second in 0..3 {
        let free = if second == 0 { 110 } else { 100 };
        for _ in 0..free {
            assert!(open_and_reset(&mut session), "second {second}");
        }
        assert_empty(&session);
        session.tick(session.timing.now + Duration::from_secs(1));
    }
    let more = (0..1000).take_while(|_| open_and_reset(&mut session)).count();
    assert_eq!(more, 100, "the last second's worth");
    assert_ended_by(&session, Rule::Resets);
    assert!(held_bytes(&session) < 1000);
}

#[test]
fn what_happens_to_streams_that_nobody_holds_is_noted_for_nobody() {
    let mut session = server();
    for id in (1..1000).step_by(2) {
        session.feed(&[data(SYN, id, b"x"), flag(RST, id)].concat());
    }
    assert!(session.changed.is_empty() && session.fate.is_none());
}

/// The other way round (CVE-2025-8671): the peer makes us reset, by data after its FIN.
#[test]
fn resets_that_the_peer_provokes_are_counted_too() {
    let config =
        Config { inbound_streams_max: 10, resets_per_second_max: 100, ..Config::default() };
    let mut session = server_with(config);
    for id in (1..1000).step_by(2) {
        session.feed(&[data(SYN | FIN, id, b"all"), data(NONE, id, b"more")].concat());
        if session.fate.is_some() {
            assert_eq!(id, 2 * 110 + 1, "as many as streams at once, and a second's worth");
            break;
        }
        let key = ready(session.accept());
        session.release(key);
        take(&mut session);
        while session.take_events().is_some() {}
        assert_holds_nothing(&session);
    }
    assert_ended_by(&session, Rule::Resets);
    assert!(held_bytes(&session) < 1000);
}

/// A client that gives up everything it has asked for does no wrong.
#[test]
fn resetting_all_streams_at_once_is_no_attack() {
    let config = Config { accept_backlog_max: 1024, ..Config::default() };
    let mut session = server_with(config);
    let ids = (0..1024).map(|n| 2 * n + 1);
    session.feed(&ids.clone().flat_map(|id| flag(SYN, id)).collect::<Vec<_>>());
    let held = held_bytes(&session);
    assert!(held < 1024 * 220, "{held} bytes");
    session.feed(&ids.flat_map(|id| flag(RST, id)).collect::<Vec<_>>());
    assert!(session.fate.is_none());
    assert!(held_bytes(&session) <= held, "the backlog stays until it is accepted");
    while let Poll::Ready(Ok(key)) = session.accept() {
        session.release(key);
    }
    assert_holds_nothing(&session);
}

/// CVE-2019-9512, -9514, -9515: requests whose answers nobody reads.
#[test]
fn replies_that_nobody_reads_do_not_pile_up() {
    let mut session = server();
    session.feed(&frame(Kind::Ping, SYN, 0, 0));
    session.fill();
    for n in 0..100_000 {
        session.feed(&frame(Kind::Ping, SYN, 0, n));
        session.feed(&flag(SYN, 2 * n + 1));
        if n % 100 == 0 {
            let held = held_bytes(&session);
            assert!(held < 135_000, "{held} bytes");
        }
        if session.fate.is_some() {
            break;
        }
    }
    assert_ended_by(&session, Rule::RepliesUnread);
}

/// CVE-2026-31814: credit that wraps around.
#[test]
fn credit_that_would_wrap_around_ends_the_session_and_grants_nothing() {
    let mut session = server();
    session.feed(&flag(SYN, 1));
    let key = ready(session.accept());
    session.feed(&frame(Kind::WindowUpdate, NONE, 1, u32::MAX));
    assert_ended_by(&session, Rule::CreditOverflow);
    assert_eq!(session.stream(key).credit.available(), WINDOW_BYTES_INITIAL);
    assert!(held_bytes(&session) < 300);
}

/// CVE-2026-32314: a first frame larger than the window it does not have yet.
#[test]
fn a_syn_with_more_than_the_window_makes_no_stream() {
    let mut session = server();
    session.feed(&frame(Kind::Data, SYN, 1, WINDOW_BYTES_INITIAL + 1));
    assert_ended_by(&session, Rule::WindowExceeded);
    assert!(session.streams.is_empty() && held_bytes(&session) < 100);
}

/// CVE-2026-84304: 8 MiB held for 256 KiB, when each fragment is kept as it comes.
#[test]
fn fragments_of_one_byte_cost_what_they_carry() {
    for step in [1, 2, 63, 257] {
        let mut session = server();
        session.feed(&flag(SYN, 1));
        for _ in 0..FULL / step {
            session.feed(&data(NONE, 1, &vec![0; step]));
        }
        assert!(session.unread > FULL - step);
        assert!(held_bytes(&session) < FULL * 11 / 10, "{} bytes in {step}s", held_bytes(&session));
    }
}

/// CVE-2019-9518: frames that do nothing.
#[test]
fn empty_frames_have_a_budget() {
    let mut session = server();
    session.feed(&flag(SYN, 1));
    for n in 0..=1024 {
        assert!(session.fate.is_none(), "after {n}");
        session.feed(&[data(NONE, 1, b""), flag(NONE, 1)][n % 2]);
        assert!(held_bytes(&session) < 300);
    }
    assert_ended_by(&session, Rule::EmptyFrames);
}

/// The same with flags that say nothing new, of a stream that lives.
#[test]
fn flags_that_change_nothing_have_the_budget_of_empty_frames() {
    let again =
        [flag(FIN, 1), data(FIN, 1, b""), flag(Flags::ACK, 1), data(Flags::ACK | FIN, 1, b"")];
    for again in again {
        let mut session = server_with(Config { empty_frames_max: 10, ..Config::default() });
        session.feed(&[flag(SYN, 1), flag(FIN, 1)].concat());
        for _ in 0..10 {
            session.feed(&again);
        }
        assert!(session.fate.is_none());
        assert_eq!(session.stats().frames_empty, 10);
        session.feed(&again);
        assert_ended_by(&session, Rule::EmptyFrames);
    }
}

/// And of streams that are gone, as far as no honest peer goes.
#[test]
fn flags_may_be_late_three_times_for_each_stream_and_then_count_as_empty() {
    let mut session = client_with(Config { empty_frames_max: 10, ..Config::default() });
    for id in (1..20_000).step_by(2) {
        // All that it says of a stream is late, and there is no payload to make up for it.
        let key = ready(session.open());
        take(&mut session);
        session.release(key);
        take(&mut session);
        session.feed(&[flag(Flags::ACK, id), data(FIN, id, b""), flag(RST, id)].concat());
    }
    assert_eq!(session.stats().frames_empty, 0);
    for _ in 0..11 {
        assert!(session.fate.is_none());
        session.feed(&flag(RST, 2001));
    }
    assert_ended_by(&session, Rule::EmptyFrames);
}

#[test]
fn a_flood_of_pings_and_forged_pongs_is_answered_within_bounds_and_believed_never() {
    let mut session = server();
    let ticket = session.ping(session.timing.now).unwrap();
    take(&mut session);
    for n in 2..100_000 {
        session.feed(&frame(Kind::Ping, Flags::ACK, 0, n));
        session.feed(&frame(Kind::Ping, SYN, 0, n));
        assert!(held_bytes(&session) <= 32 * 16);
    }
    assert!(session.pong(ticket).is_pending());
    assert_eq!(session.rtt(), None);
    assert_eq!(take_text(&mut session).len(), 32);
    let stats = session.stats();
    assert_eq!((stats.pings_received, stats.pongs_received), (100_000 - 2, 0));
    assert_eq!(stats.pings_ignored, 100_000 - 2 - 32);
}

/// CVE-2022-23492: streams without end.
#[test]
fn a_flood_of_streams_stops_at_the_limits() {
    let mut session = server();
    for n in 0..20_000 {
        session.feed(&flag(SYN, 2 * n + 1));
        if n % 100 == 0 {
            // The peer reads, or it would be found out by that.
            take(&mut session);
        }
        assert!(session.streams.len() <= 256 && session.ids.len() <= 256);
    }
    assert!(held_bytes(&session) < 256 * 220 + 100 * 16);
    assert!(session.fate.is_none());
    let stats = session.stats();
    assert_eq!((stats.streams_received, stats.streams_refused, stats.backlog), (256, 19_744, 256));
    while session.accept().is_ready() {}
    for n in 20_000..40_000 {
        session.feed(&flag(SYN, 2 * n + 1));
        take(&mut session);
        while session.accept().is_ready() {}
        assert!(session.streams.len() <= 1024);
    }
    assert!(held_bytes(&session) < 1024 * 220);
    assert_eq!(session.stream_counts(), (1024, 0));
}

/// tentacle#437: streams that are filled and never read, until the memory is gone.
#[test]
fn what_nobody_reads_stays_within_the_memory_of_the_session() {
    let config = Config { receive_bytes_max: 1 << 20, ..Config::default() };
    let mut session = server_with(config);
    session.feed(&[flag(SYN, 1), data(NONE, 1, b"a modest stream")].concat());
    let modest = ready(session.accept());
    for n in 1..=20 {
        session.feed(&flag(SYN, 2 * n + 1));
        ready(session.accept());
        session.feed(&data(NONE, 2 * n + 1, &vec![0; 200_000]));
        assert!(session.unread <= 1 << 20);
        assert!(held_bytes(&session) < (1 << 20) * 11 / 10);
    }
    assert!(session.fate.is_none());
    let said = take_text(&mut session);
    let resets = said.iter().filter(|frame| frame.contains("RST") && frame.ends_with("4098"));
    assert_eq!(resets.count(), 15, "five of them fit: {said:?}");
    assert_eq!(read_all(&mut session, modest).0, b"a modest stream");
}

#[test]
fn the_reader_of_a_stream_that_was_reset_for_its_memory_is_told() {
    let config = Config { receive_bytes_max: 1000, ..Config::default() };
    let mut session = server_with(config);
    // One that is over on the wire, and one that is not.
    session.feed(&data(SYN | FIN, 1, &[0; 600]));
    let first = ready(session.accept());
    session.shutdown(first).unwrap();
    take(&mut session);
    session.feed(&data(SYN, 3, &[0; 700]));
    let second = ready(session.accept());
    let err = error(session.read(second, &mut [0; 9]));
    let code = ResetCode::RESOURCE_LIMIT_EXCEEDED;
    assert!(matches!(err, Error::Reset { by: Initiator::Local, code: c } if c == code), "{err:?}");
    assert_eq!(read_all(&mut session, first).0.len(), 600);

    session.feed(&data(SYN | FIN, 5, &[0; 900]));
    let third = ready(session.accept());
    session.shutdown(third).unwrap();
    take(&mut session);
    session.feed(&data(SYN, 7, &[0; 200]));
    let err = error(session.read(third, &mut [0; 9]));
    assert!(matches!(err, Error::Reset { by: Initiator::Local, code: c } if c == code), "{err:?}");
}

/// tentacle#309, H#88: an end that is never answered.
#[test]
fn a_peer_that_never_finishes_holds_neither_stream_nor_session() {
    let (mut near, opened, ..) = connected();
    near.shutdown(opened).unwrap();
    near.release(opened);
    take(&mut near);
    near.tick(near.timing.now);
    near.feed(&data(NONE, 99, b"alive"));
    let keepalive_is_answered = |near: &mut Session, seconds| {
        for _ in 0..seconds / 20 {
            near.tick(near.timing.now + Duration::from_secs(20));
            near.feed(&data(NONE, 99, b"alive"));
            take(near);
        }
    };
    keepalive_is_answered(&mut near, 300);
    assert_eq!(near.stream_counts(), (0, 0));
    assert_holds_nothing(&near);
    near.close();
    take(&mut near);
    near.tick(near.timing.now);
    near.tick(near.timing.now + Duration::from_secs(10));
    assert!(near.poll_over().is_ready());
}

/// GHSA-29qp-crvh-w22m: a peer that takes nothing from its end of the connection.
#[test]
fn a_peer_that_never_reads_is_left_and_holds_what_all_queues_may_hold_together() {
    let mut session = server();
    session.feed(&(0..10).flat_map(|n| flag(SYN, 2 * n + 1)).collect::<Vec<_>>());
    let keys: Vec<_> = (0..10).map(|_| ready(session.accept())).collect();
    // Whoever may write does, until nobody may any more.
    for _ in 0..100 {
        for &key in &keys {
            while let Poll::Ready(Ok(room)) = session.poll_room(key, usize::MAX) {
                session.write(key, &vec![0; room]);
            }
        }
        session.fill();
        session.admit_writers();
    }
    assert!(keys.iter().all(|&key| session.poll_room(key, usize::MAX).is_pending()));
    // The limit, the write that reaches it, and what is being written.
    let config = &session.config;
    let queues = config.send_bytes_max + config.send_queue_bytes_max;
    let frame = config.frame_bytes_max as usize;
    assert!(session.unsent <= queues + frame, "{} bytes", session.unsent);
    let held = held_bytes(&session);
    assert!(held <= queues + frame + BATCH_BYTES + 10 * 300, "{held} bytes");
    session.tick(session.timing.now + Duration::from_secs(30));
    assert!(matches!(session.poll_over(), Poll::Ready(Err(Error::WriteStall { .. }))));
}

/// A peer that reads everything and grants nothing: what waits for its credit is not part of what all
/// queues may hold together, or it would make the writers of other streams wait for ever.
#[test]
fn a_peer_that_takes_the_window_and_grants_no_credit_holds_a_queue_for_each_stream() {
    let mut session = server();
    let queue = session.config.send_queue_bytes_max;
    let mut keys = Vec::new();
    for n in 1..=10 {
        session.feed(&flag(SYN, 2 * n + 1));
        let key = ready(session.accept());
        session.write(key, &vec![0; FULL]);
        take(&mut session);
        while let Poll::Ready(Ok(room)) = session.poll_room(key, 10_000) {
            session.write(key, &vec![0; room]);
        }
        keys.push(key);
        assert!(take(&mut session).is_empty(), "there is no credit");
        assert_eq!(session.stats().unsent_bytes, keys.len() * queue);
        let held = held_bytes(&session);
        assert!(held <= keys.len() * (queue + queue / 10), "{held} bytes of {n} streams");
    }
    // What the application has against it: a deadline ends the write, and a reset what is queued.
    let now = session.timing.now;
    for key in keys {
        session.set_deadline(key, Alarm::Write, Some(now), now);
        assert!(matches!(error(session.poll_room(key, 1)), Error::DeadlineExceeded));
        session.reset(key, ResetCode::NONE);
        session.release(key);
    }
    take(&mut session);
    while session.take_events().is_some() {}
    assert_holds_nothing(&session);
}

/// tentacle#441: ids that fall into one place of a table. Who finds out which ones do so in one
/// session has found nothing about another.
#[test]
fn ids_that_collide_in_one_session_are_spread_in_the_next() {
    const PLACES: u64 = 2048;
    let config = Config { accept_backlog_max: 1024, ..Config::default() };
    let (a, mut b) = (server(), server_with(config));
    let place = |session: &Session, id: u32| session.ids.hasher().hash_one(id) % PLACES;
    let collide: Vec<_> = (1..1 << 20).step_by(2).filter(|&id| place(&a, id) == 0).collect();
    let mut load = vec![0; PLACES as usize];
    collide.iter().for_each(|&id| load[place(&b, id) as usize] += 1);
    let (ids, most) = (collide.len(), load.into_iter().max().unwrap());
    assert!(ids > 100, "{ids} ids collide in the one");
    assert!(most < 12, "{most} of {ids} ids in one place of the other");
    collide.iter().for_each(|&id| b.feed(&flag(SYN, id)));
    assert_eq!((b.streams.len(), b.ids.len()), (ids, ids));
    // No more than as many other ids would.
    let (held, places) = (held_bytes(&b), b.ids.capacity());
    assert!(held < ids * 220 && places < 4 * ids, "{held} bytes, {places} places for {ids} ids");
}

/// A length that is announced, and nothing behind it.
#[test]
fn an_announced_length_allocates_nothing() {
    let mut session = server();
    session.feed(&[flag(SYN, 1), frame(Kind::Data, NONE, 1, WINDOW_BYTES_INITIAL)].concat());
    let key = ready(session.accept());
    assert_eq!(session.stream(key).recv.memory_bytes(), 0);
    session.feed(b"x");
    assert!(session.stream(key).recv.memory_bytes() < 300);
    assert!(held_bytes(&session) < 600);
}

/// A part of each read for a stream that nobody reads, with single bytes between, so that it holds
/// the reads as a whole, or a new block for each byte.
#[test]
fn parts_of_reads_that_nobody_takes_cost_what_they_carry() {
    let mut session = server();
    session.feed(&flag(SYN, 1));
    let part = [data(NONE, 1, b"x"), data(NONE, 1, &[0; LEND_BYTES_MIN])].concat();
    while session.unread < FULL - LEND_BYTES_MIN {
        let mut read = part.clone();
        read.resize(64 * 1024, 0);
        let buffer = bytes::Bytes::from(read);
        assert!(session.feed_lending(&buffer, part.len()));
        session.settle();
        assert!(buffer.is_unique(), "the rest of the read is held");
    }
    assert!(held_bytes(&session) < FULL * 13 / 10, "{} bytes", held_bytes(&session));
}
