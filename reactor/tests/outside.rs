//! What needs a runtime and is called without one says so, and where in the program that was.

#[path = "panicking/mod.rs"]
mod panicking;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use panicking::panic_of;
use reactor::{
    JoinSet, PollFd, Runtime, SignalKind, handle, metrics, signal, spawn, spawn_blocking,
};

fn socket() -> OwnedFd {
    UnixStream::pair().unwrap().0.into()
}

#[test]
fn what_needs_a_runtime_names_the_line_that_called_it_without_one() {
    let calls: [(&str, fn()); 9] = [
        ("spawn", || spawn(async {}).detach()),
        ("spawn_blocking", || drop(spawn_blocking(|| ()))),
        ("JoinSet::spawn", || drop(JoinSet::new().spawn(async {}))),
        ("signal", || drop(signal(SignalKind::USER1))),
        ("handle", || _ = handle()),
        ("metrics", || _ = metrics()),
        ("PollFd::new", || drop(PollFd::new(socket()))),
        ("PollFd::from_socket", || drop(PollFd::from_socket(socket()))),
        ("spawn in spawn_blocking", || {
            let outside = || panic_of(|| spawn(async {}).detach());
            let seen = reactor::block_on(async { spawn_blocking(outside).await });
            let (file, said) = seen.unwrap().unwrap();
            assert_eq!(file, file!());
            std::panic::panic_any(said);
        }),
    ];
    for (name, call) in calls {
        let (file, said) = panic_of(call);
        assert_eq!(file, file!(), "{name}");
        assert!(said.contains("called outside a runtime"), "{name}: {said}");
        assert!(said.contains("`Handle`"), "{name}: {said}");
    }
}

#[test]
fn a_loop_inside_a_loop_names_the_line_of_the_inner_one() {
    let calls: [fn(); 2] = [
        || drop(reactor::block_on(async { reactor::block_on(async {}) })),
        || reactor::block_on(async { Runtime::new().unwrap().block_on(async {}) }).unwrap(),
    ];
    for call in calls {
        let (file, said) = panic_of(call);
        assert_eq!(file, file!());
        assert!(said.contains("block_on inside a runtime"), "{said}");
    }
}
