//! A dialer that does as it is told, and keeps what it has seen.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use mux::host::{Attempts, Dial};
use mux::{Config, Session};
use reactor::time;

use crate::Name;
use crate::support::{End, pipe};

/// What comes of a dial.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// A connection to a session that is kept in [`Script::servers`].
    Connect,
    /// The same after a while.
    ConnectAfter(Duration),
    RefuseAfter(Duration),
    /// A connection whose other end is gone already.
    ConnectToNobody,
    Panic,
}

/// Clones mean the same.
#[derive(Clone, Default)]
pub(crate) struct Script(Rc<Seen>);

#[derive(Default)]
struct Seen {
    /// For dials to come; then the last goes on to be given.
    answers: RefCell<VecDeque<Answer>>,
    dials: RefCell<Vec<Name>>,
    under_way: Cell<usize>,
    under_way_max: Cell<usize>,
    servers: RefCell<Vec<Session>>,
}

impl Script {
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        *self.0.answers.borrow_mut() = answers.into_iter().collect();
    }

    /// Whom it has dialed, in this order.
    pub(crate) fn dials(&self) -> Vec<Name> {
        self.0.dials.borrow().clone()
    }

    pub(crate) fn under_way(&self) -> usize {
        self.0.under_way.get()
    }

    pub(crate) fn under_way_max(&self) -> usize {
        self.0.under_way_max.get()
    }

    /// The other end of the connection that was made as number `index`.
    pub(crate) fn server(&self, index: usize) -> Session {
        self.0.servers.borrow()[index].clone()
    }

    /// Lets go of the other ends.
    pub(crate) fn forget_servers(&self) {
        let servers = self.0.servers.take();
        drop(servers);
    }

    fn next_answer(&self) -> Answer {
        let mut answers = self.0.answers.borrow_mut();
        match answers.len() {
            0 => Answer::Connect,
            1 => answers[0],
            _ => answers.pop_front().unwrap(),
        }
    }

    fn connect(&self) -> End {
        let (near, far) = pipe(64 * 1024);
        let (server, driver) = Session::server(far, Config::default());
        reactor::spawn(driver).detach();
        self.0.servers.borrow_mut().push(server);
        near
    }
}

/// Counts a dial while it is there.
struct UnderWay(Script);

impl UnderWay {
    fn new(script: &Script) -> Self {
        let seen = &script.0;
        seen.under_way.update(|count| count + 1);
        seen.under_way_max.set(seen.under_way_max.get().max(seen.under_way.get()));
        Self(script.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.under_way.update(|count| count - 1);
    }
}

impl Dial<Name> for Script {
    type Io = End;

    async fn dial(&self, peer: &Name, _: &Attempts<Name>) -> io::Result<End> {
        let _under_way = UnderWay::new(self);
        self.0.dials.borrow_mut().push(peer);
        match self.next_answer() {
            Answer::Connect => Ok(self.connect()),
            Answer::ConnectAfter(pause) => {
                time::sleep(pause).await;
                Ok(self.connect())
            }
            Answer::RefuseAfter(pause) => {
                time::sleep(pause).await;
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, "nobody is there"))
            }
            Answer::ConnectToNobody => Ok(pipe(1024).0),
            Answer::Panic => panic!("the dialer is broken"),
        }
    }
}
