//! Unix sockets: their addresses, how they are bound, and what only they can do.

mod addr;
mod bind;
mod connect;
mod credentials;
mod datagram;
mod descriptors;
mod path;

pub use addr::{UNIX_NAME_BYTES_MAX, UNIX_PATH_BYTES_MAX, UnixAddr};
pub use bind::UnixBuilder;
pub use credentials::PeerCredentials;
pub use datagram::UnixDatagram;
pub use descriptors::{FDS_MAX, PassedFds};
pub(crate) use path::Unlink;

use crate::listener::Listener;
use crate::network::Unix;
use crate::stream::Stream;

/// A Unix stream.
///
/// It reads, writes, splits and closes as any [`Stream`]; it passes descriptors with
/// [`send_fds`](Self::send_fds) and [`recv_fds`](Self::recv_fds).
///
/// ```
/// # reactor::block_on(async {
/// use net::UnixStream;
///
/// let (near, far) = UnixStream::pair()?;
/// near.write_all(b"ping").await?;
/// let mut buf = [0; 16];
/// let n = far.read(&mut buf).await?;
/// assert_eq!(&buf[..n], b"ping");
/// assert_eq!(far.peer_credentials()?.pid, std::process::id());
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub type UnixStream = Stream<Unix>;

/// A Unix socket that listens.
///
/// The path it was bound to is removed when it is closed or dropped, before it stops to listen: see
/// [`set_unlink_on_close`](Self::set_unlink_on_close).
///
/// ```
/// # reactor::block_on(async {
/// use net::{UnixAddr, UnixListener, UnixStream};
///
/// // The kernel chooses a name in the abstract namespace for who is bound to none.
/// let listener = UnixListener::builder().bind_addr(&UnixAddr::unnamed())?;
/// let near = UnixStream::connect_addr(&listener.local_addr()?).await?;
/// let (far, peer) = listener.accept().await?;
/// assert!(peer.is_unnamed());
/// far.write_all(b"welcome").await?;
/// assert_eq!(near.read(&mut [0; 16]).await?, 7);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub type UnixListener = Listener<Unix>;
