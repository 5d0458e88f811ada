//! The end of a run, and what it must leave behind: nothing, and the same answer for everyone.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use mux::{Error, GoAwayCode, Initiator, Session};
use reactor::{JoinHandle, time};

use crate::calls::once;
use crate::limits::assert_holds_nothing;
use crate::link::Cut;
use crate::plan::{Ending, Plan, Trouble};
use crate::play::World;
use crate::scenario::{LINGER_MAX, Run, Taken};
use crate::wire::Side;

impl Run {
    pub(crate) async fn end(mut self) -> Taken {
        let closed = self.close().await;
        let Self { world, wire, sessions, drivers, accepts, pings, opens } = self;
        drop(sessions);
        let plan = &world.plan;
        assert!(plan.may_break() || closed.is_ok(), "close: {closed:?}");
        let mut outcomes = Vec::new();
        for (side, driver) in Side::BOTH.into_iter().zip(drivers) {
            let outcome = driver.await.expect("a driver panicked");
            assert!(may_end(plan, &outcome), "{side:?} ends: {outcome:?}");
            world.referee(side).judge_end(&outcome);
            outcomes.push(outcome);
        }
        let waiting = accepts.into_iter().chain(pings).chain(opens);
        time::timeout(LINGER_MAX, all_have_returned(&world, waiting.collect()))
            .await
            .expect("somebody waits for a session that is over");
        for (side, outcome) in Side::BOTH.into_iter().zip(&outcomes) {
            assert_all_were_accepted(&world, side);
            for err in &world.ends_heard.borrow()[side as usize] {
                assert_names_the_end(side, err, outcome);
            }
            let session = world.sessions.borrow()[side as usize].clone();
            if let Some(session) = session {
                assert_holds_nothing(&session, side);
                assert_is_over(&session, side, outcome).await;
            }
        }
        let steps = wire.borrow().steps;
        time::sleep(Duration::from_secs(100)).await;
        let wire = wire.borrow();
        assert_eq!(wire.steps, steps, "sessions that are over read or write");
        Taken { steps, bytes: Side::BOTH.map(|writer| wire.given(writer)) }
    }

    async fn close(&mut self) -> Result<(), Error> {
        let (world, sessions) = (&self.world, &self.sessions);
        world.closing.set(true);
        match world.plan.ending {
            Ending::Close(side) => {
                world.referee(side).closes();
                sessions[side as usize].close().await
            }
            Ending::Drain(side) => {
                world.referee(side).closes();
                sessions[side as usize].drain(LINGER_MAX).await
            }
            Ending::CloseBoth => {
                Side::BOTH.into_iter().for_each(|side| world.referee(side).closes());
                let [a, b] = sessions;
                let (a, b) = join(a.close(), b.close()).await;
                a.and(b)
            }
            Ending::Forget(side) => {
                world.referee(side).closes();
                world.sessions.borrow_mut()[side as usize] = None;
                // These tasks hold handles too.
                self.accepts[side as usize].abort();
                self.pings[side as usize].abort();
                Ok(())
            }
        }
    }
}

/// Whether a driver may end so in that run.
fn may_end(plan: &Plan, outcome: &Result<(), Error>) -> bool {
    let cut = plan.faults.iter().find_map(|faults| faults.cut);
    let Err(err) = outcome else { return true };
    match (plan.trouble, err) {
        (Trouble::Cut | Trouble::Close(..) | Trouble::Hostile, Error::Io(_)) => true,
        (Trouble::Close(..) | Trouble::Hostile, Error::CloseTimeout { .. }) => true,
        // The referee knows whether there was a reason.
        (Trouble::Hostile, Error::Protocol(_) | Error::GoAway { by: Initiator::Remote, .. }) => {
            true
        }
        (
            Trouble::Cut,
            Error::KeepaliveTimeout { .. } | Error::WriteStall { .. } | Error::CloseTimeout { .. },
        ) => matches!(cut, Some((_, Cut::Silence))),
        _ => false,
    }
}

async fn all_have_returned(world: &Rc<World>, waiting: Vec<JoinHandle<()>>) {
    for task in waiting {
        let ended = task.await;
        // Who holds a handle is aborted where all handles are to go.
        assert!(ended.is_ok() || matches!(world.plan.ending, Ending::Forget(_)), "{ended:?}");
    }
    for player in world.players.take() {
        player.await.expect("the player of an accepted stream panicked");
    }
}

/// What had arrived when the peer or the connection ended the session can still be accepted.
fn assert_all_were_accepted(world: &World, side: Side) {
    let referee = world.referee(side);
    if !referee.is_closing() && !world.plan.may_refuse(side.other()) {
        let left = referee.left_in_backlog();
        assert!(left.is_empty(), "{side:?} could not accept {left:?}");
    }
}

/// Everyone who is told that a session has ended is told why.
fn assert_names_the_end(side: Side, err: &Error, outcome: &Result<(), Error>) {
    let same = match (err, outcome) {
        // That was before the end.
        (Error::GoAway { code: GoAwayCode::Normal, .. }, _) => true,
        (Error::Closed { by: Initiator::Local }, _) => true,
        (err, Err(end)) => format!("{err:?}") == format!("{end:?}"),
        (err, Ok(())) => matches!(err, Error::Closed { .. }),
    };
    assert!(same, "{side:?} was told {err:?}, and the driver {outcome:?}");
}

/// Whatever is asked of a session that is over, the answer is there, and says why.
async fn assert_is_over(session: &Session, side: Side, outcome: &Result<(), Error>) {
    let answers = [
        once(session.open()).await.and_then(Result::err),
        once(session.accept()).await.and_then(Result::err),
        once(session.ping()).await.and_then(Result::err),
    ];
    for answer in answers {
        let err = answer.expect("a session that is over has nothing to give, and an answer");
        assert_names_the_end(side, &err, outcome);
    }
    let closed = once(session.closed()).await.expect("it is over");
    assert_eq!(format!("{closed:?}"), format!("{outcome:?}"), "{side:?}");
    assert!(session.is_closed());
}
