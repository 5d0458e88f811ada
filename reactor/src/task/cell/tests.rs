//! The task cell, the run queue and the waker without a runtime: no system call, so Miri can run
//! them. `cargo +nightly miri test -p reactor --lib task timer polldesc`

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Wake, Waker};

use super::*;
use crate::task::{
    INDEX_MAX, JoinHandle, Next, RUNTIMES_MAX, RunQueue, Running, TaskId, named_by, waker,
};

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

/// Polls a task as the run queue does, and says whether it is over.
fn run(task: &TaskRef) -> bool {
    match catch_unwind(AssertUnwindSafe(|| {
        task.header().marks.begin_turn() && task.poll(&mut context())
    })) {
        Ok(over) => over,
        Err(payload) => {
            task.fail(payload);
            true
        }
    }
}

fn join<T>(handle: &mut JoinHandle<T>) -> Poll<Result<T, JoinError>> {
    Pin::new(handle).poll(&mut context())
}

#[test]
fn a_cell_is_polled_to_its_end_and_gives_its_result_once() {
    let (task, mut handle) = JoinHandle::allocate(polled(3));
    assert!(!run(&task) && !run(&task));
    assert!(!handle.is_finished() && join(&mut handle).is_pending());
    assert!(run(&task));
    assert!(handle.is_finished());
    assert!(matches!(join(&mut handle), Poll::Ready(Ok(polls)) if polls == [0, 1, 2]));
    assert!(handle.is_finished());
    let again = catch_unwind(AssertUnwindSafe(|| join(&mut handle)));
    assert!(again.is_err());
}

#[test]
fn a_cell_that_is_dropped_in_any_state_drops_what_it_holds_once() {
    for polls in 0..=3 {
        let log = Log::default();
        let droplet = Droplet(Rc::clone(&log), polls);
        let (task, another) = allocate(async move {
            polled(3).await;
            droplet
        });
        for _ in 0..polls {
            run(&task);
        }
        let third = task.clone();
        drop((task, third));
        assert!(log.borrow().is_empty());
        drop(another);
        assert_eq!(*log.borrow(), [polls]);
    }
}

#[test]
fn cancelling_drops_the_future_in_place_and_changes_no_result_that_is_there() {
    let log = Log::default();
    let droplet = Droplet(Rc::clone(&log), 1);
    let (task, mut handle) = JoinHandle::allocate(async move {
        let _droplet = droplet;
        pending::<()>().await;
    });
    run(&task);
    task.cancel();
    assert_eq!(*log.borrow(), [1]);
    task.cancel();
    assert!(matches!(join(&mut handle), Poll::Ready(Err(err)) if err.is_cancelled()));
    let (done, mut handle) = JoinHandle::allocate(async { 5 });
    assert!(run(&done));
    done.cancel();
    assert!(matches!(join(&mut handle), Poll::Ready(Ok(5))));
    drop((task, done));
    assert_eq!(*log.borrow(), [1]);
}

#[test]
fn a_requested_abort_is_carried_out_at_the_next_turn() {
    let queue = RunQueue::new(NOBODY);
    let (id, mut handle) = insert(&queue, 9);
    assert_eq!(run_next(&queue), Next::Ran);
    handle.abort();
    assert!(!handle.is_finished());
    queue.schedule(id);
    assert_eq!(run_next(&queue), Next::Ran);
    assert!(matches!(join(&mut handle), Poll::Ready(Err(err)) if err.is_cancelled()));
    assert_eq!(queue.tasks(), 0);
}

#[test]
fn a_panic_of_the_future_or_of_its_drop_becomes_the_result() {
    let (task, mut handle) = JoinHandle::allocate(async { panic!("polled") });
    assert!(run(&task));
    let Poll::Ready(Err(err)) = join(&mut handle) else { panic!("no error") };
    assert_eq!(err.to_string(), "task panicked: polled");
    let bomb = Bomb;
    let (task, mut handle) = JoinHandle::allocate(async move {
        let _bomb = bomb;
        pending::<()>().await;
    });
    run(&task);
    task.cancel();
    assert!(matches!(join(&mut handle), Poll::Ready(Err(err)) if err.is_panic()));
}

#[test]
fn a_future_that_cancels_itself_while_it_runs_goes_on() {
    let own = Rc::new(RefCell::new(None::<TaskRef>));
    let (task, mut handle) = JoinHandle::allocate({
        let own = Rc::clone(&own);
        async move {
            own.borrow().as_ref().unwrap().cancel();
            7
        }
    });
    *own.borrow_mut() = Some(task.clone());
    assert!(run(&task));
    assert!(matches!(join(&mut handle), Poll::Ready(Ok(7))));
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
    let (task, mut handle) = JoinHandle::allocate(polled(2));
    for _ in 0..3 {
        assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&joiner)).is_pending());
    }
    assert_eq!(std::sync::Arc::strong_count(&flag), 3, "the last joiner only");
    run(&task);
    assert!(!flag.0.load(std::sync::atomic::Ordering::Relaxed));
    run(&task);
    assert!(flag.0.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(std::sync::Arc::strong_count(&flag), 2);
    assert!(join(&mut handle).is_ready());
}

/// The drop of the joiner before, which is code of users, ends the task while the next one joins.
#[test]
fn a_task_that_ends_while_its_joiner_is_replaced_is_not_waited_for() {
    thread_local! {
        static TASK: RefCell<Option<TaskRef>> = const { RefCell::new(None) };
    }
    struct Cancels;
    impl Wake for Cancels {
        fn wake(self: std::sync::Arc<Self>) {}
    }
    impl Drop for Cancels {
        fn drop(&mut self) {
            TASK.take().unwrap().cancel();
        }
    }
    let (task, mut handle) = JoinHandle::allocate(polled(2));
    TASK.set(Some(task));
    let joiner = Waker::from(std::sync::Arc::new(Cancels));
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&joiner)).is_pending());
    drop(joiner);
    assert!(matches!(join(&mut handle), Poll::Ready(Err(err)) if err.is_cancelled()));
}

fn insert(queue: &RunQueue, times: u32) -> (TaskId, JoinHandle<Vec<u32>>) {
    let (task, handle) = JoinHandle::allocate(polled(times));
    (queue.insert(task), handle)
}

/// Gives the first of the queue its turn, as the loop does.
fn run_next(queue: &RunQueue) -> Next {
    let running = Running::default();
    let turn = AssertUnwindSafe(|| queue.run_next(&running, || ()));
    catch_unwind(turn).unwrap_or_else(|payload| {
        queue.end_running(&running, payload);
        Next::Ran
    })
}

/// A task that notes its turns and never ends.
fn insert_noting(queue: &RunQueue, log: &Log, number: u32) -> TaskId {
    let log = Rc::clone(log);
    let (task, handle) = JoinHandle::allocate(poll_fn(move |_| {
        log.borrow_mut().push(number);
        Poll::<()>::Pending
    }));
    handle.detach();
    queue.insert(task)
}

/// Gives everyone who is ready a turn, and returns who they were.
fn turns(queue: &RunQueue, log: &Log) -> Vec<u32> {
    while run_next(queue) != Next::Nobody {}
    std::mem::take(&mut log.borrow_mut())
}

#[test]
fn the_queue_runs_tasks_in_the_order_of_their_wake_ups_and_each_once() {
    let (queue, log) = (RunQueue::new(NOBODY), Log::default());
    let [a, b, c] = [1, 2, 3].map(|number| insert_noting(&queue, &log, number));
    queue.schedule(a);
    assert_eq!(turns(&queue, &log), [1, 2, 3]);
    for id in [c, a, b, a] {
        queue.schedule(id);
    }
    assert_eq!(turns(&queue, &log), [3, 1, 2]);
    queue.schedule(a);
    assert_eq!(turns(&queue, &log), [1]);
    assert!(queue.is_empty() && queue.tasks() == 3);
}

#[test]
fn those_that_yielded_come_behind_everyone_who_was_ready() {
    let (queue, log) = (RunQueue::new(NOBODY), Log::default());
    let [a, b, c] = [1, 2, 3].map(|number| insert_noting(&queue, &log, number));
    turns(&queue, &log);
    queue.schedule_last(a);
    queue.schedule_last(b);
    queue.schedule(c);
    queue.schedule(a);
    assert!(!queue.is_empty());
    assert_eq!(turns(&queue, &log), [3]);
    assert!(queue.take_yielded() && !queue.take_yielded());
    queue.schedule(c);
    assert_eq!(turns(&queue, &log), [1, 2, 3]);
}

#[test]
fn a_stale_name_schedules_no_successor() {
    let queue = RunQueue::new(NOBODY);
    let (old, _) = insert(&queue, 1);
    run_next(&queue);
    let (new, _) = insert(&queue, 2);
    assert_eq!((old.index(), old == new), (new.index(), false), "the slot is used again");
    run_next(&queue);
    queue.schedule(old);
    assert_eq!(run_next(&queue), Next::Nobody);
    queue.schedule(new);
    assert_eq!(run_next(&queue), Next::Ran);
    assert_eq!(queue.tasks(), 0);
}

#[test]
fn a_task_that_ends_while_it_stands_in_the_queue_leaves_no_slot() {
    let queue = Rc::new(RunQueue::new(NOBODY));
    let own = Rc::new(std::cell::Cell::new(None));
    for fails in [false, true] {
        let future = {
            let (own, queue) = (Rc::clone(&own), Rc::clone(&queue));
            poll_fn(move |_| {
                queue.schedule(own.get().unwrap());
                assert!(!fails, "as it is meant to");
                Poll::Ready(())
            })
        };
        let (task, handle) = JoinHandle::allocate(future);
        let id = queue.insert(task);
        own.set(Some(id));
        assert_eq!(run_next(&queue), Next::Ran);
        assert!(handle.is_finished() && queue.tasks() == 0 && !queue.is_empty());
        drop(handle);
        assert_eq!(run_next(&queue), Next::Ran);
        assert!(run_next(&queue) == Next::Nobody && queue.is_empty());
        assert_eq!(insert(&queue, 1).0.index(), id.index());
        run_next(&queue);
    }
}

#[test]
fn the_place_of_the_root_is_given_up_in_and_out_of_the_queue() {
    let queue = RunQueue::new(NOBODY);
    for runs_first in [true, false] {
        let root = named_by(queue.insert_root().waker()).unwrap();
        if runs_first {
            assert_eq!(run_next(&queue), Next::Root);
            queue.schedule(root);
            assert_eq!(run_next(&queue), Next::Root);
        }
        assert_eq!(queue.tasks(), 0);
        queue.remove_root();
        queue.schedule(root);
        while run_next(&queue) != Next::Nobody {}
        let (next, _handle) = insert(&queue, 1);
        assert_eq!(next.index(), root.index());
        run_next(&queue);
    }
}

#[test]
fn the_end_of_the_runtime_cancels_everyone_in_the_order_of_their_slots() {
    let (queue, log) = (Rc::new(RunQueue::new(NOBODY)), Log::default());
    let ids = Rc::new(RefCell::new(Vec::new()));
    // The drop of each wakes all others: those must not be found in a list when they are freed.
    struct WakesAll(Rc<RunQueue>, Rc<RefCell<Vec<TaskId>>>);
    impl Drop for WakesAll {
        fn drop(&mut self) {
            self.1.borrow().iter().for_each(|id| self.0.schedule(*id));
            self.1.borrow().iter().for_each(|id| self.0.schedule_last(*id));
        }
    }
    for number in 0..5 {
        let droplet = Droplet(Rc::clone(&log), number);
        let wakes = WakesAll(Rc::clone(&queue), Rc::clone(&ids));
        let (task, handle) = JoinHandle::allocate(async move {
            let _both = (wakes, droplet);
            pending::<()>().await;
        });
        handle.detach();
        ids.borrow_mut().push(queue.insert(task));
    }
    run_next(&queue);
    let mut from = 0;
    while let Some(index) = queue.cancel_from(from) {
        from = index + 1;
    }
    assert_eq!(*log.borrow(), [0, 1, 2, 3, 4]);
    assert!(queue.is_empty() && queue.tasks() == 0);
    assert_eq!(run_next(&queue), Next::Nobody);
}

#[test]
fn the_running_task_is_known_by_its_waker_and_by_no_clone_of_it() {
    let (queue, running) = (RunQueue::new(NOBODY), Rc::new(Running::default()));
    let asks = {
        let running = Rc::clone(&running);
        poll_fn(move |cx| {
            assert_eq!(running.polled_with(cx.waker()), named_by(cx.waker()));
            assert_eq!(running.polled_with(&cx.waker().clone()), None);
            assert_eq!(running.polled_with(Waker::noop()), None);
            Poll::Ready(cx.waker().clone())
        })
    };
    let (task, mut handle) = JoinHandle::allocate(asks);
    let id = queue.insert(task);
    assert_eq!(queue.run_next(&running, || ()), Next::Ran);
    let Poll::Ready(Ok(waker)) = join(&mut handle) else { panic!("it is over") };
    assert_eq!((named_by(&waker), running.polled_with(&waker)), (Some(id), None));
    let root = queue.insert_root();
    assert_eq!(running.polled_with(root.waker()), None, "it is not its turn");
    root.run(&running, || assert_eq!(running.polled_with(root.waker()), named_by(root.waker())));
    let panics = AssertUnwindSafe(|| root.run(&running, || panic!("in a poll")));
    assert!(catch_unwind(panics).is_err());
    assert_eq!(running.polled_with(root.waker()), None, "its turn is over");
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
