//! The system's database of services.

use std::ffi::{CStr, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// The TCP port of a service by getaddrinfo(3) without a host, if the system knows it. It reads
/// files, or asks whom nsswitch.conf(5) names: it blocks.
pub(crate) fn tcp_port(service: &CStr) -> io::Result<Option<u16>> {
    // SAFETY: zeros are a value of addrinfo: numbers, and pointers that may be null.
    let mut hints: libc::addrinfo = unsafe { MaybeUninit::zeroed().assume_init() };
    // One family and one kind, so one answer.
    hints.ai_family = libc::AF_INET;
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut found = ptr::null_mut();
    // SAFETY: `service` and `hints` live through the call, which puts a list into `found` when it
    // returns 0. A null host stands for this machine.
    let answer =
        unsafe { libc::getaddrinfo(ptr::null(), service.as_ptr(), &hints, &raw mut found) };
    match answer {
        0 => {}
        libc::EAI_SERVICE | libc::EAI_NONAME => return Ok(None),
        libc::EAI_SYSTEM => return Err(io::Error::last_os_error()),
        other => return Err(io::Error::other(text(other))),
    }
    // SAFETY: after a 0 the list has an entry, which lives until the list is freed below.
    let entry = unsafe { &*found };
    // SAFETY: the entry's address is of the family that was asked for.
    let addr = unsafe { entry.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
    // SAFETY: getaddrinfo made the list, and nobody else frees it.
    unsafe { libc::freeaddrinfo(found) };
    Ok(Some(u16::from_be(addr.sin_port)))
}

/// What the C library calls an error of getaddrinfo.
fn text(error: c_int) -> String {
    // SAFETY: gai_strerror takes any number.
    let text = unsafe { libc::gai_strerror(error) };
    // SAFETY: it returns a text that ends with a zero and is never freed.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
