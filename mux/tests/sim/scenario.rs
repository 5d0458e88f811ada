//! One run: two sessions, their applications, and what must hold at the end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use mux::{Error, Initiator, Session};
use reactor::time;
use reactor::{JoinHandle, Runtime};

use crate::link::{Wire, link};
use crate::plan::{Ending, Plan, Trouble};
use crate::play::World;
use crate::wire::{Referee, Rng, Side};

/// Longer than any time-out, and than any plan takes: a run that is not over by then is stuck.
const VIRTUAL_TIME_MAX: Duration = Duration::from_secs(4 * 3600);

/// How long streams that nobody holds may stay: the close time-out of every plan, and some more.
const LINGER_MAX: Duration = Duration::from_secs(120);

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

struct Run {
    world: Rc<World>,
    wire: Rc<RefCell<Wire>>,
    sessions: [Session; 2],
    drivers: [JoinHandle<Result<(), Error>>; 2],
    accepts: [JoinHandle<()>; 2],
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
        world.sessions.borrow_mut().extend(sessions.clone());
        let drivers = [
            reactor::spawn(watched(Rc::clone(&world), Side::Client, client_driver)),
            reactor::spawn(watched(Rc::clone(&world), Side::Server, server_driver)),
        ];
        let accepts = Side::BOTH.map(|side| {
            let session = sessions[side as usize].clone();
            reactor::spawn(accept_all(Rc::clone(&world), side, session))
        });
        Self { world, wire, sessions, drivers, accepts }
    }

    async fn play(self) -> Taken {
        let opens: Vec<_> = Side::BOTH.into_iter().flat_map(|side| self.open_all(side)).collect();
        let trouble = reactor::spawn(make_trouble(self.world.plan.trouble, self.sessions.clone()));
        for open in opens {
            open.await.expect("an opener panicked");
        }
        let closed = trouble.await.unwrap();
        if !self.world.plan.may_break() {
            self.settle().await;
            self.rest().await;
        }
        let fallen = self.fallen().await;
        let world = Rc::clone(&self.world);
        let taken = self.end(fallen).await;
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
            session.ping().await.expect("a session that is at rest answers");
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
    }

    /// The side that has heard what no session bears.
    async fn fallen(&self) -> Option<Side> {
        let Trouble::Fatal(side) = self.world.plan.trouble else { return None };
        // Longer than any stall of a plan.
        time::sleep(Duration::from_secs(20)).await;
        self.wire.borrow().intruded.then_some(side)
    }

    async fn end(self, fallen: Option<Side>) -> Taken {
        let Self { world, wire, sessions, drivers, accepts } = self;
        // Or the last handle would never go.
        drop(world.sessions.take());
        let plan = &world.plan;
        let closed = match plan.ending {
            Ending::Close(side) => sessions[side as usize].close().await,
            Ending::Drain(side) => sessions[side as usize].drain(LINGER_MAX).await,
            Ending::CloseBoth => {
                let [a, b] = &sessions;
                let (a, b) = join(a.close(), b.close()).await;
                a.and(b)
            }
            Ending::Forget(side) => {
                // The accepting task holds a handle too.
                accepts[side as usize].abort();
                Ok(())
            }
        };
        let [client, server] = sessions;
        match plan.ending {
            Ending::Forget(Side::Client) => drop(client),
            Ending::Forget(Side::Server) => drop(server),
            _ => {}
        }
        assert!(plan.may_break() || closed.is_ok(), "close: {closed:?}");
        for (side, driver) in Side::BOTH.into_iter().zip(drivers) {
            let outcome = driver.await.expect("a driver panicked");
            assert!(plan.may_break() || outcome.is_ok(), "{side:?} ends: {outcome:?}");
            let told = matches!(
                outcome,
                Err(Error::Protocol(_) | Error::GoAway { by: Initiator::Remote, .. })
            );
            assert!(told || fallen != Some(side), "{side:?} bears what it may not: {outcome:?}");
        }
        for accept in accepts {
            let ended = accept.await;
            assert!(ended.is_ok() || matches!(plan.ending, Ending::Forget(_)), "{ended:?}");
        }
        for player in world.players.take() {
            player.await.expect("the player of an accepted stream panicked");
        }
        let wire = wire.borrow();
        Taken { steps: wire.steps, bytes: Side::BOTH.map(|writer| wire.given(writer)) }
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
        if let Some(session) = world.sessions.borrow().get(side as usize) {
            assert_within_limits(session, &world.plan, side);
        }
        outcome
    })
    .await
}

async fn open_one(world: Rc<World>, side: Side, session: Session) {
    let opened = session.open().await;
    assert_within_limits(&session, &world.plan, side);
    match opened {
        Ok(stream) => world.play(side, stream).await,
        Err(err) => {
            let plan = &world.plan;
            let away = matches!((plan.trouble, &err), (Trouble::GoAway(..), Error::GoAway { .. }));
            assert!(away || plan.may_break(), "{side:?} opens: {err:?}");
        }
    }
}

/// What a session says that it holds.
fn assert_within_limits(session: &Session, plan: &Plan, side: Side) {
    let (stats, config) = (session.stats(), &plan.configs[side as usize]);
    let held = stats.unread_bytes.max(stats.window_bytes_extra);
    assert!(held <= config.receive_bytes_max, "{stats:?}");
    assert!(stats.backlog <= config.accept_backlog_max, "{stats:?}");
    assert!(stats.inbound_streams <= config.inbound_streams_max, "{stats:?}");
    assert!(stats.outbound_streams <= config.outbound_streams_max, "{stats:?}");
    assert!(stats.streams_refused <= stats.resets_sent, "{stats:?}");
    // An update and a reset of each stream; resets beside, pongs, a ping and a GoAway.
    let streams = stats.inbound_streams + stats.outbound_streams;
    let replies = config.resets_queued_max + config.pongs_queued_max + 2;
    assert!(stats.control_queue <= 2 * streams + replies, "{stats:?}");
    // A queue may be reached by a chunk of any size.
    let queue = config.send_queue_bytes_max + plan.stream_bytes_max;
    assert!(stats.unsent_bytes <= streams * queue, "{stats:?}");
}

async fn accept_all(world: Rc<World>, side: Side, session: Session) {
    while let Ok(stream) = session.accept().await {
        assert_within_limits(&session, &world.plan, side);
        let played = Rc::clone(&world);
        let player = reactor::spawn(async move { played.play(side, stream).await });
        world.players.borrow_mut().push(player);
    }
}

/// The side that has closed in order, in the middle of everything.
async fn make_trouble(trouble: Trouble, sessions: [Session; 2]) -> Option<Side> {
    match trouble {
        Trouble::GoAway(side, when) => {
            time::sleep(when).await;
            sessions[side as usize].go_away();
            None
        }
        Trouble::Close(side, when) => {
            time::sleep(when).await;
            sessions[side as usize].close().await.is_ok().then_some(side)
        }
        _ => None,
    }
}
