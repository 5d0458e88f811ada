//! What sessions hold, counted by the allocator: an idle stream, and what a hostile peer can make of
//! it.

#[path = "support/mod.rs"]
mod support;

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::{AsyncReadExt, AsyncWriteExt, poll};
use mux::{Config, Flags, Header, Kind, Session, Stream};
use peak_alloc::PeakAlloc;
use reactor::time;
use support::{End, pipe};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The allocator counts for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// On a thread of its own, which has given back all of its memory when the next test begins.
fn run<T: Send>(test: impl AsyncFnOnce() -> T + Send) -> T {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let test = || {
        let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
        let bounded = async { time::timeout(Duration::from_secs(7200), test()).await };
        runtime.block_on(bounded).expect("stuck")
    };
    thread::scope(|scope| scope.spawn(test).join()).unwrap()
}

fn sessions(config: &Config) -> (Session, Session) {
    let (near, far) = pipe(64 * 1024);
    let (client, driver) = Session::client(near, config.clone());
    drop(reactor::spawn(driver));
    let (server, driver) = Session::server(far, config.clone());
    drop(reactor::spawn(driver));
    (client, server)
}

async fn open(client: &Session, server: &Session, streams: usize) -> (Vec<Stream>, Vec<Stream>) {
    let (mut opened, mut accepted) = (Vec::with_capacity(1000), Vec::with_capacity(1000));
    for _ in 0..streams / 100 {
        for stream in join_all((0..100).map(|_| client.open())).await {
            opened.push(stream.unwrap());
            accepted.push(server.accept().await.unwrap());
        }
    }
    client.ping().await.unwrap();
    server.ping().await.unwrap();
    (opened, accepted)
}

/// DESIGN.md's goal: the slab entry, two places for wakers and the map of ids, on either side.
const IDLE_STREAM_BYTES_MAX: usize = 200;

/// What a stream holds on one side, once `use_them` has had 1,000 of them.
fn bytes_per_stream(use_them: impl AsyncFnOnce(&Session, &[Stream], &[Stream]) + Send) -> usize {
    run(async || {
        let (client, server) = sessions(&Config::default());
        join_all([client.ping(), server.ping()]).await;
        let before = ALLOCATOR.current_usage();
        let (opened, accepted) = open(&client, &server, 1000).await;
        use_them(&client, &opened, &accepted).await;
        let handles = 2 * 1000 * size_of::<Stream>();
        (ALLOCATOR.current_usage() - before - handles) / 2000
    })
}

#[test]
fn an_idle_stream_costs_at_most_200_bytes() {
    let each = bytes_per_stream(async |_, _, _| {});
    assert!(each <= IDLE_STREAM_BYTES_MAX, "{each} bytes");
}

#[test]
fn a_stream_that_has_been_used_costs_no_more_than_200_bytes() {
    let each = bytes_per_stream(async |client, opened, accepted| {
        for (near, far) in opened.iter().zip(accepted) {
            near.write_bytes(vec![0; 3000].into()).await.unwrap();
            assert_eq!(far.read_bytes().await.unwrap().unwrap().len(), 3000);
        }
        client.ping().await.unwrap();
    });
    assert!(each <= IDLE_STREAM_BYTES_MAX, "{each} bytes");
}

#[test]
fn streams_that_are_gone_give_their_memory_back() {
    run(async || {
        let (client, server) = sessions(&Config::default());
        drop(open(&client, &server, 1000).await);
        client.ping().await.unwrap();
        let before = ALLOCATOR.current_usage();
        for _ in 0..5 {
            drop(open(&client, &server, 1000).await);
            client.ping().await.unwrap();
        }
        assert!(ALLOCATOR.current_usage() <= before + 10_000);
    });
}

fn frame(kind: Kind, flags: Flags, stream_id: u32, length: u32) -> [u8; 12] {
    Header { kind, flags, stream_id, length }.encode()
}

/// The most that a server's memory grows by while a hostile peer says what `attack` makes of the
/// numbers from 0 on, and reads what it is answered unless `deaf`.
async fn growth(config: Config, deaf: bool, attack: impl Fn(u32) -> Option<Vec<u8>>) -> usize {
    let (near, mut far): (End, End) = pipe(64 * 1024);
    let (server, driver) = Session::server(near, config);
    drop(reactor::spawn(driver));
    let mut held = Vec::with_capacity(100_000);
    let mut drain = vec![0; 64 * 1024];
    // The buffer of the driver and the pipe's are there before it begins.
    far.write_all(&frame(Kind::Ping, Flags::SYN, 0, 1)).await.unwrap();
    far.read_exact(&mut drain[..12]).await.unwrap();
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    for said in (0..).map_while(&attack) {
        if far.write_all(&said).await.is_err() {
            break;
        }
        while server.stats().backlog > 0 {
            held.push(server.accept().await.unwrap());
        }
        if !deaf {
            let read = far.read(&mut drain);
            let _ = futures_util::FutureExt::now_or_never(read);
        }
    }
    // What is still in the pipe arrives.
    time::sleep(Duration::from_millis(1)).await;
    ALLOCATOR.peak_usage() - before
}

const KIB: usize = 1024;

#[test]
fn fragments_of_one_byte_are_held_as_what_they_carry() {
    let grown = run(async || {
        growth(Config::default(), false, |n| match n {
            0 => Some(frame(Kind::WindowUpdate, Flags::SYN, 1, 0).to_vec()),
            1..=200_000 => Some([&frame(Kind::Data, Flags::NONE, 1, 1)[..], b"x"].concat()),
            _ => None,
        })
        .await
    });
    assert!((200_000..350 * KIB).contains(&grown), "{grown} bytes for 200000");
}

#[test]
fn a_part_of_a_read_does_not_hold_on_to_the_rest() {
    let grown = run(async || growth(Config::default(), false, a_part_of_each_read(32)).await);
    assert!((256 * KIB..600 * KIB).contains(&grown), "{grown} bytes for 256 KiB");
}

/// Rounds of 8 KiB that somebody wants, and 56 KiB that nobody does.
fn a_part_of_each_read(rounds: u32) -> impl Fn(u32) -> Option<Vec<u8>> {
    move |n| {
        let (kept, lost) = (vec![0; 8192], vec![0; 56 * KIB - 24]);
        let syn = if n == 0 { Flags::SYN } else { Flags::NONE };
        let kept = [&frame(Kind::Data, syn, 1, 8192)[..], &kept].concat();
        let lost = [&frame(Kind::Data, Flags::NONE, 99, 56 * 1024 - 24)[..], &lost].concat();
        (n < rounds).then(|| [kept, lost].concat())
    }
}

#[test]
fn chunks_that_are_kept_hold_on_to_few_of_the_reads_they_came_in() {
    let grown = run(async || {
        let (near, mut far): (End, End) = pipe(64 * KIB);
        let (server, driver) = Session::server(near, Config::default());
        drop(reactor::spawn(driver));
        let mut kept = Vec::with_capacity(1000);
        let attack = a_part_of_each_read(128);
        let before = ALLOCATOR.current_usage();
        far.write_all(&attack(0).unwrap()).await.unwrap();
        let stream = server.accept().await.unwrap();
        kept.push(stream.read_bytes().await.unwrap().unwrap());
        for said in (1..).map_while(&attack) {
            let (wrote, read) = join(far.write_all(&said), stream.read_bytes()).await;
            wrote.unwrap();
            kept.push(read.unwrap().unwrap());
        }
        assert_eq!(kept.iter().map(|chunk| chunk.len()).sum::<usize>(), 1024 * KIB);
        ALLOCATOR.current_usage() - before
    });
    assert!(grown < (1024 + 2048 + 300) * KIB, "{grown} bytes for 1 MiB that is kept");
}

/// What becomes of a driver whose streams have just been lent parts of a read.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Idles,
    Ends,
    IsDropped,
}

/// The memory that 16 sessions hold, each of which has had one read, of which 8 KiB are unread.
async fn held_after_one_read(then: Then) -> usize {
    let syn = frame(Kind::WindowUpdate, Flags::SYN, 1, 0);
    let said = a_part_of_each_read(2)(1).unwrap();
    let before = ALLOCATOR.current_usage();
    let (mut kept, mut drivers) = (Vec::with_capacity(16), Vec::with_capacity(16));
    for _ in 0..16 {
        let (near, mut far): (End, End) = pipe(64 * KIB);
        let (server, mut driver) = Session::server(near, Config::default());
        far.write_all(&syn).await.unwrap();
        assert!(poll!(&mut driver).is_pending());
        let stream = server.accept().await.unwrap();
        // Says the ACK: nothing wakes it after that but what it owes itself.
        assert!(poll!(&mut driver).is_pending());
        far.write_all(&said).await.unwrap();
        match then {
            Then::Idles => {
                drop(reactor::spawn(driver));
                time::sleep(Duration::from_millis(1)).await;
            }
            Then::Ends => {
                drop(far);
                (&mut driver).await.unwrap_err();
                drivers.push(driver);
                kept.push((stream, server, None));
                continue;
            }
            Then::IsDropped => assert!(poll!(driver).is_pending()),
        }
        kept.push((stream, server, Some(far)));
    }
    let pipes = if then == Then::Ends { 0 } else { 16 * 64 * KIB };
    let held = ALLOCATOR.current_usage() - before;
    assert!(kept.iter().all(|(stream, ..)| stream.stats().unread_bytes == 8192));
    held - pipes
}

#[test]
fn a_read_is_let_go_of_when_its_driver_idles_ends_or_is_dropped() {
    for then in [Then::Idles, Then::Ends, Then::IsDropped] {
        let held = run(async || held_after_one_read(then).await);
        // What is unread, a few buffers that wait for the next read, and the sessions.
        assert!(held < (16 * 8 + 3 * 64 + 100) * KIB, "{held} bytes");
    }
}

#[test]
fn slow_readers_hold_the_memory_of_the_session_and_no_more() {
    let config = Config { receive_bytes_max: 1 << 20, ..Config::default() };
    let grown = run(async || {
        growth(config, false, |n| {
            let (id, payload) = (2 * n + 1, vec![0; 100_000]);
            (n < 100).then(|| [&frame(Kind::Data, Flags::SYN, id, 100_000)[..], &payload].concat())
        })
        .await
    });
    assert!(((1 << 20)..1500 * KIB).contains(&grown), "{grown} bytes for a budget of 1 MiB");
}

#[test]
fn a_deaf_peer_that_opens_resets_and_pings_makes_nothing_grow() {
    let config = Config { resets_per_second_max: u32::MAX, ..Config::default() };
    let grown = run(async || {
        growth(config, true, |n| {
            let id = 2 * n + 1;
            let frames = [
                frame(Kind::WindowUpdate, Flags::SYN, id, 0),
                frame(Kind::Ping, Flags::SYN, 0, n),
                frame(Kind::WindowUpdate, Flags::RST, id, 0),
            ];
            (n < 50_000).then(|| frames.concat())
        })
        .await
    });
    assert!(grown < 700 * KIB, "{grown} bytes: 1,024 streams, their wakers and control frames");
}
