//! This project's side of the checks with Swoole; `run` starts both.
//!
//! ```text
//! interop_packages pool PATH            our caller, a Process\Pool of theirs
//! interop_packages caller PATH PORT     our caller, workers of their server
//! interop_packages worker PATH PORT     their reactor, and our worker in the place of theirs
//! ```
#![allow(clippy::print_stdout)] // a program talks to its caller
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use mux::package::{
    CallConfig, Caller, Connect, Error, Format, Packages, Reply, ReplyEnd, WorkConfig, Worker,
};
use net::{TcpStream, UnixListener, UnixStream};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Swoole's `DataHead` (include/swoole.h) on a 64-bit machine, which its server puts before the payload.
const HEAD_BYTES: usize = 40;
/// Where its fields are that count here.
const SESSION: std::ops::Range<usize> = 0..8;
const LENGTH: std::ops::Range<usize> = 16..20;
const TYPE: usize = 22;
const SERVER_FD: std::ops::Range<usize> = 24..26;
/// `SW_SERVER_EVENT_SEND_DATA`: payload for the client.
const SEND_DATA: u8 = 2;

/// So much at once that a connection does not take it at one go.
const LARGE_BYTES: usize = 1_500_000;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let check = async {
        match words[..] {
            ["pool", path] => pool(path).await,
            ["caller", path, port] => caller(path, port.parse()?).await,
            ["worker", path, port] => worker(path, port.parse()?).await,
            _ => Err("usage: interop_packages pool|caller|worker PATH [PORT]".into()),
        }
    };
    let bounded = async { reactor::time::timeout(Duration::from_secs(60), check).await? };
    match reactor::block_on(bounded).map_err(Into::into).flatten() {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err}");
            ExitCode::FAILURE
        }
    }
}

fn connecting<'p>(
    path: &'p str,
    config: CallConfig,
) -> Caller<impl Connect<Io = UnixStream> + use<'p>> {
    Caller::new(async move || UnixStream::connect(path).await, config)
}

async fn whole(mut reply: Reply<UnixStream>) -> Result<Vec<Bytes>, Error> {
    let mut packages = Vec::new();
    while let Some(package) = reply.next().await? {
        packages.push(package);
    }
    Ok(packages)
}

/// A text that tells which it is.
fn text(number: usize, bytes: usize) -> Vec<u8> {
    format!("request {number} ").into_bytes().into_iter().cycle().take(bytes).collect()
}

async fn pool(path: &str) -> Outcome {
    let config = CallConfig { reply_end: ReplyEnd::HangUp, ..CallConfig::default() };
    let caller = connecting(path, config);
    for (number, bytes) in [1, 2, 100, 70_000, LARGE_BYTES].into_iter().cycle().take(50).enumerate()
    {
        let request = text(number, bytes);
        let packages = whole(caller.call(request.clone()).await?).await?;
        assert_eq!(packages, [request.to_ascii_uppercase()], "request {number}");
    }
    assert!(whole(caller.call("nothing").await?).await?.is_empty());
    // It takes what is too long for a failure, and an empty request too; and says neither.
    assert!(whole(caller.call("").await?).await?.is_empty());
    // A process that ends has said nothing wrong either: this end of a reply cannot tell.
    let _ = whole(caller.call("die").await?).await;
    let strict = connecting(path, CallConfig::default());
    let err = whole(strict.call("x").await?).await.unwrap_err();
    assert!(matches!(err, Error::WorkerGone { packages: 1, .. }), "{err}");
    println!("our caller, their pool: 54 calls");
    Ok(())
}

/// A client of their server, whose session is in the head of what its reactor and workers say.
async fn client(port: u16) -> io::Result<Packages<TcpStream>> {
    let stream = TcpStream::connect(([127, 0, 0, 1], port).into()).await?;
    Ok(Packages::new(stream, Format::STREAM))
}

async fn ask(client: &mut Packages<TcpStream>, request: &[u8]) -> Result<[Bytes; 2], Error> {
    client.write(Bytes::copy_from_slice(request)).await?;
    let mut answers = [Bytes::new(), Bytes::new()];
    for answer in &mut answers {
        *answer = client.read().await?.expect("an answer").into_body();
    }
    Ok(answers)
}

fn answers(request: &[u8]) -> [Vec<u8>; 2] {
    [request.to_ascii_uppercase(), request.iter().rev().copied().collect()]
}

async fn caller(path: &str, port: u16) -> Outcome {
    // Only for the session of a client that is there is anything answered.
    let mut client = client(port).await?;
    client.write("session".into()).await?;
    let told = client.read().await?.ok_or("no session")?.into_body();
    let (session, server_fd) = told.split_first_chunk().ok_or("no session")?;
    let session = i64::from_be_bytes(*session).to_ne_bytes();
    let server_fd = u16::from_be_bytes(server_fd.try_into()?).to_ne_bytes();
    assert_eq!(ask(&mut client, b"their own").await?, answers(b"their own"));
    let caller = connecting(path, CallConfig::default());
    for (number, bytes) in [1, 100, 70_000, LARGE_BYTES].into_iter().cycle().take(40).enumerate() {
        let body = text(number, bytes);
        let mut request = vec![0; HEAD_BYTES];
        request[SESSION].copy_from_slice(&session);
        request[SERVER_FD].copy_from_slice(&server_fd);
        request.extend_from_slice(&Format::STREAM.encode(&body)?);
        let packages = whole(caller.call(request).await?).await?;
        assert_eq!(packages.len(), 2, "request {number}");
        for (package, answer) in packages.iter().zip(answers(&body)) {
            let (head, payload) = package.split_at(HEAD_BYTES);
            assert_eq!(head[SESSION], session);
            assert_eq!(head[LENGTH], (payload.len() as u32).to_ne_bytes());
            assert_eq!(head[TYPE], SEND_DATA);
            assert_eq!(payload, &Format::STREAM.encode(&answer)?, "request {number}");
        }
    }
    // Of a session that is not there nothing is answered: a reply without a package.
    let mut request = vec![0; HEAD_BYTES];
    request[SESSION].copy_from_slice(&999_i64.to_ne_bytes());
    request.extend_from_slice(&Format::STREAM.encode(b"x")?);
    assert!(whole(caller.call(request).await?).await?.is_empty());
    println!("our caller, their workers: 41 calls");
    Ok(())
}

async fn worker(path: &str, port: u16) -> Outcome {
    // Their reactor connects by the path, so it comes to us from here on.
    std::fs::remove_file(path)?;
    let listener = UnixListener::bind(path)?;
    let serving = reactor::spawn(async move {
        let accept = async || listener.accept().await.map(|(stream, _)| stream);
        let mut worker = Worker::new(accept, WorkConfig::default());
        worker
            .serve(async |request| {
                let body = request.body().clone();
                // The client's package behind the head of what happened: a connect has none.
                let Some(package) = body.get(HEAD_BYTES + 4..) else { return Ok(()) };
                for answer in answers(package) {
                    let answer = Format::STREAM.encode(&answer).expect("it is as long as it was");
                    let mut reply = body[..HEAD_BYTES].to_vec();
                    reply[LENGTH].copy_from_slice(&(answer.len() as u32).to_ne_bytes());
                    reply[TYPE] = SEND_DATA;
                    reply.extend_from_slice(&answer);
                    request.reply(reply).await?;
                }
                Ok(())
            })
            .await
    });
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(client(port).await?);
    }
    for (number, bytes) in [1, 100, 70_000, LARGE_BYTES].into_iter().cycle().take(40).enumerate() {
        let request = text(number, bytes);
        let got = ask(&mut clients[number % 5], &request).await?;
        assert_eq!(got, answers(&request), "request {number}");
    }
    println!("their reactor, our worker: 40 requests of 5 clients");
    serving.abort();
    Ok(())
}
