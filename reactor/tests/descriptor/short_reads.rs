//! Where a short read does not mean that there is no more, and no edge comes for what there is. What
//! is queued before the reader runs makes one edge, and must be read to its end after it.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::rc::Rc;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::{PipeFlags, pipe_with};

use super::*;

/// Sends bytes with a descriptor, behind which every read of the peer stops.
fn send_with_descriptor(socket: &UnixStream, bytes: &[u8]) {
    let fds = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
    assert_eq!(sent, bytes.len());
}

/// Reads as much as `lens` say, in pieces of those lengths, into a buffer with room for more.
async fn assert_reads(fd: &PollFd, lens: &[usize]) {
    for &len in lens {
        assert_eq!(fd.read(&mut [0; 64]).await.unwrap(), len);
    }
}

#[test]
fn what_is_behind_passed_descriptors_is_read_without_a_further_edge() {
    block_on(async {
        let (fd, mut peer) = pair();
        let read = parked_read(&fd).await;
        send_with_descriptor(&peer, b"first");
        send_with_descriptor(&peer, b"second");
        peer.write_all(b"the rest").unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 5);
        assert_reads(&fd, &[6, 8]).await;
    });
}

/// A pipe with `O_DIRECT` (pipe(2)) gives one packet a read, however much room there is.
#[test]
fn the_next_packet_of_a_packet_pipe_is_read_without_a_further_edge() {
    block_on(async {
        let (ours, theirs) = pipe_with(PipeFlags::DIRECT | PipeFlags::NONBLOCK).unwrap();
        let fd = Rc::new(PollFd::new(ours).unwrap());
        let read = parked_read(&fd).await;
        for packet in [&b"first"[..], b"second", b"the rest"] {
            assert_eq!(rustix::io::write(&theirs, packet).unwrap(), packet.len());
        }
        assert_eq!(read.await.unwrap().unwrap(), 5);
        assert_reads(&fd, &[6, 8]).await;
        drop(theirs);
        assert_reads(&fd, &[0]).await;
    });
}
