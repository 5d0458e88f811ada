//! Who is at the other end.

/// The process at the other end of a Unix socket (`SO_PEERCRED` of unix(7)).
///
/// The kernel vouches for it. The process may have ended since, and its number may be another's.
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// let (near, _far) = net::UnixStream::pair()?;
/// assert_eq!(near.peer_credentials()?.pid, std::process::id());
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerCredentials {
    /// Its number; 0 when it is in a process namespace that cannot be seen from here.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}
