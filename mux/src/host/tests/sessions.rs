//! The table of sessions.

use std::rc::Rc;

use futures_util::io::Cursor;

use crate::host::HostConfig;
use crate::host::sessions::{SessionKey, Sessions};
use crate::host::trash::Trash;
use crate::{Config, Driver, Flags, Header, Kind, Session};

/// Keeps what makes its sessions live.
struct Table {
    sessions: Sessions<u32>,
    drivers: Vec<Driver<Cursor<Vec<u8>>>>,
}

impl Table {
    fn new() -> Self {
        let config = HostConfig { ended_sessions_max: 2, ..HostConfig::default() };
        Self { sessions: Sessions::new(&config), drivers: Vec::new() }
    }

    /// A session in which one stream waits to be accepted.
    fn insert(&mut self, peer: u32) -> SessionKey {
        let (session, driver) = Session::server(Cursor::new(Vec::new()), Config::default());
        let (kind, flags) = (Kind::WindowUpdate, Flags::SYN);
        let syn = Header { kind, flags, stream_id: 1, length: 0 };
        session.shared().with(|inner| inner.proto.feed(&syn.encode()));
        self.drivers.push(driver);
        let key = self.sessions.insert(&Rc::new(peer), session);
        assert!(self.sessions.arrived(key));
        key
    }

    fn ended(&mut self, key: SessionKey) {
        self.sessions.ended(key, &mut Trash::new());
    }
}

#[test]
fn sessions_that_come_and_go_while_nobody_accepts_leave_nothing() {
    let mut table = Table::new();
    for peer in 0..100 {
        let key = table.insert(peer);
        assert!(!table.sessions.arrived(key), "it is known");
        table.ended(key);
        assert!(table.sessions.peers().is_empty());
    }
    assert_eq!((table.sessions.counts(), table.sessions.ready_len()), ((0, 2), 2));
}

#[test]
fn the_key_of_a_session_that_is_gone_is_not_that_of_the_next_in_its_place() {
    let mut table = Table::new();
    let gone = table.insert(1);
    let (key, _, session) = table.sessions.next_ready().unwrap();
    assert_eq!(key, gone);
    assert!(session.try_accept().is_some() && !session.has_backlog());
    table.sessions.accepted(key, false, &mut Trash::new());
    table.ended(gone);
    let next = table.insert(2);
    table.ended(gone);
    table.sessions.accepted(gone, false, &mut Trash::new());
    assert!(!table.sessions.arrived(gone));
    assert_eq!((table.sessions.counts(), table.sessions.peers()), ((1, 0), vec![Rc::new(2)]));
    assert_eq!(table.sessions.next_ready().map(|ready| ready.0), Some(next));
}
