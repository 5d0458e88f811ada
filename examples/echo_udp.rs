//! A UDP echo server on one thread, and a client that counts what comes back.
//!
//! ```sh
//! cargo run --release --example echo_udp -- 127.0.0.1:7000
//! cargo run --release --example echo_udp -- 127.0.0.1:7000 --send 100000
//! ```
//!
//! The server takes and sends up to 64 datagrams with one system call. Datagrams that the kernel put
//! together (GRO) are sent back together (GSO). An answer leaves from the address that was asked. It
//! prints the address it is bound to (port 0 takes any free one) and runs until it is stopped; try
//! it with `socat - UDP:127.0.0.1:7000`, too.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use examples::{Arguments, Usage};
use net::{Outgoing, RecvBatch, SendBatch, UdpSocket};
use reactor::time::timeout;

/// Datagrams in one batch. Each holds up to [`DATAGRAM_BYTES_MAX`], and memory only once used.
const BATCH_MAX: usize = 64;
const DATAGRAM_BYTES_MAX: usize = 65_535;
const SEND_MAX: usize = 1_000_000_000;
/// A datagram that has not come back by then counts as lost.
const LOST_AFTER: Duration = Duration::from_millis(200);

const USAGE: Usage = Usage {
    text: "\
A UDP echo server on one thread, or its client.

usage: echo_udp ADDRESS [--send N]

  ADDRESS    where to listen, for example 127.0.0.1:7000 (port 0: any free port)
  --send N   be the client: send N datagrams there, one after the other",
    options: &["--send"],
};

fn main() -> ExitCode {
    env_logger::init();
    let arguments = Arguments::of_process(&USAGE);
    let address = arguments.address().unwrap_or_else(|error| USAGE.refuse(&error));
    let count =
        arguments.number("--send", 0, SEND_MAX).unwrap_or_else(|error| USAGE.refuse(&error));
    let run = async {
        match count {
            0 => serve(address).await,
            count => ask(address, count).await,
        }
    };
    examples::exit_code(reactor::block_on(run).flatten())
}

async fn serve(address: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::builder().packet_info(true).gro(true).bind(address)?;
    println!("listening on {}", socket.local_addr()?);
    let mut questions = RecvBatch::new(BATCH_MAX, DATAGRAM_BYTES_MAX);
    let mut answers = SendBatch::new(BATCH_MAX, BATCH_MAX * DATAGRAM_BYTES_MAX);
    loop {
        socket.recv_batch(&mut questions).await?;
        for question in questions.iter() {
            let segment_bytes = question.info.segment_bytes.and_then(|n| u16::try_from(n).ok());
            let how = Outgoing { segment_bytes, ..question.info.answer() };
            answers.push(question.bytes, &how).expect("as many answers as questions");
        }
        while let Err(error) = socket.send_batch(&mut answers).await {
            // One that cannot be reached is no reason not to answer the others.
            log::info!("{error}");
            answers.skip();
        }
    }
}

async fn ask(address: SocketAddr, count: usize) -> io::Result<()> {
    let socket = UdpSocket::builder().connect(address)?;
    let begun = Instant::now();
    let mut lost = 0;
    for number in 0..count as u64 {
        socket.send(&number.to_be_bytes()).await?;
        match timeout(LOST_AFTER, answer(&socket, number)).await {
            Ok(answered) => answered?,
            Err(_) => lost += 1,
        }
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    println!("{count} datagrams, {lost} lost, {rate:.0} a second");
    Ok(())
}

/// Waits for the answer with this number; older ones were given up.
async fn answer(socket: &UdpSocket, number: u64) -> io::Result<()> {
    let mut buf = [0; 16];
    loop {
        let received = socket.recv(&mut buf).await?;
        if buf[..received.len] == number.to_be_bytes() {
            return Ok(());
        }
    }
}
