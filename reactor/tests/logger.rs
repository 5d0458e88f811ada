//! A logger is code of users too: it may panic, and it may come back into the runtime.

mod fragile;

use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::rc::Rc;
use std::sync::Once;
use std::time::{Duration, Instant};

use fragile::Fragile;
use log::{LevelFilter, Log, Metadata, Record};
use reactor::time::timeout;
use reactor::{PollFd, Runtime, spawn, spawn_blocking};

type Action = Rc<dyn Fn(&str)>;

thread_local! {
    /// What the logger does with the messages of this thread.
    static ACTION: RefCell<Option<Action>> = const { RefCell::new(None) };
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let action = ACTION.with_borrow(Clone::clone);
        if let Some(action) = action {
            action(&record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Runs `test` with a logger that does `action`.
fn logging<T>(action: impl Fn(&str) + 'static, test: impl FnOnce() -> T) -> T {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
    ACTION.set(Some(Rc::new(action)));
    let result = test();
    ACTION.set(None);
    result
}

fn virtually<T>(future: impl Future<Output = T>) -> T {
    Runtime::builder().paused(true).build().unwrap().block_on(future)
}

#[test]
fn giving_away_a_shared_descriptor_warns_of_nothing() {
    let said = Rc::new(Cell::new(0));
    let counting = Rc::clone(&said);
    // With the feature `trace` the logger hears of much else.
    let count = move |text: &str| {
        if text.starts_with("cannot take") {
            counting.set(counting.get() + 1);
        }
    };
    let _given = logging(count, || {
        virtually(async {
            let (ours, _peer) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let fd = PollFd::from_socket(ours.into());
            assert!(timeout(Duration::ZERO, fd.read(&mut [0; 8])).await.is_err(), "registered");
            fd.mark_shared();
            fd.into_inner().unwrap()
        })
    });
    assert_eq!(said.get(), 0, "it left the epoll set once");
}

#[test]
fn a_logger_that_panics_has_no_future_dropped_twice() {
    let drops = Rc::new(Cell::new(0));
    let fragile = Fragile(Rc::clone(&drops));
    let err = logging(
        |message| panic!("cannot log: {message}"),
        || virtually(async { spawn(fragile).await.err().unwrap() }),
    );
    assert_eq!(drops.get(), 1);
    assert_eq!(err.to_string(), "task panicked: drop of the future");
}

/// In a process of its own, whose threads ask for a stack that no machine has.
#[test]
fn a_logger_that_asks_for_blocking_work_hears_of_threads_that_cannot_be_started() {
    const NAME: &str =
        "a_logger_that_asks_for_blocking_work_hears_of_threads_that_cannot_be_started";
    if std::env::var_os(NAME).is_some() {
        return without_threads();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--test-threads=1"])
        .envs([(NAME, ""), ("RUST_MIN_STACK", "100000000000000")])
        .spawn()
        .unwrap();
    let hung_after = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > hung_after {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(status.success(), "{status}");
}

fn without_threads() {
    let inner = Rc::new(RefCell::new(Vec::new()));
    let asked = Rc::clone(&inner);
    let asks = move |message: &str| {
        assert!(message.starts_with("cannot start a thread"), "{message}");
        if asked.borrow().is_empty() {
            asked.borrow_mut().push(None);
            let job = spawn_blocking(|| ());
            asked.borrow_mut().push(Some(job));
        }
    };
    let outer = logging(asks, || virtually(async { spawn_blocking(|| ()).await }));
    assert!(outer.unwrap_err().is_rejected());
    let inner = inner.take().into_iter().flatten().next().unwrap();
    assert!(virtually(inner).unwrap_err().is_rejected());
}

#[cfg(feature = "trace")]
mod traces {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use reactor::{PollFd, is_closed, yield_now};

    use super::*;

    fn pair() -> (Rc<PollFd>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Rc::new(PollFd::from_socket(OwnedFd::from(ours))), theirs)
    }

    #[test]
    fn a_wait_is_told_by_its_parking_its_event_and_its_unparking() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let heard = Rc::clone(&told);
        let hears = move |message: &str| {
            heard.borrow_mut().extend(message.split(' ').next().map(String::from));
        };
        logging(hears, || {
            virtually(async {
                let (fd, mut peer) = pair();
                let reading = spawn(async move { fd.read(&mut [0; 8]).await });
                yield_now().await;
                peer.write_all(b"abc").unwrap();
                reading.await.unwrap().unwrap()
            })
        });
        let told = told.borrow();
        let at = |word| told.iter().rposition(|told| told == word);
        assert!(at("park") < at("event") && at("event") < at("unpark"), "{told:?}");
        assert!(at("park").is_some());
    }

    #[test]
    fn a_logger_that_spawns_for_every_event_disturbs_none() {
        let spawned = Rc::new(Cell::new(0));
        let counted = Rc::clone(&spawned);
        let spawns = move |message: &str| {
            let counted = Rc::clone(&counted);
            if message.starts_with("event") {
                spawn(async move { counted.set(counted.get() + 1) }).detach();
            }
        };
        let read = logging(spawns, || {
            virtually(async {
                let (fd, mut peer) = pair();
                let reading = spawn(async move { fd.read(&mut [0; 8]).await });
                yield_now().await;
                peer.write_all(b"abc").unwrap();
                let read = reading.await.unwrap().unwrap();
                yield_now().await;
                read
            })
        });
        assert_eq!((read, spawned.get() > 0), (3, true));
    }

    #[test]
    fn a_logger_that_closes_a_descriptor_ends_the_wait_that_it_was_told_of() {
        let (kept, parks) = (Rc::new(RefCell::new(None::<Rc<PollFd>>)), Rc::new(Cell::new(0)));
        let (closed, counted) = (Rc::clone(&kept), Rc::clone(&parks));
        let closes = move |message: &str| {
            if message.starts_with("park") {
                counted.set(counted.get() + 1);
                closed.borrow().as_ref().unwrap().close();
            }
        };
        let read = logging(closes, || {
            virtually(async {
                let (fd, _peer) = pair();
                *kept.borrow_mut() = Some(Rc::clone(&fd));
                fd.read(&mut [0; 8]).await
            })
        });
        assert!(is_closed(&read.unwrap_err()));
        assert_eq!(parks.get(), 1);
    }
}
