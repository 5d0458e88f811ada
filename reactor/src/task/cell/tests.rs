//! The task cell, the run queue and the waker without a runtime: no system call, so Miri can run
//! them. `cargo +nightly miri test -p reactor --lib task timer polldesc`

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Wake;

use super::*;
use crate::queue::{RunQueue, Runnable};
use crate::task::{INDEX_MAX, RUNTIMES_MAX, TaskId, named_by, wake, waker};

/// The last number, which no runtime of a test ever has.
const NOBODY: u16 = RUNTIMES_MAX as u16 - 1;

type Log = Rc<RefCell<Vec<u32>>>;

struct Droplet(Log, u32);

impl Drop for Droplet {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// Yields until it has been polled so many times. It borrows from itself while it waits.
async fn polled(times: u32) -> Vec<u32> {
    let mut polls = vec![];
    let last = &mut polls;
    for i in 0..times {
        last.push(i);
        let mut pending = i + 1 < times;
        poll_fn(|_| if std::mem::take(&mut pending) { Poll::Pending } else { Poll::Ready(()) })
            .await;
    }
    polls
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn run(cell: &impl Task) -> bool {
    cell.run(&mut context())
}

fn join<T>(cell: &impl Join<T>) -> Poll<Result<T, JoinError>> {
    cell.poll_join(&mut context())
}

#[test]
fn a_cell_is_polled_to_its_end_and_gives_its_result_once() {
    let cell = TaskCell::new(polled(3));
    assert!(!run(&cell) && !run(&cell));
    assert!(!cell.is_finished() && join(&cell).is_pending());
    assert!(run(&cell));
    assert!(cell.is_finished());
    assert!(matches!(join(&cell), Poll::Ready(Ok(polls)) if polls == [0, 1, 2]));
    assert!(cell.is_finished());
    let again = catch_unwind(AssertUnwindSafe(|| join(&cell)));
    assert!(again.is_err());
}

#[test]
fn a_cell_that_is_dropped_in_any_state_drops_what_it_holds_once() {
    for polls in 0..=3 {
        let log = Log::default();
        let droplet = Droplet(Rc::clone(&log), polls);
        let cell = TaskCell::new(async move {
            polled(3).await;
            droplet
        });
        for _ in 0..polls {
            run(&cell);
        }
        assert!(log.borrow().is_empty());
        drop(cell);
        assert_eq!(*log.borrow(), [polls]);
    }
}

#[test]
fn cancelling_drops_the_future_in_place_and_changes_no_result_that_is_there() {
    let log = Log::default();
    let droplet = Droplet(Rc::clone(&log), 1);
    let cell = TaskCell::new(async move {
        let _droplet = droplet;
        pending::<()>().await;
    });
    run(&cell);
    cell.cancel();
    assert_eq!(*log.borrow(), [1]);
    cell.cancel();
    assert!(matches!(join(&cell), Poll::Ready(Err(err)) if err.is_cancelled()));
    let done = TaskCell::new(async { 5 });
    assert!(run(&done));
    done.cancel();
    assert!(matches!(join(&done), Poll::Ready(Ok(5))));
    drop((cell, done));
    assert_eq!(*log.borrow(), [1]);
}

#[test]
fn a_requested_abort_is_carried_out_by_the_next_run() {
    let cell = TaskCell::new(polled(9));
    assert!(!run(&cell));
    cell.request_abort();
    assert!(!cell.is_finished());
    assert!(run(&cell));
    assert!(matches!(join(&cell), Poll::Ready(Err(err)) if err.is_cancelled()));
}

#[test]
fn a_panic_of_the_future_or_of_its_drop_becomes_the_result() {
    let cell = TaskCell::new(async { panic!("polled") });
    assert!(run(&cell));
    let Poll::Ready(Err(err)) = join(&cell) else { panic!("no error") };
    assert_eq!(err.to_string(), "task panicked: polled");
    let bomb = Bomb;
    let cell = TaskCell::new(async move {
        let _bomb = bomb;
        pending::<()>().await;
    });
    run(&cell);
    cell.cancel();
    assert!(matches!(join(&cell), Poll::Ready(Err(err)) if err.is_panic()));
}

#[test]
fn a_future_that_cancels_itself_while_it_runs_goes_on() {
    let own = Rc::new(RefCell::new(None::<Rc<dyn Task>>));
    let cell = Rc::new(TaskCell::new({
        let own = Rc::clone(&own);
        async move {
            own.borrow().as_ref().unwrap().cancel();
            7
        }
    }));
    *own.borrow_mut() = Some(Rc::clone(&cell) as Rc<dyn Task>);
    assert!(run(&*cell));
    assert!(matches!(join(&*cell), Poll::Ready(Ok(7))));
    own.take();
}

/// A waker that is somebody else's and takes the result as soon as it is woken.
#[test]
fn a_joiner_that_is_woken_finds_the_result() {
    struct Flag(std::sync::atomic::AtomicBool);
    impl Wake for Flag {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let flag = std::sync::Arc::new(Flag(false.into()));
    let joiner = Waker::from(std::sync::Arc::clone(&flag));
    let cell = TaskCell::new(polled(2));
    for _ in 0..3 {
        assert!(cell.poll_join(&mut Context::from_waker(&joiner)).is_pending());
    }
    assert_eq!(std::sync::Arc::strong_count(&flag), 3, "the last joiner only");
    run(&cell);
    assert!(!flag.0.load(std::sync::atomic::Ordering::Relaxed));
    run(&cell);
    assert!(flag.0.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(std::sync::Arc::strong_count(&flag), 2);
    assert!(join(&cell).is_ready());
}

fn insert(queue: &mut RunQueue, times: u32) -> (TaskId, Rc<dyn Join<Vec<u32>>>) {
    let cell = Rc::new(TaskCell::new(polled(times)));
    (queue.insert(Rc::clone(&cell) as Rc<dyn Task>), cell)
}

/// Runs the first of the queue as the loop does. `None`: nobody is ready.
fn run_next(queue: &mut RunQueue) -> Option<TaskId> {
    let Runnable::Task(id, task) = queue.pop()? else { panic!("no root here") };
    let waker = waker(id);
    if task.run(&mut Context::from_waker(&waker)) {
        queue.remove(id);
    } else {
        queue.put_back(id, task);
    }
    Some(id)
}

#[test]
fn the_queue_runs_tasks_in_the_order_of_their_wake_ups_and_each_once() {
    let mut queue = RunQueue::new(NOBODY);
    let tasks = [3, 1, 2].map(|times| insert(&mut queue, times));
    let [a, b, c] = [tasks[0].0, tasks[1].0, tasks[2].0];
    queue.schedule(a);
    assert_eq!([(); 4].map(|()| run_next(&mut queue)), [Some(a), Some(b), Some(c), None]);
    for id in [c, a, b, a] {
        queue.schedule(id);
    }
    assert_eq!([(); 3].map(|()| run_next(&mut queue)), [Some(c), Some(a), None]);
    assert_eq!(queue.tasks(), 1);
    queue.schedule(a);
    assert_eq!(run_next(&mut queue), Some(a));
    assert!(queue.is_empty() && queue.tasks() == 0);
    assert!(tasks.iter().all(|(_, task)| task.is_finished()));
}

#[test]
fn a_stale_name_schedules_no_successor() {
    let mut queue = RunQueue::new(NOBODY);
    let (old, _) = insert(&mut queue, 1);
    run_next(&mut queue);
    let (new, _) = insert(&mut queue, 2);
    assert_eq!((old.index(), old == new), (new.index(), false), "the slot is used again");
    run_next(&mut queue);
    queue.schedule(old);
    assert!(run_next(&mut queue).is_none());
    queue.schedule(new);
    assert_eq!(run_next(&mut queue), Some(new));
}

#[test]
fn a_task_that_ends_while_it_stands_in_the_queue_leaves_no_slot() {
    let mut queue = RunQueue::new(NOBODY);
    let (id, _) = insert(&mut queue, 1);
    let Some(Runnable::Task(_, task)) = queue.pop() else { panic!("nobody is ready") };
    queue.schedule(id);
    assert!(task.run(&mut context()));
    queue.remove(id);
    drop(task);
    assert_eq!(queue.tasks(), 0);
    assert!(run_next(&mut queue).is_none() && queue.is_empty());
    assert_eq!(insert(&mut queue, 1).0.index(), id.index());
}

#[test]
fn a_waker_is_a_name_which_it_gives_back_and_which_may_go_anywhere() {
    let id = TaskId::new(NOBODY, INDEX_MAX, 7);
    let one = waker(id);
    assert_eq!(named_by(&one), Some(id));
    assert_eq!(named_by(Waker::noop()), None);
    let clone = (*one).clone();
    assert!(clone.will_wake(&one));
    assert!(!clone.will_wake(&waker(TaskId::new(NOBODY, INDEX_MAX, 8))));
    let elsewhere = std::thread::spawn(move || {
        clone.wake_by_ref();
        let name = named_by(&clone);
        clone.wake();
        name
    });
    assert_eq!(elsewhere.join().unwrap(), Some(id));
    wake(id);
}
