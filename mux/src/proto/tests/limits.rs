//! Every limit; time-outs are in `timeouts.rs`.

use std::time::Duration;

use super::*;

const NONE: Flags = Flags::NONE;

fn syns(ids: impl IntoIterator<Item = u32>) -> Vec<u8> {
    ids.into_iter().flat_map(|id| flag(Flags::SYN, id)).collect()
}

/// Leaves a frame in the outbox: nothing is taken to be sent while it is there.
fn stop_writing(session: &mut Session) {
    session.feed(&frame(Kind::Ping, Flags::SYN, 0, 0));
    session.fill();
    assert!(!session.outbox.is_empty());
}

#[test]
fn a_stream_beyond_the_backlog_is_reset_and_the_session_lives() {
    let mut session = server_with(Config { accept_backlog_max: 2, ..Config::default() });
    session.feed(&syns([1, 3, 5]));
    assert_eq!(take_text(&mut session), ["WindowUpdate RST stream 5 length 4098"]);
    ready(session.accept());
    session.feed(&syns([7]));
    assert_eq!(take_text(&mut session), ["WindowUpdate ACK stream 1 length 0"]);
    assert_eq!(session.stream_counts(), (3, 0));
}

#[test]
fn a_stream_beyond_the_stream_limit_is_reset_until_a_handle_is_dropped() {
    let mut session = server_with(Config { inbound_streams_max: 1, ..Config::default() });
    session.feed(&syns([1]));
    let key = ready(session.accept());
    take(&mut session);
    // Rapid resets do not help: the slot is free when the handler is gone.
    session.feed(&[flag(Flags::RST, 1), flag(Flags::SYN, 3)].concat());
    assert_eq!(take_text(&mut session), ["WindowUpdate RST stream 3 length 4098"]);
    session.release(key);
    session.feed(&syns([5]));
    assert_eq!(ready(session.accept()).id, 5);
}

#[test]
fn opening_waits_at_the_limits_of_this_side() {
    for config in [
        Config { unacked_opens_max: 2, ..Config::default() },
        Config { outbound_streams_max: 2, ..Config::default() },
    ] {
        let mut session = client_with(config);
        let (first, _) = (ready(session.open()), ready(session.open()));
        assert!(session.open().is_pending());
        session.take_signals();
        session.reset(first, ResetCode::NONE);
        session.release(first);
        assert!(session.take_signals().open);
        assert_eq!(ready(session.open()).id, 5);
    }
}

#[test]
fn an_ack_wakes_an_open_that_waits() {
    let mut session = client_with(Config { unacked_opens_max: 1, ..Config::default() });
    ready(session.open());
    take(&mut session);
    session.take_signals();
    assert!(session.open().is_pending());
    session.feed(&flag(Flags::ACK, 1));
    assert!(session.take_signals().open);
    assert_eq!(ready(session.open()).id, 3);
}

#[test]
fn pings_beyond_the_limit_go_unanswered() {
    let mut session = server_with(Config { pongs_queued_max: 3, ..Config::default() });
    for value in 0..100 {
        session.feed(&frame(Kind::Ping, Flags::SYN, 0, value));
    }
    let expected: Vec<u8> = (0..3).flat_map(|v| frame(Kind::Ping, Flags::ACK, 0, v)).collect();
    assert_eq!(take(&mut session), expected);
    session.feed(&frame(Kind::Ping, Flags::SYN, 0, 9));
    assert_eq!(take(&mut session), frame(Kind::Ping, Flags::ACK, 0, 9));
}

#[test]
fn a_peer_that_leaves_its_replies_unread_is_cut_off() {
    let config = Config {
        accept_backlog_max: 0,
        inbound_streams_max: 0,
        outbound_streams_max: 0,
        resets_queued_max: 4,
        ..Config::default()
    };
    let mut session = server_with(config);
    session.feed(&syns([1, 3, 5, 7]));
    assert!(session.fate.is_none());
    session.feed(&syns([9]));
    assert_violation(&mut session, Rule::RepliesUnread, &flag(Flags::SYN, 9));
}

#[test]
fn resets_by_the_application_count_as_replies_too() {
    let config = Config {
        inbound_streams_max: 1,
        outbound_streams_max: 0,
        resets_queued_max: 4,
        ..Config::default()
    };
    let mut session = server_with(config);
    stop_writing(&mut session);
    for id in [1, 3, 5, 7, 9] {
        session.feed(&syns([id]));
        let key = ready(session.accept());
        session.release(key);
    }
    assert!(session.fate.is_none());
    session.feed(&syns([11]));
    assert!(matches!(&session.fate, Some(Error::Protocol(v)) if v.rule() == Rule::RepliesUnread));
}

#[test]
fn streams_that_are_gone_leave_nothing_in_the_queues() {
    let mut session = server();
    stop_writing(&mut session);
    for round in 0..1000 {
        session.feed(&syns([1]));
        let key = ready(session.accept());
        session.write(key, b"an answer");
        session.feed(&flag(Flags::RST, 1));
        session.release(key);
        while session.take_events().is_some() {}
        let queued = (session.control.len(), session.active.len());
        assert_eq!(queued, (0, 0), "after {round} resets that nobody reads the answers to");
    }
    let mut session = client();
    stop_writing(&mut session);
    for _ in 0..1000 {
        let key = ready(session.open());
        session.release(key);
        assert_eq!(session.control.len(), 0);
    }
}

#[test]
fn limits_may_be_as_large_as_they_get() {
    let mut session = server_with(Config {
        inbound_streams_max: usize::MAX,
        outbound_streams_max: usize::MAX,
        resets_queued_max: usize::MAX,
        empty_frames_max: u32::MAX,
        ..Config::default()
    });
    session.empty_frames = u32::MAX;
    session.feed(&[flag(Flags::SYN, 1), data(NONE, 1, b""), data(NONE, 1, b"x")].concat());
    assert!(session.fate.is_none());
    let key = ready(session.accept());
    assert_eq!(read_all(&mut session, key).0, b"x");
}

#[test]
fn frames_that_do_nothing_have_a_budget_that_payload_fills_up() {
    let mut session = server_with(Config { empty_frames_max: 2, ..Config::default() });
    session.feed(&syns([1]));
    let empty = data(NONE, 1, b"");
    for _ in 0..10 {
        session.feed(&[empty.clone(), data(NONE, 1, b"x")].concat());
    }
    session.feed(&[empty.clone(), frame(Kind::WindowUpdate, NONE, 1, 0)].concat());
    assert!(session.fate.is_none());
    session.feed(&empty);
    assert_violation(&mut session, Rule::EmptyFrames, &empty);
}

#[test]
fn writing_waits_at_the_limit_of_the_send_queue() {
    let config = Config { send_queue_bytes_max: 10, ..Config::default() };
    let mut session = client_with(config);
    let key = ready(session.open());
    assert_eq!(ready(session.poll_room(key, usize::MAX)), 10);
    session.write(key, &[0; 10]);
    assert!(session.poll_room(key, usize::MAX).is_pending());
    assert!(session.poll_flushed(key).is_pending());
    take(&mut session);
    assert_eq!(ready(session.poll_room(key, usize::MAX)), 10);
    ready(session.poll_flushed(key));
}

#[test]
fn streams_closed_before_the_ack_hold_no_slot() {
    let mut session = client_with(Config { unacked_opens_max: 1, ..untuned() });
    for id in (1..200).step_by(2) {
        let key = ready(session.open());
        session.write(key, b"ask");
        session.shutdown(key).unwrap();
        take(&mut session);
        session.feed(&data(Flags::FIN, id, b"an answer without an ACK"));
        session.release(key);
    }
    take(&mut session);
    assert_eq!(session.unacked, 0);
}

#[test]
fn a_window_beyond_the_memory_of_the_session_is_announced_as_far_as_it_goes() {
    let full = WINDOW_BYTES_INITIAL;
    let config = Config { window_bytes: 2 * full, receive_bytes_max: 300_000, ..untuned() };
    let mut session = client_with(config);
    let first = ready(session.open());
    ready(session.open());
    let said: Vec<_> = take_frames(&mut session).iter().map(|(header, _)| header.length).collect();
    assert_eq!(said, [full, 300_000 - full]);
    session.reset(first, ResetCode::NONE);
    session.release(first);
    take(&mut session);
    ready(session.open());
    assert_eq!(take_frames(&mut session)[0].0.length, full, "given back");
}

#[test]
fn values_that_are_too_small_to_work_are_raised() {
    let config = Config {
        window_bytes: 1,
        window_bytes_max: 0,
        send_queue_bytes_max: 0,
        send_bytes_max: 0,
        frame_bytes_max: 0,
        ..Config::default()
    };
    let raised = config.in_range();
    assert_eq!(raised.window_bytes, WINDOW_BYTES_INITIAL);
    assert_eq!(raised.window_bytes_max, WINDOW_BYTES_INITIAL);
    assert_eq!((raised.send_queue_bytes_max, raised.frame_bytes_max), (1, 1));
    assert_eq!(raised.send_bytes_max, 1);
}

#[test]
fn every_limit_is_in_the_book_with_its_default() {
    let book = include_str!("../../../../docs/mux-attacks.md");
    let Config {
        window_bytes,
        window_bytes_max,
        receive_bytes_max,
        send_queue_bytes_max,
        send_bytes_max,
        frame_bytes_max,
        accept_backlog_max,
        inbound_streams_max,
        outbound_streams_max,
        unacked_opens_max,
        pongs_queued_max,
        resets_queued_max,
        resets_per_second_max,
        empty_frames_max,
        open_timeout,
        keepalive,
        keepalive_timeout,
        ping_timeout,
        write_stall_timeout,
        close_timeout,
        stream_close_timeout,
    } = Config::default();
    let rows = [
        ("window_bytes", bytes(window_bytes as usize)),
        ("window_bytes_max", bytes(window_bytes_max as usize)),
        ("receive_bytes_max", bytes(receive_bytes_max)),
        ("send_queue_bytes_max", bytes(send_queue_bytes_max)),
        ("send_bytes_max", bytes(send_bytes_max)),
        ("frame_bytes_max", bytes(frame_bytes_max as usize)),
        ("accept_backlog_max", count(accept_backlog_max)),
        ("inbound_streams_max", count(inbound_streams_max)),
        ("outbound_streams_max", count(outbound_streams_max)),
        ("unacked_opens_max", count(unacked_opens_max)),
        ("pongs_queued_max", count(pongs_queued_max)),
        ("resets_queued_max", count(resets_queued_max)),
        ("resets_per_second_max", count(resets_per_second_max as usize)),
        ("empty_frames_max", count(empty_frames_max as usize)),
        ("open_timeout", time(open_timeout.unwrap())),
        ("keepalive", time(keepalive.unwrap())),
        ("keepalive_timeout", time(keepalive_timeout)),
        ("ping_timeout", time(ping_timeout)),
        ("write_stall_timeout", time(write_stall_timeout)),
        ("close_timeout", time(close_timeout)),
        ("stream_close_timeout", time(stream_close_timeout)),
    ];
    // No field can be forgotten: the pattern names all, and what it names is to be used.
    for (name, default) in &rows {
        let row = format!("| `{name}` | {default} |");
        assert!(book.contains(&row), "docs/mux-attacks.md lacks {row}");
    }
    assert_eq!(book.matches("\n| `").count(), rows.len(), "the book has a limit that is no more");
}

fn bytes(bytes: usize) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}

fn count(count: usize) -> String {
    let (thousands, rest) = (count / 1000, count % 1000);
    if thousands > 0 { format!("{thousands},{rest:03}") } else { rest.to_string() }
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 120 { format!("{} min", seconds / 60) } else { format!("{seconds} s") }
}
