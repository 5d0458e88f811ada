//! Wake-ups from other threads: an inbox for each runtime, and the eventfd that ends its sleep.
//!
//! The protocol, by which no wake-up is lost and an awake runtime costs the others no system call, is
//! in `remote/bell.rs`. Here is what goes through it, wakes and new tasks, and who receives it.
//!
//! Inboxes live in a table, by the runtime's number, and are used again by later runtimes; the
//! table itself never goes away. So a waker needs no reference count to be sound when its runtime
//! is gone: it finds a closed inbox, or wakes a slot of a successor for nothing.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bell::Bell;

use crate::handle::SpawnError;
use crate::sys;
use crate::task::{RUNTIMES_MAX, TaskId, ignore_panic};

mod bell;

static TABLE: [OnceLock<Box<Remote>>; RUNTIMES_MAX] = [const { OnceLock::new() }; RUNTIMES_MAX];
static FREE: Mutex<Free> = Mutex::new(Free { returned: Vec::new(), unused: 0 });

/// Wakes of one task that the inbox holds are merged whenever it has grown to twice what was left
/// after the last time, and not below this many.
const MERGE_AT_LEAST: usize = 64;

/// Numbers that no runtime has.
struct Free {
    returned: Vec<u16>,
    unused: u16,
}

/// One place of the table.
type Remote = Bell<Inbox>;

/// What the bell guards.
#[derive(Default)]
struct Inbox {
    /// What to ring. There while a runtime lives in this place.
    eventfd: Option<Arc<OwnedFd>>,
    /// Counts the runtimes that have lived in this place.
    tenancy: u64,
    wakes: Vec<TaskId>,
    merge_at: usize,
    spawns: Vec<Start>,
}

/// Starts a task, on the runtime's thread.
pub(crate) type Start = Box<dyn FnOnce() + Send>;

/// Tasks that other threads have sent to a runtime and that it has not taken in yet, at most.
pub const REMOTE_SPAWNS_MAX: usize = 1 << 16;

/// What the owner takes out of its inbox at the beginning of a turn.
#[derive(Default)]
pub(crate) struct Mail {
    pub(crate) wakes: Vec<TaskId>,
    pub(crate) spawns: Vec<Start>,
}

/// Names a runtime for other threads, also when it is gone and its place has another owner.
#[derive(Clone)]
pub(crate) struct Address {
    remote: &'static Remote,
    tenancy: u64,
}

/// A runtime's place in the table, given back on drop.
pub(crate) struct Place {
    number: u16,
    remote: &'static Remote,
    tenancy: u64,
    eventfd: Arc<OwnedFd>,
}

/// Wakes a task of a runtime that this thread is not in.
#[cold]
pub(crate) fn wake(id: TaskId) {
    if let Some(remote) = TABLE[id.runtime() as usize].get() {
        // A runtime that is gone has no tasks to wake.
        let _ = push(remote, |inbox| inbox.push_wake(id));
    }
}

impl Address {
    /// Sends a task to the runtime.
    pub(crate) fn spawn(&self, start: Start) -> Result<(), SpawnError> {
        // What is refused is dropped when the lock is free: it is user code, and may wake.
        let mut start = Some(start);
        self.push(|inbox| match inbox.spawns.len() {
            REMOTE_SPAWNS_MAX.. => Err(SpawnError::Full),
            _ => {
                inbox.spawns.extend(start.take());
                Ok(())
            }
        })
    }

    /// Ends the runtime's sleep, if it sleeps.
    pub(crate) fn poke(&self) {
        let _ = self.push(|_| Ok(()));
    }

    fn push(
        &self,
        add: impl FnOnce(&mut Inbox) -> Result<(), SpawnError>,
    ) -> Result<(), SpawnError> {
        push(self.remote, |inbox| match inbox.tenancy == self.tenancy {
            true => add(inbox),
            false => Err(SpawnError::Gone),
        })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.tenancy).finish()
    }
}

/// Changes an inbox, and ends the sleep of whoever lives there.
fn push(
    remote: &Remote,
    add: impl FnOnce(&mut Inbox) -> Result<(), SpawnError>,
) -> Result<(), SpawnError> {
    let eventfd = remote.send(|inbox| {
        let eventfd = Arc::clone(inbox.eventfd.as_ref().ok_or(SpawnError::Gone)?);
        add(inbox).map(|()| eventfd)
    })?;
    if let Some(eventfd) = eventfd {
        ring(eventfd.as_fd());
    }
    Ok(())
}

impl Inbox {
    fn push_wake(&mut self, id: TaskId) -> Result<(), SpawnError> {
        if self.wakes.len() >= self.merge_at.max(MERGE_AT_LEAST) {
            self.wakes.sort_unstable();
            self.wakes.dedup();
            self.merge_at = self.wakes.len() * 2;
        }
        self.wakes.push(id);
        Ok(())
    }
}

/// Writes the eventfd. Each write is a new edge, drained or not, so nobody reads it; should the
/// counter ever be full, the edge that filled it is still to be seen.
fn ring(eventfd: BorrowedFd<'_>) {
    if let Err(err) = sys::write(eventfd, &1u64.to_ne_bytes())
        && err.kind() != io::ErrorKind::WouldBlock
    {
        log::error!("cannot write a runtime's eventfd: {err}");
    }
}

impl Place {
    /// Takes a place for a new runtime.
    ///
    /// # Errors
    /// With [`RUNTIMES_MAX`] runtimes alive, and when the process has no descriptor left.
    pub(crate) fn claim() -> io::Result<Self> {
        let eventfd = Arc::new(sys::eventfd()?);
        let number = take_number()?;
        let remote = TABLE[number as usize].get_or_init(Box::default);
        let tenancy = remote.hand_over(|inbox| {
            inbox.eventfd = Some(Arc::clone(&eventfd));
            inbox.tenancy += 1;
            inbox.tenancy
        });
        Ok(Self { number, remote, tenancy, eventfd })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn eventfd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    /// The name by which other threads know the runtime.
    pub(crate) fn address(&self) -> Address {
        Address { remote: self.remote, tenancy: self.tenancy }
    }

    /// Whether there is something to take.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.remote.has_mail()
    }

    /// Takes what has come in exchange for an empty `mail`, whose memory is used again.
    pub(crate) fn take(&self, mail: &mut Mail) {
        debug_assert!(mail.wakes.is_empty() && mail.spawns.is_empty());
        self.remote.take(|inbox| {
            std::mem::swap(&mut inbox.wakes, &mut mail.wakes);
            std::mem::swap(&mut inbox.spawns, &mut mail.spawns);
            inbox.merge_at = 0;
        });
    }

    /// Announces that the owner is about to sleep. `false`: something has come, it must not.
    #[inline]
    pub(crate) fn fall_asleep(&self) -> bool {
        self.remote.fall_asleep()
    }

    #[inline]
    pub(crate) fn wake_up(&self) {
        self.remote.wake_up();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.remote.hand_over(|inbox| {
            let tenancy = inbox.tenancy;
            std::mem::replace(inbox, Inbox { tenancy, ..Inbox::default() })
        });
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.returned.push(self.number);
        drop(free);
        // Tasks that were never taken in: user code, which may panic.
        left.spawns.into_iter().for_each(|start| ignore_panic(|| drop(start)));
    }
}

fn take_number() -> io::Result<u16> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(number) = free.returned.pop() {
        return Ok(number);
    }
    if free.unused as usize == RUNTIMES_MAX {
        return Err(io::Error::other(format!("{RUNTIMES_MAX} runtimes are alive already")));
    }
    free.unused += 1;
    Ok(free.unused - 1)
}
