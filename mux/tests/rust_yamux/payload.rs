//! Bytes that tell where they come from, and the tasks that send and check them.

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::join;
use futures_util::{AsyncReadExt, AsyncWriteExt};

/// What one stream of many carries.
pub(crate) const BYTES: usize = 1 << 20;

const PIECE_BYTES: usize = 64 * 1024;

thread_local! {
    /// Bytes of a xorshift generator, twice: any sequence without a short period does.
    static NOISE: Vec<u8> = {
        let mut state = 0x9E37_79B9u32;
        let mut bytes = Vec::with_capacity(2 * BYTES);
        while bytes.len() < BYTES {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            bytes.extend_from_slice(&state.to_be_bytes());
        }
        bytes.extend_from_within(..);
        bytes
    };
}

/// `length` bytes from `position` of an endless sequence.
pub(crate) fn noise(position: usize, length: usize) -> Vec<u8> {
    let from = position % BYTES;
    NOISE.with(|noise| noise[from..from + length].to_vec())
}

/// What stream `seed` carries: its number, then noise from a place of its own.
pub(crate) fn payload(seed: u32) -> Vec<u8> {
    [&seed.to_be_bytes(), &noise(seed as usize * 4099, BYTES - 4)[..]].concat()
}

fn assert_payload(received: &[u8]) -> u32 {
    let seed = u32::from_be_bytes(received[..4].try_into().unwrap());
    assert!(received == payload(seed), "stream {seed} came back changed");
    seed
}

/// Reads to the end. In pieces: `read_to_end` clears its buffer byte by byte, which takes minutes
/// in a build without optimisation.
pub(crate) async fn read_all(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = vec![0; BYTES + 1];
    let mut filled = 0;
    loop {
        match stream.read(&mut bytes[filled..]).await.unwrap() {
            0 => break,
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    bytes
}

/// Sends a payload, and reads it back.
pub(crate) async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, seed: u32) {
    stream.write_all(&payload(seed)).await.unwrap();
    stream.close().await.unwrap();
    let echo = read_all(stream).await;
    assert_eq!(assert_payload(&echo), seed);
}

/// Reads to the end, checks, and sends it back.
pub(crate) async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let request = read_all(&mut stream).await;
    assert_payload(&request);
    stream.write_all(&request).await.unwrap();
    stream.close().await.unwrap();
}

/// Sends `length` bytes of noise and the end.
pub(crate) async fn give(mut stream: impl AsyncWrite + Unpin, length: usize) {
    let mut position = 0;
    while position < length {
        let piece = noise(position, PIECE_BYTES.min(length - position));
        stream.write_all(&piece).await.unwrap();
        position += piece.len();
    }
    stream.close().await.unwrap();
}

/// Reads noise to the end, and says how much there was.
pub(crate) async fn take(mut stream: impl AsyncRead + Unpin) -> usize {
    let mut position = 0;
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..n] == noise(position, n), "other bytes than sent, from {position} on");
        position += n;
        if n == 0 {
            return position;
        }
    }
}

/// Both directions carry `length` bytes at the same time.
pub(crate) async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin, length: usize) {
    let (reader, writer) = stream.split();
    let (taken, ()) = join(take(reader), give(writer, length)).await;
    assert_eq!(taken, length);
}
