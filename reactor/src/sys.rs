//! Every system call of the crate, as safe functions that return [`io::Result`].
//!
//! This file knows descriptors, flags and bytes; it knows no tasks, no `PollDesc` and no policy.
//! Outside `task/`, it and what lies below it are all of the crate that may say `unsafe`. Below it is the one
//! function that is not safe, [`syscall`], for this crate and those that stand on it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::time::Duration;

pub(crate) use libc::epoll_event as EpollEvent;

#[cfg(test)]
pub(crate) mod fault;
mod raw;

#[cfg(test)]
use fault::scripted;
pub use raw::syscall;

/// Where a test's script fails a system call (see `fault.rs`). Here there are none.
#[cfg(not(test))]
#[inline(always)]
fn scripted(_call: &'static str) -> io::Result<()> {
    Ok(())
}

/// Turns the `-1` of a system call into the error it stands for.
fn cvt(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Takes ownership of a descriptor that a system call has just returned.
fn own(fd: libc::c_int) -> OwnedFd {
    // SAFETY: `fd` came from a successful system call that creates a descriptor, and nothing else
    // in the process has seen its number yet, so this is its only owner.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// `epoll_create1(EPOLL_CLOEXEC)`.
pub(crate) fn epoll_create() -> io::Result<OwnedFd> {
    scripted("epoll_create1")?;
    // SAFETY: takes no pointers.
    cvt(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(own)
}

/// `epoll_ctl(EPOLL_CTL_ADD)`.
pub(crate) fn epoll_add(
    epoll: BorrowedFd<'_>,
    fd: BorrowedFd<'_>,
    events: u32,
    data: u64,
) -> io::Result<()> {
    scripted("epoll_ctl_add")?;
    let mut event = EpollEvent { events, u64: data };
    // SAFETY: `event` outlives the call, and the kernel only reads it.
    cvt(unsafe {
        libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event)
    })?;
    Ok(())
}

/// `epoll_ctl(EPOLL_CTL_DEL)`.
pub(crate) fn epoll_del(epoll: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    scripted("epoll_ctl_del")?;
    let no_event = std::ptr::null_mut();
    // SAFETY: DEL reads no event; null is allowed since Linux 2.6.9.
    cvt(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, number, no_event) })?;
    Ok(())
}

/// `dup3(2)`: closes the file of `fd`, whose number stands for that of `by` from here on.
pub(crate) fn replace(fd: BorrowedFd<'_>, by: BorrowedFd<'_>) -> io::Result<()> {
    scripted("dup3")?;
    // SAFETY: takes no pointers. The number stays that of an open file, which is all that its owner and
    // those who borrow it rely on.
    cvt(unsafe { libc::dup3(by.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) })?;
    Ok(())
}

/// How long [`epoll_wait`] may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Return at once.
    No,
    /// Until an event, at most this long. Never zero.
    For(Duration),
    /// Until an event.
    Forever,
}

/// Fills `events` and returns how many were filled.
///
/// Waits with nanosecond resolution where the kernel has `epoll_pwait2` (Linux 5.11). Elsewhere
/// the time is rounded *up* to a millisecond: rounding down would turn the last fraction of every
/// wait into a spin.
pub(crate) fn epoll_wait(
    epoll: BorrowedFd<'_>,
    events: &mut [EpollEvent],
    wait: Wait,
) -> io::Result<usize> {
    match wait {
        Wait::No => epoll_wait_ms(epoll, events, 0),
        Wait::Forever => epoll_wait_ms(epoll, events, -1),
        Wait::For(time) => match epoll_wait_ns(epoll, events, time) {
            // A sandbox that does not know the call may say EPERM.
            Err(err) if matches!(err.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                epoll_wait_ms(epoll, events, millis_rounded_up(time))
            }
            result => result,
        },
    }
}

fn millis_rounded_up(time: Duration) -> libc::c_int {
    let millis = time.as_nanos().div_ceil(1_000_000);
    libc::c_int::try_from(millis).unwrap_or(libc::c_int::MAX)
}

/// Newer architectures have only the call that takes a signal mask too.
#[cfg(target_arch = "x86_64")]
const EPOLL_WAIT: libc::c_long = libc::SYS_epoll_wait;
#[cfg(not(target_arch = "x86_64"))]
const EPOLL_WAIT: libc::c_long = libc::SYS_epoll_pwait;

fn epoll_wait_ms(
    epoll: BorrowedFd<'_>,
    events: &mut [EpollEvent],
    timeout_ms: libc::c_int,
) -> io::Result<usize> {
    scripted("epoll_wait")?;
    let (epoll, [events, capacity]) = (epoll.as_raw_fd() as usize, room(events));
    let args = [epoll, events, capacity, timeout_ms as usize, 0, size_of::<u64>()];
    // SAFETY: the kernel writes at most `capacity` events into `events`, which has room for them.
    // A null signal mask leaves the mask as it is; epoll_wait(2) does not look at it.
    unsafe { syscall(EPOLL_WAIT, args) }
}

fn epoll_wait_ns(
    epoll: BorrowedFd<'_>,
    events: &mut [EpollEvent],
    time: Duration,
) -> io::Result<usize> {
    scripted("epoll_pwait2")?;
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    let (epoll, [events, capacity]) = (epoll.as_raw_fd() as usize, room(events));
    let args = [epoll, events, capacity, &raw const timeout as usize, 0, size_of::<u64>()];
    // SAFETY: `events` has room for `capacity` events; `timeout` outlives the call; a null signal
    // mask leaves the mask as it is, and its size is then not looked at.
    unsafe { syscall(libc::SYS_epoll_pwait2, args) }
}

/// Where to write events, and how many.
fn room(events: &mut [EpollEvent]) -> [usize; 2] {
    [events.as_mut_ptr() as usize, events.len().min(libc::c_int::MAX as usize)]
}

/// `shutdown(2)` of both ways; what is no socket says so.
pub(crate) fn shutdown(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes no pointers.
    cvt(unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_RDWR) })?;
    Ok(())
}

/// A nonblocking, close-on-exec `eventfd(2)` with value 0.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    scripted("eventfd")?;
    // SAFETY: takes no pointers.
    cvt(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(own)
}

/// Whether `fstat(2)` says that this is a regular file or a directory, which epoll does not take.
pub(crate) fn is_file_or_directory(fd: BorrowedFd<'_>) -> io::Result<bool> {
    scripted("fstat")?;
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` has room for what the kernel writes.
    cvt(unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: fstat succeeded, so it filled the structure.
    let kind = unsafe { stat.assume_init() }.st_mode & libc::S_IFMT;
    Ok(kind == libc::S_IFREG || kind == libc::S_IFDIR)
}

/// `read(2)`. A zero-length buffer is answered without a system call by the callers, not here.
pub(crate) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    scripted("read")?;
    let args = [fd.as_raw_fd() as usize, buf.as_mut_ptr() as usize, buf.len(), 0, 0, 0];
    // SAFETY: the kernel writes at most `buf.len()` bytes into `buf`.
    unsafe { syscall(libc::SYS_read, args) }
}

/// `write(2)`.
pub(crate) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    scripted("write")?;
    let args = [fd.as_raw_fd() as usize, buf.as_ptr() as usize, buf.len(), 0, 0, 0];
    // SAFETY: the kernel reads at most `buf.len()` bytes from `buf`.
    unsafe { syscall(libc::SYS_write, args) }
}

/// How much later than asked for the kernel may end this thread's timed waits.
pub(crate) fn timer_slack_ns() -> io::Result<u64> {
    scripted("prctl_get")?;
    // SAFETY: takes no pointers; the unused arguments are zero.
    let slack = cvt(unsafe { libc::prctl(libc::PR_GET_TIMERSLACK, 0, 0, 0, 0) })?;
    Ok(slack as u64)
}

/// Sets [`timer_slack_ns`]. 0 would mean the thread's default.
pub(crate) fn set_timer_slack_ns(slack_ns: u64) -> io::Result<()> {
    // SAFETY: takes no pointers; the unused arguments are zero.
    cvt(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack_ns as libc::c_ulong, 0, 0, 0) })?;
    Ok(())
}

/// Pins the calling thread to the `n`-th of the processors it may run on, going round.
pub(crate) fn pin_to_nth_processor(n: usize) -> io::Result<()> {
    scripted("sched_setaffinity")?;
    let mut allowed = std::mem::MaybeUninit::<libc::cpu_set_t>::zeroed();
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: `allowed` has room for `size` bytes.
    cvt(unsafe { libc::sched_getaffinity(0, size, allowed.as_mut_ptr()) })?;
    // SAFETY: a `cpu_set_t` is plain bits, and all of them were zeroed before the kernel wrote.
    let allowed = unsafe { allowed.assume_init() };
    // SAFETY: the index is below CPU_SETSIZE, and the set is initialised.
    let is_allowed = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &allowed) };
    let processors: Vec<usize> = (0..libc::CPU_SETSIZE as usize).filter(is_allowed).collect();
    let mut one = std::mem::MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: all-zero bits are an empty set.
    let one = unsafe { one.assume_init_mut() };
    // SAFETY: the kernel gave at least one processor, and its number is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(processors[n % processors.len()], one) };
    // SAFETY: `one` outlives the call, which reads `size` bytes of it.
    cvt(unsafe { libc::sched_setaffinity(0, size, one) })?;
    Ok(())
}

/// Signals that have numbers, and one more for the zero.
const SIGNALS: usize = 65;
/// Eventfds that the handler writes for one signal.
pub(crate) const SIGNAL_SLOTS: usize = 32;

/// What the signal handler reads: for each signal the eventfds to write, plus one, or 0 for none.
static SIGNAL_FDS: [[AtomicI32; SIGNAL_SLOTS]; SIGNALS] =
    [const { [const { AtomicI32::new(0) }; SIGNAL_SLOTS] }; SIGNALS];

/// Refuses signals that cannot be caught, or that must not because the program is at fault.
pub(crate) fn check_signal(signal: libc::c_int) -> io::Result<()> {
    let forbidden =
        [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
    if !(1..SIGNALS as libc::c_int).contains(&signal) || forbidden.contains(&signal) {
        let reason = format!("signal {signal} cannot be listened for");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    Ok(())
}

/// Makes the handler of `signal` write to `fd`, which must stay open for good.
pub(crate) fn connect_signal(signal: libc::c_int, slot: usize, fd: BorrowedFd<'_>) {
    SIGNAL_FDS[signal as usize][slot].store(fd.as_raw_fd() + 1, SeqCst);
}

/// Undoes [`connect_signal`]. A handler that runs at this moment may still write once.
pub(crate) fn disconnect_signal(signal: libc::c_int, slot: usize) {
    SIGNAL_FDS[signal as usize][slot].store(0, SeqCst);
}

/// What a signal does.
pub(crate) struct SignalAction(libc::sigaction);

impl SignalAction {
    /// Whether it is to call the handler of [`catch_signal`].
    pub(crate) fn is_ours(&self) -> bool {
        self.0.sa_sigaction == handler()
    }
}

/// Installs the handler for `signal`, and returns what the signal did before. System calls that it
/// interrupts are restarted.
pub(crate) fn catch_signal(signal: libc::c_int) -> io::Result<SignalAction> {
    scripted("sigaction")?;
    // SAFETY: all-zero bits are a valid `sigaction`: no handler, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler();
    action.sa_flags = libc::SA_RESTART;
    let mut before = action;
    // SAFETY: both outlive the call; the handler is async-signal-safe (see there).
    cvt(unsafe { libc::sigaction(signal, &action, &mut before) })?;
    Ok(SignalAction(before))
}

/// Lets `signal` do again what it did before [`catch_signal`], unless somebody has given it something else to
/// do since.
pub(crate) fn release_signal(signal: libc::c_int, before: &SignalAction) -> io::Result<()> {
    let mut now = SignalAction(before.0);
    // SAFETY: `now` outlives the call, and nothing is changed.
    cvt(unsafe { libc::sigaction(signal, std::ptr::null(), &mut now.0) })?;
    if now.is_ours() {
        // SAFETY: the action outlives the call, and was in force before ours; the old one is not asked for.
        cvt(unsafe { libc::sigaction(signal, &before.0, std::ptr::null_mut()) })?;
    }
    Ok(())
}

/// What another library may do meanwhile. Says whether it was so before.
#[cfg(test)]
fn ignore_signal(signal: libc::c_int) -> bool {
    // SAFETY: to be ignored is an action that every signal but two can have.
    unsafe { libc::signal(signal, libc::SIG_IGN) == libc::SIG_IGN }
}

fn handler() -> libc::sighandler_t {
    let handler: extern "C" fn(libc::c_int) = on_signal;
    handler as libc::sighandler_t
}

/// The signal handler. It loads atomics and calls `write(2)`, which are async-signal-safe, and
/// leaves `errno` as it was.
extern "C" fn on_signal(signal: libc::c_int) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: the C library gives a valid pointer to this thread's `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; nothing else on this thread runs meanwhile.
    let saved = unsafe { errno.read() };
    for slot in &SIGNAL_FDS[signal as usize] {
        let fd = slot.load(SeqCst) - 1;
        if fd >= 0 {
            // SAFETY: `one` is 8 readable bytes. A full eventfd says EAGAIN, and is readable.
            unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
        }
    }
    // SAFETY: as above.
    unsafe { errno.write(saved) };
}

#[cfg(test)]
mod tests;
