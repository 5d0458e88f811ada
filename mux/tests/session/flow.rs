//! Data on its way: back-pressure, chunks, many streams.

use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use futures_util::{AsyncReadExt, AsyncWriteExt, poll};
use mux::{Config, HEADER_BYTES, Session};
use reactor::time;

use crate::support::pipe;
use crate::{read_to_end, run, serve_echo, sessions_over, streams};

#[test]
fn a_ping_is_answered_while_the_streams_are_stuck() {
    run(async {
        let (client, server) = sessions_over(1024, Config::default());
        let near = client.open().await.unwrap();
        let far = server.accept().await.unwrap();
        let chunk = vec![0; 1 << 20];
        // Nobody reads: both directions fill their windows and stop.
        let mut stuck = pin!(join(async { (&near).write_all(&chunk).await }, async {
            (&far).write_all(&chunk).await
        },));
        assert!(poll!(stuck.as_mut()).is_pending());
        time::sleep(Duration::from_secs(1)).await;
        assert!(poll!(stuck.as_mut()).is_pending());
        let (there, back) = join(client.ping(), server.ping()).await;
        there.unwrap();
        back.unwrap();
    });
}

#[test]
fn both_sides_send_at_once_through_a_pipe_of_one_kib() {
    run(async {
        let (client, server) = sessions_over(1024, Config::default());
        drop(reactor::spawn(serve_echo(client.clone())));
        drop(reactor::spawn(serve_echo(server.clone())));
        let asks = [&client, &server].into_iter().flat_map(|session| {
            (0..4u8).map(move |seed| async move {
                let stream = session.open().await.unwrap();
                let data = vec![seed; 1 << 20];
                let write = async {
                    (&stream).write_all(&data).await.unwrap();
                    stream.shutdown().unwrap();
                };
                let ((), (echoed, end)) = join(write, read_to_end(&stream)).await;
                end.unwrap();
                assert!(echoed == data);
            })
        });
        join_all(asks).await;
        client.ping().await.unwrap();
        assert_eq!((client.inbound_streams(), client.outbound_streams()), (0, 0));
        assert_eq!((server.inbound_streams(), server.outbound_streams()), (0, 0));
    });
}

#[test]
fn chunks_travel_whole_and_in_order() {
    run(async {
        let (_client, near, _server, far) = streams().await;
        near.write_bytes(Bytes::from_static(b"small ")).await.unwrap();
        near.write_bytes(Bytes::from(vec![7; 200_000])).await.unwrap();
        near.shutdown().unwrap();
        let mut all = Vec::new();
        while let Some(chunk) = far.read_bytes().await.unwrap() {
            assert!(!chunk.is_empty());
            all.extend_from_slice(&chunk);
        }
        assert_eq!(all.len(), 200_006);
        assert!(all.starts_with(b"small \x07"));
    });
}

#[test]
fn flushing_waits_until_the_writer_has_taken_everything() {
    run(async {
        let (_client, near, _server, far) = streams().await;
        (&near).write_all(&[0; 300_000]).await.unwrap();
        let mut near = &near;
        let mut flush = pin!(near.flush());
        assert!(matches!(poll!(flush.as_mut()), Poll::Pending), "the window is full");
        (&far).read_exact(&mut vec![0; 200_000]).await.unwrap();
        flush.await.unwrap();
    });
}

/// What the first poll of a driver writes that has three chunks of 200,000 bytes to send, and in how
/// many writes.
fn first_turn(config: Config) -> (usize, usize) {
    run(async {
        let (near, mut far) = pipe(1 << 20);
        let tap = near.outgoing();
        let (client, mut driver) = Session::client(near, config);
        let streams = join_all((0..3).map(|_| client.open())).await;
        for stream in &streams {
            stream.as_ref().unwrap().write_bytes(vec![0; 200_000].into()).await.unwrap();
        }
        assert!(poll!(&mut driver).is_pending());
        (far.read(&mut vec![0; 1 << 20]).await.unwrap(), tap.writes())
    })
}

#[test]
fn one_turn_writes_one_batch_of_many_frames_by_one_write() {
    let config = Config { send_bytes_max: 1 << 20, ..Config::default() };
    let (bytes, writes) = first_turn(config.clone());
    // Three SYNs, seven frames of 16 KiB, and one that is cut to what there is room for.
    assert_eq!((bytes, writes), (127 * 1024, 1));
    let large = Config { frame_bytes_max: 200_000, ..config };
    assert_eq!(first_turn(large), (3 * 12 + 12 + 200_000, 1), "a frame larger than a batch");
}

#[test]
fn one_turn_reads_no_more_than_128_kib_and_the_next_goes_on() {
    run(async {
        let (near, far) = pipe(1 << 20);
        let config = Config { send_bytes_max: 1 << 20, ..Config::default() };
        let (client, mut writer) = Session::client(near, config);
        let streams = join_all((0..3).map(|_| client.open())).await;
        for stream in &streams {
            stream.as_ref().unwrap().write_bytes(vec![0; 200_000].into()).await.unwrap();
        }
        let (server, mut reader) = Session::server(far, Config::default());
        for _ in 0..5 {
            assert!(poll!(&mut writer).is_pending());
        }
        let (mut before, mut turns) = (0, Vec::new());
        while before < 600_000 {
            assert!(poll!(&mut reader).is_pending());
            let received = server.stats().bytes_received;
            turns.push(received - before);
            before = received;
        }
        // Less than that of payload, for there are headers.
        assert!(turns.iter().all(|&bytes| bytes < 128 * 1024), "{turns:?}");
        assert_eq!(turns.len(), 5, "{turns:?}");
    });
}

#[test]
fn a_batch_of_chunks_of_one_kib_goes_out_by_one_write() {
    run(async {
        let (near, mut far) = pipe(1 << 20);
        let tap = near.outgoing();
        let config = Config { send_bytes_max: 1 << 20, ..Config::default() };
        let (client, mut driver) = Session::client(near, config);
        let streams = join_all((0..8).map(|_| client.open())).await;
        let streams: Vec<_> = streams.into_iter().map(Result::unwrap).collect();
        for stream in &streams {
            join_all((0..32).map(|_| stream.write_bytes(vec![0; 1024].into()))).await;
        }
        assert!(poll!(&mut driver).is_pending());
        let bytes = far.read(&mut vec![0; 1 << 20]).await.unwrap();
        assert_eq!((bytes, tap.writes()), (127 * 1024, 1));
    });
}

#[test]
fn a_stream_that_is_alone_fills_a_batch() {
    run(async {
        let (near, far) = pipe(1 << 20);
        let tap = near.outgoing();
        let (client, mut driver) = Session::client(near, Config::default());
        let mut stream = client.open().await.unwrap();
        assert!(poll!(&mut driver).is_pending());
        let syn = client.stats().frames_sent;
        let queued = stream.write(&[0; 1 << 20]).await.unwrap();
        assert!(poll!(&mut driver).is_pending());
        let headers = HEADER_BYTES * (client.stats().frames_sent - syn) as usize;
        assert_eq!(tap.writes(), 2, "the SYN, and all that was queued");
        assert!((126 * 1024..=127 * 1024).contains(&(queued + headers)), "{queued} bytes");
        drop(far);
    });
}

#[test]
fn writers_that_give_up_their_turns_hold_up_nobody() {
    run(async {
        let config = Config { send_bytes_max: 1, ..Config::default() };
        let (client, _server) = sessions_over(64 * 1024, config);
        let mut streams = join_all((0..100).map(|_| client.open())).await.into_iter();
        let (first, last) = (streams.next().unwrap().unwrap(), streams.next_back().unwrap());
        let others: Vec<_> = streams.map(Result::unwrap).collect();
        first.write_bytes(vec![0; 5000].into()).await.unwrap();
        for stream in &others {
            let mut given_up = pin!(stream.write_bytes(vec![0; 5000].into()));
            assert!(poll!(given_up.as_mut()).is_pending());
        }
        last.unwrap().write_bytes(vec![0; 5000].into()).await.unwrap();
        assert!(others.iter().all(|stream| stream.stats().unsent_bytes == 0));
    });
}

#[test]
fn a_turn_that_is_not_used_holds_up_nobody() {
    run(async {
        let config = Config { send_bytes_max: 1, keepalive: None, ..Config::default() };
        let (client, _server) = sessions_over(64 * 1024, config);
        let [first, lazy, last] = [client.open(), client.open(), client.open()];
        let (first, lazy, last) = (first.await.unwrap(), lazy.await.unwrap(), last.await.unwrap());
        first.write_bytes(vec![0; 50_000].into()).await.unwrap();
        let mut waits = pin!(lazy.write_bytes(vec![0; 5000].into()));
        assert!(poll!(waits.as_mut()).is_pending());
        time::sleep(Duration::from_secs(1)).await;
        assert_eq!(first.stats().unsent_bytes, 0, "the turn has come");
        last.write_bytes(vec![0; 5000].into()).await.unwrap();
        assert!(poll!(waits.as_mut()).is_ready(), "who comes late to it has it all the same");
    });
}

#[test]
fn the_queues_of_all_streams_are_bounded_together() {
    const KIB: usize = 1024;
    run(async {
        let (near, mut far) = pipe(1 << 20);
        let config = Config { window_bytes_max: 0, ..Config::default() };
        let (client, mut driver) = Session::client(near, config);
        let streams = join_all((0..64).map(|_| client.open())).await;
        let streams: Vec<_> = streams.into_iter().map(Result::unwrap).collect();
        let mut writers = pin!(join_all(
            streams.iter().map(|mut stream| async move { stream.write_all(&[0; 200 * KIB]).await })
        ));
        let unsent = || streams.iter().map(|stream| stream.stats().unsent_bytes).sum::<usize>();
        let (mut sent, mut drained) = (0, vec![0; 1 << 20]);
        while sent < 64 * 200 * KIB {
            let _ = poll!(writers.as_mut());
            // The limit, the write that reaches it, and what a frame is more than the room for it.
            assert!(unsent() <= (256 + 126 + 16) * KIB, "{} are queued", unsent());
            assert!(poll!(&mut driver).is_pending());
            assert!(unsent() <= (256 + 126) * KIB, "{} are left", unsent());
            let written = far.read(&mut drained).await.unwrap();
            sent += written;
            let last = sent > 63 * 200 * KIB;
            assert!(last || written > 100 * KIB, "the queues run empty: {written} after {sent}");
        }
        assert!(poll!(writers.as_mut()).is_ready());
    });
}

#[test]
fn vectored_writes_take_all_that_fits() {
    run(async {
        let (_client, mut near, _server, far) = streams().await;
        let parts = [io::IoSlice::new(b"one "), io::IoSlice::new(b"two")];
        assert_eq!(near.write_vectored(&parts).await.unwrap(), 7);
        near.shutdown().unwrap();
        assert_eq!(read_to_end(&far).await.0, b"one two");
    });
}

#[test]
fn vectored_reads_fill_one_buffer_after_the_other() {
    run(async {
        let (client, mut near, _server, far) = streams().await;
        far.write_bytes("one two three".into()).await.unwrap();
        far.shutdown().unwrap();
        client.ping().await.unwrap();
        let (mut first, mut second) = ([0; 4], [0; 100]);
        let mut parts = [&mut [], &mut first[..], &mut second[..]].map(io::IoSliceMut::new);
        assert_eq!(near.read_vectored(&mut parts).await.unwrap(), 13);
        assert_eq!((&first, &second[..9]), (b"one ", &b"two three"[..]));
        let mut parts = [io::IoSliceMut::new(&mut first)];
        assert_eq!(near.read_vectored(&mut parts).await.unwrap(), 0);
    });
}

#[test]
fn many_streams_echo_at_once() {
    run(async {
        let config = Config { unacked_opens_max: 200, ..Config::default() };
        let (client, server) = sessions_over(16 * 1024, config);
        drop(reactor::spawn(serve_echo(server.clone())));
        let asks = (0..512u32).map(|seed| {
            let client = client.clone();
            async move {
                let stream = client.open().await.unwrap();
                (&stream).write_all(&seed.to_be_bytes().repeat(1000)).await.unwrap();
                stream.shutdown().unwrap();
                let (echoed, end) = read_to_end(&stream).await;
                end.unwrap();
                assert!(echoed == seed.to_be_bytes().repeat(1000));
            }
        });
        join_all(asks).await;
        client.ping().await.unwrap();
        assert_eq!((client.outbound_streams(), server.inbound_streams()), (0, 0));
    });
}
