//! An echo server on tokio's current_thread runtime, in two manners.
//!
//! ```sh
//! cargo run --release -p benches --example echo_tokio -- 127.0.0.1:0
//! cargo run --release -p benches --example echo_tokio -- 127.0.0.1:0 idle-buffer
//! ```
//!
//! Without `idle-buffer` a task waits until there is something to read and then borrows the buffer
//! that all tasks share, as `examples/echo.rs` does. With it, each task has a buffer for as long as
//! it lives: `read`, `write_all`.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::cell::RefCell;
use std::io::{self, ErrorKind};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const READ_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// Not in an `Rc`: the tasks stay `Send`, and so `tokio::spawn` takes them without a `LocalSet`.
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES_MAX]);
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("usage: echo_tokio IP:PORT [idle-buffer]");
    let idle_buffer = arguments.next().is_some_and(|word| word == "idle-buffer");
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(serve(&address, idle_buffer))
}

async fn serve(address: &str, idle_buffer: bool) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        if idle_buffer {
            tokio::spawn(echo_own(stream));
        } else {
            tokio::spawn(echo_shared(stream));
        }
    }
}

async fn echo_own(mut stream: TcpStream) -> io::Result<()> {
    // Not zeroed: a page of it counts as memory only once it was read into.
    let mut buffer = Vec::with_capacity(READ_BYTES_MAX);
    while stream.read_buf(&mut buffer).await? > 0 {
        stream.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(())
}

async fn echo_shared(mut stream: TcpStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        match SHARED.with_borrow_mut(|buffer| echo_what_is_there(&stream, buffer)) {
            Ok(None) => return Ok(()),
            Ok(Some(rest)) if rest.is_empty() => {}
            Ok(Some(rest)) => stream.write_all(&rest).await?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// What the peer did not take, or `None` when it has sent its last byte.
fn echo_what_is_there(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<Vec<u8>>> {
    let length = stream.try_read(buffer)?;
    if length == 0 {
        return Ok(None);
    }
    let sent = match stream.try_write(&buffer[..length]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        sent => sent?,
    };
    Ok(Some(buffer[sent..length].to_vec()))
}
