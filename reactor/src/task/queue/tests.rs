//! Random lives of tasks against a model: they wake each other from polls and from drops, abort each
//! other, panic, and end while they stand in a list. Links that lead to freed memory are for the
//! address sanitizer to find.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use proptest::prelude::*;

use super::*;
use crate::task::{JoinHandle, RUNTIMES_MAX};

/// Tasks of one case, at most; whom a step names is counted round.
const TASKS_MAX: usize = 6;

/// What a task does in one poll.
#[derive(Clone, Debug)]
struct Step {
    wakes: Vec<Wakes>,
    then: Then,
}

/// Wakes one, as by a waker or as by `yield_now`.
#[derive(Clone, Copy, Debug)]
struct Wakes {
    whom: usize,
    last: bool,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Wait,
    End,
    Panic,
}

/// A task's life: its polls, and whom its drop wakes.
#[derive(Clone, Debug)]
struct Life {
    steps: Vec<Step>,
    drop_wakes: Option<Wakes>,
    drop_panics: bool,
}

#[derive(Clone, Debug)]
enum Op {
    Spawn(Life),
    Wake(Wakes),
    Abort(usize),
    DropHandle(usize),
    Run,
    TakeYielded,
}

fn wakes() -> impl Strategy<Value = Wakes> {
    (0..TASKS_MAX, any::<bool>()).prop_map(|(whom, last)| Wakes { whom, last })
}

fn life() -> impl Strategy<Value = Life> {
    let then = prop_oneof![3 => Just(Then::Wait), 1 => Just(Then::End), 1 => Just(Then::Panic)];
    let step = (proptest::collection::vec(wakes(), 0..3), then)
        .prop_map(|(wakes, then)| Step { wakes, then });
    let steps = proptest::collection::vec(step, 0..4);
    (steps, proptest::option::of(wakes()), any::<bool>())
        .prop_map(|(steps, drop_wakes, drop_panics)| Life { steps, drop_wakes, drop_panics })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => life().prop_map(Op::Spawn),
        3 => wakes().prop_map(Op::Wake),
        1 => (0..TASKS_MAX).prop_map(Op::Abort),
        1 => (0..TASKS_MAX).prop_map(Op::DropHandle),
        6 => Just(Op::Run),
        2 => Just(Op::TakeYielded),
    ]
}

/// The queue, and what its tasks have done.
struct World {
    queue: RunQueue,
    ids: RefCell<Vec<TaskId>>,
    polls: RefCell<Vec<usize>>,
    drops: RefCell<Vec<usize>>,
}

impl World {
    fn wake(&self, wakes: Wakes) {
        let id = self.ids.borrow().get(wakes.whom).copied();
        match id {
            Some(id) if wakes.last => self.queue.schedule_last(id),
            Some(id) => self.queue.schedule(id),
            None => {}
        }
    }

    /// Gives the first of the queue its turn, as the loop does.
    fn run(&self) {
        let running = Running::default();
        let turn = AssertUnwindSafe(|| self.queue.run_next(&running, || ()));
        if let Err(payload) = catch_unwind(turn) {
            self.queue.end_running(&running, payload);
        }
    }
}

/// The future of a task. It returns a reference, to be counted.
struct Actor {
    world: Rc<World>,
    number: usize,
    life: Life,
    steps_done: usize,
    result: Rc<()>,
}

impl Future for Actor {
    type Output = Rc<()>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Rc<()>> {
        self.world.polls.borrow_mut().push(self.number);
        let step = self.life.steps.get(self.steps_done).cloned();
        self.steps_done += 1;
        let Some(step) = step else { return Poll::Pending };
        step.wakes.iter().for_each(|wakes| self.world.wake(*wakes));
        match step.then {
            Then::Wait => Poll::Pending,
            Then::End => Poll::Ready(Rc::clone(&self.result)),
            Then::Panic => resume_unwind(Box::new(Rc::strong_count(&self.result))),
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.world.drops.borrow_mut().push(self.number);
        self.life.drop_wakes.into_iter().for_each(|wakes| self.world.wake(wakes));
        if self.life.drop_panics {
            resume_unwind(Box::new(self.number));
        }
    }
}

/// What the queue has to do, said with numbers.
#[derive(Default)]
struct Model {
    tasks: Vec<ModelTask>,
    ready: VecDeque<usize>,
    yielded: VecDeque<usize>,
    polls: Vec<usize>,
}

struct ModelTask {
    life: Life,
    steps_done: usize,
    abort: bool,
    queued: bool,
    over: bool,
    /// Its slot was given up, so its name names nobody.
    gone: bool,
}

impl Model {
    fn spawn(&mut self, life: Life) {
        self.ready.push_back(self.tasks.len());
        self.tasks.push(ModelTask {
            life,
            steps_done: 0,
            abort: false,
            queued: true,
            over: false,
            gone: false,
        });
    }

    fn wake(&mut self, wakes: Wakes) {
        if let Some(task) = self.tasks.get_mut(wakes.whom)
            && !task.gone
            && !std::mem::replace(&mut task.queued, true)
        {
            let list = if wakes.last { &mut self.yielded } else { &mut self.ready };
            list.push_back(wakes.whom);
        }
    }

    fn run(&mut self) {
        let Some(number) = self.ready.pop_front() else { return };
        let task = &mut self.tasks[number];
        task.queued = false;
        if !task.over && !task.abort {
            self.polls.push(number);
            let step = task.life.steps.get(task.steps_done).cloned();
            task.steps_done += 1;
            let Some(step) = step else { return };
            step.wakes.iter().for_each(|wakes| self.wake(*wakes));
            if matches!(step.then, Then::Wait) {
                return;
            }
        }
        if !self.tasks[number].over {
            let drop_wakes = self.tasks[number].life.drop_wakes;
            drop_wakes.into_iter().for_each(|wakes| self.wake(wakes));
            self.tasks[number].over = true;
        }
        self.tasks[number].gone = !self.tasks[number].queued;
    }
}

fn config() -> ProptestConfig {
    let cases = if cfg!(miri) { 8 } else { 256 };
    ProptestConfig { cases, failure_persistence: None, ..Default::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn tasks_run_as_a_list_of_their_numbers_says_and_go_once(
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        let world = Rc::new(World {
            queue: RunQueue::new(RUNTIMES_MAX as u16 - 1),
            ids: RefCell::default(),
            polls: RefCell::default(),
            drops: RefCell::default(),
        });
        let (mut model, result) = (Model::default(), Rc::new(()));
        let mut handles = Vec::<Option<JoinHandle<Rc<()>>>>::new();
        for op in ops {
            match op {
                Op::Spawn(life) if handles.len() < TASKS_MAX => {
                    let (task, handle) = JoinHandle::allocate(Actor {
                        world: Rc::clone(&world),
                        number: handles.len(),
                        life: life.clone(),
                        steps_done: 0,
                        result: Rc::clone(&result),
                    });
                    world.ids.borrow_mut().push(world.queue.insert(task));
                    handles.push(Some(handle));
                    model.spawn(life);
                }
                Op::Spawn(_) => {}
                Op::Wake(wakes) => {
                    world.wake(wakes);
                    model.wake(wakes);
                }
                Op::Abort(whom) => {
                    if let Some(Some(handle)) = handles.get(whom) {
                        // It wakes the task by its runtime, and there is none.
                        handle.abort();
                        world.wake(Wakes { whom, last: false });
                        model.tasks[whom].abort = true;
                        model.wake(Wakes { whom, last: false });
                    }
                }
                Op::DropHandle(whom) => drop(handles.get_mut(whom).and_then(Option::take)),
                Op::Run => {
                    world.run();
                    model.run();
                }
                Op::TakeYielded => {
                    prop_assert_eq!(world.queue.take_yielded(), !model.yielded.is_empty());
                    model.ready.append(&mut model.yielded);
                }
            }
            prop_assert_eq!(&*world.polls.borrow(), &model.polls);
            let alive = model.tasks.iter().filter(|task| !task.over).count();
            prop_assert_eq!(world.queue.tasks(), alive);
            prop_assert_eq!(world.drops.borrow().len(), model.tasks.len() - alive);
            let idle = model.ready.is_empty() && model.yielded.is_empty();
            prop_assert_eq!(world.queue.is_empty(), idle);
            for (task, handle) in model.tasks.iter().zip(&handles) {
                prop_assert!(handle.as_ref().is_none_or(|handle| handle.is_finished() == task.over));
            }
        }
        let mut from = 0;
        while let Some(at) = world.queue.cancel_from(from) {
            from = at + 1;
        }
        prop_assert!(world.queue.is_empty() && world.queue.tasks() == 0);
        drop(handles);
        world.drops.borrow_mut().sort_unstable();
        prop_assert_eq!(&*world.drops.borrow(), &(0..model.tasks.len()).collect::<Vec<_>>());
        prop_assert_eq!(Rc::strong_count(&result), 1, "results that were not dropped");
        prop_assert_eq!(Rc::strong_count(&world), 1, "futures that were not dropped");
    }
}
