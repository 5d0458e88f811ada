//! The ways there are to read and to write.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{AsyncReadExt, AsyncWriteExt, StreamExt, poll};
use mux::{Error, Stream};
use reactor::time;

/// How long reads and writes that have a deadline may take.
const DEADLINE: Duration = Duration::from_millis(20);

pub(crate) async fn pause(time: Duration) {
    if !time.is_zero() {
        time::sleep(time).await;
    }
}

fn own(err: io::Error) -> Error {
    Error::of(&err).cloned().expect("an error of a stream is one of the crate")
}

/// Writes in one of the ways there are, and says how much was taken.
pub(crate) async fn write_some(
    mut stream: &Stream,
    data: &Bytes,
    way: usize,
) -> Result<usize, Error> {
    match way {
        0 => stream.write(data).await.map_err(own),
        1 => {
            let (head, tail) = data.split_at(data.len() / 2);
            let slices = [IoSlice::new(head), IoSlice::new(tail)];
            stream.write_vectored(&slices).await.map_err(own)
        }
        2 => {
            stream.write_bytes(data.clone()).await?;
            Ok(data.len())
        }
        3 => {
            // A write that is too late has written nothing.
            stream.set_write_deadline(Some(time::now() + DEADLINE));
            let written = stream.write_bytes(data.clone()).await;
            stream.set_write_deadline(None);
            in_time(written.map(|()| data.len())).map(Option::unwrap_or_default)
        }
        _ => {
            // A write that is given up has written nothing.
            let part = data.slice(..data.len() / 2 + 1);
            match once(stream.write_bytes(part.clone())).await {
                Some(done) => done.map(|()| part.len()),
                None => stream.flush().await.map_err(own).map(|()| 0),
            }
        }
    }
}

/// Reads in one of the ways there are; nothing at the end.
pub(crate) async fn read_some(mut stream: &Stream, max: usize, way: usize) -> Result<Bytes, Error> {
    match way {
        0 => Ok(stream.read_bytes().await?.unwrap_or_default()),
        1 => {
            let mut buf = vec![0; max];
            let n = stream.read(&mut buf).await.map_err(own)?;
            buf.truncate(n);
            Ok(buf.into())
        }
        2 => {
            // A read that is too late has read nothing.
            stream.set_read_deadline(Some(time::now() + DEADLINE));
            let read = stream.read_bytes().await;
            stream.set_read_deadline(None);
            match in_time(read)? {
                Some(chunk) => Ok(chunk.unwrap_or_default()),
                None => Ok(stream.read_bytes().await?.unwrap_or_default()),
            }
        }
        _ => {
            // A read that is given up has read nothing.
            match once(stream.read_bytes()).await {
                Some(chunk) => Ok(chunk?.unwrap_or_default()),
                None => Ok(stream.read_bytes().await?.unwrap_or_default()),
            }
        }
    }
}

/// `None` for what did not come by its deadline.
fn in_time<T>(outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Err(Error::DeadlineExceeded) => Ok(None),
        other => other.map(Some),
    }
}

/// Tries once, and gives it up.
pub(crate) async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match poll!(Pin::as_mut(&mut future)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Polls the future only when it was woken itself, though others of its task were: or a waker that
/// was forgotten would not be missed.
pub(crate) async fn by_itself<F: Future>(future: F) -> F::Output {
    let mut alone: FuturesUnordered<F> = std::iter::once(future).collect();
    alone.next().await.expect("there is one")
}
