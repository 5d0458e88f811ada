//! Sockets with Go's semantics, on the [`reactor`]: TCP, UDP, Unix.
//!
//! System calls beneath, no copy and no allocation above: a read is one `recv`, a write one `send`,
//! an accept one `accept4`. Reads, writes and splices call the kernel past libc
//! ([`reactor::syscall`]), everything else goes through it. A socket is tried first and waits for
//! epoll only when it would block.
//!
//! ```
//! use net::{TcpListener, TcpStream};
//!
//! async fn echo(stream: TcpStream) -> std::io::Result<()> {
//!     let mut buf = [0; 4096];
//!     loop {
//!         match stream.read(&mut buf).await? {
//!             0 => return Ok(()),
//!             n => stream.write_all(&buf[..n]).await?,
//!         }
//!     }
//! }
//!
//! async fn serve(listener: TcpListener) -> std::io::Result<()> {
//!     let mut incoming = listener.incoming();     // pauses when there are no more descriptors
//!     loop {
//!         let (stream, _peer) = incoming.next().await?;
//!         reactor::spawn(echo(stream)).detach();
//!     }
//! }
//!
//! reactor::block_on(async {
//!     let listener = TcpListener::listen("127.0.0.1:0").await?;
//!     let addr = listener.local_addr()?;
//!     reactor::spawn(serve(listener)).detach();
//!
//!     let stream = TcpStream::connect(addr).await?;
//!     stream.write_all(b"hello").await?;
//!     let mut buf = [0; 5];
//!     let n = stream.read(&mut buf).await?;
//!     assert!(b"hello".starts_with(&buf[..n]));
//!     Ok::<_, std::io::Error>(())
//! })??;
//! # Ok::<_, std::io::Error>(())
//! ```
//!
//! # What is in here
//! - [`TcpListener`] listens on an address or a name and accepts, [`ListenerBuilder`] sets its options
//!   first, and [`Connections`] accepts for ever.
//! - [`Dialer`] and [`TcpStream::dial`] connect to hosts by name, [`lookup_host`] only asks for their
//!   addresses.
//! - [`TcpStream`] reads and writes, by itself or as halves: [`ReadHalf`] and [`WriteHalf`] borrow
//!   it, [`OwnedReadHalf`] and [`OwnedWriteHalf`] share it. All of them have the traits of
//!   futures-io, and with them its combinators.
//! - [`copy`] and [`copy_bidirectional`] move bytes from stream to stream inside the kernel,
//!   [`copy_bidirectional_idle`] until nothing moves any more, [`send_file`](Stream::send_file) from a
//!   file; [`read_into`](Stream::read_into) fills a
//!   `BytesMut` that nobody has zeroed.
//! - [`UdpSocket`] sends and receives datagrams, by itself or in batches ([`RecvBatch`],
//!   [`SendBatch`]), whole or in segments, and says how they arrived ([`Incoming`]).
//! - [`UnixListener`], [`UnixStream`] and [`UnixDatagram`] speak to other processes of this machine,
//!   and pass descriptors to them. Streams of both networks are one type, [`Stream`], and datagrams
//!   another, [`DatagramSocket`].
//! - [`OpError`] is what an error says beyond its kind: operation, network, addresses. [`DialError`]
//!   says it of each address of a host.
//! - [`listen_fds`] are the sockets that a service manager opened; `from_std` and `TryFrom<OwnedFd>`
//!   take over any.
//! - Feature `hyper`: hyper 1's traits on the streams, and an executor and a timer for it. Feature
//!   `tokio-io`: tokio's `AsyncRead` and `AsyncWrite` on the streams. Feature `stream`: futures' `Stream`
//!   on the connections of a listener. All are off unless asked for.
//!
//! # As in Go, and not as in the standard library
//! - Nagle's algorithm is off and keep-alive is on, unless told otherwise.
//! - Deadlines are points in time on the socket, and beat data that is ready.
//! - [`close`](TcpStream::close) wakes whoever waits, with an error for which
//!   [`reactor::is_closed`] holds.
//! - `[::]` listens for IPv4 as well, whatever the system's default.
//!
//! # Limits
//! | what | limit |
//! |---|---|
//! | bytes in one read or write | [`IO_BYTES_MAX`] |
//! | buffers in one vectored read or write | [`IOVECS_MAX`] |
//! | aborted connections that one accept passes over | [`ACCEPT_ABORTED_MAX`] |
//! | attempts of one connect, when the kernel's choice of a local port is at fault | 3 |
//! | bytes that have to come at a time for a [`copy`] to splice | [`SPLICE_BYTES_MIN`] |
//! | bytes in one splice(2) of a [`copy`], and in its pipe | [`SPLICE_BYTES_MAX`] |
//! | pipes that a thread keeps for copies to come | [`PIPES_POOLED_MAX`] |
//! | bytes in one sendfile(2) | [`SENDFILE_BYTES_MAX`] |
//! | connections waiting to be accepted | [`ListenerBuilder::backlog`] |
//! | datagrams in a batch | [`BATCH_DATAGRAMS_MAX`] |
//! | datagrams that one buffer is cut into | [`GSO_SEGMENTS_MAX`] |
//! | descriptors passed with one message | [`FDS_MAX`] |
//! | pause before a full Unix socket is tried again | 100 ms |
//! | time that [`take_over_stale`](UnixBuilder::take_over_stale) may block the thread, while another process takes over | some 100 ms |
//! | pause of [`Connections`] when the system is short of something | [`ACCEPT_PAUSE_MAX`] |
//! | addresses of one host that are dialed | [`DIAL_ADDRS_MAX`] |
//! | descriptors handed over by a service manager | [`LISTEN_FDS_MAX`] |
//!
//! Everything here is bound to the thread of its runtime, and is neither `Send` nor `Sync`. Linux
//! on 64-bit machines only.
#![deny(unsafe_code)]

mod addr;
mod adopt;
mod back_off;
mod batch;
#[cfg(doctest)]
mod book;
mod connect;
mod control;
mod copy;
mod datagram;
mod dial;
mod error;
#[cfg(feature = "hyper")]
pub mod hyper;
mod incoming;
mod inherited;
mod io;
#[cfg(test)]
#[path = "../tests/support/leaks.rs"]
mod leaks;
mod lent;
mod listen;
mod listener;
mod network;
mod options;
mod pipe;
mod read_into;
mod send_file;
mod socket;
mod split;
mod stream;
mod sys;
#[cfg(feature = "tokio-io")]
mod tokio_io;
mod traits;
mod udp;
mod unix;

pub use batch::{IO_BYTES_MAX, IOVECS_MAX};
pub use copy::{CopyError, SPLICE_BYTES_MIN, copy, copy_bidirectional, copy_bidirectional_idle};
pub use datagram::{DatagramSocket, Received};
pub use dial::{DIAL_ADDRS_MAX, DIAL_SHARE_MIN, DialError, Dialer, FALLBACK_DELAY, lookup_host};
pub use error::OpError;
pub use incoming::{ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN, Connections};
pub use inherited::{LISTEN_FDS_MAX, ListenFd, listen_fds};
pub use listen::ListenerBuilder;
pub use listener::{ACCEPT_ABORTED_MAX, Listener, TcpListener};
pub use network::{DatagramNetwork, Network, StreamNetwork, Tcp, Udp, Unix, Unixgram};
pub use options::{Keepalive, TcpInfo};
pub use pipe::{PIPES_POOLED_MAX, SPLICE_BYTES_MAX};
pub use read_into::READ_INTO_BYTES_MIN;
pub use send_file::SENDFILE_BYTES_MAX;
pub use socket::{Sink, Source};
pub use split::{
    OwnedReadHalf, OwnedWriteHalf, ReadHalf, Reader, ReuniteError, WriteHalf, WriteShare, Writer,
};
pub use stream::{Stream, TcpStream};
pub use udp::{
    BATCH_DATAGRAMS_MAX, BatchFull, Datagram, GSO_SEGMENTS_MAX, Incoming, Outgoing, RecvBatch,
    SendBatch, UdpBuilder, UdpSocket, interface_index,
};
pub use unix::{
    FDS_MAX, PassedFds, PeerCredentials, UNIX_NAME_BYTES_MAX, UNIX_PATH_BYTES_MAX, UnixAddr,
    UnixBuilder, UnixDatagram, UnixListener, UnixStream,
};
