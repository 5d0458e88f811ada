//! An echo server on smol's parts, `LocalExecutor` and async-io, in two manners.
//!
//! ```sh
//! cargo run --release -p benches --example echo_smol -- 127.0.0.1:0
//! cargo run --release -p benches --example echo_smol -- 127.0.0.1:0 idle-buffer
//! ```
//!
//! Without `idle-buffer` a task waits until there is something to read and then borrows the buffer
//! that all tasks share. With it, each task has a buffer for as long as it lives: `read`,
//! `write_all`.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use async_executor::LocalExecutor;
use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt};

const READ_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static EXECUTOR: LocalExecutor<'static> = const { LocalExecutor::new() };
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES_MAX]);
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().and_then(|text| text.parse().ok());
    let address = address.expect("usage: echo_smol IP:PORT [idle-buffer]");
    let idle_buffer = arguments.next().is_some_and(|word| word == "idle-buffer");
    EXECUTOR
        .with(|executor| async_io::block_on(executor.run(serve(executor, address, idle_buffer))))
}

async fn serve(
    executor: &LocalExecutor<'static>,
    address: SocketAddr,
    idle_buffer: bool,
) -> io::Result<()> {
    let listener = Async::<TcpListener>::bind(address)?;
    println!("listening on {}", listener.get_ref().local_addr()?);
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.get_ref().set_nodelay(true)?;
        if idle_buffer {
            executor.spawn(echo_own(stream)).detach();
        } else {
            executor.spawn(echo_shared(stream)).detach();
        }
    }
}

async fn echo_own(mut stream: Async<TcpStream>) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES_MAX];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length]).await?,
        }
    }
}

async fn echo_shared(mut stream: Async<TcpStream>) -> io::Result<()> {
    loop {
        stream.readable().await?;
        match SHARED.with_borrow_mut(|buffer| echo_what_is_there(stream.get_ref(), buffer)) {
            Ok(None) => return Ok(()),
            Ok(Some(rest)) if rest.is_empty() => {}
            Ok(Some(rest)) => stream.write_all(&rest).await?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// What the peer did not take, or `None` when it has sent its last byte.
fn echo_what_is_there(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<Vec<u8>>> {
    let length = stream.read(buffer)?;
    if length == 0 {
        return Ok(None);
    }
    let sent = match stream.write(&buffer[..length]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        sent => sent?,
    };
    Ok(Some(buffer[sent..length].to_vec()))
}
