//! The stream mode byte by byte, each side against bytes that were written by hand.
//!
//! The bytes follow swoole-src 4.8: `Stream_onConnect` and `Stream::set_protocol`
//! (src/network/stream.cc) for the request, `ProcessFactory::finish` (src/server/process.cc) for
//! packages of a reply, `Worker_onStreamPackage` (src/server/worker.cc) for its end.

use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::package::Error;

use crate::link::Service;
use crate::{caller, run, whole, worker};

/// What Swoole puts before the payload, in both directions (`DataHead` of include/swoole.h on a
/// 64-bit machine): session, message id, length, reactor, type, flags, server descriptor, more
/// flags, nothing, time. To the stream mode it is a part of the body.
fn data_head(session: i64, length: u32, kind: u8) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend_from_slice(&session.to_ne_bytes());
    head.extend_from_slice(&7_u64.to_ne_bytes());
    head.extend_from_slice(&length.to_ne_bytes());
    head.extend_from_slice(&1_i16.to_ne_bytes());
    head.extend_from_slice(&[kind, 0]);
    head.extend_from_slice(&3_u16.to_ne_bytes());
    head.extend_from_slice(&[0; 6]);
    head.extend_from_slice(&1.5_f64.to_ne_bytes());
    assert_eq!(head.len(), 40);
    head
}

fn package(body: &[u8]) -> Vec<u8> {
    let mut package = (body.len() as u32).to_be_bytes().to_vec();
    package.extend_from_slice(body);
    package
}

#[test]
fn the_caller_says_what_swoole_s_reactor_says_and_reads_what_its_worker_says() {
    run(async {
        let service = Service::new(1000);
        let request = [data_head(1, 0, 0), b"hello".to_vec()].concat();
        let reply = caller(&service).call(request.clone()).await.unwrap();
        let mut far = service.accept().await.unwrap();
        let mut said = vec![0; 49];
        far.read_exact(&mut said).await.unwrap();
        assert_eq!(said, package(&request));

        let answers = [[data_head(1, 3, 4), b"bye".to_vec()].concat(), data_head(1, 0, 7)];
        for answer in &answers {
            // Three writes there, as `finish` does it.
            far.write_all(&(answer.len() as u32).to_be_bytes()).await.unwrap();
            far.write_all(&answer[..40]).await.unwrap();
            far.write_all(&answer[40..]).await.unwrap();
        }
        far.write_all(&[0; 4]).await.unwrap();
        // Its worker leaves the connection open, and the caller is to close it.
        assert_eq!(whole(reply).await.unwrap(), answers);
        assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
    });
}

#[test]
fn the_worker_reads_what_swoole_s_reactor_says_and_says_what_its_worker_says() {
    run(async {
        let service = Service::new(1000);
        let mut worker = worker(&service);
        let mut near = service.connect().unwrap();
        let asked = [data_head(9, 0, 0), b"hello".to_vec()].concat();
        near.write_all(&package(&asked)).await.unwrap();
        let mut request = worker.next().await.unwrap();
        assert_eq!(request.body(), &asked);
        let answer = [data_head(9, 3, 4), b"bye".to_vec()].concat();
        request.reply(answer.clone()).await.unwrap();
        request.reply(answer.clone()).await.unwrap();
        request.finish().await.unwrap();
        let mut said = Vec::new();
        near.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, [package(&answer), package(&answer), vec![0; 4]].concat());
    });
}

#[test]
fn a_reply_may_have_no_package_at_all() {
    run(async {
        let service = Service::new(1000);
        let mut worker = worker(&service);
        let reply = caller(&service).call("x").await.unwrap();
        worker.next().await.unwrap().finish().await.unwrap();
        assert!(whole(reply).await.unwrap().is_empty());
    });
}

#[test]
fn an_empty_package_in_a_reply_is_refused_as_it_would_be_its_end() {
    run(async {
        let service = Service::new(1000);
        let mut worker = worker(&service);
        let reply = caller(&service).call("x").await.unwrap();
        let mut request = worker.next().await.unwrap();
        assert!(matches!(request.reply("").await, Err(Error::EmptyReply)));
        request.reply("y").await.unwrap();
        request.finish().await.unwrap();
        assert_eq!(whole(reply).await.unwrap(), ["y"]);
    });
}

#[test]
fn what_a_caller_sends_behind_its_request_is_not_looked_at() {
    run(async {
        let service = Service::new(1000);
        let mut worker = worker(&service);
        let mut near = service.connect().unwrap();
        near.write_all(b"\0\0\0\x01x\0\0\0\x01y").await.unwrap();
        let request = worker.next().await.unwrap();
        assert_eq!(request.body(), "x");
        request.finish().await.unwrap();
        let mut said = Vec::new();
        near.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, [0; 4]);
    });
}
