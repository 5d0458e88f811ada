//! rust-yamux of libp2p, on the same runtime and the same sockets.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use net::TcpStream;
use yamux::{Config, Connection, Mode, Stream};

use crate::load::Multiplexer;

/// A connection moves only while it is polled, and opens only where it is owned: so whoever wants a
/// stream asks the task that polls it.
pub(crate) struct RustYamux {
    asked: Rc<RefCell<Asked>>,
}

#[derive(Default)]
struct Asked {
    driver: Option<Waker>,
    openers: VecDeque<Rc<RefCell<Answer>>>,
}

#[derive(Default)]
struct Answer {
    stream: Option<Stream>,
    waker: Option<Waker>,
}

fn config() -> Config {
    let mut config = Config::default();
    config.set_max_num_streams(4096);
    config
}

impl Multiplexer for RustYamux {
    const NAME: &str = "rust-yamux";
    type Stream = Stream;

    fn start(near: TcpStream, far: TcpStream, serve: impl Fn(Stream) + 'static) -> Self {
        let asked = Rc::new(RefCell::new(Asked::default()));
        let (opener, mut near) = (Rc::clone(&asked), Connection::new(near, config(), Mode::Client));
        reactor::spawn(async move { poll_fn(|cx| poll_opener(&mut near, &opener, cx)).await })
            .detach();
        let mut far = Connection::new(far, config(), Mode::Server);
        reactor::spawn(async move {
            while let Some(Ok(stream)) = poll_fn(|cx| far.poll_next_inbound(cx)).await {
                serve(stream);
            }
        })
        .detach();
        Self { asked }
    }

    async fn open(&self) -> Stream {
        let answer = Rc::new(RefCell::new(Answer::default()));
        let driver = {
            let mut asked = self.asked.borrow_mut();
            asked.openers.push_back(Rc::clone(&answer));
            asked.driver.take()
        };
        driver.into_iter().for_each(Waker::wake);
        poll_fn(|cx| {
            let mut answer = answer.borrow_mut();
            answer.waker = Some(cx.waker().clone());
            answer.stream.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

fn poll_opener(
    connection: &mut Connection<TcpStream>,
    asked: &RefCell<Asked>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    asked.borrow_mut().driver = Some(cx.waker().clone());
    while !asked.borrow().openers.is_empty() {
        let Poll::Ready(opened) = connection.poll_new_outbound(cx) else { break };
        let Ok(stream) = opened else { return Poll::Ready(()) };
        let Some(answer) = asked.borrow_mut().openers.pop_front() else { break };
        let mut answer = answer.borrow_mut();
        answer.stream = Some(stream);
        answer.waker.take().into_iter().for_each(Waker::wake);
    }
    match connection.poll_next_inbound(cx) {
        Poll::Ready(Some(Ok(_))) => unreachable!("the far end opens nothing"),
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => Poll::Pending,
    }
}
