//! The h2 crate over tokio's traits on our streams: client and server, many streams, large bodies.

#[path = "support/leaks.rs"]
mod leaks;

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream, client, server};
use http::{Request, Response};
use leaks::leaving_nothing_open;
use net::{TcpListener, TcpStream};
use reactor::spawn;
use reactor::time::timeout;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const HUNG_AFTER: Duration = Duration::from_secs(60);
const STREAMS: usize = 32;
const BODY_BYTES: usize = 1 << 20;
const PIECE_BYTES: usize = 64 << 10;

type Failure = Box<dyn std::error::Error>;

fn run(test: impl Future<Output = Result<(), Failure>>) {
    leaving_nothing_open(|| {
        let outcome = reactor::block_on(timeout(HUNG_AFTER, test)).unwrap();
        outcome.expect("the test hangs").unwrap();
    });
}

async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    Ok((near, listener.accept().await?.0))
}

/// A body that is different on each stream.
fn body(stream: usize) -> Bytes {
    (0..BODY_BYTES).map(|i| ((i + stream * 7919).wrapping_mul(2_654_435_761) >> 16) as u8).collect()
}

/// Sends as fast as the peer's window allows, and no faster.
async fn send(mut stream: SendStream<Bytes>, mut body: Bytes) -> Result<(), Failure> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len().min(PIECE_BYTES));
        let window = poll_fn(|cx| stream.poll_capacity(cx)).await.ok_or("closed")??;
        let piece = body.split_to(window.min(body.len()));
        stream.send_data(piece, body.is_empty())?;
    }
    Ok(())
}

async fn receive(mut stream: RecvStream) -> Result<Bytes, Failure> {
    let mut all = BytesMut::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// Sends each body back while it still comes.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Failure> {
    let mut connection = server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        spawn(async move {
            let mut from = request.into_body();
            let mut to = respond.send_response(Response::new(()), false).unwrap();
            while let Some(piece) = from.data().await {
                let (mut piece, ended) = (piece.unwrap(), from.is_end_stream());
                from.flow_control().release_capacity(piece.len()).unwrap();
                while !piece.is_empty() {
                    to.reserve_capacity(piece.len());
                    let window = poll_fn(|cx| to.poll_capacity(cx)).await.unwrap().unwrap();
                    let part = piece.split_to(window.min(piece.len()));
                    to.send_data(part, ended && piece.is_empty()).unwrap();
                }
            }
            if !from.is_end_stream() {
                to.send_data(Bytes::new(), true).unwrap();
            }
        })
        .detach();
    }
    Ok(())
}

#[test]
fn h2_carries_many_streams_of_a_mebibyte_each() {
    run(async {
        let (near, far) = pair().await?;
        let server = spawn(async move { serve(far).await.map_err(|err| err.to_string()) });
        let (requests, connection) = client::handshake(near).await?;
        let driver = spawn(connection);

        let streams: Vec<_> = (0..STREAMS)
            .map(|id| {
                let requests = requests.clone();
                spawn(async move {
                    let mut requests = requests.ready().await?;
                    let request = Request::post("http://test/").body(())?;
                    let (response, stream) = requests.send_request(request, false)?;
                    let sending = spawn(send(stream, body(id)));
                    let received = receive(response.await?.into_body()).await?;
                    sending.await??;
                    Ok::<_, Failure>(received)
                })
            })
            .collect();
        for (id, stream) in streams.into_iter().enumerate() {
            assert!(stream.await?? == body(id), "stream {id}");
        }
        drop(requests);
        driver.await??;
        server.await??;
        Ok(())
    });
}

#[test]
fn the_owned_halves_have_the_traits_too() {
    run(async {
        let (near, far) = pair().await?;
        let ((_read, mut write), (mut read, _write)) = (near.into_split(), far.into_split());
        let bufs = [IoSlice::new(b"two "), IoSlice::new(b"pieces")];
        assert_eq!(poll_fn(|cx| Pin::new(&mut write).poll_write_vectored(cx, &bufs)).await?, 10);
        poll_fn(|cx| Pin::new(&mut write).poll_shutdown(cx)).await?;
        let (mut room, mut received) = ([MaybeUninit::uninit(); 6], Vec::new());
        loop {
            let mut buf = ReadBuf::uninit(&mut room);
            poll_fn(|cx| Pin::new(&mut read).poll_read(cx, &mut buf)).await?;
            match buf.filled() {
                [] => break,
                filled => received.extend_from_slice(filled),
            }
        }
        assert_eq!(received, b"two pieces");
        Ok(())
    });
}
