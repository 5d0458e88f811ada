//! hyper's HTTP servers on the reactor: HTTP/1, or HTTP/2 without TLS.
//!
//! ```sh
//! cargo run --release --example hyper_hello -- 127.0.0.1:8080
//! curl http://127.0.0.1:8080/
//!
//! cargo run --release --example hyper_hello -- 127.0.0.1:8080 --http 2
//! curl --http2-prior-knowledge http://127.0.0.1:8080/
//! ```
//!
//! It prints the address it listens on (port 0 takes any free one) and runs until it is stopped.
//! `GET /` says hello, `POST /echo` sends the body back as it comes, everything else is not found.
//!
//! The streams of net have hyper's traits (feature `hyper`). hyper's time-out for a request's head
//! runs on the reactor's timers, and the streams of HTTP/2 are tasks of the reactor.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use examples::{Arguments, Usage};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use net::hyper::{Executor, Timer};
use net::{TcpListener, TcpStream};

/// How long a client may take to send the head of a request, and a connection may be idle. With
/// HTTP/2: how often an idle one is asked whether it is still there.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

const USAGE: Usage = Usage {
    text: "\
hyper's HTTP servers on the reactor.

usage: hyper_hello ADDRESS [--http 1|2]

  ADDRESS     where to listen, for example 127.0.0.1:8080 (port 0: any free port)
  --http 1|2  the version of HTTP (default 1); 2 is without TLS, for clients that know it",
    options: &["--http"],
};

/// What is sent back: words of our own, or the body of the request.
type Body = Either<Full<Bytes>, Incoming>;

fn main() -> ExitCode {
    env_logger::init();
    let (address, version) = settings().unwrap_or_else(|error| USAGE.refuse(&error));
    let served = reactor::block_on(async {
        match version {
            1 => serve(address, http1_connection).await,
            _ => serve(address, http2_connection).await,
        }
    });
    examples::exit_code(served.flatten())
}

fn settings() -> Result<(SocketAddr, usize), String> {
    let arguments = Arguments::of_process(&USAGE);
    Ok((arguments.address()?, arguments.number("--http", 1, 2)?))
}

async fn serve(
    address: SocketAddr,
    connection: impl AsyncFn(TcpStream) -> hyper::Result<()> + Copy + 'static,
) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    let mut incoming = listener.incoming();
    loop {
        let (stream, peer) = incoming.next().await?;
        reactor::spawn(async move {
            if let Err(error) = connection(stream).await {
                log::info!("{peer}: {error}");
            }
        })
        .detach();
    }
}

async fn http1_connection(stream: TcpStream) -> hyper::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(Timer).header_read_timeout(HEAD_TIMEOUT);
    http.serve_connection(stream, service_fn(answer)).await
}

async fn http2_connection(stream: TcpStream) -> hyper::Result<()> {
    let mut http = http2::Builder::new(Executor);
    http.timer(Timer).keep_alive_interval(HEAD_TIMEOUT);
    http.serve_connection(stream, service_fn(answer)).await
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => words(StatusCode::OK, "hello\n"),
        (&Method::POST, "/echo") => Response::new(Either::Right(request.into_body())),
        _ => words(StatusCode::NOT_FOUND, "there is / and /echo\n"),
    })
}

fn words(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::from(text)));
    *response.status_mut() = status;
    response
}
