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
    session.fill();
    assert_eq!(woken(&mut session), [a, b]);
    assert!(session.poll_room(a, 60_000).is_pending(), "behind those who wait");
    assert_eq!(ready(session.poll_room(b, 60_000)), FRAME);
    session.write(b, &[2; 10_000]);
    assert_eq!(ready(session.poll_room(b, 60_000)), FRAME - 10_000, "the rest of the turn");
    session.write(b, &[2; FRAME - 10_000]);
    assert!(session.poll_room(b, 60_000).is_pending());
    write(&mut session, usize::MAX);
    session.fill();
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
    assert_eq!(ready(session.poll_room(c, 5000)), 5000, "5 bytes are gone, the others wait again");
}

#[test]
fn a_flush_waits_for_no_turn() {
    let (mut session, [a, b, _]) = crowded();
    session.write(a, &[1; 10]);
    assert!(session.poll_room(a, 5000).is_pending());
    session.write_bytes(b, &mut Bytes::from(vec![2; 250_000]));
    assert!(session.poll_flushed(a).is_pending());
    session.fill();
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
