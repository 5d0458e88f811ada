//! Who may write, when much waits to be sent.

use bytes::Bytes;

use super::*;

const FRAME: usize = 16 * 1024;

/// Three streams of a session in which every queued byte is enough to make others wait.
fn crowded() -> (Session, [Key; 3]) {
    let mut session = client_with(Config { send_bytes_max: 1, ..untuned() });
    let keys = [(); 3].map(|()| ready(session.open()));
    take(&mut session);
    (session, keys)
}

/// What the driver does in one turn.
fn turn(session: &mut Session) {
    session.fill();
    session.admit_writers();
}

fn woken(session: &mut Session) -> Vec<Key> {
    std::iter::from_fn(|| session.take_events())
        .filter(|(_, events)| events.writable)
        .map(|(key, _)| key)
        .collect()
}

#[test]
fn writers_have_turns_of_one_frame_in_the_order_they_came() {
    let (mut session, [a, b, c]) = crowded();
    assert_eq!(ready(session.poll_room(a, 60_000)), 60_000, "nothing waits");
    session.write(a, &[1; 60_000]);
    assert!(session.poll_room(b, 60_000).is_pending());
    assert!(session.poll_room(c, 60_000).is_pending());
    assert!(session.poll_room(b, 60_000).is_pending(), "asking again is no second place");
    turn(&mut session);
    assert_eq!(woken(&mut session), [a, b]);
    assert!(session.poll_room(a, 60_000).is_pending(), "behind those who wait");
    assert_eq!(ready(session.poll_room(b, 60_000)), FRAME);
    session.write(b, &[2; 10_000]);
    assert_eq!(ready(session.poll_room(b, 60_000)), FRAME - 10_000, "the rest of the turn");
    session.write(b, &[2; FRAME - 10_000]);
    assert!(session.poll_room(b, 60_000).is_pending());
    write(&mut session, usize::MAX);
    turn(&mut session);
    assert_eq!(woken(&mut session), [c]);
    assert_eq!(ready(session.poll_room(c, 60_000)), FRAME);
}

#[test]
fn a_small_write_to_an_empty_queue_waits_for_no_turn() {
    let (mut session, [a, b, c]) = crowded();
    session.write(a, &[1; 60_000]);
    assert_eq!(ready(session.poll_room(b, 1024)), 1024);
    assert!(session.poll_room(c, 1025).is_pending());
    session.write(b, &[2; 1024]);
    assert!(session.poll_room(b, 1).is_pending());
}

#[test]
fn what_waits_for_credit_makes_nobody_wait() {
    let (mut session, [a, b, c]) = crowded();
    session.write(a, &vec![1; WINDOW_BYTES_INITIAL as usize]);
    take(&mut session);
    session.write(a, &[1; 10_000]);
    assert_eq!(ready(session.poll_room(a, 5000)), 5000, "up to the limit of its own queue");
    assert_eq!(ready(session.poll_room(b, 5000)), 5000);
    session.feed(&frame(Kind::WindowUpdate, Flags::NONE, 1, 5));
    assert!(session.poll_room(b, 5000).is_pending());
    take(&mut session);
    assert_eq!(ready(session.poll_room(b, 5000)), 5000, "5 bytes are gone, the others wait again");
    session.write(b, &[2; 5000]);
    take(&mut session);
    assert_eq!(ready(session.poll_room(c, 5000)), 5000);
}

#[test]
fn a_flush_waits_for_no_turn() {
    let (mut session, [a, b, _]) = crowded();
    session.write(a, &[1; 10]);
    assert!(session.poll_room(a, 5000).is_pending());
    session.write_bytes(b, &mut Bytes::from(vec![2; 250_000]));
    assert!(session.poll_flushed(a).is_pending());
    turn(&mut session);
    assert!(woken(&mut session).contains(&a), "though much of the other waits to be sent");
    ready(session.poll_flushed(a));
}

#[test]
fn a_chunk_waits_for_its_turn_and_then_goes_whole() {
    let (mut session, [a, b, _]) = crowded();
    session.write(a, &[1; 60_000]);
    assert!(session.poll_room(b, 500_000).is_pending());
    take(&mut session);
    ready(session.poll_room(b, 500_000));
    session.write_bytes(b, &mut Bytes::from(vec![2; 100_000]));
    assert!(session.poll_room(b, 1).is_pending(), "its turn is used up");
}

#[test]
fn small_writes_without_end_do_not_keep_a_writer_from_its_turn() {
    let mut session = client_with(Config { send_bytes_max: 1, ..untuned() });
    let keys = [(); 200].map(|()| ready(session.open()));
    take(&mut session);
    let small_writes = |session: &mut Session| {
        for &key in &keys[1..] {
            if session.poll_room(key, 1024).is_ready() {
                session.write(key, &[1; 1024]);
            }
        }
    };
    small_writes(&mut session);
    assert!(session.poll_room(keys[0], 5000).is_pending());
    turn(&mut session);
    write(&mut session, usize::MAX);
    small_writes(&mut session);
    assert!(session.sendable > 128 * 1024, "there is no room at all");
    assert!(woken(&mut session).contains(&keys[0]));
    assert_eq!(ready(session.poll_room(keys[0], 5000)), 5000);
}

#[test]
fn a_small_write_that_stands_in_line_leaves_it_when_its_queue_is_empty() {
    let (mut session, [a, b, c]) = crowded();
    session.write(a, &[1; 250_000]);
    session.write(b, b"a small message");
    assert!(session.poll_room(c, 5000).is_pending());
    assert!(session.poll_room(b, 1000).is_pending(), "behind its own message");
    turn(&mut session);
    assert!(session.sendable > 1);
    assert_eq!(woken(&mut session), [a, b]);
    assert_eq!(ready(session.poll_room(b, 1000)), 1000);
    assert!(session.writers == [c] && !session.stream(b).in_writers);
}

#[test]
fn a_large_write_that_stands_in_line_is_told_once() {
    let (mut session, [a, b, c]) = crowded();
    session.write(a, &[1; 60_000]);
    session.write(b, b"a small message");
    assert!(session.poll_room(c, 5000).is_pending());
    assert!(session.poll_room(b, 5000).is_pending());
    turn(&mut session);
    assert_eq!(woken(&mut session), [a, c]);
    write(&mut session, usize::MAX);
    turn(&mut session);
    assert_eq!(woken(&mut session), [b]);
}

#[test]
fn a_stream_with_small_writes_without_end_stands_in_line_like_others() {
    let (mut session, [a, b, _]) = crowded();
    session.feed(&frame(Kind::WindowUpdate, Flags::NONE, 1, 10_000_000));
    session.write(a, &[1; 250_000]);
    for _ in 0..4 {
        assert_eq!(ready(session.poll_room(b, 1024)), 1024);
        session.write(b, &[2; 1024]);
        assert!(session.poll_room(b, 1024).is_pending(), "behind its own");
        turn(&mut session);
        write(&mut session, usize::MAX);
        session.write(a, &[1; 120_000]);
    }
    assert!(session.poll_room(b, 1024).is_pending(), "it has had its part without a turn");
    assert_eq!(session.writers, [b]);
    while session.sendable > 0 {
        turn(&mut session);
        write(&mut session, usize::MAX);
    }
    assert!(woken(&mut session).contains(&b));
    assert_eq!(ready(session.poll_room(b, 1024)), 1024);
}

#[test]
fn chunks_of_many_writers_do_not_pile_up() {
    let mut session = client_with(untuned());
    let keys = [(); 60].map(|()| ready(session.open()));
    take(&mut session);
    let chunk = Bytes::from(vec![1; 200_000]);
    let mut most = 0;
    for _ in 0..50 {
        for &key in &keys {
            if session.poll_room(key, chunk.len()).is_ready() {
                session.write_bytes(key, &mut chunk.clone());
            }
        }
        most = most.max(session.sendable);
        turn(&mut session);
        write(&mut session, usize::MAX);
    }
    let turns = session.config.send_bytes_max / FRAME;
    assert!(most <= turns * chunk.len(), "{most} bytes");
}

#[test]
fn what_is_left_of_a_turn_is_no_limit_when_there_is_room() {
    let (mut session, [a, b, c]) = crowded();
    session.write(a, &[1; 60_000]);
    assert!(session.poll_room(b, 60_000).is_pending());
    take(&mut session);
    assert_eq!(ready(session.poll_room(b, 60_000)), FRAME);
    assert!(session.poll_room(c, 60_000).is_pending(), "its turn is his");
    take(&mut session);
    assert_eq!(ready(session.poll_room(c, 60_000)), FRAME, "he did not come");
    session.write(c, &[3; FRAME]);
    take(&mut session);
    assert_eq!(ready(session.poll_room(b, 60_000)), 60_000, "his turn was long ago");
    session.write(b, &[2; 10_000]);
    take(&mut session);
    session.write(a, &[1; 60_000]);
    assert!(session.poll_room(b, 5000).is_pending(), "what he left of it is gone");
}
