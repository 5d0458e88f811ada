//! A task without its type: what the run queue and the handles hold.
//!
//! The header stands at the start of the allocation, before the future. Its function table knows the
//! type. References are counted with a plain number: they never leave the thread of the runtime.
//!
//! Rejected: `Rc<dyn Task>`, which says the same in safe code. Its pointers are two words, so each
//! link of the run queue would be, and a queue of owned pointers counts up and down at every wake-up.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::mem::{ManuallyDrop, MaybeUninit, offset_of};
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use super::waker::{clone_of, name_in, waker};
use super::{JoinError, TaskId};

/// What the payload of a panic comes in.
pub(crate) type Payload = Box<dyn Any + Send>;

/// What is in a task, and who may touch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The future, which a poll or a cancellation may take up.
    Waiting = 0,
    /// The future, which is being polled or dropped further up this stack: nobody else touches it.
    Running = 1,
    /// The result, for the join handle to take.
    Done = 2,
    /// Nothing: the result was taken.
    Taken = 3,
}

/// The state of a task and its marks, in one byte: whether a task whose turn has come is simply to be
/// polled is one comparison.
#[derive(Default)]
pub(super) struct Marks(Cell<u8>);

/// The bits of the [`State`].
const STATE: u8 = 0b11;
/// It stands in the run queue.
const QUEUED: u8 = 1 << 2;
/// Its next turn is to cancel it.
const ABORT: u8 = 1 << 3;
/// It is the place of a future that lives elsewhere, whose turns are not ours to give.
const ROOT: u8 = 1 << 4;

/// The part of a task that is the same for every future.
pub(super) struct Header {
    vtable: &'static Vtable,
    /// What the future is polled with. It names nobody until the run queue has given the task a slot.
    waker: UnsafeCell<ManuallyDrop<Waker>>,
    /// The task behind this one in the run queue.
    pub(super) next: Cell<Option<NonNull<Header>>>,
    references: Cell<u32>,
    pub(super) marks: Marks,
    pub(super) joiner: Cell<Option<Waker>>,
}

/// What is done with a task of one type.
///
/// # Safety
/// The pointer is to the header of a live task of the type that the table was made for.
pub(super) struct Vtable {
    /// Polls the future, which is [`State::Running`] from the start of its turn, and [`State::Waiting`]
    /// after it. Says whether the task is over. A panic of the future leaves it Running, to be ended by
    /// `end`.
    pub(super) poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> bool,
    /// Drops the future, which is [`State::Running`], and leaves the error in its place.
    pub(super) end: unsafe fn(NonNull<Header>, JoinError),
    /// Moves the result, which is [`State::Done`], to where the second pointer says.
    pub(super) take: unsafe fn(NonNull<Header>, NonNull<()>),
    /// Drops what is in the task and gives its memory back.
    pub(super) free: unsafe fn(NonNull<Header>),
}

/// A counted reference to a task.
pub(crate) struct TaskRef(NonNull<Header>);

impl Marks {
    #[inline]
    pub(super) fn state(&self) -> State {
        match self.0.get() & STATE {
            0 => State::Waiting,
            1 => State::Running,
            2 => State::Done,
            _ => State::Taken,
        }
    }

    #[inline]
    pub(super) fn set_state(&self, state: State) {
        self.0.set(self.0.get() & !STATE | state as u8);
    }

    /// A task that waits, out of the queue and with no mark, is Running from here on. Says whether it is
    /// such a one.
    #[inline]
    pub(super) fn begin_turn(&self) -> bool {
        let plain = self.0.get() == State::Waiting as u8;
        if plain {
            self.0.set(State::Running as u8);
        }
        plain
    }

    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.0.get() & State::Done as u8 != 0
    }

    #[inline]
    pub(super) fn is_queued(&self) -> bool {
        self.has(QUEUED)
    }

    /// Says whether it was.
    #[inline]
    pub(super) fn set_queued(&self) -> bool {
        let was = self.is_queued();
        if !was {
            self.0.set(self.0.get() | QUEUED);
        }
        was
    }

    #[inline]
    pub(super) fn set_not_queued(&self) {
        self.0.set(self.0.get() & !QUEUED);
    }

    pub(super) fn set_root(&self) {
        self.0.set(self.0.get() | ROOT);
    }

    pub(super) fn is_root(&self) -> bool {
        self.has(ROOT)
    }

    #[inline]
    fn has(&self, mark: u8) -> bool {
        self.0.get() & mark != 0
    }
}

impl Header {
    /// Where the waker of a task lies.
    #[inline]
    pub(super) fn waker_of(header: NonNull<Self>) -> *const Waker {
        header.as_ptr().wrapping_byte_add(offset_of!(Self, waker)).cast()
    }

    /// The way back from [`waker_of`](Self::waker_of).
    #[inline]
    pub(super) fn of_waker(waker: *const Waker) -> Option<NonNull<Self>> {
        NonNull::new(waker.wrapping_byte_sub(offset_of!(Self, waker)).cast_mut().cast())
    }

    /// The waker of the task.
    #[inline]
    pub(super) fn waker(&self) -> &Waker {
        // SAFETY: it is written by `set_id` only, which nobody's borrow meets.
        unsafe { &*self.waker.get() }
    }

    /// The name that the run queue gave the task; [`TaskId::NOBODY`] before.
    #[inline]
    pub(super) fn id(&self) -> TaskId {
        // SAFETY: `new` and `set_id` write wakers of ours.
        unsafe { name_in(self.waker()) }
    }

    /// Gives the task its name.
    ///
    /// # Safety
    /// Nobody borrows the [`waker`](Self::waker).
    pub(super) unsafe fn set_id(&self, id: TaskId) {
        // SAFETY: headers do not leave their thread, and nobody borrows it, as the caller promises.
        unsafe { *self.waker.get() = waker(id) };
    }

    /// Of a task with two references: that of its table and that of its handle.
    #[inline]
    pub(super) fn new(vtable: &'static Vtable) -> Self {
        Self {
            vtable,
            waker: UnsafeCell::new(waker(TaskId::NOBODY)),
            next: Cell::new(None),
            references: Cell::new(2),
            marks: Marks::default(),
            joiner: Cell::new(None),
        }
    }
}

impl TaskRef {
    /// # Safety
    /// The pointer has the provenance of the whole allocation, whose type is that of its function
    /// table, and the count accounts for this reference.
    pub(super) unsafe fn from_raw(header: NonNull<Header>) -> Self {
        Self(header)
    }

    pub(super) fn as_ptr(&self) -> NonNull<Header> {
        self.0
    }

    #[inline]
    pub(super) fn header(&self) -> &Header {
        // SAFETY: this reference is counted, so the task lives as long as it does. A header is
        // changed only through its cells, and only by the one thread that has references.
        unsafe { self.0.as_ref() }
    }

    /// Polls the future, which is Running. Says whether the task is over.
    ///
    /// # Panics
    /// As the future does. The task is then to be given to [`fail`](Self::fail).
    #[inline]
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> bool {
        debug_assert_eq!(self.header().marks.state(), State::Running);
        // SAFETY: the pointer and its table belong together (`from_raw`), and the task is alive.
        unsafe { (self.header().vtable.poll)(self.0, cx) }
    }

    /// Ends a task whose future has panicked.
    pub(super) fn fail(&self, payload: Payload) {
        self.end(JoinError::panic(payload));
    }

    /// Drops the future unless the task is over or running; its result is then "cancelled".
    pub(crate) fn cancel(&self) {
        if self.header().marks.state() == State::Waiting {
            self.header().marks.set_state(State::Running);
            self.end(JoinError::cancelled());
        }
    }

    fn end(&self, err: JoinError) {
        assert_eq!(self.header().marks.state(), State::Running);
        // SAFETY: as in `poll`; the state was looked at a line above.
        unsafe { (self.header().vtable.end)(self.0, err) }
    }

    /// Makes the task's next turn cancel it.
    pub(super) fn request_abort(&self) {
        let marks = &self.header().marks.0;
        marks.set(marks.get() | ABORT);
    }

    /// Whether the future has ended.
    #[inline]
    pub(super) fn is_finished(&self) -> bool {
        self.header().marks.is_over()
    }

    /// Takes the result, or parks the caller until it is there.
    ///
    /// # Panics
    /// When the result was taken before.
    ///
    /// # Safety
    /// `T` is what the task's future returns.
    pub(super) unsafe fn poll_join<T>(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        let header = self.header();
        if !header.marks.is_over() {
            let old = header.joiner.replace(Some(clone_of(cx.waker())));
            drop(old);
            // Clone and drop are code of users, and may have ended the task: nobody would tell.
            if !header.marks.is_over() {
                return Poll::Pending;
            }
        }
        assert!(header.marks.state() == State::Done, "JoinHandle polled after it gave its result");
        let mut result = MaybeUninit::<Result<T, JoinError>>::uninit();
        let place = NonNull::from(&mut result).cast();
        // SAFETY: as in `poll`; the state is Done, and the place is one for such a result, as the
        // caller promises.
        unsafe { (header.vtable.take)(self.0, place) };
        // SAFETY: `take` has moved the result here.
        Poll::Ready(unsafe { result.assume_init() })
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        let references = &self.header().references;
        // Only who forgets handles without end comes here: a count that starts anew would free a
        // task that is in use.
        references.set(references.get().checked_add(1).unwrap_or_else(|| std::process::abort()));
        Self(self.0)
    }
}

impl Drop for TaskRef {
    #[inline]
    fn drop(&mut self) {
        let references = self.header().references.get() - 1;
        self.header().references.set(references);
        if references == 0 {
            let free = self.header().vtable.free;
            // SAFETY: as in `poll`; this was the last reference.
            unsafe { free(self.0) };
        }
    }
}
