//! Connections that carry bytes and no frames.

use super::Peer;

/// Reads so many bytes.
pub async fn read(peer: &Peer, count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while out.len() < count {
        let mut buffer = vec![0; (count - out.len()).min(65536)];
        let n = peer.stream.read(&mut buffer).await.unwrap();
        assert_ne!(n, 0, "closed after {} of {count} bytes", out.len());
        out.extend_from_slice(&buffer[..n]);
    }
    out
}

pub async fn read_end(peer: &Peer) {
    assert_eq!(peer.stream.read(&mut [0; 8]).await.unwrap(), 0, "the end was expected");
}
