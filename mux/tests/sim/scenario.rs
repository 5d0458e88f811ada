//! One run: two sessions, their applications, and what must hold at the end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use mux::{Error, Session};
use reactor::time;
use reactor::{JoinHandle, Runtime};

use crate::calls::pause;
use crate::limits::assert_holds_nothing;
use crate::link::{Wire, link};
use crate::plan::{Plan, Trouble};
use crate::play::World;
use crate::wire::{Referee, Rng, Side};

/// Longer than any time-out, and than any plan takes: a run that is not over by then is stuck.
const VIRTUAL_TIME_MAX: Duration = Duration::from_secs(4 * 3600);

/// How long streams that nobody holds may stay: the close time-out of every plan, and some more.
pub(crate) const LINGER_MAX: Duration = Duration::from_secs(120);

/// How long a run that was spoiled may go on.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than all stalls of a plan.
const STALL_MAX: Duration = Duration::from_secs(10);

/// What a run took.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Reads and writes of the connection.
    pub(crate) steps: u64,
    /// Bytes that were read of what each side wrote.
    pub(crate) bytes: [u64; 2],
}

/// Runs a plan.
pub(crate) fn run(plan: Plan, rng: &Rng) -> Taken {
    let mut runtime = Runtime::builder().paused(true).build().unwrap();
    runtime.block_on(async {
        let run = time::timeout(VIRTUAL_TIME_MAX, Run::new(plan, rng).play());
        run.await.expect("stuck: nothing happens any more, and not all is done")
    })
}

pub(crate) struct Run {
    pub(crate) world: Rc<World>,
    pub(crate) wire: Rc<RefCell<Wire>>,
    pub(crate) sessions: [Session; 2],
    pub(crate) drivers: [JoinHandle<Result<(), Error>>; 2],
    pub(crate) accepts: [JoinHandle<()>; 2],
    pub(crate) pings: [JoinHandle<()>; 2],
    /// Those that are not done, when the run comes to its end.
    pub(crate) opens: Vec<JoinHandle<()>>,
}

impl Run {
    fn new(plan: Plan, rng: &Rng) -> Self {
        let [client_config, server_config] = plan.configs.clone();
        let referees = [
            Referee::new(Side::Client, &client_config),
            Referee::new(Side::Server, &server_config),
        ];
        let (near, far, wire) = link(plan.faults.clone(), referees, rng);
        let (client, client_driver) = Session::client(near, client_config);
        let (server, server_driver) = Session::server(far, server_config);
        let world = Rc::new(World::new(plan, Rc::clone(&wire)));
        let sessions = [client, server];
        *world.sessions.borrow_mut() = sessions.clone().map(Some);
        let drivers = [
            reactor::spawn(watched(Rc::clone(&world), Side::Client, client_driver)),
            reactor::spawn(watched(Rc::clone(&world), Side::Server, server_driver)),
        ];
        let accepts = Side::BOTH.map(|side| {
            let session = sessions[side as usize].clone();
            reactor::spawn(accept_all(Rc::clone(&world), side, session))
        });
        let pings = Side::BOTH.map(|side| {
            let session = sessions[side as usize].clone();
            reactor::spawn(ping_on(Rc::clone(&world), side, session))
        });
        Self { world, wire, sessions, drivers, accepts, pings, opens: Vec::new() }
    }

    async fn play(mut self) -> Taken {
        self.opens = Side::BOTH.into_iter().flat_map(|side| self.open_all(side)).collect();
        let trouble = reactor::spawn(make_trouble(Rc::clone(&self.world), self.sessions.clone()));
        if self.world.plan.trouble == Trouble::Hostile {
            self.weather().await;
        } else {
            for open in self.opens.drain(..) {
                open.await.expect("an opener panicked");
            }
        }
        let closed = trouble.await.unwrap();
        if !self.world.plan.may_break() {
            self.settle().await;
            self.rest().await;
        }
        let world = Rc::clone(&self.world);
        let taken = self.end().await;
        if let Some(side) = closed {
            world.assert_all_arrived(side);
        }
        taken
    }

    fn open_all(&self, side: Side) -> Vec<JoinHandle<()>> {
        let count = self.world.plan.opens[side as usize];
        let open = |_| {
            let session = self.sessions[side as usize].clone();
            reactor::spawn(open_one(Rc::clone(&self.world), side, session))
        };
        (0..count).map(open).collect()
    }

    /// All is done: nothing of any stream may be left.
    async fn settle(&self) {
        let since = time::now();
        let counts =
            || self.sessions.each_ref().map(|s| (s.inbound_streams(), s.outbound_streams()));
        while self.world.playing.get() > 0 || counts() != [(0, 0); 2] {
            let waited = time::now() - since;
            let (playing, counts) = (self.world.playing.get(), counts());
            assert!(waited < LINGER_MAX, "{playing} players and {counts:?} streams are left");
            time::sleep(Duration::from_millis(100)).await;
        }
        for session in &self.sessions {
            let mut pong = session.ping().await;
            if matches!(pong, Err(Error::PingTimeout { .. })) {
                // A stall in each direction is as long as that; but they come once.
                pong = session.ping().await;
            }
            pong.expect("a session that is at rest answers");
        }
    }

    /// Sessions at rest do nothing but keep the connection alive.
    async fn rest(&self) {
        time::sleep(Duration::from_secs(10)).await;
        let before = self.wire.borrow().steps;
        time::sleep(Duration::from_secs(100)).await;
        let steps = self.wire.borrow().steps - before;
        let configs = &self.world.plan.configs;
        // A ping and a pong every 30 s, each in pieces of a byte and with hiccups.
        let pings = if configs.iter().any(|config| config.keepalive.is_some()) { 7 } else { 0 };
        assert!(steps <= pings * 300, "{steps} reads and writes with nothing to do");
        for (side, session) in Side::BOTH.into_iter().zip(&self.sessions) {
            assert_holds_nothing(session, side);
        }
    }

    /// What has been spoiled may never end. What can end does, and who owes a reset says it.
    async fn weather(&self) {
        let since = time::now();
        let busy = || self.world.playing.get() > 0 || self.opens.iter().any(|o| !o.is_finished());
        while busy() && time::now() - since < PATIENCE {
            time::sleep(Duration::from_secs(1)).await;
        }
        time::sleep(STALL_MAX).await;
        for side in
            Side::BOTH.into_iter().filter(|&side| self.world.ended.get()[side as usize].is_none())
        {
            let owed = self.world.referee(side).resets_owed();
            assert!(owed.is_empty(), "{side:?} heard data after a FIN, and did not reset {owed:?}");
        }
    }
}

/// Runs a driver, and looks at what its session holds after each of its turns.
async fn watched(
    world: Rc<World>,
    side: Side,
    mut driver: impl Future<Output = Result<(), Error>> + Unpin,
) -> Result<(), Error> {
    poll_fn(|cx| {
        let outcome = Pin::new(&mut driver).poll(cx);
        world.check(side);
        if outcome.is_ready() {
            let mut ended = world.ended.get();
            ended[side as usize] = Some(time::now());
            world.ended.set(ended);
        }
        outcome
    })
    .await
}

async fn open_one(world: Rc<World>, side: Side, session: Session) {
    let begun = time::now();
    let opened = session.open().await;
    world.check_call(side, begun);
    match opened {
        Ok(stream) => {
            world.referee(side).holds(stream.id());
            world.play(side, stream).await;
        }
        Err(err) => {
            world.note_end(side, &err);
            let plan = &world.plan;
            let away = matches!((plan.trouble, &err), (Trouble::GoAway(..), Error::GoAway { .. }));
            assert!(away || plan.may_break(), "{side:?} opens: {err:?}");
        }
    }
}

async fn accept_all(world: Rc<World>, side: Side, session: Session) {
    loop {
        pause(world.plan.accept_pauses[side as usize]).await;
        let begun = time::now();
        let accepted = session.accept().await;
        world.check_call(side, begun);
        match accepted {
            Ok(stream) => {
                world.referee(side).holds(stream.id());
                let played = Rc::clone(&world);
                let player = reactor::spawn(async move { played.play(side, stream).await });
                world.players.borrow_mut().push(player);
            }
            Err(err) => return world.note_end(side, &err),
        }
    }
}

/// Where a session may end at any time, a ping is under way most of the time.
async fn ping_on(world: Rc<World>, side: Side, session: Session) {
    while world.plan.may_break() {
        let begun = time::now();
        let pong = session.ping().await;
        world.check_call(side, begun);
        match pong {
            Ok(_) => time::sleep(Duration::from_secs(1)).await,
            Err(Error::PingTimeout { .. }) => {}
            Err(err) => return world.note_end(side, &err),
        }
    }
}

/// The side that has closed in order, in the middle of everything.
async fn make_trouble(world: Rc<World>, sessions: [Session; 2]) -> Option<Side> {
    match world.plan.trouble {
        Trouble::GoAway(side, when) => {
            time::sleep(when).await;
            world.referee(side).goes_away();
            sessions[side as usize].go_away();
            None
        }
        Trouble::Close(side, when) => {
            time::sleep(when).await;
            world.referee(side).closes();
            sessions[side as usize].close().await.is_ok().then_some(side)
        }
        _ => None,
    }
}
