//! What the handles and the driver of one session share.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

use crate::proto::{self, Key, Trash};
use crate::wait::{WaitQueue, Wanted};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inner: RefCell<Inner>,
    /// Counts what was done with it: who waits can tell whether something has happened meanwhile.
    acts: Cell<u32>,
}

/// The protocol core and everyone who waits for it.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) proto: proto::Session,
    /// By the index of the stream's key.
    streams: Vec<StreamWakers>,
    accepts: WaitQueue,
    opens: WaitQueue,
    pongs: WaitQueue,
    ends: WaitQueue,
    /// Set while nobody has woken the driver since it was last polled.
    driver: Option<Waker>,
}

/// Reader and writer of a stream wait apart: they may be two tasks.
#[derive(Debug, Default)]
pub(crate) struct StreamWakers {
    reader: Place,
    writer: Place,
    /// Who waits for the peer to stop reading. Few do.
    watcher: Option<Box<Place>>,
}

impl StreamWakers {
    fn take_watcher(&mut self) -> Option<Waker> {
        self.watcher.as_mut()?.waker.take()
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Reader,
    Writer,
    Watcher,
}

/// Where one future waits. The next one to come takes its place.
#[derive(Debug, Default)]
pub(crate) struct Place {
    waker: Option<Waker>,
    /// Counts who came.
    turn: u32,
}

impl Place {
    /// Puts the task's waker here, and says which turn this is. Whoever calls it drops the waker
    /// that comes back when nothing is borrowed: that may run code of others.
    pub(crate) fn park(
        &mut self,
        cx: &Context<'_>,
        clone: Option<Waker>,
    ) -> Result<(u32, Option<Waker>), NoClone> {
        let old = park(&mut self.waker, cx, clone)?;
        self.turn = self.turn.wrapping_add(1);
        Ok((self.turn, old))
    }

    /// Takes out the waker, if nobody came since that turn.
    pub(crate) fn leave(&mut self, turn: u32) -> Option<Waker> {
        if self.turn == turn { self.waker.take() } else { None }
    }
}

impl Shared {
    pub(crate) fn new(proto: proto::Session) -> Self {
        let inner = Inner {
            proto,
            streams: Vec::new(),
            accepts: WaitQueue::default(),
            opens: WaitQueue::default(),
            pongs: WaitQueue::default(),
            ends: WaitQueue::default(),
            driver: None,
        };
        Self { inner: RefCell::new(inner), acts: Cell::new(0) }
    }

    /// Runs `act` on what is shared. What the core lets go of meanwhile is dropped when the borrow
    /// is over: that may run code of the application, which may use this session.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        let mut trash = Vec::new();
        self.with_trash(&mut trash, act)
    }

    /// The same; `trash` is empty before and after, and kept for its capacity.
    pub(crate) fn with_trash<T>(
        &self,
        trash: &mut Vec<Trash>,
        act: impl FnOnce(&mut Inner) -> T,
    ) -> T {
        self.acts.set(self.acts.get().wrapping_add(1));
        let mut inner = self.inner.borrow_mut();
        let result = act(&mut inner);
        inner.proto.swap_trash(trash);
        drop(inner);
        trash.clear();
        result
    }

    /// Of which `with` this is the last.
    pub(crate) fn acts(&self) -> u32 {
        self.acts.get()
    }

    /// What `park_driver` will need, if it is not there already.
    pub(crate) fn clone_for_driver(&self, cx: &Context<'_>) -> Option<Waker> {
        let is_there = is_parked(&self.inner.borrow().driver, cx);
        (!is_there).then(|| cx.waker().clone())
    }

    /// The driver waits from now on for what a handle asks for. False: something was asked for since
    /// `clone_for_driver`, and the driver is to take another turn.
    pub(crate) fn park_driver(&self, cx: &Context<'_>, clone: Option<Waker>) -> bool {
        let parked = park(&mut self.inner.borrow_mut().driver, cx, clone);
        parked.is_ok()
    }

    /// The driver waits no more.
    pub(crate) fn unpark_driver(&self) {
        let old = self.inner.borrow_mut().driver.take();
        drop(old);
    }

    /// Lets the driver see what a handle has asked for. It runs once for all that is asked before
    /// its turn comes.
    pub(crate) fn kick(&self) {
        let driver = self.inner.borrow_mut().take_driver(true);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Whether streams wait to be accepted.
    pub(crate) fn has_backlog(&self) -> bool {
        self.inner.borrow().proto.has_backlog()
    }

    /// Wakes everyone for whom something has happened. `wakers` is empty before and after.
    pub(crate) fn wake(&self, wakers: &mut Vec<Waker>) {
        self.inner.borrow_mut().collect(wakers);
        // The borrow is over: a waker may run code that uses this session.
        for waker in wakers.drain(..) {
            waker.wake();
        }
    }
}

impl Inner {
    /// The driver's waker, if there is `work`: to be woken when nothing is borrowed.
    pub(crate) fn take_driver(&mut self, work: bool) -> Option<Waker> {
        if work { self.driver.take() } else { None }
    }

    pub(crate) fn queue(&mut self, wanted: Wanted) -> &mut WaitQueue {
        match wanted {
            Wanted::Accept => &mut self.accepts,
            Wanted::Open => &mut self.opens,
            Wanted::Pong => &mut self.pongs,
            Wanted::End => &mut self.ends,
        }
    }

    fn wakers(&mut self, key: Key) -> &mut StreamWakers {
        let index = key.index as usize;
        if self.streams.len() <= index {
            self.streams.resize_with(index + 1, StreamWakers::default);
        }
        &mut self.streams[index]
    }

    pub(crate) fn place(&mut self, key: Key, side: Side) -> &mut Place {
        let stream = self.wakers(key);
        match side {
            Side::Reader => &mut stream.reader,
            Side::Writer => &mut stream.writer,
            Side::Watcher => stream.watcher.get_or_insert_default(),
        }
    }

    /// Takes out the wakers of a stream whose handle is dropped.
    pub(crate) fn take_wakers(&mut self, key: Key) -> StreamWakers {
        std::mem::take(self.wakers(key))
    }

    fn collect(&mut self, wakers: &mut Vec<Waker>) {
        while let Some((key, events)) = self.proto.take_events() {
            let stream = self.wakers(key);
            wakers.extend(events.readable.then(|| stream.reader.waker.take()).flatten());
            wakers.extend(events.writable.then(|| stream.writer.waker.take()).flatten());
            wakers.extend(events.over.then(|| stream.take_watcher()).flatten());
        }
        let signals = self.proto.take_signals();
        if signals.all {
            return self.collect_all(wakers);
        }
        if signals.accept {
            wakers.extend(self.accepts.tell_one());
        }
        if signals.open {
            wakers.extend(self.opens.tell_one());
        }
        if signals.pong {
            self.pongs.tell_all(wakers);
        }
    }

    fn collect_all(&mut self, wakers: &mut Vec<Waker>) {
        for stream in &mut self.streams {
            wakers.extend(stream.reader.waker.take());
            wakers.extend(stream.writer.waker.take());
            wakers.extend(stream.take_watcher());
        }
        for queue in [&mut self.accepts, &mut self.opens, &mut self.pongs, &mut self.ends] {
            queue.tell_all(wakers);
        }
    }
}

/// The task's waker is to be put somewhere, and has to be cloned for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoClone;

/// Puts a clone of the task's waker into `place`, unless one is there. Cloning and dropping a waker is
/// code of others: the clone is made before, and what comes back is dropped behind the borrow.
fn park(
    place: &mut Option<Waker>,
    cx: &Context<'_>,
    clone: Option<Waker>,
) -> Result<Option<Waker>, NoClone> {
    if is_parked(place, cx) {
        return Ok(clone);
    }
    Ok(place.replace(clone.ok_or(NoClone)?))
}

fn is_parked(place: &Option<Waker>, cx: &Context<'_>) -> bool {
    place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
}
