//! Behaviours of Unix sockets, with real ones. Most are those of Go's own tests.

mod connecting;
mod datagrams;
mod descriptors;
mod full_queues;
mod listening;
mod paths;
mod stale;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod waiting;

use std::fs;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use net::{UnixAddr, UnixDatagram, UnixListener, UnixStream};

use support::*;

/// A directory of a test's own, removed with all that is in it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("net-unix-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Deref for Directory {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A listener with a name that the kernel chose.
fn listener() -> io::Result<UnixListener> {
    UnixListener::builder().bind_addr(&UnixAddr::unnamed())
}

/// A datagram socket with a name that the kernel chose.
fn datagram() -> io::Result<UnixDatagram> {
    UnixDatagram::builder().bind_addr(&UnixAddr::unnamed())
}

/// Two ends of a connection: the one that connected, and the one that was accepted.
async fn connected() -> io::Result<(UnixStream, UnixStream)> {
    let listener = listener()?;
    let near = UnixStream::connect_addr(&listener.local_addr()?).await?;
    Ok((near, listener.accept().await?.0))
}

fn is_would_block(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::WouldBlock
}
