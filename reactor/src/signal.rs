//! Signals as a stream of events.
//!
//! The handler may do next to nothing, so it writes to the eventfd of everyone who listens for
//! that signal. Eventfds come from a table that only grows and are used again for the same signal,
//! so one that the handler is about to write is never closed under it.
//!
//! Rejected: `signalfd`, for which a signal has to be blocked in every thread of the process, those
//! of other libraries included, and which children inherit blocked.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use crate::sys::SignalAction;
use crate::{Direction, PollFd, context, sys};

/// Listeners for one signal in a process, at most.
pub const SIGNAL_LISTENERS_MAX: usize = sys::SIGNAL_SLOTS;

/// A signal to listen for.
///
/// # Examples
/// ```
/// use reactor::SignalKind;
///
/// assert_eq!(SignalKind::TERMINATE.as_raw(), 15);
/// assert_eq!(SignalKind::from_raw(15), SignalKind::TERMINATE);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignalKind(libc::c_int);

impl SignalKind {
    /// `SIGINT`: Ctrl-C at the terminal.
    pub const INTERRUPT: Self = Self(libc::SIGINT);
    /// `SIGTERM`: the polite request to end.
    pub const TERMINATE: Self = Self(libc::SIGTERM);
    /// `SIGHUP`: the terminal is gone; for servers, read the configuration again.
    pub const HANGUP: Self = Self(libc::SIGHUP);
    /// `SIGQUIT`: Ctrl-\ at the terminal.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// `SIGUSR1`.
    pub const USER1: Self = Self(libc::SIGUSR1);
    /// `SIGUSR2`.
    pub const USER2: Self = Self(libc::SIGUSR2);
    /// `SIGCHLD`: a child process has ended or stopped.
    pub const CHILD: Self = Self(libc::SIGCHLD);
    /// `SIGWINCH`: the terminal has another size.
    pub const WINDOW_CHANGE: Self = Self(libc::SIGWINCH);

    /// A signal by its number. [`signal`] refuses those that cannot be caught.
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// The signal's number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

/// Listens for a signal from here on, instead of what it did before. With the last [`Signal`] of its kind
/// that comes back: a second Ctrl-C ends a program that has heard the first and dropped its `Signal`, as
/// after `signal.Stop` in Go. So who wants to go on hearing it keeps the `Signal`, and does not make
/// one for each round of a loop.
///
/// # Errors
/// `InvalidInput` for a signal that cannot be caught (`SIGKILL`, `SIGSTOP`), that means a fault of
/// the program (`SIGSEGV` and its kin), or that does not exist; with
/// [`SIGNAL_LISTENERS_MAX`] listeners; and when the process is out of descriptors.
///
/// # Panics
/// Outside a runtime.
///
/// # Examples
/// ```no_run
/// use reactor::{SignalKind, signal};
///
/// # async fn run() -> std::io::Result<()> {
/// let mut terminate = signal(SignalKind::TERMINATE)?;
/// terminate.recv().await?;
/// println!("asked to end");
/// # Ok(()) }
/// ```
#[track_caller]
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    context::with(|_| ());
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let slots = table.get_or_insert_default().entry(kind.0).or_default();
    let slot = slots.claim(kind)?;
    let fd = slots.eventfds[slot].try_clone().and_then(|fd| {
        // Each time: somebody else may have given it something else to do since.
        let before = sys::catch_signal(kind.0)?;
        if !before.is_ours() {
            slots.before = Some(before);
        }
        Ok(fd)
    });
    let fd = match fd {
        Ok(fd) => fd,
        Err(err) => {
            let left = slots.leave(kind, slot);
            drop(table);
            report(kind, left);
            return Err(err);
        }
    };
    Ok(Signal { kind, slot, fd: Some(PollFd::from_socket(fd)) })
}

/// A stream of one signal's arrivals. Made by [`signal`].
///
/// Arrivals between two calls of [`recv`](Self::recv) count as one, as the kernel itself merges
/// signals. Several listeners, on any threads, hear of each arrival.
///
/// # Examples
/// ```no_run
/// use reactor::{SignalKind, signal, spawn};
///
/// # async fn run(reread: impl Fn() + 'static) -> std::io::Result<()> {
/// let mut hangup = signal(SignalKind::HANGUP)?;
/// spawn(async move {
///     while hangup.recv().await.is_ok() {
///         reread();
///     }
/// })
/// .detach();
/// # Ok(()) }
/// ```
pub struct Signal {
    kind: SignalKind,
    slot: usize,
    fd: Option<PollFd>,
}

impl Signal {
    /// Waits for the signal. Cancel-safe.
    ///
    /// # Errors
    /// What the system says of reading an eventfd.
    pub async fn recv(&mut self) -> io::Result<()> {
        let fd = self.fd.as_ref().expect("taken only by drop");
        fd.read(&mut [0; 8]).await?;
        Ok(())
    }

    /// [`recv`](Self::recv) for poll functions: with `poll_fn` of futures' `stream` it is a `Stream`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let fd = self.fd.as_ref().expect("taken only by drop");
        fd.poll_io(cx, Direction::Read, |fd| sys::read(fd, &mut [0; 8])).map_ok(|_| ())
    }

    /// Which signal.
    pub fn kind(&self) -> SignalKind {
        self.kind
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        // The eventfd stays open in the table, so it is taken out of the epoll set in due form.
        if let Some(Err(err)) = self.fd.take().map(PollFd::into_inner) {
            log::warn!("cannot stop listening for signal {}: {err}", self.kind.0);
        }
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = table.as_mut().and_then(|table| table.get_mut(&self.kind.0));
        let left = slots.map_or(Ok(()), |slots| slots.leave(self.kind, self.slot));
        drop(table);
        report(self.kind, left);
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signal").field(&self.kind).finish()
    }
}

/// Not under the lock: a logger is code of users.
fn report(kind: SignalKind, left: io::Result<()>) {
    if let Err(err) = left {
        log::warn!("signal {} does nothing from now on: {err}", kind.0);
    }
}

static TABLE: Mutex<Option<HashMap<libc::c_int, Slots>>> = Mutex::new(None);

/// The eventfds of one signal. None is ever closed.
#[derive(Default)]
struct Slots {
    eventfds: Vec<OwnedFd>,
    in_use: Vec<bool>,
    /// What the signal did before somebody listened, while somebody does.
    before: Option<SignalAction>,
}

impl Slots {
    /// Finds or makes a free slot and connects it to the handler.
    fn claim(&mut self, kind: SignalKind) -> io::Result<usize> {
        sys::check_signal(kind.0)?;
        let slot = match self.in_use.iter().position(|in_use| !in_use) {
            Some(slot) => slot,
            None if self.eventfds.len() == SIGNAL_LISTENERS_MAX => {
                let reason = format!("{SIGNAL_LISTENERS_MAX} listen for signal {} already", kind.0);
                return Err(io::Error::other(reason));
            }
            None => {
                self.eventfds.push(sys::eventfd()?);
                self.in_use.push(false);
                self.eventfds.len() - 1
            }
        };
        self.in_use[slot] = true;
        // What came for the last listener in this slot is not ours. Before the handler writes for us, or what comes
        // at this moment would be lost.
        let _ = sys::read(self.eventfds[slot].as_fd(), &mut [0; 8]);
        sys::connect_signal(kind.0, slot, self.eventfds[slot].as_fd());
        Ok(slot)
    }

    /// Frees a slot. After the last one the signal does what it did before.
    fn leave(&mut self, kind: SignalKind, slot: usize) -> io::Result<()> {
        self.in_use[slot] = false;
        let before = if self.in_use.contains(&true) { None } else { self.before.take() };
        // Before the slot is disconnected, so that no signal comes between the two and is lost.
        let released = before.map_or(Ok(()), |before| sys::release_signal(kind.0, &before));
        sys::disconnect_signal(kind.0, slot);
        released
    }
}
