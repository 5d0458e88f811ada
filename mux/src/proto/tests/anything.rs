//! Any frames from the peer and any calls of the application, in any order: nothing panics, every
//! queue stays within its bound, and nothing is left in the end.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::proto::Alarm;

#[derive(Clone, Debug)]
enum Step {
    Frame(Header, usize),
    LentFrame(Header, usize),
    Settle,
    Bytes(Vec<u8>),
    FeedEnd,
    Fill,
    Write(usize),
    Admit,
    Tick(u64),
    Open,
    Accept,
    Read(usize, usize),
    ReadBytes(usize),
    Send(usize, usize),
    SendSmall(usize, usize),
    SendBytes(usize, usize),
    Flush(usize),
    Shutdown(usize),
    Reset(usize),
    Release(usize),
    FinishWriting(usize),
    Deadline(usize, bool, Option<u64>),
    Ping,
    GoAway,
    Close,
    Drain,
    Orphan,
}

/// Few ids, most of them the peer's, so that they meet; sizes around the limits.
fn peer_frame() -> impl Strategy<Value = (Header, usize)> {
    let kind = prop_oneof![
        4 => Just(Kind::Data),
        4 => Just(Kind::WindowUpdate),
        1 => Just(Kind::Ping),
        1 => Just(Kind::GoAway),
    ];
    let id = prop_oneof![1 => Just(0u32), 30 => (0u32..4).prop_map(|n| 2 * n + 1), 10 => 1u32..8];
    let flags = prop_oneof![3 => Just(0u16), 3 => Just(1u16), 3 => 0u16..16];
    let length = prop_oneof![4 => 0u32..20, 2 => 1000u32..300_000, 1 => any::<u32>()];
    (kind, flags, id, length, 0usize..40_000).prop_map(|(kind, flags, stream_id, length, sent)| {
        // Any other GoAway ends the session too soon to be of interest.
        let length = if kind == Kind::GoAway { 0 } else { length };
        let sent = if kind == Kind::Data { sent.min(length as usize) } else { 0 };
        (Header { kind, flags: Flags::of(flags), stream_id, length }, sent)
    })
}

/// Chunks may be larger than a frame, and than what all queues may hold.
const CHUNK_BYTES_MAX: usize = 40_000;

fn step() -> impl Strategy<Value = Step> {
    let n = 0usize..8;
    prop_oneof![
        30 => peer_frame().prop_map(|(header, sent)| Step::Frame(header, sent)),
        10 => peer_frame().prop_map(|(header, sent)| Step::LentFrame(header, sent)),
        4 => Just(Step::Settle),
        2 => proptest::collection::vec(0u8..4, 0..30).prop_map(Step::Bytes),
        6 => Just(Step::Fill),
        6 => Just(Step::Admit),
        6 => prop_oneof![0usize..30, 0usize..200_000].prop_map(Step::Write),
        3 => (0u64..40).prop_map(Step::Tick),
        4 => Just(Step::Open),
        8 => Just(Step::Accept),
        4 => (n.clone(), 0usize..200_000).prop_map(|(i, max)| Step::Read(i, max)),
        4 => n.clone().prop_map(Step::ReadBytes),
        6 => (n.clone(), 0usize..200_000).prop_map(|(i, bytes)| Step::Send(i, bytes)),
        6 => (n.clone(), 0usize..1500).prop_map(|(i, bytes)| Step::SendSmall(i, bytes)),
        4 => (n.clone(), 0..CHUNK_BYTES_MAX).prop_map(|(i, bytes)| Step::SendBytes(i, bytes)),
        3 => n.clone().prop_map(Step::Flush),
        3 => n.clone().prop_map(Step::Shutdown),
        2 => n.clone().prop_map(Step::Reset),
        6 => n.clone().prop_map(Step::Release),
        2 => n.clone().prop_map(Step::FinishWriting),
        2 => (n, any::<bool>(), proptest::option::of(0u64..20))
            .prop_map(|(i, read, at)| Step::Deadline(i, read, at)),
        1 => Just(Step::Ping),
        1 => prop_oneof![
            10 => Just(Step::Fill),
            1 => Just(Step::GoAway),
            1 => Just(Step::Close),
            1 => Just(Step::Drain),
            1 => Just(Step::Orphan),
            1 => Just(Step::FeedEnd),
        ],
    ]
}

const RECEIVE_BYTES_MAX: usize = 2 * WINDOW_BYTES_INITIAL as usize;

fn config() -> Config {
    Config {
        window_bytes: WINDOW_BYTES_INITIAL + 1000,
        window_bytes_max: 3 * WINDOW_BYTES_INITIAL,
        receive_bytes_max: RECEIVE_BYTES_MAX,
        resets_per_second_max: 20,
        open_timeout: Some(Duration::from_secs(20)),
        accept_backlog_max: 2,
        inbound_streams_max: 3,
        outbound_streams_max: 3,
        unacked_opens_max: 2,
        pongs_queued_max: 2,
        resets_queued_max: 2,
        send_bytes_max: 20_000,
        stream_close_timeout: Duration::from_secs(15),
        ..Config::default()
    }
}

fn apply(session: &mut Session, handles: &mut Vec<Key>, now: &mut Instant, step: Step) {
    let handle = |i: usize| (!handles.is_empty()).then(|| handles[i % handles.len()]);
    match step {
        Step::Frame(header, sent) => {
            session.feed(&header.encode());
            session.feed(&vec![7; sent]);
        }
        Step::LentFrame(header, sent) => {
            let bytes = [&header.encode()[..], &vec![7; sent]].concat();
            session.feed_lending(&bytes.into(), HEADER_BYTES + sent);
        }
        Step::Settle => session.settle(),
        Step::Bytes(bytes) => session.feed(&bytes),
        Step::FeedEnd => session.feed_end(),
        Step::Fill => session.fill(),
        Step::Admit => session.admit_writers(),
        Step::Write(bytes) => write(session, bytes),
        Step::Tick(seconds) => {
            *now += Duration::from_secs(seconds);
            session.tick(*now);
        }
        Step::Open => {
            if let Poll::Ready(Ok(key)) = session.open() {
                handles.push(key);
            }
        }
        Step::Accept => {
            if let Poll::Ready(Ok(key)) = session.accept() {
                handles.push(key);
            }
        }
        Step::Read(i, max) => {
            handle(i).map(|key| session.read(key, &mut vec![0; max]).is_ready());
        }
        Step::ReadBytes(i) => {
            handle(i).map(|key| session.read_bytes(key).is_ready());
        }
        Step::Send(i, bytes) => {
            let Some(key) = handle(i) else { return };
            if let Poll::Ready(Ok(room)) = session.poll_room(key, usize::MAX) {
                session.write(key, &vec![7; bytes.min(room)]);
            }
        }
        Step::SendSmall(i, bytes) => {
            let Some(key) = handle(i) else { return };
            let message = vec![7; bytes];
            drop(session.write_vectored(key, &[IoSlice::new(&message)]));
        }
        Step::SendBytes(i, bytes) => {
            let Some(key) = handle(i) else { return };
            if let Poll::Ready(Ok(_)) = session.poll_room(key, bytes) {
                session.write_bytes(key, &mut vec![7; bytes].into());
            }
        }
        Step::Flush(i) => {
            handle(i).map(|key| session.poll_flushed(key).is_ready());
        }
        Step::Shutdown(i) => drop(handle(i).map(|key| session.shutdown(key))),
        Step::Reset(i) => drop(handle(i).map(|key| session.reset(key, ResetCode::NONE))),
        Step::Release(i) => {
            if let Some(key) = handle(i) {
                handles.retain(|held| *held != key);
                session.release(key);
            }
        }
        Step::FinishWriting(i) => drop(handle(i).map(|key| session.finish_writing(key))),
        Step::Deadline(i, read, at) => {
            let alarm = if read { Alarm::Read } else { Alarm::Write };
            let at = at.map(|seconds| *now + Duration::from_secs(seconds) - Duration::from_secs(5));
            if let Some(key) = handle(i) {
                session.set_deadline(key, alarm, at, *now);
            }
        }
        Step::Ping => drop(session.ping(*now)),
        Step::GoAway => session.go_away(),
        Step::Close => session.close(),
        Step::Drain => session.drain(),
        Step::Orphan => session.orphan(),
    }
}

fn check(session: &Session, handles: &[Key]) {
    let (inbound, outbound) = session.stream_counts();
    assert_eq!(inbound + outbound, session.streams.len());
    assert!(inbound <= 3 && outbound <= 3 && session.backlog.len() <= 2);
    assert!(session.ids.len() <= session.streams.len());
    let active: HashSet<_> = session.active.iter().collect();
    assert_eq!(active.len(), session.active.len(), "a stream has two turns");
    assert!(active.iter().all(|key| session.streams[key.index as usize].id == key.id));
    let writers: HashSet<_> = session.writers.iter().collect();
    assert_eq!(writers.len(), session.writers.len(), "a stream waits twice");
    assert!(writers.iter().all(|key| session.streams[key.index as usize].id == key.id));
    // Updates and resets of 6 streams, 2 + 2 replies beside, a ping and a GoAway.
    assert!(session.control.len() <= 3 * 6 + 2 + 2 + 2, "{:?}", session.control);
    let (mut unread, mut reserved, mut sendable, mut unsent) = (0, 0, 0, 0);
    for (index, stream) in &session.streams {
        let key = Key { index: index as u32, id: stream.id };
        assert!(stream.window.max() <= 3 * WINDOW_BYTES_INITIAL);
        assert!(stream.recv.len() <= stream.window.max() as usize);
        assert!(stream.send.len() <= session.config.send_queue_bytes_max + CHUNK_BYTES_MAX);
        let held = handles.contains(&key);
        assert_eq!(held, stream.owner == crate::proto::stream::Owner::Handle);
        assert_eq!(stream.in_writers, writers.contains(&key), "stream {}", stream.id);
        assert!(stream.allowance <= session.config.frame_bytes_max);
        unread += stream.recv.len();
        reserved += stream.window.extra() as usize;
        sendable += stream.sendable_bytes();
        unsent += stream.send.len();
    }
    let books = (session.unread, session.reserved, session.sendable, session.unsent);
    assert_eq!((unread, reserved, sendable, unsent), books);
    assert!(unread <= RECEIVE_BYTES_MAX && reserved <= RECEIVE_BYTES_MAX);
}

proptest! {
    #[test]
    fn whatever_comes_in_whatever_order_is_held_within_limits(
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut now = Instant::now();
        let mut session = Session::new(Role::Server, config(), now);
        let mut handles = Vec::new();
        for step in steps {
            apply(&mut session, &mut handles, &mut now, step);
            check(&session, &handles);
        }
        session.end(Error::DriverGone);
        session.orphan();
        handles.into_iter().for_each(|key| session.release(key));
        assert_empty(&session);
    }
}
