//! hyper on the reactor: its HTTP/1 server before curl and wrk, its client, its timers.

#[path = "support/leaks.rs"]
mod leaks;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Command, Output};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::rt::{Executor as _, Read as _, ReadBuf, Timer as _, Write as _};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use leaks::leaving_nothing_open;
use net::hyper::{Executor, Timer};
use net::{TcpListener, TcpStream};
use reactor::time::{now, timeout};
use reactor::{spawn, spawn_blocking};

const HUNG_AFTER: Duration = Duration::from_secs(60);

fn run<T>(test: impl Future<Output = T>) -> T {
    leaving_nothing_open(|| {
        reactor::block_on(timeout(HUNG_AFTER, test)).unwrap().expect("the test hangs")
    })
}

fn run_virtual(test: impl Future<Output = ()>) {
    leaving_nothing_open(|| {
        let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
        runtime.block_on(test);
    });
}

/// What is sent comes back, and its path in a header.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::builder().header("path", path).body(Full::new(body)).unwrap())
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let mut builder = server::conn::http1::Builder::new();
        builder.timer(Timer).header_read_timeout(Duration::from_secs(30));
        let connection = builder.serve_connection(stream, service_fn(echo));
        Executor.execute(async move { drop(connection.await) });
    }
}

fn started() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    let addr = listener.local_addr()?;
    spawn(serve(listener)).detach();
    Ok(addr)
}

/// Runs a program to its end, on another thread. Says so when it is not there.
async fn output_of(program: &'static str, args: Vec<String>) -> Option<Output> {
    let run = spawn_blocking(move || Command::new(program).args(args).output());
    match run.await.unwrap() {
        Ok(output) => Some(output),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            eprintln!("!!! SKIPPED: {program} is not installed");
            None
        }
        Err(err) => panic!("{program}: {err}"),
    }
}

#[test]
fn curl_is_answered() {
    run(async {
        let addr = started().unwrap();
        let url = |path: &str| format!("http://{addr}{path}");
        let args = ["-sS", "-i", "--max-time", "30", "-d", "a small body"];
        let args = args.map(String::from).into_iter().chain([url("/one"), url("/two")]);
        let Some(output) = output_of("curl", args.collect()).await else { return };
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for expected in ["HTTP/1.1 200 OK", "path: /one", "path: /two", "a small body"] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    });
}

#[test]
fn wrk_is_answered_on_every_connection() {
    run(async {
        let addr = started().unwrap();
        let args = ["-t1", "-c50", "-d1s", &format!("http://{addr}/")].map(String::from);
        let Some(output) = output_of("wrk", args.into()).await else { return };
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("requests in"), "{text}");
        for trouble in ["Socket errors", "Non-2xx"] {
            assert!(!text.contains(trouble), "{text}");
        }
    });
}

#[test]
fn hypers_client_gets_its_megabytes_back() {
    run(async {
        let stream = TcpStream::connect(started().unwrap()).await.unwrap();
        let (mut sender, connection) = client::conn::http1::handshake(stream).await.unwrap();
        Executor.execute(connection);
        for len in [0, 1, 100_000, 3 << 20] {
            let sent: Bytes = (0..len).map(|i| ((i * 31) >> 3) as u8).collect();
            let request = Request::post("/").body(Full::new(sent.clone())).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert!(response.into_body().collect().await.unwrap().to_bytes() == sent);
        }
    });
}

#[test]
fn the_owned_halves_have_the_traits_too() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        let ((_read, mut write), (mut read, _write)) = (near.into_split(), far.into_split());

        let bufs = [IoSlice::new(b"two "), IoSlice::new(b"pieces")];
        let sent = poll_fn(|cx| Pin::new(&mut write).poll_write_vectored(cx, &bufs)).await;
        assert_eq!(sent.unwrap(), 10);
        poll_fn(|cx| Pin::new(&mut write).poll_shutdown(cx)).await.unwrap();
        let (mut room, mut received) = ([MaybeUninit::uninit(); 6], Vec::new());
        loop {
            let mut buf = ReadBuf::uninit(&mut room);
            poll_fn(|cx| Pin::new(&mut read).poll_read(cx, buf.unfilled())).await.unwrap();
            match buf.filled() {
                [] => break,
                filled => received.extend_from_slice(filled),
            }
        }
        assert_eq!(received, b"two pieces");
    });
}

/// hyper gives up on a head that does not come, by our timer and in our time.
#[test]
fn a_request_that_never_comes_is_given_up_in_virtual_time() {
    async fn never(_: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
        unreachable!("no request was sent")
    }
    run_virtual(async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut builder = server::conn::http1::Builder::new();
        builder.timer(Timer).header_read_timeout(Duration::from_secs(3600));
        let start = now();
        let outcome = builder.serve_connection(stream, service_fn(never)).await;
        assert!(outcome.unwrap_err().is_timeout());
        assert_eq!(now() - start, Duration::from_secs(3600));
    });
}

#[test]
fn a_sleep_can_be_reset_and_ends_at_its_new_time() {
    run_virtual(async {
        let start = Timer.now();
        let mut sleep = Timer.sleep(Duration::from_secs(10));
        Timer.reset(&mut sleep, start + Duration::from_secs(70));
        sleep.await;
        assert_eq!(Timer.now() - start, Duration::from_secs(70));
        Timer.sleep_until(start + Duration::from_secs(80)).await;
        assert_eq!(Timer.now() - start, Duration::from_secs(80));
    });
}
