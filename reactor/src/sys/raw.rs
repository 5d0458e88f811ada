//! System calls past the C library.
//!
//! In the C library every call that may wait is a cancellation point of POSIX threads. In a process that has
//! had a second thread, a pool for lookups is enough, glibc therefore changes an atomic before and after each
//! `recv`, `send` and `epoll_wait` (`__pthread_enable_asynccancel`). Rust cancels no threads, and the steady
//! path is to have no atomic read-modify-write: so the calls of that path are made here, as Go makes its own
//! (`internal/runtime/syscall`).

use std::io;

/// A system call by its number, with its arguments; those that it does not take are 0. Pointers are passed by
/// their address. What it returns, or the error that it stands for.
///
/// It is no cancellation point, touches no `errno`, and costs what the call costs. Public for crates that
/// make calls of their own in an operation of a [`PollFd`](crate::PollFd). What stands in the stead of the C
/// library's functions does not see it: a preloaded library, or a sanitizer's check of the buffer.
///
/// ```
/// use std::os::fd::AsRawFd;
///
/// let (reader, writer) = std::io::pipe()?;
/// let bytes = b"hello";
/// let args = [writer.as_raw_fd() as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
/// // SAFETY: write(2) reads `bytes.len()` bytes at `bytes`.
/// assert_eq!(unsafe { reactor::syscall(libc::SYS_write, args) }?, 5);
/// # drop(reader);
/// // SAFETY: as above; the number of the descriptor is none.
/// let refused = unsafe { reactor::syscall(libc::SYS_write, [usize::MAX, 0, 0, 0, 0, 0]) };
/// assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EBADF));
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Errors
/// What the call says.
///
/// # Safety
/// What the manual page of the call asks for: pointers, which the kernel reads and writes, are valid for as
/// much as it is told, and nobody uses meanwhile what it writes. A call that changes what the program rests
/// upon, such as its memory, its descriptors or its threads, is sound where that is.
#[inline(always)]
pub unsafe fn syscall(number: libc::c_long, args: [usize; 6]) -> io::Result<usize> {
    // SAFETY: as the caller promises.
    unsafe { make(number, args) }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
unsafe fn make(number: libc::c_long, args: [usize; 6]) -> io::Result<usize> {
    let returned: isize;
    // SAFETY: the convention of Linux on x86-64 (syscall(2)): the number in rax, the arguments in these
    // registers, the answer in rax; rcx and r11 are overwritten, the stack is not used and the flags come
    // back. What the call itself does is what the caller promises.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => returned,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags),
        );
    }
    if returned as usize > ERRORS_FROM { Err(error(returned)) } else { Ok(returned as usize) }
}

/// Linux returns errors as the last 4,095 numbers.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const ERRORS_FROM: usize = usize::MAX - 4095;

/// Apart, so that a call that succeeds does nothing for it.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[cold]
fn error(returned: isize) -> io::Error {
    io::Error::from_raw_os_error(-returned as i32)
}

/// By the function of the C library, which is no cancellation point either.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
unsafe fn make(number: libc::c_long, args: [usize; 6]) -> io::Result<usize> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: as the caller promises.
    let returned = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned as usize) }
}
