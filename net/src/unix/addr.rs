//! Unix addresses, in the kernel's layout and back.
//!
//! `sockaddr_un` is the family and up to 108 bytes of `sun_path`, and its length decides what they
//! are (unix(7)): none at all for an unnamed socket; a zero byte and a name, which may hold any
//! bytes, in the abstract namespace; or a path, ended by its first zero byte or by the length. The
//! kernel takes a path of 108 bytes without a zero byte, and then reports a length above the room
//! there is, for the zero byte it added.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as StdAddr;
use std::path::Path;

use crate::addr::{self, Address, RawAddr};
use crate::error::Endpoint;

/// Bytes of a path, at most: all of `sun_path`. Other programs often stop at 107.
pub const UNIX_PATH_BYTES_MAX: usize = 108;

/// Bytes of an abstract name, at most: `sun_path` without the zero byte before it.
pub const UNIX_NAME_BYTES_MAX: usize = UNIX_PATH_BYTES_MAX - 1;

/// The address of a Unix socket: a path, a name in the abstract namespace, or none.
///
/// As text an abstract name begins with `@`, and `@` alone is an unnamed socket, as in Go.
///
/// ```
/// use net::UnixAddr;
///
/// let path = UnixAddr::from_path("/run/service.sock")?;
/// assert_eq!(path.to_string(), "/run/service.sock");
/// let name = UnixAddr::from_abstract_name("service")?;
/// assert_eq!(name.as_abstract_name(), Some(&b"service"[..]));
/// assert_eq!(name.to_string(), "@service");
/// assert_eq!(UnixAddr::unnamed().to_string(), "@");
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct UnixAddr {
    /// As the kernel has it, without the zero byte that ends a path.
    sun_path: [u8; UNIX_PATH_BYTES_MAX],
    len: u8,
}

impl UnixAddr {
    /// The address of no name, which sockets have that were not bound.
    #[must_use]
    pub const fn unnamed() -> Self {
        Self { sun_path: [0; UNIX_PATH_BYTES_MAX], len: 0 }
    }

    /// The address of a path.
    ///
    /// # Errors
    /// `InvalidInput` for an empty path, for one of more than [`UNIX_PATH_BYTES_MAX`] bytes and for
    /// one with a zero byte in it.
    pub fn from_path(path: impl AsRef<Path>) -> io::Result<Self> {
        let bytes = path.as_ref().as_os_str().as_bytes();
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(unfit(format!("{} is not a path of a Unix socket", quoted(bytes))));
        }
        if bytes.len() > UNIX_PATH_BYTES_MAX {
            return Err(too_long("a path", bytes.len(), UNIX_PATH_BYTES_MAX));
        }
        Ok(Self::holding(bytes))
    }

    /// A name in the abstract namespace, given without the zero byte that marks it. It is in no
    /// directory, and free again when the last socket that has it is closed.
    ///
    /// # Errors
    /// `InvalidInput` for a name of more than [`UNIX_NAME_BYTES_MAX`] bytes.
    pub fn from_abstract_name(name: impl AsRef<[u8]>) -> io::Result<Self> {
        let name = name.as_ref();
        if name.len() > UNIX_NAME_BYTES_MAX {
            return Err(too_long("an abstract name", name.len(), UNIX_NAME_BYTES_MAX));
        }
        let mut addr = Self::unnamed();
        addr.sun_path[1..=name.len()].copy_from_slice(name);
        addr.len = 1 + name.len() as u8;
        Ok(addr)
    }

    /// The path, if it has one.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        match self.sun_path() {
            [] | [0, ..] => None,
            path => Some(Path::new(OsStr::from_bytes(path))),
        }
    }

    /// The abstract name without the zero byte before it, if it has one.
    #[must_use]
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match self.sun_path() {
            [0, name @ ..] => Some(name),
            _ => None,
        }
    }

    /// Whether it has neither.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        self.len == 0
    }

    fn sun_path(&self) -> &[u8] {
        &self.sun_path[..self.len.into()]
    }

    fn holding(sun_path: &[u8]) -> Self {
        let mut addr = Self::unnamed();
        addr.sun_path[..sun_path.len()].copy_from_slice(sun_path);
        addr.len = sun_path.len() as u8;
        addr
    }
}

impl Address for UnixAddr {
    /// Nothing of an unnamed one, which is what clients have.
    type Kept = Option<Box<Self>>;

    fn keep(self) -> Self::Kept {
        (!self.is_unnamed()).then(|| Box::new(self))
    }

    fn kept(kept: &Self::Kept) -> Self {
        kept.as_deref().cloned().unwrap_or_else(Self::unnamed)
    }

    /// A path gets its zero byte where there is room for it.
    fn encode(&self) -> RawAddr {
        let ends = self.as_path().is_some() && self.sun_path().len() < UNIX_PATH_BYTES_MAX;
        RawAddr::of(libc::AF_UNIX, &self.sun_path[..self.sun_path().len() + usize::from(ends)])
    }

    /// No bytes at all are what a message of an unnamed socket comes with.
    fn decode(raw: &RawAddr, len: u32) -> io::Result<Self> {
        let family = raw.family();
        if len != 0 && (len < 2 || family != libc::AF_UNIX) {
            return Err(addr::not_of_kind("a Unix", family, len));
        }
        let room = raw.room();
        let sun_path = &room[2..room.len().min(2.max(len as usize))];
        Ok(match sun_path {
            [] | [0, ..] => Self::holding(sun_path),
            path => Self::holding(path.split(|&byte| byte == 0).next().unwrap_or_default()),
        })
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(Box::new(*self))
    }
}

impl PartialEq for UnixAddr {
    fn eq(&self, other: &Self) -> bool {
        self.sun_path() == other.sun_path()
    }
}

impl Eq for UnixAddr {}

impl std::hash::Hash for UnixAddr {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.sun_path().hash(state);
    }
}

impl fmt::Display for UnixAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_path(), self.as_abstract_name()) {
            (Some(path), _) => path.display().fmt(f),
            (None, Some(name)) => write!(f, "@{}", name.escape_ascii()),
            (None, None) => f.write_str("@"),
        }
    }
}

impl fmt::Debug for UnixAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixAddr({self})")
    }
}

/// A copy.
impl From<&Self> for UnixAddr {
    fn from(addr: &Self) -> Self {
        *addr
    }
}

/// From what the standard library has.
impl TryFrom<&StdAddr> for UnixAddr {
    type Error = io::Error;

    fn try_from(addr: &StdAddr) -> io::Result<Self> {
        match (addr.as_pathname(), addr.as_abstract_name()) {
            (Some(path), _) => Self::from_path(path),
            (None, Some(name)) => Self::from_abstract_name(name),
            (None, None) => Ok(Self::unnamed()),
        }
    }
}

/// To what the standard library has, which takes paths of up to 107 bytes.
impl TryFrom<&UnixAddr> for StdAddr {
    type Error = io::Error;

    fn try_from(addr: &UnixAddr) -> io::Result<Self> {
        match addr.as_abstract_name() {
            Some(name) => Self::from_abstract_name(name),
            None => Self::from_pathname(addr.as_path().unwrap_or(Path::new(""))),
        }
    }
}

fn too_long(what: &str, len: usize, max: usize) -> io::Error {
    unfit(format!("{what} of {len} bytes, where a Unix socket takes {max}"))
}

fn unfit(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

#[cfg(test)]
mod tests;
